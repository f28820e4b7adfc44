"""What stands beside a trace: device, model, versions, settings, hashes (no torch needed)."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bprr.ground.schema import Count, MemoryGb, NonNegative, Positive, Strict
from bprr.ground.source import source_hash
from bprr.ground.storage import package_versions
from bprr.measure.shapes import ModelShape

__all__ = ["Computed", "DeviceManifest", "MeasuredDevice", "NetworkManifest", "origin", "processor"]

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class MeasuredDevice(Strict):
    """The device as it describes itself."""

    kind: str
    name: str
    driver: str
    memory_gb: MemoryGb
    free_gb: MemoryGb
    threads: Count


class Computed(Strict):
    """What the shape of the blocks and the storage of their weights imply."""

    parameters_per_block: Count
    bytes_per_parameter: Positive
    block_gb: Positive
    cache_gb_per_token: Positive


class TraceFile(Strict):
    """The observations that the manifest belongs to."""

    file: str
    sha256: Sha256
    observations: Count


class _Manifest(Strict):
    version: Literal[1] = Field(alias="schema")
    measured_utc: str
    code_revision: str | None
    source_hash: str
    libraries: dict[str, str]
    network: str
    settings: dict[str, Any]
    duration_s: NonNegative
    trace: TraceFile


class NetworkManifest(_Manifest):
    """Beside what ``bprr measure-network`` observed."""

    kind: Literal["network"]


class DeviceManifest(_Manifest):
    """Beside what ``bprr measure`` observed."""

    kind: Literal["device"]
    device: MeasuredDevice
    model: ModelShape
    computed: Computed
    weights: str
    bytes_per_value: Count
    condition: dict[str, dict[str, float | None]]
    drift: dict[str, Any] = Field({}, description="in older traces; the rows of `reference` say it")


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _code_revision() -> str | None:
    """Git revision of this code, ``+changes`` if edited since; None outside a repository."""

    def git(*command: str) -> str:
        line = ["git", "-C", str(Path(__file__).parent), *command]
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", ".")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def origin(libraries: Sequence[str]) -> dict[str, object]:
    """Date, code and library versions of a run that starts now."""
    return {
        "measured_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "code_revision": _code_revision(),
        "source_hash": source_hash("bprr.measure"),
        "libraries": {"python": platform.python_version(), **package_versions(libraries)},
    }
