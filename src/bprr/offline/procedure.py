"""The whole procedure around a flow formulation: bound, plan, fixing, small programmes, packing.

1. The linear relaxation gives a lower bound b and reduced costs d.
2. CG-BPRR's placement with its requests routed exactly gives a plan.
3. For a target cost T, every solution that costs at most T keeps each column at or below
   (T − b)/d, so most columns vanish. The small integer programme that is left either has an
   optimum z ≤ T, which is then the optimum of all, or proves that the optimum is at least T.
   Targets rise from just above b to the cost of the best plan known, where the proof is complete.
4. Each solution's arcs are packed into the servers of their classes. Where that fails, the classes
   at fault are split into single servers, for which the formulation is exact, and step 1 begins
   anew; the bound found so far stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from bprr.ground.errors import InfeasibleError
from bprr.ground.swarm import FloatArray
from bprr.offline.backends.base import (
    MilpResult,
    NothingFoundError,
    SolverKilledError,
    SolverSettings,
    relative_gap,
    status_of,
)
from bprr.offline.backends.highs import solve_relaxation
from bprr.offline.backends.solve import require_solver, solve_milp
from bprr.offline.formulation_strong import FlowModel
from bprr.offline.instance import OfflineInstance, ServerClass
from bprr.offline.milp import Milp
from bprr.offline.packing import Arc, Window, placement_from_windows, plan_from_arcs
from bprr.offline.plan import OfflineResult, Plan
from bprr.offline.routing_ilp import route_exactly
from bprr.placement.base import Placement
from bprr.placement.cg_bp import cg_bp
from bprr.settings.offline import Option

__all__ = ["FlowFormulation", "solve_flow_formulation"]

FIRST_STEP, STEP_GROWTH = 0.0025, 4.0  # first target above the bound, relative; then wider
WORTH_IT = 1.5  # a target short of the best plan must save at least a third of what lies between
SHARE_OF_TIME = 0.35  # of what is left, for a programme that may not be the last
# What costs more than it saves where no two servers are equal, a third of the time of the longest
# proofs: reduced costs have fixed columns already, and there is no symmetry.
WORTHLESS_OFF: dict[str, dict[str, Option]] = {
    "highs": {"mip_allow_restart": False, "mip_detect_symmetry": False}
}

Packer = Callable[[Sequence[Arc], Sequence[Window]], list[Window] | None]


@dataclass(frozen=True)
class FlowFormulation:
    """What the procedure needs to know about a formulation over windows and arcs."""

    name: str
    build: Callable[[OfflineInstance, tuple[ServerClass, ...]], FlowModel]
    pack: Packer  # windows for arcs of one class, or None
    evaluate: Callable[[OfflineInstance, Plan], float]  # verifies a plan; its objective (ms)


@dataclass
class Search:
    """Progress of one run: best plan, bound, clock and what was solved on the way."""

    instance: OfflineInstance
    formulation: FlowFormulation
    settings: SolverSettings
    started: float = field(default_factory=perf_counter)
    plan: Plan | None = None
    objective: float = float("inf")
    bound: float = 0.0
    nodes: int = 0
    trace: list[tuple[float, float, float]] = field(default_factory=list)
    solves: list[dict[str, object]] = field(default_factory=list)
    splits: int = 0
    ended: str = ""

    @property
    def seconds(self) -> float:
        """Time since the start (s)."""
        return perf_counter() - self.started

    @property
    def remaining(self) -> float:
        """Time left (s)."""
        return self.settings.time_limit_s - self.seconds

    @property
    def proven(self) -> bool:
        """Whether bound and objective meet, up to the gap that is asked for."""
        if self.plan is None:
            return self.bound == float("inf")
        return relative_gap(self.objective, self.bound) <= self.settings.relative_gap

    def offer(self, plan: Plan) -> None:
        """Verify a plan and keep it if it is the best."""
        objective = self.formulation.evaluate(self.instance, plan)
        if objective < self.objective:
            self.plan, self.objective = plan, objective
        self.note()

    def raise_bound(self, bound: float) -> None:
        """Keep a higher lower bound."""
        self.bound = max(self.bound, bound)
        self.note()

    def note(self) -> None:
        """Record the progress."""
        self.trace.append((self.seconds, self.objective, self.bound))


def greedy_plan(search: Search) -> None:
    """Offer CG-BPRR's placement with exactly routed requests; lower design loads if need be."""
    instance, load = search.instance, search.instance.load
    while load > 0 and search.plan is None:
        with suppress(InfeasibleError, NothingFoundError):
            placement = cg_bp(instance.swarm, load, instance.session_tokens)
            search.offer(route_exactly(instance, placement, limited(search, 0.1)))
        load = load * 4 // 5


def limited(search: Search, share: float) -> SolverSettings:
    """Settings with a share of the time left, and a gap that leaves room for rounding."""
    settings, unequal = search.settings, all(each.count == 1 for each in search.instance.classes)
    off = WORTHLESS_OFF.get(settings.solver, {}) if unequal else {}
    return replace(
        settings,
        time_limit_s=max(0.05, search.remaining * share),
        relative_gap=settings.relative_gap / 10,
        options={**off, **settings.options},
    )


def next_target(search: Search, step: float) -> float:
    """Cost to search up to: a step above the bound, or the best plan's if that is not much more."""
    rise = step * search.bound
    if search.objective - search.bound <= WORTH_IT * rise:
        return search.objective
    return search.bound + rise


