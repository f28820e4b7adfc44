"""Manifest of all outputs: their hashes, so that two runs can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bprr.ground.files import read_json
from bprr.ground.schema import Strict
from bprr.ground.source import source_hash
from bprr.ground.storage import file_hash, package_versions, replacing
from bprr.settings.messages import validated

__all__ = ["Manifest", "differences", "manifest", "read_manifest", "write_manifest"]

BESIDE = (".png", ".csv", ".md")  # a figure's picture and numbers, a table's text


class Manifest(Strict):
    """What ``results/manifest.json`` holds."""

    files: dict[str, str]
    packages: dict[str, str]
    source: str


def manifest(files: Iterable[Path]) -> Manifest:
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
            named.update(one for one in beside if one.exists())
    return Manifest(
        files={str(path): file_hash(path) for path in sorted(named)},
        packages=package_versions(),
        source=source_hash("bprr"),
    )


def write_manifest(files: Iterable[Path], output: Path) -> None:
    """Write the manifest of some files as JSON."""
    text = json.dumps(manifest(files).model_dump(), indent=1, sort_keys=True)
    with replacing(output) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises
    ------
    InputError, InputErrors
        If the file cannot be read or is no manifest.
    """
    return validated(Manifest, read_json(path, "manifest"), path)


def differences(one: Path, other: Path) -> list[str]:
    """Outputs that two manifests do not agree on."""
    ours, theirs = (read_manifest(path).files for path in (one, other))
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
