"""Queued servers: event by event as a plain version has them, and as queueing theory has them."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from plain_service import play
from swarms import placements, workloads

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import ROUTING, SERVICE, Choice
from bprr.ground.request import Request, Route
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.base import Placement
from bprr.scenario.workload import Workload
from bprr.service.token_loop import Discipline, TokenLoop
from bprr.simulation import Delays, simulate

PROMPTS = ["whole", "block", "token"]
ORDERS = ["fifo", "decode_first", "oldest"]
ANYWHERE = sorted(
    set(ROUTING) - {"pipe", "best", "flow_weighted"}
)  # those go with placements of their own
BELIEFS = ["ends_now", "re_estimated", "where_room"]


def uniform_swarm(servers, blocks, tau_ms, rtt_ms=0.0, prefill_ms=0.0):
    model = LanguageModel(
        name="x", blocks=blocks, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0
    )
    each = np.ones(servers)
    return Swarm(
        model,
        memory_gb=100 * each,
        tau_ms=tau_ms * each,
        prefill_ms=prefill_ms * each,
        prefill_ms_per_token=0 * each,
        token_rtt_ms=rtt_ms * each,
        prompt_rtt_ms=rtt_ms * each,
    )


@st.composite
def cases(draw):
    """Few servers, whole times (so that many things happen at once), sessions on any chains."""
    servers, clients = draw(st.integers(1, 4)), draw(st.integers(1, 2))

    def times(*shape, high, factor=1.0):
        size = math.prod(shape)
        values = st.lists(st.integers(0, high), min_size=size, max_size=size)
        return np.array(draw(values), dtype=float).reshape(shape) * factor

    model = LanguageModel(name="x", blocks=30, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0)
    swarm = Swarm(
        model,
        memory_gb=np.ones(servers),
        tau_ms=1 + times(servers, high=3),
        prefill_ms=times(servers, high=9),
        prefill_ms_per_token=times(servers, high=2, factor=0.5),
        token_rtt_ms=times(clients, servers, high=2, factor=2.0),
        prompt_rtt_ms=times(clients, servers, high=2, factor=2.0),
        prompt_rtt_ms_per_token=times(clients, servers, high=1, factor=2.0),
    )
    sessions, start = [], 0.0
    for _ in range(draw(st.integers(1, 9))):
        start += draw(st.sampled_from([0, 0, 1, 2, 4, 30]))
        request = Request(
            draw(st.integers(0, clients - 1)), draw(st.integers(1, 4)), draw(st.integers(1, 5)), 1
        )
        chain = draw(st.permutations(range(servers)))[: draw(st.integers(1, servers))]
        sessions.append((start, request, [(j, draw(st.integers(1, 4))) for j in chain]))
    return swarm, sessions


def run_loop(swarm, sessions, discipline):
    """What the compiled loop makes of sessions that start when they start."""
    loop = TokenLoop(swarm, discipline, log_tasks=10_000)
    first, end, rows, coming = [0.0] * len(sessions), [0.0] * len(sessions), {}, list(sessions)
    while coming or rows:
        until = coming[0][0] if coming else math.inf
        for row in loop.advance(until):
            n = rows.pop(row)
            first[n] = float(loop.passing.first_token_ms[row])
            end[n] = float(loop.passing.end_ms[row])
            assert end[n] == loop.now_ms
            loop.leave(row)
        while coming and loop.now_ms == coming[0][0]:
            start, request, chain = coming.pop(0)
            servers, blocks = np.array(chain).T.copy()
            row = loop.enter(request, Route(servers, blocks, 0.0))
            rows[row] = len(sessions) - len(coming) - 1
            loop.start(row, start)
    columns = (column[: loop.logged].tolist() for column in loop.log)
    return sorted(zip(*columns, strict=True)), first, end


def check(case, discipline, **rules):
    swarm, sessions = case
    plain = play(swarm, sessions, **rules)
    tasks, first, end = run_loop(swarm, sessions, discipline)
    queued = len({begin for _, _, begin, _ in tasks}) < len(tasks)
    event(f"several tasks begin at once: {queued}")
    assert tasks == sorted(plain.tasks)
    assert first == plain.first_token_ms
    assert end == plain.end_ms


@given(
    case=cases(),
    order=st.sampled_from(ORDERS),
    prompt=st.sampled_from(PROMPTS),
    prefetch=st.integers(0, 2),
    gap_ms=st.sampled_from([0.0, 2.0]),
    within_ms=st.sampled_from([None, 0.0, 5.0, 40.0]),
    resubmit_ms=st.sampled_from([0.0, 0.5, 3.0]),
)
def test_serial_servers_are_the_plain_ones_event_by_event(
    case, order, prompt, prefetch, gap_ms, within_ms, resubmit_ms
):
    latest_ms = math.inf if within_ms is None else within_ms
    discipline = Discipline.serial(order, prompt, prefetch, gap_ms, latest_ms, resubmit_ms)
    rules = {"order": order, "prompt": prompt, "prefetch": prefetch, "gap_ms": gap_ms}
    check(case, discipline, **rules, within_ms=within_ms, resubmit_ms=resubmit_ms)


def test_between_two_pieces_of_a_prompt_a_server_may_take_another_session():
    """The oldest session's second piece comes late, and finds the server at another's token."""
    swarm = uniform_swarm(1, 30, 10.0, prefill_ms=4.0)
    sessions = [(1.0, Request(0, 1, 1, 1), [(0, 2)]), (0.0, Request(0, 1, 2, 1), [(0, 1)])]
    ends = {}
    for resubmit_ms in (0.0, 0.5):
        discipline = Discipline.serial("oldest", "block", 0, 0.0, math.inf, resubmit_ms)
        loop = TokenLoop(swarm, discipline)
        rows = [
            loop.enter(request, Route(*np.array(chain).T.copy(), 0.0))
            for _, request, chain in sessions
        ]
        for row, (start, _, _) in zip(rows, sessions, strict=True):
            loop.start(row, start)
        left = len(rows)
        while left:
            left -= len(loop.advance(math.inf))
        ends[resubmit_ms] = loop.passing.end_ms[rows].tolist()
    # Prompt of the younger one 0 to 4 ms; the older one's pieces from 4 to 12, or 4 to 8 and 18 on.
    assert ends == {0.0: [12.0, 22.0], 0.5: [22.0, 18.0]}


@given(case=cases(), prompt=st.sampled_from(PROMPTS), share=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_batched_servers_are_the_plain_ones_event_by_event(case, prompt, share):
    check(case, Discipline.batched([(1, 1), (2, 1 + share)], prompt), prompt=prompt, curve=share)


@given(case=cases(), order=st.sampled_from(ORDERS), prompt=st.sampled_from(PROMPTS))
def test_tasks_are_conserved_in_order_and_caused(case, order, prompt):
    """Every task runs once, after its predecessor; a server runs one at a time."""
    swarm, sessions = case
    tasks, _, end = run_loop(swarm, sessions, Discipline.serial(order, prompt, 0, 0.0))
    for n, (start, request, chain) in enumerate(sessions):
        mine = sorted((begin, until, j) for j, session, begin, until in tasks if session == n)
        pieces = {"whole": 1, "token": request.input_tokens}
        first = [j for j, k in chain for _ in range(k)] if prompt == "block" else None
        hops = [j for j, _ in chain]
        first = first or hops * pieces[prompt]
        assert sorted(j for _, _, j in mine) == sorted(first + hops * (request.output_tokens - 1))
        assert mine[0][0] >= start
        assert all(b[0] >= a[1] for a, b in pairwise(mine))
        assert end[n] >= mine[-1][1]
    for j in range(swarm.servers):
        mine = sorted((begin, until) for server, _, begin, until in tasks if server == j)
        assert all(b[0] >= a[1] for a, b in pairwise(mine))


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
def test_waits_of_an_m_d_1_queue(load):
    """Wait for wait Lindley's recursion, whose mean over a long run is ρ / (2 (1 − ρ)) services."""
    rng = np.random.default_rng(5)
    arrivals = np.cumsum(rng.exponential(1 / load, 3_000_000))

    def lindley(times):
        slack = np.arange(times.size) - times  # work brought before each arrival, less the time
        return slack - np.minimum.accumulate(slack)

    request, chain = Request(0, 1, 1, 1), [(0, 1)]
    few = [(time, request, chain) for time in arrivals[:2_000].tolist()]
    discipline = Discipline.serial("fifo", "token", 0, 0.0)
    _, _, end = run_loop(uniform_swarm(1, 1, 1.0), few, discipline)
    waits = np.array(end) - 1 - arrivals[:2_000]
    assert np.allclose(waits, lindley(arrivals[:2_000]), rtol=0, atol=1e-6)
    assert lindley(arrivals).mean() == pytest.approx(load / (2 * (1 - load)), rel=0.01)


