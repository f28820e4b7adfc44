"""A plan's chain as a swarm that forwards round a ring, drafts, and keeps windows (`bprr.wan`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bprr.ground.request import Route
from bprr.plan.problem import Problem
from bprr.settings.messages import validated
from bprr.wan.swarm import WanSwarm, pace

__all__ = ["RingPace", "ring_pace", "ring_swarm"]

LEGS_PER_HOP = 2  # of a hub: an overhead per hop is two of a leg


class RingPace(NamedTuple):
    """What a chain does, one stream."""

    ms_per_token: float
    tokens_per_s: float
    terms: dict[str, float]


def ring_swarm(problem: Problem, client: int, route: Route, level: int) -> WanSwarm:
    """The chain as `bprr explain` takes it: the client is the coordinator."""
    swarm, distances, wish = problem.swarms[level], problem.distances, problem.wish
    home = distances.client_node[client]
    hosts = np.r_[home, distances.server_node[route.servers]]
    rtt_ms = distances.between(level, hosts, hosts)
    np.fill_diagonal(rtt_ms, 0.0)
    content: dict[str, Any] = {
        "stages_ms": (route.processed * swarm.tau_ms[route.servers]).tolist(),
        "rtt_ms": rtt_ms.tolist(),
        "forwarding": {
            wish.forwarding: {
                "overhead_ms_per_leg": wish.hop_overhead_ms[level] / LEGS_PER_HOP,
            }
        },
        "speculation": wish.speculation,
        "kb_per_position": problem.served.model.d_model * 2 / 1000.0,
        "wire_bytes": wish.wire_bytes,
        "window": wish.window if wish.forwarding != "hub" else "none",
    }
    return validated(WanSwarm, content, "plan")


def ring_pace(problem: Problem, client: int, route: Route, level: int) -> RingPace:
    """Pace of the chain."""
    found = pace(ring_swarm(problem, client, route, level))
    return RingPace(1000.0 / found.tokens_per_s, found.tokens_per_s, found.terms())
