"""What a picture shows, in a sentence read off its numbers, for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from bprr.figures.caption import Caption
from bprr.figures.sensitivity import TITLES

__all__ = ["finding"]


def finding(name: str, table: pd.DataFrame, caption: Caption) -> str:
    """Finding of an exhibit by its name and its table (the CSV); nothing if it is not known.

    A table without the columns that the exhibit should have says nothing either.
    """
    for beginning, say in FINDINGS.items():
        if name.startswith(beginning):
            try:
                return say(table, caption)
            except (KeyError, IndexError):
                return ""
    return ""


def _span(values: pd.Series, scale: float = 100.0, unit: str = " %") -> str:
    low, high = (f"{scale * value:.3g}" for value in (values.min(), values.max()))
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def _by_variant(table: pd.DataFrame, ratio: str, caption: Caption) -> str:
    method, baseline = caption.pair
    parts = [
        f"{_span(rows[ratio].dropna())} ({caption.variants[str(variant)].label})"
        for variant, rows in table.groupby("allocation_delays", sort=False)
        if rows[ratio].notna().any()
    ]
    return f"Time per token, {method} / {baseline}: {', '.join(parts)}." if parts else ""


def _sweep(table: pd.DataFrame, caption: Caption) -> str:
    shown = table[table["method"].eq(caption.compared.method) & table["metric"].eq("per_token_ms")]
    return _by_variant(shown, f"ratio_to_{caption.compared.baseline}", caption)


def _headline(table: pd.DataFrame, caption: Caption) -> str:
    return _by_variant(table, "ratio", caption)


def _decomposition(table: pd.DataFrame, caption: Caption) -> str:
    table = table[table["order"] == table["order"].iloc[0]]
    parts = []
    for variant, rows in table.groupby("allocation_delays", sort=False):
        steps = rows.groupby("step", sort=False)["share"].median().dropna()
        texts = (f"{step} {100 * share:+.0f} %" for step, share in steps.items())
        label = caption.variants[str(variant)].label
        parts.append(f"{label}: {', '.join(texts)}")
    return f"Change of the time per token by each step, median of all points. {'; '.join(parts)}."


def _excess(table: pd.DataFrame, column: str) -> str:
    names = {"cg_bprr": "CG-BPRR", "petals": "PETALS' placement", "gsa": "GSA's placement"}
    parts = [
        f"{label} {_span(found, 1.0)}"
        for name, label in names.items()
        if len(found := table.loc[table["method"] == name, column].dropna())
    ]
    return f"Above the optimum: {', '.join(parts)}."


def _optimality(table: pd.DataFrame, _: Caption) -> str:
    return _excess(table, "mean")


def _equal_blocks(table: pd.DataFrame, _: Caption) -> str:
    return _excess(table, "above_optimum_percent")


def _bound(table: pd.DataFrame, _: Caption) -> str:
    over = (table[f"bound_over_{name}"] for name in ("cg_bprr", "optimum"))
    achieved, optimum = (_span(each, 1.0, "") for each in over)
    return f"The bound is {achieved} times what CG-BPRR achieves, {optimum} times the optimum."


def _race(table: pd.DataFrame, _: Caption) -> str:
    runs = table.groupby(["family", "clients", "load", "formulation", "solver"]).last()
    solved = runs["status"].eq("optimal").groupby("formulation").agg(["sum", "size"])
    parts = (f"{name}: {row['sum']} of {row['size']}" for name, row in solved.iterrows())
    return f"Runs that end with a proven optimum, by formulation: {', '.join(parts)}."


def _stopping(table: pd.DataFrame, _: Caption) -> str:
    return f"Stopping early gains {_span(table['gain_percent'].round(2), 1.0)}."


def _swarm(table: pd.DataFrame, caption: Caption) -> str:
    used = table["share"].gt(0).groupby(table["method"], sort=False).agg(["sum", "size"])
    parts = (
        f"{caption.methods.get(str(name), name)} uses {row['sum']} of {row['size']} servers"
        for name, row in used.iterrows()
    )
    return f"{'; '.join(parts)}."


def _fit(table: pd.DataFrame, _: Caption) -> str:
    errors = table["relative_residual"].abs().groupby(table["experiment"]).median()
    parts = (f"{str(name).replace('_', ' ')} {100 * error:.1f} %" for name, error in errors.items())
    return f"Median distance of the measurements from the fitted model: {', '.join(parts)}."


def _testbed(table: pd.DataFrame, _: Caption) -> str:
    table = table[table["group"] == "table"]
    errors = (table["predicted_per_token_ms"] / table["per_token_ms"] - 1).abs()
    return f"Predicted times per token are {100 * errors.median():.1f} % off (median)."


def _loaded(table: pd.DataFrame, _: Caption) -> str:
    off = table["predicted_per_token_ms"] / table["per_token_ms"] - 1
    middle = 100 * off.abs().groupby(table["model"], sort=False).median()
    parts = (f"{str(model).replace('_', ' ')} {error:.0f} %" for model, error in middle.items())
    return f"Median error of the time per token, by how servers are taken: {', '.join(parts)}."


def _services(table: pd.DataFrame, caption: Caption) -> str:
    own = table[table["method"] == caption.compared.method]
    faster = (own["ratio_to_petals"] < 1).groupby(own["service"], sort=False).agg(["sum", "size"])
    method, baseline = caption.pair
    parts = (f"{name} {row['sum']} of {row['size']}" for name, row in faster.iterrows())
    return f"{method} is faster than {baseline}, points by service: {', '.join(parts)}."


def _cells(table: pd.DataFrame, _: Caption) -> str:
    errors = 100 * (table["found_s"] / table["published_s"] - 1).abs()
    return (
        f"Settings found: cells are {errors.mean():.1f} % off (mean), {errors.max():.0f} % at most."
    )


def _gpus(table: pd.DataFrame, _: Caption) -> str:
    middle = table["deviation"].abs().groupby(table["source"], sort=False).median()
    parts = (f"{source} {100 * value:.0f} %" for source, value in middle.items())
    return f"Median deviation from the times on GPUs: {', '.join(parts)}."


def _trend(table: pd.DataFrame, caption: Caption) -> str:
    parts = []
    for source, rows in table.groupby("source", sort=False):
        gains = (f"{100 * gain:.0f} %" for gain in rows["gain"])
        parts.append(f"{source} {', '.join(gains)}")
    networks = ", ".join(map(caption.topology, dict.fromkeys(table["setting"])))
    return f"Time per token saved on {networks}: {'; '.join(parts)}."


def _sensitivity(table: pd.DataFrame, _: Caption) -> str:
    errors, found = 100 * table["mean_error"], table["key"].fillna("") == ""
    changed = errors[~found].groupby(table["key"], sort=False)
    parts = (f"{TITLES.get(key, key)} {_span(each, 1.0)}" for key, each in changed)
    return (
        f"Mean error of the printed cells: {errors[found].iloc[0]:.1f} % in the settings found; "
        f"with one of them changed: {'; '.join(parts)}."
    )


def _printed_table(table: pd.DataFrame, caption: Caption) -> str:
    times = table[table["unit"] == "s"]
    wide = times.pivot_table(
        index=["setting", "method", "rate_per_s", "output_tokens"],
        columns="quantity",
        values="value",
    )
    errors = 100 * (wide[caption.delayed] / wide["simulator"] - 1).abs().dropna()
    return (
        f"In the settings stated, with the delays, cells are {errors.mean():.0f} % off the printed "
        f"simulator in the mean, {errors.max():.0f} % at most."
    )


def _running_times(table: pd.DataFrame, caption: Caption) -> str:
    faster = (table["published_s"] / table["total_s"]).groupby(table["method"], sort=False)
    parts = (
        f"{caption.methods.get(str(name), name)} {_span(each, 1.0, '')}" for name, each in faster
    )
    return f"Published running times over ours: {', '.join(parts)}."


def _sweep_times(table: pd.DataFrame, caption: Caption) -> str:
    medians = 1e3 * table.groupby("method", sort=False)["total_s"].median()
    parts = (f"{caption.methods.get(str(name), name)} {ms:.2g} ms" for name, ms in medians.items())
    return f"Running time of placement and routing, median of all points: {', '.join(parts)}."


def _orders(table: pd.DataFrame, caption: Caption) -> str:
    free = table[table["allocation_delays"] == caption.undelayed]
    base = free[free["method"] == caption.compared.baseline].groupby("topology", sort=False)
    parts = (
        f"{caption.topology(name)} {_span(rows['per_token_s'].quantile([0.1, 0.9]), 1.0, ' s')}"
        for name, rows in base
    )
    label = caption.pair[1]
    return f"Time per token of {label} without delays in four of five orders: {', '.join(parts)}."


def _two_modes(table: pd.DataFrame, caption: Caption) -> str:
    own = table[table["method"].isin([caption.compared.method, caption.compared.baseline])]
    count = own.groupby("method", sort=False).size()
    parts = (f", of {caption.methods.get(str(name), name)} {size}" for name, size in count.items())
    return f"Means whose runs fall into two groups: {len(table)}{''.join(parts)}."


def _wan(table: pd.DataFrame, _: Caption) -> str:
    changes = table[table["model"] == "what-if"].dropna(subset=["measured", "predicted"])
    modelled = table[~table["model"].isin(["what-if", "noise floor"])]
    middle = (100 * modelled["error"].abs()).groupby(
        [modelled["group"], modelled["model"]], sort=False
    )
    parts = []
    for group, errors in middle.median().groupby(level="group", sort=False):
        best = errors.index[int(errors.argmin())][1]
        parts.append(f"{group} {errors.min():.1f} % ({best})")
    said = f"Median error of the best model by what is predicted: {', '.join(parts)}"
    noise = 100 * table.loc[table["model"] == "noise floor", "error"].abs().median()
    said += "." if pd.isna(noise) else f"; repetitions of a job differ by {noise:.1f} %."
    off = 100 * (changes["predicted"] / changes["measured"] - 1).abs().median()
    return said + f" Measured changes are predicted {off:.0f} % off (median)." * len(changes[:1])


FINDINGS: dict[str, Callable[[pd.DataFrame, Caption], str]] = {
    "headline": _headline,
    "decomposition": _decomposition,
    "tables_found_gpus": _gpus,
    "tables_found_trend": _trend,
    "tables_found": _cells,
    "tables_sensitivity": _sensitivity,
    "table8": _running_times,
    "table3": _printed_table,
    "table6": _printed_table,
    "wan_swarms": _wan,
    "two_modes": _two_modes,
    "orders": _orders,
    "sweep_times": _sweep_times,
    "offline_optimality": _optimality,
    "offline_equal_blocks": _equal_blocks,
    "offline_theorem_2": _bound,
    "offline_solver_race": _race,
    "offline_relaxed_stopping": _stopping,
    "swarm_": _swarm,
    "fit_": _fit,
    "testbed_loaded_": _loaded,
    "testbed_": _testbed,
    "service_models": _services,
    "": _sweep,
}
