"""What a plan is made of, by hand: pings, places, memory, goals, hosted blocks, quantities."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bprr.ground.errors import InputError
from bprr.ground.swarm import LanguageModel
from bprr.placement.base import Placement
from bprr.plan.changes import WHAT_IF, changed_inventory, spares
from bprr.plan.devices import bits_of, paced
from bprr.plan.distances import distances_of
from bprr.plan.explain import hosted
from bprr.plan.gazetteer import Spot, _groups, locate
from bprr.plan.goal import Goal, Wish, parse_goals
from bprr.plan.health_monitor import read_health_monitor
from bprr.plan.known import Grade, Known, weakest
from bprr.plan.machines import Inventory, Machine, once, span_of
from bprr.plan.models import Served
from bprr.plan.nvidia_smi import _gb, read_folder
from bprr.plan.predict import Chain, alone, quantities_of
from bprr.plan.problem import problem_of
from bprr.plan.record import rounded
from bprr.plan.servers_csv import read_servers
from bprr.scenario.workload import Workload
from bprr.simulation.records import Records

MODEL = LanguageModel(name="toy", blocks=4, d_model=1000, block_gb=1.0, max_sequence_tokens=9000)


def refused(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return caught.value.key


def test_pings_stand_for_distances(tmp_path):
    """Five known ones, 10 to 50 ms: a pair without one, and the client, is as far as the median."""
    pings = {"a": {"b": 10.0, "c": 20.0}, "b": {"a": 30.0}, "c": {"b": 40.0, "a": 50.0}}
    machines = [Machine(name, pings_ms=pings.get(name, {})) for name in "abcd"]
    found = distances_of(Inventory(tmp_path, tuple(machines)), ())
    nodes = np.arange(5)
    low, value, high = (found.between(level, nodes, nodes) for level in range(3))
    assert value[:3, :3].tolist() == [[0, 10, 20], [30, 0, 40], [50, 40, 0]]
    assert (value[3, :3] == 30).all() and (value[4, :4] == 30).all()
    # Ends: what is measured × .9 and 1.28; else the 10th and the 90th percentile.
    assert low[0, 1] == pytest.approx(9) and high[0, 1] == pytest.approx(12.8)
    assert low[3, 0] == pytest.approx(14) and high[3, 0] == pytest.approx(46)
    assert (np.diag(low) == 0).all() and (np.diag(high) == 0).all()
    assert (found.server_node.tolist(), found.client_node.tolist()) == ([0, 1, 2, 3], [4])
    assert found.grade is Grade.ESTIMATED
    assert found.because.startswith("pings between servers (38% of the pairs)")  # 6 of 16
    assert refused(distances_of, Inventory(tmp_path, tuple(machines)), ("Paris",)) == "--clients"


@pytest.mark.parametrize(
    ("cell", "header", "gb"),
    [
        ("1000 MiB", "", 1.048576), ("2 GiB", "", 2.147483648), ("1500 MB", "", 1.5),
        ("24 GB", "", 24.0), ("1000", "memory.total [MiB]", 1.048576), ("5000 GB", "", 5000.0),
        ("1000", "memory.total [GiB]", 1073.741824), ("12.5", "x [GB]", 12.5),
    ],
)  # fmt: skip
def test_memory_in_every_unit(tmp_path, cell, header, gb):
    assert _gb(cell, header, tmp_path, 2) == pytest.approx(gb)


def test_memory_that_cannot_be(tmp_path):
    for cell in ("0 MiB", "5000.1 GB", "much", "-1 GB"):
        assert refused(_gb, cell, "", tmp_path, 7) == "memory.total (line 7)"


def test_free_memory_is_remarked_from_a_fifth_less_on(tmp_path):
    text = "name, memory.total [MiB], memory.free [MiB]\nTesla T4, 10000 MiB, {} MiB\n"
    for free, remarks in ((8000, 0), (7999, 1)):
        (tmp_path / "host.csv").write_text(text.format(free), encoding="utf-8")
        assert len(read_folder(tmp_path).remarks) == remarks


def test_hosts_are_at_their_places(tmp_path):
    for host in ("x", "y"):
        (tmp_path / host).mkdir()
        text = "name, memory.total [MiB]\nTesla T4, 15360 MiB\nTesla T4, 15360 MiB\n"
        (tmp_path / host / "nvidia-smi.csv").write_text(text, encoding="utf-8")
    rates = {"old": {"inference_rps": 1.0}, "new": {"inference_rps": 200, "forward_rps": 3e3}}
    (tmp_path / "x/throughput_v5.json").write_text(json.dumps(rates), encoding="utf-8")
    (tmp_path / "places.csv").write_text("host,place\ny,Rome\n", encoding="utf-8")
    machines = read_folder(tmp_path).machines
    assert [(each.place, each.inference_rps, each.forward_rps) for each in machines] == [
        ("x", 200, 3000), ("x", 200, 3000), ("Rome", None, None), ("Rome", None, None),
    ]  # fmt: skip
    for wrong in (True, 0, 1e9, "1"):
        content = {"new": {"network_rps": wrong}}
        (tmp_path / "x/throughput_v5.json").write_text(json.dumps(content), encoding="utf-8")
        assert refused(read_folder, tmp_path) == "network_rps"


def test_tables_of_servers_have_limits(tmp_path):
    path = tmp_path / "servers.csv"

    def read(name="a", memory_gb=24, rps=1.0, relay=""):
        text = f"name,memory_gb,inference_rps,relay,blocks\n{name},{memory_gb},{rps},{relay},3:7\n"
        path.write_text(text, encoding="utf-8")
        (machine,) = read_servers(path).machines
        return machine

    assert read("n" * 100, 5000, 1e9).memory_gb == 5000
    assert read().span == (3, 4)
    assert [read(relay=word).relay for word in ("no", "", "YES", "1")] == [False, False, True, True]
    assert refused(read, "n" * 101) == "name"
    assert refused(read, "a", 5001) == refused(read, "a", 0) == "memory_gb"
    assert refused(read, "a", 24, 1.1e9) == "inference_rps"


def test_blocks_as_petals_has_them():
    assert span_of(" 0:1 ", "here", "blocks") == (0, 1)
    assert span_of("20:60", "here", "blocks") == (20, 40)
    for text in ("3:3", "4:3", "3", "3:-4", "a:b"):
        assert refused(span_of, text, "here", "blocks") == "blocks"


def test_each_machine_once(tmp_path):
    assert refused(once, [], tmp_path) == "servers"
    assert refused(once, [Machine("a"), Machine("b"), Machine("a")], tmp_path) == "name"
    assert [each.name for each in once([Machine("a"), Machine("b")], tmp_path)] == ["a", "b"]


def test_changes_of_machines(tmp_path):
    first = Machine("a", "L4", 24.0, "Paris", span=(0, 3), pings_ms={"b": 1.0}, relay=True)
    inventory = Inventory(tmp_path, (first, Machine("b")))
    more = changed_inventory(inventory, "+2xL4@Rome").machines[2:]
    assert [each.name for each in more] == ["new-1", "new-2"]
    assert more[0] == replace(first, name="new-1", place="Rome", span=None, pings_ms={})
    (other,) = changed_inventory(inventory, "+T4@Rome").machines[2:]
    assert other == Machine("new-1", "T4", None, "Rome")
    assert changed_inventory(inventory, "-a").machines == (Machine("b"),)
    assert WHAT_IF.fullmatch("+2000xL4@Rome")[1] is None  # no number has four digits
    assert refused(changed_inventory, inventory, "-c") == "--what-if"


def test_goals_are_read():
    assert parse_goals("ttft=5s, token=0.4ms@p95") == (
        Goal("ttft", 5000.0, "mean"), Goal("token", 0.4, "p95"),
    )  # fmt: skip
    assert [goal.text for goal in parse_goals("ttft=5s@p99")] == ["ttft=5000ms@p99"]
    for text in ("ttft=0ms", "ttft=5", "ttft=5s@p90", "rate=5s", ""):
        assert refused(parse_goals, text) == "--slo"
    assert not Wish().loaded and Wish(rate_per_s=1.0).loaded and Wish(trace="x").loaded


def test_airports_of_one_city_are_one_place():
    near = [Spot(50, 100), Spot(51.4, 100), Spot(50.7, 101.4), Spot(50, 103.1)]
    assert _groups(near) == [near[:3], near[3:]]
    assert _groups([Spot(0, 0), Spot(1.5, 0)]) == [[Spot(0, 0)], [Spot(1.5, 0)]]
    assert locate("-90, 180", "x", "y") == (-90, 180)
    assert refused(locate, "0,180.1", "x", "y") == refused(locate, "-90.1;0", "x", "y") == "y"


def test_what_is_known():
    assert weakest([]) is Grade.MEASURED
    assert weakest([Grade.MEASURED, Grade.ESTIMATED, Grade.CALIBRATED]) is Grade.ESTIMATED
    assert Known.of((3.0, 2.0, 1.0), Grade.CALIBRATED) == (2.0, 1.0, 3.0, Grade.CALIBRATED)
    assert Known.of((2.5, 2.0, 2.2), Grade.MEASURED)[:3] == (2.0, 2.0, 2.5)
    chains = [
        Chain(0, (), Known(1.0, 0.5, 2.0, Grade.MEASURED), Known(10.0, 5.0, 20.0, grade), None)
        for grade in (Grade.MEASURED, Grade.ESTIMATED)
    ]
    chains[1] = chains[1]._replace(token_ms=Known(3.0, 1.5, 4.0, Grade.CALIBRATED))
    found = alone(tuple(chains))
    assert found.token_ms == (2.0, 1.0, 3.0, Grade.CALIBRATED)
    assert found.ttft_ms == (10.0, 5.0, 20.0, Grade.ESTIMATED)
    assert rounded(float("nan")) is rounded(float("inf")) is rounded(-float("inf")) is None


def test_quantities_of_sessions():
    """Of a session of one token there is no time per further one."""
    output = np.array([1, 2, 5, 11])
    first, last = np.array([5.0, 10.0, 20.0, 40.0]), np.array([5.0, 13.0, 28.0, 140.0])
    none = np.zeros(0, dtype=np.int64)
    waits, once = np.array([0.0, 1.0, 2.0, 5.0]), np.ones(4, dtype=np.int32)
    records = Records(
        Workload(np.zeros(4), 0, 1, output), waits, waits, first, last, once,
        np.zeros(5, dtype=np.int64), none, none, "simpy",
    )  # fmt: skip
    found = quantities_of(records)
    assert found["token_ms"]["mean"] == pytest.approx((3 + 2 + 10) / 3)
    assert found["token_ms"]["p50"] == 3 and found["token_ms"]["p95"] == pytest.approx(9.3)
    assert found["ttft_ms"]["mean"] == 18.75 and found["wait_ms"]["p50"] == 1.5
    single = replace(records, workload=Workload(np.zeros(4), 0, 1, 1))
    assert set(quantities_of(single)["token_ms"].values()) == {0.0}


def test_bits_of_a_model():
    for bits, said in ((4.25, "4"), (6.0, "4"), (6.1, "8"), (8, "8"), (10.0, "8"), (10.1, "16")):
        assert bits_of(MODEL.model_copy(update={"bits_per_parameter": bits})) == said
    stored = {"parameters_per_block": 2_000_000_000, "bits_per_parameter": None}
    assert bits_of(MODEL.model_copy(update=stored)) == "4"  # a GB of two milliards
    assert bits_of(MODEL) == "16"


def test_a_machine_as_petals_announces_it(tmp_path):
    """1000/inference_rps × 1.09; without a network's rate 100 Mbit/s, behind a relay a fifth."""
    machine = Machine("a", inference_rps=500.0, span=(0, 3), cache_tokens=1000)
    found = paced(machine, MODEL, {}, {}, "eager", 1.0, tmp_path)
    assert found.device.tau_ms == pytest.approx(2 * 1.09)
    assert found.device.memory_gb == pytest.approx(3 + 1000 * MODEL.cache_gb_per_token)
    assert found.device.network_rps == pytest.approx(100e6 / 16e3)
    prompt_ms = found.device.prefill_ms + 1024 * found.device.prefill_ms_per_token
    assert found.device.forward_rps == pytest.approx(1024e3 / prompt_ms)
    uncached = paced(replace(machine, cache_tokens=None), MODEL, {}, {}, "eager", 1.0, tmp_path)
    assert uncached.device.memory_gb == 3
    relayed = paced(replace(machine, relay=True), MODEL, {}, {}, "eager", 1.0, tmp_path)
    assert relayed.device.network_rps == pytest.approx(0.2 * 100e6 / 16e3)
    known = replace(machine, relay=True, network_rps=700.0, forward_rps=80.0, memory_gb=9.0)
    own = paced(known, MODEL, {}, {}, "eager", 1.0, tmp_path).device
    assert (own.network_rps, own.forward_rps, own.memory_gb) == (700, 80, 9)
    lost = replace(machine, span=None)
    assert refused(paced, lost, MODEL, {}, {}, "eager", 1.0, tmp_path) == "memory_gb of a"
    assert refused(paced, Machine("b"), MODEL, {}, {}, "eager", 1.0, tmp_path) == "gpu of b"


