"""A trace replayed as a scenario replays it."""

from pathlib import Path

from bprr.scenario.demand import Load, TraceDemand
from bprr.scenario.streams import Streams
from bprr.scenario.workload import Workload


def loaded(path: Path, clients: int = 1, longest: int = 10**9, **keys) -> Load:
    """What a trace comes to."""
    demand = TraceDemand(kind="trace", file=path, **keys)
    return demand.draw(1, clients, None, longest, Streams(1, 0))


def replay(path: Path, clients: int = 1, **keys) -> Workload:
    """Requests of a trace."""
    return loaded(path, clients, **keys).workload
