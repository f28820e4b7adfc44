"""After a plan: what was seen, and a swarm that has changed."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from bprr.commands.main import main
from bprr.ground.errors import InputError
from bprr.plan.calibrate import Calibration, read_calibration, read_plan, sessions_of, token_ms
from bprr.plan.folder import PLAN, write_folder

from .test_plan import MODEL, SERVERS, planned

TRUTH = {"NVIDIA GeForce RTX 4090": 1.6, "NVIDIA L4": 0.8}
OVERHEAD_MS = 16.0


@pytest.fixture
def folder(capsys, tmp_path):
    """A plan of four servers, two clients."""
    path = tmp_path / "servers.csv"
    path.write_text(f"{SERVERS}d,NVIDIA L4,24,London\n", encoding="utf-8")
    asked = (*MODEL, "--clients", "Paris;London", "-o", tmp_path / "plan")
    assert planned(capsys, path, *asked)[0] == 0
    return tmp_path / "plan"


def log_of(folder, path, noise, as_json=False):
    """Sessions that machines of other speeds would have left."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(5)
    rows = []
    for number in range(40):
        chain = plan["chains"][number % 2]
        token_ms = sum(
            hop["network_ms"]["value"] - 8 + OVERHEAD_MS
            + TRUTH[plan["placement"][hop["server"]]["gpu"]] * hop["computing_ms"]["value"]
            for hop in chain["hops"]
        ) * rng.lognormal(0, noise)  # fmt: skip
        start, tokens = 10.0 * number, int(rng.integers(20, 200))
        first = start + 2.0
        names = [hop["name"] for hop in chain["hops"]]
        rows.append(
            {
                "start": start, "first_token": first, "tokens": tokens,
                "end": first + token_ms * (tokens - 1) / 1000,
                "chain": names if as_json else " > ".join(names), "client": chain["place"],
            }
        )  # fmt: skip
    if as_json:
        text = "\n".join(map(json.dumps, rows))
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        text = "\n".join(lines)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_calibration_finds_what_was_planted(capsys, folder, tmp_path, as_json):
    log, output = tmp_path / "log", tmp_path / "calibration.yaml"
    log_of(folder, log, 0.03, as_json)
    assert main(["calibrate", str(log), "--plan", str(folder), "-o", str(output)]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()[1:]}
    before, after = (float(lines[word][2].rstrip("%")) for word in ("before", "after"))
    assert before > 15 and after < 5
    told = ["calibrate", str(log), "--plan", str(folder), "-o", str(tmp_path / "again"), "--json"]
    assert main(told) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["before"]["median"] == pytest.approx(before / 100, abs=1e-3)
    assert told["calibration"] == read_calibration(output).model_dump(mode="json")
    found = read_calibration(output)
    for gpu, (low, value, high) in found.devices.items():
        assert low < value < high
        assert value == pytest.approx(TRUTH[gpu], rel=0.15)
    servers = folder.parent / "servers.csv"
    _, plan = planned(capsys, servers, *MODEL, "--clients", "Paris;London", "--calibration", output)
    grades = {server["gpu"]: server["tau_ms"]["grade"] for server in plan["placement"]}
    assert {grades[gpu] for gpu in found.devices} == {"calibrated"}


def test_a_log_that_is_not_of_the_plan_is_refused(capsys, folder, tmp_path):
    log = tmp_path / "log.csv"
    log_of(folder, log, 0.0)
    text = log.read_text(encoding="utf-8")
    for wrong in (text.replace(" > b", " > nobody"), text.replace("Paris", "Rome"), text[:200]):
        log.write_text(wrong, encoding="utf-8")
        assert main(["calibrate", str(log), "--plan", str(folder), "-o", str(tmp_path / "c")]) == 2
        assert not (tmp_path / "c").exists()


