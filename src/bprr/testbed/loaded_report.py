"""Queueing on genuine PETALS beside every model of how servers compute: table, scatter, CDFs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style
from bprr.figures.text_table import TextTable
from bprr.ground.storage import replacing
from bprr.testbed.loaded_prediction import MODELS, case_errors, fit_load, orders_agree
from bprr.testbed.loaded_records import CALIBRATION, LoadedRun
from bprr.testbed.report import equal_axes

__all__ = ["error_table", "order_of_service", "render_loaded", "summary_of_load"]

LOOKS = {
    "independent": style.MethodStyle("#D55E00", "o"),
    "serial": style.MethodStyle("#0072B2", "v"),
    "serial_fifo": style.MethodStyle("#56B4E9", "^", (0, (1.2, 1.2)), filled=False),
    "batched_0.1": style.MethodStyle("#009E73", "s", (0, (4.0, 1.6))),
    "batched_1": style.MethodStyle("#E69F00", "D", (0, (4.0, 1.4, 1.0, 1.4)), filled=False),
}
CDFS = 4  # panels


def error_table(comparison: pd.DataFrame) -> TextTable:
    """Errors of every model over the cases: median and largest."""
    errors = case_errors(comparison)
    rows = []
    for model, label in MODELS.items():
        own = errors[errors["model"] == model]
        sizes = [own[f"{name}_error"].abs() for name in ("per_token_ms", "decode_ms", "ttft_ms")]
        queue = own["queue_ms_error"].abs()
        agreeing, pairs = orders_agree(own)
        rows.append(
            [
                label,
                *(f"{_percent(each.median())} ({_percent(each.max())})" for each in sizes),
                f"{_percent(queue.median())} ({_percent(queue.max())})",
                f"{agreeing} of {pairs}",
            ]
        )
    cases = len(errors[["case", "arm"]].drop_duplicates())
    return TextTable(
        title="Genuine PETALS under load: errors of what is predicted",
        header=["Servers are taken as", "per token", "decode", "TTFT", "queueing", "faster arm"],
        rows=rows,
        leading=1,
        widths=[3.0, 1.4, 1.4, 1.4, 1.4, 1.1],
        emphasized=[list(MODELS).index("serial")],
        note=f"Median over {cases} cases (largest), of means of a case. Queueing: its error as a "
        "share of the measured\ntime per token. Faster arm: pairs of orders of service in a case, "
        "measured more than 5 % apart, whose order is predicted.",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def order_of_service(tasks: pd.DataFrame) -> pd.DataFrame:
    """How servers took their tasks, per case and arm.

    Returns
    -------
    DataFrame
        ``tasks``; ``overlaps``, of those that began before the one before had ended; ``waited``,
        those that had to wait; ``passed_older``, the share of these that began while a task of an
        older session waited; ``not_fifo``, the share that began before one submitted earlier.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for (case, arm), rows in tasks.groupby(["case", "arm"], sort=False):
        counts = dict.fromkeys(("tasks", "overlaps", "waited", "passed_older", "not_fifo"), 0.0)
        for _, own in rows.groupby("server"):
            own = own.sort_values("started_ms")
            submitted, started, ended = (
                own[f"{name}_ms"].to_numpy() for name in ("submitted", "started", "ended")
            )
            session = own["session"].to_numpy()
            counts["tasks"] += len(own)
            counts["overlaps"] += int((started[1:] < ended[:-1]).sum())
            counts["waited"] += int((submitted[1:] < ended[:-1]).sum())
            for i in range(len(own) - 1):
                waits = submitted[i + 1 :] < started[i]
                counts["passed_older"] += bool((waits & (session[i + 1 :] < session[i])).any())
                counts["not_fifo"] += bool((submitted[i + 1 :] < submitted[i]).any())
        for name in ("passed_older", "not_fifo"):
            counts[name] /= max(counts["waited"], 1)
        found[str(case), str(arm)] = counts
    table = pd.DataFrame.from_dict(found, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["case", "arm"])
    return table.reset_index()


