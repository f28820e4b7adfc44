"""The links of a placement and the clients' distances to them: what the searches over chains read.

A server that hosts blocks a..e takes a request from any position p ("blocks 1..p are done") with
a − 1 ≤ p < e to position e. Servers with the same end and the same time per block form a *family*,
those of a family that also start at the same block a *group* (see `positions`).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bprr.ground.compiled import compiled
from bprr.ground.schema import Strict
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext, RoutingPolicy

__all__ = ["ChainGraph", "ClientView", "Search", "SearchRouting", "view_of"]


class ChainGraph(NamedTuple):
    """The links of a placement: servers by end block, time per block and first block.

    N servers host blocks, in G groups and F families, at E end blocks.
    """

    blocks: int  # L
    server: IntArray  # (N,) index into the swarm, group by group
    group_first: IntArray  # (G + 1,) servers of group g: [group_first[g], group_first[g + 1])
    group_low: IntArray  # (G,) first position its servers may be entered from, a_j − 1
    family_first: IntArray  # (F + 1,) groups of family f, by increasing low
    family_tau_ms: FloatArray  # (F,)
    family_prefill_ms: FloatArray  # (F,)
    family_prefill_ms_per_token: FloatArray  # (F,)
    end_first: IntArray  # (E + 1,) families of the e-th end
    end_block: IntArray  # (E,)
    end_low: IntArray  # (E,) smallest low of its servers

    @classmethod
    def of(cls, placement: Placement) -> ChainGraph:
        """Links of a placement."""
        swarm = placement.swarm
        used = np.flatnonzero(placement.blocks > 0)
        columns = np.array(
            [
                placement.last_block[used],
                swarm.tau_ms[used],
                swarm.prefill_ms[used],
                swarm.prefill_ms_per_token[used],
                placement.first_block[used] - 1,
            ]
        )
        order = np.lexsort(columns[::-1])
        columns = columns[:, order]
        changes = np.ones(columns.shape, dtype=bool)
        np.not_equal(columns[:, 1:], columns[:, :-1], out=changes[:, 1:])
        # The first server of each end, family and group; every one of them starts a finer one too.
        starts = np.logical_or.accumulate(changes)
        ends, families, groups = (np.flatnonzero(starts[row]) for row in (0, 3, 4))
        end, tau_ms, prefill_ms, prefill_ms_per_token, low = columns
        low = low.astype(np.int64)
        return cls(
            swarm.model.blocks,
            used[order],
            np.append(groups, used.size),
            low[groups],
            np.append(np.searchsorted(groups, families), groups.size),
            tau_ms[families],
            prefill_ms[families],
            prefill_ms_per_token[families],
            np.append(np.searchsorted(families, ends), families.size),
            end[ends].astype(np.int64),
            np.minimum.reduceat(low, ends) if used.size else low,
        )


class ClientView(NamedTuple):
    """Distances to the N servers of a graph, each group in order of distance.

    One client's, shape (N,), or those of all clients, shape (C, N).
    """

    server: IntArray  # index into the swarm
    rtt_ms: FloatArray  # t_cj, increasing within a group
    prompt_rtt_ms: FloatArray  # t^I_cj at zero input tokens
    prompt_rtt_ms_per_token: FloatArray  # what each of them adds
    least_prompt_rtt_ms: FloatArray  # smallest of it and of the later ones in the group


class Search(NamedTuple):
    """State of the kernels that search over positions: the links, and space to work in."""

    graph: ChainGraph
    views: ClientView
    least_prompt_rtt_ms_per_token: float  # of all links
    distance: FloatArray  # these and the next five have shape (L + 1,)
    value: FloatArray
    bound: FloatArray
    by: IntArray
    source: IntArray
    best_from: IntArray
    moved: NDArray[np.bool_]  # (L + 1,)
    chain: IntArray  # (L,)
    processed: IntArray  # (L,)

    @classmethod
    def of(cls, placement: Placement) -> Self:
        """State for a placement, of which no client has been met."""
        graph, swarm = ChainGraph.of(placement), placement.swarm
        positions, shape = swarm.model.blocks + 1, (swarm.clients, graph.server.size)
        views = ClientView(np.empty(shape, dtype=np.int64), *np.empty((4, *shape)))
        return cls._make(
            (
                graph,
                views,
                float(swarm.prompt_rtt_ms_per_token.min()),
                *np.empty((3, positions)),
                *np.empty((3, positions), dtype=np.int64),
                np.empty(positions, dtype=np.bool_),
                *np.empty((2, positions - 1), dtype=np.int64),
            )
        )

    def meet(self, client: int, swarm: Swarm) -> None:
        """Order the servers for a client."""
        graph, views = self.graph, self.views
        rtt_ms, prompt_rtt_ms = swarm.token_rtt_ms[client], swarm.prompt_rtt_ms[client]
        group = np.repeat(np.arange(graph.group_low.size), np.diff(graph.group_first))
        keys = (graph.server, prompt_rtt_ms[graph.server], rtt_ms[graph.server], group)
        server = views.server[client] = graph.server[np.lexsort(keys)]
        views.rtt_ms[client] = rtt_ms[server]
        views.prompt_rtt_ms[client] = views.least_prompt_rtt_ms[client] = prompt_rtt_ms[server]
        views.prompt_rtt_ms_per_token[client] = swarm.prompt_rtt_ms_per_token[client][server]
        _least_of_later(views.least_prompt_rtt_ms[client], graph.group_first)


@compiled
def _least_of_later(value, group_first):  # type: ignore[no-untyped-def]
    for group in range(group_first.shape[0] - 1):
        for i in range(group_first[group + 1] - 2, group_first[group] - 1, -1):
            value[i] = min(value[i], value[i + 1])


@compiled(inline="always")
def view_of(search, client):  # type: ignore[no-untyped-def]
    """View of one client."""
    views = search.views
    return ClientView(
        views.server[client],
        views.rtt_ms[client],
        views.prompt_rtt_ms[client],
        views.prompt_rtt_ms_per_token[client],
        views.least_prompt_rtt_ms[client],
    )


class SearchRouting(RoutingPolicy):
    """Base of the policies that search for a shortest chain, each with the classes of its search.

    Over positions; where servers send on to each other, over servers (`neighbours`).
    """

    search_class: ClassVar[type[Search]] = Search
    neighbour_class: ClassVar[type[Any]]

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        hub = context.placement.swarm.neighbours is None
        search_class: Any = self.search_class if hub else self.neighbour_class
        self.state = self._search = search_class.of(context.placement)
        self._met: set[int] = set()

    def meet(self, client: int) -> None:
        """Order the servers for a client at its first request."""
        if client not in self._met:
            self._met.add(client)
            self._search.meet(client, self.context.placement.swarm)
