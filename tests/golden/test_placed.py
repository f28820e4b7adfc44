"""Where every policy puts blocks on small swarms, and what it tries on the way: a record.

After a change that is meant: `python tests/golden/test_placed.py && git diff tests/golden/placed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import PLACEMENT
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement import pipe
from bprr.placement.base import Flows, Placement, PlacementProblem, Trial
from bprr.placement.composed import ChainTable

RECORDS = Path(__file__).with_name("placed")
REQUEST = Request(1, 4, 6, 10)


class Computing:
    """Servers that are asked for one request; the work of a block is its own for each."""

    def __init__(self, swarm: Swarm, seed: int, idle: bool) -> None:
        rng = np.random.default_rng(100 + seed)
        self.hop_ms = swarm.token_rtt_ms * 6.0
        self.block_ms = swarm.tau_ms * 7.0
        self.work_ms = np.zeros(swarm.servers) if idle else self.block_ms * rng.uniform(
            0.3, 1.0, swarm.servers
        )  # fmt: skip

    def session_terms_ms(self, request: Request) -> tuple[np.ndarray, np.ndarray]:
        assert request == REQUEST
        return self.hop_ms, self.block_ms

    def least_work_ms(
        self, request: Request, server: np.ndarray, blocks: np.ndarray, slots: np.ndarray
    ) -> np.ndarray:
        assert request == REQUEST and (slots >= 1).all()
        return self.work_ms[server] * blocks * (1 + 0.01 / slots)


def swarm(seed: int, servers: int, blocks: int, policy: str) -> Swarm:
    """Servers of one to five blocks, one of which holds none; with small tokens for PETALS."""
    pools = policy.startswith("petals")
    rng = np.random.default_rng(seed)
    model = LanguageModel(
        blocks=blocks, d_model=7168, block_gb=1.0,
        cache_bytes_per_token_per_block=7e4 if pools else 1e7,
    )  # fmt: skip
    memory_gb = rng.uniform(2.0, 6.0, servers)
    if policy != "gsa":
        memory_gb[seed % servers] = 0.9  # not a block
    rtt = rng.uniform(5.0, 60.0, (3, servers))
    return Swarm(
        model, memory_gb, rng.integers(2, 9, servers).astype(float), np.zeros(servers),
        np.zeros(servers), rtt, rtt, forward_rps=rng.uniform(100, 900, servers),
        network_rps=rng.uniform(50, 300, servers),
    )  # fmt: skip


def through(placement: Placement) -> Flows:
    """Flows that are a server's own: what it computes, and something that each way changes."""
    used = np.flatnonzero(placement.blocks > 0)
    tau = placement.swarm.tau_ms[used] * placement.blocks[used]
    per_s = 20.0 / tau / (1 + 0.1 * placement.first_block[used])
    end = placement.last_block[used]
    turn = np.sin(float((placement.first_block * np.arange(1, end.max(initial=1) + 1).sum() ** 2
                         * np.arange(placement.blocks.size)).sum()))  # fmt: skip
    return Flows(
        used,
        placement.first_block[used] - 1,
        end,
        per_s * (1.0 + 0.3 * turn + 0.02 * placement.first_block.sum()),
    )


def problem(
    seed: int, servers: int, blocks: int, rate: float, idle: bool, note: list[str],
    policy: str = "",
) -> PlacementProblem:  # fmt: skip
    found = swarm(seed, servers, blocks, policy)

    def try_out(placement: Placement, routing: object, sessions: int) -> Trial:
        weights = np.sin(np.arange(1, servers + 1) * seed + sessions)
        mean_ms = 50.0 + float((placement.first_block * weights + placement.blocks).sum())
        held = routing.options.model_dump().get("hold_back")  # type: ignore[attr-defined]
        tail = 2.0 + 0.3 * np.cos(mean_ms * 7.0) if servers < 9 else 1.5
        trial = Trial(mean_ms - 0.25 * bool(held), mean_ms * tail)
        note.append(f"tried {routing.name} {held} {sessions}: {trial.mean_ms:.8g}")  # type: ignore[attr-defined]
        return trial

    return PlacementProblem(
        found, lambda: 2, 10, np.random.default_rng(seed).permutation(servers), request=REQUEST,
        choose_rate=lambda: rate, computing=Computing(found, seed, idle), flows_of=through,
        try_out=try_out,
    )  # fmt: skip


def told(value: object) -> str:
    """A detail to be read."""
    match value:
        case ChainTable():
            chains = [
                "+".join(
                    f"{server}:{count}"
                    for server, count in zip(
                        value.server[a:b].tolist(), value.blocks[a:b].tolist(), strict=True
                    )
                )
                for a, b in zip(value.first[:-1].tolist(), value.first[1:].tolist(), strict=True)
            ]
            times = [f"{each:.8g}" for each in value.time_ms.ravel()]
            return f"{' '.join(chains)} for {told(value.places)}; {' '.join(times)}"
        case Flows():
            return f"{value.rate_per_s:.8g} of {told(value.per_s)}"
        case np.ndarray():
            return " ".join(f"{each:.8g}" for each in value.ravel().tolist())
        case float():
            return f"{value:.8g}"
        case _ if hasattr(value, "options"):
            return f"{value.name} {value.options.model_dump()}"
        case _:
            return str(value)


