"""What commands say to people is as recorded; of a machine, its speed and its folders nothing.

After a change that is meant: `python tests/golden/test_said.py && git diff tests/golden/said`.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from bprr.commands.main import main, parser
from bprr.ground.storage import write_table
from bprr.settings.configuration import load_settings

ROOT = Path(__file__).parents[2]
RECORDS = Path(__file__).with_name("said")
SCENARIO = "config/scenarios/clustered.yaml"
SMALL = ["--set", "workload.requests=6", "--runs", "2"]
MASKS = {
    r"in \d+\.\d+ s by \S+ .*": "in … s by …",  # of a solver and its version
    r"HiGHS \S+ in \S+ s": "HiGHS … in … s",
    r"in \d+\.\d+ s: ": "in … s: ",
    r'"seconds": [^,]+': '"seconds": …',
    r'"gap": [\d.]+e-1\d': '"gap": 0',
    r"\d+ sweeps with \d+ points": "… sweeps with … points",
}
SWEEP = """
runs: 1
sweeps:
  mine:
    title: Mine
    scenario: clustered
    topologies: [cluster0]
    axes: {workload.output_tokens: {cluster0: [64, 2000]}}
    set: {workload.requests: 5}
    methods: [petals, proposed]
    delays: [none]
"""
SERVED = """
  served:
    title: Served
    scenario: scattered
    topologies: [abovenet]
    axes: {workload.rate_per_s: {abovenet: [0.02, 0.1]}}
    set: {workload.requests: 15, admission: central_queue, service: serial}
    methods: [petals, pipe, two_resource]
    delays: [none]
