"""Ways of forwarding: which one-way legs a frame takes (docs/wan.md#forwarding)."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from bprr.ground.registry import FORWARDING, Policy
from bprr.ground.schema import NonNegative, Strict
from bprr.ground.swarm import FloatArray

__all__ = ["ForwardingPolicy", "Legs"]


class Legs(NamedTuple):
    """One-way legs between hosts, in the order in which a frame takes them.

    Parameters
    ----------
    rtt_ms : ndarray
        Round trip of small messages between the ends of each leg.
    done : ndarray of int
        How many stages the frame has been through when it takes the leg.
    """

    rtt_ms: FloatArray
    done: np.ndarray


class ForwardingPolicy(Policy, registry=FORWARDING):
    """Who sends a frame to whom; everybody of a swarm does the same.

    ``crossings`` says how often a frame crosses the way between two neighbours on a chain: 0 if
    each sends to the client alone. Only then, or if the client sends to the first and gets the
    answer once, is a chain's time a sum over its links, and can be simulated.
    """

    crossings: ClassVar[int | None] = None

    class Options(Strict):
        """What a leg costs besides distance."""

        overhead_ms_per_leg: NonNegative = Field(
            4.0, description="tunnel, codec, copies; 0 to 4 are plausible"
        )

    def __init__(self, options: Strict | None = None) -> None:
        self.options: Any = options or self.Options()

    def places(self, stages: int) -> list[int]:
        """Whom a frame visits, one after another: 0 is the coordinator, 1 to M are the stages."""
        raise NotImplementedError

    def legs(self, between_rtt_ms: FloatArray) -> Legs:
        """Legs of one traversal.

        Parameters
        ----------
        between_rtt_ms : ndarray, shape (M + 1, M + 1)
            Round trips between the coordinator and the stages; 0 where two share a host (no leg),
            NaN where nobody measured.
        """
        places = np.array(self.places(between_rtt_ms.shape[0] - 1))
        rtt_ms = between_rtt_ms[places[:-1], places[1:]]
        apart = rtt_ms != 0
        return Legs(rtt_ms[apart], np.maximum.accumulate(places)[:-1][apart])
