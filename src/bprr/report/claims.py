"""Published claims and what each is compared with (``claims.yaml``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from bprr.figures.published import artefact_means, published_results
from bprr.ground.errors import InputError
from bprr.ground.schema import Refused, Strict
from bprr.settings.messages import validated
from bprr.settings.shipped import SHIPPED
from bprr.settings.yaml_file import read_yaml

__all__ = ["Claim", "Claims", "Comparison", "Kind", "each_claim", "load_claims"]

ARTEFACT = SHIPPED / "data/published/artefact_sweeps.csv"


class Kind(StrEnum):
    """What sort of a claim it is; each is counted apart."""

    PRINTED = "printed simulator numbers"
    MEASURED = "numbers measured on GPUs"
    WORDS = "claims in words"
    THEOREM = "theorems and bounds"
    RUNNING_TIME = "running times"
    ARTEFACT = "means of the artefact"  # not printed in the paper: checks of our engine
    VALIDATION = "validation by others' measurements"  # of our models, nothing of the paper's


class Comparison(Strict):
    """Which values of ours agree with a claim, and which contradict it.

    A value agrees within ``low`` and ``high``. A claim is contradicted when the whole interval of
    ours lies below ``contradicted_below`` or above ``contradicted_above``. For a printed number
    ``tolerance`` and ``contradicted_factor`` stand for these limits, relative to the number; for a
    mean of the artefact ``standard_errors`` of the difference do.
    """

    kind: Literal["band", "order", "trend", "bound"]
    low: float | None = None
    high: float | None = None
    contradicted_below: float | None = None
    contradicted_above: float | None = None
    tolerance: Annotated[float, Field(gt=0)] | None = None
    contradicted_factor: Annotated[float, Field(gt=1)] | None = None
    standard_errors: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> Comparison:
        if (self.low, self.high, self.tolerance, self.standard_errors) == (None,) * 4:
            allowed = "at least one of low, high, tolerance, standard_errors"
            raise Refused("low", None, allowed)
        return self

    def around(self, value: float | None, error: float = 0.0) -> Comparison:
        """The same with all limits absolute, for a published value.

        ``error`` is the standard error of its difference to ours.
        """
        if self.standard_errors is not None and value is not None:
            half = self.standard_errors * error
            return Comparison(kind=self.kind, low=value - half, high=value + half)
        if self.tolerance is None or value is None:
            return self
        factor = self.contradicted_factor
        return Comparison(
            kind=self.kind,
            low=value * (1 - self.tolerance) if self.low is None else self.low,
            high=value * (1 + self.tolerance),
            contradicted_below=None if factor is None else value / factor,
            contradicted_above=None if factor is None else value * factor,
        )


class PrintedTable(Strict):
    """Rows of ``data/published/results.csv``, each of which is a claim of its own."""

    table: str
    quantity: str


class ArtefactPoint(Strict):
    """A point of ``data/published/artefact_sweeps.csv``, a claim per variant of the delays."""

    figure: str
    topology: str
    x: float
    ratio: tuple[str, str] = Field(description="methods whose times per token are divided")


class Topologies(Strict):
    """Topologies, each of which is a claim of its own."""

    topology: Annotated[list[str], Field(min_length=1)]


class Claim(Strict):
    """One published number or claim, or a table of them.

    Within ``files``, ``statement``, ``id`` and the values of ``arguments`` the columns of a
    published table may be named in braces.
    """

    id: str
    kind: Kind
    place: str = Field(description="place in the paper")
    statement: str
    value: float | None = Field(None, description="published value")
    value_error: float | None = Field(
        None, description="its standard error, of means; as large as ours if nobody knows"
    )
    value_from: Literal["simulator", "experiment"] | None = Field(
        None, description="the value is the same measure of these printed cells"
    )
    value_text: str = Field("", description="the value as the paper words it, if not a number")
    unit: str = ""
    each_of: PrintedTable | Topologies | list[ArtefactPoint] | None = Field(
        None, description="one claim per row of a table; columns may be named in braces"
    )
    rule: str = Field(description="rule of the workflow that produces our number")
    files: Annotated[list[str], Field(min_length=1)] = Field(description="below the results folder")
    measure: str | None = Field(None, description="function of bprr.report.measures")
    arguments: dict[str, Any] = Field({}, description="of the measure")
    compare: Comparison | None = None
    not_testable: str = Field("", description="why nothing here can test it")
    no_verdict: str = Field("", description="why ours is reported and not judged")
    causes: dict[str, str] = Field(
        {},
        description="entry of discrepancies.yaml that explains a failure: default, or"
        " only_with_delays where the register's own does not",
    )
    minutes: Annotated[float, Field(gt=0)] = Field(description="expected, on two cores")

    @model_validator(mode="after")
    def _judged_or_not(self) -> Claim:
        unjudged = self.not_testable or self.no_verdict
        if not unjudged and (self.measure is None or self.compare is None):
            allowed = "measure and compare, or not_testable, or no_verdict"
            raise Refused("measure", self.measure, allowed)
        return self


class Claims(Strict):
    """The whole file."""

    answer: str = Field(description="the claim that the report answers on its first screen")
    claims: list[Claim]

    @model_validator(mode="after")
    def _ids_once(self) -> Claims:
        ids = [claim.id for claim in self.claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise Refused("claims", twice, "each id once")
        if self.answer not in ids:
            raise Refused("answer", self.answer, "the id of a claim")
        return self


def load_claims(path: Path) -> Claims:
    """Read and check the claims.

    Raises
    ------
    InputError, InputErrors
        If the file cannot be read, a key is unknown or a value unusable.
    """
    return validated(Claims, read_yaml(path), path)


def each_claim(
    claims: Claims,
    published_csv: Path,
    artefact_csv: Path = ARTEFACT,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> list[Claim]:
    """Claims with every table of numbers spelled out, a claim per number.

    ``labels`` say how statements write names (`bprr.figures.caption.StudyCaption.labels`).

    Raises
    ------
    InputError
        If a claim names rows that the published tables do not have.
    """
    printed = published_results(published_csv)
    spelled: list[Claim] = []
    for claim in claims.claims:
        if claim.each_of is None:
            spelled.append(claim)
            continue
        if isinstance(claim.each_of, PrintedTable):
            rows = list(_printed_rows(printed, claim.each_of))
        elif isinstance(claim.each_of, Topologies):
            rows = [{"topology": name} for name in claim.each_of.topology]
        else:
            rows = list(_artefact_rows(artefact_csv, claim.each_of))
        if not rows:
            allowed = f"rows of {published_csv} or {artefact_csv}"
            raise InputError(claims.where, f"{claim.id}.each_of", claim.each_of, allowed)
        spelled += [_of_row(claim, row, labels) for row in rows]
    return spelled


def _printed_rows(printed: pd.DataFrame, wanted: PrintedTable) -> Iterator[dict[Any, Any]]:
    chosen = (printed["table"] == wanted.table) & (printed["quantity"] == wanted.quantity)
    for row in printed[chosen].to_dict("records"):
        yield {**row, "value": row["value_s"]}


def _artefact_rows(path: Path, points: Sequence[ArtefactPoint]) -> Iterator[dict[Any, Any]]:
    means = artefact_means(path)
    means = means[means["metric"] == "per_token_ms"]
    for point in points:
        chosen = means["x"] == point.x
        for key in ("figure", "topology"):
            chosen &= means[key] == getattr(point, key)
        times = means[chosen].pivot(
            index="allocation_delays", columns="method", values=["artefact_mean", "artefact_se"]
        )
        for variant, row in times.iterrows():
            (one, other), (one_se, other_se) = (
                [row[column][name] for name in point.ratio]
                for column in ("artefact_mean", "artefact_se")
            )
            # As of unrelated means, though both methods met the same draws: an upper bound.
            yield {
                **point.model_dump(exclude={"ratio"}),
                "allocation_delays": variant,
                "value": one / other,
                "value_error": one / other * float(np.hypot(one_se / one, other_se / other)),
            }


def _of_row(claim: Claim, row: dict[Any, Any], labels: Mapping[str, str]) -> Claim:
    """Claim about one published number."""
    cells = {
        key: (f"{value:g}" if isinstance(value, float) else value)
        for key, value in row.items()
        if not pd.isna(value)
    }
    numbers = {f"{{{key}}}": value for key, value in row.items()}

    def fill(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return numbers[value] if value in numbers else value.format(**cells)

    return claim.model_copy(
        update={
            "id": fill(claim.id),
            "statement": claim.statement.format(
                **{key: labels.get(value, value) for key, value in cells.items()}
            ),
            "files": [fill(name) for name in claim.files],
            "arguments": {key: fill(given) for key, given in claim.arguments.items()},
            "value": row.get("value", claim.value),
            "value_error": row.get("value_error"),
            "each_of": None,
        }
    )
