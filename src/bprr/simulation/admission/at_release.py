"""The offline setting: all requests are there at once, none backs off."""

from __future__ import annotations

from typing import NamedTuple

from bprr.ground.compiled import compiled, state_of
from bprr.simulation.admission.base import AdmissionPolicy

__all__ = ["AtRelease"]


@compiled
def _at_release(state, wait_ms, attempt):  # type: ignore[no-untyped-def]
    return True, max(wait_ms, 0.0)


@state_of(_at_release)
class AtReleaseState(NamedTuple):
    """State of the kernel."""


class AtRelease(AdmissionPolicy, name="at_release"):
    """As `reserve`, but a session starts as soon as its caches are free."""

    needs_known_ends = True
    state = AtReleaseState()
