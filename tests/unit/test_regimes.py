"""Regimes of points, beside their run means."""

import numpy as np
import pandas as pd
import pytest

from bprr.figures.regimes import counts_of_regimes, with_regimes


def run(x, run, rate_per_s, requests=100, growth=0.0, capacity=1.0, memory=2.0, status="ok"):
    place = np.arange(requests)
    return pd.DataFrame(
        {
            "x": x, "method": "m", "allocation_delays": "none", "run": run, "status": status,
            "arrival_ms": 1000.0 * place / rate_per_s, "output_tokens": 10,
            "per_token_ms": 100.0 * (1 + growth * place / requests),
            "capacity_per_s": capacity, "memory_capacity_per_s": memory,
        }
    )  # fmt: skip


def test_a_point_has_the_regime_of_its_runs_together():
    """Rates .8 and 1.1 of a capacity of 1 are .95 together; 1.1 and 1.1 are overloaded."""
    requests = pd.concat(
        [
            run(0.0, 0, 0.8), run(0.0, 1, 1.1),
            run(1.0, 0, 1.1), run(1.0, 1, 1.1),
            run(2.0, 0, 0.5, growth=1.0), run(2.0, 1, 0.5, growth=1.1),
            run(3.0, 0, 0.5, memory=1.0), run(3.0, 1, 0.5, memory=0.9),
            run(4.0, 0, 0.5, capacity=np.nan), run(5.0, 0, 0.5, status="infeasible"),
        ]
    )  # fmt: skip
    columns = ["x", "method", "allocation_delays", "run"]
    means = requests[columns].drop_duplicates()
    found = with_regimes(means, requests).groupby("x").first()
    assert found["regime"].tolist() == [
        "stable", "overloaded", "backlogged", "stable", "stable", "infeasible",
    ]  # fmt: skip
    assert found["load"].to_numpy()[:4] == pytest.approx([0.95, 1.1, 0.5, 0.5])
    assert np.isnan(found["load"].to_numpy()[4:]).all()
    assert found["bound"].tolist() == ["computing", "computing", "computing", "memory", "", ""]
    assert counts_of_regimes(found) == "3 / 1 / 1"


def test_one_method_says_nothing_of_another():
    requests = pd.concat([run(0.0, 0, 2.0), run(0.0, 0, 0.5).assign(method="n")])
    means = requests[["x", "method", "allocation_delays", "run"]].drop_duplicates()
    found = with_regimes(means, requests).set_index("method")["regime"]
    assert found.to_dict() == {"m": "overloaded", "n": "stable"}
