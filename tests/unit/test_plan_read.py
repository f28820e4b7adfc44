"""Descriptions of machines, places, distances and goals: read as they are, refused with reasons."""

import json
from pathlib import Path

import numpy as np
import pytest

import bprr.plan.distances as distances
import bprr.plan.gazetteer as gazetteer
import bprr.plan.health_monitor as health_monitor
import bprr.plan.nvidia_smi as nvidia_smi
from bprr.ground.files import read_json
from bprr.ground.swarm import LanguageModel
from bprr.plan.distances import distances_of
from bprr.plan.gazetteer import Spot, _middle, land, locate
from bprr.plan.goal import Goal, Wish, parse_goals
from bprr.plan.gpus import gpu_named, known_gpus
from bprr.plan.health_monitor import read_health_monitor
from bprr.plan.known import Grade
from bprr.plan.machines import Inventory, Machine, once, span_of
from bprr.plan.models import TABLE, known_models, served_model, stored_as
from bprr.plan.nvidia_smi import read_folder
from bprr.plan.readers import read_inventory
from bprr.plan.servers_csv import read_servers

from .refusals import refused_text
from .toy_plan import MACHINES, MODEL, round_trips

# PETALS' health monitor -------------------------------------------------------------------------


def row(**change):
    """A server that hosts blocks 3 to 7 of a model, counted from 0."""
    info = {"inference_rps": 9, "forward_rps": 8.5, "network_rps": None, "public_name": "mine",
            "using_relay": True, "cache_tokens_left": 11}  # fmt: skip
    return {
        "peer_id": "p", "state": "ONLINE",
        "span": {"start": 3, "end": 8, "server_info": {**info, **change.pop("info", {})},
                 **change.pop("span", {})},
        **change,
    }  # fmt: skip


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "state.json"

    def read(*rows, served=None, keep=False, content=None, **more):
        content = {"model_reports": [{"short_name": "Toy", "server_rows": list(rows)}], **more} if (
            content is None) else content  # fmt: skip
        path.write_text(json.dumps(content), encoding="utf-8")
        return read_health_monitor(path, served, keep)

    read.path = path
    return read


def test_a_server_of_a_report(report):
    pings = {"p": 1.5, "q": 0.25, "r": 0, "x": 1, "s": 100.0, "t": -1e-9, "u": False, "v": "1"}
    others = [row(peer_id=peer, info={"public_name": None}) for peer in "qrstuv"]
    found = report(row(info={"next_pings": pings}), *others, keep=True)
    assert found.machines[0] == Machine(
        "mine", "", None, "", 9.0, 8.5, None, True, (3, 5), 5,
        {"mine": 1500.0, "server-02": 250.0, "server-03": 0.0},
    )  # fmt: skip
    assert [each.name for each in found.machines[1:]] == [f"server-{n:02d}" for n in range(2, 8)]
    assert found.remarks == (
        f"{report.path}: no GPU, memory or place in it: memory is what a server's blocks and its"
        " free cache take, at the least",
    )
    assert report(row(info={"public_name": 5}), keep=True).machines[0].name == "server-01"
    assert report(row(info={"public_name": ""}), keep=True).machines[0].name == "server-01"
    assert report(row()).machines[0].name == "server-01"
    assert not report(row(info={"using_relay": 0})).machines[0].relay
    assert report(row(info={"next_pings": [1]})).machines[0].pings_ms == {}


def test_servers_that_are_not_online_are_left_out(report):
    """Said of the row, or else of the server; who says nothing is online."""
    offline = [row(peer_id="a", state="offline"), row(peer_id="b", state=None,
                                                     info={"state": "JOINING"})]  # fmt: skip
    said = [row(peer_id="c", state=""), row(peer_id="d", state=None, info={"state": "Online"})]
    found = report(offline[0], *said, offline[1])
    assert [each.name for each in found.machines] == ["server-01", "server-02"]
    assert found.remarks[1:] == (f"{report.path}: 2 of 4 servers are not online, and left out",)
    assert refused_text(report, *offline) == (
        f"{report.path}: servers: got 0; allowed: at least one server"
    )


