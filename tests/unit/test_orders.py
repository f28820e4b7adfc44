"""One swarm, its servers joining in other orders, and the figure of it."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import same_color

from bprr.figures import style
from bprr.figures.from_settings import study_caption
from bprr.figures.orders import draw_orders, orders_table
from bprr.ground.errors import BprrError
from bprr.report.findings import finding
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.settings.configuration import load_settings
from bprr.study.points import catalogue, sweep_points
from bprr.study.summary import run_means
from bprr.study.sweep import simulate_point


@pytest.fixture(scope="module")
def settings():
    return load_settings()


@pytest.fixture(scope="module")
def caption(settings):
    return study_caption(settings, ["orders"]).sweeps["orders"]


def test_only_what_is_redrawn_differs_between_runs(settings) -> None:
    profiles = catalogue(settings)
    usual, fixed = (
        load_scenario("scattered", {"redrawn": purposes}) for purposes in (None, ["join_order"])
    )
    first, other = (draw(fixed, profiles, 7, run) for run in (0, 3))
    ordinary = draw(usual, profiles, 7, 3)
    assert (other.join_order == ordinary.join_order).all()
    assert (other.join_order != first.join_order).any()
    for name in ("server_node", "client_node"):
        assert (getattr(other, name) == getattr(first, name)).all()
        assert (getattr(other, name) != getattr(ordinary, name)).any()
    assert (other.workload.arrival_ms == first.workload.arrival_ms).all()
    assert (other.workload.arrival_ms != ordinary.workload.arrival_ms).any()
    with pytest.raises(BprrError, match="join_order"):
        load_scenario("scattered", {"redrawn": ["joining"]})


def test_distributions_over_orders(settings, caption) -> None:
    """The proposed method does not see the order; PETALS does."""
    (point,) = sweep_points(settings, "orders", "abovenet")
    chosen = {name: point.methods[name] for name in ("petals", "proposed")}
    requests = simulate_point(replace(point, methods=chosen), catalogue(settings), 1, 6)
    means = run_means(requests.assign(figure="orders", topology="abovenet"))
    table = orders_table(means, caption)
    assert list(dict.fromkeys(table["allocation_delays"])) == list(caption.variants)
    for (_, method), steps in table.groupby(["allocation_delays", "method"]):
        assert steps["share"].tolist() == pytest.approx(np.arange(1, 7) / 6)
        assert steps["per_token_s"].is_monotonic_increasing
        assert (steps["per_token_s"].nunique() == 1) == (method == "proposed")
    figure = draw_orders(table, caption, 6)
    panel, color = figure.axes[0], style.method_styles(["petals"])["petals"].color
    (line,) = [line for line in panel.lines if same_color(line.get_color(), color)]
    paid = table.query("allocation_delays == 'published' and method == 'petals'")["per_token_s"]
    assert line.get_xdata() == pytest.approx([paid.iloc[0], *paid])
    assert line.get_ydata()[[0, -1]].tolist() == [0, 1]
    said = finding("orders", table, caption)
    assert said.startswith("Time per token of PETALS without delays")
    assert "AboveNet" in said
