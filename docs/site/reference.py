"""Pages of reference, each from what it describes: parsers, schemas, documentation strings."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["api", "commands", "configuration", "rooms", "tables"]

# Beside what `import bprr` offers: what a policy derives from, and the formulas.
OPEN = (
    "bprr.placement.base",
    "bprr.routing.base",
    "bprr.simulation.admission.base",
    "bprr.simulation.charging.base",
    "bprr.service.base",
    "bprr.forwarding.base",
    "bprr.window.base",
    "bprr.speculation.base",
    "bprr.ground.schema",
    "bprr.ground.errors",
    "bprr.ground.performance",
)
LIMITS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minItems": "entries ≥",
    "minLength": "signs ≥",
}


def commands(root: Path) -> str:
    """Help of every command, by purpose."""
    from bprr.commands.main import COMMANDS, parser

    os.environ["COLUMNS"] = "88"  # width of the help
    top = parser()
    known = dict(_below(top, "bprr"))
    lines = ["# Command line", "", "Exit status: 0; 2 for bad input or an infeasible plan, 1 where"]
    lines += ["the machine or a check failed, 3 where the testbed cannot run, 130 if interrupted."]
    for purpose, modules in COMMANDS.items():
        lines += ["", f"## {purpose[0].upper()}{purpose[1:]}"]
        for module in modules:
            name = f"bprr {module.replace('_', '-')}"
            for below in [name, *(each for each in known if each.startswith(f"{name} "))]:
                lines += ["", f"### {below}", "", "```text", known[below].strip(), "```"]
    return "\n".join(lines) + "\n"


def _below(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, str]]:
    yield name, parser.format_help()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from _below(below, f"{name} {word}")


def configuration(root: Path) -> str:
    """Every key of every file that a user writes, from the schema (``bprr check --schema``)."""
    from bprr.study.checks import json_schema

    lines = ["# Configuration keys", "", "Made from the schema that every file is checked against"]
    lines += [
        "(`bprr check --schema`; `config/schema.json` for editors). Options of policies stand"
    ]
    lines += ["in [Policies](../docs/policies.md)."]
    parts: dict[str, Mapping[str, Any]] = {}
    shipped = {
        "configuration": "config/default.yaml",
        "scenario": "config/scenarios/scattered.yaml",
    }
    for name, schema in json_schema().items():
        text = (root / shipped[name]).read_text(encoding="utf-8") if name in shipped else ""
        lines += ["", f"## {name.capitalize()} file", "", *_section(schema, dict(_said(text)))]
        parts |= schema.get("$defs", {})
    lines += ["", "## Kinds"]
    for name in sorted(parts):
        if parts[name].get("properties"):
            lines += ["", f"### {name}", "", *_section(parts[name])]
    return "\n".join(lines) + "\n"


def _said(text: str) -> Iterator[tuple[str, str]]:
    """Keys of a file with what the comment behind them says."""
    for key, comment in re.findall(r"^(\w+):.*?  # ?(.*)$", text, re.MULTILINE):
        comment = re.sub(r"\bdocs/[\w-]+\.md(#\w+)", r"[\1](\1)", comment)
        yield key, re.sub(r"\bdocs/([\w-]+)\.md", r"[\1](../docs/\1.md)", comment)


def _section(schema: Mapping[str, Any], said: Mapping[str, str] | None = None) -> list[str]:
    lines = [_sentence(schema.get("description", "")), ""]
    lines += ["| key | kind | default | meaning |", "| --- | --- | --- | --- |"]
    required = schema.get("required", ())
    for key, value in schema.get("properties", {}).items():
        default = "required" if key in required else f"`{json.dumps(value.get('default'))}`"
        meaning = _sentence(value.get("description", "")) or (said or {}).get(key, "")
        cells = (f"`{key}`", _kind(value), default, meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return lines


def _sentence(text: str) -> str:
    """First paragraph of a documentation string, on one line."""
    return " ".join(inspect.cleandoc(text).split("\n\n")[0].split())


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value is, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if members := [*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())]:
        return " or ".join(dict.fromkeys(_kind(member) for member in members))
    limits = [f"{sign} {schema[key]:g}" for key, sign in LIMITS.items() if key in schema]
    kind = {"object": "mapping", "array": "list"}.get(schema.get("type", ""), schema.get("type"))
    if isinstance(schema.get("items"), Mapping):
        kind = f"list of {_kind(schema['items'])}"
    elif isinstance(schema.get("additionalProperties"), Mapping):
        kind = f"mapping to {_kind(schema['additionalProperties'])}"
    return " ".join(filter(None, [str(kind or "anything"), ", ".join(limits)]))


def tables(root: Path) -> str:
    """Columns of every table that one stage writes and another reads."""
    from bprr.ground import results
    from bprr.ground.tables import Schema

    meanings = dict(_meanings((root / "data/README.md").read_text(encoding="utf-8")))
    lines = ["# Data dictionary", "", "Made from the schemas that tables are checked against when"]
    lines += ["they are read (`bprr.ground.results`); tables may have more columns. Meanings and"]
    lines += ["units: [Data](../data/README.md); a column's name ends with its unit."]
    for name in results.__all__:
        schema = getattr(results, name)
        if not isinstance(schema, Schema):
            continue
        title = f"{schema.what[0].upper()}{schema.what[1:]}"
        lines += ["", f"## {title}", "", "| column | kind | missing | meaning |"]
        lines.append("| --- | --- | --- | --- |")
        for key, column in schema.columns.items():
            missing = "may be absent" if column.absent else "gaps" if column.gaps else "never"
            lines.append(f"| `{key}` | {column.kind} | {missing} | {meanings.get(key, '')} |")
    return "\n".join(lines) + "\n"


def _meanings(text: str) -> Iterator[tuple[str, str]]:
    """Columns with their meanings, of the tables in a page."""
    for names, meaning in re.findall(r"^\| ((?:`[^`|]+`(?:, )?)+) \| ([^|]*) \|", text, re.M):
        for name in re.findall(r"`(\w+)`", names):
            yield name, re.sub(r"\]\(\.\./docs/", "](../docs/", meaning)


def api(root: Path) -> str:
    """The public names of the package, and what policies are made of."""
    import bprr

    lines = [
        "Python",
        "======",
        "",
        "What ``import bprr`` offers",
        "---------------------------",
        "",
    ]
    for name in bprr.__all__:
        offered = getattr(bprr, name)
        kind = "autoclass" if inspect.isclass(offered) else "autofunction"
        lines += [f".. {kind}:: {offered.__module__}.{name}", ""]
    for module in OPEN:
        lines += [f"``{module}``", "-" * (len(module) + 4), "", f".. automodule:: {module}"]
        offered = [name for name in bprr.__all__ if getattr(bprr, name).__module__ == module]
        lines += [f"   :exclude-members: {', '.join(offered)}"] if offered else []  # stand above
        lines.append("")
    return "\n".join(lines)


def rooms(root: Path) -> str:
    """Every folder and module of the package in one line, as it says itself."""
    source = root / "src/bprr"
    lines = [
        "# Rooms of the package",
        "",
        "What each module says of itself; nothing imports from a",
    ]
    lines += ["room further down ([How it is built](../docs/structure.md))."]
    for folder in sorted({path.parent for path in source.rglob("*.py")}):
        name = ".".join(("bprr", *folder.relative_to(source).parts))
        lines += ["", f"## {name}", "", _first_line(folder / "__init__.py"), ""]
        for path in sorted(folder.glob("*.py")):
            if path.stem != "__init__":
                lines.append(f"- `{path.stem}`: {_first_line(path)}")
    return "\n".join(lines) + "\n"


def _first_line(path: Path) -> str:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return _sentence(ast.get_docstring(ast.parse(text)) or "").replace("``", "`")
