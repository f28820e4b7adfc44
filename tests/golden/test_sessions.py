"""Records of small runs: whatever a session does in them is as recorded.

These are records, not numbers found by hand: of services with all their options, of shipped PETALS,
of swarms that live, and of caches that grow. After a change that is meant:
`python tests/golden/test_sessions.py && git diff tests/golden/sessions`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprr.ground.legs import Neighbours
from bprr.ground.registry import ADMISSION, CHARGING, ROUTING, SERVICE, ChoiceOf
from bprr.ground.swarm import LanguageModel, Overheads, Swarm
from bprr.living.churn.base import Change
from bprr.living.growing import simulate_growing
from bprr.living.records import LivingRecords
from bprr.living.replacement.periodic import Periodic
from bprr.living.run import Life, simulate_living
from bprr.placement.base import Placement
from bprr.scenario.workload import Workload
from bprr.simulation import simulate
from bprr.simulation.records import Records

RECORDS = Path(__file__).with_name("sessions")
FIRST, BLOCKS = [1, 1, 3, 4, 1, 5, 2, 5], [3, 2, 3, 3, 6, 2, 3, 2]
SENT_ON = {"hub": 0, "ring": 1, "relay": 2}


def swarm_of(seed: int, forwarding: str = "hub") -> Swarm:
    """Eight servers of six blocks and three clients, on a grid."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 30, (2, 11)).astype(float)
    rtt = np.abs(place[0][:, None] - place[0]) + np.abs(place[1][:, None] - place[1])
    raw, between = rtt[8:, :8], rtt[:8, :8]
    overheads = Overheads(token_ms=6, prompt_ms=9, prompt_ms_per_token=0.25, initial_ms=0)
    model = LanguageModel(
        name="m", blocks=6, d_model=100, block_gb=1.0, cache_bytes_per_value=1.0,
        max_sequence_tokens=1000,
    )  # fmt: skip
    crossings = SENT_ON[forwarding]
    legs = Neighbours.of(raw, between, overheads, model, crossings) if crossings else None
    return Swarm(
        model,
        memory_gb=np.full(8, 40.0),
        tau_ms=rng.integers(2, 9, 8) / 2.0,
        prefill_ms=rng.integers(2, 20, 8).astype(float),
        prefill_ms_per_token=rng.integers(1, 8, 8) / 4.0,
        token_rtt_ms=raw + 6,
        prompt_rtt_ms=raw + 9,
        prompt_rtt_ms_per_token=0.25,
        raw_rtt_ms=raw,
        server_rtt_ms=between,
        neighbours=legs,
    )


def placed(swarm: Swarm, tokens: int, first: list[int] = FIRST) -> Placement:
    blocks = np.array(BLOCKS)
    return Placement(swarm, np.array(first), blocks, blocks * tokens)


def workload_of(seed: int, count: int, gap_ms: int, most: int = 12) -> Workload:
    """Requests in bursts, some at the same instant."""
    rng = np.random.default_rng([seed, 1])
    gaps = rng.integers(0, 2 * gap_ms, count) * rng.integers(0, 2, count)
    lengths = rng.integers(1, most, (2, count))
    return Workload(
        np.cumsum(gaps).astype(float), rng.integers(0, 3, count), *lengths, lengths.sum(axis=0) + 2
    )


def lines_of(records: Records) -> Iterator[str]:
    """A line per request: times, attempts and chain; of living ones also what was lost."""
    columns = (records.wait_ms, records.raw_wait_ms, records.ttft_ms, records.completion_ms)
    for i in range(len(records)):
        servers, blocks = (each.tolist() for each in records.chain(i))
        chain = " ".join(f"{j}:{k}" for j, k in zip(servers, blocks, strict=True))
        times = " ".join(f"{column[i]:.7g}" for column in columns)
        lost = (
            f" {records.cuts[i]} {records.prefilled_again[i]}" if hasattr(records, "cuts") else ""
        )
        yield f"  {times} {records.attempts[i]} {chain}{lost}"
    if isinstance(records, LivingRecords):
        parts = sorted(records.parts, key=lambda part: (part.start_ms, part.request))
        for part in [each for each in parts if each.cut]:
            tokens = f"{part.input_tokens}+{part.output_tokens}"
            span = f"{part.start_ms:.7g} {part.end_ms:.7g}"
            yield f"  cut: {part.request} {span} {tokens} {part.servers.tolist()}"
        yield from (
            f"  out: {each.server} {each.from_ms:.7g} {each.to_ms:.7g}" for each in records.outages
        )
        yield from (
            f"  moved: {each.time_ms:.7g} {each.servers} {each.pause_ms:.7g}"
            for each in records.replacements
        )


