"""Swarms as they run today: formulas in their limits, and measurements they must explain."""

import numpy as np
import pytest

from bprr.commands.main import main
from bprr.forwarding.hub import Hub
from bprr.forwarding.relay import Relay
from bprr.forwarding.ring import Ring
from bprr.ground.errors import BprrError
from bprr.speculation.chain import Chain
from bprr.speculation.chunks import Chunks
from bprr.speculation.none import NoSpeculation
from bprr.speculation.rounds import acceptance_for, tokens_per_round
from bprr.speculation.single_frames import SingleFrames
from bprr.speculation.tree import Tree
from bprr.wan.measured import HIDDEN, read_measured
from bprr.wan.swarm import Prompt, WanSwarm, pace, prefill_ms, read_swarm
from bprr.wan.traversal import activation_kb, aux_states, traversal
from bprr.wan.validation import GROUPS, NOISE, compared, errors
from bprr.wan.what_ifs import directions, measured_what_ifs, what_ifs
from bprr.window.idle_restart import IdleRestart
from bprr.window.none import NoWindow
from bprr.window.warm import Warm

BETWEEN = np.array([[0, 10, 20, 30], [10, 0, 1, 2], [20, 1, 0, 4], [30, 2, 4, 0]], dtype=float)
RING = {"stages_ms": (20.0, 20.0), "ring_rtt_ms": (0.0, 40.0, 40.0)}


def lost(idle_ms, rtt_ms, kb, window=None):
    window = window or IdleRestart()
    return float(window.lost_round_trips(*(np.array([float(x)]) for x in (idle_ms, rtt_ms, kb)))[0])


@pytest.fixture(scope="module")
def folder(root):
    return root / "data/wan_swarms"


@pytest.fixture(scope="module")
def table(folder):
    return compared(read_measured(folder))


@pytest.fixture(scope="module")
def sizes(table):
    return errors(table).set_index(["group", "model"])


@pytest.mark.parametrize(
    ("policy", "legs", "done"),
    [
        (Hub, [10, 10, 20, 20, 30, 30], [0, 1, 1, 2, 2, 3]),
        (Relay, [10, 1, 4, 4, 1, 10], [0, 1, 2, 3, 3, 3]),
        (Ring, [10, 1, 4, 30], [0, 1, 2, 3]),
    ],
)
def test_a_frame_takes_the_legs_of_its_forwarding(policy, legs, done):
    found = policy().legs(BETWEEN)
    assert found.rtt_ms.tolist() == legs
    assert found.done.tolist() == done


def test_hosts_that_are_one_have_no_leg_between_them():
    between = BETWEEN.copy()
    between[0, 1] = between[1, 0] = 0.0
    assert Ring().legs(between).rtt_ms.tolist() == [1, 4, 30]
    assert Hub().legs(between).rtt_ms.tolist() == [20, 20, 30, 30]


def test_a_hub_pays_a_round_trip_a_stage_and_a_ring_half_of_its_loop():
    hub, ring = (policy().legs(BETWEEN).rtt_ms for policy in (Hub, Ring))
    assert traversal(hub, 6.0, 4.0, 50.0, NoWindow()).total_ms == 60 + 6 * 4 + 50
    assert traversal(ring, 6.0, 4.0, 50.0, NoWindow()).total_ms == 22.5 + 4 * 4 + 50


@pytest.mark.parametrize(
    ("idle_ms", "kb", "round_trips"),
    [
        (1e9, 14.5, 0),  # fits the first window
        (239, 330, 0),  # sooner than the timeout
        (240, 28, 1),
        (240, 110, 1),  # half of it, then the rest
        (480, 110, 2),
        (720, 110, 3),
        (np.inf, 110, 3),  # 14.5, 29, 58, 8.5
    ],
)
def test_an_idle_window_loses_round_trips(idle_ms, kb, round_trips):
    assert lost(idle_ms, 40, kb) == round_trips


def test_a_warm_window_loses_none_and_bbr_half_a_round_trip():
    assert lost(np.inf, 40, 330, Warm()) == 0
    assert lost(0, 40, 330, Warm(Warm.Options(lost_round_trips=0.5))) == 0.5


def test_near_the_timeout_a_ring_has_two_states():
    given = (np.full(5, 21.0), 60.0, 4.0, 130.0, IdleRestart())
    slow = traversal(*given, draft_ms=13.0)
    fast = traversal(*given, draft_ms=13.0, from_above=False)
    assert slow.window_ms == 105.0
    assert fast.window_ms == 0.0
    assert fast.total_ms == pytest.approx(202.5)
    assert traversal(*given, draft_ms=13.0, frames=4).window_ms == 0.0


