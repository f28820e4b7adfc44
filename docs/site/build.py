"""Build the site: lay out pages and what they show, write the reference, run Sphinx.

The pages are the repository's own Markdown, laid out as they lie there, so that their links hold;
the reference is made from parsers, schemas and documentation strings and kept nowhere.

    python docs/site/build.py build/docs
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from reference import api, commands, configuration, rooms, tables

from bprr.report.readme import MARK

ROOT = Path(__file__).parents[2]
FIRST = ("README.md", "docs/tutorial.md")
HOW_TO = ("docs/bring-your-own.md", "docs/add-a-*.md", "docs/plan.md", "docs/clusters.md")
PROJECT = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "docs/structure.md", "data/**/*.md", "c*/*.md"),
    *("p*/*.md", "figures/*.md", "tests/golden/*.md", "examples/*.md"),
)
OVERVIEW = "docs/README.md"
ALL = ("docs/*.md",)
REFERENCE = {
    "commands.md": commands,
    "configuration.md": configuration,
    "tables.md": tables,
    "api.rst": api,
    "rooms.md": rooms,
}
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)")
ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')

__all__ = ["lay_out", "main"]


def lay_out(root: Path, folder: Path) -> dict[str, list[str]]:
    """Lay the site's sources out in an empty folder; return its pages by section.

    Parameters
    ----------
    root : Path
        The repository.
    folder : Path
        Where the sources go.
    """
    sections: dict[str, list[str]] = {}
    seen: set[str] = set()
    for title, patterns in (
        ("Start", FIRST), ("How to", HOW_TO), ("Project", PROJECT), ("Explanation", ALL)
    ):  # fmt: skip
        found = [path for pattern in patterns for path in sorted(root.glob(pattern))]
        names = [path.relative_to(root).as_posix() for path in found]
        sections[title] = [name for name in dict.fromkeys(names) if name not in seen]
        seen.update(names)
    texts = {name: (root / name).read_text(encoding="utf-8") for name in sorted(seen)}
    anchors = {anchor for text in texts.values() for anchor in ANCHOR.findall(text)}
    for name, text in texts.items():
        page = folder / name
        page.parent.mkdir(parents=True, exist_ok=True)
        orphan = "---\norphan: true\n---\n" if name == OVERVIEW else ""  # the index has it
        page.write_text(orphan + _for_sphinx(text, anchors), encoding="utf-8")
        for target in LINK.findall(text):
            shown = (root / name).parent / target
            if shown.is_file() and shown.suffix != ".md":
                copy = folder / shown.resolve().relative_to(root.resolve())
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(shown, copy)
    (folder / "reference").mkdir(parents=True)
    for name, write in REFERENCE.items():
        (folder / "reference" / name).write_text(write(root), encoding="utf-8")
    explained = sections.pop("Explanation")
    project = sections.pop("Project")
    sections |= {
        "Explanation": [name for name in explained if name != OVERVIEW],
        "Reference": [*(f"reference/{name}" for name in REFERENCE)],
        "Project": project,
    }
    (folder / "index.md").write_text(_index(texts[OVERVIEW], sections), encoding="utf-8")
    return sections


def _for_sphinx(text: str, anchors: set[str]) -> str:
    """Numbers without their comments, and anchors as targets that Sphinx resolves."""
    text = MARK.sub(lambda match: match[0].removeprefix(match[1]).removesuffix(match[3]), text)
    text = ANCHOR.sub(r"(\1)=", text)
    for anchor in anchors:
        text = re.sub(rf"\]\([\w./-]*#{anchor}\)", f"](#{anchor})", text)
    return text


def _index(welcome: str, sections: dict[str, list[str]]) -> str:
    lines = [re.sub(r"\]\((?!https?://)", "](docs/", welcome).replace("# Documentation", "# BPRR")]
    for title, names in sections.items():
        pages = [name.rsplit(".", 1)[0] for name in names]
        hidden = [f"```{{toctree}}\n:hidden:\n:caption: {title}\n", *pages, "```\n"]
        lines.append("\n".join(hidden))
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Build the site below a folder; warnings are errors."""
    from sphinx.cmd.build import build_main

    target = Path(arguments[0]).resolve()
    shutil.rmtree(target / "source", ignore_errors=True)
    lay_out(ROOT, target / "source")
    options = ["-W", "--keep-going", "-q", "-c", str(Path(__file__).parent)]
    places = [str(target / "source"), str(target / "html")]
    status = build_main([*options, "-d", str(target / "doctrees"), *places])
    if status == 0:
        print(f"{target / 'html' / 'index.html'}: {len(list(target.glob('html/**/*.html')))} pages")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