def told(title: Any, records: Records) -> Iterator[str]:
    yield str(title)
    yield from lines_of(records)


def services() -> Iterator[str]:
    """Servers that take turns, in every order and with prompts of every size."""
    serial: list[dict[str, Any]] = [
        {"prefetch": 0},
        {"order": "oldest", "prompt": "block", "belief": "where_room"},
        {"order": "decode_first", "prompt": "block", "gap_ms": 1.5, "belief": "ends_now"},
        {"order": "decode_first", "prefetch": 1, "prompt_within_ms": 60.0},
        {"order": "oldest", "prompt": "block", "prompt_within_ms": 200.0,
         "prompt_idle_power": 2.0, "resubmit_ms": 3.0, "prefetch": 0},
        {"prompt": "token", "prefetch": 3},
    ]  # fmt: skip
    batched: list[dict[str, Any]] = [
        {}, {"prompt": "block", "curve": [(1.0, 1.0), (2.0, 1.5), (5.0, 1.75)]},
        {"prompt": "token", "beta_share": 0.5, "belief": "ends_now"},
    ]  # fmt: skip
    kinds = [("serial", options) for options in serial] + [("batched", each) for each in batched]
    for number, (name, options) in enumerate(kinds):
        forwarding = ("hub", "ring", "relay")[number % 3]
        where = placed(swarm_of(number, forwarding), 40)
        for admission in ("central_queue", "retry"):
            choice = ChoiceOf(SERVICE).read({name: options})
            gaps = {"first_ms": 30.0, "longest_ms": 100.0} if admission == "retry" else {}
            records = simulate(
                where, workload_of(number, 9, 20), "ws_rr", service=choice,
                admission=ChoiceOf(ADMISSION).read({admission: gaps}),
            )  # fmt: skip
            yield from told((name, options, forwarding, admission), records)


def shipped() -> Iterator[str]:
    """Shipped PETALS: stale news, bans and back-off; and PETALS as modelled, beside the others."""
    options = {"announce_ms": 90.0, "refresh_ms": 70.0, "ban_ms": 40.0, "unknown_way_ms": 12.0}
    own: list[dict[str, Any]] = [
        options, options | {"pings": 1, "seed": 3}, {"first_pings_are_lost": False},
        {"hop_overhead_ms": 3.0, "full_penalty_ms": 25.0, "longest_way_ms": 8.0},
    ]  # fmt: skip
    for number, each in enumerate(own):
        where = placed(swarm_of(20 + number), 30)
        routing = ChoiceOf(ROUTING).read({"petals_shipped": each})
        admission = ChoiceOf(ADMISSION).read({"shipped": {"first_ms": 25.0, "longest_ms": 80.0}})
        for service in ("independent", "serial"):
            records = simulate(
                where, workload_of(number, 9, 15), routing, admission=admission, service=service
            )
            yield from told(("petals_shipped", each, service), records)
    for number, name in enumerate(("petals", "petals_oversubscription", "exact", "ws_rr", "jffc",
                                   "shortest_path", "two_resource")):  # fmt: skip
        where, workload = placed(swarm_of(30 + number), 30), workload_of(40 + number, 9, 10)
        for admission in ("reserve", "at_release", "central_queue"):
            if admission != "central_queue" and name in ("jffc", "two_resource"):
                continue
            records = simulate(where, workload, name, admission=admission)
            yield from told((name, admission), records)
        if name in ("exact", "ws_rr", "shortest_path"):
            for forwarding in ("ring", "relay"):
                where = placed(swarm_of(30 + number, forwarding), 30)
                yield from told((name, forwarding), simulate(where, workload, name))


