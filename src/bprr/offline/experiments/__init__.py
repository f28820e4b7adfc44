"""What the offline optimum answers: experiments that return tidy tables, one file each.

Objectives are Σ over requests of the per-token time (13a without l_max), in ms.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from bprr.offline.experiments import equal_blocks, optimality, relaxed_stopping, solver_race
from bprr.offline.experiments.study import Study

__all__ = ["EXPERIMENTS", "Study"]

EXPERIMENTS: dict[str, Callable[[Study], pd.DataFrame]] = {
    "optimality": optimality.optimality,
    "solver_race": solver_race.solver_race,
    "relaxed_stopping": relaxed_stopping.relaxed_stopping,
    "equal_blocks": equal_blocks.equal_blocks,
}
