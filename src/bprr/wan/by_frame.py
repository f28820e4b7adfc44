"""A swarm frame by frame: misses that make frames useless, bursts that queue (docs/wan.md)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.registry import FORWARDING, SPECULATION
from bprr.settings.messages import validated
from bprr.speculation.base import SpeculationPolicy
from bprr.speculation.frames import Line, Passed, pass_frames
from bprr.wan.swarm import Frame, WanSwarm, pace

__all__ = ["by_frame", "in_flight", "in_line", "line_of"]

TOKENS, TEXT = 50_000, 1 << 16  # that are sent; positions after which their text repeats
SEED = 2026
# Options that say how many frames may be under way, and of policies that send one at a time the
# policy that sends several.
MOST = {"chunks": "frames", "single_frames": "most_frames"}
SEVERAL = {"chain": "chunks"}


def line_of(swarm: WanSwarm, *, from_above: bool = True) -> Line:
    """Places that a frame passes: senders of its legs, as long as its bytes take, and stages."""
    forwarding: Any = FORWARDING.build(swarm.forwarding)
    frame, lost = Frame.of(swarm), pace(swarm, from_above=from_above).traversal.lost_round_trips
    leg_ms = (0.5 + lost) * frame.rtt_ms + float(forwarding.options.overhead_ms_per_leg)
    travel_ms, work_ms, leg, done = [0.0], [], 0, 0
    places, between = forwarding.places(len(swarm.stages_ms)), swarm.between_rtt_ms()
    for sender, receiver in itertools.pairwise(places):
        if between[sender, receiver] != 0:
            if frame.wire_ms[leg] > 0:
                work_ms.append(float(frame.wire_ms[leg]))
                travel_ms.append(0.0)
            travel_ms[-1] += float(leg_ms[leg])
            leg += 1
        if receiver > done:
            work_ms.append(float(frame.stages_ms[receiver - 1]))
            travel_ms.append(0.0)
            done, tail = receiver, len(work_ms) - 1
    return Line(np.array(travel_ms), np.array(work_ms), tail)


def by_frame(swarm: WanSwarm, *, from_above: bool = True) -> Passed | None:
    """Pace of a swarm by frames that are sent one by one; none for trees and lockstep."""
    speculation: Any = SPECULATION.build(swarm.speculation)
    if speculation.drafting() is None or (swarm.streams > 1 and swarm.batch == "lockstep"):
        return None
    return in_line(line_of(swarm, from_above=from_above), speculation, swarm.streams)


def in_line(line: Line, speculation: SpeculationPolicy, streams: int = 1) -> Passed:
    """Pace of frames that are drafted by a policy which says how they follow each other."""
    drafting = speculation.drafting()
    assert drafting is not None
    rng = np.random.default_rng(SEED)
    right = rng.random((streams, TEXT)) < speculation.acceptance
    return pass_frames(line, drafting, right, TOKENS)


def in_flight(swarm: WanSwarm, frames: Sequence[int], where: object) -> list[WanSwarm]:
    """The swarm with so many frames of a stream under way.

    Raises
    ------
    InputError
        If its way of drafting does not send several.
    """
    own = swarm.speculation
    name = SEVERAL.get(own.name, own.name)
    if name not in MOST:
        allowed = f"{', '.join([*SEVERAL, *MOST])}, to send several frames"
        raise InputError(where, "speculation", own.name, allowed)
    content, options = swarm.model_dump(mode="json"), own.options.model_dump(mode="json")
    return [
        validated(
            WanSwarm,
            content | {"speculation": {name: options | {MOST[name]: count}}},
            where,
        )
        for count in frames
    ]
