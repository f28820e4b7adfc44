"""What a token costs where servers have queues, by events, and a frame of drafts, by places."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import numpy as np

from benchmarks.measure import Row, row
from bprr.ground.request import Request, Route
from bprr.scenario.draw import Instance, draw
from bprr.scenario.scenario import load_scenario
from bprr.service.token_loop import Discipline, TokenLoop
from bprr.settings.configuration import load_settings
from bprr.speculation.frames import Drafting, Line, pass_frames
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue

BUDGET_S = 50
SESSIONS = 400  # at once, in the loop alone
HOPS = 10
TOKENS = 128
LONG_RUN = 5_000  # sessions on GTS-CE's 60 servers
REPEATS = 7
TARGET_US = 0.4
TARGET_S = 5.0
DISCIPLINES = {
    "serial, fifo, whole prompts": Discipline.serial("fifo", "whole", 2, 0.0),
    "serial, oldest first, prompts in blocks": Discipline.serial("oldest", "block", 0, 0.0),
    "batched": Discipline.batched([(1, 1), (2, 1.1)], "whole"),
}
TOKENS_BY_FRAME = 300_000
PLACES = 12  # six stages and the senders between them
TARGET_FRAME_US = 1.0
DRAFTINGS = {
    "one token a frame": (Drafting(False, 0, 0.0, 1), 1),
    "chunks of 8, 4 under way": (Drafting(False, 8, 13.0, 4), 1),
    "chunks of 8, 4 under way, 16 streams": (Drafting(False, 8, 13.0, 4), 16),
    "single positions, blocks of 8": (Drafting(True, 8, 0.0, 9), 1),
}
SERVICES = {
    "serial": {"serial": {"belief": "re_estimated"}},
    "serial, oldest first": {"serial": {"belief": "where_room", "order": "oldest"}},
    "batched": {"batched": {"belief": "re_estimated"}},
}


def gts_ce(requests: int, service: object) -> Instance:
    changed = {
        "network.name": "gts_ce",
        "workload.requests": requests,
        "admission": "central_queue",
        "service": service,
    }
    return draw(load_scenario("scattered", changed), catalogue(load_settings()), 2025, 0)


def loop_alone(instance: Instance, discipline: Discipline, sessions: int) -> float:
    """Time per token and hop of sessions that start within a second on random chains (µs)."""
    rng, servers = np.random.default_rng(2), instance.swarm.servers
    loop = TokenLoop(instance.swarm, discipline)
    request = Request(0, 20, TOKENS, 20 + TOKENS)
    for _ in range(sessions):
        chain = rng.choice(servers, HOPS, replace=False)
        session = loop.enter(request, Route(chain, np.full(HOPS, 7), 0.0))
        loop.start(session, rng.uniform(0, 1000))
    begin, left = perf_counter(), sessions
    while left:
        left -= len(loop.advance(1e15))
    return (perf_counter() - begin) / (sessions * TOKENS * HOPS) * 1e6


def frames_alone(drafting: Drafting, streams: int, tokens: int) -> float:
    """Time per frame and place on the way of so many tokens, most drafts right (µs)."""
    line = Line(np.full(PLACES + 1, 10.0), np.tile((2.0, 9.0), PLACES // 2), PLACES - 1)
    right = np.random.default_rng(1).random((streams, 1 << 16)) < 0.85
    begin = perf_counter()
    passed = pass_frames(line, drafting, right, tokens)
    return (perf_counter() - begin) / (passed.frames_per_token * tokens * PLACES) * 1e6


def run(tiny: bool) -> Iterator[Row]:
    sessions, repeats, long_run = (20, 1, 50) if tiny else (SESSIONS, REPEATS, LONG_RUN)
    instance = gts_ce(1, "independent")
    for name, discipline in DISCIPLINES.items():
        loop_alone(instance, discipline, 1)  # compiles
        times = [loop_alone(instance, discipline, sessions) for _ in range(repeats)]
        yield row(f"loop, {name}", times, "µs/token and hop", TARGET_US)
    for name, (drafting, streams) in DRAFTINGS.items():
        frames_alone(drafting, streams, 1)  # compiles
        tokens = 500 if tiny else TOKENS_BY_FRAME
        times = [frames_alone(drafting, streams, tokens) for _ in range(repeats)]
        yield row(f"frames, {name}", times, "µs/frame and place", TARGET_FRAME_US)
    settings = load_settings()
    for name, service in SERVICES.items():
        for method in ("petals", "proposed"):
            runner = MethodRunner(gts_ce(long_run, service))
            times = []
            for _ in range(min(repeats, 3) + 1):
                begin = perf_counter()
                runner.run(settings.methods[method], 0.0)
                times.append(perf_counter() - begin)
            yield row(f"{long_run:,} sessions, {method}, {name}", times[1:], "s", TARGET_S)
