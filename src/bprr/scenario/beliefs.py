"""What plans and routing take servers and sessions for, where that is not what they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from bprr.ground.schema import Positive, Refused, Strict
from bprr.ground.swarm import Swarm
from bprr.scenario.streams import Streams

__all__ = ["Believed"]


class Believed(Strict):
    """Times and lengths by which blocks are placed and sessions routed; servers take their own."""

    tau_least: Positive = Field(
        1.0, description="τ as believed over the true one: each server's own, drawn evenly from"
    )
    tau_most: Positive = Field(1.0, description="to this; the same for all if the two are equal")
    routing: Literal["as_believed", "learned"] = Field(
        "as_believed",
        description="by τ as believed, or by the true one: learned since, with no block moved",
    )
    lengths: Literal["own", "mean"] = Field(
        "own",
        description="as routing takes a session's: its own output tokens, or the mean of all",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Believed:
        if self.tau_least > self.tau_most:
            raise Refused("tau_least", self.tau_least, f"at most tau_most, {self.tau_most:g}")
        return self

    def of(self, swarm: Swarm, streams: Streams) -> Swarm:
        """A swarm as it is believed to be; what it announces of its decoding goes with it."""
        factor = streams.of("beliefs").uniform(self.tau_least, self.tau_most, swarm.servers)
        return replace(
            swarm, tau_ms=swarm.tau_ms * factor, inference_rps=swarm.inference_rps / factor
        )
