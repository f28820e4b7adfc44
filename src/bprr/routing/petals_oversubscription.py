"""PETALS' routing without discrepancy 5 (docs/discrepancies.md#d5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bprr.ground.swarm import IntArray
from bprr.routing.petals import PetalsRouting

__all__ = ["PetalsOversubscriptionRouting"]


class PetalsOversubscriptionRouting(PetalsRouting, name="petals_oversubscription"):
    """PETALS' routing whose penalty also holds at oversubscribed servers."""

    def looks_full(self, free_sessions: IntArray) -> NDArray[np.bool_]:
        """Zero or fewer sessions left."""
        return free_sessions <= 0
