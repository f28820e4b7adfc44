"""The offline optimum: proven plans by integer programming, with any solver (paper, section 3)."""

from bprr.offline.backends import SOLVERS, SolverSettings, installed_solvers
from bprr.offline.instance import OfflineInstance
from bprr.offline.plan import OfflineResult, Plan, Route
from bprr.offline.routing_ilp import route_exactly
from bprr.offline.solve import FORMULATIONS, evaluate_plan, solve_offline

__all__ = [
    "FORMULATIONS",
    "SOLVERS",
    "OfflineInstance",
    "OfflineResult",
    "Plan",
    "Route",
    "SolverSettings",
    "evaluate_plan",
    "installed_solvers",
    "route_exactly",
    "solve_offline",
]
