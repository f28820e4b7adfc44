"""Invariants of the simulator: memory, order of blocks, conservation, causality, determinism.

And the two engines agree to the bit, whatever the policies.
"""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from naive import chain_cost, chains
from swarms import placements, workloads

from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import ADMISSION, ROUTING, Choice
from bprr.placement.base import Placement
from bprr.routing.base import RoutingPolicy
from bprr.scenario.workload import Workload
from bprr.simulation import Delays, simulate
from bprr.simulation.admission.back_off import BackOff
from bprr.simulation.admission.base import AdmissionPolicy

ROUTINGS = sorted(
    name
    for name, each in ROUTING.items()
    if each.route is RoutingPolicy.route and name != "pipe"  # which goes with its placement
)
ADMISSIONS = sorted(name for name, each in ADMISSION.items() if each.admit is AdmissionPolicy.admit)
BACK_OFF = {"first_ms": 100.0, "longest_ms": 800.0}
INSTANTS = np.cumsum([0, 100, 200, 400, *[800] * 2000]).astype(float)
CLOCK_MS = 1e-5  # instants of the clock closer than this are the same


@st.composite
def runs(draw, admission=("reserve", "retry")):
    placement = draw(placements(covering=True))
    workload = draw(workloads(placement.swarm.clients))
    routing = draw(st.sampled_from(ROUTINGS))
    policy = draw(st.sampled_from(admission))
    delays = Delays(draw(st.integers(0, 90)), draw(st.integers(0, 900)))
    return placement, workload, routing, policy, delays


def admission_choice(name):
    options = ADMISSION[name].Options
    return Choice(name, options(**BACK_OFF) if issubclass(options, BackOff) else options())


def serve(run, **more):
    placement, workload, routing, admission, delays = run
    policy = admission_choice(admission)
    try:
        return simulate(placement, workload, routing, admission=policy, delays=delays, **more)
    except InfeasibleError:
        # PETALS' and the shortest path may lead to a server too small for a long request.
        assert routing not in ("exact", "ws_rr")
        return None


def outcome(run, engine):
    """Everything that an engine says of a run; of one that fails, why."""
    try:
        placement, workload, routing, admission, delays = run
        records = simulate(
            placement,
            workload,
            routing,
            admission=admission_choice(admission),
            delays=delays,
            engine=engine,
        )
    except InfeasibleError as error:
        return str(error)
    assert records.engine == engine
    columns = [each.name for each in fields(records) if each.name not in ("workload", "engine")]
    return {name: getattr(records, name).tolist() for name in columns}


@given(run=runs(admission=ADMISSIONS))
def test_engines_agree_to_the_bit(run):
    reference = outcome(run, "simpy")
    event(f"{run[2]}, {run[3]}, served: {isinstance(reference, dict)}")
    assert outcome(run, "compiled") == reference


@pytest.mark.parametrize("admission", ADMISSIONS)
@pytest.mark.parametrize("routing", ROUTINGS)
@settings(max_examples=2)
@given(data=st.data(), seed=st.integers(0, 99))
def test_engines_agree_on_thousands_of_requests(routing, admission, data, seed):
    """Many of them arrive at the same instant, and sessions end at the same instant."""
    placement = data.draw(placements(covering=True))
    rng = np.random.default_rng(seed)
    count, clients = 2_000, placement.swarm.clients
    workload = Workload(
        np.cumsum(rng.choice([0.0, 0.0, 1.0, 50.0, 400.0], size=count)),
        rng.integers(clients, size=count),
        *rng.choice([1, 20], size=(2, count)),
        rng.choice([1_000, 2_000], size=count),
    )
    run = (placement, workload, routing, admission, Delays(0.0, 0.0))
    assert outcome(run, "compiled") == outcome(run, "simpy")


def peak_units(records, from_ms):
    """Largest sum of units held at once at each server by sessions, from the instants given."""
    placement_peak = {}
    events = {}
    for index in range(len(records)):
        servers, processed = records.chain(index)
        tokens = records.workload.cache_tokens[index]
        for server, count in zip(servers.tolist(), processed.tolist(), strict=True):
            units = int(count * tokens)
            # Ends come before starts at the same instant, give or take the clock's rounding.
            events.setdefault(server, []).append((from_ms[index] + CLOCK_MS, units))
            events[server].append((records.end_ms[index], -units))
    for server, changes in events.items():
        placement_peak[server] = int(np.cumsum([units for _, units in sorted(changes)]).max())
    return placement_peak


@given(run=runs())
def test_running_sessions_fit_at_every_instant(run):
    """Under retry nobody else holds memory; under reserve waiting sessions do besides."""
    records = serve(run)
    if records is None:
        return
    placement = run[0]
    event(f"{run[3]}, somebody waits: {bool((records.wait_ms > 0).any())}")
    for server, units in peak_units(records, records.start_ms).items():
        assert units <= placement.cache_tokens[server]


@given(run=runs())
def test_every_request_processes_every_block_once_in_order(run):
    records = serve(run)
    if records is None:
        return
    placement = run[0]
    for index in range(len(records)):
        servers, processed = records.chain(index)
        blocks = []
        for server, count in zip(servers.tolist(), processed.tolist(), strict=True):
            last = int(placement.last_block[server])
            blocks += range(last - count + 1, last + 1)
            assert last - count + 1 >= placement.first_block[server]
        assert blocks == list(range(1, placement.swarm.model.blocks + 1))


