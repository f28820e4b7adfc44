"""Round trips that frames took after a pause, beside what a model of TCP's window says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style
from bprr.testbed.frames import FramesRun
from bprr.window.base import WindowPolicy
from bprr.window.idle_restart import IdleRestart
from bprr.window.warm import Warm

__all__ = [
    "draw_windows",
    "render_windows",
    "round_trips",
    "summary_of_windows",
    "windows_table",
]

LABELS = {
    "cubic": "cubic, as Linux ships it",
    "cubic_kept": "cubic, kept while idle",
    "bbr": "BBR",
    "cubic_buffers": "cubic, large buffers",
}
COLORS = ("#56B4E9", "#009E73", "#0072B2", "#E69F00", "#D55E00")
MARKERS = ("o", "s", "v", "^", "D")
NEW = 4.0  # where a connection's first frame stands on the axis of pauses (s)
AGREE = 0.35  # of a round trip
KB = 1000.0


def round_trips(run: FramesRun) -> pd.DataFrame:
    """Medians over repetitions.

    Returns
    -------
    DataFrame
        ``kind`` (tcp or petals), ``controls``, ``rtt_ms``, ``frame_bytes`` (petals: as sent in the
        median), ``pause_s`` (none: first frame), ``took_ms``, ``server_ms``, ``round_trips`` there
        and back, wire time taken off, and as predicted: 1 + 2 w, the formula's solutions from
        below and from above (``least``, ``most``); ``window`` in segments.
    """
    key = ["controls", "rtt_ms", "frame_bytes", "pause_s"]
    frames = run.frames.groupby(key, dropna=False, sort=False)[["took_ms", "window"]].median()
    tcp = frames.reset_index().assign(kind="tcp", server_ms=0.0)
    steps = run.steps.groupby(["controls", "rtt_ms", "width", "pause_s"], sort=False)
    petals = steps[["took_ms", "server_ms", "sent_bytes"]].median().reset_index()
    petals = petals.assign(kind="petals", frame_bytes=petals["sent_bytes"], window=np.nan)
    table = pd.concat([tcp, petals], ignore_index=True)
    wire_ms = 2 * 8 * table["frame_bytes"] / KB / run.manifest.settings.mbit_per_s
    beyond_ms = table["took_ms"] - table["server_ms"] - wire_ms
    table["round_trips"] = beyond_ms / table["rtt_ms"]
    cells = list(zip(*(table[name].tolist() for name in (*key, "server_ms")), strict=True))
    for name, lost in (("least", 0.0), ("most", np.inf)):
        table[name] = [
            predicted(controls, rtt_ms, size, pause_s, server_ms, lost)
            for controls, rtt_ms, size, pause_s, server_ms in cells
        ]
    columns = ["kind", *key, "width", "took_ms", "server_ms", "window", "round_trips"]
    return table[[*columns, "least", "most"]]


def policy_of(controls: str) -> WindowPolicy:
    """The model of a kernel setting."""
    if controls == "bbr":
        return Warm(Warm.Options(lost_round_trips=0.5))
    if controls == "cubic_kept":
        return Warm(Warm.Options())
    return IdleRestart(IdleRestart.Options())


def predicted(
    controls: str, rtt_ms: float, frame_bytes: float, pause_s: float, server_ms: float,
    lost: float = np.inf,
) -> float:  # fmt: skip
    """Round trips there and back, 1 + 2 w, the solution found from so many ``lost`` (w)."""
    policy = IdleRestart() if np.isnan(pause_s) and controls != "bbr" else policy_of(controls)
    frame_kb, took_ms = frame_bytes / KB, (1 + 2 * lost) * rtt_ms + server_ms
    for _ in range(20):
        known = np.isfinite(took_ms) and not np.isnan(pause_s)
        idle_ms = took_ms + 1000.0 * pause_s - lost * rtt_ms if known else np.inf
        found = policy.lost_round_trips(
            np.array([idle_ms]), np.array([rtt_ms]), np.array([frame_kb])
        )
        lost = float(found[0])
        new_ms = (1 + 2 * lost) * rtt_ms + server_ms
        if new_ms == took_ms:
            break
        took_ms = new_ms
    return 1 + 2 * lost


def summary_of_windows(run: FramesRun, table: pd.DataFrame) -> str:
    """What was seen, in sentences with numbers."""
    lines = []
    tcp, petals = (table[table["kind"] == kind] for kind in ("tcp", "petals"))
    for name, rows in tcp.groupby("controls", sort=False):
        fewer = rows["round_trips"] < rows["least"] - AGREE
        more = rows["round_trips"] > rows["most"] + AGREE
        least = (rows["round_trips"] - rows["least"]).abs() <= AGREE
        lines.append(
            f"TCP, {LABELS[str(name)]}: {int(least.sum())} of {len(rows)} cells take as many round "
            f"trips as the formula's solution from below (within {AGREE:g}), "
            f"{int(fewer.sum())} fewer, {int(more.sum())} more than that from above."
        )
    wide = petals["width"] == petals["width"].max()
    for (controls, rtt_ms), rows in petals.groupby(["controls", "rtt_ms"], sort=False):
        own = rows[wide.loc[rows.index]]
        other = rows[~wide.loc[rows.index]]
        lines.append(
            f"PETALS, {LABELS[str(controls)]}, {rtt_ms:g} ms: "
            f"{own['frame_bytes'].median() / KB:.1f} kB sent a step; "
            "beyond the server, after pauses of "
            + ", ".join(f"{pause:g}" for pause in own["pause_s"])
            + " s: "
            + ", ".join(f"{trips:.2f}" for trips in own["round_trips"])
            + " round trips; narrow activations "
            + ", ".join(f"{trips:.2f}" for trips in other["round_trips"])
            + "."
        )
    resent = int(run.frames["resent"].clip(lower=0).sum())
    lines.append(f"{len(run.frames)} frames, {resent} segments sent again; {len(run.steps)} steps.")
    return "\n".join(lines)


def windows_table(table: pd.DataFrame, rtt_ms: float) -> str:
    """Markdown: round trips of frames under cubic, and of PETALS' activations by kernel setting."""
    table = table[table["rtt_ms"] == rtt_ms]
    widest = table["width"].max()
    cubic = table[(table["kind"] == "tcp") & (table["controls"] == "cubic")]
    found = [
        (f"{size / KB:g} kB, {LABELS['cubic']}", cubic[cubic["frame_bytes"] == size])
        for size in sorted(set(cubic["frame_bytes"]))
    ]
    for name, rows in table[table["width"] == widest].groupby("controls", sort=False):
        found.append((f"PETALS, BLOOM's width, {LABELS[str(name)]}", rows))
    pauses = sorted(set(table["pause_s"].dropna()))
    titles = ["after a pause of", *(f"{pause:g} s" for pause in pauses), "first"]
    lines = [" | ".join(titles), " | ".join(["---"] + ["---:"] * (1 + len(pauses)))]
    for title, rows in found:
        at = rows.set_index(rows["pause_s"].fillna(np.inf))["round_trips"]
        cells = [f"{at[pause]:.2f}" if pause in at.index else "" for pause in (*pauses, np.inf)]
        lines.append(" | ".join([title, *cells]))
    return "\n".join(f"| {line} |" for line in lines)


