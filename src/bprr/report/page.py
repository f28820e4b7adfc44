"""The report: one HTML file that opens offline, everything in it read off results and figures."""

from __future__ import annotations

import base64
import gzip
import io
import json
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
from bprr.report.findings import finding
from bprr.report.results import Results
from bprr.report.scorecard import Scorecard
from bprr.report.texts import claims_text, decomposition_text, effects_text, with_interval

__all__ = ["write_page"]

COLORS = 96
PROVENANCE = (
    "settings_hash", "data", "source", "packages", "solver", "device", "measured_utc",
)  # fmt: skip

QUEUES = "Servers that queue"  # what the study shows
# Exhibits that are no sweep: caption, and where their numbers come from.
OTHERS = {
    "headline": ("Time per token of the compared methods", ""),
    "decomposition": ("Where the gain comes from, step by step", ""),
    "tables_found": ("Tables III and VI in the settings stated and found", ""),
    "tables_found_gpus": ("Every simulation of Tables III and VI against the GPUs", ""),
    "tables_found_trend": ("Table VI: the gain by network, taken apart", ""),
    "service_models_table": ("Figures 7 to 10 by how servers compute", ""),
    "beyond": ("Better methods against load, and a bound", ""),
    "beyond_slo": ("Better methods: the rate within a limit on time per token", ""),
    "claims_by_service": ("Claims of the paper by how servers compute", ""),
    "decomposition_by_service": ("Where the gain comes from, by how servers compute", ""),
    "tables_queues": ("Tables III and VI against the GPUs, by how servers compute", ""),
    "tables_queues_lines": ("What the GPUs' columns say: time against output length", ""),
    "tables_sensitivity": ("How sharply the printed cells determine each setting", ""),
    "orders": ("One swarm whose servers join in other orders", ""),
    "sweep_times": (
        "Running time of the algorithms, Figures 7 to 10",
        "timing/sweeps.parquet",
    ),
    "two_modes": ("Means of runs that fall into two groups", ""),
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
    "service_models_table": ("{}", QUEUES),
    "service_models": ("Faster than PETALS? By how servers compute", "Headline"),
    "beyond": ("{}", QUEUES),
    "claims_by_service": ("{}", QUEUES),
    "decomposition_by_service": ("{}", QUEUES),
    "tables_queues": ("{}", QUEUES),
    "headline": ("{}", "Headline"),
    "decomposition": ("{}", "Headline"),
    "table": ("{}", "Tables"),
    "two_modes": ("{}", "Tables"),
    "orders": ("{}", "Further sweeps"),
    "sweep_times": ("{}", "The paper's figures"),
    "offline_": ("{}", "Offline optimum"),
    "swarm_": ("Map of the swarm on {}", "Swarm maps"),
    "fit_": ("Performance model fitted to {}", "Measured devices"),
    "measured_": ("The paper's sweep with a measured device: {}", "Measured devices"),
    "wan_": ("{}", "Validation by others' measurements"),
    "testbed_loaded_": ("Genuine PETALS under load: {}", "Testbed"),
    "testbed_": ("Genuine PETALS beside the simulator: {}", "Testbed"),
    "": ("{}", "Further studies"),
}


NUMBERS = {str(kind) for kind in (Kind.PRINTED, Kind.MEASURED, Kind.RUNNING_TIME)}


@dataclass(frozen=True)
class Exhibit:
    """A figure, or a table instead of one, with all that stands beside it."""

    name: str
    caption: str
    finding: str
    picture: str
    size: tuple[int, int]
    table: dict[str, Any]
    numbers: str
    command: str
    settings: str
    provenance: str
    group: str


