"""Every figure and table shows what the record says: its words, marks, colours, axes and numbers.

From small tables, whose figures were looked at. After a change that is meant, write the records
anew and read what is different:

    python tests/golden/test_pictures.py && git diff tests/golden/pictures
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from telling import told

from bprr.figures.answer import answer
from bprr.figures.beyond import beyond_rows, draw_beyond
from bprr.figures.beyond_slo import beyond_slo, slo_table
from bprr.figures.caption import Compared, StudyCaption, SweepCaption, Variant
from bprr.figures.claims_services import claims_services
from bprr.figures.decomposition import draw_decomposition, draw_decomposition_by_service
from bprr.figures.fit_time import draw_fit
from bprr.figures.frontier import draw_frontier, frontier_rows
from bprr.figures.headline import draw_headline, headline_table, summary_table
from bprr.figures.living import draw_living, living_rows
from bprr.figures.offline_optimality import draw_bound, draw_optimality, optimality_table
from bprr.figures.offline_race import draw_race
from bprr.figures.offline_variants import draw_equal_blocks, draw_stopping
from bprr.figures.orders import draw_orders, orders_table
from bprr.figures.robust import draw_robust, robust_rows
from bprr.figures.running_times import running_times_layout, running_times_table
from bprr.figures.sensitivity import draw_sensitivity, sensitivity_table
from bprr.figures.served import ServiceModel
from bprr.figures.service_answer import answer_table, draw_service_answer
from bprr.figures.service_models import service_models
from bprr.figures.swarm_map import draw_map
from bprr.figures.sweep import conditions, draw_sweep, sweep_table
from bprr.figures.sweep_times import draw_sweep_times, sweep_times_table
from bprr.figures.tables import comparison, comparison_layout
from bprr.figures.tables_found import (
    against_gpus,
    draw_against_gpus,
    draw_found,
    draw_trend,
    found_table,
    gains_by_network,
)
from bprr.figures.tables_queues import best_counts, lines_table, served_against_gpus
from bprr.figures.two_modes import two_modes_layout
from bprr.figures.wan_swarms import draw_wan_swarms
from bprr.report.findings import finding
from bprr.study.modes import modes_of_points
from bprr.study.summary import run_means
from bprr.study.swarm_view import SwarmView

RECORDS = Path(__file__).with_name("pictures")
Shown = tuple[Figure | None, pd.DataFrame, str]
EXHIBITS: dict[str, Callable[[], Shown]] = {}

METHODS = {
    "petals": "PETALS", "optimized_rr": "Optimized RR", "proposed": "Proposed",
    "offloading": "Offloading", "mine": "Mine",
}  # fmt: skip
NAMES = {
    "confidence": 0.95,
    "compared": Compared(method="proposed", baseline="petals"),
    "methods": METHODS,
    "topologies": {"abovenet": "AboveNet", "gts_ce": "GTS-CE", "cluster0": "client in cluster0"},
    "variants": {
        "published": Variant(
            label="Published delays", delays_s={"petals": (250, 350), "proposed": (60, 60)}
        ),
        "none": Variant(label="Without delays", delays_s={"petals": (0, 0), "proposed": (0, 0)}),
    },
}
SERVICES = [("", None), ("service", None), ("service", {"serial": {"order": "lifo"}}),
            ("service", {"batched": {"beta_share": 0.25, "prompt": "64"}})]  # fmt: skip


def sweep_caption(name: str, title: str, x_label: str, paper: str = "", **more: object) -> object:
    return SweepCaption(name=name, title=title, x_label=x_label, paper=paper, **NAMES, **more)


STUDY = StudyCaption(
    **NAMES,
    sweeps={
        "fig7": sweep_caption("fig7", "Number of servers", "Servers C", "Figure 7"),
        "fig9": sweep_caption("fig9", "Arrival rate", "Arrival rate λ (requests/s)", "Figure 9"),
        "mine": sweep_caption("mine", "My sweep", "Tokens"),
        "table6": sweep_caption("table6", "Three networks", "", "Table VI"),
        "table3": sweep_caption("table3", "Nine servers", "", "Table III"),
        "tables_found": sweep_caption("tables_found", "Found", ""),
        "fig7_service": sweep_caption("fig7_service", "", "", changes={"abovenet": SERVICES}),
        "tables_sensitivity": sweep_caption(
            "tables_sensitivity", "", "",
            changes={
                "gts_ce": [("", None), ("join_order", None), ("network.delay_factor", 2.5),
                           ("spare", {"a": 60, "b": 70})],
                "cluster0": [("", None), ("join_order", None)],
            },
        ),
    },
)  # fmt: skip


def exhibit(draw: Callable[[], Shown]) -> Callable[[], Shown]:
    EXHIBITS[draw.__name__] = draw
    return draw


def requests(
    figure: str, topology: str, points: dict[float, tuple[int, float, int]], runs: int = 3,
    methods: tuple[str, ...] = ("petals", "optimized_rr", "proposed", "offloading"),
) -> pd.DataFrame:  # fmt: skip
    """Two requests a run, methods apart by known factors; some runs of two methods infeasible."""
    factors = dict(zip(METHODS, (4.0, 3.0, 1.0, 3.5, 2.0), strict=True))
    rows = []
    for number, (x, (servers, rate, tokens)) in enumerate(points.items()):
        for run in range(runs):
            for variant in ("published", "none"):
                for method in methods:
                    lost = (method == "optimized_rr" and number == 1 and run < 1) or (
                        method == "mine" and number == 0
                    )
                    place = {
                        "figure": figure, "topology": topology, "x": x, "servers": servers,
                        "eta": 0.2, "rate_per_s": rate, "output_tokens": tokens,
                        "allocation_delays": variant, "method": method, "run": run, "requests": 2,
                    }  # fmt: skip
                    if lost:
                        rows.append({**place, "status": "infeasible: not enough GPU memory"})
                        continue
                    for request in range(2):
                        own_ms = 500 * factors[method] * (1 + 0.1 * number + 0.05 * run**2)
                        paid_ms = 300 * (1 + factors[method]) if variant == "published" else 0
                        per_token_ms = own_ms + paid_ms + 10 * request
                        rows.append(
                            {
                                **place, "status": "ok", "input_tokens": 20, "wait_ms": 0.0,
                                "per_token_ms": per_token_ms, "ttft_ms": 20 * per_token_ms,
                                "remaining_per_token_ms": 0.9 * per_token_ms, "max_concurrent": 3,
                                "arrival_ms": 1000.0 * request + 100 * run,
                                "capacity_per_s": 2.0, "memory_capacity_per_s": 1.0 + run,
                            }
                        )  # fmt: skip
    return pd.DataFrame(rows)


def artefact(means: pd.DataFrame, error: float) -> pd.DataFrame:
    """Somebody else's means, of two methods and one metric."""
    both = means[means["method"].isin(["petals", "proposed"]) & (means["run"] == 0)]
    place = both[["figure", "topology", "x", "allocation_delays", "method"]]
    return place.assign(
        metric="per_token_ms", artefact_mean=1.05 * both["per_token_ms"], artefact_se=error,
        artefact_runs=5,
    )  # fmt: skip


