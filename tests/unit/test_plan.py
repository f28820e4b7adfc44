"""Plans: from descriptions of machines to a swarm that runs."""

import json
import re

import numpy as np
import pytest
import yaml

from bprr.commands.main import main
from bprr.ground.swarm import LanguageModel
from bprr.plan.devices import paced
from bprr.plan.distances import FACTORS, FLOORS_MS, distances_of
from bprr.plan.gazetteer import locate
from bprr.plan.gpus import gpu_named, known_gpus
from bprr.plan.machines import Inventory, Machine
from bprr.plan.models import served_model
from bprr.plan.readers import read_inventory
from bprr.plan.record import PlanRecord

from .planned_rings import planned_rings
from .refusals import refusal

MODEL = ("--model", "meta-llama/Meta-Llama-3-70B", "--quant", "nf4", "--prove", "0")
FEW = ("--sessions", "20")
SERVERS = """name,gpu,memory_gb,place
a,NVIDIA GeForce RTX 4090,24,Paris
b,NVIDIA GeForce RTX 4090,24,Paris
c,NVIDIA L4,24,London
"""


@pytest.fixture
def servers(tmp_path):
    path = tmp_path / "servers.csv"
    path.write_text(SERVERS, encoding="utf-8")
    return path


def planned(capsys, *arguments):
    """Exit status, and plan.json."""
    capsys.readouterr()
    status = main(["plan", *map(str, arguments), "--json"])
    out = capsys.readouterr().out
    return status, json.loads(out) if status == 0 else out


# What is read ------------------------------------------------------------------------------------


def test_the_table_knows_gpus_as_nvidia_smi_prints_them():
    assert len(known_gpus()) >= 25
    printed = {
        "NVIDIA GeForce RTX 4090": ("RTX 4090", 1008),
        "NVIDIA GeForce RTX 3090 Ti": ("RTX 3090 Ti", 1008),
        "NVIDIA A100-SXM4-40GB": ("A100 40GB", 1555),
        "NVIDIA A100-SXM4-80GB": ("A100 80GB SXM", 2039),
        "NVIDIA A100 80GB PCIe": ("A100 80GB PCIe", 1935),
        "NVIDIA A100-SXM4-80GB MIG 1g.10gb": ("A100 MIG 1g.10gb", 254.9),
        "NVIDIA H100 80GB HBM3": ("H100 SXM", 3350),
        "NVIDIA H100 PCIe": ("H100 PCIe", 2039),
        "Tesla V100-SXM2-32GB": ("V100 32GB", 900),
        "Tesla T4": ("T4", 320),
        "NVIDIA RTX A6000": ("RTX A6000", 768),
        "NVIDIA RTX 6000 Ada Generation": ("RTX 6000 Ada", 960),
        "NVIDIA A10G": ("A10G", 600),
        "NVIDIA L40S": ("L40S", 864),
        "rtx4090": ("RTX 4090", 1008),
    }
    found = {name: gpu_named(name) for name in printed}
    assert {name: (gpu.name, gpu.bandwidth_gb_per_s) for name, gpu in found.items()} == printed
    assert gpu_named("NVIDIA Something 9000") is None


def test_published_profiles_lie_within_the_estimates(configuration):
    """The A100 and its slice with BLOOM-176B in NF4, of which the paper has fits."""
    served = served_model("bloom_176b", None, configuration.all_models)
    for gpu, tau_ms in (("A100-SXM4-80GB", 3.2197), ("A100 MIG 1g.10gb", 16.2488)):
        one = paced(Machine("x", gpu), served.model, {}, {}, "eager", 1.0, "here")
        low, high = (one.device.tau_ms * end for end in one.decode)
        assert low <= tau_ms <= high
        assert high / low < 5


def test_a_token_of_a_mixture_reads_the_experts_that_it_uses(configuration):
    named = configuration.all_models
    mixtral = served_model("mistralai/Mixtral-8x7B-v0.1", None, named)
    # 8 experts of 3 · 4096 · 14336, two of them used; attention and router are read whole.
    expert = 3 * 4096 * 14336
    rest = mixtral.model.parameters_per_block - 8 * expert
    assert mixtral.read_share == pytest.approx((rest + 2 * expert) / (rest + 8 * expert))
    assert served_model("Qwen/Qwen3-32B", None, named).read_share == 1
    int8 = served_model("Qwen/Qwen3-32B", "int8", named).model
    assert int8.block_gb == pytest.approx(487_598_336 * 1.01 / 1e9)


