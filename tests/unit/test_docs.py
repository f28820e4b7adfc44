"""README and documentation: numbers as in the results, links that lead somewhere, sources named."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from bprr.ground.errors import InputError
from bprr.ground.storage import read_provenance
from bprr.report.readme import FIGURES, KEPT, MARK, PAGES, SOURCES, fill, write_readme
from bprr.settings.configuration import load_settings
from bprr.study.slices import sweep_slice

MADE_BY_A_RUN = ("figures/", "results/")
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
# Paths of pages as comments, settings and data name them.
NAMED = re.compile(r"\bdocs/(\w+\.md)(?:#([\w-]+))?")


@pytest.fixture(scope="module")
def pages(root):
    found = [*(page for pattern in PAGES for page in root.glob(pattern)), *root.glob("data/*/*.md")]
    return {page: page.read_text(encoding="utf-8") for page in found}


@pytest.fixture(scope="module")
def kept(root):
    return json.loads((root / KEPT / "numbers.json").read_text(encoding="utf-8"))


def anchors(text):
    """Anchors of a page as the hosting page makes them, and those that it sets itself."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([\w-]+)">', text))


@pytest.fixture
def shipped_run(at_root):
    """Whether the results at hand are of the shipped settings, so that the pages are about them."""
    sweep = at_root / "results/sweeps/fig9_abovenet.parquet"
    planned = sweep_slice(load_settings(), "fig9", "abovenet")
    return sweep.is_file() and read_provenance(sweep).get("settings_hash") == planned.digest


def test_pages_have_the_kept_numbers(pages, kept):
    drifted = [page.name for page, text in pages.items() if fill(text, kept, page) != text]
    assert not drifted, "make readme"


def test_every_kept_number_is_used(pages, kept):
    assert set(kept) == {name for text in pages.values() for _, name, _ in MARK.findall(text)}


@pytest.mark.parametrize("source", SOURCES)
def test_kept_numbers_are_those_of_the_results(root, kept, shipped_run, source):
    if source.startswith(MADE_BY_A_RUN) and not shipped_run:
        pytest.skip("no results of the shipped settings here")
    for name, text in SOURCES[source](root / source).items():
        if not name.startswith("disk."):
            assert kept[name] == text, f"{name}: make readme"


@pytest.mark.parametrize("figure", FIGURES)
def test_pictures_are_those_of_the_results(root, shipped_run, figure):
    if not shipped_run:
        pytest.skip("no results of the shipped settings here")
    picture = root / f"figures/{figure}.png"
    assert (root / KEPT / picture.name).read_bytes() == picture.read_bytes(), "make readme"


def test_a_changed_number_is_seen_and_an_unknown_one_refused():
    text = "in <!--=a.b-->5 %<!--=--> and <!--=c-->1<!--=-->"
    assert fill(text, {"a.b": "5 %", "c": "1"}, "page") == text
    assert fill(text, {"a.b": "6 %", "c": "1"}, "page") == text.replace("5 %", "6 %")
    with pytest.raises(InputError, match=r"page: number: got 'c'"):
        fill(text, {"a.b": "5 %"}, "page")


