"""How fast machines are reckoned to be, and the problem that follows, by hand."""

import numpy as np
import pytest

from bprr.ground.errors import InfeasibleError, InputError, InputErrors
from bprr.ground.swarm import Device
from bprr.plan.devices import Factors, _announced, _fitted, _roofline, _slug, paced
from bprr.plan.distances import distances_of
from bprr.plan.goal import Wish
from bprr.plan.gpus import Gpu, known_gpus
from bprr.plan.known import Grade
from bprr.plan.machines import Inventory, Machine
from bprr.plan.models import Served
from bprr.plan.problem import _named, problem_of, scenario_content

from .toy_plan import MACHINES, MODEL, RTT_MS, SERVED, round_trips, toy_problem

CARD = Gpu("X", "X 1", 24.0, 500.0, 100.0, "sheet")  # 2 ms to read a block of 1 GB
QUICK = Gpu("Q", "Q", 24.0, 1e5, 100.0, "sheet")  # 0.01 ms: its launches take longer
MIDDLE = Gpu("M", "M", 24.0, 5000.0, 100.0, "sheet")  # 0.2 ms


def stored(bits):
    return MODEL.model_copy(update={"bits_per_parameter": float(bits)})


@pytest.mark.parametrize(
    ("gpu", "bits", "engine", "tau_ms", "low_ms", "high_ms", "taus"),
    [
        (CARD, 4, "eager", 2 / 0.25, 2 / 0.45, 2 / 0.15, 10),
        (CARD, 8, "eager", 2 / 0.25, 2 / 0.60, 2 / 0.10, 3),
        (CARD, 16, "eager", 2 / 0.45, 2 / 0.85, 2 / 0.20, 1),
        (CARD, 4, "fused", 2 / 0.70, 2 / 0.84, 2 / 0.45, 1),
        (CARD, 8, "fused", 2 / 0.70, 2 / 0.84, 2 / 0.50, 1),
        (CARD, 16, "fused", 2 / 0.72, 2 / 0.84, 2 / 0.60, 1),
        (QUICK, 4, "eager", 0.87, 0.2, 4 * 0.87, 10),
        (QUICK, 4, "fused", 0.2, 0.05, 0.5, 1),
        (MIDDLE, 16, "eager", 0.87, 0.2 / 0.85, 4 * 0.87, 1),
        (MIDDLE, 8, "eager", 0.87, 0.2 / 0.6, 4 * 0.87, 3),
        (MIDDLE, 4, "eager", 0.87, 0.2 / 0.45, 4 * 0.87, 10),
        (Gpu("", "Z", 9.0, 800.0, 100.0, "sheet"), 16, "eager", 1.25 / 0.45, 1.25 / 0.85, 6.25, 1),
        (Gpu("", "Z", 9.0, 2000.0, 100.0, "sheet"), 16, "eager", 0.5 / 0.45, 0.5 / 0.85, 4.0, 1),
        (Gpu("", "Z", 9.0, 4000.0, 100.0, "sheet"), 4, "eager", 1.0, 0.25 / 0.45, 4.0, 10),
        (Gpu("", "Z", 9.0, 4000.0, 100.0, "sheet"), 8, "fused", 0.25 / 0.7, 0.25 / 0.84, 0.5, 1),
    ],
)
def test_the_roofline_of_a_card(gpu, bits, engine, tau_ms, low_ms, high_ms, taus):
    found = _roofline(gpu, stored(bits), engine, 1.0, "here")
    device, roof_ms = found.device, 1000 / gpu.bandwidth_gb_per_s
    assert device.tau_ms == pytest.approx(tau_ms)
    assert found.decode == pytest.approx((low_ms / tau_ms, high_ms / tau_ms))
    assert device.prefill_ms == pytest.approx(taus * tau_ms)
    # Of 16 bits, 500 million parameters: two FLOPs each, at 21 % of 100 TFLOP/s.
    assert device.prefill_ms_per_token == pytest.approx(2 * 0.5e9 / 21e12 * 1000)
    assert found.prefill == Factors(0.4, 2.0) and found.grade is Grade.ESTIMATED
    assert (device.name, device.title) == (gpu.name.lower().replace(" ", "_"), gpu.name)
    assert device.memory_gb == gpu.memory_gb
    share = f"{roof_ms / tau_ms:.0%} of the bandwidth's roofline"
    assert found.because == f"sheet: {gpu.bandwidth_gb_per_s:g} GB/s, 100 TFLOP/s; {share}"


