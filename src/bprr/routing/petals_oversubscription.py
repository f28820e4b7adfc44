"""PETALS' routing without discrepancy 5 (docs/discrepancies.md#d5)."""

from __future__ import annotations

from bprr.routing.petals import PetalsRouting

__all__ = ["PetalsOversubscriptionRouting"]


class PetalsOversubscriptionRouting(PetalsRouting, name="petals_oversubscription"):
    """PETALS' routing whose penalty also holds at oversubscribed servers."""

    oversubscribed_is_full = True
