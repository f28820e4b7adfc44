"""Memory reserved from arrival, as in the paper's artefact."""

from __future__ import annotations

from bprr.ground.compiled import compiled, state_of
from bprr.ground.schema import Strict
from bprr.simulation.admission.back_off import BackOff, Gaps, instant_ms
from bprr.simulation.admission.base import AdmissionContext, AdmissionPolicy

__all__ = ["Reserve"]


@compiled
def _reserve(gaps, wait_ms, attempt):  # type: ignore[no-untyped-def]
    return True, instant_ms(gaps, wait_ms)


@state_of(_reserve)
class Reserving(Gaps):
    """State of the kernel."""


class Reserve(AdmissionPolicy, name="reserve"):
    """A session holds caches from arrival, and starts at the back-off instant after its wait."""

    needs_known_ends = True

    class Options(BackOff):
        """Gaps between attempts."""

    def __init__(self, context: AdmissionContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        self.state = Reserving(float(self.options.first_ms), float(self.options.longest_ms))
