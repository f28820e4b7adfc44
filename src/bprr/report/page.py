"""The report: one HTML file that opens offline, everything in it read off results and figures."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from PIL import Image

from bprr.figures import style
from bprr.figures.labels import METRIC_LABELS, delays_label, figure_title, topology_label
from bprr.ground.errors import BprrError
from bprr.ground.storage import package_versions, read_provenance, replacing, source_hash
from bprr.report.discrepancies import Register
from bprr.report.results import Results
from bprr.report.scorecard import (
    Scorecard,
    claims_text,
    decomposition_text,
    effects_text,
    with_interval,
)
from bprr.settings.configuration import Settings
from bprr.study.summary import summarize

__all__ = ["write_page"]

PICTURE_WIDTH = 1200  # pixels: sharp on a laptop, small enough for one file
COLORS = 96
EXPLORED = ("per_token_ms", "ttft_ms", "remaining_per_token_ms")

# Figures that are no sweep of the configuration: caption, and where their numbers come from.
OTHERS = {
    "headline": ("Time per token of the proposed method relative to PETALS", ""),
    "decomposition": ("Where the gain comes from, step by step", ""),
    "table3": ("Table III, published beside ours", "sweeps/table3_cluster0.parquet"),
    "table6": ("Table VI, published beside ours", "sweeps/table6_abovenet.parquet"),
    "table8": ("Table VIII, running time of the algorithms", "timing/table8.parquet"),
    "offline_optimality": ("How far from optimal the placements are", "offline/optimality.parquet"),
    "offline_theorem_2": ("How tight Theorem 2's bound is", "offline/theorem_2.parquet"),
    "offline_solver_race": ("Formulations and solvers against time", "offline/solver_race.parquet"),
    "offline_relaxed_stopping": (
        "What stopping before the end of a range would gain",
        "offline/relaxed_stopping.parquet",
    ),
    "offline_equal_blocks": ("Servers of equal memory", "offline/equal_blocks.parquet"),
}
# The same for families of figures: caption and group by the beginning of the name.
STUDIES = {
    "swarm_": ("Map of the swarm on {}", "Swarm maps"),
    "fit_": ("Performance model fitted to {}", "Measured devices"),
    "measured_": ("The paper's sweep with a measured device: {}", "Measured devices"),
    "testbed_": ("Genuine PETALS beside the simulator: {}", "Testbed"),
}


@dataclass(frozen=True)
class Exhibit:
    """A figure of the report with all that stands beside it."""

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


def exhibits(
    pictures: Iterable[Path], settings: Settings, results: Results, folder: Path
) -> list[Exhibit]:
    """Every picture with caption, data (relative to a folder), command, settings, provenance."""
    swept = {
        f"{name}_{topology}": (name, topology)
        for name, sweep in settings.sweeps.items()
        for topology in sweep.topologies
    }
    found = []
    for png in pictures:
        name, source, details, group = png.stem, "", "", "Further studies"
        if name in swept:
            figure, topology = swept[name]
            caption = f"{figure_title(settings, figure)} — {topology_label(topology)}"
            source = f"sweeps/{name}.parquet"
            details = _sweep_details(settings, figure)
            group = "The paper's figures" if figure[3:].isdigit() else "Further sweeps"
        elif name in OTHERS:
            caption, source = OTHERS[name]
            group = "Tables" if name.startswith("table") else "Headline"
            group = "Offline optimum" if name.startswith("offline") else group
        else:
            prefix = next((key for key in STUDIES if name.startswith(key)), "")
            words, group = STUDIES.get(prefix, ("{}", group))
            rest = topology_label(name.removeprefix(prefix))
            caption = words.format(rest.replace("_", " "))
        found.append(
            Exhibit(
                name=name,
                caption=caption,
                picture=picture_uri(png),
                data=Path(os.path.relpath(png.with_suffix(".csv"), folder)).as_posix(),
                command=f"snakemake --cores all {png.with_suffix('.pdf').as_posix()}",
                settings=details,
                provenance=_provenance(results.path(source)) if source else "",
                group=group,
            )
        )
    return found


def _sweep_details(settings: Settings, figure: str) -> str:
    sweep = settings.sweeps[figure]
    methods = ", ".join(settings.methods[name].label for name in sweep.methods)
    changed = ", ".join(f"{key} = {value}" for key, value in sweep.set.items())
    axes = ", ".join(sweep.axes)
    return (
        f"Scenario {sweep.scenario}; varied: {axes}{'; set: ' + changed if changed else ''}; "
        f"{sweep.runs or settings.runs} runs; methods: {methods}."
    )


def _provenance(path: Path) -> str:
    try:
        record = read_provenance(path)
    except BprrError:
        return ""
    kept = (
        "scenario_hash",
        "seed",
        "runs",
        "source",
        "packages",
        "solver",
        "device",
        "measured_utc",
    )
    return json.dumps({key: record[key] for key in kept if key in record}, indent=1)


def explorer_data(settings: Settings, results: Results) -> dict[str, Any]:
    """Means of every sweep with one numeric axis, for the curves that a reader picks."""
    sweeps: dict[str, Any] = {}
    for name, sweep in settings.sweeps.items():
        if not sweep.x_label:
            continue
        for topology in sweep.topologies:
            file = f"sweeps/{name}_{topology}.parquet"
            if not results.path(file).exists():
                continue
            table = summarize(results.means(file), results.confidence, metrics=EXPLORED)
            entry = sweeps.setdefault(
                name,
                {
                    "title": figure_title(settings, name),
                    "axis": sweep.x_label,
                    "methods": sweep.methods,
                    "delays": {
                        variant: delays_label(settings, name, variant)
                        for variant in settings.allocation_delays
                    },
                    "curves": {},
                },
            )
            curves: dict[str, Any] = {}
            for key, rows in table.groupby(["allocation_delays", "metric", "method"]):
                variant, metric, method = map(str, key)
                unit = METRIC_LABELS[metric][1]
                points = rows.sort_values("x")[["x", "mean", "ci_low", "ci_high"]]
                points[["mean", "ci_low", "ci_high"]] /= unit
                curves.setdefault(variant, {}).setdefault(metric, {})[method] = _rounded(points)
            entry["curves"][topology] = curves
    used = list(settings.methods)
    looks = style.method_styles(used)
    return {
        "sweeps": sweeps,
        "networks": {name: topology_label(name) for name in settings.topologies},
        "metrics": {name: METRIC_LABELS[name][0] for name in EXPLORED},
        "methods": {
            name: {"label": settings.methods[name].label, "color": looks[name].color}
            for name in used
        },
    }


def _rounded(points: pd.DataFrame) -> list[list[float | None]]:
    """Four significant digits: the curves need no more, and the file stays small."""
    return [
        [None if pd.isna(value) else float(f"{value:.4g}") for value in row]
        for row in points.to_numpy()
    ]


def answer(card: Scorecard) -> dict[str, str]:
    """The answer of the first screen: the gain over all points, with the delays and without."""
    rows = card.claims.set_index("id")
    row = rows.loc["gain.figures"]
    if pd.isna(row["ours"]):
        return {}

    def percent(name: str) -> str:
        numbers = [100 * row[f"{name}{end}"] for end in ("", "_low", "_high")]
        return with_interval(*numbers)

    return {
        "published": str(row["published_text"]),
        "with_delays": percent("ours"),
        "without": percent("ours_without_delays"),
        "verdict": str(row["verdict"]),
    }


def write_page(
    card: Scorecard,
    register: Register,
    settings: Settings,
    results: Results,
    pictures: Iterable[Path],
    output: Path,
) -> None:
    """Write the report.

    Parameters
    ----------
    card : Scorecard
        The scorecard.
    register : Register
        Discrepancies.
    settings : Settings
        Whole configuration.
    results : Results
        What the figures were made from.
    pictures : iterable of Path
        PNGs, in the order in which they appear.
    output : Path
        The HTML file.
    """
    shown: dict[str, list[Exhibit]] = {}
    for exhibit in exhibits(pictures, settings, results, output.parent):
        shown.setdefault(exhibit.group, []).append(exhibit)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(
        files("bprr.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    text = template.render(
        answer=answer(card),
        counts=card.counts,
        total=len(card.claims),
        claims=_claims(card),
        decomposition=_texts(decomposition_text(card.decomposition)),
        effects=_texts(effects_text(card.effects)),
        register=[
            {**entry.model_dump(), "cause": card.causes[entry.id]}
            for entry in register.discrepancies
        ],
        groups=shown,
        explorer=_script_json(explorer_data(settings, results)),
        provenance={"source": source_hash(), **package_versions()},
        seed=settings.seed,
        runs=settings.runs,
        confidence=f"{100 * settings.confidence:g} %",
    )
    with replacing(output) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _claims(card: Scorecard) -> list[dict[Any, Any]]:
    """Claims as texts, sentences first, printed numbers after them."""
    texts: list[dict[Any, Any]] = claims_text(card.claims).to_dict("records")
    ids = card.claims["id"].tolist()
    rows: list[dict[Any, Any]] = [
        {**row, "id": name, "kind": "number" if name.startswith("table") else "sentence"}
        for name, row in zip(ids, texts, strict=True)
    ]
    return sorted(rows, key=lambda row: row["kind"] == "number")


def _texts(table: pd.DataFrame) -> dict[str, Any]:
    return {"header": list(table.columns), "rows": table.astype(str).to_numpy().tolist()}


def _script_json(data: Mapping[str, Any]) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
