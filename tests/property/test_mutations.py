"""Damaged files at every door: whatever stands in them, a reader returns or refuses in words.

The mutations are drawn from fixed seeds, one per file and number.
"""

import copy
import json
import random
import signal
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bprr.ground.errors import BprrError
from bprr.ground.results import ARTEFACT, DECOMPOSITION, OPTIMALITY, PUBLISHED, REQUESTS
from bprr.ground.storage import PROVENANCE_KEY, read_provenance, write_table
from bprr.ground.tables import read_csv, read_table
from bprr.report.claims import load_claims
from bprr.report.discrepancies import load_register
from bprr.report.manifest import read_manifest
from bprr.scenario.scenario import load_scenario
from bprr.scenario.topologies import read_repetita, read_tables
from bprr.settings.configuration import load_settings
from bprr.settings.yaml_file import read_yaml
from bprr.study.summary import run_means
from tests.unit.traces import replay

MUTATIONS = 24  # of each file, read by each of its readers
CPU_S = 2.0  # none may take longer

SPECIAL = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b[2J", b"\r", b"\n\n", b"\t"),
    *(b"1e999", b"-1", b"0", b"nan", b"inf", b"1e15", b"9" * 5000, b"0x1F", b"1_000", b"4090:"),
    *(b"[" * 3000, b"{a: " * 3000, b"- " * 3000, b"&a ", b"*a", b"!!python/name:os.system ", b"? "),
    *(b"<<: ", b"2024-99-99", b"12:30:99", b"yes", b"~", b"null", b'"', b"'", b"|", b"%TAG ! x"),
    *(b",", b";", b":", b",,,,", b"a" * 10_000, b"true", b"{}", b"[]", b"\\u0000", b"---\n"),
)

GRAPH = b"""NODES 3
label x y
0_Oslo 10.75 59.91
1_Rome 12.48 41.89
2_Kiev 30.52 50.45

EDGES 4
label src dest weight bw delay
edge_0 0 1 10 1000 2000
edge_1 1 0 10 1000 2000
edge_2 1 2 10 1000 500
edge_3 2 1 10 1000 500
"""
TRACE = b"""TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:48.1805900,879,55
"""
SECONDS = b"timestamp,input_tokens,output_tokens\n10.5,20,128\n11,30,64\n12.25,5,1\n"
STEPS = b"""topology,x,allocation_delays,order,step,share,ratio,runs
abovenet,0.5,published,one,placement,-0.25,0.75,50
abovenet,0.5,published,one,routing,,,50
"""
MANIFEST = json.dumps({"files": {"a.csv": "0" * 64}, "packages": {"bprr": "1"}, "source": "ab"})


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content after one to three mutations."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(content) + 1)
        end = min(start + chance.choice((1, 2, 8, 40, 400)), len(content))
        piece = content[start:end]
        numbers = [place for place in range(len(content)) if content[place : place + 1].isdigit()]
        at = chance.choice(numbers) if numbers else start
        content = chance.choice(
            (
                content[:start] + content[end:],
                content[:start] + piece * 3 + content[end:],
                content[:start],
                content[:start] + chance.choice(SPECIAL) + content[start:],
                content[:start] + chance.randbytes(len(piece)) + content[end:],
                content[:at] + chance.choice(SPECIAL) + content[at + 1 :],
            )
        )
    return content


@contextmanager
def bounded():
    """End what takes too much processor time, as a hang would."""

    def too_long(*_):
        raise AssertionError(f"more than {CPU_S} s")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def outcome(read, path):
    """``read`` or ``refused``; any other exception is the reader's fault."""
    with bounded():
        try:
            read(path)
        except BprrError as error:
            lines = str(error).splitlines()
            assert all(line.isprintable() for line in lines)
            assert max(map(len, lines)) < 5_000
            return "refused"
    return "read"