def test_places_by_every_name():
    for text in ("Paris", "CDG", "paris", "49.01,2.55", "aws:eu-west-3"):
        spot = locate(text, "here", "place")
        assert abs(spot.latitude - 49) < 0.3 and abs(spot.longitude - 2.5) < 0.4, text
    assert locate("London, CA", "x", "y").longitude < -80 < locate("London", "x", "y").longitude
    assert "several" in refusal(locate, "Springfield", "servers.csv", "place").allowed
    assert "did you mean" in refusal(locate, "Franfurt", "servers.csv", "place").allowed
    assert "eu-west-1" in refusal(locate, "aws:eu-wst-1", "servers.csv", "place").allowed
    refusal(locate, "95,12", "servers.csv", "place")


# Monthly means between ten cities, as a cloud provider publishes them (2024), and round trips of
# consumer lines (data/wan_swarms/edges.csv, countries at their capitals).
CITIES = ("DFW", "YYZ", "IAD", "FRA", "LHR", "MAD", "KIX", "SYD", "HND", "GRU")
MEANS_MS = (
    (34, 31, 123, 113, 119, 150, 186, 143, 146), (19, 93, 82, 108, 168, 215, 162, 129),
    (91, 75, 87, 172, 214, 164, 118), (13, 29, 232, 250, 233, 198), (27, 244, 261, 243, 188),
    (257, 275, 258, 209), (122, 9, 293), (115, 328), (284,),
)  # fmt: skip
CONSUMERS_MS = {
    ("OSL", "RDU"): 115, ("SLC", "SFO"): 16, ("LAS", "SEA"): 40, ("SEA", "DFW"): 62,
    ("SEA", "YQB"): 95, ("CPH", "OSL"): 17, ("WAW", "MAD"): 59, ("WAW", "ICN"): 288.6,
    ("MAD", "OTP"): 56.5, ("MAD", "ICN"): 255, ("PRG", "OSL"): 37.6, ("OSL", "BRU"): 27.8,
    ("BRU", "CPH"): 27.3, ("CPH", "MXP"): 32.9, ("LHR", "SOF"): 40, ("DUB", "FRA"): 24.7,
}  # fmt: skip


def test_estimated_distances_hold_what_was_measured(tmp_path):
    pairs = {
        (CITIES[i], CITIES[i + 1 + j]): value
        for i, row in enumerate(MEANS_MS)
        for j, value in enumerate(row)
    } | CONSUMERS_MS
    ratios, within = [], 0
    for (here, there), rtt_ms in pairs.items():
        inventory = Inventory(tmp_path, (Machine("x", place=here),))
        found = distances_of(inventory, (there,))
        low, value, high = (
            float(found.between(level, found.client_node, found.server_node)[0, 0])
            for level in range(3)
        )
        within += low <= rtt_ms <= high
        ratios.append(value / rtt_ms)
    assert within / len(pairs) > 0.93
    assert 0.9 < np.median(ratios) < 1.35
    assert FACTORS[1] == 2.0 and FLOORS_MS[1] == 2.0  # as docs/plan.md says


def test_a_report_of_a_health_monitor_keeps_its_secrets(root):
    path = root / "examples/health-monitor/state.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["model_reports"][0]["server_rows"]
    inventory = read_inventory(path)
    assert len(inventory.machines) == 30 == len(rows) - 1  # one is unreachable
    first, info = inventory.machines[0], rows[0]["span"]["server_info"]
    length = rows[0]["span"]["end"] - rows[0]["span"]["start"]
    assert first.name == "server-01" and first.span == (rows[0]["span"]["start"], length)
    assert first.cache_tokens == info["cache_tokens_left"] / 2
    peers = {row["peer_id"]: index for index, row in enumerate(rows)}
    measured = {peers[peer]: 1000 * ping for peer, ping in info["next_pings"].items()}
    assert sorted(first.pings_ms.values()) == pytest.approx(
        sorted(value for index, value in measured.items() if index != 17)
    )
    assert not re.search(r"12D3|198\.51|example", repr(inventory.machines))
    assert read_inventory(path, None, True).machines[0].name == "example 0"


