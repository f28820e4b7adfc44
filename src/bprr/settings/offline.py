"""Settings of the experiments on the offline optimum."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from bprr.ground.schema import Count, Positive, Strict

__all__ = ["OfflineSettings", "SolverName"]

SolverName = Literal["highs", "cbc", "gurobi", "scip"]


class OfflineSettings(Strict):
    """Experiments on the offline optimum."""

    scale: Literal["smoke", "main", "study"] = "main"
    network: str = Field("bellcanada", description="where the scattered swarms are")
    time_limit_s: Positive = 60.0
    threads: Count = 2
    options: dict[SolverName, dict[str, Any]] = Field({}, description="per solver, its own names")