"""
MACHINES = """name,gpu,memory_gb,place,inference_rps,network_rps,relay,blocks
a,NVIDIA GeForce RTX 4090,24,Paris,,,,0:40
b,NVIDIA GeForce RTX 4090,24,Paris,300,2000,,40:80
c,NVIDIA L4,24,London,,,yes,
d,NVIDIA GeForce RTX 3090,24,Frankfurt,,,,60:80
e,NVIDIA L4,,London,,500,no,0:20
"""
RTT = """from,to,rtt_ms,mbit_per_s
Paris,Paris,2,400
Paris,London,12,90
Paris,Frankfurt,14,300
London,London,3,200
London,Frankfurt,17,100
Frankfurt,Frankfurt,1,1000
"""


def explain(folder: Path) -> list[list[str]]:
    return [
        ["explain", f"config/swarms/{path.name}"]
        for path in sorted(Path("config/swarms").glob("*.yaml"))
    ]


def plan(folder: Path) -> list[list[str]]:
    machines, rtt = folder / "machines.csv", folder / "rtt.csv"
    machines.write_text(MACHINES, encoding="utf-8")
    rtt.write_text(RTT, encoding="utf-8")
    one = ["plan", str(machines), "--model", "meta-llama/Meta-Llama-3-70B", "--prove", "0"]
    one += ["--quant", "nf4", "--sessions", "20"]
    changes = ["--what-if=-b", "--what-if", "+2xL4@Paris", "--what-if", "+A100@Rome"]
    goals = ["--slo", "token=400ms@p95,ttft=9s,token=1ms"]
    ring = ["--forwarding", "ring", "--speculation", "chain:acceptance=0.6,drafts=3"]
    rate = ["--rate", "0.05", "--clients", "Paris;London"]
    own = ["--rtt", str(rtt)]
    return [
        [*one, "--clients", "Paris;London", *changes, "-o", f"{folder}/alone"],
        ["cat", f"{folder}/alone/plan.md"],
        [*one, *own, *rate, *goals, "-o", f"{folder}/rate"],
        ["cat", f"{folder}/rate/plan.md"],
        ["cat", f"{folder}/rate/rtt.csv"],
        ["cat", f"{folder}/rate/servers/b/config.yml"],
        ["cat", f"{folder}/rate/docker-compose.yml"],
        [*one, *own, *ring, "--clients", "London"],
        [*one, *rate, "--objective", "throughput", "--engine", "fused", "--mbit", "300"],
        [
            *one,
            "--wire-bytes",
            "1",
            "--hop-overhead",
            "6",
            "--reserve-gb",
            "0",
            "--block-gb",
            "0.5",
        ],
        ["plan", "explain", *one[1:], "--client", "London"],
        ["plan", "explain", *one[1:], *own],
    ]


def plan_refused(folder: Path) -> list[list[str]]:
    """What is wrong of the machines, of round trips and of what is asked for."""
    machines, rtt = folder / "machines.csv", folder / "rtt.csv"
    machines.write_text(MACHINES, encoding="utf-8")
    rtt.write_text(RTT, encoding="utf-8")
    one = ["plan", str(machines), "--model", "meta-llama/Meta-Llama-3-70B", "--quant", "nf4"]
    found = [
        [*one, "--rate", "0.05", "--trace", str(rtt)], [*one, "--objective", "latency-at-rate"],
        [*one, "--rate", "1e-9"], [*one, "--until-slo"],
        [*one, "--speculation", "magic"], [*one, "--speculation", "chain:drafts"],
        [*one, "--slo", "ttft=0s"], [*one, "--slo", "token=5"], [*one, "--rtt", f"{folder}/none"],
        [*one, "--rtt", str(rtt), "--clients", "Rome"], [*one, "--clients", "91,0"],
        [*one, "--clients", "London, XX"], [*one, "--clients", "aws:eu-west-33"],
        [*one, "--what-if", "Paris"], [*one, "--what-if", "+9xTPU@Paris"], [*one, "--what-if=-z"],
        [*one[:3], "Llama-9"], [*one[:3], "llama_2_70b", "--quant", "int8", "--method", "petal"],
    ]  # fmt: skip
    for number, (old, new) in enumerate(
        {
            "c,NVIDIA L4,24,London": "c,NVIDIA L4,24,", "e,NVIDIA L4,": "a,NVIDIA L4,",
            "24,Frankfurt": "-24,Frankfurt", "e,NVIDIA": " ,NVIDIA", "RTX 3090": "RTX 30900",
            "no,0:20": "maybe,0:20", "60:80": "80:60", "relay": "relais", ",300,": ",0,",
        }.items()
    ):  # fmt: skip
        wrong = folder / f"machines{number}.csv"
        wrong.write_text(MACHINES.replace(old, new), encoding="utf-8")
        found.append(["plan", str(wrong), *one[2:]])
    return found


def replan(folder: Path) -> list[list[str]]:
    machines, now, less = (folder / f"{name}.csv" for name in ("machines", "now", "less"))
    machines.write_text(MACHINES, encoding="utf-8")
    now.write_text(MACHINES.replace("RTX 4090,24", "H200,141"), encoding="utf-8")
    less.write_text(
        MACHINES.replace("\na,", "\nz,").replace("24,Paris", "9,Paris"), encoding="utf-8"
    )
    log, rows = folder / "log.csv", ["start,first_token,end,tokens,client"]
    rows += [f"{n}0,{n}2,{n}{3 + n % 3}.{n % 7},{11 + n % 2},Paris" for n in range(1, 14)]
    log.write_text("\n".join([*rows, "200,201,202,1,Paris"]), encoding="utf-8")
    model = ["--model", "meta-llama/Meta-Llama-3-70B", "--quant", "nf4", "--prove", "0"]
    old = f"{folder}/plan"
    return [
        ["plan", str(machines), *model, "--clients", "Paris", "-o", old],
        ["replan", old, "--swarm", str(machines)],
        ["replan", old, "--swarm", str(now), "--seconds-per-gb", "1", "-o", f"{folder}/new"],
        ["replan", old, "--swarm", str(now), "--horizon", "0.001"],
        ["replan", old, "--swarm", str(less)],
        ["calibrate", str(log), "--plan", old, "-o", f"{folder}/calibration.yaml"],
        ["cat", f"{folder}/calibration.yaml"],
        ["plan", str(machines), *model, "--calibration", f"{folder}/calibration.yaml"],
    ]


def wan(folder: Path) -> list[list[str]]:
    return [
        ["wan", "-o", f"{folder}/wan.csv"],
        ["some", f"{folder}/wan.csv"],
        ["wan"],
        ["wan", "--json"],
    ]


def simulate(folder: Path) -> list[list[str]]:
    chosen = ["--method", "petals", "--method", "proposed"]
    return [
        ["simulate", SCENARIO, *SMALL, *chosen, "-o", f"{folder}/requests.parquet"],
        ["simulate", SCENARIO, *SMALL, "--method", "proposed", "--slo-per-token", "0.5"],
    ]


def methods(folder: Path) -> list[list[str]]:
    """Where every method of the settings puts blocks and sends sessions, idle and crowded."""
    entries = load_settings().methods
    slow = ("best", "offloading_ssd")  # tried out by simulations; as without the SSD
    still = [
        f"--method={name}"
        for name, each in entries.items()
        if each.replacement is None and name not in slow
    ]
    swarm = ["simulate", "scattered", "--set", "fleet.servers=10", "--runs", "1"]
    swarm += ["--set", "network.name=bellcanada", "--set", "clients=3"]
    queued = ["--set", "admission=central_queue", "--set", "workload.requests=40"]
    crowd = ["--set", "workload.rate_per_s=4", "--set", "workload.output_tokens=512"]
    loads = [
        [*crowd, "--set", "workload.requests=90"],
        [*queued, "--set", "workload.rate_per_s=.1", "--set", "service={serial: {prompt: block}}"],
        [*queued, *crowd, "--set", "service={batched: {beta_share: 0.3}}"],
    ]
    return [[*swarm, *load, *still] for load in loads]


def as_json(folder: Path) -> list[list[str]]:
    """What commands tell programs, numbers to six digits."""
    chosen = ["--method", "petals", "--method", "proposed"]
    goals = ["--slo-per-token", "1.5", "--slo-ttft", "4"]
    churn, tiny = folder / "churn.csv", ["--set", "fleet.servers=2"]
    churn.write_text("time_s,server,event\n20,0,fail\n60,0,join\n", encoding="utf-8")
    lives = ["--set", f"churn={{trace: {{file: {churn}}}}}", "--method", "proposed"]
    lives += ["--set", "replacement={periodic: {every_s: 30}}", "--set", "workload.requests=20"]
    busy = [
        "--set",
        "workload.rate_per_s=20",
        "--set",
        "service=serial",
        "--set",
        "admission=retry",
    ]
    few = ["--least-requests", "2000", "--most-requests", "4000", "--within", "0.5"]
    return [
        ["simulate", SCENARIO, *SMALL, *chosen, *goals, "--json"],
        ["simulate", SCENARIO, *SMALL, *busy, *chosen, "--json"],
        ["simulate", "scattered", *SMALL, *tiny, *chosen, "--json"],
        ["simulate", "scattered", "--runs", "1", *lives, "--json"],
        ["capacity", SCENARIO, "--method", "proposed", *few, "--json"],
        ["check", SCENARIO, "--json"],
        ["explain", "config/swarms/ring.yaml", "--json"],
    ]


def solve(folder: Path) -> list[list[str]]:
    return [
        *(["solve", SCENARIO, "--requests", number] for number in ("2", "500")),
        ["solve", "scattered", "--objective", "throughput", "--set", "fleet.servers=6"],
        ["solve", "scattered", "--objective", "throughput", "--set", "fleet.servers=6", "--json"],
        ["solve", SCENARIO, "--set", "block_cap={a100: 3}", "--requests", "1"],
    ]


def check(folder: Path) -> list[list[str]]:
    return [["check"], ["check", SCENARIO]]


def sweep(folder: Path) -> list[list[str]]:
    (folder / "mine.yaml").write_text(SWEEP, encoding="utf-8")
    (folder / "none.yaml").write_text(SWEEP.replace("requests: 5", "requests: 5, fleet.servers: 2"))
    command = ["sweep", "mine", "cluster0", "--config"]
    table = f"{folder}/mine.parquet"
    none = [*command, f"{folder}/none.yaml", "-o", f"{folder}/none.parquet"]
    return [[*command, f"{folder}/mine.yaml", "-o", table], ["cat", table], none]


def verify(folder: Path) -> list[list[str]]:
    cases = json.loads((ROOT / "tests/golden/cases.json").read_text(encoding="utf-8"))["cases"]
    first = {case["kind"]: case for case in reversed(cases)}
    chosen = [first["cg_bp"], first["petals_place"]]
    (folder / "good.json").write_text(json.dumps({"cases": chosen}), encoding="utf-8")
    text = json.dumps({"cases": chosen})
    wrong = json.loads(text)
    wrong["cases"][0]["output"]["soln_val"] = 1.5 * wrong["cases"][0]["output"]["soln_val"]
    (folder / "wrong.json").write_text(json.dumps(wrong), encoding="utf-8")
    return [["verify", "golden", f"{folder}/{name}.json"] for name in ("good", "wrong")]


def manifest(folder: Path) -> list[list[str]]:
    one, other = folder / "one.csv", folder / "other.csv"
    one.write_text("1", encoding="utf-8")
    other.write_text("2", encoding="utf-8")
    first, second = f"{folder}/first.json", f"{folder}/second.json"
    return [
        ["manifest", str(one), str(other), "-o", first],
        ["manifest", str(one), "-o", second],
        ["manifest", "--compare", first, first],
        ["manifest", "--compare", first, second],
    ]


def provenance(folder: Path) -> list[list[str]]:
    path = folder / "a.parquet"
    write_table(pd.DataFrame({"a": [1]}), path, {"seed": 7}, "0123")
    return [["provenance", str(path)], ["provenance", f"{folder}/none.parquet"]]


def runs_of_the_testbed(folder: Path) -> list[list[str]]:
    """Of the shipped runs."""
    actions = ("report", "load-report", "plan-report", "frames-report", "rivals-report")
    return [["testbed", action] for action in actions]


def fit(folder: Path) -> list[list[str]]:
    found = []
    for name in ("cpu-amd-epyc", "cpu-amd-epyc-again"):
        own = folder / name
        found.append(["fit", f"data/traces/{name}/trace.csv", "-o", str(own), "--seed", "3"])
        found += [["cat", f"{own}/device.yaml"], ["cat", f"{own}/model.yaml"]]
        found.append(["some", f"{own}/points.csv"])
    network = ["--network", "data/traces/cpu-amd-epyc/trace.csv", "--memory-gb", "7"]
    return [*found, ["fit", "data/traces/cpu-amd-epyc", "-o", f"{own}", *network, "--name", "mine"]]


def model(folder: Path) -> list[list[str]]:
    path = "tests/cases/example/Qwen3-32B/config.json"
    return [["model", path], ["model", path, "--name", "My Own", "-o", f"{folder}/own.yaml"]]


def capacity(folder: Path) -> list[list[str]]:
    few = ["--least-requests", "2000", "--most-requests", "4000", "--within", "0.5"]
    chosen = ["--method", "proposed", *few]
    tiny = ["config/scenarios/scattered.yaml", "--set", "fleet.servers=2"]
    return [["capacity", SCENARIO, *chosen], ["capacity", *tiny, *chosen]]


def bounds(folder: Path) -> list[list[str]]:
    (folder / "mine.yaml").write_text(SWEEP + SERVED, encoding="utf-8")
    command = ["bounds", "mine", "cluster0", "--config", f"{folder}/mine.yaml"]
    table = f"{folder}/bounds.parquet"
    return [
        [*command, "-o", table],
        ["cat", table],
        ["bounds", "served", "abovenet", *command[3:], "--waiting", "15", "-o", table],
        ["cat", table],
    ]


def theory(folder: Path) -> list[list[str]]:
    return [["theory", "-o", f"{folder}/theory.parquet"], ["cat", f"{folder}/theory.parquet"]]


SAID: dict[str, Callable[[Path], list[list[str]]]] = {
    each.__name__: each
    for each in (
        explain,
        plan,
        plan_refused,
        replan,
        wan,
        simulate,
        solve,
        check,
        sweep,
        verify,
        manifest,
        provenance,
        fit,
        model,
        capacity,
        bounds,
        theory,
        as_json,
        methods,
        runs_of_the_testbed,
    )
}


def arguments_of(command: argparse.ArgumentParser) -> Iterator[str]:
    """Every command, and under it what it takes: how it is given, what it means, its default."""
    run = command.get_default("run")
    yield f"{command.prog}: {run.__module__}.{run.__name__}" if run else command.prog
    inner: list[argparse.ArgumentParser] = []
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner += action.choices.values()
            continue
        about = {
            "kind": type(action).__name__.strip("_").removesuffix("Action"),
            "type": getattr(action.type, "__name__", action.type),
            "nargs": action.nargs,
            "const": action.const,
            "default": "" if action.default is argparse.SUPPRESS else action.default,
            "required": action.required,
            "choices": action.choices and sorted(action.choices),
            "metavar": action.metavar,
        }
        given = [f"{key} {value}" for key, value in about.items() if value not in (None, False, "")]
        name = " ".join(action.option_strings) or action.dest
        text = " ".join((action.help or "").split())
        yield f"    {name}: {', '.join(given)}: {text}"
    for each in inner:
        yield from arguments_of(each)


def arguments() -> str:
    return "\n".join([*arguments_of(parser()), ""]).replace(str(ROOT), "HERE")


def test_arguments_are_as_recorded() -> None:
    kept = (RECORDS / "arguments.txt").read_text(encoding="utf-8")
    changes = difflib.unified_diff(kept.splitlines(), arguments().splitlines(), n=0, lineterm="")
    assert not list(changes)


def written(path: Path) -> str:
    """A file; of a table its numbers to six digits."""
    if path.suffix != ".parquet":
        return path.read_text(encoding="utf-8")
    return pd.read_parquet(path).to_csv(index=False, float_format="%.6g", lineterminator="\n")


def shortened(text: str) -> str:
    """JSON with numbers of six digits, a line each."""
    told = json.loads(text, parse_float=lambda number: float(f"{float(number):.6g}"))
    return json.dumps(told, indent=1, ensure_ascii=False)


def record(name: str, folder: Path) -> str:
    lines = []
    for command in SAID[name](folder):
        if command[0] in ("cat", "some"):  # of a file that was written
            text = written(Path(command[1]))
            if command[0] == "some":
                text = "\n".join(text.splitlines()[::50])
            lines += [f"$ {' '.join(command)}", text, ""]
            continue
        said, errors = io.StringIO(), io.StringIO()  # progress goes to the latter too
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
            status = main(command)
        told = shortened(said.getvalue()) if "--json" in command else said.getvalue()
        text = told + (errors.getvalue() if status else "")
        lines += [f"$ bprr {' '.join(command)}", text.rstrip("\n"), f"exit {status}", ""]
    text = "\n".join(lines)
    for name in (str(folder), str(folder).replace("_", "\\_")):  # the latter in Markdown
        text = text.replace(name, "HERE")
    text = re.sub(r'("packages": \{)[^}]*', r"\1…", text)
    for pattern, short in MASKS.items():
        text = re.sub(pattern, short, text)
    return text


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("name", SAID)
def test_what_is_said_is_as_recorded(name: str, tmp_path: Path) -> None:
    kept = (RECORDS / f"{name}.txt").read_text(encoding="utf-8")
    said = record(name, tmp_path)
    changes = difflib.unified_diff(kept.splitlines(), said.splitlines(), n=0, lineterm="")
    assert not list(changes)


if __name__ == "__main__":
    os.chdir(ROOT)
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / "arguments.txt").write_text(arguments(), encoding="utf-8")
    for one in SAID:
        with tempfile.TemporaryDirectory() as room:
            RECORDS.joinpath(f"{one}.txt").write_text(record(one, Path(room)), encoding="utf-8")