def tokens_per_s(discipline, sessions):
    """Rate at which sessions on one chain of two A100 with 35 blocks each get their tokens."""
    swarm = uniform_swarm(2, 70, 3.2197, rtt_ms=110.0)
    tokens = 400
    runs = [(0.0, Request(0, 1, tokens, 1), [(0, 35), (1, 35)])] * sessions
    tasks, first, end = run_loop(swarm, runs, discipline)
    begin, until = max(first), min(end)
    last = [done for server, _, _, done in tasks if server == 1 and begin < done <= until]
    return 1000 * (len(last) - 1) / (max(last) - min(last))


def test_a_closed_chain_saturates_at_its_slowest_server():
    """8.874 tokens/s = 1 / (35 τ); the knee is where the sessions fill the round: 3.95."""
    serial = Discipline.serial("fifo", "whole", 2, 0.0)
    round_ms = 2 * (110 + 35 * 3.2197)
    assert round_ms / (35 * 3.2197) == pytest.approx(3.95, abs=0.005)
    for sessions in (1, 2, 3):
        assert tokens_per_s(serial, sessions) == pytest.approx(1000 * sessions / round_ms, rel=5e-3)
    assert tokens_per_s(serial, 2) == pytest.approx(4.49, abs=0.03)
    for sessions in (4, 6, 9):
        assert tokens_per_s(serial, sessions) == pytest.approx(8.874, rel=2e-3)


