"""About how long a run will take and how much it will write, said before it starts."""

from __future__ import annotations

from collections.abc import Iterable

from bprr.scenario.demand import PoissonDemand
from bprr.settings.configuration import Settings
from bprr.study.points import sweep_points

__all__ = ["about", "length_of", "requests_of"]

# Of a run of everything on two cores of 2.6 GHz.
START_S, REQUEST_S = 2.5, 4e-6  # of a job: Python and its libraries; every request
TOKEN_S = 4e-6  # every token of a request whose servers have queues
EXPERIMENT_S = {"smoke": 30.0, "main": 50.0, "study": 3600.0}  # of the offline optimum
JOB_BYTES, REQUEST_BYTES = 150e3, 2.3


def requests_of(settings: Settings, name: str, topology: str) -> tuple[float, float]:
    """Requests that a sweep simulates on a topology, and the seconds that they cost, about.

    Over points, runs, methods and delays.
    """
    requests = seconds = 0.0
    for point in sweep_points(settings, name, topology):
        demand = point.scenario.workload
        simulated = (length_of(demand) or 1000.0) * len(point.methods) * len(point.delays)
        simulated *= settings.runs_of(name)
        requests += simulated
        tokens = getattr(demand, "output_tokens", None)
        queued = point.scenario.service.name != "independent"
        tokens = (tokens if isinstance(tokens, int) else 128) if queued else 0
        seconds += simulated * (REQUEST_S + TOKEN_S * tokens)
    return requests, seconds


def length_of(demand: object) -> float | None:
    """Requests of a demand in one run, about; of a whole trace nobody knows before it is read."""
    match demand:
        case PoissonDemand(duration_s=float(duration_s)):
            return duration_s * demand.rate_per_s
        case _:
            return getattr(demand, "requests", None)


def about(
    settings: Settings,
    jobs: int,
    swept: Iterable[tuple[tuple[str, str], float]],
    experiments: int,
    cores: int,
) -> str:
    """Jobs, minutes and MB of a run with these jobs; sweeps and experiments are among them.

    ``swept`` are sweeps with their topologies, and which share of their runs.
    """
    requests, seconds = 0.0, START_S * jobs
    for pair, share in swept:
        simulated, spent_s = requests_of(settings, *pair)
        requests += simulated * share
        seconds += spent_s * share
    seconds += EXPERIMENT_S[settings.offline.scale] * experiments
    size = JOB_BYTES * jobs + REQUEST_BYTES * requests
    minutes = max(round(seconds / cores / 60), 1)
    return f"{jobs}, about {minutes} min on {cores} cores, about {max(round(size / 1e6), 1)} MB"