def test_a_mixture_reads_and_computes_a_share():
    model = MODEL.model_copy(update={"parameters_per_block": 300, "bits_per_parameter": 16.0})
    found = _roofline(CARD, model, "eager", 0.5, "here").device
    assert found.tau_ms == pytest.approx(1 / 0.45)
    assert found.prefill_ms_per_token == pytest.approx(2 * 300 * 0.5 / 21e12 * 1000)


PROFILE = Device(
    name="own", tau_ms=2.0, prefill_ms=5.0, prefill_ms_per_token=0.1, memory_gb=12.0, model="toy"
)
OTHER = MODEL.model_copy(update={"name": "other", "block_gb": 2.0})


def test_a_profile_of_the_model_is_taken_as_it_is():
    machine = Machine("a", "own")
    found = _fitted(machine, PROFILE, MODEL, {}, "here")
    assert found == (PROFILE, (0.88, 1.13), (0.88, 1.13), Grade.MEASURED, "profile own")
    again = PROFILE.model_copy(update={"provenance": {"calibrated": True}})
    assert _fitted(machine, again, MODEL, {}, "here").grade is Grade.CALIBRATED
    anybody = PROFILE.model_copy(update={"model": None})
    assert _fitted(machine, anybody, MODEL, {}, "here").grade is Grade.MEASURED


def test_a_profile_of_another_model_is_scaled():
    machine, profile = Machine("a", "own"), PROFILE.model_copy(update={"model": "other"})
    found = _fitted(machine, profile, MODEL, {"other": OTHER}, "here")
    assert (found.device.tau_ms, found.device.model) == (1.0, "toy")
    assert found[1:4] == ((0.6, 1.6), (0.4, 2.0), Grade.ESTIMATED)
    assert found.because == "profile own, scaled from other by the bytes of a block"
    few = OTHER.model_copy(update={"bits_per_parameter": 4.0})
    assert _fitted(machine, profile, MODEL, {"other": few}, "here").because == (
        "profile own, of 4 bits, used for 16, scaled from other by the bytes of a block"
    )
    with pytest.raises(InputError) as refused:
        _fitted(machine, profile, MODEL, {}, "here")
    assert str(refused.value) == (
        "here: gpu of a: got 'own'; allowed: a profile of toy, or other among the models"
    )


def test_what_petals_announces():
    machine = Machine("a", "NVIDIA L4!", inference_rps=500.0)
    found = _announced(machine, stored(8), "here")
    device = found.device
    assert (device.name, device.memory_gb) == ("nvidia_l4", 1.0)
    assert device.tau_ms == pytest.approx(2.18) and device.prefill_ms == pytest.approx(3 * 2.18)
    assert device.prefill_ms_per_token == pytest.approx(2.18 / 40)
    assert (device.inference_rps, device.forward_rps) == (500.0, None)
    because = "1/inference_rps, as PETALS measured itself"
    assert found[1:] == ((0.91, 1.10), (0.4, 2.0), Grade.MEASURED, because)
    known = _announced(Machine("a", inference_rps=500.0, forward_rps=250.0), MODEL, "here").device
    assert (known.name, known.prefill_ms_per_token, known.forward_rps) == ("server", 4.0, 250.0)
    assert _slug("  A-100 (x)") == "a_100_x"


def of(machine, profiles=None, **more):
    arguments = {"model": MODEL, "models": {}, "engine": "eager", "read_share": 1.0, **more}
    return paced(machine, profiles=profiles or {}, where="here", **arguments)


