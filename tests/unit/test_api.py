"""What ``import bprr`` offers, and the examples of the documentation strings."""

import doctest
import importlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import bprr
from bprr.ground.errors import InfeasibleError, InputError

SOURCE = Path(bprr.__file__).parent


def with_examples():
    """Modules whose documentation has an example, by dotted name."""
    for path in sorted(SOURCE.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            yield ".".join(("bprr", *path.relative_to(SOURCE).with_suffix("").parts))


def test_there_are_examples():
    assert {"bprr.study.api", "bprr.study.summary"} <= set(with_examples())


@pytest.mark.parametrize("name", list(with_examples()))
def test_examples_say_what_happens(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they work anywhere
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


def test_the_notebook_runs_and_uses_what_is_offered(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    notebook = root / "examples/how_many_servers.py"
    made = runpy.run_path(str(notebook))
    mean = made["seconds"]["mean"]
    assert (mean["proposed"] < mean["petals"]).all()
    assert mean["petals"].iloc[-1] < 0.5 * mean["petals"].iloc[0]  # it catches up
    assert made["better"] < mean["proposed"][12]
    assert capsys.readouterr().out.count(" blocks ") == 12
    assert (tmp_path / "how_many_servers.png").stat().st_size > 5_000
    used = set(re.findall(r"bprr\.(\w+)", notebook.read_text(encoding="utf-8")))
    assert used <= set(bprr.__all__)


@pytest.mark.parametrize("name", bprr.__all__)
def test_every_name_is_there_and_documented(name):
    offered = getattr(bprr, name)
    assert offered.__name__ == name
    assert len(offered.__doc__) > 40
    assert offered is getattr(importlib.import_module(offered.__module__), name)
    assert name in dir(bprr)


def test_functions_of_scenarios_have_examples():
    for name in ("load_scenario", "place", "simulate", "solve", "sweep"):
        assert ">>> from bprr import" in getattr(bprr, name).__doc__ or name == "load_scenario"
        assert ">>> " in getattr(bprr, name).__doc__


def test_other_names_are_none():
    with pytest.raises(AttributeError, match="module 'bprr' has no attribute 'nonesuch'"):
        bprr.nonesuch  # noqa: B018
    with pytest.raises(ImportError):
        from bprr import nonesuch  # noqa: F401


def test_the_package_alone_imports_nothing():
    """Every command begins with it, and a shell completes names of it."""
    code = "import sys; before = set(sys.modules); import bprr; print(set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=SOURCE.parent
    )
    assert done.stdout.strip() == "{'bprr'}"


def test_several_methods_meet_the_same_requests():
    scenario = bprr.load_scenario("scattered", {"workload.requests": 4})
    table = bprr.simulate(scenario, ["petals", "proposed"], runs=2)
    requests = table.groupby(["run", "request"])
    assert (requests.size() == 2).all()
    assert (requests["arrival_ms"].nunique() == 1).all()
    alone = bprr.simulate(scenario, "proposed", runs=2)
    both = table[table["method"] == "proposed"].reset_index(drop=True)
    assert alone["per_token_ms"].tolist() == both["per_token_ms"].tolist()
    assert set(alone["allocation_delays"]) == {"none"}


def test_delays_and_settings_count():
    scenario = bprr.load_scenario("scattered", {"workload.requests": 1})
    plain = bprr.simulate(scenario, runs=1)["ttft_ms"][0]
    assert bprr.simulate(scenario, runs=1, delays="published")["ttft_ms"][0] == pytest.approx(
        plain + 60_000
    )
    keys = {"seed": 7, "delays.mine": {"all_ms": 5}}
    other = bprr.load_settings(overrides=keys)
    assert bprr.simulate(scenario, runs=1, settings=other)["ttft_ms"][0] != plain
    five = bprr.simulate(scenario, runs=1, settings=other, delays="mine")["ttft_ms"][0]
    assert five == pytest.approx(bprr.simulate(scenario, runs=1, settings=other)["ttft_ms"][0] + 5)


def test_a_placement_is_that_of_the_simulated_run():
    scenario = bprr.load_scenario("scattered", {"workload.requests": 1})
    table = bprr.simulate(scenario, runs=2)
    for run in (0, 1):
        placement = bprr.place(scenario, run=run)
        assert isinstance(placement, bprr.Placement)
        assert placement.details["load"] == table["design_load"][run]
        assert placement.swarm.servers == table["servers"][run]
    assert bprr.place(scenario, "offloading").swarm.servers == 1


def test_mistakes_are_refused():
    scenario = bprr.load_scenario("scattered")
    for call in (bprr.simulate, bprr.place):
        with pytest.raises(InputError, match=r"methods: got 'worst'; allowed: petals, "):
            call(scenario, "worst")
    with pytest.raises(InputError, match=r"delays: got 'some'; allowed: published, none"):
        bprr.simulate(scenario, delays="some")
    with pytest.raises(InputError, match=r"sweeps: got 'fig77'; allowed: fig7, "):
        bprr.sweep("fig77", "abovenet")
    with pytest.raises(InputError, match="one count for each of the 1 clients"):
        bprr.solve(scenario, [1, 2])
    long = bprr.load_scenario("scattered", {"workload.output_tokens": 5000})
    with pytest.raises(InfeasibleError, match="2972 tokens missing"):
        bprr.place(long)
