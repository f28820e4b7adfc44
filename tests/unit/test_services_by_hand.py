"""Services, living swarms and records by hand: what each part answers on small input."""

import heapq
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.legs import Neighbours
from bprr.ground.registry import ADMISSION, CHARGING, CHURN, ROUTING, SERVICE, Choice, ChoiceOf
from bprr.ground.request import Request, Route
from bprr.ground.swarm import LanguageModel, Overheads, Swarm
from bprr.living.churn.base import Change
from bprr.living.churn.exponential import Exponential
from bprr.living.churn.trace import Trace
from bprr.living.growing import simulate_growing
from bprr.living.moving import Trade, blocks_to_load
from bprr.living.records import LivingRecords, Outage, Part, Replacement
from bprr.living.replacement.never import Never
from bprr.living.replacement.periodic import Periodic
from bprr.living.router import LivingRouter
from bprr.living.run import Life, _tokens_made, simulate_living
from bprr.living.swarm import LivingSwarm
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext, RoutingPolicy
from bprr.scenario.workload import Workload
from bprr.service.base import ServiceTimes
from bprr.service.batched import Batched
from bprr.service.serial import Serial
from bprr.service.token_loop import Discipline, TokenLoop
from bprr.service.tokens import BLOCK, DECODE_FIRST, FIFO, OLDEST, TOGETHER, TOKEN, WHOLE
from bprr.simulation import simulate
from bprr.simulation.admission.base import too_long
from bprr.simulation.engine import Delays, admission_of
from bprr.simulation.records import Records, Sessions, peak_concurrency

REQUEST = Request(0, 8, 5, 20)


def swarm_of(tau_ms=(2.0, 4.0), blocks=4, clients=1, **more):
    count = len(tau_ms)
    model = LanguageModel(
        name="m", blocks=blocks, d_model=1, block_gb=2.0, cache_bytes_per_value=1.0,
        max_sequence_tokens=1000,
    )  # fmt: skip
    columns = {
        "memory_gb": np.full(count, 100.0),
        "tau_ms": np.array(tau_ms),
        "prefill_ms": np.array([10.0, 20.0, 30.0, 40.0][:count]),
        "prefill_ms_per_token": np.array([0.5, 0.25, 1.0, 2.0][:count]),
        "token_rtt_ms": np.tile([6.0, 8.0, 9.0, 7.0][:count], (clients, 1)),
        "prompt_rtt_ms": np.tile([16.0, 18.0, 19.0, 17.0][:count], (clients, 1)),
        "prompt_rtt_ms_per_token": 0.125,
    }
    return Swarm(model, **{**columns, **more})


def placed(first=(1, 3), blocks=(2, 2), cache=(4000, 4000), swarm=None, **more):
    swarm = swarm or swarm_of(tuple(2.0 + j for j in range(len(first))))
    return Placement(swarm, np.array(first), np.array(blocks), np.array(cache), **more)


# Services.


def test_shipped_options_of_services():
    queued = {"prompt": "whole", "belief": "re_estimated"}
    assert Serial.Options().model_dump() == {
        **queued, "order": "fifo", "prefetch": 2, "gap_ms": 0.0, "prompt_within_ms": None,
        "prompt_idle_power": 0.0, "resubmit_ms": 0.0,
    }  # fmt: skip
    assert Batched.Options().model_dump() == {**queued, "beta_share": 0.1, "curve": None}
    assert {name: each.ends_are_known for name, each in SERVICE.items()} == {
        "independent": True, "serial": False, "batched": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "curve, says",
    [
        ([], "[1, 1] first, and at least one more pair"),
        ([(1.0, 1.0)], "[1, 1] first, and at least one more pair"),
        ([(2.0, 1.0), (3.0, 2.0)], "[1, 1] first, and at least one more pair"),
        ([(1.0, 2.0), (3.0, 2.0)], "[1, 1] first, and at least one more pair"),
        ([(1.0, 1.0), (1.0, 2.0)], "increasing sizes, times that do not fall"),
        ([(1.0, 1.0), (4.0, 2.0), (3.0, 3.0)], "increasing sizes, times that do not fall"),
        ([(1.0, 1.0), (2.0, 0.9)], "increasing sizes, times that do not fall"),
        ([(1.0, 1.0), (2.0, 1.0)], None),
        ([(1.0, 1.0), (2.0, 1.5), (8.0, 1.5)], None),
    ],
)
def test_curves_of_batches(curve, says):
    if says is None:
        assert Batched.Options(curve=curve).curve == curve
        return
    with pytest.raises(ValidationError) as error:
        Batched.Options(curve=curve)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta_share": 0.0},
        {"beta_share": 1.0},
        {"curve": [(1.0, 1.0), (2.0, 1.1), (8.0, 3.0)]},
        {"curve": [(1.0, 1.0), (4.0, 1.2), (6.0, 9.0), (7.0, 9.5)]},
    ],
)
def test_least_share_in_a_step_is_the_least_over_all_sizes(options):
    service = Batched(swarm_of(), 0.0, Batched.Options(**options))
    points = options.get("curve") or [(1.0, 1.0), (2.0, 1.0 + options.get("beta_share", 0.1))]

    def time(size):
        for (a, at_a), (b, at_b) in itertools.pairwise(points):
            if size <= b or (b, at_b) == points[-1]:
                return at_a + (size - a) * (at_b - at_a) / (b - a)
        raise AssertionError

    most = np.array([1.0, 1.5, 2.0, 3.0, 4.0, 5.5, 6.0, 8.0, 12.0])
    sizes = [[*np.linspace(1, m, 4001), *(a for a, _ in points if a <= m)] for m in most]
    expected = [min(time(size) / size for size in upto) for upto in sizes]
    assert service.least_share(most).tolist() == pytest.approx(expected, rel=1e-9)
    discipline = service.discipline()
    assert discipline[:7] == (TOGETHER, WHOLE, 0, 0.0, 0.0, np.inf, 0.0)
    assert list(zip(discipline.batch, discipline.batch_time, strict=True)) == points


