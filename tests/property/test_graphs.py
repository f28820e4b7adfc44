"""The reader of .graph files against an independent Dijkstra over directed links."""

import heapq
import json
from pathlib import Path

import numpy as np
import pytest

from bprr.scenario.topologies import read_repetita

MOST_NODES = 80  # of a topology that is tried; larger ones take long in plain Python
LEAST_TOPOLOGIES = 300


def distances(links, source, nodes):
    """Shortest one-way delays from a node, by a heap."""
    ways = {}
    for a, b, delay in links:
        ways.setdefault(a, []).append((b, delay))
    best, queue = {}, [(0, source)]
    while queue:
        delay, node = heapq.heappop(queue)
        if node in best:
            continue
        best[node] = delay
        for there, more in ways.get(node, ()):
            if there not in best:
                heapq.heappush(queue, (delay + more, there))
    return [best[node] for node in range(nodes)]


def test_round_trips_on_hundreds_of_topologies(tmp_path):
    topohub = pytest.importorskip("topohub")
    random, tried = np.random.default_rng(1), 0
    path = tmp_path / "x.graph"
    for file in sorted((Path(topohub.__file__).parent / "data").rglob("*.json")):
        topology = json.loads(file.read_text(encoding="utf-8"))
        nodes, edges = topology["nodes"], topology.get("edges", topology.get("links"))
        if len(nodes) > MOST_NODES:
            continue
        index = {node["id"]: place for place, node in enumerate(nodes)}
        ends = [(index[edge["source"]], index[edge["target"]]) for edge in edges]
        # Every link both ways, with another delay each; some of them of no delay at all.
        links = [
            (*pair, int(delay))
            for a, b in ends
            for pair, delay in zip(((a, b), (b, a)), random.integers(0, 9_000, 2), strict=True)
        ]
        lines = [f"NODES {len(nodes)}", "label x y"]
        lines += [f"n{place} 1 1" for place in range(len(nodes))]
        lines += [f"EDGES {len(links)}", "label src dest weight delay bw"]
        lines += [f"e{number} {a} {b} 1 {us} 5" for number, (a, b, us) in enumerate(links)]
        path.write_text("\n".join(lines), encoding="utf-8")
        network = read_repetita(path)
        source, target = (int(node) for node in random.integers(len(nodes), size=2))
        there = distances(links, source, len(nodes))[target]
        back = distances(links, target, len(nodes))[source]
        found = network.rtt_ms(np.array([source]), np.array([target]))[0, 0]
        assert found == pytest.approx((there + back) / 1000), file.name
        tried += 1
    assert tried >= LEAST_TOPOLOGIES