@given(run=runs())
def test_requests_are_conserved_and_effects_follow_causes(run):
    completed = []
    records = serve(run, progress=completed.append)
    if records is None:
        return
    placement, workload, _, admission, delays = run
    assert sum(completed) == len(records) == len(workload) == len(records.table())
    assert (records.wait_ms >= 0).all()
    assert (records.raw_wait_ms >= 0).all()
    assert (records.completion_ms >= records.ttft_ms).all()
    assert (records.ttft_ms >= records.wait_ms + delays.total_ms - 1e-9).all()
    assert np.isfinite(records.completion_ms).all()
    # Completion = wait + delays + the chain's time (docs/model.md#performance).
    for index in range(len(records)):
        chain = tuple(zip(*(part.tolist() for part in records.chain(index)), strict=True))
        request = (
            int(workload.client[index]),
            int(workload.input_tokens[index]),
            int(workload.output_tokens[index]),
            int(workload.cache_tokens[index]),
        )
        time_ms = chain_cost(placement, [], chain, Asked(*request), 0.0).time_ms
        expected = records.wait_ms[index] + delays.total_ms + time_ms
        assert records.completion_ms[index] == pytest.approx(expected, rel=1e-9)
    # A session starts at an instant of the back-off, the first one not before the raw wait.
    nearest = np.abs(INSTANTS - records.wait_ms[:, None]).min(axis=1)
    assert (nearest < CLOCK_MS).all()
    if admission == "reserve":
        expected = INSTANTS[np.searchsorted(INSTANTS, records.raw_wait_ms)]
        assert np.allclose(records.wait_ms, expected, rtol=0, atol=CLOCK_MS)
        assert (records.attempts == 1).all()
    else:
        expected = INSTANTS[records.attempts - 1]
        assert np.allclose(records.wait_ms, expected, rtol=0, atol=CLOCK_MS)


class Asked:
    def __init__(self, client, input_tokens, output_tokens, cache_tokens):
        self.client, self.cache_tokens = client, cache_tokens
        self.input_tokens, self.output_tokens = input_tokens, output_tokens


@given(run=runs())
def test_the_same_run_twice_is_the_same(run):
    first, second = serve(run), serve(run)
    if first is None:
        assert second is None
        return
    assert first.table().equals(second.table())
    assert first.chain_server.tolist() == second.chain_server.tolist()


@given(run=runs(admission=("reserve",)))
def test_waits_are_those_of_a_list_of_holds(run):
    """Under reserve each request's wait follows from the holds of those that came before."""
    placement, workload, _, _, _ = run
    records = serve(run)
    if records is None:
        return
    holds = []
    for index in range(len(records)):
        now = float(workload.arrival_ms[index])
        chain = tuple(zip(*(part.tolist() for part in records.chain(index)), strict=True))
        tokens = int(workload.cache_tokens[index])
        asked = Asked(int(workload.client[index]), 1, 1, tokens)
        cost = chain_cost(placement, holds, chain, asked, now)
        assert records.raw_wait_ms[index] == pytest.approx(max(cost.waits_ms), abs=CLOCK_MS)
        end = float(records.end_ms[index])
        holds += [(server, count * tokens, end) for server, count in chain]


@given(run=runs(admission=("reserve",)))
def test_ws_rr_and_exact_decide_on_what_the_earlier_requests_hold(run):
    """The chain of every request is the best of all chains at its own arrival."""
    placement, workload, routing, _, _ = run
    if routing not in ("exact", "ws_rr"):
        return
    records = serve(run)
    criterion = {"exact": "with_longest_wait", "ws_rr": "with_summed_waits"}[routing]
    everything, holds = list(chains(placement)), []
    for index in range(len(records)):
        now, tokens = float(workload.arrival_ms[index]), int(workload.cache_tokens[index])
        asked = Asked(
            int(workload.client[index]),
            int(workload.input_tokens[index]),
            int(workload.output_tokens[index]),
            tokens,
        )
        taken = tuple(zip(*(part.tolist() for part in records.chain(index)), strict=True))
        best = min(
            getattr(chain_cost(placement, holds, chain, asked, now), criterion)
            for chain in everything
        )
        cost = getattr(chain_cost(placement, holds, taken, asked, now), criterion)
        assert cost == pytest.approx(best, rel=1e-9, abs=CLOCK_MS)
        end = float(records.end_ms[index])
        holds += [(server, count * tokens, end) for server, count in taken]


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize("admission", ["reserve", "retry"])
def test_a_request_longer_than_the_chosen_servers_cache_is_refused(admission, engine, small_swarm):
    """PETALS' routing looks at no capacity; the run must end with an answer, not wait for ever."""
    placement = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]))
    assert placement.cache_tokens[0] == 200  # 2 GB left over
    workload = Workload(np.zeros(1), 0, 1, 50)  # 4 blocks of 51 tokens
    with pytest.raises(InfeasibleError, match="4 of 204 tokens of one block missing"):
        simulate(placement, workload, "petals", admission=admission, engine=engine)
