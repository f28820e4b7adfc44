"""Means over runs that fall into two groups are found, and shown as such."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bprr.figures.from_settings import study_caption
from bprr.figures.published import artefact_means
from bprr.figures.sweep import draw_sweep, plot_sweep, sweep_table
from bprr.figures.two_modes import render_two_modes
from bprr.report.findings import finding
from bprr.report.page import table_of
from bprr.settings.configuration import load_settings
from bprr.study.modes import modes_of_points, two_modes
from bprr.study.summary import run_means

ARTEFACT = Path(__file__).parents[2] / "data/published/artefact_sweeps.csv"
GROUPS = np.repeat([1.0, 4.0], [12, 8])
NOISE = np.random.default_rng(5).uniform(0.9, 1.1, 20)


@pytest.fixture(scope="module")
def study():
    return study_caption(load_settings(), ["fig9"])


def test_two_groups_are_found() -> None:
    modes = two_modes(GROUPS * NOISE)
    assert modes is not None
    assert modes.low == pytest.approx(1, rel=0.05)
    assert modes.high == pytest.approx(4, rel=0.05)
    assert modes.low_share == 0.6
    scaled = two_modes(1000 * GROUPS[::-1] * NOISE[::-1])  # units and order are nothing to it
    assert scaled == pytest.approx((1000 * modes.low, 1000 * modes.high, 0.6))


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("one group", NOISE),
        ("all equal", np.ones(20)),
        ("a lone run far off", np.append(NOISE, 50.0)),
        ("groups that hardly differ", np.repeat([1.0, 1.3], 10) * (1 + 1e-3 * NOISE)),
        ("too few", [1.0, 1.0, 1.0, 9.0, 9.0, 9.0]),
        ("a tail", np.geomspace(1, 20, 40)),
    ],
)
def test_one_group_is_left_alone(what: str, values: list[float]) -> None:
    assert two_modes(values) is None


def modes_by_the_rule(values: np.ndarray) -> tuple[float, float, float] | None:
    """What the module says at its head, word by word."""
    data, count = np.sort(values), len(values)
    least = max(3, -(-count // 10))
    logs = [(np.log(data[:size]), np.log(data[size:])) for size in range(least, count - least + 1)]
    within = [sum(((each - each.mean()) ** 2).sum() for each in both) for both in logs]
    low, high = logs[int(np.argmin(within))]
    size = len(low)
    spread = np.sqrt((np.mean((low - low.mean()) ** 2) + np.mean((high - high.mean()) ** 2)) / 2)
    means = data[:size].mean(), data[size:].mean()
    if means[1] < 1.5 * means[0] or high.mean() - low.mean() <= (3.6 + 38 / count) * spread:
        return None
    return *means, size / count


@pytest.mark.parametrize("count", [10, 21, 60])
def test_groups_are_told_apart_by_the_rule(count: int) -> None:
    """Of groups so far apart that it is open whether they are two; their spreads differ."""
    rng, found = np.random.default_rng(count), []
    for _ in range(200):
        upper = rng.permutation(count) < rng.integers(2, count - 2)
        spread = rng.uniform(0.02, 0.6, 2)[upper.astype(int)]
        apart = rng.choice([0.4, (3.6 + 38 / count) * spread.mean()]) * rng.uniform(0.7, 1.5)
        values = np.exp(apart * upper + spread * rng.normal(0, 1, count))
        found.append(two_modes(values))
        assert found[-1] == pytest.approx(modes_by_the_rule(values))
    assert 20 < sum(each is not None for each in found) < 180


@pytest.mark.parametrize("count", [10, 50, 300])
def test_single_peaks_are_rarely_split(count: int) -> None:
    rng = np.random.default_rng(count)
    found = [two_modes(np.exp(rng.normal(0, 1, count))) is not None for _ in range(300)]
    assert np.mean(found) < 0.02
    parted = rng.random((300, count)) < 0.5
    values = np.exp(np.where(parted, 0, 12) + rng.normal(0, 1, (300, count)))
    assert np.mean([two_modes(each) is not None for each in values]) > 0.9


def requests() -> pd.DataFrame:
    """Twenty runs of a request: PETALS' fall into two groups at λ = .5, the others do not."""
    shared = {"figure": "fig9", "topology": "abovenet", "servers": 9, "eta": 0.2, "requests": 1,
              "output_tokens": 128, "input_tokens": 20, "status": "ok", "allocation_delays": "none",
              "wait_ms": 0.0, "max_concurrent": 1}  # fmt: skip
    rows = []
    for x, groups in ((0.1, np.ones(20)), (0.5, GROUPS)):
        for method, ms in (("petals", 1000 * groups), ("proposed", np.full(20, 500.0))):
            for run, value in enumerate(ms * NOISE):
                times = dict.fromkeys(("per_token_ms", "ttft_ms", "remaining_per_token_ms"), value)
                row = {**shared, "x": x, "rate_per_s": x, "method": method, "run": run}
                rows.append({**row, **times})
    return pd.DataFrame(rows)


