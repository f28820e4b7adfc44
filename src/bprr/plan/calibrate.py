"""What a swarm was seen to do against what was planned, and what follows for the next plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from bprr.ground.errors import InputError
from bprr.ground.files import read_json, read_text
from bprr.ground.schema import Milliseconds, Positive, Strict
from bprr.ground.swarm import FloatArray
from bprr.ground.tables import csv_cells
from bprr.plan.record import ChainRecord, PlanRecord
from bprr.settings.messages import validated
from bprr.settings.yaml_file import read_yaml

__all__ = [
    "Calibration",
    "Fit",
    "Observed",
    "calibrated",
    "read_calibration",
    "read_log",
    "read_plan",
    "sessions_of",
    "token_ms",
]

LEAST_ROWS = 8
# A prior that a few sessions outweigh: factor 1 within half of it, the planned overhead likewise.
PRIOR_WEIGHT = 0.02
CONFIDENCE = 1.96
COLUMNS = ("start", "first_token", "end", "tokens", "chain", "client", "input_tokens")


class Calibration(Strict):
    """The file of a calibration: low, value and high of each."""

    hop_overhead_ms: tuple[Milliseconds, Milliseconds, Milliseconds]
    devices: dict[str, tuple[Positive, Positive, Positive]] = Field(
        {}, description="factor of the planned times, by GPU"
    )
    sessions: int = 0
    source: str = ""


class Observed(NamedTuple):
    """One session that was seen (ms)."""

    chain: ChainRecord
    ttft_ms: float
    token_ms: float


class Fit(NamedTuple):
    """A calibration, and predicted over observed time per token before and after it."""

    calibration: Calibration
    before: FloatArray  # of the sessions that were held out
    after: FloatArray


def read_calibration(path: Path) -> Calibration:
    """File of a calibration.

    Raises
    ------
    InputError, InputErrors
        If it cannot be used.
    """
    return validated(Calibration, read_yaml(path), path)


def read_plan(folder: Path) -> PlanRecord:
    """plan.json of a folder.

    Raises
    ------
    InputError, InputErrors
        If there is none, or not of this form.
    """
    path = folder / "plan.json" if folder.is_dir() else folder
    content = read_json(path, "plan.json of bprr plan")
    if not isinstance(content, dict):
        raise InputError(path, "file", type(content).__name__, "plan.json of bprr plan")
    return validated(PlanRecord, content, path)


def read_log(path: Path, plan: PlanRecord) -> list[Observed]:
    """Sessions of a CSV or of lines of JSON.

    Columns ``start, first_token, end`` (s), ``tokens`` (of the answer), and where known ``chain``
    (names of servers with ``>`` between them, or a list) and ``client`` (its place).

    Raises
    ------
    InputError
        If it cannot be used, or a server is not of the plan.
    """
    return sessions_of(_rows(path), plan, path)


def sessions_of(
    rows: Sequence[tuple[int, Mapping[str, Any]]], plan: PlanRecord, path: Path
) -> list[Observed]:
    """Sessions of numbered rows of a log (`read_log`).

    Raises
    ------
    InputError
        If it cannot be used, or a server is not of the plan.
    """
    chains = {chain.place: chain for chain in plan.chains}
    observed = []
    for line, row in rows:
        where = f"{path} (line {line})"
        start, first, end = (_number(row, key, where) for key in ("start", "first_token", "end"))
        tokens = _number(row, "tokens", where)
        if not start < first <= end or tokens < 1:
            said = f"start {start:g}, first token {first:g}, end {end:g}, {tokens:g} tokens"
            raise InputError(where, "start", said, "start < first_token <= end, tokens >= 1")
        if tokens < 2:
            continue
        chain = _chain(row, plan, chains, where)
        observed.append(
            Observed(chain, 1000.0 * (first - start), 1000.0 * (end - first) / (tokens - 1))
        )
    if len(observed) < LEAST_ROWS:
        allowed = f"at least {LEAST_ROWS} sessions of two tokens and more"
        raise InputError(path, "rows", len(observed), allowed)
    return observed


def _rows(path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    text = read_text(path, "log of sessions")
    if text.lstrip().startswith("{"):
        frame = []
        for line, part in enumerate(text.splitlines(), start=1):
            if not part.strip():
                continue
            row = _json_row(part, path, line)
            frame.append((line, row))
        return frame
    table = csv_cells(path, ("chain", "client"))
    if missing := [name for name in COLUMNS[:4] if name not in table.columns]:
        raise InputError(path, "columns", f"no {', '.join(missing)}", ", ".join(COLUMNS))
    return list(enumerate(table.to_dict("records"), start=2))  # type: ignore[arg-type]


def _json_row(text: str, path: Path, line: int) -> Mapping[str, Any]:
    import json

    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"line {line}", str(error), "one JSON object a line") from None
    if not isinstance(row, dict):
        raise InputError(path, f"line {line}", type(row).__name__, "a JSON object")
    return row


def _number(row: Mapping[str, Any], key: str, where: str) -> float:
    value = row.get(key)
    numeric = isinstance(value, int | float | np.integer | np.floating)
    if not numeric or isinstance(value, bool) or not abs(value) < 1e15:  # type: ignore[operator,arg-type]
        raise InputError(where, key, value, "a number (s)")
    return float(value)  # type: ignore[arg-type]


def _chain(
    row: Mapping[str, Any], plan: PlanRecord, chains: Mapping[str, ChainRecord], where: str
) -> ChainRecord:
    client = row.get("client")
    place = client if isinstance(client, str) and client else plan.chains[0].place
    if place not in chains:
        raise InputError(where, "client", place, ", ".join(chains))
    planned = chains[place]
    named = row.get("chain")
    if isinstance(named, str) and named.strip():
        named = [name.strip() for name in named.split(">")]
    if not isinstance(named, list) or not named:
        return planned
    return _along([str(name) for name in named], plan, planned, where)


def _along(
    names: Sequence[str], plan: PlanRecord, planned: ChainRecord, where: str
) -> ChainRecord:  # fmt: skip
    """The planned chain's client on another chain, whose way to servers the plan must know."""
    known = {hop.name: hop for chain in plan.chains for hop in chain.hops}
    own = {hop.name: hop for hop in planned.hops}
    servers = {server.name: server for server in plan.placement}
    hops, done = [], 0
    for name in names:
        server, hop = servers.get(name), own.get(name) or known.get(name)
        if server is None:
            raise InputError(where, "chain", name, ", ".join(list(servers)[:30]))
        if hop is None:
            allowed = f"servers whose distance plan.json has: {', '.join(list(known)[:30])}"
            raise InputError(where, "chain", name, allowed)
        end = server.first_block - 1 + server.blocks
        if not server.first_block - 1 <= done < end:
            allowed = f"a server that hosts block {done + 1} of the plan"
            raise InputError(where, "chain", name, allowed)
        tau = server.tau_ms.value or 0.0
        computing = hop.computing_ms.model_copy(update={"value": tau * (end - done)})
        hops.append(hop.model_copy(update={"blocks": end - done, "computing_ms": computing}))
        done = end
    if done != plan.blocks:
        raise InputError(where, "chain", " > ".join(names), f"a chain of all {plan.blocks} blocks")
    return planned.model_copy(update={"hops": hops})


