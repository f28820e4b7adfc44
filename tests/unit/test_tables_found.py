"""Tables III and VI in the settings found: cells, sensitivity, and the answer in four sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bprr.figures.answer import answer
from bprr.figures.cells import as_printed, printed_cells
from bprr.figures.from_settings import study_caption
from bprr.figures.published import published_results
from bprr.figures.sensitivity import draw_sensitivity, sensitivity_table
from bprr.figures.served import INDEPENDENT, ServiceModel, by_model
from bprr.figures.tables_found import (
    against_gpus,
    draw_against_gpus,
    draw_found,
    draw_trend,
    found_table,
    gains_by_network,
)
from bprr.figures.tables_queues import (
    best_counts,
    lines_of_time,
    lines_table,
    served_against_gpus,
)
from bprr.ground.errors import InputError
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.settings.configuration import load_settings
from bprr.study.points import catalogue, sweep_points

PUBLISHED = published_results(Path("data/published/results.csv"))
SETTINGS = load_settings()
STUDY = study_caption(
    SETTINGS,
    ["tables_found", "tables_sensitivity", "tables_queues", "table3", "table6", "fig9"],
)
CAPTION = STUDY.sweeps["tables_found"]
FACTORS = {"published": 1.0, "none": 0.25, "nine_servers": 1.0}


def own(figure: str, factor: float = 1.0) -> pd.DataFrame:
    """Two runs of every printed cell, the printed value times a factor; Table III at 1/s."""
    rows = [
        {
            "figure": figure, "topology": cell["setting"], "x": number, "method": cell["method"],
            "allocation_delays": variant, "run": run, "output_tokens": cell["output_tokens"],
            "rate_per_s": 1.0 if cell["table"] == "table3" else cell["rate_per_s"],
            "per_token_ms": 1000 * cell["simulator"] * factor * less,
        }
        for number, cell in printed_cells(PUBLISHED).iterrows()
        if cell["table"] == "table6" or cell["rate_per_s"] == 0.1
        for variant, less in FACTORS.items()
        for run in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_every_printed_cell_stands_beside_both_settings() -> None:
    table = found_table(own("tables_found", 1.01), own("table3", 2.0), PUBLISHED, CAPTION)
    assert list(table) == [
        "table", "setting", "method", "rate_per_s", "output_tokens",
        "published_s", "found_s", "low", "high", "stated_s", "measured_gpu_s",
    ]  # fmt: skip
    assert len(table) == 48
    assert not table.isna().any(axis=None)
    np.testing.assert_allclose(table["found_s"], 1.01 * table["published_s"])
    np.testing.assert_allclose(table["stated_s"], 2 * table["published_s"])
    draw_found(table, CAPTION)


def test_cells_are_found_by_their_setting() -> None:
    cells = as_printed(own("tables_found"), PUBLISHED)
    both = cells[cells["topology"] == "cluster0"].groupby("rate_per_s")["per_token_ms"]
    assert sorted(both.groups) == [0.1, 0.5]
    assert both.sum().nunique() == 1
    assert len(cells) == 48 * 2 * len(FACTORS)


def test_simulations_are_scored_against_the_gpus() -> None:
    table = against_gpus(own("tables_found"), own("table3", 2.0), PUBLISHED, CAPTION)
    medians = table.assign(size=table["deviation"].abs()).groupby("source")["size"].median()
    assert len(table) == 5 * 48
    assert medians["ours, setting found"] == pytest.approx(medians["the authors' simulator"])
    assert medians["ours, setting found, without delays"] > 0.7
    draw_against_gpus(table, CAPTION)


OLDEST = {"serial": {"order": "oldest", "prompt": "block", "prefetch": 0, "belief": "where_room"}}
BATCHED = {"batched": {"beta_share": 0.1, "belief": "where_room"}}


def queued(times: dict[str, float], counts: dict[float, float]) -> pd.DataFrame:
    """Two places under three services, at so many times the printed times."""
    base, parts = own("tables_queues"), []
    for topology in ("cluster0", "abovenet"):
        cells = base[base["topology"] == topology]
        changes = STUDY.sweeps["tables_queues"].changes[topology]
        firsts = {str(value): number for number, (_, value) in reversed([*enumerate(changes)])}
        chosen = [firsts[str(value)] for value in (None, OLDEST, BATCHED)]
        for number in chosen:
            key, value = changes[number]
            name = next(iter(value)) if key else INDEPENDENT
            for count, factor in counts.items():
                scaled = cells["per_token_ms"] * times[name] * factor
                columns = {"x": float(number), "servers": 9, "eta": 0.2, "requests": count}
                columns |= {"regime": "stable" if count == 50 else "overloaded", "bound": name}
                parts.append(cells.assign(per_token_ms=scaled, **columns))
    return pd.concat(parts, ignore_index=True)


def test_servers_with_queues_are_scored_beside() -> None:
    """Serial ones at twice the printed times, batched ones at half; with 50 requests, not 20."""
    times = {INDEPENDENT: 1.0, "serial": 2.0, "batched": 0.5}
    means = queued(times, {20.0: 9.0, 50.0: 1.0})
    caption, served = STUDY.sweeps["tables_queues"], {}
    for _, rows in means.groupby("topology"):
        for model, runs in by_model(rows, caption).items():
            served.setdefault(model, []).append(runs)
    assert {model.service.split()[0] for model in served} == set(times)
    assert ServiceModel("serial", "oldest block", "where_room") in served
    joined = {model: pd.concat(parts) for model, parts in served.items()}
    table = served_against_gpus(joined, PUBLISHED, STUDY)
    assert len(set(table["source"])) == len(served) * 2 * len(set(table["delays"]))
    assert (table["regime"] == np.where(table["requests"] == 50, "stable", "overloaded")).all()
    assert (table["bound"] == table["service"].str.split().str[0]).all()
    plain = own("tables_found").query("topology in ('cluster0', 'abovenet')")
    alone = against_gpus(plain, own("table3"), PUBLISHED, CAPTION)
    found = (1 + alone["deviation"]).groupby(alone["source"]).median()["ours, setting found"]
    with_delays = table[(table["delays"] == "published") & (table["requests"] == 50)]
    ratios = (1 + with_delays["deviation"]).groupby(with_delays["service"].str.split().str[0])
    for name, factor in times.items():
        assert ratios.median()[name] == pytest.approx(factor * found)
    best = best_counts(table[table["delays"] == "published"])
    assert set(best["requests"]) == {50}
    text, lines = lines_table(pd.concat([alone, best]), STUDY)
    assert text.rows[0][0] == "measured on GPUs"
    assert len(text.rows) == 1 + len(set(alone["source"])) + len(served)
    serial = lines[lines["source"].str.startswith("serial")]
    plain = lines[lines["source"].str.startswith("independent")]
    key = ["place", "method"]
    both = serial.merge(plain, on=key, suffixes=("", "_plain"))
    assert both["start_s"].to_numpy() == pytest.approx(2 * both["start_s_plain"].to_numpy())
    draw_against_gpus(pd.concat([alone, best]), CAPTION)


def test_lines_through_what_was_measured_on_gpus() -> None:
    """By hand; with two lengths the line goes through the means of their cells."""
    table = against_gpus(own("tables_found"), own("table3"), PUBLISHED, CAPTION)
    cells = table[table["source"] == "the authors' simulator"]
    lines = lines_of_time(cells, "measured_gpu_s").set_index(["place", "method"])
    for place, method, start_s, per_token_s in [
        ("Table III", "petals", 101.5, 4.105), ("Table III", "proposed", 79.2, 0.648),
        ("abovenet", "petals", 104.4, 3.490), ("abovenet", "proposed", 66.6, 0.875),
    ]:  # fmt: skip
        assert lines.loc[(place, method), "start_s"] == pytest.approx(start_s, abs=0.1)
        assert lines.loc[(place, method), "per_token_s"] == pytest.approx(per_token_s, abs=0.001)


def test_gains_by_network() -> None:
    gains = gains_by_network(own("tables_found"), PUBLISHED, CAPTION)
    wide = gains.pivot(index="source", columns="setting", values="gain")
    assert len(wide) == 2 + len(FACTORS)
    trend = wide["gts_ce"] - wide["abovenet"]
    assert trend["printed, simulator"] == pytest.approx(0.0777, abs=1e-4)
    assert trend["printed, measured on GPUs"] == pytest.approx(0.1468, abs=1e-4)
    draw_trend(gains, CAPTION)


def test_sensitivity_tells_what_was_changed() -> None:
    """Only AboveNet at 100 requests is off, by half; all else is as found."""
    caption = STUDY.sweeps["tables_sensitivity"]
    base = own("tables_sensitivity")
    parts = []
    for topology, changes in caption.changes.items():
        cells = base[base["topology"] == topology]
        for number, (key, value) in enumerate(changes):
            off = topology == "abovenet" and key == "workload.requests" and value == 100
            row = cells.assign(x=number, per_token_ms=cells["per_token_ms"] * (1.5 if off else 1))
            parts.append(row)
    table = sensitivity_table(pd.concat(parts), PUBLISHED, caption)
    changed = table[table["mean_error"] > 1e-9]
    assert changed[["key", "value", "cells"]].to_numpy().tolist() == [
        ["workload.requests", "100", 48]
    ]
    assert changed["mean_error"].item() == pytest.approx(0.5 * 8 / 48)
    assert set(table["key"]) == {"", *SETTINGS.sweeps["tables_sensitivity"].one_at_a_time}
    draw_sensitivity(table, caption)


def test_one_key_at_a_time() -> None:
    sweep = SETTINGS.sweeps["tables_sensitivity"]
    points = sweep.points("cluster0")
    assert len(points) == 2 * (1 + 8 + 4 + 4 + 3 + 5 + 4 + 1)
    # One rate for both columns is one experiment.
    at_one = [point for key, value, point in sweep.changed_points("abovenet")
              if (key, value) == ("workload.rate_per_s", 1)]  # fmt: skip
    assert len(at_one) == 2
    assert len(sweep_points(SETTINGS, "tables_sensitivity", "abovenet")) == len(
        sweep.points("abovenet")
    )


def test_orders_of_joining_and_delays_of_links() -> None:
    found = load_scenario("table3_found")
    order = draw(found, catalogue(SETTINGS), 2025, 7).join_order
    assert order.tolist() == [1, 8, 2, 6, 5, 4, 0, 3, 7]
    with pytest.raises(InputError, match="each of the servers 1 to 9 once"):
        draw(load_scenario("table3_found", {"join_order": [1, 2]}), catalogue(SETTINGS), 1, 0)
    near, far = (
        draw(
            load_scenario("table6_found", {"network.delay_factor": factor}),
            catalogue(SETTINGS),
            1,
            0,
        )
        for factor in (1.0, 2.93)
    )
    nodes = near.server_node
    np.testing.assert_allclose(
        far.network.rtt_ms(nodes, nodes), 2.93 * near.network.rtt_ms(nodes, nodes)
    )


def test_the_answer_changes_with_the_results() -> None:
    def told(ratio: float, factor: float) -> list[str]:
        headline = pd.DataFrame(
            [
                {"figure": "fig9", "topology": topology, "x": x, "allocation_delays": variant,
                 "ratio": ratio if variant == "none" else 0.3}
                for topology in ("abovenet", "gts_ce")
                for x in (0.05, 1.0)
                for variant in ("published", "none")
            ]
        )  # fmt: skip
        found, stated = own("tables_found", factor), own("table3")
        table = found_table(found, stated, PUBLISHED, CAPTION)
        return answer(headline, table, against_gpus(found, stated, PUBLISHED, CAPTION), STUDY)

    first, gpus, calibration, unknown = told(0.6, 1.02)
    assert "without any such delay 60 % (median 60 %)" in first
    assert "60 % on AboveNet, 60 % on GTS-CE" in first
    assert "saved 63 to 80 %" in gpus
    assert "48 cells" in gpus
    assert "2.0 % in the mean" in gpus
    other = told(0.7, 1.05)
    assert "70 % on GTS-CE" in other[0]
    assert "5.0 % in the mean" in other[1]
    assert other[2] != calibration
    assert other[3] == unknown