def test_the_best_that_is_known_counts():
    """A profile before announced rates, these before a data sheet; own memory before all."""
    machine = Machine("a", "L4", 20.0, inference_rps=109.0)
    assert of(machine, {"L4": PROFILE}).device.tau_ms == 2
    assert of(machine, {"l4": PROFILE}).device.tau_ms == 2
    assert of(machine).device.tau_ms == pytest.approx(10)
    sheet = of(Machine("a", "L4"))
    assert sheet.because.startswith("L4 data sheet: 300 GB/s")
    memory_gb = {
        None: next(gpu.memory_gb for gpu in known_gpus() if gpu.name == "L4"), 20.0: 20.0,
    }  # fmt: skip
    for said, expected in memory_gb.items():
        assert of(Machine("a", "L4", said), {"L4": PROFILE}).device.memory_gb == expected
        assert of(Machine("a", "L4", said)).device.memory_gb == expected
    assert of(Machine("a", "own"), {"own": PROFILE}).device.memory_gb == 12
    fused = of(Machine("a", "L4"), engine="fused", read_share=0.5).device
    assert fused.tau_ms == pytest.approx(1000 / 300 * 0.5 / 0.72)


def test_rates_that_petals_would_announce():
    plain = Machine("a", "own")
    found = of(plain, {"own": PROFILE}).device
    assert found.network_rps == pytest.approx(100e6 / 16 / 1000)
    assert found.forward_rps == pytest.approx(1024e3 / (5 + 102.4))
    assert found.model == "toy"
    own = PROFILE.model_copy(update={"network_rps": 80.0, "forward_rps": 90.0})
    found = of(plain, {"own": own}).device
    assert (found.network_rps, found.forward_rps) == (80, 90)
    found = of(Machine("a", "own", relay=True), {"own": own}).device
    assert found.network_rps == pytest.approx(16)
    known = Machine("a", "own", relay=True, network_rps=7.0, forward_rps=6.0)
    found = of(known, {"own": own}).device
    assert (found.network_rps, found.forward_rps) == (7, 6)


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        (
            Machine("a", "own_gpu"),
            "here: gpu of a: got 'own_gpu'; allowed: did you mean own_gpux? a GPU that is known"
            " (docs/plan.md#devices), a profile of --devices by its name, or a column"
            " inference_rps",
        ),
        (
            Machine("a"),
            "here: gpu of a: got 'nothing'; allowed: a GPU that is known (docs/plan.md#devices), a"
            " profile of --devices by its name, or a column inference_rps",
        ),
        (
            Machine("a", inference_rps=1.0),
            "here: memory_gb of a: got 'nothing'; allowed: GB of its GPU",
        ),
    ],
)
def test_machines_of_which_too_little_is_known(machine, text):
    with pytest.raises(InputError) as refused:
        of(machine, {"own_gpux": PROFILE})
    assert str(refused.value) == text


def test_a_speed_that_cannot_be():
    with pytest.raises(InputErrors) as refused:
        of(Machine("a", inference_rps=1e-9))
    assert str(refused.value).startswith("here: speed of a: tau_ms: got 1090000000000.0; allowed: ")
    slow = Gpu("S", "S", 24.0, 1e-9, 100.0, "sheet")
    with pytest.raises(InputErrors) as refused:
        _roofline(slow, MODEL, "eager", 1.0, "here: speed of a")
    assert str(refused.value).startswith("here: speed of a: tau_ms: ")


# The problem ------------------------------------------------------------------------------------