def written(placement: Placement) -> str:
    spans = zip(
        placement.first_block.tolist(), placement.blocks.tolist(), placement.cache_tokens.tolist(),
        strict=True,
    )  # fmt: skip
    lines = [" ".join(f"{first}+{count}({cache})" for first, count, cache in spans)]
    lines += [f"{name}: {told(placement.details[name])}" for name in sorted(placement.details)]
    return "\n".join(lines)


# Seed, servers, blocks, rate per s, whether nobody computes in turns.
CASES = [
    (1, 5, 4, 2.0, False), (2, 7, 5, 6.0, False), (3, 8, 4, 1.0, True), (4, 10, 6, 9.0, False),
    (5, 12, 5, 60.0, False), (6, 9, 3, 0.0, False),
]  # fmt: skip


def lines(name: str, options: dict[str, object] | None = None) -> Iterator[str]:
    for case in CASES:
        note: list[str] = []
        policy = PLACEMENT[name]
        yield f"# {name} {options or ''} {case}"
        try:
            found = policy(policy.Options(**(options or {}))).place(problem(*case, note, name))
        except InfeasibleError as error:
            yield str(error)
        else:
            yield written(found)
        yield from note


def of(name: str, *options: dict[str, object] | None) -> Callable[[], str]:
    def make() -> str:
        return "\n".join(line for each in options or (None,) for line in lines(name, each)) + "\n"

    make.__name__ = name
    return make


def composed() -> str:
    """Every composition that PIPE looks at, with what it takes by the simulation and by formula."""
    rows = []
    for seed, servers, blocks, rate, idle in CASES[:4]:
        asked = problem(seed, servers, blocks, rate, idle, [])
        computing = asked.computing
        assert computing is not None
        hop_ms, block_ms = computing.session_terms_ms(REQUEST)
        each = np.arange(servers)
        work_ms = computing.least_work_ms(REQUEST, each, np.ones_like(each), np.ones_like(each))
        terms = pipe.Terms(asked.swarm, 10, hop_ms.mean(axis=0), block_ms, work_ms)
        most = np.floor(asked.swarm.memory_gb / 1.1).astype(np.int64)
        gaps = np.random.default_rng(seed).standard_exponential(300)
        rows.append(f"# {seed}")
        for found in pipe._compositions(terms, most, rate):
            took = pipe.simulated_ms(found, gaps, rate), pipe.estimated_ms(found, rate)
            rows.append(
                f"{told(found.chain)} | {told(found.blocks)} | {told(found.time_ms)} |"
                f" {told(found.pace_ms)} | {told(found.places)} | {took[0]:.8g} {took[1]:.8g}"
            )
    return "\n".join(rows) + "\n"


MADE = (
    of("best", {"sessions": 30}),
    of("cg_bp"),
    of("cg_bp_tuned", {"sessions": 30}),
    of("gbp_cr", None, {"sessions": 2}, {"most_load": 0.3}, {"sessions": 9}),
    of("gsa"),
    of("max_flow", None, {"moves": 2}),
    of("petals"),
    of("petals_cg_bp_number"),
    of("petals_cg_bp_order"),
    of("petals_leftover_cache"),
    of("petals_rebalanced", None, {"balance_quality": 0.95}, {"balance_quality": 1.0, "rounds": 1}),
    of("pipe"),
    of("two_resource", None, {"pace_ms": 9.0}),
    composed,
)


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_placements_are_as_recorded(make: Callable[[], str]) -> None:
    assert make() == (RECORDS / f"{make.__name__}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["pipe", "composed"])
def test_large_swarms_are_ranked_by_the_formula(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "MOST_SIMULATED", 6)
    monkeypatch.setattr(pipe, "GROWTH", 2.0)
    found = {make.__name__: make for make in MADE}[name]()
    recorded = (RECORDS / f"{name}_of_many.txt").read_text(encoding="utf-8")
    assert found == recorded


def test_a_session_that_holds_more_than_it_reserves() -> None:
    """PIPE composes for what is held, whatever is reserved."""
    one = problem(*CASES[1], [])
    less = PLACEMENT["pipe"]().place(replace(one, session_tokens=3, held_tokens=10))
    assert written(less) == written(PLACEMENT["pipe"]().place(one))


if __name__ == "__main__":
    RECORDS.mkdir(exist_ok=True)
    for each in MADE:
        (RECORDS / f"{each.__name__}.txt").write_text(each(), encoding="utf-8")
    pipe.MOST_SIMULATED, pipe.GROWTH = 6, 2.0
    for each in MADE:
        if each.__name__ in ("pipe", "composed"):
            path = RECORDS / f"{each.__name__}_of_many.txt"
            path.write_text(each(), encoding="utf-8")
