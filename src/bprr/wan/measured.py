"""Others' measurements of real swarms (data/wan_swarms), as far as models need them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bprr.ground.swarm import FloatArray
from bprr.ground.tables import NUMBER, TEXT, Schema, read_csv
from bprr.wan.traversal import activation_kb, aux_states

__all__ = ["Measured", "read_measured"]

_TEXTS = ("run", "ring", "model", "forwarding", "coordinator", "arm")
_GAPS = ("workload", "note", "keepwarm", "cuda_graph", "wire_dtype", "aux_dtype", "source_file")
_NUMBERS = (
    "layers",
    "stages_count",
    "batch_streams",
    "draft_tokens_K",
    "positions_per_frame",
    "depth_max_frames",
    "inflight_mean_frames",
    "context_tokens",
    "g_tokens_per_round",
    "tokens_per_s",
    "ms_per_round",
    "draft_ms_per_round",
    "traversal_ms",
    "transport_ms_per_traversal",
    "stage_ms_per_traversal",
    "frames_per_token",
    "prefill_s",
)
RUNS = Schema(
    "runs of real swarms",
    dict.fromkeys(_TEXTS, TEXT)
    | dict.fromkeys(_GAPS, TEXT.with_gaps)
    | dict.fromkeys(_NUMBERS, NUMBER.with_gaps),
)
EDGES = Schema(
    "edges of real swarms",
    {"ring": TEXT, "from_node": TEXT, "to_node": TEXT, "rtt_ms": NUMBER.with_gaps},
)
STAGES = Schema(
    "stages of real swarms",
    {
        "ring": TEXT,
        "stage": TEXT,
        "arm": TEXT,
        "stage_span_ms": NUMBER.with_gaps,
        "ms_per_layer": NUMBER.with_gaps,
    },
)
PROBE = Schema(
    "round trips of frames after pauses",
    {
        "congestion_control": TEXT,
        "frame_kB": NUMBER,
        "idle_ms": NUMBER,
        "rtt_ms": NUMBER,
        "steady_median_ms": NUMBER,
    },
)
# Width and streams of the residual of each family of models; 16 bits unless a run says fp8.
HIDDEN = {
    "gpt-oss": (2880, 1),
    "MiniMax-M2.5": (3072, 1),
    "GLM-5.2": (6144, 1),
    "DeepSeek-V4": (4096, 4),
    "BLOOM": (14336, 1),
}
GRAPHED = "CUDA-graph block"  # the arm of stages.csv whose time per layer stands for a model's


class Measured(NamedTuple):
    """All tables; the rows of `runs` are what is to be explained."""

    runs: pd.DataFrame
    edges: pd.DataFrame
    stages: pd.DataFrame
    probe: pd.DataFrame

    def legs_rtt_ms(self, run: Any) -> FloatArray | None:
        """Round trips of the legs of a ring; equal ones where only their sum was published."""
        if run.forwarding != "ring" or np.isnan(run.stages_count):
            return None
        legs = int(run.stages_count) + (not run.coordinator.startswith("on head"))
        rows = self.edges[(self.edges["ring"] == run.ring) & self.edges["rtt_ms"].notna()]
        loop = rows[rows["from_node"] == "loop"]["rtt_ms"]
        if len(loop):
            return np.full(legs, float(loop.iloc[0]) / legs)
        ends_meet = set(rows["from_node"]) == set(rows["to_node"])
        return rows["rtt_ms"].to_numpy(dtype=float) if ends_meet and len(rows) == legs else None

    def stages_ms(self, run: Any) -> float:
        """All stages together: stamped in the run, else in runs of the ring, else by the layer."""
        if not np.isnan(run.stage_ms_per_traversal):
            return float(run.stage_ms_per_traversal)
        same = (self.runs["ring"] == run.ring) & (self.runs["draft_tokens_K"] == run.draft_tokens_K)
        if not np.isnan(stamped := self.runs[same]["stage_ms_per_traversal"].median()):
            return float(stamped)
        spans = self.stages[self.stages["ring"] == run.ring].dropna(subset=["stage_span_ms"])
        for _, ring in spans.groupby("arm", sort=False):
            if len(ring) == run.stages_count:
                return float(ring["stage_span_ms"].sum())
        family = self.runs[self.runs["model"] == run.model]["ring"].unique()
        rows = self.stages[self.stages["ring"].isin(family) & (self.stages["arm"] == GRAPHED)]
        if run.cuda_graph != "on" or not np.isnan(run.context_tokens) or rows.empty:
            return float("nan")
        return float(rows["ms_per_layer"].iloc[0] * run.layers)

    def frame_kb(self, run: Any, legs: int) -> FloatArray | float:
        """What crosses each leg of a ring; NaN for a model of unknown width."""
        known = [size for family, size in HIDDEN.items() if run.model.startswith(family)]
        if not known or np.isnan(run.positions_per_frame):
            return float("nan")
        value_bytes = 1.0 if run.wire_dtype == "fp8" else 2.0
        kb = activation_kb(run.positions_per_frame * run.batch_streams, *known[0], value_bytes)
        if "EAGLE" not in run.arm or not run.draft_tokens_K:
            return kb
        return kb * aux_states(int(run.stages_count))[-legs:]

    def alike(self, run: Any, column: str, text: str = "") -> float:
        """Median of what runs of the same model and drafts report, on texts that begin so."""
        rows = self.runs[
            (self.runs["model"] == run.model)
            & (self.runs["draft_tokens_K"] == run.draft_tokens_K)
            & self.runs["workload"].fillna("").str.startswith(text)
        ]
        return float(rows[column].median())

    def spans_ms(self, run: Any) -> FloatArray:
        """Spans of the stages for one position: of the ring, else of the model's last one."""
        spans = self.stages[
            self.stages["stage_span_ms"].notna()
            & self.stages["arm"].str.contains("one-position|positions a frame")
        ]
        family = set(self.runs[self.runs["model"] == run.model]["ring"])
        own = spans[spans["ring"] == run.ring]
        rows = own if len(own) else spans[spans["ring"].isin(family)]
        if rows.empty:
            return np.zeros(0)
        own_arm = run.arm.partition(", ")[2]
        named = rows[rows["arm"].str.contains(own_arm, regex=False)] if own_arm else rows[:0]
        arm = (named if len(named) else rows)["arm"].iloc[-1]
        positions = re.search(r"(\d+) positions a frame", arm)
        known_ms = rows[rows["arm"] == arm]["stage_span_ms"].to_numpy(dtype=float)
        return known_ms / float(positions[1]) if positions else known_ms


def read_measured(folder: Path) -> Measured:
    """All tables of a folder like ``data/wan_swarms``."""
    return Measured(
        read_csv(folder / "runs.csv", RUNS),
        read_csv(folder / "edges.csv", EDGES),
        read_csv(folder / "stages.csv", STAGES),
        read_csv(folder / "window_probe.csv", PROBE),
    )
