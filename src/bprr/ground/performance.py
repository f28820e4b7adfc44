"""Time and memory of a chain, and the bounds that follow from them (docs/model.md).

Every formula of the performance model has its one implementation here. Blocks are numbered from 1.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bprr.ground.compiled import compiled
from bprr.ground.errors import InputError
from bprr.ground.swarm import FloatArray, IntArray, Swarm, floor_ratio

__all__ = [
    "amortised_time_ms",
    "blocks_processed",
    "chain_times",
    "chain_times_ms",
    "completion_bound",
    "conservative_blocks",
    "conservative_blocks_suffice",
    "decode_ms_per_token",
    "design_load",
    "free_cache_tokens",
    "hosts_of_blocks",
    "largest_load",
    "least_session_terms_ms",
    "longest_session_tokens",
    "max_design_load",
    "neighbour_chain_times",
    "session_capacity",
    "session_terms_ms",
]


def blocks_processed(
    first_block: NDArray[np.integer], blocks: NDArray[np.integer], chain: Sequence[int]
) -> IntArray:
    """Blocks k_j that each server of a chain processes (docs/model.md#chains).

    Parameters
    ----------
    first_block, blocks : ndarray, shape (S,)
        Placement a_j and m_j.
    chain : sequence of int
        Servers in order.

    Returns
    -------
    ndarray of int64, shape (len(chain),)

    Raises
    ------
    ValueError
        If a server of the chain does not host the next block.
    """
    done, counts = 0, np.empty(len(chain), dtype=np.int64)
    for position, server in enumerate(chain):
        end = int(first_block[server] + blocks[server]) - 1
        if not first_block[server] - 1 <= done < end:
            raise ValueError(f"server {server} cannot follow: block {done + 1} is not hosted there")
        counts[position] = end - done
        done = end
    return counts


@compiled
def chain_times(  # type: ignore[no-untyped-def]
    rtt_ms, prompt_rtt_ms, prompt_rtt_ms_per_token, tau_ms, prefill_ms, prefill_ms_per_token,
    chain, processed, input_tokens, output_tokens,
):  # fmt: skip
    """Kernel of `chain_times_ms`."""
    first, per_token = 0.0, 0.0
    for i in range(chain.shape[0]):
        server, count = chain[i], processed[i]
        block_ms = prefill_ms[server] + prefill_ms_per_token[server] * input_tokens
        prompt_ms = prompt_rtt_ms[server] + prompt_rtt_ms_per_token[server] * input_tokens
        first += prompt_ms + count * block_ms
        per_token += rtt_ms[server] + count * tau_ms[server]
    return first, (output_tokens - 1) * per_token


@compiled
def neighbour_chain_times(  # type: ignore[no-untyped-def]
    legs, client, tau_ms, prefill_ms, prefill_ms_per_token, chain, processed, input_tokens,
    output_tokens,
):  # fmt: skip
    """Kernel of `chain_times_ms` where servers send on to each other: a leg into each, one back."""
    first, per_token = 0.0, 0.0
    leg, sender = legs.enter, client
    for i in range(chain.shape[0]):
        server, count = chain[i], processed[i]
        block_ms = prefill_ms[server] + prefill_ms_per_token[server] * input_tokens
        first += leg.prompt_ms[sender, server] + count * block_ms
        first += leg.prompt_ms_per_token[sender, server] * input_tokens
        per_token += leg.token_ms[sender, server] + count * tau_ms[server]
        leg, sender = legs.between, server
    first += legs.leave.prompt_ms[client, sender]
    first += legs.leave.prompt_ms_per_token[client, sender] * input_tokens
    per_token += legs.leave.token_ms[client, sender]
    return first, (output_tokens - 1) * per_token


def chain_times_ms(
    swarm: Swarm,
    client: int,
    chain: IntArray,
    processed: IntArray,
    input_tokens: int,
    output_tokens: int,
) -> tuple[float, float]:
    """Time to first token and time of the remaining tokens over a chain (docs/model.md).

    Parameters
    ----------
    client : int
        Row of the client.
    chain, processed : ndarray of int64
        Servers in order and the blocks each of them processes.
    input_tokens, output_tokens : int
        l_in and l_max of the request.

    Returns
    -------
    first_token_ms, remaining_ms : float
        Without waiting, allocation or initial delay.
    """
    if swarm.neighbours is not None:
        return neighbour_chain_times(  # type: ignore[no-any-return]
            swarm.neighbours,
            client,
            swarm.tau_ms,
            swarm.prefill_ms,
            swarm.prefill_ms_per_token,
            chain,
            processed,
            input_tokens,
            output_tokens,
        )
    first, remaining = chain_times(
        swarm.token_rtt_ms[client],
        swarm.prompt_rtt_ms[client],
        swarm.prompt_rtt_ms_per_token[client],
        swarm.tau_ms,
        swarm.prefill_ms,
        swarm.prefill_ms_per_token,
        chain,
        processed,
        input_tokens,
        output_tokens,
    )
    return first, remaining


def session_terms_ms(
    swarm: Swarm, input_tokens: int, output_tokens: int, by_token: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Terms of the time of a session over a chain: Σ_j hop[c, j] + k_j·block[j] (docs/model.md).

    Parameters
    ----------
    by_token : bool
        The prompt goes round token by token instead of whole.

    Returns
    -------
    hop_ms : ndarray, shape (C, S)
        F_cj: what the network takes, whatever the blocks.
    block_ms : ndarray, shape (S,)
        W_j: what a block takes.

    Raises
    ------
    InputError
        If servers send on to each other: what the network takes is then no matter of one server.
    """
    if swarm.neighbours is not None:
        allowed = "hub, where a server takes as long whatever came before it on the chain"
        raise InputError("scenario", "forwarding", "from server to server", allowed)
    if by_token:
        passes = input_tokens + output_tokens - 1
        return passes * swarm.token_rtt_ms, passes * swarm.tau_ms
    later = output_tokens - 1
    prompt_rtt_ms = swarm.prompt_rtt_ms + swarm.prompt_rtt_ms_per_token * input_tokens
    prefill_ms = swarm.prefill_ms + swarm.prefill_ms_per_token * input_tokens
    return prompt_rtt_ms + later * swarm.token_rtt_ms, prefill_ms + later * swarm.tau_ms


def least_session_terms_ms(
    swarm: Swarm, input_tokens: int, output_tokens: int
) -> tuple[FloatArray, FloatArray]:
    """Terms of `session_terms_ms`, that of the network with the nearest sender, shape (S,).

    No chain takes less than their sum.
    """
    legs, alone = swarm.neighbours, replace(swarm, neighbours=None)
    hop_ms, block_ms = session_terms_ms(alone, input_tokens, output_tokens)
    if legs is None:
        return hop_ms.min(axis=0), block_ms
    into_ms = [
        leg.prompt_ms + leg.prompt_ms_per_token * input_tokens + (output_tokens - 1) * leg.token_ms
        for leg in (legs.enter, legs.between)
    ]
    np.fill_diagonal(into_ms[1], np.inf)
    return np.concatenate(into_ms).min(axis=0), block_ms


def decode_ms_per_token(
    swarm: Swarm,
    client: int,
    chain: Sequence[int] | IntArray,
    processed: Sequence[int] | IntArray,
) -> float:
    """Per-token time of a chain as in objective (13a): Σ_j t_cj + τ_j k_j (ms).

    Where servers send on to each other, the legs of the chain take the place of the t_cj.
    """
    servers, counts = np.asarray(chain), np.asarray(processed)
    if swarm.neighbours is not None:
        enter, between, leave, _ = swarm.neighbours
        legs_ms = enter.token_ms[client, servers[0]] + leave.token_ms[client, servers[-1]]
        legs_ms += between.token_ms[servers[:-1], servers[1:]].sum()
        return float(legs_ms + (counts * swarm.tau_ms[servers]).sum())
    return float((swarm.token_rtt_ms[client, servers] + counts * swarm.tau_ms[servers]).sum())


def hosts_of_blocks(
    first_block: NDArray[np.integer], blocks: NDArray[np.integer], total: int
) -> IntArray:
    """How many servers host each of the model's blocks, shape (total,)."""
    changes, used = np.zeros(total + 1, dtype=np.int64), blocks > 0
    np.add.at(changes, first_block[used] - 1, 1)
    np.add.at(changes, first_block[used] - 1 + blocks[used], -1)
    return np.cumsum(changes)[:-1]


def free_cache_tokens(swarm: Swarm, blocks: NDArray[np.integer]) -> IntArray:
    """Cache left over beside the parameters: ⌊(M_j − s_m m_j) / cache of a token in a block⌋.

    One unit holds one token of one block, so requests of different lengths share one account:
    a session of l tokens that uses k blocks holds k·l units (k slots; docs/model.md#memory).
    """
    model = swarm.model
    leftover_gb = np.where(blocks > 0, swarm.memory_gb - model.block_gb * blocks, 0.0)
    return floor_ratio(leftover_gb, model.cache_gb_per_token)


def longest_session_tokens(
    first_block: NDArray[np.integer],
    blocks: NDArray[np.integer],
    cache_tokens: NDArray[np.integer],
    model_blocks: int,
) -> int:
    """Longest session that some chain has room for while nobody else is served (tokens).

    Of every chain its tightest server counts, which holds k_j tokens of one block per token.
    """
    best = np.zeros(model_blocks + 1, dtype=np.int64)  # blocks 1..p done
    best[0] = np.iinfo(np.int64).max
    _longest_sessions(first_block, blocks, cache_tokens, best)
    return int(best[model_blocks])


@compiled
def _longest_sessions(first_block, blocks, cache_tokens, best):  # type: ignore[no-untyped-def]
    for done in range(best.shape[0] - 1):
        for server in range(blocks.shape[0]):
            end = first_block[server] + blocks[server] - 1
            if blocks[server] > 0 and first_block[server] <= done + 1 and end > done:
                held = min(best[done], cache_tokens[server] // (end - done))
                best[end] = max(best[end], held)


def session_capacity(swarm: Swarm, blocks: NDArray[np.integer], session_tokens: int) -> IntArray:
    """Sessions f_j that fit if each uses all m_j blocks (Algorithm 1); 0 where m_j = 0."""
    slots = free_cache_tokens(swarm, blocks) // session_tokens
    return np.where(blocks > 0, slots // np.maximum(blocks, 1), 0)


def conservative_blocks(swarm: Swarm, load: int, session_tokens: int) -> IntArray:
    """Blocks m_j = min(⌊M_j/(s_m + s_c R)⌋, L) that leave cache for R sessions (Algorithm 1).

    Parameters
    ----------
    load : int
        R, concurrent requests to make room for.
    session_tokens : int
        Tokens for which a session reserves cache.
    """
    model = swarm.model
    unit_gb = model.block_gb + model.session_cache_gb(session_tokens) * load
    return swarm.capped(floor_ratio(swarm.memory_gb, unit_gb))


def conservative_blocks_suffice(swarm: Swarm, load: int, session_tokens: int) -> bool:
    """Corollary 1: CG-BP is feasible for R iff Σ_j m_j ≥ L."""
    blocks = conservative_blocks(swarm, load, session_tokens)
    return int(blocks.sum()) >= swarm.model.blocks


def largest_load(swarm: Swarm, session_tokens: int) -> int:
    """Largest R for which CG-BP is feasible (Corollary 1); 0 if it is for none."""
    short = 1
    while conservative_blocks_suffice(swarm, short, session_tokens):
        short *= 2
    between = range(short // 2 + 1, short)

    def is_short(load: int) -> bool:
        return not conservative_blocks_suffice(swarm, load, session_tokens)

    return short // 2 + bisect_left(between, True, key=is_short)


def amortised_time_ms(swarm: Swarm, blocks: NDArray[np.integer]) -> FloatArray:
    """Amortised time per block t̃_j = τ_j + max_c t_cj / m_j (ms); infinite where m_j = 0.

    Where servers send on to each other, the longest leg into j takes the place of max_c t_cj.
    """
    worst_rtt = swarm.token_rtt_ms.max(axis=0)
    if swarm.neighbours is not None:
        worst_rtt = swarm.neighbours.worst_ms(blocks > 0)
    per_block = np.full(swarm.servers, np.inf)
    np.divide(worst_rtt, blocks, out=per_block, where=np.asarray(blocks) > 0)
    return swarm.tau_ms + per_block


def completion_bound(
    swarm: Swarm, blocks: NDArray[np.integer], order: Sequence[int], needed: int
) -> float:
    """Theorem 2: bound on the mean per-token time (ms) while at most R requests run at once.

    Parameters
    ----------
    order : sequence of int
        Servers by increasing amortised time.
    needed : int
        K, the fewest first servers of ``order`` that serve every block R-fold.
    """
    first = np.asarray(order[:needed])
    amortised = amortised_time_ms(swarm, blocks)
    surplus = int(blocks[first].sum()) - swarm.model.blocks
    bound_ms = float((amortised[first] * blocks[first]).sum() - swarm.tau_ms[first[-1]] * surplus)
    if swarm.neighbours is not None:  # back to the client
        bound_ms += float(swarm.neighbours.leave.token_ms[:, first].max())
    return bound_ms


def max_design_load(swarm: Swarm, session_tokens: int) -> int:
    """Largest load R_max that Corollary 1 guarantees; negative if there is none."""
    model = swarm.model
    rounded_up = model.blocks + swarm.servers
    spare_gb = float(swarm.memory_gb.sum()) - model.block_gb * rounded_up
    return math.floor(spare_gb / (model.session_cache_gb(session_tokens) * rounded_up))


def design_load(rate_per_s: float, single_request_ms: float, max_load: int) -> int:
    """Design load R = min(round(λT₁ + √(λT₁)), R_max), half rounded up.

    Where it comes from: docs/model.md#design-load.

    Parameters
    ----------
    rate_per_s : float
        Arrival rate λ (requests/s).
    single_request_ms : float
        T₁, time of a single request under CG-BPRR with R = 1 (ms).
    max_load : int
        R_max.
    """
    offered = rate_per_s * single_request_ms / 1000.0
    return min(math.floor(offered + math.sqrt(offered) + 0.5), max_load)
