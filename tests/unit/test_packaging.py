"""What tools of others read: the citation, the catalogue's file, the changelog."""

import json
import re

import jsonschema
import pytest
import yaml

import bprr


@pytest.fixture
def citation(root):
    content = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    return json.loads(json.dumps(content, default=str))  # dates as texts, as the schema has them


def test_the_citation_is_sound_and_of_this_version(root, citation):
    schema = root / "tests/cases/citation/cff-1.2.0.schema.json"
    kind = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    assert [error.message for error in kind.iter_errors(citation)] == []
    assert citation["version"] == bprr.__version__
    wrong = {**citation, "authors": "somebody", "license": "none of SPDX"}
    assert {error.path[0] for error in kind.iter_errors(wrong)} == {"authors", "license"}


def test_the_changelog_has_every_release_and_what_is_new(root, citation):
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert releases[0] == "Unreleased" or releases[0].startswith(bprr.__version__)
    assert f"{bprr.__version__} ({citation['date-released']})" in releases


def test_the_catalogue_of_workflows_finds_what_it_asks_for(root):
    usage = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text("utf-8"))["usage"]
    assert set(usage) <= {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["report"] is True
    for path in ("workflow/Snakefile", "config/README.md", "README.md", "LICENSE"):
        assert (root / path).is_file()


def test_the_readme_is_short(root):
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= 200