def test_sessions_by_hand(folder, tmp_path):
    """Times in ms of what a log has in s; sessions of one token say nothing of further ones."""
    plan, path = read_plan(folder), tmp_path / "log"
    row = {"start": 2, "first_token": 3.5, "end": 5.5, "tokens": 5, "client": "London"}
    found = sessions_of([(2, row)] * 8 + [(3, {**row, "tokens": 1})], plan, path)
    assert len(found) == 8  # as few as are enough
    assert (found[0].ttft_ms, found[0].token_ms) == (1500.0, 500.0)
    assert found[0].chain == plan.chains[1]
    nowhere = {key: value for key, value in row.items() if key != "client"}
    assert sessions_of([(2, nowhere)] * 8, plan, path)[0].chain == plan.chains[0]
    with pytest.raises(InputError) as refused:
        sessions_of([(2, row)] * 7, plan, path)
    assert refused.value.key == "rows"
    sole = {**row, "first_token": 5.5}  # all at once
    assert sessions_of([(2, sole)] * 8, plan, path)[0].token_ms == 0
    for key, value in {
        "start": 3.5, "first_token": 6, "end": 1e15, "tokens": True, "client": "Rome",
    }.items():  # fmt: skip
        with pytest.raises(InputError) as refused:
            sessions_of([(2, {**row, key: value})] * 8, plan, path)
        assert refused.value.key in (key, "start")
    for value in (None, "3", [3], float("nan"), -1e15, 0):
        with pytest.raises(InputError):
            sessions_of([(2, {**row, "tokens": value})] * 8, plan, path)


def test_chains_by_hand(folder, tmp_path):
    """Named servers to the ends of what they host, at their own times per block."""
    plan, path = read_plan(folder), tmp_path / "log"
    row = {"start": 0, "first_token": 1, "end": 2, "tokens": 2, "client": "Paris"}
    names = [hop.name for hop in plan.chains[0].hops]
    (along, *_) = sessions_of([(2, {**row, "chain": names})] * 8, plan, path)
    assert [hop.blocks for hop in along.chain.hops] == [hop.blocks for hop in plan.chains[0].hops]
    for each in along.chain.hops:
        tau_ms = plan.placement[each.server].tau_ms.value
        assert each.computing_ms.value == pytest.approx(tau_ms * each.blocks)
    whole = sum(hop.network_ms.value + hop.computing_ms.value for hop in along.chain.hops)
    assert token_ms(plan, along) == pytest.approx(whole)
    gpus = {plan.placement[hop.server].gpu: (1.0, 2.0, 3.0) for hop in along.chain.hops}
    doubled = Calibration(hop_overhead_ms=(1.0, 10.0, 20.0), devices=gpus)
    more = sum(10 - 8 + hop.computing_ms.value for hop in along.chain.hops)
    assert token_ms(plan, along, doubled) == pytest.approx(whole + more)
    for wrong in (names[:1], names[::-1], [*names, names[0]]):
        with pytest.raises(InputError) as refused:
            sessions_of([(2, {**row, "chain": wrong})] * 8, plan, path)
        assert refused.value.key == "chain"


def replanned(capsys, folder, servers, text, *more):
    servers.write_text(text, encoding="utf-8")
    capsys.readouterr()
    status = main(["replan", str(folder), "--swarm", str(servers), "--json", *more])
    assert status == 0
    return json.loads(capsys.readouterr().out)


def test_a_swarm_as_it_was_stays_as_it_is(capsys, folder, tmp_path):
    text = (tmp_path / "servers.csv").read_text(encoding="utf-8")
    told = replanned(capsys, folder, tmp_path / "new.csv", text)
    assert told["advice"] == "stay" and told["stay_gb"] == 0
    old = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert [s["block_indices"] for s in told["plan"]["placement"]] == [
        s["block_indices"] for s in old["placement"]
    ]


def test_a_lost_server_is_made_up_for_by_few_moves(capsys, folder, tmp_path):
    text = (tmp_path / "servers.csv").read_text(encoding="utf-8")
    less = "\n".join(line for line in text.splitlines() if not line.startswith("a,")) + "\n"
    told = replanned(capsys, folder, tmp_path / "new.csv", less)
    hosted = set()
    for server in told["plan"]["placement"]:
        first = server["first_block"]
        hosted |= set(range(first, first + server["blocks"]))
    assert hosted == set(range(1, 81))