def test_without_a_whole_run_nothing_is_written(tmp_path):
    (tmp_path / "README.md").write_text("<!--=headline.with-->5 %<!--=-->", encoding="utf-8")
    with pytest.raises(InputError, match="the outputs of a whole run"):
        write_readme(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["README.md"]


def test_no_line_begins_with_a_mark(pages):
    """It would end the paragraph: Markdown takes a line that begins with a comment for HTML."""
    assert [page.name for page, text in pages.items() if re.search(r"^\s*<!--", text, re.M)] == []


def test_links_lead_somewhere(pages):
    broken = []
    for page, text in pages.items():
        for target, anchor in LINK.findall(text):
            path = (page.parent / target).resolve() if target else page
            if not path.exists() or (
                anchor and anchor not in anchors(path.read_text(encoding="utf-8"))
            ):
                broken.append(f"{page.name}: {target}#{anchor}")
    assert broken == []


def test_pages_named_in_code_and_settings_exist(root):
    files = [*root.glob("*.yaml")]
    for folder in ("src", "config", "data", "workflow"):
        files += [path for path in (root / folder).rglob("*") if path.suffix in {".py", ".yaml"}]
    broken = []
    for path in files:
        for page, anchor in NAMED.findall(path.read_text(encoding="utf-8")):
            found = root / "docs" / page
            if not found.is_file() or (
                anchor and anchor not in anchors(found.read_text(encoding="utf-8"))
            ):
                broken.append(f"{path.name}: docs/{page}#{anchor}")
    assert broken == []


def test_every_discrepancy_has_its_anchor(root):
    text = (root / "docs/discrepancies.md").read_text(encoding="utf-8")
    found = re.findall(r'<a id="d(\d+)"></a>\n## D(\d+) ', text)
    assert found == [(str(number), str(number)) for number in range(1, 15)]


def test_constants_are_those_of_the_data(root):
    page = (root / "docs/constants.md").read_text(encoding="utf-8")
    numbers = set(re.findall(r"\d+(?:\.\d+)?", page))
    for name in ("devices", "models"):
        data = yaml.safe_load((root / f"data/published/{name}.yaml").read_text(encoding="utf-8"))
        for entry in data if name == "devices" else ["bloom_176b"]:
            for key, value in data[entry].items():
                if isinstance(value, (int, float)) and value and "clustered" not in entry:
                    assert any(float(number) == value for number in numbers), (entry, key)


def test_sections_of_nothing_are_not_cited(root, pages):
    """A bare section number is of no document that a reader has; pages and anchors are named."""
    files = [*pages, *(root / "data").rglob("*.yaml")]
    cited = re.compile(r"§ ?\d|\bsections? \d|specification, |paper\.md", re.IGNORECASE)
    assert [path.name for path in files if cited.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("command", "path"),
    [(["policies"], "docs/policies.md"), (["check", "--schema"], "config/schema.json")],
)
def test_written_pages_are_what_the_command_writes(root, command, path):
    run = subprocess.run(
        [sys.executable, "-m", "bprr", *command], capture_output=True, text=True, check=True
    )
    assert run.stdout == (root / path).read_text(encoding="utf-8"), f"bprr {' '.join(command)}"


def test_every_key_says_what_it_is(root):
    """Of files and of policies' options; of what kind an entry is, is said by the kind itself."""

    def keys(part, above=""):
        if isinstance(part, dict):
            for name, key in part.get("properties", {}).items():
                if "const" not in key:
                    yield f"{above}.{name}", key.get("description", "")
        for name, below in part.items() if isinstance(part, dict) else enumerate(part):
            if isinstance(below, dict | list):
                yield from keys(below, f"{above}.{name}")

    schema = json.loads((root / "config/schema.json").read_text(encoding="utf-8"))
    said = dict(keys(schema))
    assert ".scenario.$defs.Fleet.servers" in said
    assert [key for key, text in said.items() if not text] == []


def test_a_door_takes_as_long_in_the_readme_as_in_the_makefile(root):
    readme, makefile = ((root / name).read_text("utf-8") for name in ("README.md", "Makefile"))
    doors = dict(re.findall(r"^([a-z-]+): .*## .*\(about ([\d to]+) min", makefile, re.MULTILINE))
    row = re.compile(r"^\| ((?:`make [\w-]+`(?:, )?)+) \|[^|]*\| ([^|]+) \|", re.MULTILINE)
    told = {}
    for names, minutes in row.findall(readme):
        told |= zip(re.findall(r"make ([\w-]+)", names), minutes.split(", "), strict=True)
    assert {"reproduce", "smoke", "test"} <= set(told)
    assert {name: doors[name] for name in told} == told