def calibrated(plan: PlanRecord, observed: Sequence[Observed], source: str) -> Fit:
    """Overhead of a hop and a factor per kind of GPU, by least squares with a weak prior.

    Half of the sessions, drawn at random, are held out. Intervals are 95 % of the fit's own error,
    and no less than what the held-out sessions miss in the middle.
    """
    gpus = sorted({_gpu(plan, hop.server) for each in observed for hop in each.chain.hops})
    overhead_ms = plan.hop_overhead_ms.value or 0.0
    rows, seen, base = _design(plan, observed, gpus, overhead_ms)
    fitted = np.random.default_rng(0).permutation(len(observed)) % 2 == 0
    start = np.r_[overhead_ms, np.ones(len(gpus))]
    solved, error = _solved(rows[fitted], (seen - base)[fitted], start, float(np.mean(seen)))
    held = ~fitted
    before = (base + rows @ start)[held] / seen[held]
    after = (base + rows @ solved)[held] / seen[held]
    # All sessions for what is kept.
    solved, error = _solved(rows, seen - base, start, float(np.mean(seen)))
    missed = float(np.median(np.abs(after - 1)))

    def ends(value: float, spread: float) -> tuple[float, float, float]:
        half = max(CONFIDENCE * spread, missed * value)
        return max(value - half, 0.2 * value), value, value + half

    devices = {
        gpu: tuple(float(f"{end:.5g}") for end in ends(float(value), float(spread)))
        for gpu, value, spread in zip(gpus, solved[1:], error[1:], strict=True)
    }
    overhead = tuple(float(f"{end:.5g}") for end in ends(float(solved[0]), float(error[0])))
    calibration = Calibration(
        hop_overhead_ms=overhead, devices=devices, sessions=len(observed), source=source  # type: ignore[arg-type]
    )  # fmt: skip
    return Fit(calibration, before, after)


