"""Claims and decomposition once more, for every model of how servers compute (docs/service.md).

The sweeps of `make study` repeat those of the scorecard under one service after another; under
each of them, and each variant of the delays, the same measures are taken and held against the same
limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bprr.figures.cells import as_printed
from bprr.figures.means import asked_points
from bprr.figures.published import published_results
from bprr.figures.regimes import counts_of_regimes
from bprr.figures.served import SUFFIX, ServiceModel, by_model
from bprr.figures.tables_found import FOUND
from bprr.figures.tables_queues import FOUND_REQUESTS, SERVED
from bprr.ground.errors import InputError
from bprr.ground.storage import replacing
from bprr.report.claims import Claim, Kind
from bprr.report.discrepancies import Register, decomposition
from bprr.report.measures import MEASURES
from bprr.report.results import Results
from bprr.report.verdicts import agrees, contradicts

__all__ = ["Served", "claims_by_service", "decomposition_by_service", "write_by_service"]

JUDGED = (Kind.WORDS,)


class Served(Results):
    """Results as they are if servers compute by one model: from the sweeps of the study."""

    def __init__(self, ours: Results, model: ServiceModel | None = None) -> None:
        super().__init__(ours.folder, ours.caption, ours.published)
        self.model = model
        self._all: dict[str, dict[ServiceModel, pd.DataFrame]] = {}

    def path(self, name: str) -> Path:
        """Path of the sweep that repeats a result's, on the same network."""
        sweep, topology = self._place(name)
        return super().path(f"sweeps/{sweep}_{topology}.parquet")

    def _place(self, name: str) -> tuple[str, str]:
        stem = Path(name).stem
        for topology in self.caption.topologies:
            sweep = stem.removesuffix(f"_{topology}")
            served = SERVED if sweep == FOUND else sweep + SUFFIX
            if sweep != stem and served in self.caption.sweeps:
                return served, topology
        raise InputError("by service", "file", name, "a sweep that the study repeats by service")

    def repeats(self, names: Sequence[str]) -> bool:
        """Whether all these results are repeated under every model."""
        try:
            return all(self._place(name) for name in names)
        except InputError:
            return False

    def of(self, model: ServiceModel) -> Served:
        """The same under a model."""
        view = Served(self, model)
        view._all = self._all
        return view

    def models(self, names: Sequence[str]) -> list[ServiceModel]:
        """Models that all of these have."""
        first, *others = (self._by_model(name) for name in names)
        return [model for model in first if all(model in each for each in others)]

    def _by_model(self, name: str) -> dict[ServiceModel, pd.DataFrame]:
        if name not in self._all:
            means, (sweep, _) = asked_points(self.path(name), self.caption), self._place(name)
            parts = by_model(means, self.caption.sweeps[sweep])
            if sweep == SERVED:
                printed = published_results(self.published)
                parts = {
                    model: as_printed(rows[rows["requests"] == FOUND_REQUESTS], printed)
                    for model, rows in parts.items()
                }
            self._all[name] = parts
        return self._all[name]

    def means(self, *names: str) -> pd.DataFrame:
        """Run means of one or several sweeps under the model, as those that they repeat."""
        assert self.model is not None
        return pd.concat([self._by_model(name)[self.model] for name in names], ignore_index=True)

    def points(self, *names: str) -> pd.DataFrame:
        """Points of the compared method in these sweeps, under the model and all variants."""
        means = self.means(*names)
        own = means[means["method"] == self.caption.compared.method]
        return own.drop_duplicates(["figure", "topology", "x", "allocation_delays"])

    @cached_property
    def variants(self) -> list[str]:
        """Variants of the delays that a claim may be held against, those of the study."""
        shown = (self.caption.sweeps[name] for name in self.caption.sweeps if name.endswith(SUFFIX))
        return list(dict.fromkeys(variant for sweep in shown for variant in sweep.variants))


def claims_by_service(claims: Sequence[Claim], results: Results) -> pd.DataFrame:
    """Every claim in words that rests on repeated sweeps, under every model and variant of delays.

    Returns
    -------
    DataFrame
        ``id``, ``statement``, ``unit``, ``delays``, ``service``, ``order``, ``belief``, ``ours``
        with ``low`` and ``high``, and ``holds``: yes, no, or contradicted (the whole interval lies
        where the claim is false), and ``regimes``: how many of its points are stable, backlogged,
        overloaded by the compared method. A claim whose sweeps were not run has one row, ``not
        run``.
    """
    served, rows = Served(results), list[dict[str, Any]]()
    for claim in claims:
        if claim.kind not in JUDGED or not claim.compare or claim.not_testable or claim.no_verdict:
            continue
        if claim.measure is None or not served.repeats(claim.files):
            continue
        said: dict[str, Any] = {"id": claim.id, "statement": claim.statement, "unit": claim.unit}
        if not all(served.path(name).exists() for name in claim.files):
            rows.append({**said, "holds": "not run"})
            continue
        for model in served.models(claim.files):
            view = served.of(model)
            points = dict(iter(view.points(*claim.files).groupby("allocation_delays")))
            for variant in served.variants:
                found = MEASURES[claim.measure](
                    view.under(variant), claim.files, **claim.arguments
                ).get(variant)
                if found is None or found.value != found.value:
                    continue
                held = agrees(found, claim.compare)
                against = "contradicted" if contradicts(found, claim.compare) else "no"
                rows.append(
                    {
                        **said,
                        "delays": variant,
                        **model._asdict(),
                        "ours": found.value,
                        "low": found.low,
                        "high": found.high,
                        "holds": "yes" if held else against,
                        "regimes": counts_of_regimes(points[variant]),
                    }
                )
    columns = ["id", "statement", "unit", "delays", "service", "order", "belief", "ours", "low"]
    return pd.DataFrame(rows, columns=[*columns, "high", "holds", "regimes"])


def decomposition_by_service(register: Register, results: Results) -> pd.DataFrame:
    """Steps of the gain (`decomposition`) led by ``service``, ``service_order`` and ``belief``.

    Last comes ``regime``, that of the compared method at the point.
    """
    served, tables = Served(results), []
    files = served.files_of(register.decomposition.sweep)
    for model in served.models(files) if files else []:
        view = served.of(model)
        place = ["topology", "x", "allocation_delays"]
        regimes = view.points(*files)[[*place, "regime"]]
        table = decomposition(register, view).merge(regimes, on=place, how="left")
        names = ("service", "service_order", "belief")
        for column, (key, value) in enumerate(zip(names, model, strict=True)):
            table.insert(column, key, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def write_by_service(tables: Mapping[Path, pd.DataFrame]) -> list[Path]:
    """Write tables as CSV."""
    for path, table in tables.items():
        with replacing(path) as unfinished:
            text = table.to_csv(index=False, float_format="%.9g")
            unfinished.write_text(text, encoding="utf-8")
    return list(tables)