def draw_windows(table: pd.DataFrame, rtt_ms: float) -> Figure:
    """Round trips against the pause: frames over TCP, and PETALS' activations, by kernel setting.

    Parameters
    ----------
    table : DataFrame
        Of `round_trips`.
    rtt_ms : float
        Which distance is drawn.
    """
    table = table[table["rtt_ms"] == rtt_ms]
    names = [name for name in LABELS if name in set(table["controls"])]
    tcp, petals = (table[table["kind"] == kind] for kind in ("tcp", "petals"))
    sizes = sorted(set(tcp["frame_bytes"]))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 3.1)
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            for size, color, marker in zip(sizes, COLORS, MARKERS, strict=False):
                rows = tcp[(tcp["controls"] == name) & (tcp["frame_bytes"] == size)]
                _draw(axes, rows, color=color, marker=marker)
            own = petals[(petals["controls"] == name) & (petals["width"] == petals["width"].max())]
            axes.plot(_at(own), own["round_trips"], "*", color="black", markersize=8, zorder=4)
            axes.set_title(LABELS[name])
            axes.set_xscale("symlog", linthresh=0.1, linscale=0.4)
            axes.set_xticks([0, 0.1, 0.5, 2, NEW], ["0", ".1", ".5", "2", "first"], minor=False)
            axes.set_xticks([], minor=True)
            axes.set_xlabel("pause (s)")
        panels[0].set_ylabel("round trips there and back")
        panels[0].set_ylim(bottom=0)
        handles = [
            Line2D([], [], color=color, marker=marker, label=f"{size / KB:g} kB")
            for size, color, marker in zip(sizes, COLORS, MARKERS, strict=False)
        ]
        star: dict[str, Any] = {"color": "black", "marker": "*", "linestyle": "", "markersize": 8}
        handles.append(Line2D([], [], label="PETALS, BLOOM's width", **star))
        style.heading(figure, f"What a frame takes after a pause, {rtt_ms:g} ms away", handles, 6)
        style.note(
            figure, "Marks: measured. Lines: predicted (docs/wan.md#window), dotted: from above."
        )
    return figure


def _at(rows: pd.DataFrame) -> Any:
    return rows["pause_s"].fillna(NEW)


def _draw(axes: Axes, rows: pd.DataFrame, **look: Any) -> None:
    rows = rows.sort_values("pause_s")
    axes.plot(_at(rows), rows["round_trips"], linestyle="", **look)
    axes.plot(_at(rows), rows["least"], linewidth=0.8, color=look["color"])
    axes.plot(_at(rows), rows["most"], linewidth=0.6, linestyle=style.DOTTED, color=look["color"])


def render_windows(run: FramesRun, table: pd.DataFrame, stem: Path) -> list[Path]:
    """Write ``<stem>.pdf`` and its like, all numbers beside it."""
    return style.save(draw_windows(table, max(run.manifest.settings.rtt_ms)), table, stem)
