"""What a try comes to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOST_GB", "Finding", "Skipped"]

MOST_GB = 2.0  # of memory, for any process


class Skipped(Exception):
    """What a part needs and this machine lacks."""


@dataclass(frozen=True)
class Finding:
    """One try.

    Parameters
    ----------
    what : str
        What was done.
    fault : str
        What should not have happened; empty if all is well.
    seconds, gb : float
        How long it took, and the most memory of any of its processes.
    counts : bool
        Whether it is one of the tries, or makes sure that they mean something.
    """

    what: str
    fault: str = ""
    seconds: float = 0.0
    gb: float = 0.0
    counts: bool = True
