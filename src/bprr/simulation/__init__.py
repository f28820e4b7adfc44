"""What happens when requests meet a placement: sessions, waits, completions."""

from bprr.simulation.engine import Delays, simulate
from bprr.simulation.records import Records

__all__ = ["Delays", "Records", "simulate"]
