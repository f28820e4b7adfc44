"""How large what users write may be: accepted at each limit, refused beyond it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from bprr.ground import files, schema, tables
from bprr.ground.errors import InputError
from bprr.ground.swarm import Device, LanguageModel, Overheads
from bprr.scenario.demand import PoissonDemand, TraceDemand
from bprr.scenario.drift import Diurnal
from bprr.scenario.fleet import Fleet, PinnedServers
from bprr.scenario.measured import read_rtt
from bprr.scenario.network import shortest_us
from bprr.scenario.places import ClusteredNetwork, GeoNetwork
from bprr.scenario.traces import read_trace
from bprr.settings.configuration import Settings
from bprr.settings.offline import OfflineSettings
from bprr.settings.yaml_file import parse_yaml, read_yaml

INF, NAN = float("inf"), float("nan")

KINDS: list[tuple[Any, list[Any], list[Any]]] = [
    (schema.Positive, [5e-324, 1e300, 3], [0, 0.0, -1, INF, NAN, "1", True]),
    (schema.NonNegative, [0, 1e300], [-1e-9, INF, NAN, "1", True]),
    (schema.Milliseconds, [0, 1e7], [-1e-9, 1.00001e7, INF, NAN, "1"]),
    (schema.MemoryGb, [1e-9, 5000], [0, 5000.01, -1, "1"]),
    (schema.Count, [1, 10**12], [0, -1, 10**12 + 1, 1.0, "1", True]),
    (schema.Share, [0, 1, 0.5], [-1e-9, 1 + 1e-9, "1"]),
]


@pytest.mark.parametrize(("kind", "fine", "wrong"), KINDS)
def test_kinds_of_numbers(kind: Any, fine: list[Any], wrong: list[Any]) -> None:
    adapter = TypeAdapter(kind)
    for value in fine:
        assert adapter.validate_python(value) == value
    for value in wrong:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


MODEL = {"blocks": 1, "d_model": 1, "block_gb": 1.0}
DEVICE = {"tau_ms": 1.0, "prefill_ms": 1.0, "memory_gb": 1.0}
POISSON = {"rate_per_s": 1.0, "requests": 1, "input_tokens": 1, "output_tokens": 1}
TRACE = {"kind": "trace", "file": Path("x")}
CLUSTERS = {"kind": "clustered", "clusters": {"a": {"x": 1}}, "client": "a"}
OVERHEADS = {"token_ms": 1.0, "prompt_ms": 1.0, "initial_ms": 1.0}


@pytest.mark.parametrize(
    ("kind", "others", "key", "fine", "wrong"),
    [
        (LanguageModel, MODEL, "storage_overhead", [1, 1.5], [0.999]),
        (LanguageModel, MODEL, "blocks", [1], [0]),
        (LanguageModel, MODEL, "bits_per_parameter", [0.1, None], [0]),
        (Device, DEVICE, "tau_ms", [1e-9, 100_000], [0, 100_001, -1]),
        (Device, DEVICE, "prefill_ms", [0, 1e7], [-1, 1.1e7]),
        (Device, DEVICE, "memory_gb", [5000], [0, 5001]),
        (Device, DEVICE, "tokens_per_s", [[1.0]], [[0.0]]),
        (Overheads, OVERHEADS, "prompt_round_trips", [0.5], [0]),
        (PoissonDemand, POISSON, "rate_per_s", [1e-9, 1e6], [0, 1.1e6, -1]),
        (PoissonDemand, POISSON, "requests", [10**12], [0]),
        (TraceDemand, TRACE, "start_s", [0], [-1]),
        (TraceDemand, TRACE, "speed", [1e-9], [0]),
        (Diurnal, {}, "amplitude", [0, 1], [-0.1, 1.1]),
        (Fleet, {"rest": "x"}, "servers_per_node", [1e-9, 1, 0.5], [0, 1.1]),
        (Fleet, {"rest": "x"}, "servers", [1], [0]),
        (PinnedServers, {"device": "a", "at": "b"}, "count", [1], [0]),
        (GeoNetwork, {"kind": "geo"}, "nodes", [1, 10_000_000], [0, 10_000_001]),
        (ClusteredNetwork, CLUSTERS, "clusters",
         [{"a": {"x": 0, "y": 100_000}}], [{"a": {"x": 100_001}}, {"a": {"x": -1, "y": 2}}]),
        (ClusteredNetwork, CLUSTERS, "intra_rtt_ms", [0], [-1]),
        (OfflineSettings, {}, "relative_gap", [1e-6, 0.999], [9e-7, 1.0]),
        (OfflineSettings, {}, "scale", ["smoke", "main", "study"], ["x"]),
    ],
)  # fmt: skip
def test_keys(kind: Any, others: Any, key: str, fine: list[Any], wrong: list[Any]) -> None:
    for value in fine:
        assert getattr(kind(**{**others, key: value}), key) == value
    for value in wrong:
        with pytest.raises(ValidationError):
            kind(**{**others, key: value})


def test_keys_of_the_configuration(configuration: Settings) -> None:
    content = {name: getattr(configuration, name) for name in Settings.model_fields}
    for key, fine, wrong in (
        ("confidence", [1e-9, 0.999], [0, 1]), ("seed", [0], [-1]), ("runs", [1], [0]),
        ("runs_per_job", [1], [0]),
    ):  # fmt: skip
        for value in fine:
            assert getattr(Settings(**{**content, key: value}), key) == value
        for value in wrong:
            with pytest.raises(ValidationError):
                Settings(**{**content, key: value})


def allowed_by(call: Any, *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return caught.value.allowed


def test_sizes_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large"
    path.touch()
    for read, kind, most in (
        (read_trace, "trace", 2_000_000_000),
        (tables.csv_cells, "CSV file", 256_000_000),
        (read_yaml, "YAML file", 2_000_000),
        (lambda path: files.read_text(path, "text"), "text", 64_000_000),
        (lambda path: read_rtt(path, None, "refuse"), "table of round trips", 64_000_000),
    ):
        with path.open("ab") as file:
            file.truncate(most + 1)  # takes no room on the disk
        assert allowed_by(read, path) == f"a {kind} of at most {most:,} bytes"
        path.unlink()
        path.touch()
    group = SimpleNamespace(total_byte_size=4_000_000_000)
    for rows, groups in ((50_000_001, 0), (1, 3)):
        about = SimpleNamespace(num_rows=rows, num_row_groups=groups, row_group=lambda n: group)
        monkeypatch.setattr(tables.pq, "read_metadata", lambda path, about=about: about)
        allowed = "at most 50,000,000 rows, 8,000,000,000 bytes"
        assert allowed_by(tables.read_table, path) == allowed


def test_numbers_of_things() -> None:
    assert allowed_by(shortest_us, "", ["x"] * 5001, []) == "at most 5,000"
    parse_yaml("[" + "1," * 99_999 + "]", "")
    allowed = allowed_by(parse_yaml, "[" + "1," * 100_000 + "]", "")
    assert allowed == "at most 100,000 values, aliases unfolded"


def test_what_devices_and_models_are_unless_they_say_otherwise() -> None:
    model = LanguageModel(**MODEL)
    assert (model.name, model.max_sequence_tokens, model.source) == ("", 2048, "")
    assert (model.cache_bytes_per_value, model.key_value_groups) == (2, 1)
    assert (model.storage_overhead, model.window_tokens) == (1, None)
    device = Device(**DEVICE)
    assert (device.name, device.title, device.prefill_ms_per_token) == ("", "", 0)
    assert (device.model, device.provenance) == (None, {})
    clustered = ClusteredNetwork(**CLUSTERS)
    assert (clustered.intra_rtt_ms, clustered.inter_rtt_ms) == (5, 100)
    trace = TraceDemand(**TRACE)
    assert (trace.start_s, trace.speed, trace.too_long, trace.duration_s) == (0, 1, "reject", None)
    assert (trace.requests, trace.rate_per_s, trace.columns) == (None, None, None)
    fleet = Fleet()
    assert (fleet.servers, fleet.share, fleet.memory_gb, fleet.block_cap) == (None, {}, {}, {})
    assert not fleet.scale_profiles
    assert np.isclose(GeoNetwork(kind="geo", nodes=1).us_per_km, 4.9)
