"""Numbers in prose: taken from results, kept in one small file, filled into Markdown.

A number stands between two comments that name it, as in
``<!--=offline.worst-->4.5 %<!--=-->``.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from bprr.figures.answer import answer, found_tables, percent, percents
from bprr.figures.from_settings import study_caption
from bprr.ground.errors import InputError
from bprr.ground.storage import read_table, replacing
from bprr.settings.configuration import load_settings
from bprr.testbed.records import read_run
from bprr.testbed.report import case_means

__all__ = ["FIGURES", "KEPT", "PAGES", "SOURCES", "fill", "numbers", "write_readme"]

FIGURES = ("headline", "offline_optimality", "testbed_loaded_cdf", "wan_swarms")
STUDIED = ("service_models", "beyond", "living")  # by `make study`, kept where it has not been run
KEPT = Path("figures/readme")  # the pictures, and numbers.json
PAGES = ("*.md", "docs/*.md", "data/*.md", "tests/golden/*.md")
MARK = re.compile(r"(<!--=([\w.]+)-->).*?(<!--=-->)", re.DOTALL)


def _delays(path: Path) -> dict[str, str]:
    caption = study_caption(load_settings(path), [])
    paid_s = caption.variants[caption.delayed or ""].delays_s
    return {f"delays.{name}": f"{highest:g} s" for name, (_, highest) in paid_s.items()}


def _headline(path: Path) -> dict[str, str]:
    caption = study_caption(load_settings(), [])
    table = pd.read_csv(path)
    load = table[(table["figure"] == "fig9") & (table["allocation_delays"] == caption.undelayed)]
    lowest = load[load["x"] == load["x"].min()]
    return {f"light.{row['topology']}": percent(row["ratio"]) for row in lowest.to_dict("records")}


def _answer(path: Path) -> dict[str, str]:
    caption = study_caption(load_settings(), [])
    sentences = answer(pd.read_csv(path.with_name("headline.csv")), *found_tables(path), caption)
    return {f"answer.{number}": text for number, text in enumerate(sentences, start=1)}


def _offline(path: Path) -> dict[str, str]:
    table = read_table(path)
    excess = table.loc[table["method"] == "cg_bprr", "above_optimum_percent"] / 100
    petals = table[table["method"] == "petals"].groupby(["servers", "family"])
    means = petals["above_optimum_percent"].mean() / 100
    texts = {
        "offline.instances": str(len(excess)),
        "offline.proven": percent(
            (table["status"][table["method"] == "optimum"] == "optimal").mean()
        ),
        "offline.hit": percent((excess < 1e-9).mean()),
        "offline.mean": f"{100 * excess.mean():.1f} %",
        "offline.worst": f"{100 * excess.max():.1f} %",
    }
    for servers, rows in means.groupby("servers"):
        texts[f"offline.petals_{servers}"] = percents(rows)
    return texts


def _testbed(path: Path) -> dict[str, str]:
    means = case_means(read_run(path.parent).requests)
    table, contended = (means[means["group"] == name] for name in ("table", "contention"))
    errors = {name: table[f"{name}_ms_error"].abs() for name in ("per_token", "ttft")}
    crowded = contended["per_token_ms_error"].abs().sort_values()
    texts = {
        "testbed.cases": str(len(table)),
        "testbed.sessions": str(table["requests"].sum()),
        "testbed.crowded_most": percent(crowded.iloc[-2]),
        "testbed.crowded_worst": percent(crowded.iloc[-1]),
    }
    for name, error in errors.items():
        texts[f"testbed.{name}"] = f"{100 * error.median():.1f} %"
        texts[f"testbed.{name}.worst"] = f"{100 * error.max():.1f} %"
    return texts


def _loaded(path: Path) -> dict[str, str]:
    cases = pd.read_csv(path)
    served = cases[cases["model"] == "serial"]
    texts = {"loaded.cases": str(len(served)), "loaded.sessions": str(served["sessions"].sum())}
    for model, name in (("serial", "serial"), ("independent", "paper"), ("batched_0.1", "batched")):
        for metric in ("per_token", "ttft"):
            error = cases.loc[cases["model"] == model, f"{metric}_ms_error"].abs()
            texts[f"loaded.{name}.{metric}"] = f"{100 * error.median():.1f} %"
            texts[f"loaded.{name}.{metric}.worst"] = f"{100 * error.max():.0f} %"
    return texts


def _rivals(path: Path) -> dict[str, str]:
    sessions = pd.read_csv(path)
    served = sessions[sessions["status"] == "ok"]
    per_token_ms = served["completion_ms"] / served["output_tokens"]
    means = per_token_ms.groupby([served["case"], served["arm"]]).mean().unstack()
    texts = {"rivals.cases": str(len(means)), "rivals.sessions": f"{len(sessions):,}"}
    for name in ("pipe", "pipe_f"):
        ratio = means[name] / means["petals"]
        texts[f"rivals.{name}"] = f"{ratio.min():.2f} to {ratio.max():.2f}"
    return texts


def _scorecard(path: Path) -> dict[str, str]:
    kinds = json.loads(path.read_text(encoding="utf-8"))["kinds"]
    texts = {"claims.all": str(sum(sum(counts.values()) for counts in kinds.values()))}
    for kind, counts in kinds.items():
        parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
        texts[f"claims.{'_'.join(kind.split()[:2])}"] = ", ".join(parts)
    return texts


def _disk(path: Path) -> dict[str, str]:
    folders = (path.parent, path.parents[1] / "figures")
    used = sum(file.stat().st_size for folder in folders for file in folder.rglob("*.*"))
    return {"disk.outputs": f"{-(-used // 10_000_000) * 10} MB"}


def _golden(path: Path) -> dict[str, str]:
    return {"golden.cases": str(len(json.loads(path.read_text(encoding="utf-8"))["cases"]))}


def _campaign(path: Path) -> dict[str, str]:
    parts = json.loads(path.read_text(encoding="utf-8"))
    texts = {
        "campaign.inputs.longest": f"{parts['inputs']['longest_s']:.0f} s",
        "campaign.inputs.memory": f"{parts['inputs']['most_gb']:.1f} GB",
    }
    for name, part in parts.items():
        texts |= {f"campaign.{name}": str(part["tries"])}
        texts |= {f"campaign.{name}.faults": str(part["faults"])}
    return texts


SOURCES: dict[str, Callable[[Path], dict[str, str]]] = {
    "config/default.yaml": _delays,
    "figures/headline.csv": _headline,
    "figures/tables_found.csv": _answer,
    "figures/testbed_loaded_scatter.csv": _loaded,
    "results/offline/optimality.parquet": _offline,
    "results/scorecard.json": _scorecard,
    "results/manifest.json": _disk,
    "data/traces/testbed/requests.csv": _testbed,
    "tests/golden/cases.json": _golden,
    "data/traces/testbed_rivals/sessions.csv": _rivals,
    "tests/campaign/figures.json": _campaign,
}


def numbers(root: Path) -> dict[str, str]:
    """Numbers of the prose, as texts, by name.

    Raises
    ------
    InputError
        If a source is missing.
    """
    texts: dict[str, str] = {}
    for name, read in SOURCES.items():
        if not (root / name).is_file():
            raise InputError(root / name, "file", "missing", "the outputs of a whole run")
        texts |= read(root / name)
    return texts


def fill(text: str, known: Mapping[str, str], where: object) -> str:
    """Text with every marked number as it is known.

    Raises
    ------
    InputError
        If a name is unknown.
    """

    def put(match: re.Match[str]) -> str:
        if match[2] not in known:
            raise InputError(where, "number", match[2], ", ".join(known))
        return f"{match[1]}{known[match[2]]}{match[3]}"

    return MARK.sub(put, text)


def write_readme(root: Path) -> list[Path]:
    """Copy the pictures, keep the numbers, and fill them into every page; return what changed."""
    known = numbers(root)
    texts = {root / KEPT / "numbers.json": json.dumps(known, indent=1, ensure_ascii=False) + "\n"}
    for page in (page for pattern in PAGES for page in sorted(root.glob(pattern))):
        texts[page] = fill(page.read_text(encoding="utf-8"), known, page)
    studied = [figure for figure in STUDIED if (root / f"figures/{figure}.png").is_file()]
    for figure in (*FIGURES, *studied):
        shutil.copyfile(root / f"figures/{figure}.png", root / KEPT / f"{figure}.png")
    changed = []
    for path, text in texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            changed.append(path)
            with replacing(path) as unfinished:
                unfinished.write_text(text, encoding="utf-8")
    return changed
