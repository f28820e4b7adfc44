"""The offline setting: all requests are there at once, none backs off."""

from __future__ import annotations

from bprr.ground.schema import Strict
from bprr.simulation.admission.reserve import Reserve

__all__ = ["AtRelease"]


class AtRelease(Reserve, name="at_release"):
    """As `reserve`, but a session starts as soon as its caches are free."""

    class Options(Strict):
        """None."""

    def start_ms(self, raw_wait_ms: float) -> float:
        """The wait itself."""
        return max(raw_wait_ms, 0.0)