def test_outputs_of_nvidia_smi(root, tmp_path):
    inventory = read_inventory(root / "examples/university/hosts")
    by_name = {machine.name: machine for machine in inventory.machines}
    assert len(by_name) == 16
    assert by_name["phys-01-0"].memory_gb == pytest.approx(9728 * 2**20 / 1e9)
    assert by_name["phys-01-0"].inference_rps == 118.2
    assert by_name["phys-02-0"].inference_rps is None
    host = tmp_path / "here.csv"
    host.write_text("name, memory.total [MiB], memory.free [MiB]\nTesla T4, 15360 MiB, 3057 MiB\n")
    (remark,) = read_inventory(tmp_path).remarks
    assert "3.2 of 16.1 GB are free" in remark
    host.write_text("name, memory.total [MiB]\nTesla T4, [N/A]\n")
    assert "memory.total" in refusal(read_inventory, tmp_path).key


# What is planned ---------------------------------------------------------------------------------


def test_a_plan_by_hand(capsys, servers):
    status, plan = planned(capsys, servers, *MODEL, "--clients", "Paris")
    assert status == 0
    PlanRecord.model_validate(plan)
    (chain,) = plan["chains"]
    # 80 blocks of 0.4591 GB do not fit one card of 24 - 1.5 GB: 49 and the rest, both in Paris.
    assert [hop["name"] for hop in chain["hops"]] == ["a", "b"]
    assert sum(hop["blocks"] for hop in chain["hops"]) == 80
    block_gb = 855_654_400 * 4.25 / 8 * 1.01 / 1e9
    tau_ms = block_gb / 1008 / 0.25 * 1000
    assert chain["token_ms"]["value"] == pytest.approx(2 * (2 + 8) + 80 * tau_ms, rel=1e-4)
    # A prompt: 1.05 round trips; 16,384 bytes a token there and back at 200 Mbit/s; 10 τ, and
    # FLOPs at 21 % of 165.2 TFLOP/s.
    sent_ms = 128 * 2 * 8192 * 16 / 200e3
    per_token_ms = 2 * 855_654_400 / (165.2e12 * 0.21) * 1000
    prompt_ms = 2 * (1.05 * 2 + 8 + sent_ms) + 80 * (10 * tau_ms + 128 * per_token_ms)
    assert chain["ttft_ms"]["value"] == pytest.approx(prompt_ms, rel=1e-4)
    assert chain["token_ms"]["grade"] == "estimated"
    assert chain["token_ms"]["low"] < chain["token_ms"]["value"] < chain["token_ms"]["high"]
    ledger = plan["placement"][0]
    parts = ("reserve_gb", "weights_gb", "cache_gb", "free_gb")
    assert sum(ledger[part] for part in parts) == pytest.approx(24, abs=1e-3)


