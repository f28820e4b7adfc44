"""Hypothesis strategies: small random swarms, placements, workloads and states of the caches.

Times are small whole numbers, so that ties are common. A block takes 1 GB and a token of its cache
0.0001 GB; memory ranges from too little for one block to enough for all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from bprr.ground.caches import Caches
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.base import Placement
from bprr.scenario.workload import Workload

CACHE_GB_PER_TOKEN = 1e-4
# Chains then take as long as sessions last, so that a wait often decides which one is best.
TOKENS = st.integers(1, 60)
RESERVED_TOKENS = st.integers(1, 6).map(lambda thousands: 1000 * thousands)


def _column(draw, count: int, low: int, high: int) -> np.ndarray:
    values = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
    return np.array(values, dtype=float)


@st.composite
def swarms(draw, max_blocks: int = 12, max_servers: int = 8, max_clients: int = 3) -> Swarm:
    """Swarms on a grid: round trips are distances between places, overheads are added."""
    blocks = draw(st.integers(1, max_blocks))
    servers = draw(st.integers(1, max_servers))
    clients = draw(st.integers(1, max_clients))
    model = LanguageModel(
        name="random",
        blocks=blocks,
        d_model=1,
        block_gb=1.0,
        cache_bytes_per_value=CACHE_GB_PER_TOKEN * 1e9 / 2,
        max_sequence_tokens=10_000,
    )
    x, y = _column(draw, servers + clients, 0, 12), _column(draw, servers + clients, 0, 12)
    rtt = np.abs(x[:, None] - x) + np.abs(y[:, None] - y)
    raw = rtt[servers:, :servers]
    return Swarm(
        model,
        memory_gb=_column(draw, servers, 2, 40) / 4,
        tau_ms=_column(draw, servers, 1, 6),
        prefill_ms=_column(draw, servers, 0, 30),
        prefill_ms_per_token=_column(draw, servers, 0, 2) / 8,
        token_rtt_ms=raw + draw(st.integers(0, 10)),
        prompt_rtt_ms=raw + draw(st.integers(0, 10)),
        # Of one overhead for all, or of links each of its own bandwidth.
        prompt_rtt_ms_per_token=draw(st.integers(0, 4)) / 8 + draw(st.integers(0, 1)) * raw / 8,
        raw_rtt_ms=raw,
        server_rtt_ms=rtt[:servers, :servers],
        forward_rps=_column(draw, servers, 1, 9) * 100,
        network_rps=_column(draw, servers, 1, 9) * 100,
    )


@st.composite
def placements(draw, covering: bool = False) -> Placement:
    """Placements at random; servers may hold nothing, and caches may be small or zero.

    With ``covering`` one more pass gives every block a host with room for a request of any length.
    """
    swarm = draw(swarms())
    total = swarm.model.blocks
    first = np.zeros(swarm.servers, dtype=np.int64)
    blocks = np.zeros(swarm.servers, dtype=np.int64)
    for server in range(swarm.servers):
        blocks[server] = draw(st.integers(0, total))
        if blocks[server]:
            first[server] = draw(st.integers(1, total - int(blocks[server]) + 1))
    cache = _column(draw, swarm.servers, 0, 40).astype(np.int64) * 1000
    if covering:
        first[-1], blocks[-1], cache[-1] = 1, total, max(int(cache[-1]), 6000 * total)
    return Placement(swarm, first, blocks, np.where(blocks > 0, cache, 0))


@st.composite
def crowded_placements(draw) -> Placement:
    """Of 20 to 30 servers of many kinds, whose ranges end at few blocks: with many ways to each."""
    chance = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    servers, total = int(chance.integers(20, 31)), int(chance.integers(6, 25))
    model = LanguageModel(
        name="crowded", blocks=total, d_model=1, block_gb=1.0, max_sequence_tokens=10_000,
        cache_bytes_per_value=CACHE_GB_PER_TOKEN * 1e9 / 2,
    )  # fmt: skip
    raw = chance.integers(0, 60, (2, servers)).astype(float)
    swarm = Swarm(
        model,
        memory_gb=np.full(servers, 40.0),
        tau_ms=chance.integers(1, 7, servers) / 4.0,
        prefill_ms=chance.integers(0, 4, servers) * 20.0,
        prefill_ms_per_token=chance.integers(0, 3, servers) / 8.0,
        token_rtt_ms=raw + chance.integers(0, 10),
        prompt_rtt_ms=raw + chance.integers(0, 40, raw.shape),
        prompt_rtt_ms_per_token=chance.integers(0, 5, raw.shape if chance.integers(2) else ()) / 8,
        raw_rtt_ms=raw,
        server_rtt_ms=np.zeros((servers, servers)),
        forward_rps=np.ones(servers),
        network_rps=np.ones(servers),
    )
    ends = np.unique([*chance.integers(1, total, 2).tolist(), total])
    end = chance.choice(ends, servers)
    end[: len(ends)] = ends
    blocks = chance.integers(1, end + 1)
    blocks[0] = end[0]
    cache = chance.integers(0, 40, servers) * 1000
    return Placement(swarm, end - blocks + 1, blocks, cache)


@st.composite
def requests(draw, clients: int) -> Request:
    """Requests of any length, with cache reserved for another one."""
    client = draw(st.integers(0, clients - 1))
    return Request(client, draw(TOKENS), draw(TOKENS), draw(RESERVED_TOKENS))


class State(NamedTuple):
    """A caches after some holds, the same holds as a list, and the time now."""

    caches: Caches
    holds: list[tuple[int, int, float]]  # server, units, end
    now_ms: float


@st.composite
def states(draw, placement: Placement, max_holds: int = 10) -> State:
    """Sessions that hold cache at some servers, some of them oversubscribed, some ended."""
    caches, holds, now = Caches(placement.cache_tokens), [], 0.0
    for _ in range(draw(st.integers(0, max_holds))):
        now += draw(st.integers(0, 40))
        servers = draw(
            st.lists(st.integers(0, placement.swarm.servers - 1), min_size=1, unique=True)
        )
        units = [draw(st.integers(1, 25)) * 1000 for _ in servers]
        end = now + draw(st.integers(1, 30)) * 100.0
        caches.hold(np.array(servers), units, end, now)
        holds += [(server, amount, end) for server, amount in zip(servers, units, strict=True)]
    return State(caches, holds, now + draw(st.integers(0, 500)))


@st.composite
def workloads(draw, clients: int, max_requests: int = 14) -> Workload:
    """Requests of different lengths, often at the same instant."""
    count = draw(st.integers(1, max_requests))
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 50, 400, 3000]), min_size=count, max_size=count))
    asked = [draw(requests(clients)) for _ in range(count)]
    return Workload(np.cumsum(gaps).astype(float), *np.array(asked).T)
