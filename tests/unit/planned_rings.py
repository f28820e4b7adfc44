"""Real rings planned with their own stage times, round trips and drafts, beside what they did."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bprr.ground.swarm import Device, LanguageModel
from bprr.placement.base import Placement
from bprr.plan.goal import Wish
from bprr.plan.machines import Inventory, Machine
from bprr.plan.make import plan_of
from bprr.plan.models import Served
from bprr.plan.predict import chains
from bprr.settings.configuration import load_settings
from bprr.wan.measured import HIDDEN, Measured, read_measured
from bprr.wan.validation import OVERHEAD_MS, drafting

HUGE_GB = 1000.0  # memory is not what these rings are about


class Row(NamedTuple):
    """A run and its plan."""

    run: str
    ring: str
    kind: str
    measured: float
    predicted: float


def planned_rings(folder: Path, scratch: Path, each: int = 1) -> list[Row]:
    """One in so many of the runs of one stream whose distances, stages and drafts are known."""
    measured, settings = read_measured(folder), load_settings()
    runs = list(measured.runs.itertuples())
    return [row for run in runs[::each] for row in _row(measured, run, settings, scratch)]


def _row(measured: Measured, run, settings, scratch: Path):
    drafts, rtt_ms, stages_ms = (
        run.draft_tokens_K,
        measured.legs_rtt_ms(run),
        measured.stages_ms(run),
    )
    width = [size[0] for family, size in HIDDEN.items() if run.model.startswith(family)]
    usable = (
        run.batch_streams == 1
        and run.positions_per_frame == drafts + 1
        and not (drafts and (run.depth_max_frames > 1 or "pipelined" in run.arm))
        and "cold" not in run.arm
        and rtt_ms is not None
        and not np.isnan(stages_ms)
        and not np.isnan(run.tokens_per_s)
        and width
    )
    tokens, draft_ms = drafting(measured, run) if usable else (np.nan, np.nan)
    if not usable or np.isnan(tokens) or np.isnan(draft_ms):
        return
    stages, layers = int(run.stages_count), int(run.layers)
    spans = np.diff(np.linspace(0, layers, stages + 1).round().astype(int))
    model = LanguageModel(name="ring", blocks=layers, d_model=width[0], block_gb=1.0)
    # The whole frame's stages: their time for K + 1 positions is what was stamped.
    device = Device(
        tau_ms=stages_ms / layers,
        prefill_ms=1.0,
        memory_gb=HUGE_GB,
        forward_rps=1e3,
        network_rps=1e3,
    )
    names = [f"stage-{stage}" for stage in range(stages)]
    path = scratch / "rtt.csv"
    _write(path, names, rtt_ms)
    wish = Wish(
        forwarding="ring",
        speculation={
            "chain": {"drafts": int(drafts), "tokens_per_round": tokens, "draft_ms": draft_ms}
        }
        if drafts
        else "none",
        window="warm" if run.keepwarm == "on" else "idle_restart",
        wire_bytes=1 if run.wire_dtype == "fp8" else 2,
        clients=("client" if len(rtt_ms) > stages else names[0],),
        hop_overhead_ms=(2 * OVERHEAD_MS,) * 3,
        reserve_gb=0.0,
        prove_s=0.0,
    )
    inventory = Inventory(scratch, tuple(Machine(name, "stage", HUGE_GB, name) for name in names))
    own = settings.model_copy(update={"devices": {"stage": device}})
    first = np.r_[0, np.cumsum(spans)[:-1]] + 1
    made = plan_of(
        inventory,
        wish,
        Served(model),
        own,
        path,
        given=lambda swarm: Placement(swarm, first, spans),
    )
    (chain,) = chains(made.arm)
    yield Row(
        run.run,
        run.ring,
        "drafts" if drafts else "plain",
        run.tokens_per_s,
        chain.tokens_per_s.value,
    )


def _write(path: Path, names: list[str], legs_ms: np.ndarray) -> None:
    """Round trips of a ring's legs; a coordinator of its own is called client."""
    hosts = ["client", *names] if len(legs_ms) > len(names) else names
    far = {(hosts[i], hosts[(i + 1) % len(hosts)]): legs_ms[i] for i in range(len(hosts))}
    both = far | {(there, here): value for (here, there), value in far.items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["from", "to", "rtt_ms"], *((*ends, value) for ends, value in both.items())]
        )