def summary_of_load(run: LoadedRun, comparison: pd.DataFrame) -> str:
    """What was seen, in sentences with numbers."""
    sessions = run.sessions[run.sessions["case"] != CALIBRATION]
    profile, errors = fit_load(run), case_errors(comparison)
    business = run.manifest.business.values()
    order = order_of_service(run.tasks[run.tasks["case"] != CALIBRATION])
    served = sessions["status"] == "ok"
    lines = [
        f"{len(sessions)} sessions in {len(order)} cases; {int(served.sum())} served, "
        f"{int(sessions['tokens_equal'].sum())} with the tokens of local transformers, "
        f"{int(sessions['retries'].clip(lower=0).sum())} retries.",
        f"{order['tasks'].sum():.0f} tasks of servers, {order['overlaps'].sum():.0f} of which began"
        " before the one before it had ended.",
        f"Profile, from {int((run.sessions['case'] == CALIBRATION).sum())} other sessions: "
        f"{profile.hop_ms:.1f} ms per hop and token, {profile.gap_ms:.1f} ms between queued tasks, "
        f"{profile.start_ms:.1f} ms until a task starts that has nobody before it; τ "
        + ", ".join(f"{name} {tau:.2f} ms" for name, tau in profile.tau_ms.items())
        + ".",
        f"Machine: {100 * max(b.busy for b in business):.0f} % busy at the most, "
        f"{100 * max(b.busy - b.others for b in business):.0f} % without processes of low "
        f"priority; load average up to {max(b.load_average for b in business):.1f}.",
    ]
    for _, row in order.iterrows():
        of_case = errors[(errors["case"] == row["case"]) & (errors["arm"] == row["arm"])]
        models = of_case.set_index("model")["per_token_ms_error"]
        first = of_case.set_index("model").loc["serial"]
        lines.append(
            f"{row['case']}, {row['arm']}: {first['per_token_ms']:.0f} ms per token, TTFT "
            f"{first['ttft_ms']:.0f} ms; errors "
            + ", ".join(f"{model} {100 * error:+.1f} %" for model, error in models.items())
            + f"; passed an older session by {_percent(row['passed_older'])}, an earlier task "
            f"{_percent(row['not_fifo'])}; retries {first['retries']:.2f}, predicted "
            f"{first['predicted_retries']:.2f}."
        )
    lines += [f"{key}: not measured: {why}" for key, why in run.manifest.not_measured.items()]
    return "\n".join([*lines, *_speeds(run, errors)])


def _speeds(run: LoadedRun, errors: pd.DataFrame) -> list[str]:
    """Cases that were repeated with slower times, against their faster selves."""
    cases, lines = run.manifest.settings.cases, []
    serial = errors[errors["model"] == "serial"]
    of_case = serial.set_index(["case", "arm"])[["per_token_ms", "predicted_per_token_ms"]]
    means = dict(zip(of_case.index.tolist(), of_case.to_numpy().tolist(), strict=True))
    for (name, arm), slower in means.items():
        case = cases[name]
        for other, twin in cases.items():
            like = case.model_copy(update={"slowdown": twin.slowdown, "arms": twin.arms}) == twin
            if like and case.slowdown > twin.slowdown and (other, arm) in means:
                measured, predicted = (
                    a / b for a, b in zip(slower, means[other, arm], strict=True)
                )
                lines.append(
                    f"{name}, {arm}: {measured:.3f} times the time per token of {other}, predicted "
                    f"{predicted:.3f}."
                )
    return lines