def picture_uri(png: Path) -> tuple[str, tuple[int, int]]:
    """Picture as a data URI, with few colours, and its size (pixels)."""
    with Image.open(png) as image:
        buffer = io.BytesIO()
        few = image.convert("RGB").quantize(
            COLORS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
        few.save(buffer, "PNG")
        return f"data:image/png;base64,{_base64(buffer.getvalue())}", image.size


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def table_of(markdown: Path) -> dict[str, Any]:
    """Table of a Markdown file as `bprr.figures.text_table` writes it: rows under what they share.

    All but the last of the leading columns, which say the same over several rows, become headings.
    """
    _, lines, note = markdown.read_text(encoding="utf-8").split("\n\n", 2)
    header, ruler, *rows = (line.strip("| ").split(" | ") for line in lines.split("\n"))
    named = ruler.index("---:") - 1  # the column that names a row
    groups: dict[str, list[list[str]]] = {}
    for row in rows:
        groups.setdefault(" · ".join(row[:named]), []).append(row[named:])
    return {"header": header[named:], "groups": groups, "note": note.strip()}


def exhibit(png: Path, results: Results) -> Exhibit:
    """A picture, or its table, with caption, finding, command, settings, provenance."""
    name, study = png.stem, results.caption
    details, (caption, source) = "", OTHERS.get(name, ("", ""))
    words, group = next(FAMILIES[key] for key in FAMILIES if name.startswith(key))
    for sweep in study.sweeps.values():
        if name == sweep.name and not caption:  # a table of all its networks
            caption = f"{sweep.heading}, published beside ours"
            source = f"sweeps/{sweep.name}_{next(iter(sweep.topologies))}.parquet"
            details = _details(sweep)
        elif (topology := name.removeprefix(f"{sweep.name}_")) in sweep.topologies:
            caption = f"{sweep.heading} — {sweep.topology(topology)}"
            source, details = f"sweeps/{name}.parquet", _details(sweep)
            group = "The paper's figures" if sweep.paper else "Further sweeps"
    if not caption:
        rest = name.removeprefix(next(key for key in FAMILIES if name.startswith(key)))
        caption = words.format(study.topology(rest).replace("_", " "))
    csv, markdown = png.with_suffix(".csv"), png.with_suffix(".md")
    as_table = group in ("Tables", "Testbed", QUEUES) and markdown.exists()
    picture, size = ("", (0, 0)) if as_table else picture_uri(png)
    return Exhibit(
        name=name,
        caption=caption,
        finding=finding(name, pd.read_csv(csv), study) if csv.exists() else "",
        picture=picture,
        size=size,
        table=table_of(markdown) if as_table else {},
        numbers=_base64(gzip.compress(csv.read_bytes(), mtime=0)) if csv.exists() else "",
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
    if "settings_hash" not in record:
        return "Its table does not say what settings it was made from."
    return json.dumps({key: record[key] for key in PROVENANCE if key in record}, indent=1)


def explorer_data(pictures: Sequence[Path], study: StudyCaption) -> dict[str, Any]:
    """Means of every sweep that a figure shows, for the curves that a reader picks."""
    sweeps: dict[str, Any] = {}
    csv = {png.stem: png.with_suffix(".csv") for png in pictures}
    for name, sweep in study.sweeps.items():
        curves = {
            topology: _curves(pd.read_csv(file), sweep)
            for topology in sweep.topologies
            if sweep.x_label and (file := csv.get(f"{name}_{topology}"))
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
        "baseline": study.pair[1],
        "methods": {
            name: {"label": label, "color": looks[name].color}
            for name, label in study.methods.items()
        },
    }


def _curves(table: pd.DataFrame, sweep: SweepCaption) -> dict[str, Any]:
    """Points of every curve by variant, metric and method: x, mean, ratio to the baseline.

    Mean and ratio come with their intervals. Four significant digits: the curves need no more, and
    the file stays small.
    """
    curves: dict[str, Any] = {}
    values = ["mean", "ci_low", "ci_high"]
    ratios = [f"ratio_to_{sweep.compared.baseline}", "ratio_ci_low", "ratio_ci_high"]
    table = table[table["metric"].isin(list(METRIC_LABELS))]
    for key, rows in table.groupby(["allocation_delays", "metric", "method"]):
        variant, metric, method = map(str, key)
        points = rows.sort_values("x").reindex(columns=["x", *values, *ratios])
        points[values] /= METRIC_LABELS[metric][1]
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


def glance(pictures: Sequence[Path], study: StudyCaption) -> list[dict[str, Any]]:
    """Picture of the first screen: ratios of the headline by network and variant, in percent."""
    csv = next((png.with_suffix(".csv") for png in pictures if png.stem == "headline"), None)
    if csv is None or not csv.exists():
        return []
    table = pd.read_csv(csv).dropna(subset="ratio")
    table["percent"] = (100 * table["ratio"]).round(1)
    return [
        {
            "network": study.topology(network),
            "variant": study.variants[variant].label,
            "free": variant == study.undelayed,
            "low": rows["percent"].min(),
            "middle": rows["percent"].median(),
            "high": rows["percent"].max(),
        }
        for network in study.topologies
        for variant in study.variants
        if len(
            rows := table[table["topology"].eq(network) & table["allocation_delays"].eq(variant)]
        )
    ]


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
        item = exhibit(png, card.results)
        shown.setdefault(item.group, []).append(item)
    first = {"Headline": 0, QUEUES: 1}
    shown = dict(sorted(shown.items(), key=lambda each: first.get(each[0], 2)))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(
        files("bprr.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    text = template.render(
        answer=answer(card, answered),
        sentences=sentences(pictures, study),
        glance=glance(pictures, study),
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
        queues=QUEUES,
        explorer=_script_json(explorer_data(pictures, study)),
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
