"""What would help a swarm: before and after each change, and the term that it changes most."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from bprr.ground.errors import InputError
from bprr.ground.files import read_text
from bprr.ground.registry import FORWARDING
from bprr.ground.schema import Strict
from bprr.ground.tables import TEXT, Schema, read_csv
from bprr.settings.messages import validated
from bprr.settings.yaml_file import parse_yaml
from bprr.wan.swarm import Pace, WanSwarm, pace, prefill_ms

__all__ = ["WhatIf", "directions", "measured_what_ifs", "what_ifs"]

WHAT_IFS = Schema(
    "measured changes of swarms", {"model": TEXT, "step": TEXT, "ratio_measured": TEXT.with_gaps}
)


Change = tuple[str, str, WanSwarm]  # what, at which stage, and the swarm after it


class WhatIf(NamedTuple):
    """A change and what it does; a star after it: with a distance that nobody measured."""

    change: str
    swarm: WanSwarm
    pace: Pace
    term: str  # that changes most per token


def _changed(swarm: WanSwarm, **changes: Any) -> WanSwarm:
    return validated(WanSwarm, swarm.model_dump(mode="json") | changes, "what-if")


def what_ifs(swarm: WanSwarm) -> list[WhatIf]:
    """Changes that apply to a swarm, the best first.

    Distances that nobody measured are taken to be the median of those that somebody did. Of the
    stages that could host the coordinator, or be left out, the best one is named.
    """
    now, between = pace(swarm), swarm.between_rtt_ms()
    apart = between[np.isfinite(between) & (between > 0)]
    usual_ms = float(np.median(apart)) if apart.size else float("nan")
    found: dict[str, WhatIf] = {}
    for change, stage, changed in _changes(swarm, usual_ms):
        then = pace(changed)
        if np.isnan(then.tokens_per_s):
            filled = np.nan_to_num(changed.between_rtt_ms(), nan=usual_ms)
            changed = _changed(changed, rtt_ms=_rows(filled), ring_rtt_ms=None)
            stage, then = f"{stage} *", pace(changed)
        if np.isnan(then.tokens_per_s):
            continue
        if change not in found or then.tokens_per_s > found[change].pace.tokens_per_s:
            found[change] = WhatIf(f"{change}{stage}", changed, then, _term(now, then))
    return sorted(found.values(), key=lambda each: -each.pace.tokens_per_s)


def _term(now: Pace, then: Pace) -> str:
    before, after = now.terms(), then.terms()
    term = max(before, key=lambda name: abs(after[name] - before[name]))
    moved = after[term] - before[term]
    gain = then.tokens_per_s / now.tokens_per_s
    longer = then.round_ms / now.round_ms
    if abs(np.log(gain * longer)) > abs(np.log(longer)):
        return f"{gain * longer:.2f} times the tokens per round"
    return f"{term} {moved:+.0f} ms"


def _changes(swarm: WanSwarm, usual_ms: float) -> Iterator[Change]:
    for name in FORWARDING:
        if name != swarm.forwarding.name:
            yield f"forwarding: {name}", "", _changed(swarm, forwarding=name)
    if swarm.window.name == "idle_restart":
        yield "connections kept warm", "", _changed(swarm, window="warm")
    if swarm.wire_bytes == 2:
        yield "8 bits on the wire", "", _changed(swarm, wire_bytes=1)
    own = swarm.speculation
    if own.name == "none":
        yield "8 drafts a round, 74 % accepted", "", _changed(swarm, speculation="chain")
        sent_ahead: dict[str, Any] = {}
    else:
        yield "no drafts", "", _changed(swarm, speculation="none")
        sent_ahead = own.options.model_dump(mode="json") if own.name == "chain" else {}
    if own.name in ("none", "chain"):
        speculation = {"chunks": {**sent_ahead, "frames": 4}}
        yield "4 frames of drafts in flight", "", _changed(swarm, speculation=speculation)
    yield from _moves(swarm)
    yield from _nodes(swarm, usual_ms)
    if swarm.streams == 1:
        for streams in (4, 8):
            what = f"{streams} streams, own frames"
            yield what, "", _changed(swarm, streams=streams, batch="own_frames")
    elif swarm.batch == "lockstep":
        yield "own frames instead of lockstep", "", _changed(swarm, batch="own_frames")


def _rows(between: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in between]


def _moves(swarm: WanSwarm) -> Iterator[Change]:
    """The coordinator on the host of a stage, where it is not yet."""
    between = swarm.between_rtt_ms()
    for stage in range(1, len(swarm.stages_ms) + 1):
        if between[0, stage] == 0:
            continue
        moved = between.copy()
        moved[0, :] = moved[:, 0] = between[stage, :]
        moved[0, 0] = moved[0, stage] = moved[stage, 0] = 0.0
        changed = _changed(swarm, rtt_ms=_rows(moved), ring_rtt_ms=None)
        yield "coordinator moved", f" to stage {stage}", changed


def _nodes(swarm: WanSwarm, usual_ms: float) -> Iterator[Change]:
    """A stage less, its layers spread over the others; a stage more, with its share of the layers.

    The new node stands behind the last one, as far from all hosts as hosts are from each other.
    """
    between, stages = swarm.between_rtt_ms(), np.array(swarm.stages_ms)
    states = list(swarm.states)
    count, work_ms = stages.size, float(stages.sum())
    for stage in range(count) if count > 1 else ():
        kept = np.delete(np.delete(between, stage + 1, 0), stage + 1, 1)
        faster = np.delete(stages, stage)
        less = faster * work_ms / faster.sum()
        fewer = states[: stage + 1] + states[stage + 2 :]
        changed = {"stages_ms": less.tolist(), "rtt_ms": _rows(kept), "states": fewer}
        what = f": without stage {stage + 1}"
        yield "one node less", what, _changed(swarm, **changed, ring_rtt_ms=None)
    if not np.isnan(usual_ms):
        more = np.full((count + 2, count + 2), usual_ms)
        more[:-1, :-1] = between
        more[-1, -1] = 0.0
        shared = [*(stages * count / (count + 1)).tolist(), work_ms / (count + 1)]
        changed = {"stages_ms": shared, "rtt_ms": _rows(more), "states": states + states[-1:]}
        what = ", as far as the others"
        yield "one node more", what, _changed(swarm, **changed, ring_rtt_ms=None)


class MeasuredChange(Strict):
    """Inputs of a measured change (data/wan_swarms/whatif_inputs.yaml)."""

    step: str
    part: int = 0
    quantity: Literal["tokens_per_s", "round_ms", "prefill_ms"] = "tokens_per_s"
    inputs: str
    sign: Literal[-1, 1] | None = None  # where only the direction was published
    before: WanSwarm
    after: WanSwarm


def _quantity(swarm: WanSwarm, name: str) -> float:
    if name == "prefill_ms":
        return prefill_ms(swarm.prompt) if swarm.prompt else float("nan")
    return float(getattr(pace(swarm), name))


def measured_what_ifs(folder: Path) -> pd.DataFrame:
    """Measured changes beside predicted ones.

    Returns
    -------
    DataFrame
        Columns ``model``, ``step``, ``quantity``, ``measured``, ``predicted`` (ratios after to
        before; missing where unknown), ``fitted_on``, ``error`` (a share), ``right`` (whether the
        direction is). A row per value; a step without inputs has one row without prediction.
    """
    steps = read_csv(folder / "whatif.csv", WHAT_IFS)
    path = folder / "whatif_inputs.yaml"
    content = parse_yaml(read_text(path, "YAML file"), path)
    entries = [
        validated(MeasuredChange, entry | {"after": entry["before"] | entry["after"]}, path)
        for entry in TypeAdapter(list[dict[str, Any]]).validate_python(content)
    ]
    for entry in entries:
        if not steps["step"].str.startswith(entry.step).any():
            raise InputError(path, "step", entry.step, "the beginning of a step of whatif.csv")
    rows = []
    lines: Iterator[Any] = steps.itertuples()
    for line in lines:
        said = [] if pd.isna(line.ratio_measured) else str(line.ratio_measured).split(" / ")
        known = [entry for entry in entries if line.step.startswith(entry.step)]
        row = {"model": line.model, "step": line.step}
        if not known:
            unknown = {"measured": float(said[0]) if said else np.nan, "predicted": np.nan}
            rows.append({**row, "quantity": "", **unknown, "fitted_on": "", "right": False})
        for entry in known:
            ratio = _quantity(entry.after, entry.quantity) / _quantity(entry.before, entry.quantity)
            measured = float(said[entry.part]) if said else np.nan
            sign = np.sign(measured - 1) if entry.sign is None else entry.sign
            compared = {"measured": measured, "predicted": ratio, "fitted_on": entry.inputs}
            right = bool(sign and np.sign(round(ratio - 1, 6)) == sign)
            rows.append({**row, "quantity": entry.quantity, **compared, "right": right})
    table = pd.DataFrame(rows)
    table["error"] = table["predicted"] / table["measured"] - 1
    return table


def directions(changes: pd.DataFrame) -> tuple[int, int]:
    """Steps of `measured_what_ifs` all of whose values change as predicted, and all steps."""
    right = changes.groupby("step", sort=False)["right"].all()
    return int(right.sum()), len(right)
