"""How the cost of a request grows with servers and requests, and the figure of it.

CG-BPRR (WS-RR, reserve) on random places on Earth, requests as fast as the swarm can serve; the
figure is ``figures/benchmark_growth``. Processor time of the compiled engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.measure import Row, row
from benchmarks.swarms import DESIGN_LOAD, ROOT, earth, placed
from bprr.figures import style
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.simulation.engine import simulate

BUDGET_S = 40
SERVERS = (30, 100, 300, 1_000, 3_000, 10_000)
REQUESTS = (100, 1_000, 10_000, 100_000)
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
    if not tiny:
        drawn(pd.DataFrame(table, columns=["servers", "requests", "us_per_request"]))


def drawn(table: pd.DataFrame) -> None:
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
            axes.set_xlabel(x)
        pair[0].set_ylabel("µs per request")
        style.heading(figure, "What a request costs the simulator")
    style.save(figure, table, ROOT / "figures" / "benchmark_growth")
