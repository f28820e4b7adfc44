"""Policies from outside the package: by an entry point of another one, and by a file."""

import json
import os
import subprocess
import sys

import pytest

from bprr.ground.errors import InputError
from bprr.ground.storage import read_provenance, read_table
from bprr.settings.configuration import load_settings

# Places for a load of its own. What it imports from its own package belongs to it.
PACKAGE = {
    "elsewhere/__init__.py": "",
    "elsewhere/least.py": "LEAST = 1\n",
    "elsewhere/fixed_load.py": """
from pydantic import Field
from bprr.ground.schema import Count, Strict
from bprr.placement.base import PlacementPolicy
from bprr.placement.cg_bp import cg_bp
from elsewhere.least import LEAST

class FixedLoad(PlacementPolicy, name="fixed_load"):
    class Options(Strict):
        load: Count = Field(LEAST, description="whatever the scenario says")

    def place(self, problem):
        return cg_bp(problem.swarm, self.options.load, problem.session_tokens)
""",
    "elsewhere-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n",
    "elsewhere-1.0.dist-info/entry_points.txt": (
        "[bprr.policies]\nfixed_load = elsewhere.fixed_load\n"
    ),
}
# Asks another policy.
FILE = """
from bprr.ground.registry import ROUTING
from bprr.ground.schema import Strict
from bprr.routing.base import RoutingPolicy

class Delegating(RoutingPolicy, name="delegating"):
    class Options(Strict):
        to: str = "ws_rr"

    def __init__(self, context, options=None):
        super().__init__(context, options)
        self._other = ROUTING.build(self.options.to, context)

    def route(self, request, now_ms):
        return self._other.route(request, now_ms)
"""
CONFIGURATION = """
policy_files: [mine/delegating.py]
methods:
  own: {placement: {fixed_load: {load: 7}}, routing: {delegating: {to: petals}}}
  same: {placement: {fixed_load: {load: 7}}, routing: petals}
  default: {placement: fixed_load, routing: delegating}
sweeps:
  own:
    scenario: scattered
    topologies: [abovenet]
    axes: {methods.own.placement.load: [3, 7]}
    set: {workload.requests: 5}
    methods: [own, same, petals]
    delays: [none]
    runs: 1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder of a package, of a file with a policy and of a configuration that names both."""
    folder = tmp_path_factory.mktemp("outside")
    for name, text in {**PACKAGE, "work/mine/delegating.py": FILE}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "work" / "own.yaml").write_text(CONFIGURATION)
    return folder


@pytest.fixture(scope="module")
def python(place, root):
    def run(*arguments, status=0):
        path = os.pathsep.join([str(root / "src"), str(place)])
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=place / "work",
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    return run


def metrics(table, method):
    rows = table[table["method"] == method]
    return rows[["x", "request", "per_token_ms", "hops"]].to_numpy().tolist()


def test_a_scenario_is_simulated(python, place):
    python(
        *("-m", "bprr", "simulate", "scattered", "--config", "own.yaml", "--runs", "2"),
        *("--method", "own", "--method", "same", "--method", "default", "--method", "petals"),
        *("--set", "workload.requests=5", "--set", "methods.default.placement.load=2"),
        *("-o", "out.parquet"),
    )
    table = read_table(place / "work" / "out.parquet")
    assert (table["status"] == "ok").all()
    loads = table.groupby("method", observed=True)["design_load"].first()
    assert loads[["own", "same", "default"]].tolist() == [7, 7, 2]
    assert metrics(table, "own") == metrics(table, "same")
    assert metrics(table, "own") != metrics(table, "default")
    assert metrics(table, "own") != metrics(table, "petals")
    methods = read_provenance(place / "work" / "out.parquet")["methods"]
    assert methods["own"]["placement"] == {"fixed_load": {"load": 7}}
    assert methods["default"]["routing"] == {"delegating": {"to": "ws_rr"}}


