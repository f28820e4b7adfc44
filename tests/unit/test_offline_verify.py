"""The verifier refuses every broken rule, and only those."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bprr.ground.swarm import Swarm
from bprr.offline.verify import VerificationError, follow_to_each_stop, verify_plan

# Fixture small_swarm: 1 GB per block, 0.01 GB per token and block; memory 6, 5 and 2 GB.
FIRST, BLOCKS = [1, 2, 4], [2, 3, 1]
CHAIN = (0, (0, 1), (2, 2))  # server 1 hosts blocks 2–4 and processes 3 and 4


def verify(swarm: Swarm, **changes: object) -> float:
    plan = {
        "requests": [1, 0],
        "session_tokens": 10,
        "first_block": FIRST,
        "blocks": BLOCKS,
        "chains": [CHAIN],
    }
    return verify_plan(swarm, **{**plan, **changes})  # type: ignore[arg-type]


def test_objective_is_round_trips_plus_blocks(small_swarm: Swarm) -> None:
    assert verify(small_swarm) == pytest.approx(40 + 2 * 1 + 10 + 2 * 5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"requests": [0, 1]}, "requests per client"),
        ({"chains": []}, "requests per client"),
        ({"chains": [(0, (0,), (2,))]}, "block 3"),
        ({"chains": [(0, (1, 0), (3, 1))]}, "turns back"),
        ({"chains": [(0, (0, 1), (1, 3))]}, "process"),
        ({"chains": [(0, (0, 1, 2), (2, 2, 0))]}, "for no block"),
        ({"chains": [(0, (0, 1, 2), (2, 1, 1))]}, "for no block"),
        ({"first_block": [1, 3, 4]}, "hosts 3 blocks from block 3"),
        ({"first_block": [0, 2, 4]}, "hosts 2 blocks from block 0"),
        ({"session_tokens": 101}, "server 1 needs"),
        ({"blocks": [2, 3, 0], "chains": [(0, (0, 2), (2, 2))]}, "block 3"),
    ],
)
def test_broken_rules_are_refused(
    small_swarm: Swarm, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(VerificationError, match=words):
        verify(small_swarm, **changes)


def test_memory_may_be_used_up_exactly(small_swarm: Swarm) -> None:
    # Server 1: 3 GB of blocks and 2 blocks of a session of 100 tokens, 2 GB: all of its 5 GB.
    assert verify(small_swarm, session_tokens=100) > 0


def test_block_caps_are_checked(small_swarm: Swarm) -> None:
    verify(replace(small_swarm, block_cap=np.array([2, 3, 4])))
    with pytest.raises(VerificationError, match="server 1 hosts 3 blocks"):
        verify(replace(small_swarm, block_cap=np.array([2, 2, 4])))


def test_caches_of_all_requests_count(small_swarm: Swarm) -> None:
    two = {"requests": [2, 0], "chains": [CHAIN, CHAIN]}
    assert verify(small_swarm, session_tokens=50, **two) == pytest.approx(2 * 62)
    with pytest.raises(VerificationError, match="server 1 needs"):
        verify(small_swarm, session_tokens=51, **two)


def test_stopping_early_is_for_the_relaxed_rule_only(small_swarm: Swarm) -> None:
    early = {"chains": [(0, (0, 1, 2), (2, 1, 1))]}
    with pytest.raises(VerificationError):
        verify(small_swarm, **early)
    objective = verify(small_swarm, **early, follow=follow_to_each_stop)
    assert objective == pytest.approx(40 + 2 + 10 + 5 + 20 + 2)


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ((0, (0, 2), (2, 1)), "does not host block 3"),
        ((0, (0, 1), (2, 1)), "ends before block 4"),
        ((0, (0, 1, 1), (2, 2, 0)), "processes no block"),
    ],
)
def test_relaxed_rule_is_checked_too(
    small_swarm: Swarm, chain: tuple[int, tuple[int, ...], tuple[int, ...]], words: str
) -> None:
    with pytest.raises(VerificationError, match=words):
        verify(small_swarm, chains=[chain], follow=follow_to_each_stop)