def problem_with(configuration, tmp_path, machines, **wish):
    inventory = Inventory(tmp_path, tuple(machines))
    return problem_of(inventory, Wish(clients=("Paris",), **wish), Served(MODEL), configuration)


def test_blocks_that_servers_host_now(configuration, tmp_path):
    """Their cache is what they announce; else what weights leave of the memory."""
    gb = MODEL.cache_gb_per_token
    one = Machine("a", memory_gb=3.5 + 100 * gb, place="Paris", inference_rps=1.0, span=(0, 2))
    two = replace(one, name="b", span=(2, 2), cache_tokens=77)
    idle = replace(one, name="c", span=None)
    problem = problem_with(configuration, tmp_path, [one, two, idle])  # 1.5 GB are left alone
    found = hosted(problem)
    assert found.first_block.tolist() == [1, 3, 0] and found.blocks.tolist() == [2, 2, 0]
    assert found.cache_tokens.tolist() == [100, 77, 0]
    beyond = replace(two, span=(2, 3))
    assert refused(hosted, problem_with(configuration, tmp_path, [one, beyond])) == "blocks of b"
    assert refused(hosted, problem_with(configuration, tmp_path, [idle])) == "blocks"


def test_a_reserve_never_takes_all(configuration, tmp_path):
    one = Machine("a", memory_gb=2.0, place="Paris", inference_rps=1.0)
    for reserve_gb, left_gb in ((0.5, 1.5), (2.0, 1e-3), (9.0, 1e-3)):
        problem = problem_with(configuration, tmp_path, [one], reserve_gb=reserve_gb)
        assert problem.paced[0].device.memory_gb == pytest.approx(left_gb)
    factors = {"a": (1.0, 2.0, 5.0)}
    (calibrated,) = problem_with(configuration, tmp_path, [one], factors=factors).paced
    assert calibrated.device.tau_ms == pytest.approx(2 * 1090)
    assert calibrated.decode == pytest.approx((0.5, 2.5))
    assert calibrated.grade is Grade.CALIBRATED