def test_a_problem_at_its_ends(tmp_path, configuration):
    """Machines, distances, hops and uplinks together at the low end, the value, the high end."""
    problem = toy_problem(tmp_path, configuration)
    tau = np.array([1.0, 2.0, 10.0, 0.5])
    nodes = [0, 1, 2, 1]
    assert problem.distances.server_node.tolist() == nodes
    assert problem.distances.client_node.tolist() == [0, 2]
    levels = [
        (0.91, 0.4, 0.9, 4.0, 1.0, 1000.0), (1.0, 1.0, 1.0, 8.0, 1.05, 200.0),
        (1.1, 2.0, 1.28, 15.0, 2.0, 50.0),
    ]  # fmt: skip
    for swarm, (decode, prefill, rtt, hop_ms, trips, mbit) in zip(
        problem.swarms, levels, strict=True
    ):
        raw = rtt * RTT_MS[np.ix_([0, 2], nodes)]
        assert swarm.tau_ms == pytest.approx(tau * decode)
        assert swarm.prefill_ms == pytest.approx(tau * prefill)
        assert swarm.prefill_ms_per_token == pytest.approx(tau / 40 * prefill)
        assert swarm.raw_rtt_ms == pytest.approx(raw)
        assert swarm.token_rtt_ms == pytest.approx(raw + hop_ms)
        assert swarm.prompt_rtt_ms == pytest.approx(raw * trips + hop_ms)
        # 2,000 bytes of an activation there and back.
        assert swarm.prompt_rtt_ms_per_token == pytest.approx(32 / mbit)
        assert swarm.server_rtt_ms == pytest.approx(rtt * RTT_MS[np.ix_(nodes, nodes)])
        assert swarm.memory_gb == pytest.approx([6.0, 2.5, 3.0, 2.0])
        assert swarm.inference_rps.tolist() == [1090, 545, 109, 2180]
    assert problem.swarm is problem.swarms[1] is problem.instance.swarm
    assert problem.request == problem.instance.design_request
    assert (problem.request.input_tokens, problem.request.output_tokens) == (128, 128)
    grades = problem.device_grade, problem.overhead_grade, problem.network_grade
    assert grades == (Grade.MEASURED, Grade.ESTIMATED, Grade.MEASURED)
    sure = toy_problem(tmp_path, configuration, overhead_is_calibrated=True)
    assert sure.overhead_grade is Grade.CALIBRATED
    names = [each.device.name for each in problem.paced]
    assert names == ["l4", "l4_2", "server", "t4"]
    assert problem.instance.devices.keys() == set(names)


def test_what_an_estimated_machine_announces(tmp_path, configuration):
    """One block in the τ of the value, also at the ends."""
    machines = [Machine("a", "L4", 24.0, "Paris")]
    problem = toy_problem(tmp_path, configuration, machines)
    for swarm in problem.swarms:
        assert swarm.inference_rps == pytest.approx(300 * 0.45)
    assert problem.device_grade is Grade.ESTIMATED


def test_uplinks_that_were_measured(tmp_path, configuration):
    path = tmp_path / "own.csv"
    rows = ["Paris,Paris,2,400", "Paris,Rome,20,90", "Rome,Paris,20,80", "Rome,Rome,4,"]
    path.write_text("\n".join(["from,to,rtt_ms,mbit_per_s", *rows]), encoding="utf-8")
    inventory = Inventory(tmp_path, MACHINES[:2])
    swarm = problem_of(inventory, Wish(clients=("Paris",)), SERVED, configuration, path).swarm
    sent = 16 * 1000 / 1000
    assert swarm.prompt_rtt_ms_per_token == pytest.approx(
        np.array([[sent / 400 + sent / 400, sent / 90 + sent / 80]])
    )


def test_times_as_calibrated(tmp_path, configuration):
    """By a machine's name before its GPU's; the reserve only of memory that is a GPU's."""
    factors = {"a": (0.5, 2.0, 3.0), "L4": (1.0, 3.0, 6.0)}
    hosting = Machine("e", "", None, "Rome", inference_rps=109.0, span=(0, 2))
    problem = toy_problem(tmp_path, configuration, [*MACHINES, hosting], factors=factors)
    a, b, c, d, _ = problem.paced
    assert [each.device.tau_ms for each in problem.paced] == pytest.approx([2, 6, 10, 0.5, 10])
    assert (a.device.prefill_ms, b.device.prefill_ms) == pytest.approx((2, 6))
    assert b.device.prefill_ms_per_token == pytest.approx(6 / 40)
    assert a.decode == (0.25, 1.5) and b.decode == pytest.approx((1 / 3, 2))
    assert a.prefill == (0.5, 1.6) and c.prefill == (0.4, 2.0)
    assert [each.grade for each in (a, b, c)] == [1, 1, 0]
    assert a.because == "1/inference_rps, as PETALS measured itself; × 2 as calibrated"
    assert c.because == d.because == "1/inference_rps, as PETALS measured itself"
    memory = [each.device.memory_gb for each in problem.paced]
    assert memory == pytest.approx([6.0, 2.5, 3.0, 2.0, 2.0])


