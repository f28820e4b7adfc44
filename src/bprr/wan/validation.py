"""Models against others' measurements: a row per number and model (docs/wan.md#validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bprr.forwarding.ring import Ring
from bprr.ground.swarm import FloatArray
from bprr.speculation.chain import Chain
from bprr.speculation.chunks import Chunks
from bprr.speculation.frames import Line
from bprr.speculation.single_frames import SingleFrames
from bprr.wan.by_frame import in_line
from bprr.wan.measured import Measured
from bprr.wan.traversal import traversal
from bprr.window.base import WindowPolicy
from bprr.window.idle_restart import IdleRestart
from bprr.window.none import NoWindow
from bprr.window.warm import Warm

__all__ = ["GROUPS", "MODELS", "NOISE", "OVERHEAD_MS", "compared", "drafting", "errors"]

MODELS = (
    "hub",
    "ring",
    "+ overhead",
    "+ window",
    "+ speculation",
    "+ in flight",
    "by frame",
    "+ batch",
)
NOISE = "noise floor"
TRAVERSAL, TOKENS, ROUND = "ms per traversal", "tokens per s", "ms per round"
FIRST = "s to first token"
GROUPS = {
    "plain traversal": "traversal, one token",
    "drafts traversal": "traversal, drafts in a row",
    "plain tokens": "tokens/s, one token a traversal",
    "drafts tokens": "tokens/s, drafts in a row",
    "chunks": "tokens/s, chunks in flight",
    "single": "tokens/s, single-position frames",
    "batch": "round against streams",
    "hub": "hub, PETALS' own table",
    "prompt": "time to first token, long prompts",
    "probe": "round trips of the window probe",
}
# Prefills of one ring, on whose line of seconds against tokens those of others are predicted.
LINE_RING = "oss_4stage_wa_nj"
SENT_ON = {
    "one chunk at a time": False,
    "synchronous send": False,
    "chunks pipelined": True,
    "asynchronous send": True,
}  # while the next one is computed
OVERHEAD_MS = Ring.Options().overhead_ms_per_leg
FITTED_OVERHEAD = f"overhead {OVERHEAD_MS:g} ms a leg: 12 plain jobs of m25_5eu_good"
SENT_AHEAD = 2  # frames in flight where a pipelined run does not say; 2 to 4 elsewhere that day
COPIED_TOKENS = 8.1  # a round of eight drafts by n-gram on verbatim copies (acceptance.csv)

Row = dict[str, Any]


def compared(measured: Measured) -> pd.DataFrame:
    """Every number that some model predicts, beside what models predict.

    Returns
    -------
    DataFrame
        Columns ``group``, ``run``, ``ring``, ``arm``, ``quantity``, ``measured``, ``model``,
        ``predicted`` (missing where an input was not published), ``fitted_on``, ``error`` (a share
        of the measured value).
    """
    rows: list[Row] = []
    for run in _each(measured.runs):
        rows += _ladder(measured, run)
        rows += _single_frames(measured, run)
    rows += [*_batches(measured), *_hubs(measured), *_first_tokens(measured)]
    rows += [*_probe(measured), *_repeated(measured)]
    table = pd.DataFrame(rows)
    table["error"] = table["predicted"] / table["measured"] - 1.0
    return table


def errors(table: pd.DataFrame) -> pd.DataFrame:
    """Size of the errors: number, median, 90th percentile, worst per group and model."""
    size = table.assign(size=table["error"].abs()).dropna(subset=["size"])
    found = size.groupby(["group", "model"], sort=False)["size"]
    tenth = found.quantile(0.9).rename("p90")
    return found.agg(n="size", median="median", worst="max").join(tenth).reset_index()


def _each(table: pd.DataFrame) -> Iterator[Any]:
    yield from table.itertuples()


def _row(
    run: Any, group: str, quantity: str, value: float, model: str, said: float, on: str
) -> Row:
    names = {"group": group, "run": run.run, "ring": run.ring, "arm": run.arm, "quantity": quantity}
    return {**names, "measured": value, "model": model, "predicted": said, "fitted_on": on}


def _ladder(measured: Measured, run: Any) -> Iterator[Row]:
    """Traversal and tokens per second of one stream on a ring, model upon model."""
    drafts = run.draft_tokens_K
    pipelined = "pipelined" in run.arm
    # Of runs with a depth that nobody called pipelined it is unknown how much was sent ahead.
    ahead = bool(drafts) and run.depth_max_frames > 1 and not pipelined
    rtt_ms, stages_ms = measured.legs_rtt_ms(run), measured.stages_ms(run)
    one_stream = run.batch_streams == 1 and run.positions_per_frame == drafts + 1
    if not one_stream or ahead or "cold" in run.arm or rtt_ms is None:
        return
    if np.isnan(stages_ms) and not pipelined:
        return
    kb = measured.frame_kb(run, rtt_ms.size)
    window = Warm() if run.keepwarm == "on" else IdleRestart()
    tokens, draft_ms = drafting(measured, run)

    def total_ms(window: WindowPolicy, frames: int = 1) -> float:
        return traversal(
            rtt_ms, kb, OVERHEAD_MS, stages_ms, window, draft_ms=draft_ms, frames=frames
        ).total_ms

    rungs = {
        "hub": float(rtt_ms.sum()) + stages_ms,
        "ring": float(rtt_ms.sum()) / 2 + stages_ms,
        "+ overhead": total_ms(NoWindow()),
        "+ window": total_ms(window),
    }
    kind = "drafts" if drafts else "plain"
    if not np.isnan(run.traversal_ms):
        for model, said_ms in rungs.items():
            group = GROUPS[f"{kind} traversal"]
            yield _row(run, group, TRAVERSAL, run.traversal_ms, model, said_ms, _fitted(model))
    if np.isnan(run.tokens_per_s):
        return
    said = {model: 1000.0 / rung_ms for model, rung_ms in rungs.items()}
    if drafts:
        given = {"drafts": int(drafts), "tokens_per_round": tokens, "draft_ms": draft_ms}
        chain = Chain(Chain.Options(**given))
        said["+ speculation"] = chain.tokens_per_s(rungs["+ window"], 0.0)
        if pipelined:
            depth = run.depth_max_frames
            frames = SENT_AHEAD if np.isnan(depth) else int(depth)
            chunks = Chunks(Chunks.Options(**given, frames=frames))
            slowest_ms = stages_ms / run.stages_count
            said["+ in flight"] = chunks.tokens_per_s(total_ms(window, frames), slowest_ms)
    group = GROUPS["chunks" if drafts and pipelined else f"{kind} tokens"]
    for model, value in said.items():
        yield _row(run, group, TOKENS, run.tokens_per_s, model, value, _fitted(model))


def _fitted(model: str) -> str:
    return FITTED_OVERHEAD if model.startswith("+") else ""


def drafting(measured: Measured, run: Any) -> tuple[float, float]:
    """Tokens a round, and time of its drafts: of the run, else as runs like it report."""
    if not run.draft_tokens_K:
        return 1.0, 0.0
    tokens, draft_ms = run.g_tokens_per_round, run.draft_ms_per_round
    if np.isnan(tokens):
        kind = re.split(r"\W", str(run.workload))[0]
        tokens = measured.alike(run, "g_tokens_per_round", kind)
    if np.isnan(tokens) and run.arm.startswith("n-gram") and "copy" in str(run.workload):
        tokens = COPIED_TOKENS
    if np.isnan(draft_ms):  # n-grams are looked up, in no time
        by_model = not run.arm.startswith("n-gram")
        draft_ms = measured.alike(run, "draft_ms_per_round") if by_model else 0.0
    return float(tokens), float(draft_ms)


def _single_frames(measured: Measured, run: Any) -> Iterator[Row]:
    """Single-position frames: frames under way and frames per token as measured."""
    block, most = run.draft_tokens_K, run.depth_max_frames
    needed = (run.inflight_mean_frames, run.frames_per_token, run.tokens_per_s, block, most)
    if np.isnan(needed).any() or run.positions_per_frame != 1 or not block:
        return
    runs = measured.runs
    plain = runs[(runs["ring"] == run.ring) & (runs["draft_tokens_K"] == 0)]["tokens_per_s"]
    if plain.empty:
        transport_ms = runs[runs["ring"] == run.ring]["transport_ms_per_traversal"].median()
        total_ms = transport_ms + run.stage_ms_per_traversal
    else:
        total_ms = 1000.0 / plain.median()
    on = "" if plain.empty else "traversal: median of the plain runs of the ring; "
    spans_ms = measured.spans_ms(run)
    slowest_ms = float(spans_ms.max()) if spans_ms.size else np.nan
    given: Row = {"block": int(block), "most_frames": int(most)}
    if floor := re.search(r"refill floor (\d+)", run.arm):
        given["refill"] = int(floor[1])
    seen = {"mean_frames": run.inflight_mean_frames, "frames_per_token": run.frames_per_token}
    policy = SingleFrames(SingleFrames.Options(**given, **seen))
    naive = 1000.0 * min(most / total_ms, 1.0 / slowest_ms)
    queued = policy.tokens_per_s(total_ms, slowest_ms)
    as_seen = on + "frames under way and per token as measured"
    yield _row(run, GROUPS["single"], TOKENS, run.tokens_per_s, "+ speculation", naive, as_seen)
    yield _row(run, GROUPS["single"], TOKENS, run.tokens_per_s, "+ in flight", queued, as_seen)
    if not np.isnan(run.g_tokens_per_round):  # from one miss to the next
        given["acceptance"] = 1 - 1 / run.g_tokens_per_round
        said = _by_frame(SingleFrames(SingleFrames.Options(**given)), total_ms, spans_ms)
        on += "tokens from miss to miss"
        yield _row(run, GROUPS["single"], TOKENS, run.tokens_per_s, "by frame", said, on)


def _by_frame(policy: SingleFrames, total_ms: float, spans_ms: FloatArray) -> float:
    """Tokens per second of frames sent one by one, over legs of equal length."""
    legs = spans_ms.size + 1
    leg_ms = np.full(legs, (total_ms - spans_ms.sum()) / legs)
    line = Line(leg_ms, spans_ms, spans_ms.size - 1)
    return in_line(line, policy).tokens_per_s


def _batches(measured: Measured) -> Iterator[Row]:
    """Rounds of 2 and 4 streams on the line through 1 and 8 of the same sweep."""
    runs = measured.runs
    runs = runs[(runs["workload"] == "mix") & runs["ms_per_round"].notna()]
    keys = ["ring", "arm", "draft_tokens_K", "source_file", "note"]
    for _, sweep in runs.groupby(keys, sort=False, dropna=False):
        ends = {b: sweep[sweep["batch_streams"] == b]["ms_per_round"] for b in (1, 8)}
        if any(end.empty for end in ends.values()):
            continue
        one, eight = (float(end.iloc[0]) for end in ends.values())
        for run in _each(sweep[sweep["batch_streams"].isin((2, 4))]):
            line = one + (eight - one) * (run.batch_streams - 1) / 7
            for model, said in (("+ speculation", one), ("+ batch", line)):
                on = "1 and 8 streams of the same sweep" if model == "+ batch" else "1 stream"
                yield _row(run, GROUPS["batch"], ROUND, float(run.ms_per_round), model, said, on)


def _hubs(measured: Measured) -> Iterator[Row]:
    """PETALS at longer distances, from its time at the shortest one."""
    edges = measured.edges
    edges = edges[edges["from_node"] == "any"].dropna(subset=["rtt_ms"]).set_index("ring")
    runs = measured.runs
    runs = runs[(runs["forwarding"] == "hub") & (runs["arm"] == "plain")]
    runs = runs[runs["ring"].isin(edges.index)].assign(rtt_ms=runs["ring"].map(edges["rtt_ms"]))
    for _, same in runs.groupby("context_tokens", sort=False):
        near = same.iloc[0]
        for run in _each(same.iloc[1:]):
            value, before = 1000.0 / run.tokens_per_s, 1000.0 / near["tokens_per_s"]
            said = before + run.stages_count * (run.rtt_ms - near["rtt_ms"])
            on = f"the rest of {near['ring']}"
            yield _row(run, GROUPS["hub"], ROUND, value, "hub", float(said), on)


def _first_tokens(measured: Measured) -> Iterator[Row]:
    """Long prompts, each way of sending chunks on its own line; shorter stages take less of it."""
    arms = measured.runs["arm"].str.removeprefix("prefill, ").map(SENT_ON)
    runs = measured.runs.assign(sent_on=arms)[arms.notna()]
    ring = runs[runs["ring"] == LINE_RING]
    lines = {
        sent_on: np.polyfit(known["context_tokens"], known["prefill_s"], 1)
        for sent_on, known in ring.groupby("sent_on")
    }
    layers = _largest_stage(ring.iloc[0])
    for run in _each(runs[runs["ring"] != LINE_RING]):
        shorter = _largest_stage(run) / layers
        for model, sent_on in (("ring", False), ("+ in flight", True)):
            if model == "ring" or run.sent_on:
                said = float(np.polyval(lines[sent_on], run.context_tokens)) * shorter
                on = f"{LINE_RING} at two lengths, layers of the largest stage"
                yield _row(run, GROUPS["prompt"], FIRST, run.prefill_s, model, said, on)


def _largest_stage(run: Any) -> float:
    """Layers of the largest stage of a ring that was dealt evenly."""
    return float(np.ceil(run.layers / run.stages_count))


def _probe(measured: Measured) -> Iterator[Row]:
    """Round trips of our own probe of Linux' default window."""
    window = IdleRestart()
    cells = measured.probe[measured.probe["congestion_control"] == "cubic"]
    for position, cell in enumerate(_each(cells), start=1):
        rtt_ms, kb = np.array([cell.rtt_ms]), np.array([cell.frame_kB])
        said = 1.0 + window.lost_round_trips(np.array([cell.idle_ms + cell.rtt_ms]), rtt_ms, kb)[0]
        names = {
            "run": f"P{position:02d}",
            "ring": "two namespaces",
            "arm": f"{cell.frame_kB:g} kB, pause {cell.idle_ms:g} ms",
        }
        run = pd.Series(names)
        seen = float(round(cell.steady_median_ms / cell.rtt_ms))
        for model, value in (("ring", 1.0), ("+ window", said)):
            yield _row(run, GROUPS["probe"], "round trips", seen, model, float(value), "")


def _repeated(measured: Measured) -> Iterator[Row]:
    """What a prediction by the other repetitions of a job on its ring, within hours, misses."""
    keys = ["arm", "workload", "batch_streams", "draft_tokens_K", "context_tokens", "wire_dtype"]
    runs = measured.runs.dropna(subset=["tokens_per_s"])
    runs = runs[~runs["note"].fillna("").str.contains("stall|cold")]
    runs = runs[runs["ring"].isin(runs[runs["note"].fillna("").str.contains("repetition")]["ring"])]
    for _, cell in runs.groupby(["ring", *keys], dropna=False, sort=False):
        for run in _each(cell) if len(cell) > 1 else ():
            others = float(cell["tokens_per_s"].drop(run.Index).median())
            on = f"median of its {len(cell) - 1} other repetitions"
            yield _row(run, NOISE, TOKENS, run.tokens_per_s, NOISE, others, on)
