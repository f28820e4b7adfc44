"""Tokens of a round of drafts, each accepted with one probability until the first miss."""

from __future__ import annotations

__all__ = ["acceptance_for", "tokens_per_round"]


def tokens_per_round(acceptance: float, drafts: int) -> float:
    """Tokens that a round commits: accepted drafts and the one after them."""
    return float(sum(acceptance**depth for depth in range(drafts + 1)))


def acceptance_for(tokens: float, drafts: int) -> float:
    """Acceptance that commits so many tokens a round; 0 or 1 if none does."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tokens_per_round(middle, drafts) < tokens else (low, middle)
    return high
