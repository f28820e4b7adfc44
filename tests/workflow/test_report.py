"""The report in a real browser: it opens without errors, its tables are filled, filters work."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bprr.figures.caption import StudyCaption
from bprr.figures.from_settings import study_caption
from bprr.figures.sweep import plot_sweep
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

# What a reader does, with the outcome written where the dumped document shows it.
READER = """
<script>
const outcome = [];
const note = (name, value) => outcome.push(name + "=" + value);
const set = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("input")); };
const visible = () => rows.filter(row => !row.hidden).length;
note("ready", document.documentElement.dataset.ready);
note("rows", rows.length);
note("empty", rows.filter(row => !row.cells[0].textContent.trim()).length);
set("kind", ""); note("all", visible());
set("verdict", "not testable here"); note("untestable", visible());
set("search", "NP-hard"); note("found", visible());
set("search", "no such claim"); note("none", visible());
note("lines", document.querySelectorAll("#chart polyline").length);
const before = $("chart").innerHTML;
set("e-delays", "none"); note("redrawn", before !== $("chart").innerHTML);
note("numbers", document.querySelectorAll("#numbers td").length > 0);
note("wide", document.documentElement.scrollWidth > innerWidth);
note("errors", errors.length);
const line = document.createElement("p");
line.textContent = "OUTCOME " + outcome.join(" ");
document.body.append(line);
</script>
"""
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
    return [png, *others]


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
    text = page.read_text()
    assert not re.findall(r"""(?:src|href)=["']?https?:""", text)
    assert len(text) < 10e6
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert captions == [
        "Figure 7 · Number of servers — AboveNet", "Map of the swarm on AboveNet",
        "How tight Theorem 2&#39;s bound is", "mine",
    ]  # fmt: skip
    groups = re.findall(r'<h2 id="group\d+">(.*?)</h2>', text)
    assert groups == [
        "The paper&#39;s figures", "Swarm maps", "Offline optimum", "Further studies",
    ]  # fmt: skip
    assert "Proposed / PETALS" in text
    assert not re.search(r"\bnan\b", text)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the report in")
@pytest.mark.parametrize("width", [400, 1366])
def test_page_in_a_browser(page: Path, tmp_path: Path, width: int) -> None:
    text = page.read_text()
    driven = tmp_path / "driven.html"
    text = text.replace("<head>", "<head>" + WATCH, 1).replace("</body>", READER + "</body>", 1)
    driven.write_text(text)
    command = [
        str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={tmp_path}/profile", f"--window-size={width},900", "--dump-dom",
        driven.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<p>OUTCOME (.*?)</p>", done.stdout)
    assert found, done.stderr
    outcome = dict(part.split("=") for part in found[1].split())
    assert outcome["ready"] == "yes"
    assert outcome["errors"] == "0"
    assert outcome["rows"] == outcome["all"] != "0"
    assert outcome["empty"] == "0"
    assert 0 < int(outcome["untestable"]) < int(outcome["rows"])
    assert outcome["found"] == "1"
    assert outcome["none"] == "0"
    assert outcome["lines"] == "2"
    assert outcome["redrawn"] == "true"
    assert outcome["numbers"] == "true"
    assert outcome["wide"] == "false"
