"""Independent check of a plan, from its placement and chains alone.

Nothing here is shared with the formulations: a request is followed block by block, and memory is
added up in GB. What is checked is the paper's problem: every block of every request is
processed at the first server of its chain that hosts it (the suffix rule), and no server holds
more parameters and cache than it has memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bprr.ground.errors import BprrError
from bprr.ground.swarm import Swarm

__all__ = ["Follow", "VerificationError", "follow_to_each_stop", "follow_to_the_end", "verify_plan"]

MEMORY_TOLERANCE = 1e-9  # relative; the rounding of sums, as in `bprr.ground.swarm.floor_ratio`

Chain = tuple[int, Sequence[int], Sequence[int]]  # client, servers, blocks processed
Follow = Callable[[Sequence[range], int, Chain], None]  # hosted blocks, L


class VerificationError(BprrError):
    """A plan breaks a rule of the problem; says which one and where."""


def hosted_blocks(swarm: Swarm, first_block: Sequence[int], blocks: Sequence[int]) -> list[range]:
    """Blocks of every server, refused if they leave the model."""
    hosted = []
    for server in range(swarm.servers):
        first, count = int(first_block[server]), int(blocks[server])
        if count < 0 or (count > 0 and not 1 <= first <= first + count - 1 <= swarm.model.blocks):
            raise VerificationError(f"server {server} hosts {count} blocks from block {first}")
        if swarm.block_cap is not None and count > swarm.block_cap[server]:
            raise VerificationError(f"server {server} hosts {count} blocks, more than it may")
        hosted.append(range(first, first + count))
    return hosted


def follow_to_the_end(hosted: Sequence[range], blocks: int, chain: Chain) -> None:
    """Refuse a chain that breaks the suffix rule, or claims to process other than it does."""
    client, servers, claimed = chain
    counts = [0] * len(servers)
    reached = 0
    for block in range(1, blocks + 1):
        hosts = [place for place, server in enumerate(servers) if block in hosted[server]]
        if not hosts:
            raise VerificationError(f"client {client}: no server of a chain hosts block {block}")
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


def follow_to_each_stop(hosted: Sequence[range], blocks: int, chain: Chain) -> None:
    """Refuse a chain whose servers do not host what they process until they stop."""
    client, servers, counts = chain
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
    if block != blocks + 1:
        raise VerificationError(f"client {client}: a chain ends before block {block}")


def verify_plan(
    swarm: Swarm,
    requests: Sequence[int],
    session_tokens: int,
    first_block: Sequence[int],
    blocks: Sequence[int],
    chains: Sequence[Chain],
    follow: Follow = follow_to_the_end,
) -> float:
    """Check a plan and recompute its objective.

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
    follow : callable
        The stopping rule: the paper's, or `follow_to_each_stop`, where ``processed`` says it.

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
    served = [0] * swarm.clients
    cached = [0] * swarm.servers
    objective = 0.0
    for chain in chains:
        client, servers, counts = chain
        follow(hosted, swarm.model.blocks, chain)
        served[client] += 1
        time_ms = 0.0  # one round trip per server, or a leg to each and one back; τ per block (13a)
        legs, before = swarm.neighbours, None
        for server, count in zip(servers, counts, strict=True):
            cached[server] += count
            if legs is None:
                network_ms = swarm.token_rtt_ms[client, server]
            elif before is None:
                network_ms = legs.enter.token_ms[client, server]
            else:
                network_ms = legs.between.token_ms[before, server]
            time_ms += float(network_ms) + float(swarm.tau_ms[server]) * count
            before = server
        if legs is not None:
            time_ms += float(legs.leave.token_ms[client, before])
        objective += time_ms
    if served != list(requests):
        raise VerificationError(f"chains per client {served}, requests per client {list(requests)}")
    session_gb = swarm.model.session_cache_gb(session_tokens)
    for server in range(swarm.servers):
        # Parameters and caches fit the memory (13b).
        needed = swarm.model.block_gb * int(blocks[server]) + session_gb * cached[server]
        available = float(swarm.memory_gb[server])
        if needed > available * (1 + MEMORY_TOLERANCE):
            raise VerificationError(
                f"server {server} needs {needed:.6f} GB and has {available:.6f} GB"
            )
    return objective