def test_activations_have_the_published_sizes():
    assert activation_kb(1, 2880) == pytest.approx(5.76)
    assert activation_kb(1, 14336) == pytest.approx(28.7, abs=0.05)
    assert activation_kb(1, 4096, 4) == pytest.approx(32.8, abs=0.05)
    assert 9 * aux_states(5)[-1] * activation_kb(1, 3072, 1, 1) == pytest.approx(83, abs=0.1)


def test_acceptance_and_tokens_a_round_are_each_others_inverse():
    assert tokens_per_round(0.5, 2) == 1.75
    assert tokens_per_round(1.0, 8) == 9
    for acceptance in (0.0, 0.3, 0.9, 1.0):
        found = acceptance_for(tokens_per_round(acceptance, 8), 8)
        assert found == pytest.approx(acceptance, abs=1e-9)


def chunks(acceptance, frames):
    given = {"drafts": 8, "acceptance": acceptance, "draft_ms": 10.0}
    rate = Chunks(Chunks.Options(**given, frames=frames)).tokens_per_s(200.0, 20.0)
    return rate, Chain(Chain.Options(**given)).tokens_per_s(200.0, 20.0)


def test_chunks_without_misses_are_as_fast_as_they_are_sent():
    assert chunks(1.0, 4)[0] == pytest.approx(1000 * 8 / (210 / 4))
    assert chunks(1.0, 99)[0] == pytest.approx(1000 * 8 / 20)
    assert chunks(1.0 - 1e-9, 4)[0] == pytest.approx(chunks(1.0, 4)[0], rel=1e-3)


def test_chunks_that_always_miss_are_no_faster_than_one_at_a_time():
    ahead, alone = chunks(0.3, 4)
    assert ahead == pytest.approx(alone, rel=1e-3)


def test_single_frames_are_bound_by_latency_or_by_the_slowest_stage():
    options = SingleFrames.Options(block=4, mean_frames=3, frames_per_token=1.5)
    policy = SingleFrames(options)
    assert policy.tokens_per_s(100.0, 10.0) == pytest.approx(1000 * 3 / 120 / 1.5)
    assert policy.tokens_per_s(10.0, 10.0) == pytest.approx(1000 / 10 / 1.5)  # both at once
    assert policy.tokens_per_s(5.0, 10.0) == pytest.approx(1000 / 10 / 1.5)
    assert policy.tokens_per_s(60.0, 0.0) == pytest.approx(1000 * 3 / 60 / 1.5)
    assert policy.frames == 5  # a block, and the one before it
    assert SingleFrames(SingleFrames.Options(block=8, most_frames=3)).frames == 3
    few = SingleFrames(SingleFrames.Options(block=4, most_frames=2, frames_per_token=1.0))
    assert few.tokens_per_s(100.0, 10.0) == pytest.approx(1000 * 2 / 120)


def test_frames_positions_and_paces_by_hand():
    plain = NoSpeculation()
    assert (plain.positions, plain.frames, plain.draft_ms) == (1, 1, 0.0)
    assert plain.tokens_per_s(250.0, 20.0) == 4.0
    tree = Tree(Tree.Options(nodes=6, tokens_per_round=3.0, draft_ms=50.0))
    assert (tree.positions, tree.frames, tree.draft_ms) == (7, 1, 50.0)
    assert tree.tokens_per_s(250.0, 20.0) == 10.0
    row = Chain(Chain.Options(drafts=2, acceptance=0.5, draft_ms=100.0))
    assert (row.positions, row.frames, row.draft_ms) == (3, 1, 100.0)
    assert row.tokens_per_s(250.0, 20.0) == 5.0  # 1.75 tokens in 350 ms
    # A chunk of one draft, half of which miss: one is through before a miss, a token in it;
    # 2 tokens in 300 + 150 ms where two chunks are under way.
    sent = Chunks(Chunks.Options(drafts=1, acceptance=0.5, draft_ms=50.0, frames=2))
    assert (sent.positions, sent.frames) == (2, 2)
    assert sent.tokens_per_s(250.0, 20.0) == pytest.approx(2000 / 450)
    assert sent.tokens_per_s(250.0, 200.0) == pytest.approx(2000 / 500)  # the slowest stage
    for block, most, frames in ((4, 9, 5), (4, 3, 3), (8, 9, 9)):
        single = SingleFrames(SingleFrames.Options(block=block, most_frames=most))
        assert single.frames == frames
        pace_per_s = 1000 * frames / (200 + block * 5) / 1.57
        assert single.tokens_per_s(200.0, 10.0) == pytest.approx(min(pace_per_s, 100 / 1.57))
    assert single.tokens_per_s(200.0, 0.0) == pytest.approx(1000 * 9 / 200 / 1.57)


