"""Traces of an invented device whose true parameters are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bprr.measure.plan import QUICK, Plan, Visit, rounds
from bprr.measure.trace import Recorder, write_trace

MANIFEST = {
    "kind": "device",
    "measured_utc": "2026-01-01T00:00Z",
    "code_revision": None,
    "source_hash": "0" * 16,
    "libraries": {"python": "3.11.7"},
    "device": {
        "kind": "cpu",
        "name": "invented",
        "driver": "none",
        "memory_gb": 16.0,
        "free_gb": 8.0,
        "threads": 1,
    },
    "model": {
        "name": "toy",
        "family": "llama",
        "blocks": 10,
        "d_model": 1000,
        "d_feedforward": 3000,
        "heads": 8,
        "key_value_heads": 2,
        "max_sequence_tokens": 2048,
    },
    "computed": {
        "parameters_per_block": 10_000_000,
        "bytes_per_parameter": 4.0,
        "block_gb": 0.04,
        "cache_gb_per_token": 2e-6,
    },
    "weights": "float32",
    "bytes_per_value": 4,
    "network": "none",
    "settings": {},
    "condition": {},
    "duration_s": 1.0,
}

PLAN = replace(QUICK, rounds=8)


@dataclass(frozen=True)
class Truth:
    """The invented device: times in ms, noise relative."""

    tau: float = 5.0
    hop: float = 0.5
    prefill: float = 20.0
    prefill_per_token: float = 0.4
    prefill_per_token_squared: float = 0.0
    per_context_token: float = 0.0
    per_batch: float = 0.0
    noise: float = 0.02
    outliers: float = 0.0
    drift: float = 0.0

    def time_ms(self, visit: Visit) -> float:
        if visit.experiment == "decode_empty":
            return self.hop
        if visit.experiment == "prefill_input":
            tokens = visit.input_tokens
            per_block = self.prefill + self.prefill_per_token * tokens
            per_block += self.prefill_per_token_squared * tokens**2
            return self.hop + visit.blocks * per_block
        per_block = self.tau + self.per_context_token * (visit.context_tokens - PLAN.base_context)
        return self.hop + visit.blocks * (per_block + self.per_batch * (visit.batch - 1))


def write(directory: Path, truth: Truth, seed: int, plan: Plan = PLAN) -> Path:
    """Observe the invented device as `measure_device` observes a real one."""
    rng, rec = np.random.default_rng(seed), Recorder()
    for turn, order in enumerate(rounds(plan, rng)):
        for visit in order:
            drift = 1.0 + truth.noise / 2 * rng.standard_normal()
            for repeat in range(plan.steps(visit)):
                factor = drift * (1.0 + truth.noise * abs(rng.standard_normal()))
                if rng.random() < truth.outliers:
                    factor *= 3.0
                rec.add(
                    visit, (1 + truth.drift * turn) * truth.time_ms(visit) * factor, turn, repeat
                )
    for blocks in range(1, 6):
        rec.add(Visit("block_memory", blocks, 0, 0), 1000 + 40_000_000 * blocks)
        rec.add(Visit("cache_memory", 2, 100 * blocks, 0), 500 + 2000 * 2 * 100 * blocks)
    for repeat in range(20):
        noise = 1.0 + 0.01 * rng.standard_normal()
        rec.add(Visit("serialisation", 0, 0, 1), 0.1 * noise, 0, repeat, 4000)
        rec.add(Visit("network_round_trip", 0, 0, 0), 0.2 * noise, 0, repeat, 1)
        rec.add(Visit("network_round_trip", 0, 0, 0), 0.3 * noise, 0, repeat, 4000)
        rec.add(Visit("network_upload", 0, 0, 0), 100.0 * noise, 0, repeat, 1_000_000)
        rec.add(Visit("network_download", 0, 0, 0), 200.0 * noise, 0, repeat, 1_000_000)
    return write_trace(directory, rec.rows, MANIFEST)
