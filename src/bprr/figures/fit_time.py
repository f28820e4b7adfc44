"""Figure of a fit: measured times, fitted lines, and where the linear model fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bprr.figures import style
from bprr.fit.profile import Provenance, read_fit

__all__ = ["draw_fit", "plot_fit"]

MEASURED, FITTED = "#0072B2", "#D55E00"

# Experiment -> (column on the x axis, its label, title of the panel). One panel each.
PANELS: dict[str, tuple[str, str, str]] = {
    "decode_blocks": ("blocks", "Blocks processed k", "Decoding one token"),
    "prefill_input": ("input_tokens", "Input length l_in (tokens)", "Prefilling a prompt"),
    "decode_context": ("context_tokens", "Tokens so far", "Context"),
    "decode_batch": ("batch", "Sessions in one step", "Batching"),
    "decode_sessions": ("sessions", "Open sessions, served in turn", "Concurrency"),
}
PER_BLOCK = ("decode_context", "decode_batch", "decode_sessions")


def _medians(points: pd.DataFrame, column: str) -> pd.DataFrame:
    grouped = points.groupby(list(dict.fromkeys(["blocks", column])))["observed_ms"]
    found = grouped.quantile(np.array([0.05, 0.5, 0.95])).unstack()
    found.columns = pd.Index(["low", "median", "high"])
    return found.reset_index()


def _panel(axes: Axes, points: pd.DataFrame, experiment: str) -> None:
    """Medians with the range of the repeats, over the model's line with its interval."""
    column, label, title = PANELS[experiment]
    scale = 1.0 / points["blocks"] if experiment in PER_BLOCK else 1.0
    timed = ["observed_ms", "predicted_ms", "predicted_low_ms", "predicted_high_ms"]
    points = points.assign(**{name: points[name] * scale for name in timed})
    lines = ["predicted_ms", "predicted_low_ms", "predicted_high_ms"]
    by_line = [None] if column == "blocks" else points["blocks"].unique().tolist()
    for blocks in sorted(by_line, key=lambda value: value or 0):
        of_line = points if blocks is None else points[points["blocks"] == blocks]
        model = of_line.groupby(column)[lines].first().reset_index()
        axes.fill_between(
            model[column], model[lines[1]], model[lines[2]], color=FITTED, alpha=0.25, linewidth=0
        )
        axes.plot(model[column], model[lines[0]], color=FITTED, linewidth=1.2)
        if len(by_line) > 1:
            name = f"{blocks} block{'s' if blocks > 1 else ''}"
            end = (model[column].iloc[-1], model[lines[0]].iloc[-1])
            axes.annotate(
                name, end, xytext=(-4, 5), textcoords="offset points", ha="right", fontsize=7
            )
    found = _medians(points, column)
    spread = np.vstack([found["median"] - found["low"], found["high"] - found["median"]])
    axes.errorbar(
        found[column], found["median"], yerr=spread, color=MEASURED, marker="o", linestyle="",
        markersize=3.2, elinewidth=0.8, capsize=1.5, zorder=3,
    )  # fmt: skip
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(label)
    axes.set_ylabel("Time per block (ms)" if experiment in PER_BLOCK else "Time (ms)")
    axes.set_ylim(bottom=0)
    if experiment in ("decode_batch", "decode_sessions", "decode_blocks"):
        axes.set_xticks(sorted(points[column].unique()))


def _residuals(axes: Axes, points: pd.DataFrame) -> None:
    """Relative residuals of the two fitted models, each setting at its predicted time."""
    looks = {
        "decode_blocks": ("o", MEASURED, "decoding"),
        "prefill_input": ("^", "#009E73", "prefill"),
    }
    for experiment, (marker, color, name) in looks.items():
        rows = points[points["experiment"] == experiment]
        middle = rows.groupby(["blocks", "input_tokens"])[["predicted_ms", "relative_residual"]]
        axes.plot(
            rows["predicted_ms"], 100 * rows["relative_residual"], linestyle="", marker=".",
            markersize=1.5, color=color, alpha=0.35,
        )  # fmt: skip
        medians = middle.median()
        axes.plot(
            medians["predicted_ms"], 100 * medians["relative_residual"], linestyle="",
            marker=marker, markersize=4, color=color, label=name,
        )  # fmt: skip
    axes.axhline(0, color=style.REFERENCE_COLOR, linewidth=0.8)
    axes.set_xscale("log")
    shown = points[points["experiment"].isin(looks)]["relative_residual"]
    low, high = (100 * shown).quantile([0.005, 0.98]).fillna(0.0)
    axes.set_ylim(min(-10.0, low), max(10.0, high))
    axes.set_title("Residuals", loc="left", fontweight="bold")
    axes.set_xlabel("Predicted time (ms), log scale")
    axes.set_ylabel("Residual (%)")
    axes.legend(loc="lower right", ncols=2, handletextpad=0.1, columnspacing=0.8)


def _number(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def _percent(share: float | None) -> str:
    return "untested" if share is None else f"{100 * share:.1f} %"


def _conditions(about: Provenance) -> str:
    device, fit = about.device, about.fit
    quoted = "; ".join(f"“{one.statement}”" for one in about.verdicts if one.holds is False)
    tau, low, high = (_number(x, ".3g") for x in (fit.tau_ms.value, *fit.tau_ms.interval))
    return (
        f"Measured on {device.name} ({device.kind}, {device.threads} thread(s)), "
        f"{about.model.name} in {about.weights}, {about.observations} observations, "
        f"trace {about.trace_sha256[:12]}.\n"
        f"τ = {tau} ms [{low}, {high}]; "
        f"R² {_number(fit.decode.r2_settings, '.4f')} (decode), "
        f"{_number(fit.prefill.r2_settings, '.4f')} (prefill); median "
        f"error on held-out settings {_percent(fit.decode.held_out_median_error)}, "
        f"{_percent(fit.prefill.held_out_median_error)}.\n"
        f"Refuted here of what the model says: {quoted or 'nothing that was tested'}.\n"
        "Bars: 5th to 95th percentile of the repeats. Under Context, Batching and Concurrency the "
        "line is the fitted\ntime, which the model holds to be constant."
    )


def draw_fit(title: str, about: Provenance, points: pd.DataFrame) -> Figure:
    """Draw a fit: one panel per statement of the performance model, and the residuals.

    Parameters
    ----------
    title : str
        Of the figure.
    about, points
        As `bprr.fit.profile.read_fit` gives them.
    """
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 5.0)
        grid = figure.subplots(2, 3)
        for axes, experiment in zip(grid.flat, PANELS, strict=False):
            rows = points[points["experiment"] == experiment]
            if rows.empty:
                axes.set_axis_off()
            else:
                _panel(axes, rows, experiment)
        _residuals(grid[1, 2], points)
        handles = [
            Line2D([], [], color=MEASURED, marker="o", linestyle="", label="measured (median)"),
            Line2D([], [], color=FITTED, label="fitted"),
            Patch(facecolor=FITTED, alpha=0.25, label="95 % interval of the fit"),
        ]
        style.heading(figure, title, handles)
        style.note(figure, _conditions(about))
    return figure


def plot_fit(folder: Path, stem: Path) -> list[Path]:
    """Make the figure of what ``bprr fit`` wrote into a folder, as CSV, PDF and PNG."""
    device, about, points = read_fit(folder)
    title = f"Performance model on {device} ({folder.name})"
    return style.save(draw_fit(title, about, points), points, stem)
