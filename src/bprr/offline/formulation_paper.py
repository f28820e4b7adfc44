"""The paper's MILP (13), faithful, as the reference (docs/model.md#offline-problem).

The logical graph has every ordered pair of servers, and links from each request's client (source)
to every server and from every server back to it (sink). Per request and link: binary ``f``, and the
products α = a_j f, γ = m_j f where the link enters a server j, β = a_i f, δ = m_i f where it leaves
a server i, each held by three big-M rows. At the source a = 0, m = 1; at the sink a = L+1.

(13f) is written on the products of its link, β + δ ≤ α + γ − f: the same for a link that is used,
and nothing for one that is not. With a_j + m_j − 1 on its right the relaxation would be worthless
(−39 651 ms for one request on the nine clustered servers, instead of 71.25 ms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bprr.ground.performance import blocks_processed
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.offline.instance import OfflineInstance
from bprr.offline.milp import Milp, RowBuilder
from bprr.offline.plan import Plan, Route
from bprr.placement.base import Placement

__all__ = ["PaperModel", "build_paper"]


@dataclass(frozen=True)
class PaperModel:
    """Programme (13) and what its columns mean."""

    instance: OfflineInstance
    milp: Milp  # columns 0..S−1 are a, the next S are m
    tail: IntArray  # servers that each link joins, shape (E,); −1 is the client
    head: IntArray
    flow: IntArray  # columns of f, shape (R, E)
    client: IntArray  # of each request, shape (R,)

    def plan(self, values: FloatArray) -> Plan:
        """Placement and routes of a solution."""
        swarm = self.instance.swarm
        whole = np.rint(values[: 2 * swarm.servers]).astype(np.int64)
        first_block, blocks = whole[: swarm.servers], whole[swarm.servers :]
        first_block = np.where(blocks > 0, first_block, 0)
        routes = []
        for request, client in enumerate(self.client):
            links = np.flatnonzero(values[self.flow[request]] > 0.5)
            following = dict(zip(self.tail[links].tolist(), self.head[links].tolist(), strict=True))
            chain, server = [], following[-1]
            while server != -1:
                chain.append(server)
                server = following[server]
            processed = blocks_processed(first_block, blocks, chain)
            routes.append(Route(int(client), tuple(chain), tuple(processed.tolist())))
        return Plan(Placement(swarm, first_block, blocks), tuple(routes))


def product_rows(
    rows: RowBuilder, product: IntArray, factor: IntArray, flow: IntArray, big: int
) -> None:
    """Hold product = factor · f for a binary f by three big-M rows each."""
    count = product.size
    under_flow = rows.add(np.full(count, -np.inf), np.zeros(count))
    rows.fill(under_flow, product, 1.0)
    rows.fill(under_flow, flow, -float(big))
    under_factor = rows.add(np.full(count, -np.inf), np.zeros(count))
    rows.fill(under_factor, product, 1.0)
    rows.fill(under_factor, factor, -1.0)
    over = rows.add(np.full(count, -float(big)), np.full(count, np.inf))
    rows.fill(over, product, 1.0)
    rows.fill(over, factor, -1.0)
    rows.fill(over, flow, -float(big))


def _network_ms(swarm: Swarm, client: int, tail: IntArray, head: IntArray) -> FloatArray:
    """What the network takes of a token on each link: a round trip, or a leg between neighbours."""
    enters, leaves = head >= 0, tail >= 0
    cost_ms = np.zeros(tail.size)
    legs = swarm.neighbours
    if legs is None:
        cost_ms[enters] = swarm.token_rtt_ms[client][head[enters]]
        return cost_ms
    within = enters & leaves
    cost_ms[~leaves] = legs.enter.token_ms[client][head[~leaves]]
    cost_ms[within] = legs.between.token_ms[tail[within], head[within]]
    cost_ms[~enters] = legs.leave.token_ms[client][tail[~enters]]
    return cost_ms


def build_paper(instance: OfflineInstance) -> PaperModel:
    """Integer programme (13), its objective without the factor l_max."""
    swarm, blocks = instance.swarm, instance.swarm.model.blocks
    servers = np.arange(swarm.servers)
    outside = np.full(swarm.servers, -1)
    before, after = (grid.ravel() for grid in np.meshgrid(servers, servers, indexing="ij"))
    pairs = before != after
    tail = np.concatenate([before[pairs], outside, servers])
    head = np.concatenate([after[pairs], servers, outside])
    enters, leaves = np.flatnonzero(head >= 0), np.flatnonzero(tail >= 0)
    within = np.flatnonzero((head >= 0) & (tail >= 0))
    from_source, to_sink = np.flatnonzero(tail < 0), np.flatnonzero(head < 0)

    first_column, size_column = servers, swarm.servers + servers
    client = np.repeat(np.arange(swarm.clients), instance.requests)
    links = tail.size
    width = links + 2 * (enters.size + leaves.size)
    columns = 2 * swarm.servers + instance.load * width
    cost, lower, upper = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    integer = np.zeros(columns, dtype=bool)
    lower[first_column], upper[first_column] = 1, blocks
    upper[size_column] = instance.most_blocks
    integer[: 2 * swarm.servers] = True

    rows = RowBuilder()
    memory = rows.add(np.full(swarm.servers, -np.inf), swarm.memory_gb)
    rows.fill(memory, size_column, swarm.model.block_gb)
    session_gb = swarm.model.session_cache_gb(instance.session_tokens)
    ends = rows.add(np.full(swarm.servers, -np.inf), np.full(swarm.servers, blocks + 1.0))
    rows.fill(ends, first_column, 1.0)
    rows.fill(ends, size_column, 1.0)
    flow = np.empty((instance.load, links), dtype=np.int64)
    for request in range(instance.load):
        start = 2 * swarm.servers + request * width
        f = flow[request] = start + np.arange(links)
        alpha, gamma = np.full(links, -1), np.full(links, -1)
        beta, delta = np.full(links, -1), np.full(links, -1)
        free = start + links
        for products, where in ((alpha, enters), (gamma, enters), (beta, leaves), (delta, leaves)):
            products[where] = free + np.arange(where.size)
            free += where.size
        upper[start : start + links] = 1
        integer[start : start + links] = True
        upper[start + links : free] = blocks

        # Blocks that a link's head processes, α − β + γ − δ, in the objective (13a) and in (13b).
        tau = swarm.tau_ms[head]
        cost[f] = _network_ms(swarm, int(client[request]), tail, head)
        for products, sign, where in (
            (alpha, 1.0, enters),
            (gamma, 1.0, enters),
            (beta, -1.0, within),
            (delta, -1.0, within),
        ):
            cost[products[where]] = sign * tau[where]
            rows.fill(memory[head[where]], products[where], sign * session_gb)
        cost[f[from_source]] -= tau[from_source]
        rows.fill(memory[head[from_source]], f[from_source], -session_gb)

        # (13c): one unit from source to sink.
        supply = np.zeros(swarm.servers + 2)
        supply[-2:] = 1, -1
        node = rows.add(supply, supply)
        rows.fill(node[np.where(tail < 0, swarm.servers, tail)], f, 1.0)
        rows.fill(node[np.where(head < 0, swarm.servers + 1, head)], f, -1.0)

        # (13e): the head starts at or before the block after the tail's range.
        begins = rows.add(np.full(links, -np.inf), np.where(tail < 0, 1.0, 0.0))
        rows.fill(begins[enters], alpha[enters], 1.0)
        rows.fill(begins[to_sink], f[to_sink], blocks + 1.0)
        rows.fill(begins[leaves], first_column[tail[leaves]], -1.0)
        rows.fill(begins[leaves], size_column[tail[leaves]], -1.0)

        # (13f): and ends after it, β + δ ≤ α + γ − f; for the sink this is (13d). Links that enter
        # servers come first, so they are their own places among these rows.
        passes = rows.add(np.full(enters.size, -np.inf), np.zeros(enters.size))
        rows.fill(passes, f[enters], 1.0)
        rows.fill(passes, alpha[enters], -1.0)
        rows.fill(passes, gamma[enters], -1.0)
        rows.fill(passes[within], beta[within], 1.0)
        rows.fill(passes[within], delta[within], 1.0)
        rows.fill(passes[from_source], f[from_source], 1.0)

        product_rows(rows, alpha[enters], first_column[head[enters]], f[enters], blocks + 1)
        product_rows(rows, gamma[enters], size_column[head[enters]], f[enters], blocks)
        product_rows(rows, beta[leaves], first_column[tail[leaves]], f[leaves], blocks)
        product_rows(rows, delta[leaves], size_column[tail[leaves]], f[leaves], blocks)
    return PaperModel(instance, rows.build(cost, lower, upper, integer), tail, head, flow, client)
