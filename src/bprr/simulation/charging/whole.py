"""Cache reserved whole for a session's full length, as in the paper and in PETALS."""

from __future__ import annotations

from typing import NamedTuple

from bprr.ground.compiled import compiled, state_of
from bprr.simulation.charging.base import ChargingPolicy

__all__ = ["Whole"]


@compiled
def _all_tokens(state, request):  # type: ignore[no-untyped-def]
    return request.cache_tokens


@state_of(_all_tokens)
class WholeState(NamedTuple):
    """State of the kernel."""


class Whole(ChargingPolicy, name="whole"):
    """All tokens of the session, in every block that it uses."""

    state = WholeState()