def draw_scatter(errors: pd.DataFrame) -> Figure:
    """Measured against predicted time per token and TTFT of every case, by model."""
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 3.9)
        panels = figure.subplots(1, 2)
        titles = {"per_token_ms": "Time per token (s)", "ttft_ms": "TTFT (s)"}
        for axes, (name, title) in zip(panels, titles.items(), strict=True):
            for model in MODELS:
                rows = errors[errors["model"] == model]
                look = {**LOOKS[model].line(), "linestyle": "", "zorder": 2 + (model == "serial")}
                axes.plot(rows[f"predicted_{name}"] / 1000, rows[name] / 1000, **look)
            both = errors[[name, f"predicted_{name}"]] / 1000
            equal_axes(axes, np.array([both.min().min() * 0.85, both.max().max() * 1.15]))
            axes.set(xlabel="predicted", ylabel="measured", title=title, aspect="equal")
        style.heading(figure, "Genuine PETALS under load, a mark per case", _handles(""), 3)
        style.note(figure, "Predicted from sessions that met nobody or a few. Dotted: ±10 %.")
    return figure


def draw_cdfs(run: LoadedRun, comparison: pd.DataFrame) -> Figure:
    """Time per token of single sessions in the cases that are loaded most, by model."""
    settings = run.manifest.settings
    by_load = sorted(settings.cases, key=lambda name: -settings.cases[name].load)
    drawn = [
        (name, arm)
        for name in by_load
        for arm in settings.cases[name].arms[:2]
        if f"{name}/{arm}" in run.manifest.business
    ][:CDFS]
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 4.6 if len(drawn) > 2 else 2.9)
        rows = 2 if len(drawn) > 2 else 1
        panels = figure.subplots(rows, -(-len(drawn) // rows), sharey=True, squeeze=False)
        for axes, (name, arm) in zip(panels.flat, drawn, strict=False):
            own = comparison[(comparison["case"] == name) & (comparison["arm"] == arm)]
            for model in MODELS:
                values = own.loc[own["model"] == model, "predicted_per_token_ms"]
                _steps(axes, values, color=LOOKS[model].color, linestyle=LOOKS[model].linestyle)
            measured = own.loc[own["model"] == "serial", "per_token_ms"]
            _steps(axes, measured, color="black", linewidth=2.2)
            label = settings.arms[arm].label
            axes.set_title(f"{name.replace('_', ', ')}: {label}", fontsize=7.5)
        for axes in panels[-1]:
            axes.set_xlabel("time per token (s)")
        for axes in panels[:, 0]:
            axes.set_ylabel("share of sessions")
        handles = [Line2D([], [], color="black", linewidth=2.2, label="measured"), *_handles(None)]
        style.heading(figure, "Time per token of single sessions under load", handles, 3)
    return figure


def _steps(axes: Any, values: pd.Series, **look: Any) -> None:
    ordered = np.sort(values.to_numpy()) / 1000
    share = np.linspace(0, 1, len(ordered) + 1)
    axes.step(np.r_[ordered[:1], ordered], share, where="post", **look)


def _handles(linestyle: str | None) -> list[Line2D]:
    """One for each model: its mark, or its line."""
    handles = []
    for model, label in MODELS.items():
        look = LOOKS[model].line() | ({"marker": ""} if linestyle is None else {"linestyle": ""})
        handles.append(Line2D([], [], label=label, **look))
    return handles


def render_loaded(run: LoadedRun, comparison: pd.DataFrame, stem: Path) -> list[Path]:
    """Write ``<stem>_table``, ``<stem>_scatter``, ``<stem>_cdf`` and ``<stem>_summary.txt``."""
    errors = case_errors(comparison)
    order = order_of_service(run.tasks[run.tasks["case"] != CALIBRATION])
    numbers = errors.merge(order, on=["case", "arm"])
    paths = error_table(comparison).save(numbers, stem.with_name(f"{stem.name}_table"))
    paths += style.save(draw_scatter(errors), errors, stem.with_name(f"{stem.name}_scatter"))
    columns = ["case", "arm", "session", "model", "per_token_ms", "predicted_per_token_ms"]
    cdfs = draw_cdfs(run, comparison)
    paths += style.save(cdfs, comparison[columns], stem.with_name(f"{stem.name}_cdf"))
    summary = stem.with_name(f"{stem.name}_summary.txt")
    with replacing(summary) as unfinished:
        unfinished.write_text(summary_of_load(run, comparison) + "\n", encoding="utf-8")
    return [*paths, summary]
