"""A swarm as its owner can describe it, and the pace that it is expected to have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.errors import InputError
from bprr.ground.registry import FORWARDING, SPECULATION, WINDOW, Choice, ChoiceOf
from bprr.ground.schema import Count, Milliseconds, NonNegative, Positive, Refused, Strict
from bprr.ground.swarm import FloatArray
from bprr.settings.messages import validated
from bprr.settings.yaml_file import read_yaml
from bprr.wan.traversal import Traversal, traversal

__all__ = ["Frame", "Pace", "Prompt", "WanSwarm", "pace", "prefill_ms", "read_swarm"]

Hosts = Annotated[tuple[Milliseconds | None, ...], Field(min_length=1)]


class Prompt(Strict):
    """Prefill: ``a + b l_in`` (docs/wan.md#first-token)."""

    tokens: Count
    fixed_ms: NonNegative = 0.0
    stage_ms_per_token: NonNegative
    link_ms_per_token: NonNegative = 0.0
    overlapped: bool = True  # chunks are sent while the next ones are computed


class WanSwarm(Strict):
    """A coordinator and its stages, measured under load (config/swarms has examples).

    Distances are the round trips of a ring, leg by leg (``ring_rtt_ms``), or of all pairs
    (``rtt_ms``): row and column 0 are the coordinator's, 0 means one host, null not measured.
    """

    stages_ms: Annotated[tuple[Positive, ...], Field(min_length=1)]
    ms_per_more_position: NonNegative = 0.0  # all stages together
    ring_rtt_ms: Hosts | None = None
    rtt_ms: tuple[Hosts, ...] | None = None
    forwarding: Annotated[Choice, ChoiceOf(FORWARDING)] = Field(
        "ring", validate_default=True, union_mode="smart"
    )
    window: Annotated[Choice, ChoiceOf(WINDOW)] = Field("idle_restart", validate_default=True)
    speculation: Annotated[Choice, ChoiceOf(SPECULATION)] = Field("none", validate_default=True)
    kb_per_position: Positive = 6.1  # one hidden state in 16 bits
    wire_bytes: Literal[1, 2] = 2
    states: tuple[NonNegative, ...] = ()  # hidden states sent on by coordinator, stage 1, …; else 1
    uplink_mbit_per_s: Positive | None = None
    streams: Count = 1
    batch: Literal["own_frames", "lockstep"] = "own_frames"
    lockstep_ms_per_stream: NonNegative = 0.0  # all stages together
    prompt: Prompt | None = None

    @model_validator(mode="after")
    def _check(self) -> WanSwarm:
        hosts = len(self.stages_ms) + 1
        if (self.ring_rtt_ms is None) == (self.rtt_ms is None):
            raise Refused("ring_rtt_ms", self.ring_rtt_ms, "either this or rtt_ms")
        if self.ring_rtt_ms is not None and len(self.ring_rtt_ms) != hosts:
            allowed = f"{hosts} legs: coordinator to stage 1, …, last stage to coordinator"
            raise Refused("ring_rtt_ms", self.ring_rtt_ms, allowed)
        if self.rtt_ms is not None and {len(self.rtt_ms), *map(len, self.rtt_ms)} != {hosts}:
            raise Refused("rtt_ms", self.rtt_ms, f"{hosts} rows of {hosts} round trips")
        if self.states and len(self.states) != hosts:
            raise Refused("states", self.states, f"{hosts} numbers, the coordinator's first")
        return self

    def between_rtt_ms(self) -> FloatArray:
        """Round trips between all hosts; NaN where not measured."""
        hosts = len(self.stages_ms) + 1
        between = np.full((hosts, hosts), np.nan)
        if self.rtt_ms is not None:
            return np.array(self.rtt_ms, dtype=float)
        for sender, rtt_ms in enumerate(self.ring_rtt_ms or ()):
            receiver = (sender + 1) % hosts
            if hosts > 2 or sender == 0:
                between[sender, receiver] = between[receiver, sender] = rtt_ms
        return between


class Pace(NamedTuple):
    """What a swarm is expected to do; all times in ms."""

    traversal: Traversal
    draft_ms: float
    queue_ms: float  # behind frames of the other streams
    tokens_per_s: float  # of all streams together

    @property
    def round_ms(self) -> float:
        """From one frame of a stream to the next, one frame at a time."""
        return self.traversal.total_ms + self.draft_ms + self.queue_ms

    def terms(self) -> dict[str, float]:
        """Parts of a round by name."""
        parts = self.traversal
        return {
            "distance": parts.distance_ms,
            "overhead of legs": parts.overhead_ms,
            "windows": parts.window_ms,
            "bytes on the wire": parts.wire_ms,
            "stages": parts.stages_ms,
            "drafting": self.draft_ms,
            "other streams' frames": self.queue_ms,
        }


class Frame(NamedTuple):
    """What a frame of a swarm meets, leg by leg and stage by stage."""

    rtt_ms: FloatArray
    size_kb: FloatArray  # on each leg
    wire_ms: FloatArray  # of each leg
    stages_ms: FloatArray

    @classmethod
    def of(cls, swarm: WanSwarm) -> Self:
        """Frame of all its positions, and streams if they go in lockstep."""
        legs = FORWARDING.build(swarm.forwarding).legs(swarm.between_rtt_ms())
        positions = SPECULATION.build(swarm.speculation).positions
        lockstep = swarm.streams if swarm.batch == "lockstep" else 1
        more = (positions - 1) * swarm.ms_per_more_position
        stages = np.array(swarm.stages_ms) * (1 + more / sum(swarm.stages_ms))
        kb = swarm.kb_per_position * swarm.wire_bytes / 2 * positions * lockstep
        states = np.array(swarm.states)[legs.done] if swarm.states else np.ones(legs.done.size)
        uplink = swarm.uplink_mbit_per_s or float("inf")
        return cls(legs.rtt_ms, kb * states, kb * states * 8.0 / uplink, stages)


def pace(swarm: WanSwarm, *, from_above: bool = True) -> Pace:
    """Expected pace of a swarm; NaN where a distance that counts was not measured."""
    forwarding: Any = FORWARDING.build(swarm.forwarding)
    speculation: Any = SPECULATION.build(swarm.speculation)
    frame = Frame.of(swarm)
    lockstep = swarm.streams if swarm.batch == "lockstep" else 1
    apart = swarm.streams if swarm.batch == "own_frames" else 1
    one = traversal(
        frame.rtt_ms,
        frame.size_kb,
        float(forwarding.options.overhead_ms_per_leg),
        float(frame.stages_ms.sum()) + (lockstep - 1) * swarm.lockstep_ms_per_stream,
        WINDOW.build(swarm.window),
        draft_ms=speculation.draft_ms,
        frames=speculation.frames * apart,
        uplink_mbit_per_s=swarm.uplink_mbit_per_s or float("inf"),
        from_above=from_above,
    )
    slowest_ms = max(float(frame.stages_ms.max()), float(frame.wire_ms.max(initial=0.0)))
    queue_ms = (apart - 1) * slowest_ms
    tokens = swarm.streams * speculation.tokens_per_s(one.total_ms + queue_ms, slowest_ms)
    return Pace(one, speculation.draft_ms, queue_ms, tokens)


def prefill_ms(prompt: Prompt) -> float:
    """Time until the prompt is through."""
    join = max if prompt.overlapped else sum
    per_token = join((prompt.stage_ms_per_token, prompt.link_ms_per_token))
    return prompt.fixed_ms + per_token * prompt.tokens


def read_swarm(path: Path) -> WanSwarm:
    """Swarm described in a file.

    Raises
    ------
    InputError
        If it cannot be used, or lacks a distance that its forwarding needs.
    """
    swarm = validated(WanSwarm, read_yaml(path), path)
    if np.isnan(pace(swarm).tokens_per_s):
        allowed = "the round trips of every leg of its forwarding"
        raise InputError(path, "ring_rtt_ms" if swarm.rtt_ms is None else "rtt_ms", None, allowed)
    return swarm