def test_small_changes_back_and_forth_move_nothing(capsys, folder, tmp_path):
    """Distances that change by a fifth, each plan made from the one before it."""
    rtt = tmp_path / "rtt.csv"
    text = (tmp_path / "servers.csv").read_text(encoding="utf-8")
    where = folder
    for number, factor in enumerate((1.0, 1.2, 0.85, 1.2, 0.85)):
        rtt.write_text(
            f"from,to,rtt_ms\nParis,Paris,2\nLondon,London,2\nParis,London,{12 * factor}\n"
        )
        after = tmp_path / f"after-{number}"
        told = replanned(
            capsys, where, tmp_path / "new.csv", text, "--rtt", str(rtt), "--hysteresis", "0.1"
        )
        assert told["advice"] == "stay" and told["stay_gb"] == 0
        after.mkdir()
        (after / "plan.json").write_text(json.dumps(told["plan"]), encoding="utf-8")
        where = after


def test_a_much_better_machine_is_worth_a_move_if_it_pays(capsys, folder, tmp_path):
    text = (tmp_path / "servers.csv").read_text(encoding="utf-8")
    better = text + "e,NVIDIA H100 80GB HBM3,80,Paris\n"
    told = replanned(capsys, folder, tmp_path / "new.csv", better)
    assert told["advice"] == "stay" and told["stay_gb"] > 0  # the newcomer alone brings it all
    now = text.replace("NVIDIA GeForce RTX 4090,24", "NVIDIA H200,141")
    for seconds, advice in (("1", "move"), ("1e5", "stay")):
        told = replanned(capsys, folder, tmp_path / "new.csv", now, "--seconds-per-gb", seconds)
        assert told["advice"] == advice, told["because"]


EXAMPLES = ("four-cities", "university", "health-monitor")


def same(ours, theirs, where=""):
    """Equal, numbers to a thousandth."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            same(one, other, f"{where}[{number}]")
    elif isinstance(theirs, float) and ours is not None:
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-9), where
    else:
        assert ours == theirs, where


NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def same_words(ours, theirs, where):
    """The same text, numbers to a hundredth and with as many places."""
    assert NUMBER.split(ours) == NUMBER.split(theirs), where
    for one, other in zip(NUMBER.findall(ours), NUMBER.findall(theirs), strict=True):
        if one != other:
            near, far = (float(each.replace(",", "")) for each in (one, other))
            assert near == pytest.approx(far, rel=0.01, abs=0.2), f"{where}: {one}, not {other}"
            places = (len(each.partition(".")[2]) for each in (one, other))
            assert abs(next(places) - next(places)) <= 1, f"{where}: {one}, not {other}"


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_what_the_code_plans(root, tmp_path, monkeypatch, name):
    table = (root / "examples/README.md").read_text(encoding="utf-8")
    (line,) = (line for line in table.splitlines() if line.startswith(f"| `{name}`"))
    words = shlex.split(line.rpartition("| `bprr ")[2].rstrip("` |"))
    monkeypatch.chdir(root / "examples" / name)
    words[words.index("-o") + 1] = str(tmp_path / "plan")
    assert main(words) == 0
    kept = root / "examples" / name / "plan"
    ours, theirs = (
        json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        for folder in (tmp_path / "plan", kept)
    )
    same(ours, theirs)
    for path in kept.rglob("*.*"):
        made = tmp_path / "plan" / path.relative_to(kept)
        if path.name in ("plan.md", "plan.html"):
            same_words(*(each.read_text(encoding="utf-8") for each in (made, path)), str(path))
        elif path.name != "plan.json":
            assert made.read_bytes() == path.read_bytes()


def test_a_plan_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    folder, rename = tmp_path / "plan", Path.rename
    write_folder(folder, {PLAN: "old"})

    def fails(path, target):
        if path.name.endswith(".unfinished"):
            raise OSError("no room")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises((OSError, InputError)):
        write_folder(folder, {PLAN: "new"})
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]
    assert (folder / PLAN).read_text() == "old"