def test_drafts_pay_if_and_only_if_the_tokens_outweigh_the_longer_frame():
    for stages_ms in (1.0, 50.0):
        plain = WanSwarm(**RING, ms_per_more_position=stages_ms, window="none")
        options = {"drafts": 4, "tokens_per_round": 2.0, "draft_ms": 5.0}
        drafted = plain.model_copy(
            update={"speculation": WanSwarm(**RING, speculation={"chain": options}).speculation}
        )
        one, many = pace(plain), pace(drafted)
        pays = 2 * one.traversal.total_ms > 5 + many.traversal.total_ms
        assert (many.tokens_per_s > one.tokens_per_s) == pays
        assert pays == (stages_ms == 1.0)


def test_lockstep_makes_frames_large_and_own_frames_wait_for_the_slowest_stage():
    swarm = {**RING, "streams": 8, "lockstep_ms_per_stream": 30.0, "kb_per_position": 6.0}
    together = pace(WanSwarm(**swarm, batch="lockstep"))
    apart = pace(WanSwarm(**swarm, batch="own_frames"))
    assert together.traversal.stages_ms == 40 + 7 * 30
    assert together.traversal.window_ms > 0
    assert apart.traversal.window_ms == 0
    assert apart.queue_ms == 7 * 20


def test_prefill_is_the_slower_of_stage_and_link_or_their_sum():
    given = {"tokens": 1000, "fixed_ms": 100, "stage_ms_per_token": 2, "link_ms_per_token": 3}
    given = {key: value if key == "tokens" else float(value) for key, value in given.items()}
    assert prefill_ms(Prompt(**given)) == 3100
    assert prefill_ms(Prompt(**given, overlapped=False)) == 5100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages_ms: [1, 2]\nring_rtt_ms: [1, 2]", "3 legs"),
        ("stages_ms: [1]\nring_rtt_ms: [1, 1]\nforwarding: star", "one of hub, relay, ring"),
        (
            "stages_ms: [1]\nrtt_ms: [[0, null], [null, 0]]",
            "swarm.yaml: rtt_ms: got None; allowed: the round trips of every leg",
        ),
        (
            "stages_ms: [1, 1, 1]\nring_rtt_ms: [1, 1, 1, 1]\nforwarding: hub",
            "swarm.yaml: ring_rtt_ms: got None; allowed: the round trips of every leg",
        ),
        ("stages_ms: [1]", "either this or rtt_ms"),
        ("stages_ms: [1]\nring_rtt_ms: [1, 1]\nstates: [1]", "2 numbers"),
    ],
)
def test_a_swarm_that_cannot_be_is_refused(tmp_path, text, message):
    path = tmp_path / "swarm.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BprrError, match=message):
        read_swarm(path)


# What the models must explain (docs/wan.md#validation).
@pytest.mark.parametrize(
    ("group", "model", "most", "least_rows"),
    [
        ("plain traversal", "+ window", 0.12, 12),
        ("drafts traversal", "+ window", 0.12, 64),
        ("drafts tokens", "+ speculation", 0.12, 64),
        ("chunks", "+ in flight", 0.15, 6),
        ("single", "+ in flight", 0.05, 15),
        ("batch", "+ batch", 0.11, 26),
        ("hub", "hub", 0.12, 4),
        ("prompt", "+ in flight", 0.12, 4),
    ],
)
def test_others_measurements_are_explained(sizes, group, model, most, least_rows):
    found = sizes.loc[GROUPS[group], model]
    assert found["median"] <= most
    assert found["n"] >= least_rows


def test_simpler_models_explain_less(sizes):
    traversal_errors = sizes.loc[GROUPS["drafts traversal"], "median"]
    assert traversal_errors["+ window"] < traversal_errors["hub"] < traversal_errors["ring"]
    naive = sizes.loc[(GROUPS["single"], "+ speculation"), "median"]
    assert naive > 10 * sizes.loc[(GROUPS["single"], "+ in flight"), "median"]


def test_first_tokens_of_other_rings_on_the_line_of_one(table):
    """Four stages: 2 % longer prompts than the line's; five: 8 layers a stage instead of 9."""
    rows = table[(table["group"] == GROUPS["prompt"]) & (table["model"] == "+ in flight")]
    said = rows.set_index("run")["predicted"]
    slope = (193.3 - 55.0) / 80
    assert said["W0049"] == pytest.approx(55 + 1.75 * slope)
    assert said["W0052"] == pytest.approx(said["W0049"] * 8 / 9)


def test_the_overhead_of_a_leg_is_what_the_plain_jobs_give(table):
    plain = table[(table["group"] == GROUPS["plain traversal"]) & (table["model"] == "ring")]
    assert len(plain) == 12
    per_leg = (plain["measured"] - plain["predicted"]) / 5
    assert per_leg.median() == pytest.approx(Ring.Options().overhead_ms_per_leg, abs=0.5)