def test_a_sweep_runs_from_the_configuration_and_from_its_slice(python, place):
    sweep = ("-m", "bprr", "sweep", "own", "abovenet", "--config")
    python(*sweep, "own.yaml", "-o", "sweep.parquet")
    table = read_table(place / "work" / "sweep.parquet")
    own = table[table["method"] == "own"]
    assert own.groupby("x")["design_load"].first().to_dict() == {3: 3, 7: 7}
    python(
        "-c",
        "from pathlib import Path; from bprr.study.slices import settings_at, sweep_slice\n"
        "part = sweep_slice(settings_at(Path('own.yaml')), 'own', 'abovenet')\n"
        "part.write('made'); Path('slice').write_text(part.path('made'))",
    )
    slice_path = (place / "work" / "slice").read_text()
    python(*sweep, slice_path, "-o", "again.parquet")
    assert (place / "work" / "again.parquet").read_bytes() == (
        place / "work" / "sweep.parquet"
    ).read_bytes()


def test_they_are_known_by_name_options_and_source(python, place):
    schema = json.loads(python("-m", "bprr", "check", "--schema", "own.yaml"))
    method = schema["configuration"]["$defs"]["Method"]["properties"]
    placements = method["placement"]["anyOf"][1]["properties"]
    assert placements["fixed_load"]["properties"]["load"]["minimum"] == 1
    assert "whatever the scenario says" in json.dumps(placements["fixed_load"])
    assert "delegating" in method["routing"]["anyOf"][0]["enum"]

    text = python(
        "-c",
        "import json; from pathlib import Path; from bprr.ground.source import files_of\n"
        "from bprr.study.slices import settings_at, sweep_modules\n"
        "modules = sweep_modules(settings_at(Path('own.yaml')), ('own', 'abovenet'))\n"
        "print(json.dumps([list(map(str, modules)), list(map(str, files_of(*modules)))]))",
    )
    modules, files = json.loads(text)
    own_file = place / "work" / "mine" / "delegating.py"
    assert {"elsewhere.fixed_load", str(own_file), "bprr.routing.petals"} <= set(modules)
    assert {str(own_file), str(place / "elsewhere" / "least.py")} <= set(files)
    assert not any(name.endswith(("routing/ws_rr.py", "placement/gsa.py")) for name in files)


REFUSED = {
    "{placement: {fixed_load: {laod: 7}}, routing: ws_rr}": (
        "placement.fixed_load.laod: got 7; allowed: did you mean load? one of the keys load"
    ),
    "{placement: {fixed_load: {load: 0}}, routing: ws_rr}": (
        "placement.fixed_load.load: got 0; allowed: a number of at least 1"
    ),
    "{placement: fixed_laod, routing: ws_rr}": (
        "placement: got 'fixed_laod'; allowed: did you mean fixed_load? one of best, cg_bp"
    ),
    # Without its file.
    "{placement: cg_bp, routing: delegating}": "routing: got 'delegating'; allowed: one of best",
}


def test_their_options_are_strict(python, place):
    names = [f"bad{number}.yaml" for number in range(len(REFUSED))]
    for name, method in zip(names, REFUSED, strict=True):
        (place / "work" / name).write_text(f"methods: {{own: {method}}}\n")
    script = f"from bprr.commands.main import main\nfor name in {names}: main(['check', name])"
    lines = python("-c", f"{script}\nraise SystemExit(3)", status=3).splitlines()
    for name, line, text in zip(names, lines, REFUSED.values(), strict=True):
        assert line.startswith(f"bprr check: {name}: methods.own.{text}")


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "No such file"),
        ("def broken(:\n", "SyntaxError"),
        ("import nothing_of_this_name\n", "nothing_of_this_name"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, says):
    path = tmp_path / "mine" / "bad.py"
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    (tmp_path / "bad.yaml").write_text("policy_files: [mine/bad.py]\n")
    with pytest.raises(InputError) as refused:
        load_settings(tmp_path / "bad.yaml")
    assert str(path) in str(refused.value)
    assert says in str(refused.value)


def test_an_entry_point_that_cannot_be_loaded_is_named(python, place):
    broken = place / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[bprr.policies]\noops = nothing_of_this_name\n")
    try:
        text = python("-m", "bprr", "check", "--schema", status=2)
    finally:
        for path in [*broken.iterdir(), broken]:
            path.rmdir() if path.is_dir() else path.unlink()
    assert "entry point oops of bprr.policies" in text
    assert "Traceback" not in text
