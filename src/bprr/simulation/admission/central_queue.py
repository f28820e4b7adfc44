"""First come, first served: who finds no room queues until those before have started."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bprr.ground.compiled import compiled, state_of
from bprr.simulation.admission.base import AdmissionPolicy

__all__ = ["CentralQueue"]


@compiled
def _start_or_queue(state, wait_ms, attempt):  # type: ignore[no-untyped-def]
    return wait_ms <= 0, 0.0 if wait_ms <= 0 else np.inf


@state_of(_start_or_queue)
class CentralQueueState(NamedTuple):
    """State of the kernel."""


class CentralQueue(AdmissionPolicy, name="central_queue"):
    """The head is routed at its arrival and at every completion, until its chain has room."""

    queues = True
    state = CentralQueueState()
