"""How the cost of a request grows with servers and requests, and the figure of it.

CG-BPRR (WS-RR, reserve) on random places on Earth, requests as fast as the swarm can serve; the
figure is ``figures/benchmark_growth``. Processor time of the compiled engine, with exponents fitted
to it: the cost of one more request should not grow with those before it, and with servers no faster
than a logarithm does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from time import process_time

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.measure import Row, row
from benchmarks.swarms import DESIGN_LOAD, ROOT, earth, placed
from bprr.figures import style
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.simulation.engine import simulate

BUDGET_S = 30
SERVERS = (30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
REQUESTS = (100, 1_000, 10_000, 100_000)
MANY = 1_000  # requests, from which on a run is no longer its start
# ln S grows from 30 to 100,000 servers as S to the power of .15 does.
TARGETS = {"servers": 0.15, "requests": 0.05}
REPEATS = 3
MEDIAN_S = 20.0  # of a session, about


def run(tiny: bool) -> Iterator[Row]:
    servers, requests = (SERVERS[:1], REQUESTS[:2]) if tiny else (SERVERS, REQUESTS)
    table = []
    for count in servers:
        instance = earth(count, workload__requests=1)
        placement = placed(instance)
        for number in requests:
            rng = np.random.default_rng(1)
            load = Workload(
                poisson_arrivals_ms(rng, number, DESIGN_LOAD / MEDIAN_S),
                rng.integers(instance.swarm.clients, size=number),
                np.array(20),
                np.array(128),
            )
            taken = []
            for _ in range(REPEATS + 1):  # the first compiles
                begin = process_time()
                simulate(placement, load, "ws_rr")
                taken.append((process_time() - begin) / number * 1e6)
            yield row(f"{count:,} servers, {number:,} requests", taken[1:], "µs/request")
            table.append((count, number, float(np.median(taken[1:]))))
    if tiny:
        return
    frame = pd.DataFrame(table, columns=["servers", "requests", "us_per_request"])
    found = exponents(frame)
    for name, exponent in found.items():
        yield row(f"exponent of {name}", exponent, "", TARGETS[name])
    drawn(frame, found)


def exponents(table: pd.DataFrame) -> dict[str, float]:
    """Powers of servers and requests with which the cost of one more request grows.

    To start costs time by the server, whatever comes then: so not the mean cost, but what so many
    more requests have cost.
    """
    total = table.pivot(index="servers", columns="requests", values="us_per_request")
    total = total * total.columns
    found = []
    for few, many in pairwise(count for count in total if count >= MANY):
        more = (total[many] - total[few]) / (many - few)
        # Of many servers the start takes so long that its noise can exceed what more requests cost.
        found += [(s, np.sqrt(few * many), cost) for s, cost in more.items() if cost > 0]
    servers, requests, cost = np.log(np.array(found).T)
    design = np.column_stack([np.ones_like(cost), servers, requests])
    fitted, *_ = np.linalg.lstsq(design, cost, rcond=None)
    return dict(zip(TARGETS, fitted[1:].tolist(), strict=True))


def drawn(table: pd.DataFrame, found: dict[str, float]) -> None:
    """Write the figure."""
    with style.applied():
        figure: Figure = style.new_figure(style.TEXT_IN, 3.2)
        pair = figure.subplots(1, 2, sharey=True)
        for axes, x, other in zip(
            pair, ("servers", "requests"), ("requests", "servers"), strict=True
        ):
            for value, rows in table.groupby(other):
                cost = rows["us_per_request"]
                axes.plot(rows[x], cost, marker="o", markersize=3, label=f"{value:,}")
            axes.legend(title=other, fontsize=7)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(f"{x} (one more request: {x} to the power of {found[x]:.2f})")
        pair[0].set_ylabel("µs per request")
        style.heading(figure, "What a request costs the simulator")
    style.save(figure, table, ROOT / "figures" / "benchmark_growth")