def test_devices_that_differ_have_names_that_differ():
    def one(name, tau_ms):
        found = of(Machine("x", "own"), {"own": PROFILE})
        update = {"name": name, "tau_ms": tau_ms}
        return found._replace(device=found.device.model_copy(update=update))

    each = (
        one("a", 1.0),
        one("b", 1.0),
        one("a", 1.0),
        one("a", 2.0),
        one("b", 3.0),
        one("a", 3.0),
    )
    renamed = _named(each, {"b"})
    assert [found.device.name for found in renamed] == [
        "a", "b_planned", "a", "a_2", "b_planned_2", "a_3",
    ]  # fmt: skip
    assert [found.device.tau_ms for found in renamed] == [1, 1, 1, 2, 3, 3]


def test_the_scenario_of_a_plan(tmp_path, configuration):
    distances = distances_of(Inventory(tmp_path, MACHINES), ("Oslo", "Rome"), round_trips(tmp_path))
    content = scenario_content(Wish(), SERVED, distances)
    assert content == {
        "model": "toy",
        "network": {"kind": "rtt", "file": "rtt.csv"},
        "clients": ["Oslo", "Rome"],
        "fleet": {"file": "servers.csv"},
        "overheads": {
            "token_ms": 8.0, "prompt_ms": 8.0, "prompt_ms_per_token": pytest.approx(0.16),
            "initial_ms": 0.0, "prompt_round_trips": 1.05,
        },
        "workload": {
            "kind": "poisson", "rate_per_s": 1e-5, "requests": 20, "input_tokens": 128,
            "output_tokens": 128,
        },
        "admission": "central_queue",
        "service": {"serial": {"belief": "where_room"}},
    }  # fmt: skip
    wish = Wish(rate_per_s=3.0, requests=7, input_tokens=5, output_tokens=6)
    assert scenario_content(wish, SERVED, distances)["workload"] == {
        "kind": "poisson", "rate_per_s": 3.0, "requests": 7, "input_tokens": 5, "output_tokens": 6,
    }  # fmt: skip
    traced = Wish(rate_per_s=3.0, trace=tmp_path / "x/../log.csv")
    assert scenario_content(traced, SERVED, distances)["workload"] == {
        "kind": "trace", "file": str((tmp_path / "log.csv").resolve()),
    }  # fmt: skip


def test_the_load_of_a_plan(tmp_path, configuration):
    """The beginning of a long trace; caches no longer than the model's window."""
    alone = toy_problem(tmp_path, configuration).instance
    assert (len(alone.workload), alone.rate_per_s) == (20, 1e-5)
    assert alone.design_request.cache_tokens == 256
    windowed = Served(MODEL.model_copy(update={"window_tokens": 100}))
    held = toy_problem(tmp_path, configuration, served=windowed, input_tokens=40).instance
    assert set(held.workload.cache_tokens.tolist()) == {100}
    trace = tmp_path / "trace.csv"
    rows = [f"{n},10,{20 + n}" for n in range(13)]
    text = "\n".join(["arrived_at,num_prefill_tokens,num_decode_tokens", *rows])
    trace.write_text(text, encoding="utf-8")
    for requests, kept in ((3, 12), (4, 13)):
        load = toy_problem(tmp_path, configuration, trace=trace, requests=requests).instance
        assert load.workload.output_tokens.tolist() == [20 + n for n in range(kept)]
    with pytest.raises(InfeasibleError):
        toy_problem(tmp_path, configuration, input_tokens=8900)


def test_a_problem_is_drawn_by_its_seed(tmp_path, configuration):
    """A record of the order in which servers join, of two seeds."""
    for seed in (2025, 7):
        instance = toy_problem(tmp_path, configuration, seed=seed, rate_per_s=1.0).instance
        again = toy_problem(tmp_path, configuration, seed=seed, rate_per_s=1.0).instance
        assert (instance.workload.arrival_ms == again.workload.arrival_ms).all()
        assert sorted(instance.join_order.tolist()) == [0, 1, 2, 3]
