"""Try a configuration before anything runs on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from bprr.ground.storage import replacing, source_hash
from bprr.settings.configuration import Settings

__all__ = ["check_settings", "put_in_place"]


def check_settings(settings: Settings) -> int:
    """Try every policy, device, model, topology and scenario that a configuration names.

    Returns
    -------
    int
        Number of points over all sweeps; one run of each was drawn.

    Raises
    ------
    InputError, InputErrors, InfeasibleError
        At the first thing that cannot be used.
    """
    # Imported here: they compile kernels, and a configuration checked before needs none of them.
    from bprr.scenario.draw import draw
    from bprr.study.sweep import catalogue, check_policies, sweep_points

    profiles = catalogue(settings)
    points = 0
    for name, sweep in settings.sweeps.items():
        for topology in sweep.topologies:
            found = sweep_points(settings, name, topology)
            check_policies(settings, [point.scenario for point in found])
            for point in found:
                draw(point.scenario, profiles, settings.seed, 0)
            points += len(found)
    return points


def put_in_place(settings: Settings, path: Path, inputs: Sequence[str]) -> None:
    """Write a configuration where the commands read it, once it has been tried.

    Parameters
    ----------
    path : Path
        Where to write; left as it is if it holds the same configuration.
    inputs : sequence of str
        Files that the configuration names. Only if one of them, the configuration or the source
        has changed since the last time is it tried again.
    """
    text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
    stamp = path.with_suffix(".checked")
    digest = hashlib.sha256(f"{source_hash()}{text}".encode())
    for name in inputs:
        digest.update(Path(name).read_bytes() if Path(name).exists() else b"")
    if not (path.exists() and stamp.exists() and stamp.read_text() == digest.hexdigest()):
        check_settings(settings)
        if not path.exists() or path.read_text() != text:
            with replacing(path) as unfinished:
                unfinished.write_text(text)
        with replacing(stamp) as unfinished:
            unfinished.write_text(digest.hexdigest())