def test_peers_are_named_by_the_row_or_its_span(report):
    """Without any name, by where they stand."""
    pings = {"info": {"next_pings": {"s": 1, "p": 2}}}
    found = report(row(**pings), row(peer_id="", span={"peer_id": "s"}), row(peer_id=None))
    assert found.machines[0].pings_ms == {"server-02": 1000.0, "server-01": 2000.0}
    assert len(found.machines) == 3


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("inference_rps", 0, None), ("inference_rps", 1e9, None), ("inference_rps", 9.9e8, 9.9e8),
        ("inference_rps", -1, None), ("inference_rps", 10**400, None), ("inference_rps", 1, 1.0),
        ("cache_tokens", 0, 0), ("cache_tokens", 1, 0), ("cache_tokens", 2.5, 1),
        ("cache_tokens", -1, None), ("cache_tokens", 1e15, None), ("cache_tokens", 9e14, 45e13),
        ("cache_tokens", 10**400, None), ("cache_tokens", None, None),
    ],
)  # fmt: skip
def test_numbers_that_a_failed_measurement_leaves(report, key, value, read):
    name = "cache_tokens_left" if key == "cache_tokens" else key
    assert getattr(report(row(info={name: value})).machines[0], key) == read


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (5, "span.server_info: got 'NoneType'; allowed: a mapping"),
        ({"span": 5}, "span.server_info: got 'NoneType'; allowed: a mapping"),
        ({"span": {"server_info": [1]}}, "span.server_info: got 'list'; allowed: a mapping"),
        (row(span={"start": 8}), "span: got '8:8'; allowed: whole numbers start < end"),
        (row(span={"start": -1}), "span: got '-1:8'; allowed: whole numbers start < end"),
        (row(span={"start": 3.0}), "span: got '3.0:8'; allowed: whole numbers start < end"),
        (row(span={"end": True}), "span: got '3:True'; allowed: whole numbers start < end"),
        (row(span={"end": 10_001}), "span: got '3:10001'; allowed: whole numbers start < end"),
        (row(info={"forward_rps": "8"}), "forward_rps: got '8'; allowed: a number, or null"),
        (row(info={"cache_tokens_left": True}),
         "cache_tokens_left: got True; allowed: a number, or null"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be(report, wrong, said):
    assert refused_text(report, row(), wrong) == f"{report.path}: server_rows[1]: {said}"
    assert report(row(span={"start": 0, "end": 10_000})).machines[0].span == (0, 10_000)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "model_reports: got 'NoneType'; allowed: a list of one report per model, as PETALS'"
         " health monitor has it"),
        ({}, "model_reports: got 'NoneType'; allowed: a list of one report per model, as PETALS'"
         " health monitor has it"),
        ({"model_reports": []}, "model_reports: got 'list'; allowed: a list of one report per"
         " model, as PETALS' health monitor has it"),
        ({"model_reports": {"a": 1}}, "model_reports: got 'dict'; allowed: a list of one report per"
         " model, as PETALS' health monitor has it"),
        ({"model_reports": [{"name": "x", "server_rows": {}}]},
         "server_rows: got 'dict'; allowed: a list of servers"),
        ({"model_reports": [5]}, "--served: got None; allowed: one of the models of the report: "),
    ],
)  # fmt: skip
def test_files_that_are_no_report(report, content, said):
    assert refused_text(lambda: report(content=content)) == f"{report.path}: {said}"


def test_one_model_of_several(report):
    names = [{"short_name": "Alpha 7B"}, {"name": "Beta 7B"}, {"dht_prefix": "gamma"}, {}]
    reports = [{**name, "server_rows": [row(span={"start": n})]} for n, name in enumerate(names)]
    content = {"model_reports": [*reports, 5]}
    for served, start in {"alpha": 0, "BETA": 1, "amm": 2, "model 4": 3}.items():
        assert report(content=content, served=served).machines[0].span[0] == start
    listed = "one of the models of the report: Alpha 7B, Beta 7B, gamma, model 4"
    for served, shown in {"7b": "'7b'", "": "''", None: "None", "delta": "'delta'"}.items():
        assert refused_text(lambda served=served: report(content=content, served=served)) == (
            f"{report.path}: --served: got {shown}; allowed: {listed}"
        )
    assert refused_text(lambda: report(row(), served="x")).endswith("report: Toy")
    assert health_monitor.USABLE == "online"