def test_a_batch_that_grows_with_all_its_tasks_is_not_serial():
    together = Discipline.batched([(1, 1), (2, 2)], "whole")
    assert tokens_per_s(together, 2) == pytest.approx(2.98, abs=0.02)


def test_a_measured_curve_takes_the_place_of_the_share():
    """Between its points the time lies on a line, beyond the last two on theirs."""
    swarm = uniform_swarm(1, 4, 10.0)
    discipline = Discipline.batched([(1, 1), (2, 1.5), (4, 1.75)], "token")
    for size, steps in ((1, 1), (2, 1.5), (3, 1.625), (4, 1.75), (6, 2.0)):
        runs = [(0.0, Request(0, 1, 1, 1), [(0, 4)])] * size
        _, _, end = run_loop(swarm, runs, discipline)
        assert end == pytest.approx([40 * steps] * size)


@st.composite
def services(draw):
    """Queued services with any options."""
    options = {"prompt": draw(st.sampled_from(PROMPTS)), "belief": draw(st.sampled_from(BELIEFS))}
    if draw(st.booleans()):
        share = draw(st.sampled_from([0.0, 0.1, 1.0]))
        return Choice("batched", SERVICE["batched"].Options(beta_share=share, **options))
    options["order"] = draw(st.sampled_from(ORDERS))
    return Choice("serial", SERVICE["serial"].Options(**options))


@st.composite
def runs(draw):
    placement = draw(placements(covering=True))
    workload = draw(workloads(placement.swarm.clients))
    delays = Delays(draw(st.integers(0, 90)), draw(st.integers(0, 900)))
    return placement, workload, draw(st.sampled_from(ANYWHERE)), delays


