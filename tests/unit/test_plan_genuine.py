"""Routes that genuine PETALS took on the testbed, against the one that a plan explains."""

import csv
import json

import numpy as np
import pytest

from bprr.ground.swarm import Device, LanguageModel
from bprr.plan.explain import explained, hosted
from bprr.plan.goal import Wish
from bprr.plan.machines import Inventory, Machine
from bprr.plan.models import Served
from bprr.plan.problem import problem_of

CLIENTS = ("cluster0", "cluster1", "cluster2")
KINDS = ("mig_clustered",) * 4 + ("a100_clustered",) * 2
TWINS = {3: 0}  # the same device in the same cluster, which came to host the same blocks


@pytest.fixture(scope="module")
def testbed(root):
    folder = root / "data/traces/testbed"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    with (folder / "requests.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "petals" and row["chain"]]
    return manifest, rows


def written_rtt(rtt_ms, path):
    """Round trips as measured by clients; between servers, of their clusters."""
    home = np.argmin(rtt_ms, axis=0)
    lines = ["from,to,rtt_ms"]
    for server, cluster in enumerate(home):
        lines += [f"{name},s{server},{rtt_ms[c, server]}" for c, name in enumerate(CLIENTS)]
        lines += [
            f"s{server},s{other},{5.5 if there == cluster else 100.6}"
            for other, there in enumerate(home)
            if other != server
        ]
    path.write_text(
        "\n".join([*lines, *(f"{a},{b},100" for a in CLIENTS for b in CLIENTS if a < b)])
    )


def test_explain_names_the_routes_of_genuine_petals(configuration, testbed, tmp_path):
    manifest, rows = testbed
    profile, spans = manifest["profile"], manifest["placements"]["table/petals"]["measured"]
    written_rtt(np.array(profile["rtt_ms"]), tmp_path / "rtt.csv")
    published = configuration.all_devices
    devices = {
        name: Device(
            tau_ms=tau_ms, prefill_ms=1.0, memory_gb=10.0, forward_rps=1e3, network_rps=1e3,
            inference_rps=1000 / published[name].tau_ms,  # as the testbed's servers announce
        )
        for name, tau_ms in profile["tau_ms"].items()
    }  # fmt: skip
    machines = []
    for server, kind in enumerate(KINDS):
        first, last = spans[str(server)]
        machines.append(
            Machine(f"s{server}", kind, place=f"s{server}", span=(first - 1, last - first + 1))
        )
    own = configuration.model_copy(update={"device_files": [], "devices": devices})
    model = LanguageModel(name="stand_in", blocks=14, d_model=64, block_gb=0.5)
    wish = Wish(clients=CLIENTS, input_tokens=8, output_tokens=16, reserve_gb=0.0)
    inventory = Inventory(tmp_path, tuple(machines))
    problem = problem_of(inventory, wish, Served(model), own, tmp_path / "rtt.csv")
    exact = twins = 0
    for row in rows:
        route = explained(problem, hosted(problem), CLIENTS.index(row["client"])).petals
        taken = [int(part.partition(":")[0]) for part in row["chain"].split()]
        exact += taken == route.servers.tolist()
        twins += [TWINS.get(server, server) for server in taken] == route.servers.tolist()
    assert len(rows) > 100
    assert exact / len(rows) > 0.8
    assert twins / len(rows) > 0.95
