"""Figures show the numbers of their tables, and come out the same every time."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from bprr.figures import style
from bprr.figures.headline import draw_headline, headline_table, plot_headline, summary_table
from bprr.figures.published import artefact_means, published_results
from bprr.figures.running_times import running_times_layout, running_times_table
from bprr.figures.sweep import conditions, draw_sweep, plot_sweep, sweep_table
from bprr.figures.tables import comparison, comparison_layout, render_table
from bprr.ground.errors import InputError
from bprr.settings.configuration import load_settings
from bprr.study.summary import run_means
from bprr.study.timing import SETTINGS_TIMED, running_times

ROOT = Path(__file__).parents[2]
ARTEFACT = ROOT / "data/published/artefact_sweeps.csv"
PUBLISHED = ROOT / "data/published/results.csv"
METHODS = {"petals": 4.0, "optimized_rr": 3.0, "proposed": 1.0, "offloading": 3.5}


@pytest.fixture(scope="module")
def settings():
    return load_settings(ROOT / "config/default.yaml")


def sweep_requests(figure="fig7", topology="abovenet", points=((6, 0.5, 128), (10, 0.5, 128))):
    """Requests of a small sweep: 4 runs of 3 requests per point, methods apart by known factors."""
    rng = np.random.default_rng(7)
    rows = []
    for number, (servers, rate, tokens) in enumerate(points):
        for run in range(4):
            noise = rng.uniform(0.9, 1.1, size=3)
            for delays in ("published", "none"):
                for method, factor in METHODS.items():
                    common = {
                        "figure": figure,
                        "topology": topology,
                        "x": float(servers if figure == "fig7" else number),
                        "servers": servers,
                        "eta": 0.2,
                        "rate_per_s": rate,
                        "output_tokens": tokens,
                        "allocation_delays": delays,
                        "method": method,
                        "run": run,
                        "requests": 3,
                    }
                    if method == "optimized_rr" and number == 1 and run == 0:
                        rows.append({**common, "status": "infeasible: not enough GPU memory"})
                        continue
                    for request in range(3):
                        per_token_ms = 500 * factor * noise[request]
                        if delays == "published":
                            per_token_ms += 400 * (1 + factor)
                        rows.append(
                            {
                                **common,
                                "request": request,
                                "input_tokens": 20,
                                "per_token_ms": per_token_ms,
                                "ttft_ms": 20 * per_token_ms,
                                "remaining_per_token_ms": 0.9 * per_token_ms,
                                "wait_ms": 0.0,
                                "max_concurrent": 3,
                                "status": "ok",
                            }
                        )
    return pd.DataFrame(rows)


@pytest.fixture
def sweep_file(tmp_path):
    path = tmp_path / "fig7_abovenet.parquet"
    sweep_requests().to_parquet(path)
    return path


def drawn_means(axes, color):
    """Positions and values of the line of a colour in a panel."""
    line = max(
        (line for line in axes.lines if same_color(line.get_color(), color)),
        key=lambda line: len(line.get_xdata()),
    )
    return line.get_ydata()


def test_figure_shows_the_means_of_its_table(settings):
    means = run_means(sweep_requests())
    table = sweep_table(means, settings, artefact_means(ARTEFACT))
    figure = draw_sweep(table, settings, conditions(means, settings))
    panels = np.reshape(figure.axes, (3, 2))
    for column, delays in enumerate(("published", "none")):
        for row, metric in enumerate(("per_token_ms", "ttft_ms", "remaining_per_token_ms")):
            for method in ("petals", "proposed"):
                panel = (table["metric"] == metric) & (table["allocation_delays"] == delays)
                shown = table[panel & (table["method"] == method)]
                color = style.method_styles([method])[method].color
                drawn = drawn_means(panels[row, column], color)
                assert drawn == pytest.approx(shown["mean"].to_numpy() / 1000)
    assert panels[0, 0].get_ylim() == panels[0, 1].get_ylim()  # columns can be compared


def test_infeasible_points_are_marked(settings):
    means = run_means(sweep_requests())
    table = sweep_table(means, settings, artefact_means(ARTEFACT))
    figure = draw_sweep(table, settings, "")
    crosses = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "x"]
    assert len(crosses) == 6  # one point, in every panel
    assert "infeasible (number of runs)" in [
        text.get_text() for text in figure.legends[0].get_texts()
    ]


def test_table_refers_to_the_artefact(settings):
    table = sweep_table(run_means(sweep_requests()), settings, artefact_means(ARTEFACT))
    row = table.query(
        "metric == 'per_token_ms' and method == 'petals' and allocation_delays == 'published'"
    ).iloc[0]
    assert row["x"] == 6
    assert row["artefact_mean"] == 4472.72
    error = np.hypot(row["standard_deviation"] / 2, row["artefact_se"])
    assert row["z"] == pytest.approx((row["mean"] - 4472.72) / error)
    assert row["label"] == settings.methods["petals"].label


def test_artefact_time_per_remaining_token():
    table = artefact_means(ARTEFACT).query("x == 6 and figure == 'fig7' and method == 'petals'")
    table = table[table["allocation_delays"] == "published"].set_index("metric")["artefact_mean"]
    total_ms = table["ttft_ms"] + 127 * table["remaining_per_token_ms"]
    assert total_ms == pytest.approx(128 * table["per_token_ms"])


def test_three_files_with_the_same_bytes_twice(settings, sweep_file, tmp_path):
    first = plot_sweep(sweep_file, settings, ARTEFACT, tmp_path / "a" / "fig7_abovenet")
    second = plot_sweep(sweep_file, settings, ARTEFACT, tmp_path / "b" / "fig7_abovenet")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "fig7_abovenet.csv",
        "fig7_abovenet.pdf",
        "fig7_abovenet.png",
    ]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert b"CreationDate" not in first[1].read_bytes()
    assert first[1].read_bytes().count(b"/FontFile2") >= 1  # TrueType, embedded


def test_csv_equals_the_table(settings, sweep_file, tmp_path):
    csv, *_ = plot_sweep(sweep_file, settings, ARTEFACT, tmp_path / "fig7_abovenet")
    table = sweep_table(run_means(sweep_requests()), settings, artefact_means(ARTEFACT))
    written = pd.read_csv(csv)
    assert written.columns.tolist() == table.columns.tolist()
    pd.testing.assert_frame_equal(written, table, check_dtype=False, rtol=1e-8)


def test_nothing_half_written_is_left(tmp_path):
    with style.applied():
        figure = style.new_figure(2, 2)
    figure.text(0.5, 0.5, r"$\frac{1}$")  # fails while it is drawn
    with pytest.raises(ValueError, match="frac"):
        style.save(figure, pd.DataFrame({"a": [1]}), tmp_path / "broken")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.csv"]


def test_unreadable_numbers_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv"):
        artefact_means(tmp_path / "absent.csv")


def test_methods_look_the_same_everywhere_and_differ():
    styles = style.method_styles(["mine", "proposed", "petals", "other"])
    assert styles["petals"] == style.method_styles(["petals"])["petals"]
    assert len({(look.color, look.marker) for look in styles.values()}) == 4


def test_headline_draws_the_paired_ratios(settings):
    table = headline_table(run_means(sweep_requests()), 0.95)
    without = table[table["allocation_delays"] == "none"]
    assert without["ratio"].tolist() == pytest.approx([0.25, 0.25])
    panel = draw_headline(table, settings).axes[0]
    marks = [line for line in panel.lines if line.get_marker() == "v"]
    assert marks[0].get_ydata() == pytest.approx([0.25, 0.25])
    assert "| all |  | 2 |" in summary_table(table)
    assert "0.250 – 0.250 (0.250)" in summary_table(table)


def test_headline_files(settings, sweep_file, tmp_path):
    paths = plot_headline([sweep_file], settings, tmp_path / "out" / "headline")
    assert [path.suffix for path in paths] == [".csv", ".pdf", ".png", ".md"]
    assert all(path.stat().st_size > 0 for path in paths)


TABLE_POINTS = ((9, 0.1, 64), (9, 0.1, 128), (9, 0.5, 64), (9, 0.5, 128))


def test_comparison_with_published_numbers(settings, tmp_path):
    requests = sweep_requests("table6", "gts_ce", TABLE_POINTS)
    table = comparison(run_means(requests), published_results(PUBLISHED), 0.95)
    assert set(table["setting"]) == {"gts_ce"}
    cell = table.query("rate_per_s == 0.5 and output_tokens == 128 and method == 'proposed'")
    value = cell.set_index("quantity")["value"]
    assert value["experiment"] == 1.07
    assert value["simulator"] == 0.91
    mine = requests.query("x == 3 and method == 'proposed' and allocation_delays == 'published'")
    assert value["published"] == pytest.approx(mine["per_token_ms"].mean() / 1000)
    assert value["difference"] == pytest.approx(100 * (value["published"] / 0.91 - 1))
    ratios = table.query("method == 'proposed_to_petals' and quantity == 'none'")["value"]
    assert ratios.tolist() == pytest.approx([0.25] * 4)

    text = comparison_layout(table, settings).markdown()
    assert "| GTS-CE | Proposed | published, on GPUs | 1.38 | 0.95 | 1.35 | 1.07 |" in text
    path = tmp_path / "table6_gts_ce.parquet"
    requests.to_parquet(path)
    paths = render_table([path], settings, PUBLISHED, tmp_path / "table6")
    assert [path.suffix for path in paths] == [".csv", ".pdf", ".png", ".md"]


def test_running_times_beside_the_published(settings):
    times = pd.DataFrame(
        {
            "setting": "clustered",
            "method": "petals",
            "repeat": [0, 1, 2],
            "servers": 9,
            "requests": 100,
            "placement_s": [0.001, 0.002, 0.009],
            "routing_s_per_request": [1e-5, 1e-5, 4e-5],
            "total_s": [0.002, 0.003, 0.013],
        }
    )
    table = running_times_table(times, published_results(PUBLISHED))
    row = table.iloc[0]
    assert (row["published_s"], row["published_sd_s"]) == (0.0186, 0.0013)
    assert (row["placement_s"], row["total_s_q75"]) == (0.002, 0.008)
    line = running_times_layout(table, settings).rows[0]
    assert line == [
        "Clustered", "PETALS", "18.6 ± 1.3",
        "3.00 (2.50 – 8.00)", "2.00 (1.50 – 5.50)", "10.00 (10.00 – 25.00)",
    ]  # fmt: skip


def test_running_times_of_every_setting(settings, monkeypatch):
    monkeypatch.chdir(ROOT)
    times = running_times(settings, repeats=1)
    assert set(zip(times["setting"], times["method"], strict=True)) == {
        (setting, method) for setting in SETTINGS_TIMED for method in ("petals", "proposed")
    }
    assert (times["requests"] == 100).all()
    assert (times[["placement_s", "routing_s_per_request"]] > 0).all(axis=None)
    parts = times["placement_s"] + 100 * times["routing_s_per_request"]
    assert times["total_s"].to_numpy() == pytest.approx(parts.to_numpy())
