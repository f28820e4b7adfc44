"""The report: one HTML file that opens offline, everything in it read off results and figures."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from PIL import Image

from bprr.figures import style
from bprr.figures.answer import answer as four_sentences
from bprr.figures.answer import found_tables
from bprr.figures.caption import METRIC_LABELS, StudyCaption, SweepCaption
from bprr.ground.errors import BprrError
from bprr.ground.source import source_hash
from bprr.ground.storage import package_versions, read_provenance, replacing
from bprr.report.claims import Kind
from bprr.report.discrepancies import Register
from bprr.report.results import Results
from bprr.report.scorecard import Scorecard
from bprr.report.texts import claims_text, decomposition_text, effects_text, with_interval
from bprr.study.summary import summarize

__all__ = ["write_page"]

PICTURE_WIDTH = 1200  # pixels: sharp on a laptop, small enough for one file
COLORS = 96
PROVENANCE = (
    "settings_hash", "scenario_hash", "seed", "runs", "source", "packages", "solver", "device",
    "measured_utc",
)  # fmt: skip

# Exhibits that are no sweep: caption, and where their numbers come from.
OTHERS = {
    "headline": ("Time per token of the compared methods", ""),
    "decomposition": ("Where the gain comes from, step by step", ""),
    "tables_found": ("Tables III and VI in the settings stated and found", ""),
    "tables_found_gpus": ("Every simulation of Tables III and VI against the GPUs", ""),
    "tables_found_trend": ("Table VI: the gain by network, taken apart", ""),
    "tables_sensitivity": ("How sharply the printed cells determine each setting", ""),
    "table8": ("Table VIII, running time of the algorithms", "timing/table8.parquet"),
    "offline_optimality": ("How far from optimal the placements are", "offline/optimality.parquet"),
    "offline_theorem_2": ("How tight Theorem 2's bound is", "offline/theorem_2.parquet"),
    "offline_solver_race": ("Formulations and solvers against time", "offline/solver_race.parquet"),
    "offline_relaxed_stopping": (
        "What stopping before the end of a range would gain",
        "offline/relaxed_stopping.parquet",
    ),
    "wan_swarms": ("Swarms as they run today, models against measurements", "wan_swarms.csv"),
    "offline_equal_blocks": ("Servers of equal memory", "offline/equal_blocks.parquet"),
}
# Families of exhibits: caption and group by the beginning of the name.
FAMILIES = {
    "headline": ("{}", "Headline"),
    "decomposition": ("{}", "Headline"),
    "table": ("{}", "Tables"),
    "offline_": ("{}", "Offline optimum"),
    "swarm_": ("Map of the swarm on {}", "Swarm maps"),
    "fit_": ("Performance model fitted to {}", "Measured devices"),
    "measured_": ("The paper's sweep with a measured device: {}", "Measured devices"),
    "wan_": ("{}", "Validation by others' measurements"),
    "testbed_": ("Genuine PETALS beside the simulator: {}", "Testbed"),
    "": ("{}", "Further studies"),
}


NUMBERS = {str(kind) for kind in (Kind.PRINTED, Kind.MEASURED, Kind.RUNNING_TIME)}


@dataclass(frozen=True)
class Exhibit:
    """A figure or table of the report with all that stands beside it."""

    name: str
    caption: str
    picture: str
    data: str
    command: str
    settings: str
    provenance: str
    group: str


def picture_uri(png: Path) -> str:
    """Picture as a data URI, no wider than needed and with few colours."""
    with Image.open(png) as image:
        width = min(PICTURE_WIDTH, image.width)
        small = image.convert("RGB").resize(
            (width, round(image.height * width / image.width)), Image.Resampling.LANCZOS
        )
        buffer = io.BytesIO()
        small.quantize(COLORS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def exhibit(png: Path, results: Results, folder: Path) -> Exhibit:
    """A picture with caption, data (relative to a folder), command, settings, provenance."""
    name = png.stem
    details, (caption, source) = "", OTHERS.get(name, ("", ""))
    words, group = next(FAMILIES[key] for key in FAMILIES if name.startswith(key))
    for sweep in results.caption.sweeps.values():
        if name == sweep.name:  # a table of all its networks
            caption = f"{sweep.heading}, published beside ours"
            source = f"sweeps/{sweep.name}_{next(iter(sweep.topologies))}.parquet"
            details = _details(sweep)
        elif (topology := name.removeprefix(f"{sweep.name}_")) in sweep.topologies:
            caption = f"{sweep.heading} — {sweep.topology(topology)}"
            source, details = f"sweeps/{name}.parquet", _details(sweep)
            group = "The paper's figures" if sweep.paper else "Further sweeps"
    if not caption:
        rest = name.removeprefix(next(key for key in FAMILIES if name.startswith(key)))
        caption = words.format(results.caption.topology(rest).replace("_", " "))
    return Exhibit(
        name=name,
        caption=caption,
        picture=picture_uri(png),
        data=Path(os.path.relpath(png.with_suffix(".csv"), folder)).as_posix(),
        command=f"snakemake --cores all {png.with_suffix('.pdf').as_posix()}",
        settings=details,
        provenance=_provenance(results.path(source)) if source else "",
        group=group,
    )


def _details(sweep: SweepCaption) -> str:
    return f"{sweep.details}; methods: {', '.join(sweep.methods.values())}."


def _provenance(path: Path) -> str:
    try:
        record = read_provenance(path)
    except BprrError:
        return ""
    return json.dumps({key: record[key] for key in PROVENANCE if key in record}, indent=1)


def explorer_data(results: Results) -> dict[str, Any]:
    """Means of every sweep with one numeric axis, for the curves that a reader picks."""
    study = results.caption
    sweeps: dict[str, Any] = {}
    for name, sweep in study.sweeps.items():
        curves = {
            topology: _curves(results.means(file), sweep)
            for topology in sweep.topologies
            for file in [f"sweeps/{name}_{topology}.parquet"]
            if sweep.x_label and results.path(file).exists()
        }
        if curves:
            sweeps[name] = {
                "title": sweep.heading,
                "axis": sweep.x_label,
                "methods": list(sweep.methods),
                "delays": {variant: sweep.delays(variant) for variant in sweep.variants},
                "curves": curves,
            }
    looks = style.method_styles(study.methods)
    return {
        "sweeps": sweeps,
        "networks": study.topologies,
        "metrics": {name: label for name, (label, _) in METRIC_LABELS.items()},
        "methods": {
            name: {"label": label, "color": looks[name].color}
            for name, label in study.methods.items()
        },
    }


def _curves(means: pd.DataFrame, sweep: SweepCaption) -> dict[str, Any]:
    """Points of every curve, by variant, metric and method.

    Four significant digits: the curves need no more, and the file stays small.
    """
    curves: dict[str, Any] = {}
    table = summarize(means, sweep.confidence, sweep.compared.baseline, list(METRIC_LABELS))
    for key, rows in table.groupby(["allocation_delays", "metric", "method"]):
        variant, metric, method = map(str, key)
        points = rows.sort_values("x")[["x", "mean", "ci_low", "ci_high"]]
        points[["mean", "ci_low", "ci_high"]] /= METRIC_LABELS[metric][1]
        curves.setdefault(variant, {}).setdefault(metric, {})[method] = [
            [None if pd.isna(value) else float(f"{value:.4g}") for value in row]
            for row in points.to_numpy()
        ]
    return curves


def sentences(pictures: Sequence[Path], study: StudyCaption) -> list[str]:
    """The answer, from the tables beside the pictures; empty where this run lacks one of them."""
    tables = {png.stem: png.with_suffix(".csv") for png in pictures}
    if not {"headline", "tables_found", "tables_found_gpus"} <= tables.keys():
        return []
    return four_sentences(
        pd.read_csv(tables["headline"]), *found_tables(tables["tables_found"]), study
    )


def answer(card: Scorecard, claim: str) -> dict[str, str]:
    """The answer of the first screen: one claim, with the delays and without."""
    (row,) = card.claims[card.claims["id"] == claim].to_dict("records")

    def percent(name: str) -> str:
        return with_interval(*(100 * row[f"{name}{end}"] for end in ("", "_low", "_high")))

    return {
        "statement": str(row["statement"]),
        "printed": str(row["published_text"]),
        "with_delays": percent("ours"),
        "without": percent("ours_without_delays"),
        "verdict": str(row["verdict"]),
    }


def write_page(
    card: Scorecard, register: Register, answered: str, pictures: Sequence[Path], output: Path
) -> None:
    """Write the report; pictures are PNGs in their order, ``answered`` the first screen's claim."""
    study = card.results.caption
    method, baseline = study.pair
    shown: dict[str, list[Exhibit]] = {}
    for png in pictures:
        item = exhibit(png, card.results, output.parent)
        shown.setdefault(item.group, []).append(item)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(
        files("bprr.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    text = template.render(
        answer=answer(card, answered),
        sentences=sentences(pictures, study),
        counts=card.counts,
        kinds=_texts(card.by_kind.reset_index()),
        total=len(card.claims),
        claims=_claims(card),
        decomposition=_texts(decomposition_text(card)),
        effects=_texts(effects_text(card)),
        register=[
            {**entry.model_dump(), "cause": card.causes[entry.id]}
            for entry in register.discrepancies
        ],
        groups=shown,
        explorer=_script_json(explorer_data(card.results)),
        provenance={"source": source_hash("bprr"), **package_versions()},
        study=study,
        method=method,
        baseline=baseline,
        interval=f" ± half the {study.level} confidence interval" if study.runs > 1 else "",
        folder=card.results.folder.as_posix(),
    )
    with replacing(output) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _claims(card: Scorecard) -> list[dict[Any, Any]]:
    """Claims as texts, sentences first, printed numbers after them."""
    texts: list[dict[Any, Any]] = claims_text(card).to_dict("records")
    ids = card.claims["id"].tolist()
    rows: list[dict[Any, Any]] = [
        {**row, "id": name, "kind": "number" if row["kind"] in NUMBERS else "sentence"}
        for name, row in zip(ids, texts, strict=True)
    ]
    return sorted(rows, key=lambda row: row["kind"] == "number")


def _texts(table: pd.DataFrame) -> dict[str, Any]:
    return {"header": list(table.columns), "rows": table.astype(str).to_numpy().tolist()}


def _script_json(data: Mapping[str, Any]) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