def _gpu(plan: PlanRecord, server: int) -> str:
    record = plan.placement[server]
    return record.gpu or record.name


def _design(
    plan: PlanRecord, observed: Sequence[Observed], gpus: Sequence[str], overhead_ms: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Columns of hops and of computing per GPU; times seen; distance, which is taken as it is."""
    rows = np.zeros((len(observed), 1 + len(gpus)))
    base = np.zeros(len(observed))
    for place, each in enumerate(observed):
        for hop in each.chain.hops:
            rows[place, 0] += 1
            rows[place, 1 + gpus.index(_gpu(plan, hop.server))] += hop.computing_ms.value or 0.0
            base[place] += max((hop.network_ms.value or 0.0) - overhead_ms, 0.0)
    return rows, np.array([each.token_ms for each in observed]), base


def _solved(
    rows: FloatArray, wanted: FloatArray, start: FloatArray, scale_ms: float
) -> tuple[FloatArray, FloatArray]:
    """Least squares within bounds; prior rows keep apart what sessions do not tell apart."""
    from scipy.optimize import lsq_linear

    weight = PRIOR_WEIGHT * scale_ms * np.sqrt(len(rows))
    prior = np.diag(weight / np.maximum(0.5 * start, 1.0 / scale_ms))
    stacked = np.vstack([rows, prior])
    target = np.r_[wanted, prior @ start]
    bounds = np.r_[0.0, np.full(start.size - 1, 0.1)], np.r_[1e4, np.full(start.size - 1, 20.0)]
    solved = lsq_linear(stacked, target, bounds)
    rest = rows @ solved.x - wanted
    variance = float((rest**2).sum() / max(len(rows) - start.size, 1))
    spread = np.sqrt(np.maximum(np.diag(np.linalg.pinv(stacked.T @ stacked)) * variance, 0.0))
    return solved.x, spread


def token_ms(plan: PlanRecord, each: Observed, calibration: Calibration | None = None) -> float:
    """Time per token of a session's chain, as planned or as calibrated since."""
    whole, planned_ms = 0.0, plan.hop_overhead_ms.value or 0.0
    overhead_ms = planned_ms if calibration is None else calibration.hop_overhead_ms[1]
    for hop in each.chain.hops:
        factor = 1.0
        if calibration is not None:
            factor = calibration.devices.get(_gpu(plan, hop.server), (1.0,) * 3)[1]
        whole += max((hop.network_ms.value or 0.0) - planned_ms, 0.0) + overhead_ms
        whole += factor * (hop.computing_ms.value or 0.0)
    return whole


def errors(ratios: FloatArray) -> pd.Series:
    """Middle of predicted over observed, and how far they miss 1: middle and worst."""
    missed = np.abs(ratios - 1)
    return pd.Series(
        {"ratio": np.median(ratios), "median": np.median(missed), "worst": missed.max()}
    )
