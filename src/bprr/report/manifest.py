"""Manifest of all outputs: their hashes, so that two runs can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bprr.ground.storage import file_hash, package_versions, replacing, source_hash

__all__ = ["differences", "manifest", "write_manifest"]

BESIDE = (".png", ".csv", ".md")  # a figure's picture and numbers, a table's text


def manifest(files: Iterable[Path]) -> dict[str, object]:
    """Hashes of files and of what stands beside a figure's PDF.

    Parameters
    ----------
    files : iterable of Path
        Outputs; folders and files that do not exist are refused by the system.
    """
    named: set[Path] = set()
    for path in files:
        named.add(path)
        if path.suffix == ".pdf":
            beside = (path.with_suffix(suffix) for suffix in BESIDE)
            named.update(found for found in beside if found.exists())
    return {
        "files": {str(path): file_hash(path) for path in sorted(named)},
        "packages": package_versions(),
        "source": source_hash(),
    }


def write_manifest(files: Iterable[Path], output: Path) -> None:
    """Write the manifest of some files as JSON."""
    text = json.dumps(manifest(files), indent=1, sort_keys=True)
    with replacing(output) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def differences(one: Path, other: Path) -> list[str]:
    """Outputs that two manifests do not agree on."""
    ours, theirs = (json.loads(path.read_text())["files"] for path in (one, other))
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
