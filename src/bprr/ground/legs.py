"""Ways of a frame whose servers send on to each other: legs instead of round trips (docs/wan.md).

A leg costs half of what its round trip costs a hub, overheads included, so that a chain of one
server takes the same time either way.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bprr.ground.swarm import (
    ACTIVATION_BYTES,
    FloatArray,
    IntArray,
    LanguageModel,
    Overheads,
)

__all__ = ["Leg", "Mbit", "Neighbours"]


class Mbit(NamedTuple):
    """Bandwidth (Mbit/s), NaN where unknown."""

    enter: FloatArray  # (C, S)
    between: FloatArray  # (S, S)
    leave: FloatArray  # (C, S)


class Leg(NamedTuple):
    """What the legs between some hosts take, each an array over pairs of them."""

    token_ms: FloatArray
    prompt_ms: FloatArray  # at zero input tokens
    prompt_ms_per_token: FloatArray  # what each of them adds

    @classmethod
    def of(
        cls,
        raw_rtt_ms: FloatArray,
        overheads: Overheads,
        model: LanguageModel,
        mbit_per_s: FloatArray | None,
    ) -> Self:
        """Half of what a hub pays; where the bandwidth is known, a prompt's bytes one way."""
        per_token = np.full(raw_rtt_ms.shape, overheads.prompt_ms_per_token / 2)
        if mbit_per_s is not None:
            sent_ms = 8 * ACTIVATION_BYTES * model.d_model / 1000 / mbit_per_s
            per_token = np.where(np.isnan(sent_ms), per_token, sent_ms)
        prompt_ms = raw_rtt_ms * overheads.prompt_round_trips + overheads.prompt_ms
        return cls((raw_rtt_ms + overheads.token_ms) / 2, prompt_ms / 2, per_token)


class Neighbours(NamedTuple):
    """Legs from the client to the first server, from each to the next, and back from the last.

    The way between two servers counts as often as a frame crosses it (once round a ring, twice if
    the answer walks back), which makes the time of a chain a sum over its links.
    """

    enter: Leg  # (C, S)
    between: Leg  # (S, S), from row to column, all crossings
    leave: Leg  # (C, S)
    crossings: int

    @classmethod
    def of(
        cls,
        client_rtt_ms: FloatArray,
        server_rtt_ms: FloatArray,
        overheads: Overheads,
        model: LanguageModel,
        crossings: int,
        mbit_per_s: Mbit | None = None,
    ) -> Self:
        """Legs from round trips of the bare network, shapes (C, S) and (S, S)."""
        speed = mbit_per_s or (None, None, None)
        enter, between, leave = (
            Leg.of(np.asarray(rtt_ms, dtype=float), overheads, model, mbit)
            for rtt_ms, mbit in zip(
                (client_rtt_ms, server_rtt_ms, client_rtt_ms), speed, strict=True
            )
        )
        if crossings == 2:  # the way back may have another bandwidth
            between = Leg(*(each + each.T for each in between))
        return cls(enter, between, leave, crossings)

    def decode_only(self) -> Neighbours:
        """The same legs, prompts costing nothing."""
        enter, between, leave = (
            Leg(leg.token_ms, *np.zeros((2, *leg.token_ms.shape)))
            for leg in (self.enter, self.between, self.leave)
        )
        return Neighbours(enter, between, leave, self.crossings)

    def part(self, servers: IntArray) -> Neighbours:
        """The legs of some of the servers."""
        enter, leave = (
            Leg(*(np.take(each, servers, axis=1) for each in leg))
            for leg in (self.enter, self.leave)
        )
        between = Leg(*(each[np.ix_(servers, servers)] for each in self.between))
        return Neighbours(enter, between, leave, self.crossings)

    def worst_ms(self, senders: NDArray[np.bool_]) -> FloatArray:
        """Longest leg of a token into each server, from a client or one of these servers, (S,)."""
        from_servers = np.where(senders[:, None], self.between.token_ms, 0.0)
        np.fill_diagonal(from_servers, 0.0)
        return np.asarray(np.maximum(self.enter.token_ms.max(axis=0), from_servers.max(axis=0)))
