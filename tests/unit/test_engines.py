"""Which engine runs; and kernels that are compiled, cached and never stale."""

import os
import pickle
import pickletools
import subprocess
import sys
from typing import NamedTuple

import numba.core.caching
import numpy as np
import pytest

from bprr.ground.compiled import compiled, state_of
from bprr.ground.errors import InputError
from bprr.ground.registry import ROUTING
from bprr.placement.base import Placement
from bprr.routing.base import RoutingPolicy
from bprr.routing.ws_rr import WsRr
from bprr.scenario.workload import Workload
from bprr.simulation import simulate


class Nearest(WsRr):
    """A kernel's policy with something in Python around it."""

    def route(self, request, now_ms):
        return super().route(request, now_ms)


@compiled
def _all_on_one(only, caches, request, now_ms, servers, processed):
    servers[0], processed[0] = only.server, only.blocks
    return 1, 0.0


@state_of(_all_on_one)
class Only(NamedTuple):
    server: int
    blocks: int


class OnlyServer(RoutingPolicy):
    """A user's policy with a kernel of its own."""

    def __init__(self, context, options=None):
        super().__init__(context, options)
        self.state = Only(0, context.placement.swarm.model.blocks)


@pytest.fixture
def run(small_swarm, monkeypatch):
    monkeypatch.setitem(ROUTING._policies, "nearest", Nearest)
    monkeypatch.setitem(ROUTING._policies, "only_server", OnlyServer)
    placement = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]))
    workload = Workload(np.array([0.0, 1.0]), 0, 1, 20)
    return lambda routing, **more: simulate(placement, workload, routing, **more)


def test_policies_with_kernels_run_compiled(run):
    assert run("ws_rr").engine == "compiled"
    assert run("ws_rr", engine="simpy").engine == "simpy"


def test_a_policy_written_in_python_runs_in_simpy_by_itself(run):
    records = run("nearest")
    assert records.engine == "simpy"
    assert records.completion_ms.tolist() == run("ws_rr").completion_ms.tolist()
    with pytest.raises(InputError, match="simpy or auto for Nearest"):
        run("nearest", engine="compiled")


def test_a_users_kernel_runs_compiled(run):
    records = run("only_server")
    assert records.engine == "compiled"
    assert records.completion_ms.tolist() == run("ws_rr").completion_ms.tolist()


def test_without_a_folder_for_the_cache_kernels_still_compile(monkeypatch):
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    assert compiled(lambda x: x + 1)(1) == 2


@pytest.mark.parametrize("method", ["load", "save"])
def test_a_cache_that_cannot_be_read_or_written_costs_time_only(method, monkeypatch):
    def broken(self, *arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, method, broken)
    assert compiled(lambda x: x + 2)(1) == 3


def test_the_index_of_the_cache_names_no_class():
    """Another process may not be able to import a user's module."""
    kernel = compiled(lambda state: state.blocks)
    kernel(Only(1, 2))
    (signature,) = kernel.signatures
    codegen = kernel.targetctx.codegen()
    key = pickle.dumps(kernel._cache._index_key(signature, codegen))
    assert b"Only" in key
    assert not [code for code, _, _ in pickletools.genops(key) if "GLOBAL" in code.name]


@pytest.mark.parametrize("environment", [{}, {"NUMBA_DISABLE_JIT": "1"}])
def test_a_kernel_follows_what_it_calls_in_other_files(tmp_path, environment):
    header = "from bprr.ground.compiled import call_kernel, compiled, state_of\n"
    called = header + "@compiled\ndef callee(x):\n    return x + {}\n"
    (tmp_path / "caller.py").write_text(
        header
        + "from typing import NamedTuple\n"
        + "from called import callee\n"
        + "@compiled\ndef kernel(state, x):\n    return callee(x)\n"
        + "@state_of(kernel)\nclass State(NamedTuple):\n    y: int\n"
        + "@compiled\ndef loop(state, x):\n    return call_kernel(state, x)\n",
        encoding="utf-8",
    )
    found = []
    for added in (1, 2, 1):
        (tmp_path / "called.py").write_text(called.format(added), encoding="utf-8")
        code = "from caller import State, loop; print(loop(State(0), 1))"
        path = os.pathsep.join([str(tmp_path), *sys.path])
        cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, **cache, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(int(done.stdout))
    assert found == [2, 3, 2]
