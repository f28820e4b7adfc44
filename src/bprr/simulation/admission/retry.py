"""Attempts until there is room, as in a deployed system."""

from __future__ import annotations

from bprr.ground.compiled import compiled, state_of
from bprr.ground.schema import Strict
from bprr.simulation.admission.back_off import BackOff, Gaps, gap_ms
from bprr.simulation.admission.base import AdmissionContext, AdmissionPolicy

__all__ = ["Retry"]


@compiled
def _retry(gaps, wait_ms, attempt):  # type: ignore[no-untyped-def]
    if wait_ms <= 0:
        return True, 0.0
    return False, gap_ms(gaps, attempt)


@state_of(_retry)
class Retrying(Gaps):
    """State of the kernel."""


class Retry(AdmissionPolicy, name="retry"):
    """Each attempt routes anew and allocates now, on every server or on none."""

    class Options(BackOff):
        """Gaps between attempts."""

    def __init__(self, context: AdmissionContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        self.state = Retrying(float(self.options.first_ms), float(self.options.longest_ms))
