"""Caches that grow page by page: by hand, and beside whole reservations."""

import numpy as np
import pytest

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import CHARGING, SERVICE, Choice, ChoiceOf
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.living.growing import simulate_growing
from bprr.placement.base import Placement
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.scenario.workload import Workload
from bprr.simulation import simulate
from bprr.study.method import MethodRunner

SERIAL = ChoiceOf(SERVICE).read({"serial": {"prefetch": 0, "belief": "where_room"}})


def pages(tokens):
    return Choice("pages", CHARGING["pages"].Options(tokens=tokens))


def paced(tokens, **more):
    return Choice("paced", CHARGING["paced"].Options(tokens=tokens, **more))


@pytest.fixture
def one():
    """A server with all four blocks and room for 100 tokens; a token takes 10 ms, a prompt none."""
    model = LanguageModel(name="m", blocks=4, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0,
                          max_sequence_tokens=1000)  # fmt: skip
    swarm = Swarm(model, [5.0], [2.5], [0.0], [0.0], np.zeros((1, 1)), np.zeros((1, 1)))
    return Placement(swarm, np.array([1]), np.array([4]), np.array([400]))


def served(placement, workload, charging, **more):
    run = simulate if charging == "whole" else simulate_growing
    choices = {"admission": "central_queue", "service": SERIAL, "charging": charging, **more}
    return run(placement, workload, "ws_rr", **choices)


def test_who_finds_no_page_begins_again_behind_the_others(one):
    two = Workload(np.array([0.0, 0.0]), np.zeros(2, dtype=int), 10, 41)
    whole = served(one, two, "whole")  # 102 tokens do not fit: one after the other
    assert whole.completion_ms.tolist() == [400, 800] and whole.ttft_ms.tolist() == [0, 400]
    # By turns, a token each 20 ms. With 40 tokens, at 760 ms, the first one has its 50 tokens of
    # cache full while the other holds 50: it begins again, once that one has ended at 790 ms.
    growing = served(one, two, pages(10))
    assert growing.ttft_ms.tolist() == [0, 10]
    assert growing.completion_ms.tolist() == [790, 790]
    assert growing.cuts.tolist() == [1, 0] and growing.prefilled_again.tolist() == [50, 0]
    assert growing.attempts.tolist() == [3, 1]  # granted, refused, granted
    assert [(part.output_tokens, part.cut) for part in growing.parts] == [
        (40, True), (41, False), (1, False),
    ]  # fmt: skip


def test_no_more_sessions_start_than_have_room_for_their_first_pages(one):
    many = Workload(np.zeros(6), np.zeros(6, dtype=int), 10, 11)
    # Of 20 tokens, and 21 in all: four start with 20 each, and ten tokens later the first asks.
    growing = served(one, many, pages(20))
    assert (growing.wait_ms == 0).sum() == 5
    small = served(one, many, pages(1))  # 11 tokens each
    assert (small.wait_ms == 0).sum() == 6


def test_who_would_overflow_a_cache_later_waits_at_the_start(one):
    two = Workload(np.array([0.0, 0.0]), np.zeros(2, dtype=int), 10, 41)
    records = served(one, two, paced(10))
    # The first one is taken to be there for 45 tokens, 450 ms, with 50 of the 100 tokens and a
    # page of one more. The other may have four pages then, so it starts no sooner than at 160 ms;
    # it asks whenever a page of the first one is full.
    assert records.cuts.tolist() == [0, 0]
    assert 160 <= records.wait_ms[1] <= 260 and records.wait_ms[0] == 0
    assert records.completion_ms.max() == 800  # never idle
    assert served(one, two, pages(10)).cuts.sum() == 1
    # With pages of two the other may have 48 tokens until the first one is gone: it waits some 40
    # ms, a tenth of the time alone, for the slack in that.
    late, prompt = (served(one, two, paced(2, slack=slack)).wait_ms[1] for slack in (0.1, 0.0))
    assert 20 <= late - prompt <= 60