def test_disciplines_of_serial_servers():
    options = Serial.Options(
        order="oldest", prompt="block", prefetch=5, gap_ms=1.5, prompt_within_ms=9.0,
        prompt_idle_power=3.0, resubmit_ms=2.5,
    )  # fmt: skip
    found = Serial(swarm_of(), 0.0, options).discipline()
    assert found[:7] == (OLDEST, BLOCK, 5, 1.5, 2.5, 9.0, 3.0)
    assert [column.tolist() for column in found[7:]] == [[1, 1], [1, 1]]
    assert Serial(swarm_of(), 0.0).discipline()[:7] == (FIFO, WHOLE, 2, 0.0, 0.0, np.inf, 0.0)
    assert Discipline.serial("decode_first", "token", 0, 0.0)[:7] == (
        DECODE_FIRST, TOKEN, 0, 0.0, 0.0, np.inf, 0.0,
    )  # fmt: skip


CHAIN = Route(np.array([0, 1]), np.array([3, 1]), 0.0)


@pytest.mark.parametrize("name", ["independent", "serial", "batched"])
def test_times_of_a_session_alone(name):
    """A prompt: 16 + 1 and 18 + 1 ms on the way, 3 · 14 and 22 at work; tokens 6 + 6 and 8 + 4."""
    service = SERVICE.build(name, swarm_of(), 100.0)
    first_ms, token_ms = 17 + 19 + 3 * 14 + 22, 6 + 6 + 8 + 4
    assert service.times(REQUEST, CHAIN) == (100 + first_ms, 100 + first_ms + 4 * token_ms)
    hop_ms, block_ms = service.session_terms_ms(REQUEST)
    assert hop_ms.tolist() == [[17 + 4 * 6, 19 + 4 * 8]]
    assert block_ms.tolist() == [14 + 4 * 2, 22 + 4 * 4]


@pytest.mark.parametrize("name", ["serial", "batched"])
@pytest.mark.parametrize("prompt", ["block", "token"])
def test_times_of_prompts_in_pieces(name, prompt):
    service = SERVICE.build(ChoiceOf(SERVICE).read({name: {"prompt": prompt}}), swarm_of(), 7.0)
    token_ms = 24
    first_ms = 8 * token_ms if prompt == "token" else 100
    assert service.times(REQUEST, CHAIN) == (7 + first_ms, 7 + first_ms + 4 * token_ms)
    hop_ms, block_ms = service.session_terms_ms(REQUEST)
    passes = 12 if prompt == "token" else 4
    more = 0 if prompt == "token" else 1
    assert hop_ms.tolist() == [[17 * more + passes * 6, 19 * more + passes * 8]]
    assert block_ms.tolist() == [14 * more + passes * 2, 22 * more + passes * 4]
    # Work that it takes of a server with k blocks: three and one of them, places for so many.
    server, blocks, slots = np.array([0, 1]), np.array([3, 1]), np.array([12, 5])
    share = np.ones(2) if name == "serial" else np.array([1.3 / 4, 1.4 / 5])
    work_ms = service.least_work_ms(REQUEST, server, blocks, slots)
    expected = [more * 3 * 14 + passes * 3 * 2 * share[0], more * 22 + passes * 4 * share[1]]
    assert work_ms.tolist() == pytest.approx(expected)
    idle = SERVICE.build("independent", swarm_of(), 0.0)
    assert idle.least_work_ms(REQUEST, server, blocks, slots).tolist() == [0, 0]


@pytest.mark.parametrize(
    "belief, early, late, after",
    [
        ("ends_now", [50.0, 90.0], [60.0, 90.0], [100.0, 100.0]),
        ("re_estimated", [50.0, 90.0], [150.0, 90.0], [240.0, 300.0]),
        ("where_room", [np.inf, np.inf], [np.inf, np.inf], [np.inf, np.inf]),
    ],
)
def test_when_sessions_are_believed_to_end(belief, early, late, after):
    """They began at 0 and 0 ms, with five tokens to make, and were to end at 50 and 90 ms.

    At 60 ms the first one has two tokens, 30 ms each: three more take 90. At 100 it has three (two
    more by 33 each are 66 ms, if three are made), the other one 2: three more by 50 each.
    """
    choice = ChoiceOf(SERVICE).read({"serial": {"belief": belief}})
    service = SERVICE.build(choice, swarm_of(), 0.0)
    rows = [
        service.admitted(REQUEST, CHAIN, np.array([60, 20]), 0.0, end_ms) for end_ms in (50.0, 90.0)
    ]
    tokens, told = service.loop.passing.tokens, service.options.belief
    tokens[rows[0]], tokens[rows[1]] = 0, 0
    held = np.array(rows)
    soon = math.nextafter
    assert service._believed_ends_ms(held, told, 10.0).tolist() == early
    tokens[rows[0]] = 2
    expected = [soon(each, np.inf) if each == 60 else each for each in late]
    assert service._believed_ends_ms(held, told, 60.0).tolist() == expected
    tokens[rows[0]], tokens[rows[1]] = 0, 1
    found = service._believed_ends_ms(held, told, 100.0).tolist()
    if belief == "re_estimated":  # none yet counts as one: five of 100 ms, and four
        assert found == [600, 500]
    else:
        assert found == [soon(each, np.inf) if each == 100 else each for each in after]
    # In the caches, at every server of their chains.
    caches = Caches(np.array([400, 400]))
    service.enter(caches, "where_room", 100.0)
    assert caches.state.free.tolist() == [400 - 120, 400 - 40]
    assert caches.release_ms(np.array([0]), np.array([281]), 100.0) == np.inf
    service.enter(caches, "ends_now", 100.0)
    assert caches.release_ms(np.array([0]), np.array([400]), 100.0) == soon(100.0, np.inf)
    # Room to grow at every server, or at none.
    assert not service.grow(caches, rows[0], np.array([3000, 1]), 100.0)
    assert not service.grow(caches, rows[0], np.array([1, 361]), 100.0)
    assert service.grow(caches, rows[0], np.array([280, 360]), 100.0)
    service.enter(caches, "where_room", 100.0)
    assert caches.state.free.tolist() == [0, 0]
    assert not service.grow(caches, rows[1], np.array([1, 0]), 100.0)
    assert service.give_up(rows[1]) == 1
    service.enter(caches, "where_room", 100.0)
    assert caches.state.free.tolist() == [60, 20]