def test_simulate_takes_the_plan_and_says_the_same(capsys, servers, tmp_path, monkeypatch):
    folder = tmp_path / "plan"
    asked = (*MODEL, *FEW, "--clients", "Paris;London", "--rate", "0.05", "-o", folder)
    status, plan = planned(capsys, servers, *asked)
    assert status == 0
    files = ("--models", "models.yaml", "--devices", "devices.yaml", "--placement", "plan.json")
    monkeypatch.chdir(folder)
    assert main(["simulate", "scenario.yaml", *files, "--runs", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["methods"]["proposed"]
    assert told["ttft_s"]["mean"] * 1000 == pytest.approx(
        plan["loaded"]["ttft_ms"]["mean"]["value"], rel=1e-4
    )
    cache = {server["server"]: server["cache_gb"] for server in told["servers"]}
    assert cache[0] == pytest.approx(plan["placement"][0]["cache_gb"], rel=1e-3)


def test_files_for_petals(capsys, servers, tmp_path):
    folder = tmp_path / "plan"
    _, plan = planned(capsys, servers, *MODEL, "-o", folder)
    blocks = set()
    for server in plan["placement"]:
        path = folder / "servers" / server["name"] / "config.yml"
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        start, end = map(int, config["block_indices"].split(":"))
        assert (start + 1, end - start) == (server["first_block"], server["blocks"])
        assert config["attn_cache_tokens"] == server["cache_tokens_per_block"]
        assert config["quant_type"] == "nf4"
        blocks |= set(range(start, end))
    assert blocks == set(range(80))
    compile((folder / "client.py").read_text(encoding="utf-8"), "client.py", "exec")
    services = yaml.safe_load((folder / "docker-compose.yml").read_text(encoding="utf-8"))[
        "services"
    ]
    assert [each["profiles"] for each in services.values()] == [["a"], ["b"], ["c"]]


def test_texts_of_users_stay_texts(capsys, tmp_path):
    path = tmp_path / "s.csv"
    nasty = '<script>alert("x")</script>'
    quoted = nasty.replace('"', '""')
    path.write_text(f'{SERVERS}"{quoted}",NVIDIA L4,24,"48.86,2.35"\n', encoding="utf-8")
    status, plan = planned(capsys, path, *MODEL, *FEW, "--rate", "0.01", "-o", tmp_path / "plan")
    assert status == 0 and plan["placement"][3]["name"] == nasty
    assert nasty not in (tmp_path / "plan/plan.html").read_text(encoding="utf-8")
    assert "<script" not in (tmp_path / "plan/plan.md").read_text(encoding="utf-8")
    folders = {each.name for each in (tmp_path / "plan/servers").iterdir()}
    assert len(folders) == 4 and all(re.fullmatch(r"[\w.-]+", name) for name in folders)


def test_a_folder_is_written_whole_or_not_at_all(capsys, servers, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    status, _ = planned(capsys, servers, *MODEL, "-o", other)
    assert status == 2 and [path.name for path in other.iterdir()] == ["thesis.tex"]
    folder = tmp_path / "plan"
    assert planned(capsys, servers, *MODEL, "-o", folder)[0] == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr("bprr.plan.folder.files_of", lambda *_: {"plan.json": "{}", "x/\0": ""})
    assert planned(capsys, servers, *MODEL, "-o", folder)[0] != 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"other", "plan", "servers.csv"}


def test_only_measured_machines_meet_a_goal(capsys, servers, tmp_path):
    goals = ("--slo", "token=9000s,token=1ms,token=150ms", *FEW)
    _, plan = planned(capsys, servers, *MODEL, *goals)
    assert [goal["verdict"] for goal in plan["goals"]] == ["open", "missed", "open"]
    assert "estimated" in plan["goals"][0]["because"]
    measured = tmp_path / "measured.csv"
    lines = SERVERS.splitlines()
    measured.write_text(
        "\n".join([f"{lines[0]},inference_rps", *(f"{line},600" for line in lines[1:])])
    )
    _, plan = planned(capsys, measured, *MODEL, *goals)
    assert [goal["verdict"] for goal in plan["goals"]] == ["met", "missed", "open"]
    assert plan["placement"][0]["tau_ms"]["grade"] == "measured"


def test_changes_losses_and_spares(capsys, servers):
    changes = ("--what-if", "-a", "--what-if", "+2xA100@Paris", "--what-if=-b")
    _, plan = planned(capsys, servers, *MODEL, *changes)
    first, second, *_ = plan["changes"]
    assert first["what"] == "-a" and first["times_faster"] < 1
    assert second["times_faster"] > 1.3  # one A100 takes all 80 blocks, at half of the time
    hosts = np.zeros(80, dtype=int)
    for server in plan["placement"]:
        hosts[server["first_block"] - 1 :][: server["blocks"]] += 1
    lost = {loss["name"]: loss["blocks_lost"] for loss in plan["losses"]}
    for server in plan["placement"]:
        own = hosts[server["first_block"] - 1 :][: server["blocks"]]
        assert lost[server["name"]] == (own == 1).sum() == server["alone_hosts"]
    assert {spare["name"] for spare in plan["spares"]} == {n for n, count in lost.items() if count}
    status, _ = planned(capsys, servers, *MODEL, "--what-if", "-nobody")
    assert status == 2


def test_a_load_prefers_caches_that_computing_allows(capsys, root):
    path = root / "examples/four-cities/servers.csv"
    _, plan = planned(
        capsys, path, *MODEL, "--rate", "0.15", "--clients", "Paris", "--sessions", "60"
    )
    times = {arm["label"]: arm["loaded_ms"] for arm in plan["compared"] if arm["loaded_ms"]}
    (chosen,) = (arm for arm in plan["compared"] if arm["chosen"])
    assert chosen["loaded_ms"] == min(
        value for label, value in times.items() if label != "PETALS as shipped"
    )
    assert plan["loaded"]["token_ms"]["p95"]["value"] >= plan["loaded"]["token_ms"]["p50"]["value"]


def test_the_largest_rate_within_goals(capsys, servers):
    goals = (
        "--slo",
        "token=400ms@p95,ttft=20s@p95",
        "--until-slo",
        "--rate",
        "0.02",
        "--sessions",
        "40",
    )
    _, plan = planned(capsys, servers, *MODEL, *goals)
    most = plan["until_slo_per_s"]
    assert 0 < most < plan["sustained_per_s"]["value"]
    p95 = {}
    for rate in (0.9 * most, 2 * most):
        _, other = planned(capsys, servers, *MODEL, *goals[:2], "--rate", rate, "--sessions", "40",
                           "--method", "proposed")  # fmt: skip
        p95[rate] = other["loaded"]["token_ms"]["p95"]["value"]
    assert p95[0.9 * most] < p95[2 * most]


def test_rings_are_planned_as_they_ran(root, tmp_path):
    rows = planned_rings(root / "data/wan_swarms", tmp_path, each=4)
    assert len(rows) >= 15 and {row.kind for row in rows} == {"plain", "drafts"}
    missed = np.array([abs(row.predicted / row.measured - 1) for row in rows])
    assert np.median(missed) < 0.15


def test_explain_names_the_route_of_shipped_petals(capsys, root):
    path = root / "examples/health-monitor/state.json"
    words = [
        "plan",
        "explain",
        path,
        "--model",
        "meta-llama/Llama-2-70b",
        "--quant",
        "nf4",
        "--json",
    ]
    assert main(list(map(str, words))) == 0
    (told,) = json.loads(capsys.readouterr().out)
    for route in ("petals", "better"):
        assert sum(hop["blocks"] for hop in told[route]) == 80
        total = sum(hop["network_ms"] + hop["computing_ms"] for hop in told[route])
        assert total == pytest.approx(told[f"{route}_ms"])
    assert told["better_ms"] <= told["petals_ms"]


def test_the_schema_is_current(capsys, root):
    assert main(["plan", "--schema"]) == 0
    shipped = (root / "config/plan.schema.json").read_text(encoding="utf-8")
    assert json.loads(capsys.readouterr().out) == json.loads(shipped)


def test_a_model_of_another_name_than_the_settings_keep_their_own(capsys, servers, tmp_path):
    folder = tmp_path / "plan"
    asked = (servers, "--model", "llama_2_70b", "--prove", "0", "-o", folder)
    assert planned(capsys, *asked)[0] == 0
    models = yaml.safe_load((folder / "models.yaml").read_text(encoding="utf-8"))
    (name,) = models
    assert name == "llama_2_70b_planned"
    LanguageModel(**models[name])


def test_published_profiles_are_taken_by_their_names(capsys, tmp_path, monkeypatch):
    path = tmp_path / "s.csv"
    path.write_text(
        "name,gpu,memory_gb,place,blocks\na,a100,80,Paris,0:50\nb,a100,80,Paris,40:70\n",
        encoding="utf-8",
    )
    asked = ("--model", "bloom_176b", "--clients", "Paris")
    _, plan = planned(capsys, path, *asked, "-o", tmp_path / "plan")
    assert plan["placement"][0]["tau_ms"]["value"] == pytest.approx(3.2197)
    assert plan["placement"][0]["tau_ms"]["grade"] == "measured"
    monkeypatch.chdir(tmp_path / "plan")
    files = ("--models", "models.yaml", "--devices", "devices.yaml", "--placement", "plan.json")
    assert main(["simulate", "scenario.yaml", *files, "--runs", "1", "--json"]) == 0
    capsys.readouterr()
    assert main(["plan", "explain", str(path), *asked, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert [hop["blocks"] for hop in told["petals"]] == [50, 20]