def swept(figure: str, points: dict[float, tuple[int, float, int]], **more: object) -> Shown:
    means = run_means(requests(figure, "abovenet", points, **more))
    caption = STUDY.sweeps[figure]
    table = sweep_table(means, caption, artefact(means, 20.0))
    return draw_sweep(table, caption, conditions(means, caption)), table, ""


@exhibit
def sweep_over_servers() -> Shown:
    return swept("fig7", {6.0: (6, 0.5, 128), 10.0: (10, 0.5, 128), 14.0: (14, 0.5, 128)})


@exhibit
def sweep_on_a_logarithmic_axis_with_a_method_that_never_runs() -> Shown:
    points = {64.0: (9, 0.1, 64), 4096.0: (9, 0.75, 4096)}
    return swept("mine", points, methods=("mine", "proposed", "petals", "offloading"))


@exhibit
def sweep_whose_points_are_close() -> Shown:
    """Ticks whose labels would touch have none."""
    return swept("fig7", {1000.0 + 40 * n: (6 + n, 0.5, 128) for n in range(20)}, runs=2)


@exhibit
def sweep_of_one_point_and_one_run() -> Shown:
    return swept("fig9", {0.5: (9, 0.5, 128)}, runs=1)


def compared() -> pd.DataFrame:
    fig7 = {6.0: (6, 0.5, 128), 10.0: (10, 0.5, 128)}
    fig9 = {0.05: (9, 0.05, 128), 0.5: (9, 0.5, 128), 1.0: (9, 1.0, 128)}
    parts = [
        requests("fig7", "abovenet", fig7), requests("fig9", "abovenet", fig9),
        requests("fig9", "gts_ce", fig9), requests("mine", "gts_ce", fig7),
    ]  # fmt: skip
    means = run_means(pd.concat(parts))
    lost = (means["figure"] == "fig9") & (means["x"] == 1.0) & (means["method"] == "proposed")
    means.loc[lost & (means["allocation_delays"] == "none"), "per_token_ms"] = np.nan
    return means


