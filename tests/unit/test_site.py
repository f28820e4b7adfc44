"""Sources of the site: every page is taken in, and the reference has all that there is."""

import importlib
import re

import pytest

import bprr
from bprr.commands.main import COMMANDS
from bprr.ground.results import REQUESTS
from bprr.study.checks import json_schema


@pytest.fixture(scope="module")
def site(root, tmp_path_factory):
    """Folder of the sources, and pages by section."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "docs/site"))
        patch.setenv("COLUMNS", "88")
        return folder, importlib.import_module("build").lay_out(root, folder)


def test_every_page_of_the_documentation_is_in_one_section(root, site):
    folder, sections = site
    listed = [name for names in sections.values() for name in names]
    assert len(listed) == len(set(listed))
    pages = {f"docs/{path.name}" for path in (root / "docs").glob("*.md")} - {"docs/README.md"}
    assert pages | {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} <= set(listed)
    assert all((folder / name).is_file() for name in listed)
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert all(f"\n{name.rsplit('.', 1)[0]}\n" in index for name in listed)


def test_pages_have_neither_marks_nor_anchors_that_only_the_hosting_page_knows(site):
    folder, _ = site
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*.md")]
    assert not any("<!--=" in text or '<a id="' in text for text in texts)
    targets = re.findall(r"^\((\w+)\)=$", "\n".join(texts), re.MULTILINE)
    assert "d12" in targets
    assert len(targets) == len(set(targets))


def test_the_reference_has_every_command_key_column_and_name(site):
    folder, _ = site
    page = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("reference/*")}
    for modules in COMMANDS.values():
        for module in modules:
            assert f"\n### bprr {module.replace('_', '-')}\n" in page["commands"]
    for schema in json_schema().values():
        for part in (schema, *schema.get("$defs", {}).values()):
            for key in part.get("properties", ()):
                assert f"| `{key}` |" in page["configuration"]
    for column in REQUESTS.columns:
        assert re.search(rf"^\| `{column}` \|.*\| .+ \|$", page["tables"], re.MULTILINE), column
    for name in bprr.__all__:
        assert re.search(rf"::.*\.{name}$", page["api"], re.MULTILINE)