def test_sessions_that_end_early_let_more_of_them_start(one):
    announced = np.full(12, 50)
    early = Workload(np.arange(12) * 1000.0, np.zeros(12, dtype=int), 10, 4, announced)
    crowd = Workload(
        np.append(early.arrival_ms, np.full(4, 20_000.0)), np.zeros(16, dtype=int), 10, 4,
        np.full(16, 50),
    )  # fmt: skip
    learned = served(one, crowd, paced(1)).wait_ms[12:]
    unknown = served(one, crowd.part(np.arange(16) >= 12), paced(1)).wait_ms
    whole = served(one, crowd, "whole").wait_ms[12:]
    assert (learned == 0).all()
    assert (unknown == 0).sum() == (whole == 0).sum() == 2
    assert unknown.max() <= whole.max()


def test_paces_are_learned(one):
    roomy = Placement(one.swarm, one.first_block, one.blocks, 2 * one.cache_tokens)
    many = Workload(np.arange(60) * 150.0, np.zeros(60, dtype=int), 10, 41)  # 2.7 times too many
    learned, alone, greedy = (
        served(roomy, many, charging) for charging in (paced(2), paced(2, memory=1.0), pages(2))
    )
    assert learned.cuts.sum() == 0 < alone.cuts.sum() < greedy.cuts.sum() / 4
    means = [each.completion_ms.mean() for each in (learned, alone, greedy)]
    assert 1.1 * means[0] < means[1] < means[2] / 1.1


@pytest.mark.parametrize("deviations", [0.0, 2.0])
def test_lengths_that_nobody_knows(one, deviations):
    rng = np.random.default_rng(1)
    lengths = rng.integers(5, 80, 60)
    many = Workload(np.arange(60) * 300.0, np.zeros(60, dtype=int), 10, lengths, np.full(60, 90))
    records = served(one, many, paced(2, deviations=deviations))
    assert len(records) == 60 and (records.completion_ms > 10 * (lengths - 1) - 1e-6).all()
    assert (records.cuts.sum() <= 3) == (deviations > 0)


@pytest.mark.parametrize("charging", [pages, paced])
@pytest.mark.parametrize("tokens", [1, 16, 64, 1000])
@pytest.mark.parametrize("name", ["pipe", "two_resource"])
def test_where_there_is_room_pages_change_nothing(configuration, published, name, tokens, charging):
    scenario = load_scenario(
        "scattered",
        {
            "workload.rate_per_s": 0.03,
            "workload.requests": 25,
            "admission": "central_queue",
            "service": {"serial": {"belief": "where_room"}},
        },
    )
    method = configuration.methods[name]
    plain, _ = MethodRunner(draw(scenario, published, 2025, 0)).run(method, 0.0)
    paged = method.model_copy(update={"charging": charging(tokens)})
    records, _ = MethodRunner(draw(scenario, published, 2025, 0)).run(paged, 0.0)
    assert records.cuts.sum() == 0
    assert records.completion_ms == pytest.approx(plain.completion_ms, rel=1e-12)
    assert records.chain_server.tolist() == plain.chain_server.tolist()


def test_what_cannot_grow_is_refused(one, configuration, published):
    once = Workload(np.array([0.0]), 0, 10, 11)
    with pytest.raises(InputError, match="token by token"):
        served(one, once, pages(16), service="independent")
    with pytest.raises(InputError, match="engine"):
        served(one, once, pages(16), engine="compiled")
    with pytest.raises(InputError, match="admission"):
        served(one, once, pages(16), admission="shipped")
    with pytest.raises(InputError, match="central_queue, where sessions start as caches allow"):
        served(one, once, paced(16), admission="retry")
    with pytest.raises(InputError, match="charging"):
        simulate(one, once, "ws_rr", charging=pages(16), service=SERIAL, admission="central_queue")
    with pytest.raises(InfeasibleError, match="cache"):  # even alone
        served(one, Workload(np.array([0.0]), 0, 10, 100), pages(16))
    churning = {"churn": {"exponential": {}}, "charging": {"pages": {}}, "admission": "retry"}
    scenario = load_scenario("scattered", {"workload.requests": 2, **churning})
    with pytest.raises(InputError, match="charging"):
        MethodRunner(draw(scenario, published, 2025, 0)).run(configuration.methods["proposed"], 0.0)
