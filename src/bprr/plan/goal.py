"""What a user asks of a swarm: load, goals, and how its servers work."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from bprr.ground.errors import InputError
from bprr.plan.devices import Engine

__all__ = ["Goal", "Objective", "Wish", "parse_goals"]

Objective = Literal["latency", "throughput", "latency-at-rate"]
GOAL = re.compile(r"(ttft|token)=(\d+(?:\.\d+)?)(ms|s)(?:@(mean|p50|p95|p99))?")


class Goal(NamedTuple):
    """A service-level objective: a longest time, of the mean or of a percentile."""

    quantity: str  # ttft, or token: each token after the first
    most_ms: float
    of: str  # mean, p50, p95, p99

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.quantity}={self.most_ms:g}ms@{self.of}"


def parse_goals(text: str) -> tuple[Goal, ...]:
    """Goals of ``ttft=5s,token=400ms@p95``; of the mean where nothing is said.

    Raises
    ------
    InputError
        If it is none.
    """
    goals = []
    for part in text.split(","):
        match = GOAL.fullmatch(part.strip())
        if match is None or float(match[2]) == 0:
            allowed = "e.g. ttft=5s,token=400ms@p95 (mean, p50, p95, p99)"
            raise InputError("command line", "--slo", part, allowed)
        scale = 1000.0 if match[3] == "s" else 1.0
        goals.append(Goal(match[1], float(match[2]) * scale, match[4] or "mean"))
    return tuple(goals)


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Parameters
    ----------
    rate_per_s : float, optional
        Sessions per second; one session at a time if not given.
    input_tokens, output_tokens : int
        Of each session.
    trace : Path, optional
        Instead of these three.
    clients : tuple of str
        Places from which sessions come, evenly.
    goals : tuple of Goal
        What is to be shown to be met or missed.
    objective : str
        ``latency`` of an empty swarm, ``throughput`` (the linear programme of
        `bprr.study.capacity`), or ``latency-at-rate``, by simulation.
    forwarding, speculation : str
        How tokens go round (`bprr.wan`); a hub without drafts is PETALS.
    window, wire_bytes : str, int
        What idle connections cost a ring; bytes of a value on the wire.
    engine : str
        Whose kernels servers run, where their speed has to be estimated.
    reserve_gb : float
        Memory of each GPU that is left alone: context, activations, fragments.
    hop_overhead_ms : tuple of float
        Low, value and high: what a hop costs beside distance and computing.
    mbit_per_s : tuple of float
        For the low end of times, the value and the high one: how fast prompts travel, where the
        round trips' file does not say it.
    requests : int
        Sessions of a simulation.
    prove_s : float
        Seconds for a proof of optimality; none at 0.
    seed : int
        Of arrivals and joining orders.
    """

    rate_per_s: float | None = None
    input_tokens: int = 128
    output_tokens: int = 128
    trace: Path | None = None
    clients: tuple[str, ...] = ()
    goals: tuple[Goal, ...] = ()
    objective: Objective = "latency"
    forwarding: str = "hub"
    speculation: str | dict[str, dict[str, float]] = "none"
    window: str = "idle_restart"
    wire_bytes: Literal[1, 2] = 2
    engine: Engine = "eager"
    reserve_gb: float = 1.5
    # 4 ms a leg on real swarms; 5.4 to 15 a hop on genuine PETALS (docs/plan.md#times).
    hop_overhead_ms: tuple[float, float, float] = (4.0, 8.0, 15.0)
    overhead_is_calibrated: bool = False
    # Uplinks of real swarms were 48 to 570; PETALS takes 100 where its speed test fails.
    mbit_per_s: tuple[float, float, float] = (1000.0, 200.0, 50.0)
    requests: int = 150
    prove_s: float = 1.0
    seed: int = 2025
    factors: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def loaded(self) -> bool:
        """Whether sessions may meet."""
        return self.rate_per_s is not None or self.trace is not None
