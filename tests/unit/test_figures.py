"""Figures show the numbers of their tables, and come out the same every time."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from bprr.figures import style
from bprr.figures.caption import StudyCaption, Variant, read_caption
from bprr.figures.decomposition import draw_decomposition, plot_decomposition
from bprr.figures.from_settings import caption_slice, other_tables, study_caption
from bprr.figures.headline import draw_headline, headline_table, plot_headline, summary_table
from bprr.figures.means import asked_means
from bprr.figures.published import artefact_means, published_results
from bprr.figures.running_times import running_times_layout, running_times_table
from bprr.figures.swarm_map import draw_map
from bprr.figures.sweep import conditions, draw_sweep, plot_sweep, sweep_table
from bprr.figures.sweep_times import draw_sweep_times, sweep_times_table
from bprr.figures.tables import comparison, comparison_layout, render_table
from bprr.ground.errors import BprrError, InputError
from bprr.ground.storage import write_table
from bprr.report.results import Results
from bprr.settings.configuration import load_settings
from bprr.study.summary import run_means
from bprr.study.swarm_view import SwarmView
from bprr.study.timing import SETTINGS_TIMED, running_times, running_times_of_sweeps

ROOT = Path(__file__).parents[2]
ARTEFACT = ROOT / "data/published/artefact_sweeps.csv"
PUBLISHED = ROOT / "data/published/results.csv"
METHODS = {"petals": 4.0, "optimized_rr": 3.0, "proposed": 1.0, "offloading": 3.5}


@pytest.fixture(scope="module")
def settings():
    return load_settings(ROOT / "config/default.yaml")


@pytest.fixture(scope="module")
def study(settings):
    return study_caption(settings)


@pytest.fixture(scope="module")
def fig7(study):
    return study.sweeps["fig7"]


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


def test_figure_shows_the_means_of_its_table(fig7):
    means = run_means(sweep_requests())
    table = sweep_table(means, fig7, artefact_means(ARTEFACT))
    figure = draw_sweep(table, fig7, conditions(means, fig7))
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


@pytest.mark.parametrize(("values", "scale"), [((6, 10, 22), "linear"), ((0.05, 0.1, 2), "log")])
def test_the_swept_axis_is_numeric(fig7, values, scale):
    requests = sweep_requests(points=[(value, 0.5, 128) for value in values])
    table = sweep_table(run_means(requests), fig7, artefact_means(ARTEFACT))
    figure = draw_sweep(table, fig7, "")
    axes = figure.axes[-1]
    assert axes.get_xscale() == scale
    assert axes.get_xlabel().endswith("log scale") == (scale == "log")
    assert axes.get_xticks() == pytest.approx(values)
    marks = [line for line in axes.lines if line.get_marker() in "vo" and line.get_marker()]
    assert all(line.get_xdata() == pytest.approx(values) for line in marks)
    figure.canvas.draw()
    at = [
        line.get_transform().transform((values[0], 1.0))[0]
        - axes.transData.transform((values[0], 1.0))[0]
        for line in marks
    ]
    points = 72 / figure.dpi * np.array(at)
    assert np.ptp(points) > 3  # side by side, and within a few points of the page
    assert np.abs(points).max() < 15


def test_labels_that_would_touch_are_left_out():
    with style.applied():
        axes = style.new_figure(3, 2).subplots()
    style.number_axis(axes, [256, 384, 385, 512], "Tokens", 2.0)
    texts = [text.get_text() for text in axes.get_xticklabels()]
    assert texts == ["256", "384", "", "512"]
    assert axes.get_xticks().tolist() == [256, 384, 385, 512]


def test_infeasible_points_are_marked(fig7):
    means = run_means(sweep_requests())
    table = sweep_table(means, fig7, artefact_means(ARTEFACT))
    figure = draw_sweep(table, fig7, "")
    crosses = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "x"]
    assert len(crosses) == 6  # one point, in every panel
    assert "infeasible (number of runs)" in [
        text.get_text() for text in figure.legends[0].get_texts()
    ]


def test_table_refers_to_the_artefact(fig7):
    table = sweep_table(run_means(sweep_requests()), fig7, artefact_means(ARTEFACT))
    row = table.query(
        "metric == 'per_token_ms' and method == 'petals' and allocation_delays == 'published'"
    ).iloc[0]
    assert row["x"] == 6
    assert row["artefact_mean"] == 4472.72
    error = np.hypot(row["standard_deviation"] / 2, row["artefact_se"])
    assert row["z"] == pytest.approx((row["mean"] - 4472.72) / error)
    assert row["label"] == fig7.methods["petals"]


def test_artefact_time_per_remaining_token():
    table = artefact_means(ARTEFACT).query("x == 6 and figure == 'fig7' and method == 'petals'")
    table = table[table["allocation_delays"] == "published"].set_index("metric")["artefact_mean"]
    total_ms = table["ttft_ms"] + 127 * table["remaining_per_token_ms"]
    assert total_ms == pytest.approx(128 * table["per_token_ms"])


def test_three_files_with_the_same_bytes_twice(study, sweep_file, tmp_path):
    first = plot_sweep(sweep_file, study, ARTEFACT, tmp_path / "a" / "fig7_abovenet")
    second = plot_sweep(sweep_file, study, ARTEFACT, tmp_path / "b" / "fig7_abovenet")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "fig7_abovenet.csv",
        "fig7_abovenet.pdf",
        "fig7_abovenet.png",
    ]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert b"CreationDate" not in first[1].read_bytes()
    assert first[1].read_bytes().count(b"/FontFile2") >= 1  # TrueType, embedded


def test_csv_equals_the_table(study, fig7, sweep_file, tmp_path):
    csv, *_ = plot_sweep(sweep_file, study, ARTEFACT, tmp_path / "fig7_abovenet")
    table = sweep_table(run_means(sweep_requests()), fig7, artefact_means(ARTEFACT))
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


def test_headline_draws_the_paired_ratios(study):
    table = headline_table(run_means(sweep_requests()), study)
    without = table[table["allocation_delays"] == "none"]
    assert without["ratio"].tolist() == pytest.approx([0.25, 0.25])
    panel = draw_headline(table, study).axes[0]
    marks = [line for line in panel.lines if line.get_marker() == "v"]
    assert marks[0].get_ydata() == pytest.approx([0.25, 0.25])
    assert "| all |  | 2 |" in summary_table(table, study)
    assert "0.250 – 0.250 (0.250)" in summary_table(table, study)


def test_headline_files(study, sweep_file, tmp_path):
    paths = plot_headline([sweep_file], study, tmp_path / "out" / "headline")
    assert [path.suffix for path in paths] == [".csv", ".pdf", ".png", ".md"]
    assert all(path.stat().st_size > 0 for path in paths)


TABLE_POINTS = ((9, 0.1, 64), (9, 0.1, 128), (9, 0.5, 64), (9, 0.5, 128))


def test_comparison_with_published_numbers(study, tmp_path):
    requests = sweep_requests("table6", "gts_ce", TABLE_POINTS).query("method != 'optimized_rr'")
    table = comparison(run_means(requests), published_results(PUBLISHED), study.sweeps["table6"])
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

    text = comparison_layout(table, study.sweeps["table6"]).markdown()
    assert "| GTS-CE | Proposed | published, on GPUs | 1.38 | 0.95 | 1.35 | 1.07 |" in text
    path = tmp_path / "table6_gts_ce.parquet"
    requests.to_parquet(path)
    paths = render_table([path], study, PUBLISHED, tmp_path / "table6")
    assert [path.suffix for path in paths] == [".csv", ".pdf", ".png", ".md"]


def test_running_times_beside_the_published(study):
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
    line = running_times_layout(table, study).rows[0]
    assert line == [
        "Clustered", "PETALS", "18.6 ± 1.3",
        "3.00 (2.50 – 8.00)", "2.00 (1.50 – 5.50)", "10.00 (10.00 – 25.00)",
    ]  # fmt: skip


def renamed(caption, names):
    """A study whose variants of the delays have other names, and one more of them."""
    own = caption.variants
    variants = {names[name]: own[name] for name in names if name in own}
    variants["measured"] = Variant(
        label="Measured", delays_s={"petals": (3.0, 3.0), "proposed": (2.0, 2.0)}
    )
    update = {"variants": variants}
    if isinstance(caption, StudyCaption):
        sweeps = {name: renamed(sweep, names) for name, sweep in caption.sweeps.items()}
        update["sweeps"] = sweeps
    return caption.model_copy(update=update)


def test_variants_and_pair_come_from_the_caption(study, tmp_path):
    names = {"published": "by_hand", "none": "free"}
    other = renamed(study, names)
    requests = sweep_requests("table6", "gts_ce", TABLE_POINTS).query("method != 'optimized_rr'")
    requests["allocation_delays"] = requests["allocation_delays"].map(names)
    third = requests[requests["allocation_delays"] == "free"].assign(allocation_delays="measured")
    table = comparison(
        run_means(pd.concat([requests, third])),
        published_results(PUBLISHED),
        other.sweeps["table6"],
    )
    proposed = table.query("method == 'proposed' and rate_per_s == 0.1 and output_tokens == 64")
    assert proposed["quantity"].tolist() == [
        "experiment", "simulator", "by_hand", "difference", "free", "measured",
    ]  # fmt: skip
    assert "ours, measured" in comparison_layout(table, other.sweeps["table6"]).markdown()

    means = run_means(pd.concat([requests, third]).assign(figure="fig9", topology="gts_ce"))
    figure = draw_headline(headline_table(means, other), other)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [text.split(":")[0] for text in texts] == [
        "Published delays (PETALS 250 s, Proposed 60 s)", "Without allocation delays",
        "Measured (PETALS 3 s, Proposed 2 s)",
    ]  # fmt: skip
    pair = study.model_copy(
        update={"compared": study.compared.model_copy(update={"method": "offloading"})}
    )
    free = requests.query("allocation_delays == 'free'").assign(allocation_delays="none")
    table = headline_table(run_means(free.assign(figure="fig9")), pair)
    assert table["ratio"].tolist() == pytest.approx([3.5 / 4] * 4)
    panel = draw_headline(table, pair).axes[0]
    assert panel.get_ylabel() == "Offloading / PETALS"
    assert panel.get_title(loc="left") == "Figure 9"
    assert panel.get_title(loc="right") == "GTS-CE"
    assert panel.get_xlabel().startswith("Arrival rate λ (requests/s)")


def test_titles_say_the_delays_of_their_sweep(study):
    assert study.sweeps["fig7"].delays("published") == (
        "Published delays (PETALS 250 s, Proposed 60 s)"
    )
    assert "PETALS 350 s" in study.sweeps["servers_26"].delays("published")
    assert study.sweeps["fig7"].delays("none") == "Without allocation delays"
    assert study.sweeps["fig7"].heading == "Figure 7 · Number of servers"
    assert study.sweeps["design_load"].heading == "Design load of the placement"


def test_caption_holds_no_more_than_is_said(settings, study, tmp_path):
    one = study_caption(settings, ["fig7"])
    assert list(one.sweeps) == ["fig7"]
    assert list(one.sweeps["fig7"].methods) == settings.sweeps["fig7"].methods
    assert set(one.methods) == set(settings.sweeps["fig7"].methods)
    assert [name for name in one.topologies if name in settings.topologies] == (
        settings.sweeps["fig7"].topologies
    )
    assert list(one.variants) == ["published", "none"]
    shared = study_caption(settings, [])
    assert set(shared.methods) == {"petals", "proposed"}
    assert shared.topologies == study.topologies
    assert "350000" not in study_caption(settings, ["fig7"]).model_dump_json()

    made = caption_slice(settings, "caption_study", settings.sweeps, tables=other_tables(settings))
    path = tmp_path / "caption.json"
    path.write_text(made.text, encoding="utf-8")
    asked = study_caption(settings, tables=other_tables(settings))
    assert read_caption(path).model_dump() == asked.model_dump()
    for text in ('{"sweeps": []}', "[]", "{"):
        path.write_text(text)
        with pytest.raises(BprrError, match=r"caption\.json"):
            read_caption(path)


def test_delays_that_vary_over_a_sweep_are_said_as_a_span(settings):
    swept = settings.sweeps["fig7"].model_copy(
        update={"axes": {"delays.published.per_method_ms.petals": [10_000, 250_000]}}
    )
    sweeps = {"fig7": swept, "fig9": settings.sweeps["fig9"]}
    caption = study_caption(settings.model_copy(update={"sweeps": sweeps}))
    title = caption.sweeps["fig7"].delays("published")
    assert title == "Published delays (PETALS 10–250 s, Proposed 60 s)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"figure": "fig99"}, "fig99"),
        ({"method": "guessed"}, "guessed"),
        ({"allocation_delays": "later"}, "later"),
    ],
)
def test_tables_of_another_study_are_refused(study, tmp_path, change, message):
    path = tmp_path / "fig7_abovenet.parquet"
    sweep_requests().query("run == 0").drop_duplicates("x").assign(**change).to_parquet(path)
    for plot in (
        lambda: plot_sweep(path, study, ARTEFACT, tmp_path / "a"),
        lambda: plot_headline([path], study, tmp_path / "b"),
        lambda: render_table([path], study, PUBLISHED, tmp_path / "c"),
    ):
        with pytest.raises(InputError, match=message):
            plot()
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_table_made_from_something_else_is_refused(study, tmp_path):
    path = tmp_path / "fig7_abovenet.parquet"
    asked = study.sweeps["fig7"].made["abovenet"].model_dump()
    made = {"settings_hash": asked["settings_hash"], "data": asked["data"]}
    write_table(sweep_requests(), path, made, asked["source"])
    assert len(asked_means(path, study))
    plots = (
        lambda: plot_sweep(path, study, ARTEFACT, tmp_path / "a"),
        lambda: plot_headline([path], study, tmp_path / "b"),
        lambda: Results(tmp_path, study, PUBLISHED).means(path.name),
    )
    for key in made:
        write_table(sweep_requests(), path, {**made, key: "0123"}, asked["source"])
        for plot in plots:
            with pytest.raises(InputError, match=rf"fig7_abovenet\.parquet: {key}: got '0123'"):
                plot()
    write_table(sweep_requests(), path, made, "0123")
    with pytest.raises(InputError, match="source: got '0123'"):
        asked_means(path, study)
    write_table(sweep_requests(), path, {}, "")  # somebody's, of whom nothing is asked
    assert len(asked_means(path, study))


def test_a_table_of_one_row_is_read(study, tmp_path):
    path = tmp_path / "fig7_abovenet.parquet"
    sweep_requests().query("status != 'ok'").head(1).to_parquet(path)
    assert asked_means(path, study)["feasible"].tolist() == [False]


def test_one_point_shows_every_method_and_one_run_claims_no_interval(fig7, study):
    requests = sweep_requests(points=((10, 0.5, 128),)).query("run == 0")
    means = run_means(requests)
    table = sweep_table(means, fig7, artefact_means(ARTEFACT))
    text = conditions(means, fig7)
    assert "confidence intervals" not in text
    assert "without a confidence interval" in text
    panel = draw_sweep(table, fig7, text).axes[0]
    for method in METHODS:
        color = style.method_styles([method])[method].color
        lines = [line for line in panel.lines if same_color(line.get_color(), color)]
        seen = [
            line
            for line in lines
            if np.ptp(line.get_xdata()) or line.get_marker() not in ("", "None")
        ]
        assert [line for line in seen if line.get_markerfacecolor() != "none"], method
    headline = draw_headline(headline_table(means, study), study)
    assert "confidence intervals" not in headline.get_supxlabel()
    assert "95 % confidence intervals" in conditions(run_means(sweep_requests()), fig7)


def test_a_users_matplotlibrc_changes_nothing(study, sweep_file, tmp_path):
    plain = plot_sweep(sweep_file, study, ARTEFACT, tmp_path / "plain")
    odd = {
        "text.usetex": True, "font.size": 30, "axes.facecolor": "red", "lines.antialiased": False,
        "axes.prop_cycle": matplotlib.cycler(color=["red"]), "mathtext.fontset": "cm",
        "image.cmap": "gray", "axes.labelpad": 20, "errorbar.capsize": 9, "savefig.bbox": "tight",
    }  # fmt: skip
    with matplotlib.rc_context(odd):
        users = plot_sweep(sweep_file, study, ARTEFACT, tmp_path / "users")
        assert matplotlib.rcParams["font.size"] == 30
    for one, other in zip(plain, users, strict=True):
        assert one.read_bytes() == other.read_bytes()


def steps_table(steps=6, share=-0.1):
    rows = [
        {
            "topology": "abovenet", "x": 0.5, "allocation_delays": variant, "order": "delays last",
            "step": f"step {number}", "method": "m", "runs": 4, "share": share,
            "ratio": 1 + share * steps,
        }
        for variant in ("published", "none")
        for number in range(steps)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_decomposition_of_any_number_of_steps(study):
    figure = draw_decomposition(steps_table(steps=7), study)
    assert len(figure.legends[0].get_texts()) == 7
    assert len(figure.axes[0].patches) == 7
    looks = {(p.get_facecolor(), p.get_hatch()) for p in figure.axes[0].patches}
    assert len(looks) == 7


def test_decomposition_with_missing_shares(study, tmp_path):
    table = steps_table()
    table.loc[table["allocation_delays"] == "none", ["share", "ratio"]] = np.nan
    path = tmp_path / "decomposition.csv"
    table.to_csv(path, index=False)
    assert len(plot_decomposition(path, study, tmp_path / "drawn")) == 3
    panels = draw_decomposition(table, study).axes
    assert [len(panel.patches) for panel in panels] == [6, 0]
    assert [text.get_text().strip() for text in panels[1].texts] == ["no run is feasible"]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"decomposition\.csv"):
        plot_decomposition(path, study, tmp_path / "drawn")


def test_map_of_a_swarm_of_many_devices(study):
    devices = [f"device {number}" for number in range(7)]
    servers = pd.DataFrame(
        {
            "method": "petals", "server": range(7), "node": range(7), "device": devices,
            "longitude_deg": np.arange(7.0), "latitude_deg": 0.0, "first_block": 1, "blocks": 3,
            "share": 0.5,
        }
    )  # fmt: skip
    view = SwarmView(servers, np.arange(7.0), np.zeros(7), [(0, 1)], 0, 70, 100, 0.5)
    figure = draw_map(view, study, "abovenet")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:7] == devices
    handles = figure.legends[0].legend_handles[:7]
    assert len({(line.get_color(), line.get_marker()) for line in handles}) == 7


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


def test_running_times_at_the_points_of_a_sweep(study, monkeypatch):
    """With 6 servers PETALS covers the model in some draws only; a reference is no algorithm."""
    monkeypatch.chdir(ROOT)
    smoke = load_settings(ROOT / "config/smoke.yaml")
    times = running_times_of_sweeps(smoke, ["fig7"], repeats=2)
    assert set(times["method"]) == set(smoke.sweeps["fig7"].methods) - {"offloading"}
    assert times.query("method == 'proposed'").groupby("x").size().to_dict() == {6: 2, 22: 2}
    table = sweep_times_table(times)
    assert (table["total_s_q25"] <= table["total_s"]).all()
    shown = table.query("method == 'proposed'")
    panel = draw_sweep_times(table, study).axes[0]
    assert drawn_means(panel, "#0072B2") == pytest.approx(1e3 * shown["total_s"].to_numpy())
    assert panel.get_xlabel() == "Number of servers C"