# Outputs of nvidia-smi --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: got 'nothing'; allowed: nvidia-smi --query-gpu=name,memory.total"
         " --format=csv, with its header"),
        ("name, memory\n", "line 1: got ['name', 'memory']; allowed: nvidia-smi"
         " --query-gpu=name,memory.total --format=csv, with its header"),
        ("memory.total [MiB]\n", "line 1: got ['memory.total [MiB]']; allowed: nvidia-smi"
         " --query-gpu=name,memory.total --format=csv, with its header"),
        ("name, memory.total [MiB]\n", "rows: got 0; allowed: at least one GPU"),
        ("name, memory.total [MiB]\nT4, 1 MiB\nT4\n", "line 3: got ['T4']; allowed: 2 values"),
        ("name, memory.total [MiB]\nT4, 0 MiB\n",
         "memory.total (line 2): got '0 MiB'; allowed: memory such as 24576 MiB"),
        ("name, memory.total [MiB]\nT4, 1 MiB\nT4, [N/A]\n",
         "memory.total (line 3): got '[N/A]'; allowed: memory such as 24576 MiB"),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be(tmp_path, text, said):
    path = tmp_path / "host.csv"
    path.write_text(text, encoding="utf-8")
    assert refused_text(read_folder, tmp_path) == f"{path}: {said}"


def test_folders_of_outputs(tmp_path, monkeypatch):
    """Hosts by their files or folders, in order; rates beside them; places of the table."""
    told = (
        f"{tmp_path}: files: got 0; allowed: a folder of outputs of nvidia-smi"
        " --query-gpu=name,memory.total --format=csv"
    )
    (tmp_path / "places.csv").write_text("host,place\nx,Rome\nz,Oslo\n", encoding="utf-8")
    assert refused_text(read_folder, tmp_path) == told
    output = "Memory.Total [GB], NAME\n10, T4\n"
    for name in ("x.csv", "y.txt", "z/gpus.csv", "w/gpus.txt", "v/deeper/gpus.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(output, encoding="utf-8")
    (tmp_path / "z/gpus.csv").write_text(f"{output}20 GB, L4\n", encoding="utf-8")
    rates = {"a": {"inference_rps": 5}, "b": 7, "c": {"inference_rps": 6, "network_rps": 4}}
    for name, content in {
        "x.throughput.json": {"k": {"forward_rps": 3}}, "throughput.json": {"k": {}},
        "throughput_v5.json": {"k": {"forward_rps": 99}}, "z/throughput.json": {"k": {}},
        "z/throughput_v5.json": rates, "w/gpus.throughput_v5.json": {"k": {"forward_rps": 2}},
        "w/throughput_v5.json": {"k": {"forward_rps": 98}},
    }.items():  # fmt: skip
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    found = read_inventory(tmp_path)
    known = {"inference_rps": 6.0, "network_rps": 4.0}
    assert found.machines == (
        Machine("w", "T4", 10.0, "w", forward_rps=2.0),
        Machine("x", "T4", 10.0, "Rome", forward_rps=3.0),
        Machine("y", "T4", 10.0, "y"),
        Machine("z-0", "T4", 10.0, "Oslo", **known), Machine("z-1", "L4", 20.0, "Oslo", **known),
    )  # fmt: skip
    assert found.remarks == ()
    monkeypatch.setattr(nvidia_smi, "MOST_FILES", 4)
    assert len(read_folder(tmp_path).machines) == 5
    monkeypatch.setattr(nvidia_smi, "MOST_FILES", 3)
    assert refused_text(read_folder, tmp_path) == told.replace("got 0", "got 4")


def test_how_many_files_there_may_be():
    class Folder:
        count = 4096

        def glob(self, pattern):
            return [Path(f"{n}.csv") for n in range(self.count)] if pattern == "*.csv" else []

        def __truediv__(self, name):
            raise KeyError(name)  # so many are read

        def __str__(self):
            return "folder"

    folder = Folder()
    with pytest.raises(KeyError, match=r"places\.csv"):
        read_folder(folder)
    folder.count = 4097
    assert refused_text(read_folder, folder).startswith(
        "folder: files: got 4097; allowed: a folder of"
    )


def test_how_long_an_output_may_be(tmp_path):
    """A million letters."""
    path = tmp_path / "host.csv"
    text = "name, memory.total [GB]\nT4, 10\n"
    path.write_text(text.ljust(1_000_000, "\n"), encoding="utf-8")
    assert len(read_folder(tmp_path).machines) == 1
    path.write_text(text.ljust(1_000_001, "\n"), encoding="utf-8")
    assert refused_text(read_folder, tmp_path).startswith(f"{path}: ")


def test_memory_that_is_taken_is_remarked(tmp_path):
    path = tmp_path / "host.csv"
    header = "name, memory.total [GB], memory.free [GB]"
    rows = ["T4, 10, 7.9", "T4, 10, 8.1", "T4, 10, [N/A]", "T4, 10, 100 MB"]
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    assert read_folder(tmp_path).remarks == (
        f"{path}: 7.9 of 10.0 GB are free; planned with all of it",
        f"{path}: 0.1 of 10.0 GB are free; planned with all of it",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "file: got 'list'; allowed: a mapping of measured throughputs"),
        ({}, "file: got 'dict'; allowed: a mapping of measured throughputs"),
        ({"a": 5}, "file: got 'dict'; allowed: a mapping of measured throughputs"),
        ({"a": {"forward_rps": "5"}}, "forward_rps: got '5'; allowed: a number above 0"),
        ({"a": {"forward_rps": 0}}, "forward_rps: got 0; allowed: a number above 0"),
        ({"a": {"forward_rps": True}}, "forward_rps: got True; allowed: a number above 0"),
        ({"a": {"forward_rps": 1e9}}, "forward_rps: got 1000000000.0; allowed: a number above 0"),
    ],
)
def test_throughputs_that_cannot_be(tmp_path, content, said):
    (tmp_path / "h.csv").write_text("name, memory.total [GB]\nT4, 10\n", encoding="utf-8")
    path = tmp_path / "h.throughput_v5.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert refused_text(read_folder, tmp_path) == f"{path}: {said}"


