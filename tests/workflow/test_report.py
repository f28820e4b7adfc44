"""The report in a real browser: it opens without errors, its tables are filled, filters work."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from bprr.figures.caption import StudyCaption
from bprr.figures.from_settings import study_caption
from bprr.figures.headline import plot_headline
from bprr.figures.sweep import plot_sweep
from bprr.figures.text_table import TextTable
from bprr.ground.storage import write_table
from bprr.report.claims import each_claim, load_claims
from bprr.report.discrepancies import load_register
from bprr.report.page import write_page
from bprr.report.results import Results
from bprr.report.scorecard import make_scorecard
from bprr.settings.configuration import Settings, load_settings
from bprr.study.sweep import run_sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
PUBLISHED = Path("data/published/results.csv")
ARTEFACT = Path("data/published/artefact_sweeps.csv")

WIDTHS = (360, 390, 768, 1366, 1920)
WATCH = (
    "<script>const errors = []; addEventListener('error', e => errors.push(e.message));</script>"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a sweep of few points and runs."""
    folder = tmp_path_factory.mktemp("report")
    settings = small_settings()
    table = run_sweep(settings, "fig7", "abovenet")
    write_table(table, folder / "sweeps/fig7_abovenet.parquet", {"seed": settings.seed}, "")
    study = study_caption(settings)
    results = Results(folder, study, PUBLISHED)
    register = load_register(Path("discrepancies.yaml"))
    claims = load_claims(Path("claims.yaml"))
    card = make_scorecard(each_claim(claims, PUBLISHED, labels=study.labels), register, results)
    output = folder / "report.html"
    write_page(card, register, claims.answer, pictures(folder, study), output)
    return output


def pictures(folder: Path, study: StudyCaption) -> list[Path]:
    """A figure of the sweep, and pictures under other names."""
    sweep = folder / "sweeps/fig7_abovenet.parquet"
    _, _, png = plot_sweep(sweep, study, ARTEFACT, folder / "fig7_abovenet")
    others = [folder / f"{name}.png" for name in ("swarm_abovenet", "offline_theorem_2", "mine")]
    for other in others:
        shutil.copy(png, other)
    headline = plot_headline([sweep], study, folder / "headline")
    rows = [["PETALS", "ours", "1.2 ± 0.1"], ["PETALS", "published", "1.3"]]
    table = TextTable("Table", ["Method", "Quantity", "λ = 1/s\nl = 64"], rows, 2, [1, 1, 1])
    table.save(pd.DataFrame({"value": [1.2, 1.3]}), folder / "table3")
    return [png, *others, headline[2], folder / "table3.png"]


def small_settings() -> Settings:
    settings = load_settings(Path("config/default.yaml"))
    sweep = settings.sweeps["fig7"].model_copy(
        update={
            "topologies": ["abovenet"],
            "axes": {"fleet.servers": [10, 22]},
            "methods": ["petals", "proposed"],
        }
    )
    return settings.model_copy(update={"runs": 2, "sweeps": {"fig7": sweep}})


def test_page_stands_alone(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["']?https?:""", text)
    assert len(text) < 10e6
    captions = re.findall(r"<figcaption>([^\n]*?)</figcaption>", text)
    assert captions[-6:] == [
        "Time per token of the compared methods",
        "Figure 7 · Number of servers — AboveNet", "Map of the swarm on AboveNet",
        "How tight Theorem 2&#39;s bound is", "mine", "3",
    ]  # fmt: skip
    groups = re.findall(r'<h2 id="group\d+">(.*?)</h2>', text)
    assert groups == [
        "Headline", "The paper&#39;s figures", "Swarm maps", "Offline optimum", "Further studies",
        "Tables",
    ]  # fmt: skip
    assert '<th scope="row">ours</th><td>1.2 ± 0.1</td>' in text
    assert text.count('class="line ') == 2  # the first screen's picture, a line per variant
    (said,) = re.findall(r'id="fig7_abovenet">.*?alt="([^"]*)"', text, re.DOTALL)
    assert re.match(r"Time per token, Proposed / PETALS: [\d.]+ to [\d.]+ % \(Published", said)
    assert "Proposed / PETALS" in text
    assert not re.search(r"\bnan\b", text)


def dumped(document: Path, *options: str) -> str:
    """Document as a browser leaves it."""
    command = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={document.parent}/profile", "--window-size=1366,900", "--dump-dom",
        "--allow-file-access-from-files", "--virtual-time-budget=20000", *options,
        document.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True)
    return html.unescape(done.stdout)


def script(name: str) -> str:
    return f"<script>{Path(__file__).with_name(name).read_text(encoding='utf-8')}</script>"


def watched(page: Path, folder: Path, more: str = "") -> Path:
    text = page.read_text(encoding="utf-8").replace("<head>", "<head>" + WATCH, 1)
    path = folder / "watched.html"
    head, tail = text.rsplit("</body>", 1)
    path.write_text(f"{head}{more}</body>{tail}", encoding="utf-8")
    return path


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the report in")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_a_browser(page: Path, tmp_path: Path, scheme: str) -> None:
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    text = dumped(watched(page, tmp_path, script("reader.js")), *dark)
    found = re.search(r"OUTCOME (\{.*?\}) END</p>", text)
    assert found
    outcome = json.loads(found[1])
    assert outcome.pop("ready") == "yes"
    assert outcome["rows"] == outcome.pop("all") != 0
    assert 0 < outcome.pop("untestable") < outcome.pop("rows")
    assert outcome.pop("ratio") == "1"  # the first method is the baseline
    assert re.match(r"\w.* at \d+: [\d.]+", outcome.pop("value"))
    assert "sweep=fig7" in outcome["state"]
    assert "hide=petals" in outcome.pop("state")
    assert re.match(r"headline\.csv \d{3,}", outcome.pop("saved"))
    assert outcome == {
        "empty": 0, "found": 1, "none": 0, "counted": True, "uncounted": 0, "lines": 2,
        "redrawn": True, "numbers": True, "toggled": 1, "recalled": True, "enlarged": True,
        "nameless": 0, "unsaid": 0, "twice": 0, "levels": True, "outward": 0, "faint": [],
        "dark": scheme == "dark", "errors": [],
    }  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the report in")
def test_page_is_as_wide_as_the_window(page: Path, tmp_path: Path) -> None:
    assert wider_than_the_window(page, tmp_path) == []


def wider_than_the_window(page: Path, tmp_path: Path) -> list[list[int]]:
    """Widths at which a page would have to be scrolled sideways, with what it reaches."""
    watched(page, tmp_path)
    frames = tmp_path / "frames.html"
    text = script("frames.js").replace("WIDTHS", str(list(WIDTHS)))
    frames.write_text(f"<!DOCTYPE html><body>{text}", encoding="utf-8")
    found = re.search(r"<title>REACHED (.*?)</title>", dumped(frames))
    assert found
    reached = json.loads(found[1])
    assert sorted(width for width, _, _ in reached) == sorted(WIDTHS)
    return [row for row in reached if row[1] > row[0]]
