"""Public kinds of request traces, told apart by their columns.

A trace of another kind needs no code: `columns` and `time_unit` of a scenario say how it is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["FAMILIES", "SECONDS", "Family", "family_of"]

# Length of a unit of time; a column's name may end in one: `arrival_time_us`.
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Family:
    """How the traces of one source are read.

    Parameters
    ----------
    name : str
        For people.
    input_tokens, output_tokens : str
        Columns of the lengths.
    arrival : str, optional
        Column of the times; traces of lengths alone have none.
    time_unit : str, optional
        Of times that are numbers, where the source says it.
    served : mapping
        Column and value of the rows that were served, where the others are kept too.
    failed_without_output : bool
        Rows without output tokens are failed calls.
    """

    name: str
    input_tokens: str
    output_tokens: str
    arrival: str | None = None
    time_unit: str | None = None
    served: Mapping[str, str] = field(default_factory=dict)
    failed_without_output: bool = False

    @property
    def columns(self) -> list[str]:
        """Columns that are read."""
        times = [] if self.arrival is None else [self.arrival]
        return [*times, self.input_tokens, self.output_tokens, *self.served]


# The first whose columns are all there; those with times come before lengths alone.
FAMILIES = (
    Family("Azure 2023, 2024", "ContextTokens", "GeneratedTokens", "TIMESTAMP"),
    Family("BurstGPT", "Request tokens", "Response tokens", "Timestamp", "s",
           failed_without_output=True),
    Family("Mooncake", "input_length", "output_length", "timestamp", "ms"),
    Family("vidur", "num_prefill_tokens", "num_decode_tokens", "arrived_at", "s"),
    Family("LLMServingSim", "input_toks", "output_toks", "arrival_time_ns", "ns"),
    Family("BLIS", "input_tokens", "output_tokens", "arrival_time_us", "us", {"status": "ok"}),
    Family("splitwise-sim", "prompt_size", "token_size", "arrival_timestamp", "s"),
    Family("own", "input_tokens", "output_tokens", "timestamp"),
    Family("own", "input_tokens", "output_tokens", "TIMESTAMP"),
    Family("Azure 2023, 2024", "ContextTokens", "GeneratedTokens", "timestamp"),
    Family("vidur lengths", "num_prefill_tokens", "num_decode_tokens"),
    Family("LLMServingSim lengths", "input_toks", "output_toks"),
    Family("Mooncake lengths", "input_length", "output_length"),
    Family("lengths", "input_tokens", "output_tokens"),
)  # fmt: skip


def family_of(names: Collection[str]) -> Family | None:
    """Family of a file with these columns."""
    present = set(names)
    return next((family for family in FAMILIES if present.issuperset(family.columns)), None)