def test_figures_mark_both_groups_and_keep_their_numbers(study, tmp_path: Path) -> None:
    means, caption = run_means(requests()), study.sweeps["fig9"]
    modes = modes_of_points(means, "per_token_ms")
    assert modes[["x", "method"]].to_numpy().tolist() == [[0.5, "petals"]]
    table = sweep_table(means, caption, artefact_means(ARTEFACT))
    panel = draw_sweep(table, caption, "", modes).axes[0]
    (mark,) = [line for line in panel.lines if line.get_linestyle() == ":"]
    assert mark.get_ydata() == pytest.approx(
        [modes["low"].item() / 1000, modes["high"].item() / 1000]
    )
    low, high = panel.get_ylim()
    assert low < mark.get_ydata()[0] < mark.get_ydata()[1] < high
    assert not [line for line in draw_sweep(table, caption, "").axes[0].lines
                if line.get_linestyle() == ":"]  # fmt: skip
    path = tmp_path / "fig9_abovenet.parquet"
    requests().to_parquet(path)
    csv = plot_sweep(path, study, ARTEFACT, tmp_path / "drawn")[0]
    assert "low_share" not in pd.read_csv(csv)


def test_table_of_them(study, tmp_path: Path) -> None:
    path = tmp_path / "fig9_abovenet.parquet"
    requests().to_parquet(path)
    csv, _, _, markdown = render_two_modes([path], study, tmp_path / "two_modes")
    (rows,) = table_of(markdown)["groups"].values()
    assert rows[0][0] == "PETALS"
    assert rows[0][-1] == "60 % of 20"
    assert finding("two_modes", pd.read_csv(csv), study) == (
        "Means whose runs fall into two groups: 1, of PETALS 1."
    )
    requests().query("x == 0.1").to_parquet(path)
    csv, _, _, markdown = render_two_modes([path], study, tmp_path / "none")
    assert table_of(markdown)["groups"] == {}
    assert finding("two_modes", pd.read_csv(csv), study).endswith(": 0.")


def test_runs_that_were_not_feasible_are_in_neither_group() -> None:
    point = {"figure": "f", "topology": "t", "x": 1.0, "allocation_delays": "none", "method": "m"}
    values = np.append(GROUPS, [np.nan] * 20)
    means = pd.DataFrame({**point, "per_token_ms": values})
    means = pd.concat([means, means.assign(method="one", per_token_ms=1.0)])
    (row,) = modes_of_points(means, "per_token_ms").to_dict("records")
    assert row == {
        **point, "metric": "per_token_ms", "mean": pytest.approx(2.2), "runs": 20,
        "low": 1.0, "high": 4.0, "low_share": 0.6,
    }  # fmt: skip
    assert modes_of_points(means[means["method"] == "one"], "per_token_ms").empty
    # Points come in the order of the table, as sweeps and figures have them.
    runs = means[means["method"] == "m"]
    both = pd.concat([runs.assign(method=name) for name in ("z", "a")])
    assert modes_of_points(both, "per_token_ms")["method"].tolist() == ["z", "a"]


def test_the_edges_of_the_rule() -> None:
    assert two_modes(np.append(0.0, GROUPS * NOISE)) is None  # no logarithm
    assert two_modes(1e-3 * GROUPS * NOISE) is not None
    assert two_modes(np.repeat([1.0, 1.5], 10)) == (1.0, 1.5, 0.5)  # just a factor of 1.5
    # Three of 31 are less than a tenth, three of 30 are one.
    noise = np.random.default_rng(5).uniform(0.9, 1.1, 28)
    assert two_modes(np.append([1.0, 1.1, 0.9], 10 * noise)) is None
    assert two_modes(np.append([1.0, 1.1, 0.9], 10 * noise[:27])) is not None
