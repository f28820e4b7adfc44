"""Settings of the offline optimum, read alike by ``bprr solve``, ``bprr offline`` and workflow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bprr.ground.schema import Count, Positive, Strict

__all__ = ["OfflineSettings", "Option", "SolverName"]

SolverName = Literal["highs", "cbc", "gurobi", "scip"]
Option = bool | int | float | str


class OfflineSettings(Strict):
    """The offline optimum: its experiments, and the limits of any solver."""

    scale: Literal["smoke", "main", "study"] = Field("main", description="of the experiments")
    network: str = Field("bellcanada", description="where the scattered swarms are")
    time_limit_s: Positive = Field(60.0, description="wall-clock limit of one instance")
    threads: Count = Field(2, description="of the solver (SCIP always uses one)")
    relative_gap: Annotated[float, Field(ge=1e-6, lt=1, allow_inf_nan=False, strict=True)] = Field(
        1e-6, description="(objective - bound) / objective at which to stop; 1e-6 means optimal"
    )
    options: dict[SolverName, dict[str, Option]] = Field(
        {}, description="per solver, by its own names"
    )
