"""Hypothesis profiles and the fixtures that several rooms of tests share.

The default profile is deterministic, so that a red run can be repeated anywhere;
``HYPOTHESIS_PROFILE=search`` looks for new examples instead.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from bprr.ground.swarm import LanguageModel, Swarm
from bprr.scenario.draw import Catalogue
from bprr.settings.configuration import Settings, load_settings
from bprr.study.points import catalogue

ROOT = Path(__file__).parents[1]

COMMON = {
    "deadline": None,  # the first example compiles
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("default", derandomize=True, max_examples=60, **COMMON)
settings.register_profile("search", max_examples=2000, database=None, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def root() -> Path:
    """Folder of the repository."""
    return ROOT


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in the folder of the repository: the configuration names files relative to it."""
    monkeypatch.chdir(ROOT)
    return ROOT


@pytest.fixture(scope="session")
def configuration() -> Settings:
    """The shipped configuration, with its files named absolutely."""
    shipped = load_settings()
    return shipped.model_copy(
        update={
            "device_files": [path.resolve() for path in shipped.device_files],
            "model_files": [path.resolve() for path in shipped.model_files],
            "topology_dir": shipped.topology_dir.resolve(),
            "scenario_dir": shipped.scenario_dir.resolve(),
        }
    )


@pytest.fixture(scope="session")
def published(configuration: Settings) -> Catalogue:
    """Published models, devices and topologies."""
    return catalogue(configuration)


@pytest.fixture(scope="session")
def bloom(published: Catalogue) -> LanguageModel:
    """BLOOM-176B as published."""
    return published.models["bloom_176b"]


@pytest.fixture
def small_swarm() -> Swarm:
    """Three servers and two clients, in numbers that can be added up by hand.

    A block takes 1 GB and a token of its cache 0.01 GB. Server 0 is fast and far, 1 slow and near,
    2 small.
    """
    model = LanguageModel(
        name="small", blocks=4, d_model=1, block_gb=1.0, cache_bytes_per_value=5e6
    )
    return Swarm(
        model,
        memory_gb=np.array([6.0, 5.0, 2.0]),
        tau_ms=np.array([1.0, 5.0, 2.0]),
        prefill_ms=np.array([10.0, 20.0, 30.0]),
        prefill_ms_per_token=np.array([0.5, 1.0, 2.0]),
        token_rtt_ms=np.array([[40.0, 10.0, 20.0], [60.0, 30.0, 20.0]]),
        prompt_rtt_ms=np.array([[50.0, 20.0, 30.0], [70.0, 40.0, 30.0]]),
        prompt_rtt_ms_per_token=0.25,
        raw_rtt_ms=np.array([[30.0, 2.0, 12.0], [50.0, 22.0, 12.0]]),
        server_rtt_ms=np.array([[0.0, 30.0, 20.0], [30.0, 0.0, 14.0], [20.0, 14.0, 0.0]]),
        forward_rps=np.array([1000.0, 200.0, 400.0]),
        network_rps=np.array([300.0, 300.0, 300.0]),
    )
