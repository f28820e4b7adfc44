"""What a frame costs that is sent on its way past a place: a stage, or a sender of a link."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import numpy as np

from benchmarks.measure import Row, row
from bprr.speculation.frames import Drafting, Line, pass_frames

BUDGET_S = 20
TOKENS = 500_000
REPEATS = 7
PLACES = 12  # six stages and the senders between them
TARGET_US = 1.0
DRAFTINGS = {
    "one token a frame": (Drafting(False, 0, 0.0, 1), 1),
    "chunks of 8, 4 under way": (Drafting(False, 8, 13.0, 4), 1),
    "chunks of 8, 4 under way, 16 streams": (Drafting(False, 8, 13.0, 4), 16),
    "single positions, blocks of 8": (Drafting(True, 8, 0.0, 9), 1),
}


def run(tiny: bool) -> Iterator[Row]:
    tokens, repeats = (500, 1) if tiny else (TOKENS, REPEATS)
    line = Line(np.full(PLACES + 1, 10.0), np.tile((2.0, 9.0), PLACES // 2), PLACES - 1)
    rng = np.random.default_rng(1)
    for name, (drafting, streams) in DRAFTINGS.items():
        right = rng.random((streams, 1 << 16)) < 0.85
        pass_frames(line, drafting, right, 1)  # compiles
        times = []
        for _ in range(repeats):
            begin = perf_counter()
            passed = pass_frames(line, drafting, right, tokens)
            steps = passed.frames_per_token * tokens * PLACES
            times.append((perf_counter() - begin) / steps * 1e6)
        yield row(f"frames, {name}", times, "µs/frame and place", TARGET_US)