TEXTS = {
    "mine.yaml": ("config/default.yaml", [load_settings]),
    "smoke.yaml": ("config/smoke.yaml", [load_settings]),
    "scattered.yaml": ("config/scenarios/scattered.yaml", [load_scenario]),
    "clustered.yaml": ("config/scenarios/clustered.yaml", [load_scenario]),
    "claims.yaml": ("claims.yaml", [load_claims]),
    "discrepancies.yaml": ("discrepancies.yaml", [load_register]),
    "trace.csv": (TRACE, [lambda path: replay(path, 2)]),
    "seconds.csv": (SECONDS, [lambda path: replay(path, 2, speed=1e-3)]),
    "small.graph": (GRAPH, [read_repetita]),
    "n.nodes.csv": ("data/topologies/abovenet.nodes.csv", [lambda p: read_tables(p.parent, "n")]),
    "n.links.csv": ("data/topologies/abovenet.links.csv", [lambda p: read_tables(p.parent, "n")]),
    "manifest.json": (MANIFEST.encode(), [read_manifest]),
    "results.csv": ("data/published/results.csv", [lambda path: read_csv(path, PUBLISHED)]),
    "sweeps.csv": ("data/published/artefact_sweeps.csv", [lambda path: read_csv(path, ARTEFACT)]),
    "steps.csv": (STEPS, [lambda path: read_csv(path, DECOMPOSITION)]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_damaged_text_is_read_or_refused(at_root, tmp_path, name):
    source, readers = TEXTS[name]
    content = source if isinstance(source, bytes) else (at_root / source).read_bytes()
    path = tmp_path / name
    for part in ("nodes", "links"):
        whole = (at_root / f"data/topologies/abovenet.{part}.csv").read_bytes()
        (tmp_path / f"n.{part}.csv").write_bytes(whole)
    path.write_bytes(content)
    assert {outcome(read, path) for read in readers} == {"read"}
    outcomes = []
    for number in range(MUTATIONS):
        path.write_bytes(damaged(content, random.Random(f"{name} {number}")))
        outcomes += [outcome(read, path) for read in readers]
    assert outcomes.count("refused") > MUTATIONS / 3


ODD = (None, [], {}, "x", "", "a.b", "\0", "../x", -1, 0, 2.5, 1e308, 10**30, True, [[]], [{}])
ODD_NESTED = ({"a": {}}, {"kind": "geo"}, {"cg_bp": None}, {"cg_bp": {"x": 1}}, {"": 1}, [1, "a"])


def places(node, above=()):
    """Every place in nested content."""
    inside = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in inside:
        yield (*above, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*above, key))


YAMLS = [name for name in TEXTS if name.endswith(".yaml")]


@pytest.mark.parametrize("name", YAMLS)
def test_an_odd_value_is_taken_or_refused(at_root, tmp_path, name):
    source, (read,) = TEXTS[name]
    content = read_yaml(at_root / source)
    path = tmp_path / name
    for number in range(2 * MUTATIONS):
        chance = random.Random(f"odd {name} {number}")
        changed = copy.deepcopy(content)
        *parents, last = chance.choice(list(places(changed)))
        node = changed
        for key in parents:
            node = node[key]
        odd = chance.choice(ODD + ODD_NESTED)
        if chance.random() < 0.3 and isinstance(node, dict):
            node[chance.choice(("", "x", "a.b", "9", "name", "file", "kind"))] = odd
        else:
            node[last] = odd
        path.write_text(json.dumps(changed), encoding="utf-8")
        outcome(read, path)


def requests() -> pd.DataFrame:
    """A table of a sweep, with an infeasible run."""
    whole = pd.DataFrame(
        {
            **{"figure": "fig7", "topology": "abovenet", "x": 6.0, "servers": 6, "eta": 0.2},
            **{"rate_per_s": 0.5, "output_tokens": 128, "allocation_delays": "none"},
            **{"method": ["petals"] * 20 + ["proposed"] * 20, "run": [*range(20), *range(20)]},
            **{"requests": 1, "input_tokens": 20, "per_token_ms": 100.0, "ttft_ms": 50.0},
            **{"remaining_per_token_ms": 90.0, "wait_ms": 0.0, "max_concurrent": 1.0},
            **{"design_load": np.nan, "status": "ok"},
        }
    )
    whole.loc[39, ["per_token_ms", "ttft_ms", "wait_ms", "max_concurrent"]] = np.nan
    whole.loc[39, "status"] = "infeasible: not enough GPU memory"
    return whole.astype(dict.fromkeys(("figure", "topology", "method", "status"), "category"))


def plans() -> pd.DataFrame:
    """A table of an offline experiment."""
    return pd.DataFrame(
        {
            **{"family": "clustered", "servers": 9, "clients": 1, "load": [1, 2, 4], "draw": 0},
            **{"method": "optimum", "objective_ms": [508.5, np.nan, 601.0]},
            **{"bound_ms": [508.5, np.inf, 600.0], "above_optimum_percent": [0.0, np.nan, 0.0]},
            "status": ["optimal", "infeasible", "time_limit"],
        }
    )


PARQUETS = {
    "requests": (requests, lambda path: run_means(read_table(path, REQUESTS))),
    "plans": (plans, lambda path: read_table(path, OPTIMALITY)),
}


@pytest.mark.parametrize("name", PARQUETS)
def test_a_damaged_result_is_read_or_refused(tmp_path, name):
    table, read = PARQUETS[name]
    path = tmp_path / f"{name}.parquet"
    write_table(table(), path, {"seed": 1}, "abc")
    content = path.read_bytes()
    assert [outcome(read, path), outcome(read_provenance, path)] == ["read", "read"]
    for number in range(MUTATIONS):
        path.write_bytes(damaged(content, random.Random(f"{name} {number}")))
        outcome(read, path)
        outcome(read_provenance, path)


@pytest.mark.parametrize("name", PARQUETS)
def test_a_result_of_other_columns_is_refused_or_read(tmp_path, name):
    table, read = PARQUETS[name]
    path = tmp_path / f"{name}.parquet"
    values = ("many", -1, np.inf, np.nan, None, True, 10**30, "1" * 5000, [1], b"x", {"a": 1})
    refused = 0
    for number in range(4 * MUTATIONS):
        chance = random.Random(f"{name} {number}")
        changed = table().astype(object)
        column = chance.choice(list(changed.columns))
        match chance.randrange(5):
            case 0:
                changed = changed.drop(columns=column)
            case 1:
                changed = changed.iloc[:0]
            case 2:
                changed[column] = [chance.choice(values)] * len(changed)
            case 3:
                changed[column] = pd.to_datetime(chance.randrange(10**9), unit="s")
            case 4:
                row = chance.randrange(len(changed))
                changed.loc[row, column] = chance.choice((np.nan, np.inf, -1.5, 1e300))
        try:
            changed.to_parquet(path)
        except Exception:  # no file either
            continue
        refused += outcome(read, path) == "refused"
    assert refused > MUTATIONS


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[1]", b"nothing", b"[" * 100_000, b"\xff", b'{"a": ' + b"9" * 5000]
)
def test_a_damaged_provenance_is_refused(tmp_path, record):
    path = tmp_path / "requests.parquet"
    write_table(requests(), path, {"seed": 1}, "abc")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({PROVENANCE_KEY: record}), path)
    assert outcome(read_provenance, path) == "refused"