def test_round_trips_of_the_probe_are_counted(table):
    probe = table[(table["group"] == GROUPS["probe"]) & (table["model"] == "+ window")]
    assert len(probe) == 56
    assert (probe["measured"] == probe["predicted"]).sum() == 53


def test_the_noise_of_the_measurements_stands_beside_the_errors(sizes):
    floor = sizes.loc[NOISE, NOISE]
    assert floor["median"] == pytest.approx(0.05, abs=0.01)
    assert floor["n"] > 90


def test_what_lacks_an_input_stays_in_the_table(table):
    assert table["measured"].notna().all()
    assert "W0039" in set(table[table["predicted"].isna()]["run"])


def test_measured_changes_go_in_the_predicted_direction(folder):
    changes = measured_what_ifs(folder)
    right, steps = directions(changes)
    assert steps == 36
    assert right >= 30
    assert changes["error"].abs().median() <= 0.12


def test_what_ifs_name_the_term_that_changes(root):
    swarm = read_swarm(root / "config/swarms/ring.yaml")
    now = pace(swarm)
    found = {each.change: each for each in what_ifs(swarm)}
    warm = found["connections kept warm"]
    assert warm.term == "windows -105 ms"
    assert warm.pace.round_ms == pytest.approx(now.round_ms - 105)
    assert found["no drafts"].pace.tokens_per_s < now.tokens_per_s
    assert found["4 streams, own frames"].term == "4.00 times the tokens per round"
    ratios = [each.pace.tokens_per_s for each in found.values()]
    assert ratios == sorted(ratios, reverse=True)
    assert "8 bits on the wire" not in found  # has them


def test_what_ifs_move_hosts_and_neither_make_nor_lose_work():
    swarm = WanSwarm(stages_ms=(10.0, 20.0, 30.0), rtt_ms=BETWEEN.tolist(), states=(1, 2, 3, 4))
    found = {each.change: each.swarm for each in what_ifs(swarm)}
    (moved,) = (each for change, each in found.items() if change.startswith("coordinator moved"))
    (less,) = (each for change, each in found.items() if change.startswith("one node less"))
    more = found["one node more, as far as the others"]
    for changed in (moved, less, more):
        assert sum(changed.stages_ms) == pytest.approx(60)
        between = np.array(changed.rtt_ms)
        assert (between == between.T).all()
        assert not np.diag(between).any()
    # Beside stage 1, which is nearest to the others.
    assert moved.stages_ms == swarm.stages_ms
    assert moved.rtt_ms[0] == (0.0, 0.0, 1.0, 2.0)
    # Their shares grow alike; the slowest stage of those that are left is no slower than before.
    gone = next(int(change.split()[-1]) for change in found if change.startswith("one node less"))
    kept = [stage for stage in (1, 2, 3) if stage != gone]
    own = np.array([10.0, 20.0, 30.0])[np.array(kept) - 1]
    assert less.stages_ms == pytest.approx(own * 60 / own.sum())
    assert np.array(less.rtt_ms).tolist() == BETWEEN[np.ix_([0, *kept], [0, *kept])].tolist()
    assert less.states == tuple((1, 2, 3, 4)[host] for host in (0, *kept))
    assert more.stages_ms == pytest.approx((7.5, 15.0, 22.5, 15.0))
    assert more.rtt_ms[-1] == (7.0, 7.0, 7.0, 7.0, 0.0)  # the median of 1, 2, 4, 10, 20, 30
    assert more.states == (1, 2, 3, 4, 4)


def test_table_figure_and_explanation_from_the_command_line(at_root, tmp_path, capsys):
    csv = tmp_path / "wan_swarms.csv"
    assert main(["wan", "-o", str(csv)]) == 0
    assert "30 of 36 in the right direction" in capsys.readouterr().out
    assert main(["plot", "wan", str(csv), "-o", str(tmp_path / "figure.pdf")]) == 0
    header = (tmp_path / "figure.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    asked = {"ring", "arm", "quantity", "measured", "model", "predicted", "fitted_on", "error"}
    assert asked <= set(header)
    assert main(["explain", "config/swarms/ring.yaml"]) == 0
    assert "connections kept warm" in capsys.readouterr().out


def test_activations_are_as_wide_as_the_models_say():
    """kB of a position in 16 bits, from the models' own configurations."""
    kb = {name: 2 * width * streams / 1000 for name, (width, streams) in HIDDEN.items()}
    assert {name: round(value, 1) for name, value in kb.items()} == {
        "gpt-oss": 5.8, "MiniMax-M2.5": 6.1, "GLM-5.2": 12.3, "DeepSeek-V4": 32.8, "BLOOM": 28.7,
    }  # fmt: skip