# Tables of servers ------------------------------------------------------------------------------


def test_all_that_a_table_may_say(tmp_path):
    path = tmp_path / "servers.csv"
    text = (
        "name,gpu,memory_gb,place,inference_rps,forward_rps,network_rps,relay,blocks\n"
        " a , L4 ,24, Rome ,1,2,3, True ,0:3\nb,,,,,,,,\n"
    )
    path.write_text(text, encoding="utf-8")
    found = read_inventory(path)
    assert found.machines == (
        Machine("a", "L4", 24.0, "Rome", 1.0, 2.0, 3.0, True, (0, 3)), Machine("b"),
    )  # fmt: skip
    assert found.path == path and found.remarks == ()
    numbers = [getattr(found.machines[0], key) for key in ("memory_gb", "inference_rps")]
    assert all(type(number) is float for number in numbers)
    report = {"model_reports": [{"name": "x", "server_rows": [row()]}]}
    for text in (json.dumps(report), f"\n {json.dumps(report)}"):
        path.write_text(text, encoding="utf-8")
        assert read_inventory(path, "x", True).machines[0].name == "mine"
    path.write_text("[]", encoding="utf-8")
    assert "model_reports" in refused_text(read_inventory, path)


@pytest.mark.parametrize(
    ("header", "line", "said"),
    [
        ("name,speed,x", "a,1,2", ": columns: got 'speed, x'; allowed: name, gpu, memory_gb, place,"
         " inference_rps, forward_rps, network_rps, relay, blocks"),
        ("name,memory_gb", "a,5000.5", " (line 2): memory_gb: got 5000.5; allowed: a number above"
         " 0, at most 5000"),
        ("name,forward_rps", "a,0", " (line 2): forward_rps: got 0; allowed: a number above 0, at"
         " most 1e+09"),
        ("name,relay", "a,maybe", " (line 2): relay: got 'maybe'; allowed: yes or no"),
        ("name,gpu", "\" \",L4", " (line 2): name: got ''; allowed: a printable name of at most 100"
         " letters"),
        ("name,blocks", "a,3:3", " (line 2): blocks: got '3:3'; allowed: blocks as PETALS has them:"
         " a:b, from 0, without b"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be(tmp_path, header, line, said):
    path = tmp_path / "servers.csv"
    path.write_text(f"{header}\n{line}\n", encoding="utf-8")
    assert refused_text(read_servers, path) == f"{path}{said}"


def test_how_many_machines_there_may_be(tmp_path):
    most = [Machine(f"m{n}") for n in range(4096)]
    assert len(once(most, tmp_path)) == 4096
    said = f"{tmp_path}: servers: got 4097; allowed: at most 4,096"
    assert refused_text(once, [*most, Machine("a")], tmp_path) == said
    many = [Machine(name) for name in "abcdefghijklm" * 2]
    said = f"{tmp_path}: name: got 'a, b, c, d, e, f, g, h, i, j'; allowed: each name once"
    assert refused_text(once, many, tmp_path) == said
    assert span_of("0:100000", "x", "y") == (0, 100_000)
    assert refused_text(span_of, "0:1000000", "here", "key") == (
        "here: key: got '0:1000000'; allowed: blocks as PETALS has them: a:b, from 0, without b"
    )


# Models and cards -------------------------------------------------------------------------------


def test_models_by_their_names(tmp_path, configuration):
    named = configuration.all_models
    found = served_model("qwen3 32b", None, named)
    assert found.title == "Qwen/Qwen3-32B" and found.model.name == "qwen3_32b"
    own = served_model("bloom_176b", None, named, block_gb=9.5)
    assert (own.model.block_gb, own.read_share, own.title) == (9.5, 1.0, "bloom_176b")
    config = known_models()["Qwen/Qwen3-32B"]
    for name, title in {"config.json": tmp_path.name, "Other-1.json": "Other-1"}.items():
        path = tmp_path / name
        path.write_text(json.dumps(config), encoding="utf-8")
        again = served_model(str(path), "nf4", named)
        assert again.title == title
        assert again.model.block_gb == pytest.approx(487_598_336 * 4.25 / 8 * 1.01 / 1e9)
    nameless = tmp_path / "---.json"
    nameless.write_text(json.dumps(config), encoding="utf-8")
    assert served_model(str(nameless), None, named).model.name == "model"
    bare = tmp_path / "bare"
    bare.write_text(json.dumps(config), encoding="utf-8")
    assert served_model(str(bare), None, named).title == "bare"
    lost = refused_text(served_model, str(tmp_path / "none.json"), None, named)
    assert lost.startswith(f"{tmp_path / 'none.json'}: ")
    said = refused_text(served_model, "Qwen/Qwen3-32", None, {})
    assert said.startswith(
        "command line: --model: got 'Qwen/Qwen3-32'; allowed: did you mean Qwen/Qwen3-32B? a"
        " config.json, or "
    )
    assert known_models() == read_json(TABLE, "table")


@pytest.mark.parametrize(("quant", "bits", "more"), [("nf4", 4.25, 1.01), ("int8", 8, 1.01),
                                                     ("none", 16, 1)])  # fmt: skip
def test_how_blocks_are_stored(quant, bits, more):
    model = LanguageModel(
        name="own", blocks=2, d_model=8, parameters_per_block=1_000_000, bits_per_parameter=32.0,
        key_value_groups=4,
    )  # fmt: skip
    found = stored_as(model, quant)
    assert found.block_gb == pytest.approx(1e6 * bits / 8 * more / 1e9)
    assert (found.name, found.key_value_groups) == ("own", 4)
    assert refused_text(stored_as, MODEL, quant) == (
        f"command line: --quant: got '{quant}'; allowed: parameters_per_block of toy; or no --quant"
    )


def test_cards_by_their_names():
    for text in ("T4", " tesla-t4 ", "Tesla_T4", "NVIDIA  T4"):
        assert gpu_named(text).name == "T4", text
    assert gpu_named("rtx3090").name == "RTX 3090"
    assert gpu_named("GTX1080Ti") is None or gpu_named("GTX1080Ti").name.startswith("GTX")
    assert all(gpu.memory_gb > 0 and gpu.tflops > 0 and gpu.source for gpu in known_gpus())


# Goals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "goals"),
    [
        ("ttft=5s", [Goal("ttft", 5000.0, "mean")]),
        (" token=1.5ms@p50 ,ttft=2s@p99", [Goal("token", 1.5, "p50"), Goal("ttft", 2000.0, "p99")]),
        ("token=0.1s@mean", [Goal("token", 100.0, "mean")]),
    ],
)
def test_goals_as_they_are_written(text, goals):
    assert parse_goals(text) == tuple(goals)
    assert parse_goals(",".join(goal.text for goal in goals)) == tuple(goals)


@pytest.mark.parametrize(
    ("text", "part"), [("ttft=0.0s", "ttft=0.0s"), ("ttft=1s,x", "x"), ("ttft=1s@p9", "ttft=1s@p9")]
)
def test_goals_that_are_none(text, part):
    assert refused_text(parse_goals, text) == (
        f"command line: --slo: got '{part}'; allowed: e.g. ttft=5s,token=400ms@p95 (mean, p50, p95,"
        " p99)"
    )


def test_what_is_wished_if_nothing_is_said():
    """A record of the defaults, which docs/plan.md names."""
    wish = Wish()
    assert (wish.input_tokens, wish.output_tokens, wish.requests, wish.seed) == (
        128,
        128,
        150,
        2025,
    )
    assert (wish.reserve_gb, wish.prove_s, wish.wire_bytes) == (1.5, 1.0, 2)
    assert wish.hop_overhead_ms == (4.0, 8.0, 15.0) and wish.mbit_per_s == (1000.0, 200.0, 50.0)
    assert not wish.overhead_is_calibrated and not wish.loaded and wish.factors == {}


# Places -----------------------------------------------------------------------------------------


def test_places_of_every_kind():
    """Codes in capitals, meant cities, cities of one country, clouds, the table's own spelling."""
    assert locate(" 1.5 ; -2 ", "x", "y") == (1.5, -2.0)
    assert locate("-90,-180", "x", "y") == (-90, -180) and locate("90;180", "x", "y") == (90, 180)
    assert locate("gru", "x", "y") == locate("GRU", "x", "y") == locate("são  Paulo", "x", "y")
    assert locate("AWS : eu-west-1", "x", "y") == locate("aws:eu-west-1", "x", "y")
    assert locate("NCE", "x", "y").longitude == pytest.approx(7.2, abs=0.1)
    assert locate("Nice", "x", "y") == locate("NCE", "x", "y")
    for code in gazetteer.MEANT.values():
        assert locate(code, "x", "y") == gazetteer._table().codes["iata", code.lower()]
    assert _middle([Spot(1.0, 2.0), Spot(2.0, 6.0)]) == (1.5, 4.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("90.1,0", "latitude from -90 to 90, longitude from -180 to 180"),
        ("0,-180.1", "latitude from -90 to 90, longitude from -180 to 180"),
        ("1.2.3,0", "latitude from -90 to 90, longitude from -180 to 180"),
        ("xyz:1", "aws, azure, gcp, iata"),
        ("iata:zzzz", "aws, azure, gcp, iata"),
        ("Londn", "did you mean london? a city, an airport (IATA), aws:eu-west-1 (gcp:, azure:), or"
         " lat,lon"),
        ("qqqqqqqq", "a city, an airport (IATA), aws:eu-west-1 (gcp:, azure:), or lat,lon"),
    ],
)  # fmt: skip
def test_places_that_are_none(text, said):
    told = refused_text(locate, text, "here", "place")
    assert told == f"here: place: got '{text}'; allowed: {said}"


def test_regions_of_clouds_that_are_none():
    known = [code for kind, code in gazetteer._table().codes if kind == "aws"]
    told = refused_text(locate, "aws:eu-wst-1", "x", "y")
    assert told.startswith("x: y: got 'aws:eu-wst-1'; allowed: did you mean eu-west-1? ")
    assert told.partition("? ")[2] == ", ".join(known[:40])
    many = [code for kind, code in gazetteer._table().codes if kind == "azure"]
    assert len(many) > 40
    told = refused_text(locate, "azure:zzzz", "x", "y")
    assert told == f"x: y: got 'azure:zzzz'; allowed: {', '.join(many[:40])}"


def small_table(monkeypatch):
    """Cities of one name: two in one country, far apart or near, and one in another."""
    codes = {("iata", "abc"): Spot(0, 0), ("iata", "twn"): Spot(9, 9), ("aws", "r"): Spot(5, 5)}
    cities = {
        "town": {"AA": [Spot(0, 0), Spot(1, 1)], "BB": [Spot(50, 50)]},
        "ville": {"CC": [Spot(10, 10), Spot(20, 10)]},
        "abc": {"AA": [Spot(3, 3)]},
    }
    monkeypatch.setattr(gazetteer, "_table", lambda: gazetteer._Table(codes, cities))


def test_one_of_several_places(monkeypatch):
    small_table(monkeypatch)
    assert locate("Town, aa", "x", "y") == (0.5, 0.5) and locate("town,BB", "x", "y") == (50, 50)
    assert locate("twn", "x", "y") == (9, 9) and locate("TWN", "x", "y") == (9, 9)
    assert locate("ABC", "x", "y") == (0, 0) and locate("abc", "x", "y") == (3, 3)
    assert locate("Abc", "x", "y") == (3, 3) and locate("aws:R", "x", "y") == (5, 5)
    begin = "allowed: one of several: coordinates, an airport's code or 'city, country': "
    assert refused_text(locate, "Town", "x", "y").endswith(
        f"{begin}AA at 0.50,0.50; BB at 50.00,50.00"
    )
    assert refused_text(locate, "ville, cc", "x", "y").endswith(
        f"{begin}CC at 10.00,10.00; CC at 20.00,10.00"
    )
    assert "a city, an airport" in refused_text(locate, "Town, CC", "x", "y")


def test_land_has_a_dot_in_every_cell(monkeypatch):
    codes = {("iata", f"a{n}"): spot for n, spot in enumerate(
        [Spot(0, 0), Spot(4, 4), Spot(6, 0), Spot(0, 6), Spot(0, 4.9), Spot(-16, 27)])}  # fmt: skip
    codes["aws", "x"] = Spot(80, 80)
    monkeypatch.setattr(gazetteer, "_table", lambda: gazetteer._Table(codes, {}))
    assert land(10.0) == [Spot(0, 0), Spot(6, 0), Spot(0, 6), Spot(-16, 27)]


# Distances --------------------------------------------------------------------------------------


def test_round_trips_that_were_measured(tmp_path):
    """A machine's own name counts before its place; large letters or small."""
    path = tmp_path / "own.csv"
    path.write_text("from,to,rtt_ms\nparis,b,10\nb,paris,12\nb,b,1\nparis,paris,2\n")
    inventory = Inventory(tmp_path, (Machine("a", place="Paris"), Machine("b", place="Paris")))
    found = distances_of(inventory, ("B", "Paris"), path)
    assert found.server_node.tolist() == [0, 1] and found.client_node.tolist() == [1, 0]
    assert distances_of(inventory, (), path).client_node.tolist() == [0]
    rtt = np.array([[2.0, 10.0], [12.0, 1.0]])
    nodes = np.arange(2)
    for level, factor in enumerate((0.9, 1.0, 1.28)):
        assert found.between(level, nodes, nodes) == pytest.approx(rtt * factor)
    assert (found.grade, found.because) == (Grade.MEASURED, "round trips of own.csv")
    network = found.network
    assert network.name == "own" and np.isnan(network.latitude_deg[1])
    assert network.latitude_deg[0] == pytest.approx(49, abs=0.2)
    assert network.longitude_deg[0] == pytest.approx(2.5, abs=0.2)
    lost = Inventory(tmp_path, (Machine("c", place=""), Machine("d", place="Rome")))
    assert refused_text(distances_of, lost, (), path) == (
        f"{tmp_path}: place of c: got 'c'; allowed: a name of {path}: paris, b"
    )
    lost = Inventory(tmp_path, (Machine("d", place="Rome"),))
    assert refused_text(distances_of, lost, (), path) == (
        f"{tmp_path}: place of d: got 'd or Rome'; allowed: a name of {path}: paris, b"
    )
    assert refused_text(distances_of, inventory, ("Rome",), path) == (
        f"command line: --clients: got 'Rome'; allowed: a name of {path}: paris, b"
    )


def test_distances_over_great_circles(tmp_path):
    """A quarter of the equator: 10,007.5 km, at 200 km a ms there and back 100 ms."""
    inventory = Inventory(tmp_path, (Machine("a", place="0,0"), Machine("b", place="0,90"),
                                     Machine("c", place="0,0")))  # fmt: skip
    found = distances_of(inventory, ("0,90", "90,0"))
    assert found.server_node.tolist() == [0, 1, 0] and found.client_node.tolist() == [1, 2]
    assert found.network.node_names == ("0,0", "0,90", "90,0")
    light_ms = found.between(0, np.array([0]), np.array([1]))[0, 0]
    light_ms = (light_ms - 0.3) / 1.25
    assert light_ms == pytest.approx(100, rel=0.03)
    for level, (floor, factor) in enumerate(zip((0.3, 2.0, 6.0), (1.25, 2.0, 4.2), strict=True)):
        between = found.between(level, found.client_node, found.server_node)
        far, near = floor + factor * light_ms, floor
        expected = np.array([[far, near, far], [far, far, far]])
        assert between == pytest.approx(expected)
    assert found.grade is Grade.ESTIMATED and found.network.name == "great circles"
    assert found.because == "great circles: 2 ms + 2 × light in fibre"
    assert found.network.longitude_deg.tolist() == [0, 90, 0]
    assert found.network.latitude_deg.tolist() == [0, 0, 90]
    assert distances_of(inventory, ()).client_node.tolist() == [0]
    lost = Inventory(tmp_path, (Machine("a", place="0,0"), Machine("b"), Machine("c")))
    assert refused_text(distances_of, lost, ()) == (
        f"{tmp_path}: place of b: got 'nothing'; allowed: where it stands"
    )
    wrong = Inventory(tmp_path, (Machine("a", place="95,0"),))
    assert refused_text(distances_of, wrong, ()).startswith(f"{tmp_path}: place: got '95,0'")
    assert refused_text(distances_of, inventory, ("95,0",)).startswith(
        "command line: --clients: got '95,0'"
    )


def test_distances_of_which_nothing_is_known(tmp_path):
    inventory = Inventory(tmp_path, (Machine("a"), Machine("b")))
    said = f"{tmp_path}: place: got 'nothing'; allowed: a column place, or --rtt FILE"
    assert refused_text(distances_of, inventory, ()) == said
    pinged = Inventory(tmp_path, (Machine("a", pings_ms={"a": 0.5}), Machine("b")))
    assert refused_text(distances_of, pinged, ("Rome", "Oslo")) == (
        "command line: --clients: got 'Rome, Oslo'; allowed: --rtt FILE with their distances: pings"
        " name no places"
    )
    nowhere = Inventory(tmp_path, (Machine("a", pings_ms={"a": float("nan")}), Machine("b")))
    said = f"{tmp_path}: next_pings: got 'none'; allowed: pings, or --rtt FILE"
    assert refused_text(distances_of, nowhere, ()) == said


def test_pings_each_way(tmp_path):
    pings = {"a": {"b": 10.0, "c": 30.0}, "b": {"a": 12.0}, "c": {}}
    inventory = Inventory(
        tmp_path, tuple(Machine(name, pings_ms=known) for name, known in pings.items())
    )
    found = distances_of(inventory, ())
    own = np.array([[0, 10, 30, 12], [12, 0, 12, 12], [30, 12, 0, 12], [12, 12, 12, 0]])
    nodes = np.arange(4)
    assert (found.between(1, nodes, nodes) == own).all()
    assert found.because == (
        "pings between servers (44% of the pairs); the client is as far as their median, 12 ms"
    )
    assert found.network.node_names == ("a", "b", "c", "client") and found.network.name == "pings"
    assert distances.MEASURED == (0.9, 1.0, 1.28)
    assert len(round_trips(tmp_path).read_text().splitlines()) == 10 and len(MACHINES) == 4


@pytest.mark.parametrize(
    ("word", "relayed"),
    [("", False), ("no", False), ("false", False), ("0", False), (" No ", False),
     ("yes", True), ("true", True), ("1", True), ("TRUE", True)],
)  # fmt: skip
def test_words_for_a_relay(tmp_path, word, relayed):
    path = tmp_path / "machines.csv"
    path.write_text(f"name,gpu,memory_gb,relay\na,L4,24,{word}\n", encoding="utf-8")
    (machine,) = read_servers(path).machines
    assert machine.relay is relayed