@pytest.mark.parametrize("service", ["serial", "batched"])
def test_more_sessions_than_there_was_room_for_at_first(service):
    """Forty at once, in a server one after another or all together; then four more."""
    swarm = swarm_of(
        (1.0,), blocks=1, token_rtt_ms=[[0.0]], prompt_rtt_ms=[[0.0]], prompt_rtt_ms_per_token=0.0,
        prefill_ms=[1.0], prefill_ms_per_token=[0.0],
    )  # fmt: skip
    where = Placement(swarm, np.array([1]), np.array([1]), np.array([100_000]))
    workload = Workload(np.r_[np.zeros(40), np.full(4, 1000.0)], 0, 1, 3, 10)
    choice = ChoiceOf(SERVICE).read({service: {"prefetch": 0} if service == "serial" else {}})
    records = simulate(where, workload, "ws_rr", admission="central_queue", service=choice)
    if service == "serial":  # by turns: prompts, then the first tokens, then the second ones
        assert records.ttft_ms[:40].tolist() == list(range(1, 41))
        assert records.completion_ms[:40].tolist() == list(range(81, 121))
        assert records.completion_ms[40:].tolist() == [9, 10, 11, 12]
    else:  # prompts one after another in a step, tokens together: 1 + 39/10 ms
        assert records.ttft_ms[:40] == pytest.approx([40.0] * 40)
        assert records.completion_ms[:40] == pytest.approx([40 + 2 * 4.9] * 40)
        assert records.completion_ms[40:] == pytest.approx([4 + 2 * 1.3] * 4)


@pytest.mark.parametrize(
    "order, prompt, within_ms, first_ms, end_ms",
    [
        ("decode_first", "whole", None, [2, 16], [12, 18]),  # behind all tokens of the first one
        ("decode_first", "whole", 6.0, [2, 10], [18, 14]),  # once it is so old, at 6 ms
        ("decode_first", "whole", 6.5, [2, 11], [18, 15]),
        ("decode_first", "block", None, [4, 16], [14, 18]),  # a piece of each by turns
        ("decode_first", "block", 6.0, [4, 8], [18, 12]),
        ("oldest", "whole", None, [2, 16], [12, 18]),
        ("oldest", "whole", 6.0, [2, 10], [16, 18]),
        ("oldest", "whole", 6.5, [2, 11], [16, 18]),
        ("oldest", "block", None, [2, 16], [12, 18]),
        ("oldest", "block", 6.0, [2, 10], [16, 18]),
    ],
)
def test_a_prompt_that_has_waited_for_so_long_goes_first(
    order, prompt, within_ms, first_ms, end_ms
):
    """A server of two blocks: the first one's prompt takes 2 ms, the second one's 4, a token 1.

    The first one has ten tokens to make beside the second one's prompt, and these are next both by
    decode first and by age. Behind the prompt tokens take turns, or go by age.
    """
    swarm = swarm_of(
        (0.5,), blocks=2, token_rtt_ms=[[0.0]], prompt_rtt_ms=[[0.0]], prompt_rtt_ms_per_token=0.0,
        prefill_ms=[0.0], prefill_ms_per_token=[1.0],
    )  # fmt: skip
    where = Placement(swarm, np.array([1]), np.array([2]), np.array([1000]))
    workload = Workload(np.zeros(2), 0, np.array([1, 2]), np.array([11, 3]), 20)
    given = {"order": order, "prompt": prompt, "prefetch": 0, "prompt_within_ms": within_ms}
    records = simulate(
        where, workload, "ws_rr", admission="central_queue",
        service=ChoiceOf(SERVICE).read({"serial": given}),
    )  # fmt: skip
    assert (records.ttft_ms.tolist(), records.completion_ms.tolist()) == (first_ms, end_ms)


@pytest.mark.parametrize("power, idle_power", [(0.0, (1, 1, 1)), (2.0, (0.25, 0.04, 0.0))])
def test_when_a_prompt_is_due_by_how_idle_its_chain_was(power, idle_power):
    """The share of all time that the busiest server was idle; it worked ten minutes before that."""
    given = {"prompt_within_ms": 80.0, "prompt_idle_power": power}
    loop = TokenLoop(swarm_of(), Discipline.serial("oldest", "whole", 0, 0.0, **given))
    due_ms = []
    for busy in ((0.0, 0.0), (20_000.0, 360_000.0), (0.0, 600_000.0)):
        loop.busy_ms[:] = busy
        row = loop.enter(REQUEST, CHAIN)
        loop.start(row, 600_000.0)
        due_ms.append(float(loop.passing.prompt_due_ms[row]))
    # Of 1,200 s the busiest was idle for half, a fifth, and none.
    expected = [600_000 + 80 / share if share else math.inf for share in idle_power]
    assert due_ms == pytest.approx(expected)


