"""Independent check of a plan, from its placement and chains alone.

Nothing here is shared with the formulations: a request is followed block by block, and memory is
added up in GB. What is checked is the paper's problem (section 3): every block of every request is
processed at the first server of its chain that hosts it (the suffix rule), and no server holds
more parameters and cache than it has memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from bprr.ground.errors import BprrError
from bprr.ground.swarm import Swarm

__all__ = ["VerificationError", "verify_plan", "verify_relaxed_plan"]

MEMORY_TOLERANCE = 1e-9  # relative; the rounding of sums, as in `bprr.ground.swarm.floor_ratio`

Chain = tuple[int, Sequence[int], Sequence[int]]  # client, servers, blocks processed


class VerificationError(BprrError):
    """A plan breaks a rule of the problem; says which one and where."""


def hosted_blocks(swarm: Swarm, first_block: Sequence[int], blocks: Sequence[int]) -> list[range]:
    """Blocks of every server, refused if they leave the model."""
    hosted = []
    for server in range(swarm.servers):
        first, count = int(first_block[server]), int(blocks[server])
        if count < 0 or (count > 0 and not 1 <= first <= first + count - 1 <= swarm.model.blocks):
            raise VerificationError(f"server {server} hosts {count} blocks from block {first}")
        hosted.append(range(first, first + count))
    return hosted


def check_memory(
    swarm: Swarm, session_tokens: int, blocks: Sequence[int], cached: Sequence[int]
) -> None:
    """Refuse a server whose parameters and caches exceed its memory (13b)."""
    session_gb = swarm.model.session_cache_gb(session_tokens)
    for server in range(swarm.servers):
        needed = swarm.model.block_gb * int(blocks[server]) + session_gb * cached[server]
        available = float(swarm.memory_gb[server])
        if needed > available * (1 + MEMORY_TOLERANCE):
            raise VerificationError(
                f"server {server} needs {needed:.6f} GB and has {available:.6f} GB"
            )


def check_requests(swarm: Swarm, requests: Sequence[int], chains: Sequence[Chain]) -> None:
    """Refuse chains that are not one per request of each client."""
    served = [0] * swarm.clients
    for client, _, _ in chains:
        served[client] += 1
    if served != list(requests):
        raise VerificationError(f"chains per client {served}, requests per client {list(requests)}")


def chain_time_ms(
    swarm: Swarm, client: int, servers: Sequence[int], counts: Sequence[int]
) -> float:
    """Per-token time of one request: one round trip per server and τ per block (13a)."""
    total = 0.0
    for server, count in zip(servers, counts, strict=True):
        total += float(swarm.token_rtt_ms[client, server]) + float(swarm.tau_ms[server]) * count
    return total


def verify_plan(
    swarm: Swarm,
    requests: Sequence[int],
    session_tokens: int,
    first_block: Sequence[int],
    blocks: Sequence[int],
    chains: Sequence[Chain],
) -> float:
    """Check a plan against the paper's problem and recompute its objective.

    Parameters
    ----------
    swarm : Swarm
        Servers and clients.
    requests : sequence of int
        R_c of every client.
    session_tokens : int
        Tokens for which a session reserves cache.
    first_block, blocks : sequence of int, length S
        a_j (from 1) and m_j.
    chains : sequence of (client, servers, processed)
        One per request; ``processed`` is what the plan claims for each server.

    Returns
    -------
    float
        Σ over requests of the per-token time (13a without l_max) (ms).

    Raises
    ------
    VerificationError
        If a rule is broken.
    """
    hosted = hosted_blocks(swarm, first_block, blocks)
    check_requests(swarm, requests, chains)
    cached = [0] * swarm.servers
    objective = 0.0
    for client, servers, claimed in chains:
        counts = [0] * len(servers)
        reached = 0
        for block in range(1, swarm.model.blocks + 1):
            hosts = [place for place, server in enumerate(servers) if block in hosted[server]]
            if not hosts:
                raise VerificationError(
                    f"client {client}: no server of a chain hosts block {block}"
                )
            if hosts[0] < reached:
                raise VerificationError(f"client {client}: a chain turns back at block {block}")
            reached = hosts[0]
            counts[reached] += 1
        if 0 in counts:
            idle = servers[counts.index(0)]
            raise VerificationError(f"client {client}: a chain visits server {idle} for no block")
        if counts != list(claimed):
            raise VerificationError(
                f"client {client}: servers {list(servers)} process {counts} blocks, "
                f"the plan says {list(claimed)}"
            )
        for server, count in zip(servers, counts, strict=True):
            cached[server] += count
        objective += chain_time_ms(swarm, client, servers, counts)
    check_memory(swarm, session_tokens, blocks, cached)
    return objective


def verify_relaxed_plan(
    swarm: Swarm,
    requests: Sequence[int],
    session_tokens: int,
    first_block: Sequence[int],
    blocks: Sequence[int],
    chains: Sequence[Chain],
) -> float:
    """Check a plan whose servers may stop early, and recompute its objective.

    Parameters, result and errors are those of `verify_plan`; ``processed`` says here where each
    server stops.
    """
    hosted = hosted_blocks(swarm, first_block, blocks)
    check_requests(swarm, requests, chains)
    cached = [0] * swarm.servers
    objective = 0.0
    for client, servers, counts in chains:
        block = 1
        for server, count in zip(servers, counts, strict=True):
            if count < 1:
                raise VerificationError(f"client {client}: server {server} processes no block")
            for _ in range(count):
                if block not in hosted[server]:
                    raise VerificationError(
                        f"client {client}: server {server} does not host block {block}"
                    )
                block += 1
            cached[server] += count
        if block != swarm.model.blocks + 1:
            raise VerificationError(f"client {client}: a chain ends before block {block}")
        objective += chain_time_ms(swarm, client, servers, counts)
    check_memory(swarm, session_tokens, blocks, cached)
    return objective