def test_spares_of_blocks_with_one_host(configuration, tmp_path):
    one = Machine("a", memory_gb=9.0, place="Paris", inference_rps=1.0)
    problem = problem_with(configuration, tmp_path, [one, replace(one, name="b")])
    found = spares(Placement(problem.swarm, np.array([1, 3]), np.array([3, 2])))
    assert [each[:3] for each in found] == [(0, 1, 2), (1, 4, 4)]
    assert [each.memory_gb for each in found] == [2.0, 1.0]
    assert not spares(Placement(problem.swarm, np.array([1, 1]), np.array([4, 4])))


def report_of(*rows, **more):
    info = {"inference_rps": 9.0, "forward_rps": 8.0, "network_rps": 7.0}
    return {
        "model_reports": [
            {"short_name": "Toy", "server_rows": [
                {"peer_id": f"p{n}", "state": "online", **row,
                 "span": {"start": 0, "end": 4, **row.get("span", {}),
                          "server_info": {**info, **row.get("info", {})}}}
                for n, row in enumerate(rows)]},
            *more.get("others", []),
        ]
    }  # fmt: skip


def test_numbers_of_a_health_monitor(tmp_path):
    path = tmp_path / "state.json"

    def read(*rows, served=None, **more):
        path.write_text(json.dumps(report_of(*rows, **more)), encoding="utf-8")
        return read_health_monitor(path, served)

    pings = {"p0": 0.5, "p1": 0, "p2": 99.9, "p3": 100, "p4": -1, "p5": True, "gone": 1}
    info = {"next_pings": pings, "cache_tokens_left": 101, "inference_rps": 0, "forward_rps": 1e9,
            "network_rps": 1e8}  # fmt: skip
    found = read({"info": info}, *[{}] * 5, {"state": "offline"}).machines
    assert len(found) == 6
    first = found[0]
    assert first.pings_ms == {"server-01": 500.0, "server-02": 0.0, "server-03": 99_900.0}
    assert (first.cache_tokens, first.span) == (50, (0, 4))
    assert (first.inference_rps, first.forward_rps, first.network_rps) == (None, None, 1e8)
    free = read({"info": {"cache_tokens_left": 0}}, {"info": {"cache_tokens_left": 1e15}}).machines
    assert [each.cache_tokens for each in free] == [0, None]
    for span in ({"start": 4}, {"start": -1}, {"end": 10_001}, {"start": True}):
        assert refused(read, {"span": span}) == "span"
    assert read({"span": {"end": 10_000}}).machines[0].span == (0, 10_000)
    assert refused(read, {"info": {"inference_rps": True}}) == "inference_rps"
    others = [{"name": "other", "server_rows": []}]
    assert refused(lambda: read({}, others=others)) == "--served"
    assert refused(lambda: read({}, served="o", others=others)) == "--served"  # fits both
    assert len(read({}, served="TO", others=others).machines) == 1