class Turning:
    """A planner that turns what the first servers host, if many of them are up."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def place(self, placement: Placement, servers: Any, rate_per_s: float) -> Placement | None:
        self.asked.append(f"  asked: {servers.tolist()} {rate_per_s:.7g}")
        if servers.size < 6:
            return None
        first = placement.first_block.copy()
        first[[2, 3, 6]] = first[[6, 2, 3]]
        return Placement(placement.swarm, first, placement.blocks, placement.cache_tokens)

    def per_token_ms(self, placement: Placement, servers: Any, rate_per_s: float) -> float:
        return 10.0 + float(placement.first_block[2]) - (servers.size > 7)


def lives() -> Iterator[str]:
    """Servers that fail, join, and are given other blocks."""
    changes = [
        Change(40.0, 4, False), Change(90.0, 2, False), Change(90.0, 0, False),
        Change(140.0, 0, True), Change(200.0, 4, True), Change(230.0, 7, False),
        Change(300.0, 2, True), Change(420.0, 7, True), Change(430.0, 5, False),
    ]  # fmt: skip
    for number, (routing, admission) in enumerate([
        ("ws_rr", "reserve"), ("exact", "central_queue"), ("petals", "retry"),
        ("jffc", "central_queue"), ("two_resource", "central_queue"), ("ws_rr", "at_release"),
    ]):  # fmt: skip
        where, planner = placed(swarm_of(50 + number), 40), Turning()
        hysteresis = None if number % 2 else 0.0
        replacement = Periodic(Periodic.Options(every_s=0.11, hysteresis=hysteresis))
        life = Life(iter(changes), replacement, 0.01, planner)
        gaps = {"reserve": 10.0, "retry": 10.0}.get(admission)
        options = {} if gaps is None else {"first_ms": gaps, "longest_ms": 4 * gaps}
        records = simulate_living(
            where, workload_of(60 + number, 12, 40), routing, life,
            admission=ChoiceOf(ADMISSION).read({admission: options}),
        )  # fmt: skip
        yield from told((routing, admission, hysteresis), records)
        yield from planner.asked[:6]


def growing() -> Iterator[str]:
    """Caches that grow page by page, greedily or where all are expected to fit."""
    given: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
        ("pages", {"tokens": 3}, "serial", {"prefetch": 0}),
        ("pages", {"tokens": 1}, "batched", {}),
        ("pages", {"tokens": 4}, "serial", {"order": "oldest", "prompt": "block"}),
        ("paced", {"tokens": 3}, "serial", {"prefetch": 0, "belief": "where_room"}),
        ("paced", {"tokens": 2, "deviations": 0.5, "slack": 0.3, "memory": 0.7}, "batched", {}),
        ("paced", {"tokens": 1, "deviations": 0.0, "slack": 0.0}, "serial", {"prompt": "token"}),
    ]  # fmt: skip
    for number, (charging, pages, service, options) in enumerate(given):
        where = placed(swarm_of(70 + number), 34)
        workload = workload_of(80 + number, 16, 8, most=20)
        announced = workload.cache_tokens + 2 * (np.arange(16) % 4)
        workload = Workload(
            workload.arrival_ms, workload.client, workload.input_tokens, workload.output_tokens,
            np.minimum(announced, 34),
        )  # fmt: skip
        records = simulate_growing(
            where, workload, "ws_rr", charging=ChoiceOf(CHARGING).read({charging: pages}),
            service=ChoiceOf(SERVICE).read({service: options}),
        )  # fmt: skip
        yield from told((charging, pages, service, options), records)


SESSIONS: dict[str, Callable[[], Iterator[str]]] = {
    "services": services, "shipped": shipped, "lives": lives, "growing": growing,
}  # fmt: skip


@pytest.mark.parametrize("name", SESSIONS)
def test_sessions_are_as_recorded(name: str) -> None:
    kept = (RECORDS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert not list(difflib.unified_diff(kept, list(SESSIONS[name]()), n=0, lineterm=""))


if __name__ == "__main__":
    RECORDS.mkdir(exist_ok=True)
    for one, lines in SESSIONS.items():
        text = "".join(f"{line}\n" for line in lines())
        RECORDS.joinpath(f"{one}.txt").write_text(text, encoding="utf-8")