def caps_for_target(model: FlowModel, slack: float, reduced_cost: FloatArray) -> FloatArray:
    """Upper bounds that every solution within ``slack`` of the linear bound obeys."""
    costly = reduced_cost > 0
    most = np.floor(slack / np.where(costly, reduced_cost, 1.0) + 1e-6)
    return np.where(costly, np.minimum(model.milp.upper, most), model.milp.upper)


def unpack(
    model: FlowModel, values: FloatArray, pack: Packer
) -> tuple[Placement, list[tuple[Arc, Window]], list[ServerClass]]:
    """Placement of a solution, its packed arcs, and the classes that could not be packed."""
    counts = np.rint(values).astype(int)
    windows: list[Window] = []
    packed: list[tuple[Arc, Window]] = []
    failed: list[ServerClass] = []
    for part in model.classes:
        members = iter(part.servers.members)
        own = [
            Window(next(members), int(end - size), int(end), int(part.servers.slots[size]))
            for size, end, column in zip(
                part.window_size, part.window_end, part.window_column, strict=True
            )
            for _ in range(counts[column])
        ]
        arcs = [
            Arc(int(client), int(part.arc_tail[arc]), int(part.arc_head[arc]))
            for client, arc in np.argwhere(counts[part.arc_column] > 0)
            for _ in range(counts[part.arc_column[client, arc]])
        ]
        windows += own
        places = pack(arcs, own)
        if places is None:
            failed.append(part.servers)
        else:
            packed += zip(arcs, places, strict=True)
    return placement_from_windows(model.instance.swarm, windows), packed, failed


def solve_flow_formulation(
    formulation: FlowFormulation, instance: OfflineInstance, settings: SolverSettings
) -> OfflineResult:
    """Solve a flow formulation to proven optimality, or as far as the limits allow.

    Linear relaxations are always solved by HiGHS, and their bounds recomputed from the duals.
    """
    used = require_solver(settings.solver)
    search = Search(instance, formulation, settings)
    classes = instance.classes
    try:
        greedy_plan(search)
        while not search.proven and search.remaining > 0:
            failed = solve_for_classes(search, classes)
            if not failed:
                break
            search.splits += len(failed)
            at_fault = {servers.members for servers in failed}
            classes = tuple(
                part
                for servers in classes
                for part in (
                    [instance.server_class([member]) for member in servers.members]
                    if servers.members in at_fault
                    else [servers]
                )
            )
    except SolverKilledError as error:
        if search.plan is None:
            raise
        search.ended = str(error).splitlines()[0]
    ended = "time_limit" if search.remaining <= 0 else "stopped"
    if search.plan is None and search.proven:
        ended = "infeasible"
    return OfflineResult(
        plan=search.plan,
        objective_ms=search.objective,
        bound_ms=min(search.bound, search.objective),
        status=status_of(ended, search.objective, search.bound, settings.relative_gap),
        seconds=search.seconds,
        nodes=search.nodes,
        formulation=formulation.name,
        solver_requested=settings.solver,
        solver_used=used,
        trace=tuple(search.trace),
        details={
            "programmes": search.solves,
            "classes_split": search.splits,
            "ended": search.ended,
        },
    )


def solve_for_classes(search: Search, classes: tuple[ServerClass, ...]) -> list[ServerClass]:
    """Raise the target until the proof is complete; return classes that could not be packed."""
    model = search.formulation.build(search.instance, classes)
    linear_bound, reduced_cost = solve_relaxation(model.milp, search.remaining)
    search.raise_bound(linear_bound)
    step = FIRST_STEP
    while not search.proven and search.remaining > 0:
        target = next_target(search, step)
        step *= STEP_GROWTH
        caps = caps_for_target(model, target - linear_bound, reduced_cost)
        everything = bool((caps >= model.milp.upper).all())
        last = everything or target == search.objective
        smaller, kept = model.milp.restricted(caps)
        result = solve_milp(
            smaller, limited(search, 1.0 if last else SHARE_OF_TIME), search.formulation.name
        )
        record(search, target, smaller, result)
        # Beyond the target this says nothing, unless no column was left out.
        search.raise_bound(result.bound if everything else min(result.bound, target))
        if result.values is None:
            if last and result.status == "stopped":
                break
            continue
        values = np.zeros(model.milp.columns)
        values[kept] = result.values
        placement, packed, failed = unpack(model, values, search.formulation.pack)
        if not failed:
            search.offer(plan_from_arcs(search.instance, placement, packed))
            if last and result.status != "time_limit":
                break  # the same programme again would end in the same way
            continue
        # The windows may still serve the requests in another way.
        with suppress(InfeasibleError, NothingFoundError):
            search.offer(route_exactly(search.instance, placement, limited(search, 0.1)))
        if not search.proven:
            return failed
    return []


def record(search: Search, target: float, milp: Milp, result: MilpResult) -> None:
    """Keep what one integer programme took."""
    search.nodes += result.nodes
    search.ended = result.said
    kept = ("status", "objective", "bound", "seconds", "nodes", "log_path")
    search.solves.append(
        {"target_ms": target, "columns": milp.columns, "rows": milp.rows}
        | {name: getattr(result, name) for name in kept}
    )
