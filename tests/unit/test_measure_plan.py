"""Measuring without torch: shapes, plans, links, traces and the command line's refusals."""

from __future__ import annotations

import importlib.util
import json
import socket
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bprr.commands.main import main
from bprr.ground.errors import BprrError, InputError
from bprr.measure.network import Peer, observe_link, parse_address, serving_in_background
from bprr.measure.plan import FULL, QUICK, REFERENCE, rounds
from bprr.measure.shapes import SHAPES, load_shape, shape_from_config
from bprr.measure.trace import COLUMNS, UNITS, Recorder, default_folder

# --- shapes -------------------------------------------------------------------------------------


def test_block_sizes_are_the_published_ones():
    assert SHAPES["bloom-176b"].block_parameters == 2_466_437_120  # docs/constants.md
    assert SHAPES["llama-2-7b"].block_parameters == 202_383_360
    assert SHAPES["llama-2-70b"].block_parameters == 855_654_400


def test_grouped_queries_shrink_the_cache():
    model = SHAPES["llama-2-70b"].language_model(2, 2)
    assert model.key_value_groups == 8
    assert model.cache_gb_per_token == pytest.approx(2 * 8192 / 8 * 2 / 1e9)


CONFIGS = {
    "bloom": {"model_type": "bloom", "n_embed": 64, "n_layer": 3, "n_head": 4},
    "llama": {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    },
}


def test_shape_from_a_local_configuration(tmp_path):
    for family, content in CONFIGS.items():
        path = tmp_path / f"my-{family}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        shape = load_shape(str(path))
        assert (shape.name, shape.family, shape.blocks) == (f"my-{family}", family, 3)
        assert (shape.d_model, shape.heads) == (64, 4)
    assert shape.key_value_heads == 2
    assert shape.max_sequence_tokens == 512


@pytest.mark.parametrize(
    ("family", "change", "named"),
    [
        ("bloom", {"model_type": "gpt2"}, "model_type"),
        ("bloom", {"n_embed": None}, "n_embed"),
        ("bloom", {"n_layer": "many"}, "n_layer"),
        ("bloom", {"n_head": 5}, "heads"),
        ("llama", {"intermediate_size": -1}, "intermediate_size"),
        ("llama", {"num_key_value_heads": 3}, "key_value_heads"),
        ("llama", {"head_dim": 128}, "head_dim"),
    ],
)
def test_a_configuration_that_no_block_can_have_is_refused(tmp_path, family, change, named):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIGS[family] | change), encoding="utf-8")
    with pytest.raises(BprrError, match=named):
        shape_from_config(path)


def test_unknown_shapes_are_refused(tmp_path):
    with pytest.raises(InputError, match="bloom-176b"):
        load_shape("gpt-9")
    with pytest.raises(InputError, match=r"none\.json"):
        load_shape(str(tmp_path / "none.json"))


# --- plans --------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), blocks=st.integers(1, 60), tokens=st.integers(64, 4096))
def test_every_round_visits_every_setting_once(seed, blocks, tokens):
    plan = replace(QUICK, rounds=3).limited_to(blocks, tokens)
    expected = Counter(plan.settings())
    assert set(expected.values()) == {1}
    made = list(rounds(plan, np.random.default_rng(seed)))
    assert len(made) == plan.rounds
    for order in made:
        assert Counter(visit for visit in order if visit.experiment != REFERENCE) == expected
        assert max(visit.blocks for visit in order) == blocks
        assert max(visit.context_tokens + visit.input_tokens for visit in order) <= tokens
        assert {visit.experiment for visit in order} <= set(UNITS)


def test_order_differs_between_rounds_but_not_between_runs():
    first, again = (list(rounds(QUICK, np.random.default_rng(1))) for _ in range(2))
    assert first == again
    assert first[0] != first[1]


@pytest.mark.parametrize("plan", [QUICK, FULL])
def test_plans_repeat_and_show_drift(plan):
    assert plan.rounds >= 5
    assert len(plan.blocks) >= 5
    assert len(plan.inputs) >= 5
    for order in rounds(plan, np.random.default_rng(0)):
        assert sum(visit == plan.reference for visit in order) >= 3


# --- links --------------------------------------------------------------------------------------


def test_link_to_a_peer():
    recorder = Recorder()
    with serving_in_background() as address, Peer(*address) as peer:
        observe_link(peer, recorder, activation_bytes=4096, repeats=10, bulk_bytes=200_000)
    counts = Counter((row["experiment"], row["payload_bytes"]) for row in recorder.rows)
    assert counts == {
        ("network_round_trip", 1): 10,
        ("network_round_trip", 4096): 10,
        ("network_upload", 200_000): 2,
        ("network_download", 200_000): 2,
    }
    assert all(set(row) == set(COLUMNS) and row["value"] > 0 for row in recorder.rows)


def test_a_round_trip_takes_as_long_as_the_delay():
    import time

    listener = socket.create_server(("127.0.0.1", 0))

    def slow_echo():
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            time.sleep(0.05)
            connection.sendall(bytes(3))

    from threading import Thread

    thread = Thread(target=slow_echo)
    thread.start()
    with Peer(*listener.getsockname()) as peer:
        assert 50 <= peer.exchange_ms(1, 3) < 500
    thread.join()
    listener.close()


def test_the_server_survives_strangers():
    with serving_in_background() as address:
        with socket.create_connection(address) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert stranger.recv(10) == b""  # hung up on
        with Peer(*address) as peer:
            assert peer.exchange_ms(10, 10) > 0


def test_a_peer_that_is_gone_is_said():
    with serving_in_background() as address:
        pass
    with pytest.raises(BprrError, match="no answer"):
        Peer(*address)
    for text in ("host", "host:", ":1", "host:0", "host:99999", "host:x"):
        with pytest.raises(InputError, match="host:port"):
            parse_address(text)


def test_network_command_writes_a_trace_without_the_peers_name(tmp_path, capsys):
    with serving_in_background() as (host, port):
        arguments = ["measure-network", "--peer", f"{host}:{port}", "--repeats", "10"]
        assert main([*arguments, "--bulk-mb", "0.1", "-o", str(tmp_path)]) == 0
    assert "observations" in capsys.readouterr().out
    written = "".join(file.read_text(encoding="utf-8") for file in tmp_path.iterdir())
    assert host not in written


# --- the command line ---------------------------------------------------------------------------


def test_measuring_without_torch_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["measure", "--quick"]) == 2
    assert "make measure-env" in capsys.readouterr().err


def test_default_folder_is_a_plain_name():
    assert default_folder("cuda", "NVIDIA A100 80GB (PCIe)").as_posix() == (
        "data/traces/cuda-nvidia-a100-80gb-pcie"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["measure", "--blocks", "0"],
        ["measure", "--seed", "-1"],
        ["measure-network", "--peer", "here:1", "--repeats", "0"],
        ["measure-network", "--peer", "here:1", "--bulk-mb", "nan"],
        ["fit", "nowhere", "-o", "out", "--memory-gb", "-3"],
    ],
)
def test_numbers_of_the_command_line_have_ranges(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert arguments[-2] in capsys.readouterr().err


def test_more_bytes_than_the_server_answers_are_refused(capsys):
    assert main(["measure-network", "--peer", "here:1", "--bulk-mb", "1e6"]) == 2
    assert "--bulk-mb" in capsys.readouterr().err
