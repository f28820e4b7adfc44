"""Every integer programme of a small instance is, entry by entry, the one recorded.

After a change that is meant: `python tests/golden/test_programmes.py && git diff
tests/golden/programmes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bprr.ground.swarm import LanguageModel, Swarm
from bprr.offline.formulation_paper import build_paper
from bprr.offline.formulation_relaxed import build_relaxed
from bprr.offline.formulation_strong import FlowModel, build_strong
from bprr.offline.instance import OfflineInstance
from bprr.offline.milp import Milp
from bprr.offline.routing_ilp import build_routing
from bprr.placement.base import Placement

RECORDS = Path(__file__).with_name("programmes")
# A block takes 1 GB and a session 0.5 GB in it; servers 0 and 2 are alike.
MEMORY_GB, TAU_MS = np.array([3.5, 5.0, 3.5]), np.array([2.0, 7.0, 2.0])
RTT_MS = np.array([[10.0, 40.0, 10.0], [30.0, 20.0, 30.0]])


def swarm(blocks: int, servers: slice) -> Swarm:
    count = MEMORY_GB[servers].size
    none, shape = np.zeros(count), np.zeros((2, count))
    model = LanguageModel(blocks=blocks, d_model=1, block_gb=1.0, cache_bytes_per_value=0.05e9)
    return Swarm(model, MEMORY_GB[servers], TAU_MS[servers], none, none, RTT_MS[:, servers], shape)


def instance() -> OfflineInstance:
    return OfflineInstance(swarm(3, slice(3)), (2, 1), 5)


def written(milp: Milp, names: Sequence[str]) -> str:
    """A programme to be read: columns with cost and bounds, then rows."""
    lines = [
        f"{name} {cost:+g} in [{low:g}, {high:g}]{' whole' if whole else ''}"
        for name, cost, low, high, whole in zip(
            names, milp.cost, milp.lower, milp.upper, milp.integer, strict=True
        )
    ]
    for row in range(milp.rows):
        (_, columns), values = milp.matrix[[row]].nonzero(), milp.matrix[[row]].data
        terms = " ".join(f"{v:+g}·{names[c]}" for c, v in sorted(zip(columns, values, strict=True)))
        lines.append(f"{milp.row_lower[row]:g} ≤ {terms} ≤ {milp.row_upper[row]:g}")
    return "\n".join(lines) + "\n"


def of_classes(model: FlowModel) -> str:
    names = [""] * model.milp.columns
    for part in model.classes:
        label = "".join(map(str, part.servers.members))
        for size, end, column in zip(
            part.window_size, part.window_end, part.window_column, strict=True
        ):
            names[column] = f"y{label}[{end - size}-{end}]"
        for client, columns in enumerate(part.arc_column):
            for tail, head, column in zip(part.arc_tail, part.arc_head, columns, strict=True):
                names[column] = f"x{label}[{tail}-{head}]{client}"
    return written(model.milp, names)


def strong() -> str:
    return of_classes(build_strong(instance(), instance().classes))


def relaxed() -> str:
    return of_classes(build_relaxed(instance(), instance().classes))


def one_client() -> str:
    """Rows of a client alone are those of all; servers that hold no block or no cache."""
    some = swarm(3, slice(3))
    alone = replace(
        some, memory_gb=np.array([1.4, 2.6, 9.0]), token_rtt_ms=RTT_MS[:1],
        prompt_rtt_ms=np.zeros((1, 3)), prompt_rtt_ms_per_token=0.0, raw_rtt_ms=RTT_MS[:1],
    )  # fmt: skip
    found = OfflineInstance(alone, (2,), 5)
    return of_classes(build_strong(found, found.classes)) + of_classes(
        build_relaxed(found, found.classes)
    )


def paper() -> str:
    model = build_paper(OfflineInstance(swarm(2, slice(2)), (1, 1), 5))
    names = [f"{letter}{server}" for letter in "am" for server in range(2)]
    ways = list(zip(model.tail, model.head, strict=True))
    for request in range(2):
        for letter in "fαγβδ":
            names += [
                f"{letter}{request}[{tail}-{head}]".replace("-1", "*")
                for tail, head in ways
                if not ((letter in "αγ" and head < 0) or (letter in "βδ" and tail < 0))
            ]
    return written(model.milp, names)


def routing() -> str:
    placed = Placement(swarm(3, slice(3)), np.array([1, 2, 0]), np.array([2, 2, 0]))
    milp, *arcs = build_routing(instance(), placed)
    names = [
        f"x{server}[{tail}-{head}]{client}"
        for client in range(2)
        for server, tail, head in zip(*arcs, strict=True)
    ]
    return written(milp, names)


PROGRAMMES: tuple[Callable[[], str], ...] = (strong, relaxed, one_client, paper, routing)


@pytest.mark.parametrize("make", PROGRAMMES, ids=lambda make: make.__name__)
def test_programme_is_as_recorded(make: Callable[[], str]) -> None:
    assert make() == (RECORDS / f"{make.__name__}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    RECORDS.mkdir(exist_ok=True)
    for each in PROGRAMMES:
        (RECORDS / f"{each.__name__}.txt").write_text(each(), encoding="utf-8")
