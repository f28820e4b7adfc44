"""What other Python programs use; `bprr` itself offers these names.

A scenario simulated in five lines:

>>> import bprr
>>> scenario = bprr.load_scenario("scattered", {"fleet.servers": 10, "workload.requests": 20})
>>> for method in ("petals", "proposed"):
...     requests = bprr.simulate(scenario, method, runs=2)
...     print(f"{method}: {requests['per_token_ms'].mean() / 1000:.2f} s per token")
petals: 1.15 s per token
proposed: 0.50 s per token
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bprr.offline.backends.base import SolverSettings
from bprr.offline.instance import OfflineInstance, shared_out
from bprr.offline.plan import OfflineResult
from bprr.offline.solve import solve_offline
from bprr.placement.base import Placement
from bprr.scenario.draw import Instance, draw
from bprr.scenario.scenario import Scenario
from bprr.settings.configuration import Settings, load_settings
from bprr.study.design_load import design_load_of
from bprr.study.method import MethodRunner
from bprr.study.points import SweepPoint, catalogue
from bprr.study.single import methods_named, variant_named
from bprr.study.sweep import run_sweep, simulate_point

__all__ = ["offline_instance", "place", "simulate", "solve", "sweep"]


def simulate(
    scenario: Scenario,
    method: str | Sequence[str] = "proposed",
    runs: int = 10,
    *,
    delays: str | None = None,
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Simulate a scenario.

    Parameters
    ----------
    scenario : Scenario
        What `load_scenario` returns.
    method : str or sequence of str
        Methods of the settings; all of them meet the same draws.
    runs : int
        Independent draws of servers, clients and arrivals.
    delays : str, optional
        Delay variant of the settings; no allocation delays if not given.
    settings : Settings, optional
        What `load_settings` returns; as shipped if not given.

    Returns
    -------
    DataFrame
        One row per request; a run that is infeasible leaves one row whose ``status`` says why.
        Columns: see ``data/README.md``.

    Raises
    ------
    InputError, InputErrors
        If anything cannot be used.

    Examples
    --------
    >>> from bprr import load_scenario, simulate
    >>> scenario = load_scenario("scattered", {"workload.requests": 3})
    >>> simulate(scenario, ["petals", "proposed"], runs=2).groupby("method").size().to_dict()
    {'petals': 6, 'proposed': 6}
    """
    settings = settings or load_settings()
    names = [method] if isinstance(method, str) else method
    variant = variant_named(settings, delays)
    point = SweepPoint.of(scenario, methods_named(settings, names), variant)
    return simulate_point(point, catalogue(settings), settings.seed, runs)


def place(
    scenario: Scenario, method: str = "proposed", *, run: int = 0, settings: Settings | None = None
) -> Placement:
    """Place the blocks of one draw of a scenario.

    Parameters
    ----------
    method : str
        Method of the settings.
    run : int
        Which draw; run r is the same as in `simulate`.

    Raises
    ------
    InfeasibleError
        If no placement exists.
    InputError, InputErrors
        If anything cannot be used.

    Examples
    --------
    >>> from bprr import load_scenario, place
    >>> placement = place(load_scenario("clustered"))
    >>> placement.swarm.device[:3], placement.blocks[:3].tolist()
    (('mig_clustered', 'mig_clustered', 'mig_clustered'), [4, 4, 4])
    """
    settings = settings or load_settings()
    (chosen,) = methods_named(settings, [method]).values()
    instance = draw(scenario, catalogue(settings), settings.seed, run)
    return MethodRunner(instance).placement(chosen.placement, 0.0)


def solve(
    scenario: Scenario,
    requests: Sequence[int] | None = None,
    *,
    formulation: str = "strong",
    run: int = 0,
    settings: Settings | None = None,
) -> OfflineResult:
    """Find the optimal placement and routes of one draw of a scenario, for requests all at once.

    Parameters
    ----------
    requests : sequence of int, optional
        Concurrent requests of every client; the design load if not given.
    formulation : str
        ``"strong"`` or ``"paper"`` (the same problem), or ``"relaxed"``; see `solve_offline`.
    run : int
        Which draw; run r is the same as in `simulate`.
    settings : Settings, optional
        Their ``solver`` and ``offline`` say by what and within which limits.

    Raises
    ------
    InputError, InputErrors
        If anything cannot be used.
    BprrError
        If the solver is not installed or has no licence.

    Examples
    --------
    >>> from bprr import load_scenario, solve
    >>> fast = {"fleet": {"servers": 3, "rest": "a100"}}
    >>> result = solve(load_scenario("scattered", fast), [2])
    >>> print(f"{result.status}: {result.objective_ms / 2:.0f} ms per token")
    optimal: 454 ms per token
    """
    settings = settings or load_settings()
    instance = offline_instance(draw(scenario, catalogue(settings), settings.seed, run), requests)
    solver = SolverSettings.of(settings.offline, settings.solver)
    return solve_offline(instance, formulation, solver)


def offline_instance(drawn: Instance, requests: Sequence[int] | None = None) -> OfflineInstance:
    """Offline problem of a draw; without requests its design load, dealt to the clients.

    Raises
    ------
    InputError
        If there is not one number of requests for every client.
    """
    if requests is None:
        # As in sweeps, for a method without a delay of its own.
        requests = shared_out(design_load_of(drawn, 0.0), drawn.swarm.clients)
    return OfflineInstance(drawn.swarm, requests, drawn.design_request.cache_tokens)


def sweep(name: str, topology: str, *, settings: Settings | None = None) -> pd.DataFrame:
    """Run a sweep of the settings on one topology.

    Returns
    -------
    DataFrame
        One row per request, as in `simulate`, led by ``figure`` (the sweep) and ``topology``.

    Raises
    ------
    InputError, InputErrors
        If anything cannot be used.

    Examples
    --------
    >>> from bprr import load_settings, sweep
    >>> small = {"axes": {"fleet.servers": [6]}, "methods": ["petals"], "runs": 1}
    >>> settings = load_settings(overrides={"sweeps": {"fig7": small}})
    >>> requests = sweep("fig7", "abovenet", settings=settings)
    >>> requests.groupby("allocation_delays", observed=True).size().to_dict()
    {'none': 50, 'published': 50}
    """
    return run_sweep(settings or load_settings(), name, topology)