@pytest.mark.parametrize("prompt", ["whole", "token"])
@pytest.mark.parametrize("crossings", [0, 1, 2])
def test_legs_of_a_session_before_each_hop_and_after_the_last(crossings, prompt):
    """Half a round trip there, half of each of two on between them, and half of one back."""
    raw, between = np.array([[6.0, 8.0]]), np.array([[0.0, 30.0], [30.0, 0.0]])
    overheads = Overheads(token_ms=2, prompt_ms=4, prompt_ms_per_token=0.5, initial_ms=0)
    swarm = swarm_of(token_rtt_ms=raw + 2, prompt_rtt_ms=raw + 4, prompt_rtt_ms_per_token=0.5)
    if crossings:
        legs = Neighbours.of(raw, between, overheads, swarm.model, crossings)
        swarm = replace(swarm, raw_rtt_ms=raw, server_rtt_ms=between, neighbours=legs)
    loop = TokenLoop(swarm, Discipline.serial("fifo", prompt, 0, 0.0))
    row = loop.enter(REQUEST, CHAIN)
    token_ms = loop.passing.token_leg_ms[row, :3]
    prompt_ms = loop.passing.prompt_leg_ms[row, :3]
    if crossings == 0:
        expected, slow = [4, 9, 5], [4 + 3, 9 + 6, 5 + 3]
    elif crossings == 1:
        expected, slow = [4, 16, 5], [4 + 3, 16 + 3, 5 + 3]
    else:  # the second way between them comes at the end
        expected, slow = [4, 16, 5 + 16], [4 + 3, 16 + 3, 5 + 3 + 16 + 3]
    assert token_ms.tolist() == expected
    assert prompt_ms.tolist() == (expected if prompt == "token" else slow)


def test_rows_and_logs_of_a_loop_of_tokens():
    loop = TokenLoop(swarm_of(), Discipline.serial("fifo", "whole", 0, 0.0), log_tasks=3)
    assert (loop.rows, loop.now_ms, loop.logged) == (16, 0.0, 0)
    rows = [loop.enter(REQUEST, CHAIN) for _ in range(16)]
    assert sorted(rows) == list(range(16))
    assert loop.rows == 16
    loop.leave(rows[3])
    assert loop.enter(REQUEST, CHAIN) == rows[3]
    more = [loop.enter(REQUEST, CHAIN) for _ in range(17)]
    assert loop.rows == 64 and sorted({*rows, *more}) == list(range(33))
    assert loop._events.time_ms.size >= 64 + 2  # for every session and server
    assert loop.passing.number[[*rows[:3], rows[3], *more]].tolist() == [0, 1, 2, *range(16, 34)]
    loop.start(rows[0], 5.0)
    assert loop.advance(20.0) == []
    assert loop.now_ms == 20.0
    assert loop.advance(np.inf) == [rows[0]]
    assert loop.now_ms == 5 + 100 + 4 * 24
    assert loop.busy_ms.tolist() == [3 * 14 + 4 * 6, 22 + 4 * 4]
    assert loop.logged == 3
    assert loop.log.server.tolist() == [0, 1, 0]
    assert loop.log.number.tolist() == [0, 0, 0]
    assert loop.log.begin_ms.tolist() == [5 + 8.5, 5 + 8.5 + 42 + 18, 5 + 100 + 3]
    assert loop.log.end_ms.tolist() == [55.5, 95.5, 114]


# Living swarms.


def test_blocks_that_are_not_there_yet():
    before, after = np.array([1, 1, 1, 3, 0, 2]), np.array([1, 3, 5, 1, 1, 0])
    had, has = np.array([2, 4, 2, 2, 0, 3]), np.array([4, 4, 2, 3, 2, 0])
    assert blocks_to_load(before, had, after, has).tolist() == [2, 2, 2, 2, 2, 0]
    assert blocks_to_load(np.array([1]), np.array([0]), np.array([1]), np.array([3])).tolist() == [
        3
    ]


def test_trades_by_hand():
    trade = Trade(20.0, 16.0, 0.5, 100.0, 3600.0, 10.0)
    assert trade.faster == pytest.approx(0.25)
    assert trade.saved_s == pytest.approx(0.5 * 3600 * 100 * 4 / 1000)
    assert trade.cost_s == pytest.approx(0.5 * 10 * (5 + 2))
    assert trade.pays(0.2) and not trade.pays(0.25) and not trade.pays(0.3)
    even = trade._replace(horizon_s=trade.cost_s / trade.saved_s * 3600)
    assert not even.pays(0.0)
    assert even._replace(horizon_s=1.01 * even.horizon_s).pays(0.0)
    assert not even._replace(horizon_s=1.05 * even.horizon_s).pays(0.1)
    assert even._replace(horizon_s=1.11 * even.horizon_s).pays(0.1)
    assert trade._replace(stay_ms=math.inf).pays(9.0)
    assert not trade._replace(best_ms=math.inf).pays(0.0)
    assert not trade._replace(stay_ms=math.inf, best_ms=math.inf).pays(0.0)
    assert Periodic.Options().model_dump() == {"every_s": 3600.0, "hysteresis": 0.1}
    assert Periodic().every_s == 3600.0
    assert Periodic(Periodic.Options(hysteresis=None)).moves(trade._replace(best_ms=99.0))
    assert Periodic(Periodic.Options(hysteresis=0.2)).moves(trade)
    assert not Periodic(Periodic.Options(hysteresis=0.3)).moves(trade)
    assert (Never().every_s, Never().moves(trade)) == (math.inf, False)