@exhibit
def headline_with_the_answer() -> Shown:
    table = headline_table(compared(), STUDY)
    cells = found_table(cells_of("tables_found"), cells_of("table6", 1.5), PRINTED, FOUND)
    sentences = answer(
        table, cells,
        against_gpus(cells_of("tables_found"), cells_of("table6", 1.5), PRINTED, FOUND), STUDY,
    )  # fmt: skip
    text = "\n".join([summary_table(table, STUDY), *sentences])
    return draw_headline(table, STUDY, sentences), table, text


@exhibit
def headline_of_one_sweep_under_one_variant() -> Shown:
    means = compared().query("figure == 'fig7' and allocation_delays == 'none'")
    table = headline_table(means, STUDY)
    return draw_headline(table, STUDY), table, summary_table(table, STUDY)


@exhibit
def decomposition() -> Shown:
    rows = [
        {"topology": topology, "x": x, "allocation_delays": variant, "order": order, "step": step,
         "method": "m", "runs": 4, "share": share * (1 + x) if shown else np.nan,
         "ratio": ratio if shown else np.nan}
        for variant in ("published", "none")
        for topology, x, shown in [("abovenet", 0.1, True), ("gts_ce", 0.5, True),
                                   ("gts_ce", 1.0, variant == "published")]
        for order in ("delays last", "delays first")
        for step, share, ratio in [("cache", -0.3, 0.7), ("number", 0.1, 0.8), ("R", -0.1, 0.7),
                                   ("routing", 0.0, 0.7), ("order", -0.05, 0.65),
                                   ("delays", -0.2, 0.45)]
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return draw_decomposition(table, STUDY), table, ""


@exhibit
def decomposition_by_service() -> Shown:
    rows = [
        {"service": service, "service_order": order, "belief": belief, "topology": "gts_ce", "x": x,
         "allocation_delays": variant, "order": "delays last", "step": step, "method": "m",
         "runs": 4, "share": share * (1 + x), "ratio": ratio}
        for service, order, belief in [("independent", "", ""), ("serial", "fifo", "where_room")]
        for variant in ("published", "none")
        for x in (0.1, 0.5)
        for step, share, ratio in [("cache", -0.3, 0.7), ("number", 0.1, 0.8), ("R", -0.1, 0.7)]
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return draw_decomposition_by_service(table, STUDY, 0.5), table, ""


@exhibit
def claims_by_service() -> Shown:
    rows = [
        ("gain", "time saved", "share", "published", "serial", "fifo", "ends_now", 0.4, "yes"),
        ("gain", "time saved", "share", "published", "serial", "fifo", "where_room", 0.1, "no"),
        ("gain", "time saved", "share", "none", "serial", "fifo", "ends_now", -0.4, "contradicted"),
        ("gain", "time saved", "share", "none", "batched 0.1", "", "ends_now", 0.7, "yes"),
        ("hurts", "points", "points", None, None, None, None, np.nan, "not run"),
    ]
    names = ["id", "statement", "unit", "delays", "service", "order", "belief", "ours", "holds"]
    table = pd.DataFrame(rows, columns=names).fillna({"service": "", "order": ""})
    layout = claims_services(table, STUDY)
    return layout.draw(), table, layout.markdown()


CELLS = {0.0: (9, 0.1, 64), 1.0: (9, 0.5, 64), 2.0: (9, 0.5, 128)}
PRINTED = pd.DataFrame(
    [
        {"table": table, "setting": setting, "method": method, "rate_per_s": rate,
         "output_tokens": tokens, "quantity": quantity, "value_s": value * factor * (1 + rate),
         "sd_s": np.nan}
        for table, setting in (("table6", "abovenet"), ("table6", "gts_ce"),
                               ("table3", "cluster0"))
        for _, rate, tokens in CELLS.values()
        for method, value in (("petals", 2.4), ("proposed", 0.75))
        for quantity, factor in (("simulator", 1.0), ("experiment", 1.2))
    ]
)  # fmt: skip
FOUND = STUDY.sweeps["tables_found"]
SETTINGS = ("abovenet", "gts_ce", "cluster0")


def cells_of(figure: str, factor: float = 1.0, methods: tuple[str, ...] = ("petals", "proposed")):
    parts = [requests(figure, place, CELLS, methods=methods) for place in SETTINGS]
    means = run_means(pd.concat(parts))
    return means.assign(per_token_ms=factor * means["per_token_ms"])


@exhibit
def table_of_two_networks() -> Shown:
    means = cells_of("table6", methods=("petals", "optimized_rr", "proposed", "offloading"))
    means = means[means["topology"] != "cluster0"]
    never = (
        (means["method"] == "optimized_rr") & (means["x"] == 2) & (means["topology"] == "gts_ce")
    )
    means.loc[never, "per_token_ms"] = np.nan
    means.loc[never, "feasible"] = False
    caption = STUDY.sweeps["table6"]
    table = comparison(means, PRINTED, caption)
    layout = comparison_layout(table, caption)
    return layout.draw(), table, layout.markdown()


@exhibit
def table_by_client_of_one_run() -> Shown:
    means = cells_of("table3")
    means = means[(means["topology"] == "cluster0") & (means["run"] == 0)]
    caption = STUDY.sweeps["table3"]
    table = comparison(means, PRINTED, caption)
    layout = comparison_layout(table, caption)
    return layout.draw(), table, layout.markdown()


@exhibit
def tables_found() -> Shown:
    table = found_table(cells_of("tables_found"), cells_of("table6", 1.5), PRINTED, FOUND)
    return draw_found(table, FOUND), table, ""


@exhibit
def tables_found_on_one_network() -> Shown:
    table = found_table(cells_of("tables_found"), cells_of("table6", 1.5), PRINTED, FOUND)
    table = table[table["setting"] == "gts_ce"]
    return draw_found(table, FOUND), table, ""


@exhibit
def tables_found_gpus() -> Shown:
    table = against_gpus(cells_of("tables_found"), cells_of("table6", 1.5), PRINTED, FOUND)
    return draw_against_gpus(table, FOUND), table, ""


@exhibit
def tables_found_trend() -> Shown:
    table = gains_by_network(cells_of("tables_found"), PRINTED, FOUND)
    return draw_trend(table, FOUND), table, ""


@exhibit
def sensitivity() -> Shown:
    caption = STUDY.sweeps["tables_sensitivity"]
    parts = [
        cells_of("tables_sensitivity", 1 + 0.2 * number)
        .query(f"topology == '{place}'")
        .assign(x=float(number))
        for place, changes in caption.changes.items()
        for number, _ in enumerate(changes)
    ]
    table = sensitivity_table(pd.concat(parts), PRINTED, caption)
    return draw_sensitivity(table, caption), table, ""


@exhibit
def times_by_service() -> Shown:
    points = {0.0: (6, 0.5, 128), 1.0: (6, 0.5, 128), 2.0: (10, 1.5, 128), 3.0: (10, 2.5, 128)}
    table = requests("fig7_service", "abovenet", points, methods=("petals", "proposed", "mine"))
    found = service_models(table, STUDY.sweeps["fig7_service"])
    plain = requests("fig7", "abovenet", {6.0: (6, 0.5, 128)}, methods=("petals", "proposed"))
    plain = plain.drop(columns=["capacity_per_s", "memory_capacity_per_s"])
    both = pd.concat([found, service_models(plain, STUDY.sweeps["fig7"])])
    return draw_service_answer(both, STUDY), both, answer_table(both, STUDY).markdown()


@exhibit
def running_times() -> Shown:
    times = pd.DataFrame(
        [
            {"setting": setting, "method": method, "repeat": repeat, "servers": 9, "requests": 100,
             "placement_s": 0.001 * placement, "routing_s_per_request": 1e-5 * (1 + repeat),
             "total_s": 0.001 * placement + 0.001 * (1 + repeat)}
            for setting in ("cluster0", "gts_ce")
            for method in ("petals", "proposed")
            for repeat, placement in enumerate((1, 2, 9, 3))
        ]
    )  # fmt: skip
    printed = pd.DataFrame(
        [
            {"table": "table8", "setting": setting, "method": method, "value_s": 0.0186,
             "sd_s": error}
            for setting in ("cluster0", "gts_ce")
            for method, error in (("petals", 0.0013), ("proposed", np.nan))
        ]
    )  # fmt: skip
    table = running_times_table(times, printed)
    layout = running_times_layout(table, STUDY)
    return layout.draw(), table, layout.markdown()


@exhibit
def swarm_map() -> Shown:
    servers = pd.DataFrame(
        [
            {"method": method, "server": server, "node": node, "device": f"device {server % 2}",
             "longitude_deg": 10.0 * node, "latitude_deg": 5.0 * node, "first_block": first,
             "blocks": blocks, "share": share}
            for method, shift in (("petals", 0), ("proposed", 1))
            for server, node, first, blocks, share in [
                (1, 0, 1, 4 + shift, 1.0), (2, 2, 5 + shift, 6 - shift, 0.75),
                (3, 2, 5, 3, 0.0), (4, 3, 5 + shift, 6 - shift, 0.25),
            ]
        ]
    )  # fmt: skip
    east, north = 10.0 * np.arange(4), 5.0 * np.arange(4)
    view = SwarmView(servers, east, north, [(0, 1), (1, 2), (2, 3)], 1, 10, 40, 0.5)
    return draw_map(view, STUDY, "gts_ce"), servers, ""


CASE = {"family": "clustered", "servers": 9, "clients": 1, "load": 3, "draw": 0}


@exhibit
def offline_optimality() -> Shown:
    rows = []
    for family, servers, load in (("clustered", 9, 3), ("clustered", 9, 8), ("scattered", 26, 3)):
        for draw in range(3):
            case = {**CASE, "family": family, "servers": servers, "load": load, "draw": draw}
            stopped = family == "scattered" and draw == 2
            excess = {"cg_bprr": draw, "petals": 40.0 + draw, "gsa": 300.0}
            rows.append({**case, "method": "optimum", "above_optimum_percent": 0.0,
                         "status": "gap_reached" if stopped else "optimal"})  # fmt: skip
            for method, percent in excess.items():
                none = method == "gsa" and servers == 9 and (draw == 0 or load == 8)
                rows.append(
                    {**case, "method": method, "status": "infeasible: memory" if none else "found",
                     "above_optimum_percent": np.nan if none else percent}
                )  # fmt: skip
            rows.append({**case, "method": "theorem_2", "above_optimum_percent": 9.0,
                         "status": "computed"})  # fmt: skip
    table = optimality_table(pd.DataFrame(rows))
    return draw_optimality(table, "gts_ce"), table, ""


@exhibit
def offline_optimality_all_proven() -> Shown:
    plan = {**CASE, "status": "optimal"}
    rows = [
        {**plan, "method": "optimum", "above_optimum_percent": 0.0},
        {**plan, "method": "cg_bprr", "above_optimum_percent": 0.5},
    ]
    table = optimality_table(pd.DataFrame(rows))
    return draw_optimality(table), table, ""


@exhibit
def offline_bound() -> Shown:
    table = pd.DataFrame(
        [
            {**CASE, "clients": clients, "load": load, "bound_over_cg_bprr": 1 + 0.1 * load,
             "bound_over_optimum": 1.05 + 0.1 * load * clients}
            for clients in (1, 3) for load in (1, 3)
        ]
    )  # fmt: skip
    return draw_bound(table), table, ""


@exhibit
def offline_race() -> Shown:
    progress = [
        ("highs", "strong", 0.001, np.nan, "running"), ("highs", "strong", 0.2, 0.3, "running"),
        ("highs", "strong", 0.5, 0.0, "optimal"), ("cbc", "paper", 0.1, 5.0, "running"),
        ("cbc", "paper", 9.0, 0.05, "time limit"), ("gurobi", "paper", 0.1, 0.5, "licence"),
    ]  # fmt: skip
    table = pd.DataFrame(
        [
            {**CASE, "clients": clients, "solver": solver, "formulation": formulation,
             "seconds": seconds, "gap": gap, "status": status}
            for clients in (1, 3) for solver, formulation, seconds, gap, status in progress
        ]
    )  # fmt: skip
    return draw_race(table), table, ""


@exhibit
def offline_stopping() -> Shown:
    gains = [(1, 0.0, 0.0), (3, 0.0, 0.5), (5, 1.3, 1.5)]
    columns = ["load", "gain_percent", "most_gain_percent"]
    table = pd.DataFrame(gains, columns=columns)
    return draw_stopping(table), table, ""


@exhibit
def offline_equal_blocks() -> Shown:
    table = pd.DataFrame(
        [
            {"memory_gb": memory, "servers": 9, "load": load, "method": method,
             "above_optimum_percent": excess}
            for memory in (40.0, 79.13) for load in (1, 5)
            for method, excess in (("gsa", 20.0 * load), ("cg_bprr", 1.0), ("optimum", 0.0))
        ]
    )  # fmt: skip
    return draw_equal_blocks(table), table, ""


@exhibit
def fit() -> Shown:
    rows = []
    varied = {
        "decode_blocks": "blocks", "prefill_input": "input_tokens",
        "decode_context": "context_tokens", "decode_batch": "batch", "decode_sessions": "sessions",
    }  # fmt: skip
    for experiment, column in varied.items():
        for value in (1, 4, 8):
            for blocks in (1, 4) if column != "blocks" else (value,):
                for repeat in range(3):
                    setting = {"blocks": blocks, "input_tokens": 1, "context_tokens": 1,
                               "batch": 1, "sessions": 1, column: value}  # fmt: skip
                    predicted = 2.0 * blocks + (value if column == "input_tokens" else 0)
                    residual = 0.02 * (repeat - 1) + 0.001 * value
                    rows.append(
                        {"experiment": experiment, **setting, "predicted_ms": predicted,
                         "observed_ms": predicted * (1 + residual),
                         "predicted_low_ms": 0.9 * predicted, "predicted_high_ms": 1.2 * predicted,
                         "relative_residual": residual}
                    )  # fmt: skip
    points = pd.DataFrame(rows)
    line = SimpleNamespace(r2_settings=0.99987, held_out_median_error=0.0123)
    about = SimpleNamespace(
        device=SimpleNamespace(name="invented", kind="cpu", threads=2),
        model=SimpleNamespace(name="toy"), weights="float32", observations=99,
        trace_sha256="0123456789abcdef",
        fit=SimpleNamespace(
            tau_ms=SimpleNamespace(value=8.9171, interval=(8.801, None)), decode=line,
            prefill=SimpleNamespace(r2_settings=None, held_out_median_error=None),
        ),
        verdicts=[SimpleNamespace(statement=f"it is {holds}", holds=holds)
                  for holds in (True, False, None, False)],
    )  # fmt: skip
    return draw_fit("A device", about, points), points, ""


@exhibit
def fit_that_refutes_nothing() -> Shown:
    _, points, _ = fit()
    known = SimpleNamespace(r2_settings=1.0, held_out_median_error=0.0)
    about = SimpleNamespace(
        device=SimpleNamespace(name="invented", kind="cpu", threads=1),
        model=SimpleNamespace(name="toy"), weights="float32", observations=9, trace_sha256="0" * 64,
        fit=SimpleNamespace(
            tau_ms=SimpleNamespace(value=1.0, interval=(0.9, 1.1)), decode=known, prefill=known
        ),
        verdicts=[],
    )  # fmt: skip
    return draw_fit("A device", about, points.assign(blocks=1)), points, ""


@exhibit
def wan_swarms() -> Shown:
    rows = [
        ("pace", "hub", 100.0, 150.0, 0.5), ("pace", "hub", 100.0, 90.0, -0.1),
        ("pace", "ring", 100.0, 100.1, 0.001), ("time to first token", "hub", 10.0, 12.0, 0.2),
        ("noise floor", "ring", np.nan, np.nan, 0.04),
        ("noise floor", "ring", np.nan, np.nan, 0.02),
        ("tool", "what-if", 0.5, 0.6, 0.2), ("tool", "what-if", 1.5, 0.9, -0.4),
        ("tool", "what-if", 1.2, 1.0, -0.17), ("tool", "what-if", np.nan, 2.0, np.nan),
    ]  # fmt: skip
    columns = ["group", "model", "measured", "predicted", "error"]
    table = pd.DataFrame(rows, columns=columns)
    return draw_wan_swarms(table), table, ""


PIPES = {**METHODS, "pipe": "PIPE", "pipe_f": "PIPE, FIFO", "unseen": "Never drawn"}


def caption_of(name: str, title: str, methods: dict[str, str], **more: object) -> SweepCaption:
    return SweepCaption(name=name, title=title, **{**NAMES, "methods": methods}, **more)


def sessions(
    figure: str, topology: str, points: dict[float, float], factors: dict[str, float],
    runs: int = 2, lost: tuple[tuple[float, str], ...] = (),
) -> pd.DataFrame:  # fmt: skip
    """Forty requests a run, of which the first eight are slow; two sizes of them by turns."""
    rows = []
    for x, rate in points.items():
        for method, factor in factors.items():
            for run in range(runs):
                for number in range(40 if (x, method) not in lost else 1):
                    tokens = 100 if number % 2 else 50
                    per_token_ms = 300 * factor * (1 + rate) * (1 + 0.1 * run + 0.002 * number % 3)
                    per_token_ms *= 10 if number < 8 else 1
                    per_token_ms *= 1 + number if method == "pipe_f" and rate > 1 else 1
                    rows.append(
                        {"figure": figure, "topology": topology, "x": x, "rate_per_s": rate,
                         "servers": 9, "allocation_delays": "none", "method": method, "run": run,
                         "requests": 40, "request": number, "output_tokens": tokens,
                         "status": "ok" if (x, method) not in lost else "infeasible: memory",
                         "arrival_ms": 1000 * number / rate, "per_token_ms": per_token_ms,
                         "ttft_ms": 20 * per_token_ms, "capacity_per_s": 5.0 / factor,
                         "cuts": float(number % 4 == 0) * rate, "prefilled_again": 7.0 * run,
                         "replacements": float(method != "petals") * (1 + run)}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def beyond_table() -> pd.DataFrame:
    factors = {"petals": 4.0, "proposed": 2.0, "pipe_f": 1.2, "pipe": 1.0, "mine": 9.0}
    near = {"proposed": 1.5, "pipe": 1.0}  # of each other: an axis with more ticks
    parts = []
    for service, place, slow, own in [
        ("batched", "abovenet", 0.9, factors), ("serial", "abovenet", 1.0, factors),
        ("serial", "gts_ce", 90.0, factors), ("independent", "abovenet", 1.0, near),
    ]:  # fmt: skip
        slower = {name: slow * factor for name, factor in own.items()}
        found = sessions("beyond", place, {0.5: 0.5, 2.0: 2.0}, slower, lost=((2.0, "petals"),))
        bounds = pd.DataFrame(
            [
                {"x": x, "method": method, "run": run, "bound_kind": "L1", "topology": place,
                 "service": service, "order": "fifo", "charging": "whole",
                 "bound_ms": slow * (250 + 10 * run) * (1 + x) if x < 2 or method != "mine"
                 else np.inf, "any_placement_per_s": 2.5 + run}
                for x in (0.5, 2.0) for method in own for run in range(2)
            ]
        )  # fmt: skip
        parts.append(beyond_rows(found, bounds, "petals", 0.95))
    return pd.concat(parts, ignore_index=True)


BETTER = StudyCaption(**{**NAMES, "methods": PIPES}, sweeps={})


@exhibit
def beyond() -> Shown:
    table = beyond_table()
    return draw_beyond(table, BETTER), table, ""


@exhibit
def rates_within_a_limit() -> Shown:
    found = beyond_slo(beyond_table(), "petals")
    text = slo_table(found, BETTER)
    return text.draw(), found, text.markdown()


@exhibit
def frontier() -> Shown:
    orders: list[dict[str, object] | None] = [
        None, {"order": "fifo"}, {"order": "fifo", "prompt": "block"}, {"order": "oldest"},
        {"order": "oldest", "prompt_within_ms": 2500},
    ]  # fmt: skip
    changes = [("", None) if each is None else ("service", {"serial": each}) for each in orders]
    caption = caption_of(
        "frontier", "", PIPES, changes={"abovenet": [each for each in changes for _ in range(2)]}
    )
    points = {float(x): 0.5 + 1.5 * (x % 2) for x in range(10)}
    found = [
        sessions("frontier", "abovenet", {x: rate}, {"pipe": 1 + 0.1 * x})
        for x, rate in points.items()
    ]
    table = frontier_rows(pd.concat(found), caption)
    return draw_frontier(table, caption), table, ""


@exhibit
def robust() -> Shown:
    changes = [("", None), ("clients", 4), ("network.delay_factor", 2.5), ("admission", 1e6),
               ("fleet", {"servers": 3}), ("workload", {"file": "a/two_words.csv"}),
               ("workload", {"kind": "burst"})]  # fmt: skip
    caption = caption_of("robust", "", PIPES, changes={"abovenet": changes, "gts_ce": changes[:3]})
    factors = {"petals": 4.0, "pipe_f": 1.2, "pipe": 1.0}
    lost = ((1.0, "petals"), (2.0, "petals"), (2.0, "pipe_f"))
    parts = []
    for place, count, slow in (("abovenet", 7, 1.0), ("gts_ce", 3, 70.0)):
        points = {float(x): 0.5 if x % 2 else 2.0 for x in range(count)}
        own = {name: slow * factor for name, factor in factors.items()}
        parts.append(robust_rows(sessions("robust", place, points, own, lost=lost), caption))
    table = pd.concat(parts, ignore_index=True)
    return draw_robust(table, caption), table, ""


@exhibit
def living() -> Shown:
    points = {1800.0: 0.5, 7200.0: 2.0}
    factors = {"petals": 4.0, "petals_replaced": 3.0, "proposed": 2.0, "proposed_moved": 1.0}
    methods = {name: name.replace("_", ", ") for name in [*factors, "mine"]}
    names = {**NAMES, "methods": methods}
    sweeps = {
        name: SweepCaption(name=name, title=name.upper(), **names) for name in ("slow", "fast")
    }
    table = pd.concat(
        [
            living_rows(
                sessions(name, "gts_ce", points, factors, runs, ((1800.0, "petals"),)), 0.95
            )
            for name, runs in (("slow", 3), ("fast", 2))
        ]
    )
    return draw_living(table, StudyCaption(**names, sweeps=sweeps)), table, ""


@exhibit
def orders() -> Shown:
    means = pd.DataFrame(
        [
            {"topology": topology, "allocation_delays": variant, "method": method, "run": run,
             "per_token_ms": np.nan if run == 3 and method == "petals" else
             1000 * factor * (1 + run % 3) + (500 if variant == "published" else 0)}
            for topology in ("gts_ce", "abovenet") for variant in ("none", "published")
            for method, factor in (("proposed", 0.5), ("petals", 1.5)) for run in range(4)
        ]
    )  # fmt: skip
    caption = sweep_caption("orders", "Orders of joining", "")
    table = orders_table(means, caption)
    return draw_orders(table, caption, 4), table, ""


@exhibit
def sweep_times() -> Shown:
    times = pd.DataFrame(
        [
            {"figure": figure, "topology": topology, "x": x, "method": method, "repeat": repeat,
             "servers": 9, "requests": 100 + repeat, "placement_s": 0.001 * (1 + repeat),
             "routing_s_per_request": 1e-5 * x, "total_s": 1e-5 * (100 + x + repeat**2) * factor}
            for figure, topology, ends in [
                ("fig7", "abovenet", (6, 10)), ("fig7", "gts_ce", (6, 14)),
                ("mine", "abovenet", (64, 4096))]
            for x in ends for method, factor in (("petals", 1.0), ("proposed", 3.0))
            for repeat in range(5)
        ]
    )  # fmt: skip
    table = sweep_times_table(times)
    return draw_sweep_times(table, STUDY), table, ""


@exhibit
def tables_queues() -> Shown:
    served = {}
    for number, model in enumerate(
        [ServiceModel("independent"), ServiceModel("serial", "fifo", "where_room")]
    ):
        parts = [
            cells_of("tables_queues", 0.01 * count + 0.2 * number).assign(
                requests=count, regime=("stable", "backlogged")[number], bound="memory"
            )
            for count in (20, 50)
        ]
        served[model] = pd.concat(parts, ignore_index=True)
    table = served_against_gpus(served, PRINTED, STUDY)
    best = best_counts(table)
    text, lines = lines_table(best, STUDY)
    return text.draw(), lines, f"{text.markdown()}\n{best['source'].unique().tolist()}"


@exhibit
def two_modes() -> Shown:
    rows = [
        {"figure": figure, "topology": "gts_ce", "x": 0.5, "allocation_delays": variant,
         "method": method, "run": run, "requests": 2, "per_token_ms": mode * (1 + 0.01 * run)}
        for figure, variant, method, slow in [
            ("fig9", "published", "petals", 4), ("mine", "none", "proposed", 3),
            ("mine", "none", "mine", 5), ("fig7", "none", "petals", 12)]
        for run, mode in enumerate([1000.0] * slow + [4000.0] * (12 - slow))
    ]  # fmt: skip
    table = modes_of_points(pd.DataFrame(rows), "per_token_ms")
    layout = two_modes_layout(table, STUDY)
    return layout.draw(), table, layout.markdown()


# As which the report says what the exhibit shows.
IN_REPORT = {
    "sweep_over_servers": "fig7_abovenet",
    "sweep_on_a_logarithmic_axis_with_a_method_that_never_runs": "mine_abovenet",
    "headline_with_the_answer": "headline",
    "offline_bound": "offline_theorem_2",
    "offline_race": "offline_solver_race",
    "offline_stopping": "offline_relaxed_stopping",
    "fit": "fit_invented",
    "rates_within_a_limit": "beyond_slo",
}
SHORT = 40  # rows of numbers; of more the picture tells enough


def record(name: str) -> str:
    figure, table, text = EXHIBITS[name]()
    said = finding(IN_REPORT.get(name, name), table, STUDY)
    numbers = table.head(SHORT).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    lines: Iterator[str] = told(figure) if figure else iter(())
    return "\n".join([*lines, *filter(None, [text, said and f"report: {said}"]), numbers])


@pytest.mark.parametrize("name", EXHIBITS)
def test_an_exhibit_is_as_recorded(name: str) -> None:
    kept = (RECORDS / f"{name}.txt").read_text(encoding="utf-8")
    changes = difflib.unified_diff(kept.splitlines(), record(name).splitlines(), n=0, lineterm="")
    assert not list(changes)


def test_every_record_is_of_an_exhibit() -> None:
    assert sorted(path.stem for path in RECORDS.iterdir()) == sorted(EXHIBITS)


if __name__ == "__main__":
    for one in EXHIBITS:
        RECORDS.joinpath(f"{one}.txt").write_text(record(one), encoding="utf-8")