@given(run=runs(), service=services(), admission=st.sampled_from(["central_queue", "retry"]))
def test_queued_sessions_fit_and_take_as_long_as_alone_or_longer(run, service, admission):
    placement, workload, routing, delays = run
    try:
        records = simulate(
            placement, workload, routing, admission=admission, service=service, delays=delays
        )
    except InfeasibleError:
        assert routing not in ("exact", "ws_rr")
        return
    event(f"{service.name}, somebody waits: {bool((records.wait_ms > 0).any())}")
    assert (records.wait_ms >= 0).all()
    alone = SERVICE.build(service, placement.swarm, delays.total_ms)
    changes = {}
    for index in range(len(records)):
        servers, processed = records.chain(index)
        request = Request(
            *(
                int(getattr(workload, name)[index])
                for name in ("client", "input_tokens", "output_tokens", "cache_tokens")
            )
        )
        expected = alone.times(request, Route(servers, processed, 0.0))
        assert records.completion_ms[index] - records.wait_ms[index] > expected.total_ms - 1e-5
        assert records.ttft_ms[index] - records.wait_ms[index] > expected.first_token_ms - 1e-5
        assert records.completion_ms[index] >= records.ttft_ms[index]
        for server, count in zip(servers.tolist(), processed.tolist(), strict=True):
            units = count * request.cache_tokens
            changes.setdefault(server, []).append((records.start_ms[index] + 1e-5, units))
            changes[server].append((records.end_ms[index], -units))
    for server, held in changes.items():
        most = np.cumsum([units for _, units in sorted(held)]).max()
        assert most <= placement.cache_tokens[server]
    if admission == "central_queue":
        assert (np.diff(records.start_ms) >= -1e-5).all()


@given(run=runs(), service=services())
def test_a_session_alone_takes_what_it_is_expected_to_take(run, service):
    placement, workload, routing, delays = run
    only = type(workload)(
        workload.arrival_ms[:1], *(getattr(workload, name)[:1] for name in COLUMNS)
    )
    try:
        records = simulate(
            placement, only, routing, admission="retry", service=service, delays=delays
        )
    except InfeasibleError:
        return
    request = Request(*(int(getattr(workload, name)[0]) for name in COLUMNS))
    policy = SERVICE.build(service, placement.swarm, delays.total_ms)
    expected = policy.times(request, Route(*records.chain(0), 0.0))
    assert records.ttft_ms[0] == pytest.approx(expected.first_token_ms, rel=1e-9)
    assert records.completion_ms[0] == pytest.approx(expected.total_ms, rel=1e-9)


COLUMNS = ("client", "input_tokens", "output_tokens", "cache_tokens")


def test_exact_routing_goes_where_room_is_if_no_session_is_believed_to_end():
    """The nearest server is full for ever, as far as routing knows; the next one is taken."""
    swarm = uniform_swarm(2, 4, 10.0)
    swarm = replace(swarm, token_rtt_ms=np.array([[2.0, 6.0]]))
    placement = Placement(swarm, np.array([1, 1]), np.array([4, 4]), np.array([12, 12]))
    records = simulate(
        placement,
        Workload(np.array([0.0, 1.0, 2.0]), 0, 1, 2),
        "exact",
        admission="central_queue",
        service=Choice("serial", SERVICE["serial"].Options(belief="where_room")),
    )
    assert [records.chain(n)[0].tolist() for n in range(3)] == [[0], [1], [0]]
    assert records.wait_ms[:2].tolist() == [0, 0] and records.wait_ms[2] > 0


@pytest.mark.parametrize("admission", ["reserve", "at_release"])
@pytest.mark.parametrize("service", ["serial", "batched"])
def test_admission_that_needs_known_ends_is_refused(admission, service, small_swarm):
    placement = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]))
    workload = Workload(np.zeros(1), 0, 1, 2)
    with pytest.raises(InputError, match=r"central_queue.*end when they end"):
        simulate(placement, workload, "ws_rr", admission=admission, service=service)
