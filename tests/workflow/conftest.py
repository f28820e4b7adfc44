"""One copy of the project, with all results done, for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from house import House, Planner


@pytest.fixture(scope="session")
def planner() -> Iterator[Planner]:
    planner = Planner()
    yield planner
    planner.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, planner: Planner) -> House:
    return House(tmp_path_factory.mktemp("house"), planner)
