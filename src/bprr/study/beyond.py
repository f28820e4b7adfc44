"""Bounds beside the simulations of a sweep, draw by draw."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from bprr.ground.registry import SERVICE, Choice
from bprr.scenario.draw import draw
from bprr.settings.configuration import Settings
from bprr.study.bounds import fluid_bound
from bprr.study.capacity import capacity_of_any_placement
from bprr.study.points import catalogue, sweep_points
from bprr.study.waiting_bound import waiting_bound_ms

__all__ = ["bounds_of_sweep"]


def bounds_of_sweep(
    settings: Settings,
    name: str,
    topology: str,
    progress: Callable[[int], object] | None = None,
    waiting: int = 0,
) -> pd.DataFrame:
    """Lower bound on the mean time per token of every method's service, in every draw of a sweep.

    Parameters
    ----------
    name, topology : str
        Which sweep, on which topology.
    progress : callable, optional
        Called with 1 after every draw of every point.
    waiting : int
        With serial servers take L2 of so many first arrivals too, where it is larger than L1. It
        takes seconds each, and bounds the mean of those sessions, which begin in an empty swarm.

    Returns
    -------
    DataFrame
        One row per point, run and method: ``figure``, ``topology``, ``x``, ``run``, ``method``,
        ``service``, ``order``, ``charging``, ``bound_ms`` (per token), ``bound_kind``, and
        ``any_placement_per_s``, the rate that no placement of serial servers exceeds.
    """
    profiles, rows = catalogue(settings), []
    for point in sweep_points(settings, name, topology):
        for run in range(settings.runs_of(name)):
            drawn = draw(point.scenario, profiles, settings.seed, run)
            request = drawn.design_request
            any_placement_per_s = capacity_of_any_placement(drawn.swarm, request)
            known: dict[str, tuple[float, str]] = {}
            for method, entry in point.methods.items():
                choice = entry.service or point.scenario.service
                key = str(choice.content())
                if key not in known:
                    delay_ms = point.scenario.overheads.initial_ms
                    service = SERVICE.build(choice, drawn.swarm, delay_ms)
                    bound = fluid_bound(drawn.swarm, request, service, drawn.rate_per_s)
                    known[key] = bound.mean_ms / request.output_tokens, "L1"
                    if waiting and choice.name == "serial":
                        arrival_ms = drawn.workload.arrival_ms[:waiting]
                        later_ms = waiting_bound_ms(drawn.swarm, request, service, arrival_ms)
                        known[key] = max(known[key], (later_ms / request.output_tokens, "L2"))
                charging = entry.charging or point.scenario.charging
                rows.append(
                    {
                        "figure": name,
                        "topology": topology,
                        "x": point.x,
                        "run": run,
                        "method": method,
                        "service": choice.name,
                        "order": _order(choice),
                        "charging": charging.name,
                        "bound_ms": known[key][0],
                        "bound_kind": known[key][1],
                        "any_placement_per_s": any_placement_per_s,
                    }
                )
            if progress is not None:
                progress(1)
    return pd.DataFrame(rows)


def _order(service: Choice) -> str:
    """How servers take their tasks, in a word or two."""
    options = service.options.model_dump()
    prompt = options.get("prompt", "whole")
    words = [str(options.get("order", "")), "" if prompt == "whole" else str(prompt)]
    within_ms = options.get("prompt_within_ms")
    if within_ms is not None:
        words.append(f"prompts within {within_ms / 1000:g} s")
        if power := options.get("prompt_idle_power"):
            words[-1] += f" / idle^{power:g}"
    return " ".join(word for word in words if word)
