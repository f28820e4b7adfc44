"""A plan as a file: the schema of plan.json (config/plan.schema.json)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bprr.ground.schema import Strict
from bprr.plan.known import Known

__all__ = ["PlanRecord", "Value", "value_of"]

Word = Literal["measured", "calibrated", "estimated"]
DIGITS = 5  # significant ones: what is estimated is known no better, and files stay the same


class Value(Strict):
    """A number with its interval, and where it comes from."""

    value: float | None
    low: float | None
    high: float | None
    grade: Word


def rounded(number: float) -> float | None:
    """Few digits; none of a number that does not exist."""
    return (
        None if number != number or abs(number) == float("inf") else float(f"{number:.{DIGITS}g}")
    )


def value_of(known: Known) -> Value:
    """Number of a file."""
    value, low, high = map(rounded, known[:3])
    return Value(value=value, low=low, high=high, grade=known.grade.word)  # type: ignore[arg-type]


class ServerRecord(Strict):
    """A server: what it hosts, and what its memory is for (GB)."""

    server: int = Field(description="its number, from 0, in the order of servers.csv")
    name: str
    device: str
    gpu: str
    place: str
    latitude: float | None
    longitude: float | None
    first_block: int = Field(description="from 1; 0 if it hosts nothing")
    blocks: int
    cache_tokens: int = Field(description="of one block, that it may hold in all")
    block_indices: str | None = Field(description="as PETALS has it: half-open, from 0")
    memory_gb: float | None
    reserve_gb: float | None
    weights_gb: float | None
    cache_gb: float | None
    free_gb: float | None
    cache_tokens_per_block: int = Field(description="PETALS' attn_cache_tokens")
    sessions: int = Field(description="of the planned length, that its cache holds at once")
    tau_ms: Value
    because: str
    petals_blocks: int = Field(description="what PETALS would host by default")
    petals_cache_tokens_per_block: int
    alone_hosts: int = Field(description="blocks that nobody else hosts")


class HopRecord(Strict):
    """One server of a chain: a token's time on the way and there (ms)."""

    server: int
    name: str
    blocks: int
    network_ms: Value
    computing_ms: Value


class ChainRecord(Strict):
    """Chain of a client in an empty swarm."""

    client: int
    place: str
    servers: list[int]
    blocks_processed: list[int]
    hops: list[HopRecord]
    token_ms: Value
    ttft_ms: Value
    tokens_per_s: Value


class LoadRecord(Strict):
    """Simulated sessions."""

    rate_per_s: float | None
    sessions: int
    ttft_ms: dict[str, Value]
    token_ms: dict[str, Value]
    wait_ms: dict[str, Value]
    busiest_server: str
    busiest_share: float | None


class GoalRecord(Strict):
    """A goal and whether it is met."""

    goal: str
    value_ms: Value
    verdict: Literal["met", "missed", "open"]
    because: str


class ArmRecord(Strict):
    """A placement that was compared."""

    name: str
    label: str
    mean_alone_ms: float | None = Field(description="per token of a session alone")
    capacity_per_s: float | None
    loaded_ms: float | None = Field(description="per token under the load, if simulated")
    chosen: bool


class ChangeRecord(Strict):
    """A change and the plan after it."""

    what: str
    mean_alone_ms: float | None
    capacity_per_s: float | None
    times_faster: float | None
    times_capacity: float | None
    why_not: str = ""


class LossRecord(Strict):
    """A server lost."""

    name: str
    blocks_lost: int
    mean_alone_ms: float | None
    times_slower: float | None


class SpareRecord(Strict):
    """Blocks that a single server hosts."""

    name: str
    blocks: str
    memory_gb: float | None


class OptimumRecord(Strict):
    """The proven optimum of decoding alone, beside the plan's."""

    status: str
    decode_ms: float | None = Field(description="per token, mean over clients, of the best plan")
    bound_ms: float | None
    plan_ms: float | None


class PointRecord(Strict):
    """A point of the capacity curve."""

    rate_per_s: float | None
    mean_ms: float | None
    p95_ms: float | None


class PlanRecord(Strict):
    """All of a plan."""

    format: Literal["bprr plan 1"] = "bprr plan 1"
    asked: dict[str, bool | int | float | str | list[str]] = Field(
        {}, description="how it was asked for: arguments of bprr plan"
    )
    model: str
    title: str = Field(description="of the model, for people")
    blocks: int
    block_gb: float | None
    quantisation: str
    cache_bytes_per_token_and_block: float | None
    session: dict[str, int]
    rate_per_s: float | None
    objective: str
    method: str
    forwarding: str
    speculation: str
    reserve_gb: float
    hop_overhead_ms: Value
    distances: str
    distances_grade: Word
    placement: list[ServerRecord]
    chains: list[ChainRecord]
    token_ms: Value
    ttft_ms: Value
    sustained_per_s: Value
    memory_per_s: Value
    bound: Literal["computing", "memory"]
    loaded: LoadRecord | None
    goals: list[GoalRecord]
    until_slo_per_s: float | None = None
    bottleneck: str
    compared: list[ArmRecord]
    optimum: OptimumRecord | None
    changes: list[ChangeRecord]
    losses: list[LossRecord]
    spares: list[SpareRecord]
    spare_seconds: dict[str, float] = Field(description="until a hot and a cold spare serves")
    curve: list[PointRecord]
    remarks: list[str]
