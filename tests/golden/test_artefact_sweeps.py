"""Means of the sweeps against those of the paper's artefact, on some points of Figures 7 to 10."""

import numpy as np
import pandas as pd
import pytest

from bprr.settings.configuration import DelayVariant
from bprr.study.sweep import run_sweep

RUNS = 12
REFERENCE_RUNS = 100
STANDARD_ERRORS = 4
POINTS = {  # the ends and, where load bites, the middle of each axis
    ("fig7", "abovenet"): [6, 20],
    ("fig7", "bellcanada"): [10, 40],
    ("fig8", "abovenet"): [0.1, 0.5],
    ("fig8", "bellcanada"): [0.1, 0.4],
    ("fig9", "abovenet"): [0.05, 2],
    ("fig9", "bellcanada"): [0.5, 1],
    ("fig10", "abovenet"): [64, 256],
    ("fig10", "bellcanada"): [128, 512],
}
KEYS = ["figure", "topology", "x", "allocation_delays", "method"]


@pytest.fixture(scope="module")
def reference(root):
    table = pd.read_csv(root / "data" / "published" / "artefact_sweeps.csv")
    assert (table["runs"] == REFERENCE_RUNS).all()
    return table.set_index(KEYS)


def on_points(configuration, figure, xs, **changes):
    """The configuration with a sweep cut down to some points and the reference's methods."""
    sweep = configuration.sweeps[figure]
    methods = [m for m in sweep.methods if m not in ("proposed_exact", "offloading")]
    (axis,) = sweep.axes
    cut = sweep.model_copy(
        update={"axes": {axis: xs}, "methods": methods, "runs": None} | changes.pop("sweep", {})
    )
    sweeps = {**configuration.sweeps, figure: cut}
    return configuration.model_copy(update={"runs": RUNS, "sweeps": sweeps, **changes})


def deviations(reference, table):
    """Distance of every point's mean from the reference's, in standard errors of the difference.

    The spread between runs is taken from the reference, which knows it better than a few runs do.
    """
    per_run = table.groupby([*KEYS, "run"], observed=True)["per_token_ms"].mean()
    means = per_run.groupby(level=KEYS, observed=True).agg(["mean", "count"])
    both = means.join(reference, how="left")
    assert both["per_token_ms_mean"].notna().all()
    assert (both["count"] == RUNS).all()
    error = both["per_token_ms_se"] * np.sqrt(1 + REFERENCE_RUNS / both["count"])
    return (both["mean"] - both["per_token_ms_mean"]) / error


@pytest.mark.parametrize("figure, topology", POINTS)
def test_means_agree_with_the_artefact(configuration, reference, figure, topology):
    xs = POINTS[figure, topology]
    settings = on_points(configuration, figure, xs)
    found = deviations(reference, run_sweep(settings, figure, topology))
    methods = 6 if figure == "fig8" else 5
    assert len(found) == len(xs) * methods * 2  # with the delays and without
    assert found[found.abs() > STANDARD_ERRORS].empty, found[found.abs() > STANDARD_ERRORS]


def shares_outside(found):
    """Share of the points beyond the limit, per method."""
    outside = found.abs() > STANDARD_ERRORS
    return outside.groupby(level="method", observed=True).mean()


def test_swapped_allocation_delays_would_be_noticed(configuration, reference):
    swapped = DelayVariant(per_method_ms={"proposed": 250_000.0}, all_ms=60_000.0)
    settings = on_points(configuration, "fig7", [20], delays={"published": swapped})
    outside = shares_outside(deviations(reference, run_sweep(settings, "fig7", "abovenet")))
    assert (outside == 1).all()


@pytest.mark.parametrize(
    "figure, topology, xs, change, noticed_by",
    [
        ("fig10", "bellcanada", [128, 512], {"fleet.block_cap.mig": 2}, "petals"),
        ("fig7", "abovenet", [6], {"fleet.block_cap.mig": 70}, "proposed"),
        ("fig10", "bellcanada", [128, 512], {"overheads.token_ms": 50}, "proposed"),
    ],
)
def test_another_setting_would_be_noticed(
    configuration, reference, figure, topology, xs, change, noticed_by
):
    changed = {"set": {**configuration.sweeps[figure].set, **change}}
    settings = on_points(configuration, figure, xs, sweep={**changed, "delays": ["none"]})
    outside = shares_outside(deviations(reference, run_sweep(settings, figure, topology)))
    assert outside[noticed_by] == 1, outside