def test_a_living_swarm_step_by_step():
    """A block takes 2 GB and 0.5 s a GB: 1 s."""
    where = placed((1, 3, 0), (2, 2, 0), (40, 40, 0), details={"order": 1})
    swarm = LivingSwarm(where, 0.5)
    assert swarm.as_first_placed and swarm.whole and swarm.now() is where
    swarm.fail(1)
    assert swarm.serving.tolist() == [True, False, True]
    assert not swarm.whole and not swarm.as_first_placed
    now = swarm.now()
    assert (now.blocks.tolist(), now.cache_tokens.tolist()) == ([2, 0, 0], [40, 0, 0])
    assert now.details == {} and now.first_block.tolist() == [1, 3, 0]
    assert swarm.join(1) == (2, 2000.0)
    assert swarm.up.all() and not swarm.whole
    assert not swarm.end_load(1, 1)
    assert not swarm.loaded[1]
    # While it loads it may be given the same blocks, or others.
    other = placed((1, 3, 2), (3, 2, 3), (40, 40, 40), swarm=where.swarm)
    assert swarm.moved(other).tolist() == [0, 2]
    assert swarm.load_ms(other).tolist() == [1000, 0, 3000]
    shifted = placed((1, 2, 0), (2, 3, 0), (40, 40, 0), swarm=where.swarm)
    assert swarm.moved(shifted).tolist() == [1]
    assert swarm.load_ms(shifted).tolist() == [0, 3000, 0]  # nothing of it is there
    assert swarm.end_load(1, 2)
    assert swarm.whole and swarm.as_first_placed
    assert swarm.load_ms(shifted).tolist() == [0, 1000, 0]
    # A server that is away is given others all the same, and loads them once it is back.
    swarm.fail(2)
    swarm.fail(0)
    assert swarm.moved(other).tolist() == []
    assert swarm.load_ms(other).tolist() == [0, 0, 0]
    assert swarm.join(0) == (2, 2000.0)
    assert swarm.moved(other).tolist() == [0]
    assert swarm.load_ms(other).tolist() == [3000, 0, 0]
    assert swarm.move(other) == {0: (3, 3000.0)}
    assert swarm.placement is other and not swarm.whole
    assert not swarm.end_load(0, 2) and swarm.end_load(0, 3)
    assert not swarm.whole  # the last one is away
    assert swarm.join(2) == (2, 3000.0)
    assert swarm.end_load(2, 2)
    assert swarm.whole and not swarm.as_first_placed
    assert swarm.now().blocks.tolist() == [3, 2, 3]
    # Windows of nobody that differ are no move.
    nobody = placed((1, 3, 2), (3, 2, 0), (40, 40, 0), swarm=where.swarm)
    none = LivingSwarm(placed((1, 3, 0), (3, 2, 0), (40, 40, 0), swarm=where.swarm), 0.5)
    assert none.moved(nobody).tolist() == []
    assert swarm.moved(nobody).tolist() == [2]
    assert swarm.load_ms(nobody).tolist() == [0, 0, 0]


def living_router(where):
    swarm, caches = LivingSwarm(where, 0.0), Caches(where.cache_tokens)
    router = ROUTING.build("ws_rr", RoutingContext(where, caches))
    return LivingRouter(router, "ws_rr", swarm), swarm


def test_routes_of_a_swarm_whose_servers_come_and_go():
    where = placed((1, 3, 1), (2, 2, 4), (40, 40, 200))
    router, swarm = living_router(where)
    assert router.settled is False
    first = router.route(REQUEST, 0.0)
    inner = router._router
    router.renew([])
    assert router._router is inner  # nothing has changed
    swarm.fail(2)
    router.renew([])
    assert router._router is not inner
    route = router.route(REQUEST, 0.0)
    assert (route.servers.tolist(), route.processed.tolist()) == ([0, 1], [2, 2])
    # Longer than the caches of those that are there: it may be that the others come back.
    long = REQUEST._replace(cache_tokens=21)
    held = router.route(long, 0.0)
    assert (held.servers.size, held.processed.size, held.cost_ms) == (0, 0, np.inf)
    router.settled = True
    with pytest.raises(InfeasibleError, match="attention cache"):
        router.route(long, 0.0)
    router.settled = False
    swarm.fail(1)
    router.renew([])
    assert router.route(REQUEST, 0.0).servers.size == 0
    router.settled = True
    with pytest.raises(InfeasibleError) as error:
        router.route(REQUEST, 0.0)
    assert str(error.value) == (
        "infeasible: not enough servers: a host of every block missing (the others do not join)"
    )
    router.settled = False
    for server in (1, 2):
        number, _ = swarm.join(server)
        swarm.end_load(server, number)
    router.renew([])
    assert router.route(REQUEST, 0.0).servers.tolist() == first.servers.tolist()
    with pytest.raises(InfeasibleError, match="attention cache"):
        router.route(REQUEST._replace(cache_tokens=51), 0.0)  # as first placed: never


def test_a_router_that_looks_at_no_capacity_is_held_back_while_others_may_come():
    where = placed((1, 3, 1), (2, 2, 4), (40, 40, 200))
    swarm, caches = LivingSwarm(where, 0.0), Caches(where.cache_tokens)

    class Blind(RoutingPolicy):
        def __init__(self, context, options=None):
            super().__init__(context, options)
            self.seen = []

        def route(self, request, now_ms):
            return Route(np.array([0, 1]), np.array([2, 2]), 1.0)

        def admitted(self, request, route):
            self.seen.append((request, route))

    router = LivingRouter(Blind(RoutingContext(where, caches)), "ws_rr", swarm)
    swarm.up[2] = False
    assert router.route(REQUEST, 0.0).servers.tolist() == [0, 1]  # 2 · 20 = 40 units
    assert router.route(REQUEST._replace(cache_tokens=21), 0.0).servers.size == 0
    router.settled = True
    assert router.route(REQUEST._replace(cache_tokens=21), 0.0).servers.tolist() == [0, 1]


@pytest.mark.parametrize(
    "elapsed_ms, made",
    [(0, 0), (9.9, 0), (10, 1), (19.9, 1), (20, 2), (39, 3), (40, 4), (49.9, 4), (50, 4), (99, 4)],
)
def test_tokens_that_a_session_has_made(elapsed_ms, made):
    """The first one after 10 ms, then one every 10 ms; the fifth one when it ends."""
    assert _tokens_made(ServiceTimes(10.0, 50.0), 5, elapsed_ms) == made
    assert _tokens_made(ServiceTimes(10.0, 10.0), 1, elapsed_ms) == 0
    assert _tokens_made(ServiceTimes(10.0, 10.0), 3, elapsed_ms) == (2 if elapsed_ms >= 10 else 0)


def whole_records(**more):
    workload = Workload(
        np.array([0.0, 10.0]), np.array([0, 1]), np.array([4, 6]), np.array([5, 1]), 30
    )
    columns = {
        "wait_ms": np.array([0.0, 2.0]), "raw_wait_ms": np.array([0.0, 1.0]),
        "ttft_ms": np.array([20.0, 30.0]), "completion_ms": np.array([100.0, 30.0]),
        "attempts": np.array([1, 2], dtype=np.int32), "chain_start": np.array([0, 2, 3]),
        "chain_server": np.array([0, 1, 2]), "chain_processed": np.array([2, 2, 4]),
    }  # fmt: skip
    return Records(workload, **{**columns, **more}, engine="simpy")


def test_records_of_parts():
    one, two = np.array([0, 1]), np.array([2])
    parts = [
        Part(0, 5.0, 60.0, 4, 2, True, one, np.array([2, 2])),
        Part(1, 12.0, 40.0, 6, 1, False, two, np.array([4])),
        Part(0, 61.0, 70.0, 6, 0, True, two, np.array([4])),
        Part(0, 3.0, 100.0, 6, 3, False, two, np.array([4])),
    ]
    outages, replacements = [Outage(1, 2.0, 3.0)], [Replacement(1.0, 2, 3.0)]
    found = LivingRecords.of_parts(whole_records(), parts, outages, replacements)
    assert found.cuts.tolist() == [2, 0]
    assert found.prefilled_again.tolist() == [4 + 6 + 6 - 4, 0]
    assert found.outcome == {"max_concurrent": 2, "engine": "simpy", "replacements": 1}
    assert (found.outages, found.replacements, found.parts) == (outages, replacements, parts)
    assert found.columns()["cuts"].tolist() == [2, 0]
    assert list(found.columns())[-2:] == ["cuts", "prefilled_again"]
    # Those that made something, by their start.
    served = found.served
    assert served.workload.arrival_ms.tolist() == [3, 5, 12]
    assert served.workload.client.tolist() == [0, 0, 1]
    assert served.workload.input_tokens.tolist() == [6, 4, 6]
    assert served.workload.output_tokens.tolist() == [3, 2, 1]
    assert served.workload.cache_tokens.tolist() == [30, 30, 30]
    assert served.completion_ms.tolist() == served.ttft_ms.tolist() == [97, 55, 28]
    assert not served.wait_ms.any() and not served.raw_wait_ms.any()
    assert served.attempts.tolist() == [1, 1, 1]
    assert [served.chain(i)[0].tolist() for i in range(3)] == [[2], [0, 1], [2]]
    assert [served.chain(i)[1].tolist() for i in range(3)] == [[4], [2, 2], [4]]
    empty = LivingRecords(**vars(whole_records()))
    assert (empty.cuts.size, empty.prefilled_again.size, empty.parts) == (0, 0, [])


@pytest.mark.parametrize("up_s, down_s", [(14_400.0, 600.0), (5.0, 20.0)])
def test_exponential_changes_are_draws_of_each_server(up_s, down_s):
    options = Exponential.Options(mean_up_s=up_s, mean_down_s=down_s)
    assert Exponential.Options().model_dump() == {"mean_up_s": 14_400.0, "mean_down_s": 600.0}
    changes = Exponential(options).changes(3, np.random.default_rng(7))
    found = [next(changes) for _ in range(60)]
    expected = []
    for server, own in enumerate(np.random.default_rng(7).spawn(3)):
        now_ms, joins = 0.0, False
        for _ in range(60):
            now_ms += 1000 * (down_s if joins else up_s) * own.standard_exponential()
            expected.append(Change(now_ms, server, joins))
            joins = not joins
    assert found == heapq.nsmallest(60, expected)
    assert not list(Exponential().changes(0, np.random.default_rng(7)))


@pytest.mark.parametrize(
    "text, says",
    [
        ("-1,0,fail", "HERE (line 2): time_s: got -1; allowed: at least 0"),
        ("1,2,fail", "HERE (line 2): server: got 2; allowed: 0 to 1"),
        ("1,-1,fail", "HERE (line 2): server: got -1; allowed: 0 to 1"),
        ("1,0,stop", "HERE (line 2): event: got 'stop'; allowed: fail or join"),
        ("1,0,fail\n2.5,0,fail",
         "HERE (line 3): event: got 'fail'; allowed: join: server 0 is away at 2.5 s"),
        ("3,0,join\n4,0,join",
         "HERE (line 3): event: got 'join'; allowed: fail: server 0 is there at 4 s"),
    ],
)  # fmt: skip
def test_traces_that_cannot_be(tmp_path, text, says):
    path = tmp_path / "trace.csv"
    path.write_text(f"time_s,server,event\n{text}\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        Trace(Trace.Options(file=path)).changes(2, np.random.default_rng(0))
    assert str(error.value) == says.replace("HERE", str(path))


def test_a_trace_is_sorted_and_may_begin_at_zero(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(
        "time_s,server,event\n4,1,join\n0,0,fail\n2,0,join\n3,0,fail\n", encoding="utf-8"
    )
    found = list(Trace(Trace.Options(file=path)).changes(2, np.random.default_rng(0)))
    assert found == [
        (0.0, 1, False), (0.0, 0, False), (2000.0, 0, True), (3000.0, 0, False), (4000.0, 1, True),
    ]  # fmt: skip
    assert list(CHURN.build("none").changes(3, np.random.default_rng(0))) == []


@pytest.mark.parametrize(
    "more, says",
    [
        ({"engine": "compiled"},
         "simulation: engine: got 'compiled'; allowed: "
         "simpy or auto, where servers fail, join or are given other blocks"),
        ({"service": "serial"},
         "simulation: service: got 'serial'; allowed: "
         "independent, where servers fail, join or are given other blocks"),
        ({"admission": "shipped"},
         "simulation: admission: got 'shipped'; allowed: "
         "UNHELD, where servers fail, join or are given other blocks"),
    ],
)  # fmt: skip
def test_lives_that_cannot_be(more, says):
    life, workload = Life(iter(()), Never(), 0.0), Workload(np.zeros(1), 0, 1, 2, 10)
    with pytest.raises(InputError) as error:
        simulate_living(placed(), workload, "ws_rr", life, **more)
    unheld = [name for name, each in ADMISSION.items() if not each.ends_holds]
    assert sorted(unheld) == ["at_release", "central_queue", "reserve", "retry"]
    assert str(error.value) == says.replace("UNHELD", ", ".join(unheld))


@pytest.mark.parametrize(
    "more, says",
    [
        ({"engine": "compiled"},
         "simulation: engine: got 'compiled'; allowed: simpy or auto, where caches grow"),
        ({"service": "independent"},
         "simulation: service: got 'independent'; allowed: "
         "QUEUED, where caches grow: sessions are looked at token by token"),
        ({"admission": "shipped"},
         "simulation: admission: got 'shipped'; allowed: UNHELD, where caches grow"),
        ({"admission": "retry", "charging": "paced"},
         "simulation: admission: got 'retry'; allowed: "
         "central_queue, where sessions start as caches allow"),
    ],
)  # fmt: skip
def test_growths_that_cannot_be(more, says):
    with pytest.raises(InputError) as error:
        simulate_growing(
            placed(), Workload(np.zeros(1), 0, 1, 2, 10), "ws_rr", **{"charging": "pages", **more}
        )
    queued = [name for name, each in SERVICE.items() if not each.ends_are_known]
    unheld = [name for name, each in ADMISSION.items() if not each.ends_holds]
    assert sorted(queued) == ["batched", "serial"]
    says = says.replace("UNHELD", ", ".join(unheld)).replace("QUEUED", ", ".join(queued))
    assert str(error.value) == says
    with pytest.raises(InfeasibleError, match="attention cache"):
        simulate_growing(
            placed(cache=(19, 40)), Workload(np.zeros(1), 0, 1, 2, 10), "shortest_path",
            charging=Choice("pages", CHARGING["pages"].Options(tokens=5)),
        )  # fmt: skip


# Simulations.


def test_what_a_run_is_refused():
    workload = Workload(np.zeros(1), 0, 1, 2, 10)
    near = swarm_of(raw_rtt_ms=np.ones((1, 2)), server_rtt_ms=np.ones((2, 2)))
    fixed = ", ".join(name for name, each in CHARGING.items() if not each.grows)
    assert fixed == "whole"
    for charging in ("pages", "paced"):
        with pytest.raises(InputError) as error:
            simulate(placed(), workload, "ws_rr", charging=charging)
        assert str(error.value) == (
            f"simulation: charging: got '{charging}'; allowed: whole; caches grow in "
            "`simulate_growing`, not where servers come and go"
        )
    with pytest.raises(InputError) as error:
        simulate(
            placed(), workload, "ws_rr", admission="retry", service="serial", engine="compiled"
        )
    assert str(error.value) == (
        "simulation: engine: got 'compiled'; allowed: simpy or auto for Believing, Serial"
    )
    for admission in ("reserve", "at_release"):
        with pytest.raises(InputError) as error:
            simulate(placed(), workload, "ws_rr", admission=admission, service="batched")
        assert str(error.value) == (
            f"simulation: admission: got '{admission}'; allowed: central_queue, retry, shipped "
            "with service batched: its sessions end when they end"
        )
        with pytest.raises(InputError) as error:
            simulate(placed(), workload, "two_resource", admission=admission)
        assert str(error.value) == (
            f"simulation: admission: got '{admission}'; allowed: central_queue, retry, shipped "
            "with routing two_resource: it holds requests back"
        )
    for engine in ("simpy", "compiled"):
        long = Workload(np.zeros(1), 0, 1, 2, 2001)
        with pytest.raises(InfeasibleError) as error:
            simulate(placed(), long, "shortest_path", engine=engine)
        assert "attention cache: room for 2001 tokens in every block of a chain" in str(error.value)
        with pytest.raises(InfeasibleError) as error:
            simulate(placed(swarm=near), long, "petals", engine=engine)
        assert str(error.value) == (
            "infeasible: not enough attention cache: 2 of 4002 tokens of one block missing "
            "(server 0, where routing sends a request longer than its cache)"
        )
    assert [name for name, each in ADMISSION.items() if each.needs_known_ends] == [
        "at_release", "reserve",
    ]  # fmt: skip
    assert [name for name, each in ADMISSION.items() if each.queues] == ["central_queue"]
    error = too_long(np.array([4, 2]), np.array([30, 50]), np.array([0, 0, 40, 0, 25]))
    assert str(error) == (
        "infeasible: not enough attention cache: 10 of 50 tokens of one block missing "
        "(server 2, where routing sends a request longer than its cache)"
    )


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize("count", [1, 499, 500, 1000, 1203])
def test_how_far_a_run_is(engine, count):
    """The compiled engine tells about 500 times a run, the other one at every request."""
    told = []
    workload = Workload(np.arange(count) * 1e6, 0, 1, 2, 10)
    simulate(placed(), workload, "ws_rr", engine=engine, progress=told.append)
    assert sum(told) == count
    step = 1 if engine == "simpy" else max(count // 500, 1)
    assert {each for each in told if each} <= {step, count % step}
    assert count // step <= len(told) <= count // step + 1


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_delays_come_before_the_first_token(engine):
    workload = Workload(np.array([0.0]), 0, 8, 5, 20)
    delays = Delays(30.0, 4.0)
    assert delays.total_ms == 34 and Delays().total_ms == 0
    where = placed(swarm=swarm_of())
    alone = simulate(where, workload, "ws_rr", engine=engine)
    delayed = simulate(where, workload, "ws_rr", engine=engine, delays=delays)
    assert delayed.ttft_ms.tolist() == [alone.ttft_ms[0] + 34]
    assert delayed.completion_ms.tolist() == [alone.completion_ms[0] + 34]
    assert delayed.engine == engine
    # 17 + 19 ms there and back, two blocks each of 14 and 22; 6 + 8 and 2 · (2 + 4) a token.
    assert alone.ttft_ms.tolist() == [36 + 28 + 44]
    assert alone.completion_ms.tolist() == [108 + 4 * 26]


def test_servers_may_be_slower_than_routing_believes():
    """It believes the first server to be the faster one; the second one is."""
    where = placed((1, 1), (4, 4), swarm=swarm_of((1.0, 2.0)))
    truth = swarm_of((50.0, 2.0))
    workload = Workload(np.array([0.0]), 0, 8, 5, 20)
    for engine in ("simpy", "compiled"):
        record = simulate(where, workload, "ws_rr", serving=truth, engine=engine)
        assert record.chain(0)[0].tolist() == [0]
        assert record.completion_ms.tolist() == [17 + 56 + 4 * (6 + 200)]
    seen = []
    policy = admission_of(
        where, "jffc", "central_queue", "whole", "serial", serving=truth,
        watch=lambda router: seen.append(router) or router,
    )  # fmt: skip
    assert policy.context.service.swarm is truth
    assert seen[0].context.computing.swarm is where.swarm
    assert policy.context.router is not seen[0]  # Believing, around it
    same = admission_of(where, "jffc", "central_queue", "whole", "serial")
    assert same.context.router.context.computing is same.context.service


def test_notes_become_records():
    """Two that were granted in the other order; the first one starts a rounding error early."""
    workload = Workload(np.array([0.0, 10.0]), 0, 4, 5, 30)
    notes = Sessions.of(2)
    assert [column.size for column in notes] == [2] * 7
    assert notes.attempts.tolist() == notes.hops.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match=r"^2 requests never started$"):
        Records.of(workload, notes, np.zeros(0), np.zeros(0), "simpy")
    notes.start_ms[:] = [-9e-7, 12.0]
    notes.raw_wait_ms[:], notes.first_token_ms[:], notes.total_ms[:] = [0, 1], [5, 6], [50, 60]
    notes.attempts[:], notes.hops[:], notes.chain_at[:] = [1, 3], [2, 1], [1, 0]
    found = Records.of(workload, notes, np.array([7, 8, 9]), np.array([4, 1, 3]), "simpy")
    assert found.wait_ms.tolist() == [0, 2]
    assert found.ttft_ms.tolist() == [5, 8] and found.completion_ms.tolist() == [50, 62]
    assert [found.chain(i)[0].tolist() for i in (0, 1)] == [[8, 9], [7]]
    assert [found.chain(i)[1].tolist() for i in (0, 1)] == [[1, 3], [4]]
    assert found.chain_start.tolist() == [0, 2, 3] and len(found) == 2
    notes = Sessions.of(1)
    notes.start_ms[:], notes.hops[:], notes.chain_at[:] = [1.1e-6], [1], [0]
    late = Records.of(Workload(np.zeros(1), 0, 4, 5, 30), notes, np.ones(1), np.ones(1), "simpy")
    assert late.wait_ms.tolist() == [1.1e-6]
    notes.start_ms[:] = [1e-6]  # sums differ by less than that
    late = Records.of(Workload(np.zeros(1), 0, 4, 5, 30), notes, np.ones(1), np.ones(1), "simpy")
    assert late.wait_ms.tolist() == [1e-6]


def test_metrics_of_two_requests():
    found = whole_records()
    table = found.table()
    assert table.to_dict("list") == {
        "request": [0, 1], "client": [0, 1], "input_tokens": [4, 6], "output_tokens": [5, 1],
        "arrival_ms": [0, 10], "per_token_ms": [20, 30], "ttft_ms": [20, 30], "wait_ms": [0, 2],
        "remaining_per_token_ms": [20, pytest.approx(math.nan, nan_ok=True)], "hops": [2, 1],
        "attempts": [1, 2],
    }  # fmt: skip
    assert found.start_ms.tolist() == [0, 12] and found.end_ms.tolist() == [100, 40]
    assert found.max_concurrent == 2 and found.served is found
    assert found.outcome == {"max_concurrent": 2, "engine": "simpy"}
    assert peak_concurrency(np.array([0.0, 5, 5, 9]), np.array([5.0, 9, 10, 12])) == 2
    assert peak_concurrency(np.zeros(0), np.zeros(0)) == 0
