"""CG-BP with R by short simulations: the better of two designs, never worse than the paper's."""

from dataclasses import replace

import numpy as np
import pytest

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import ROUTING, Choice
from bprr.placement.base import PlacementProblem, Trial
from bprr.placement.cg_bp import cg_bp
from bprr.placement.cg_bp_tuned import CgBpTuned, design_loads
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.study.method import MethodRunner

TOKENS = 20  # 0.2 GB in a block


def by_hand(swarm, times_ms, load=1):
    """Problem on which a design's mean is what is said of it; and the designs that were tried."""
    tried = []

    def try_out(placement, routing, sessions):
        assert routing.name == "ws_rr"
        tried.append((placement.details["load"], sessions))
        return Trial(times_ms(placement), 0.0)

    order = np.arange(swarm.servers)
    problem = PlacementProblem(
        swarm, lambda: load, TOKENS, order, choose_rate=lambda: 1.0, try_out=try_out
    )
    return problem, tried


def test_the_grid_is_geometric():
    assert design_loads(128, 8) == [1, 2, 4, 8, 16, 32, 64, 128]
    assert design_loads(3, 8) == [1, 2, 3]
    assert design_loads(1, 8) == [1]


@pytest.mark.parametrize("wide", [True, False])
def test_it_takes_the_better_of_two_designs(small_swarm, wide):
    """With R = 1 every block is hosted twice, with the most that fits once."""
    sign = -1 if wide else 1
    problem, tried = by_hand(small_swarm, lambda placement: sign * float(placement.blocks.sum()))
    placement = CgBpTuned(CgBpTuned.Options(loads=2, sessions=70)).place(problem)
    most = max(load for load, _ in tried)
    chosen = cg_bp(small_swarm, 1 if wide else most, TOKENS)
    assert (placement.blocks == chosen.blocks).all()
    assert cg_bp(small_swarm, 1, TOKENS).blocks.sum() > 4  # of the model
    with pytest.raises(InfeasibleError):
        cg_bp(small_swarm, most + 1, TOKENS)


def test_the_papers_load_is_tried_for_as_long_as_the_best(small_swarm):
    """At 3 it is the last of all after 70 sessions, and the best after 280."""

    def times_ms(placement):
        papers = placement.details["load"] == 3
        return -1.0 if papers and longer() else float(placement.blocks[0]) + 9 * papers

    problem, tried = by_hand(small_swarm, times_ms, load=3)

    def longer():
        return tried[-1][1] == 280

    placement = CgBpTuned(CgBpTuned.Options(loads=8, sessions=70)).place(problem)
    assert placement.details["load"] == 3
    assert sum(sessions == 280 for _, sessions in tried) == 3


def test_a_load_beyond_memory_is_not_tried(small_swarm):
    problem, tried = by_hand(small_swarm, lambda _: 1.0, load=10**6)
    CgBpTuned(CgBpTuned.Options(loads=2, sessions=70)).place(problem)
    assert 1 < max(load for load, _ in tried) < 10**6


def drawn_of(published, **keys):
    keys = {"network.name": "abovenet", "service": "serial", "workload.requests": 60, **keys}
    return draw(load_scenario("scattered", keys), published, 2025, 0)


def test_it_is_never_worse_in_its_own_trial_than_the_papers_load(configuration, published):
    drawn = drawn_of(published, **{"workload.rate_per_s": 0.0642})
    runner, method = MethodRunner(drawn), configuration.methods["proposed_tuned"]
    assert (method.placement.name, method.routing.name) == ("cg_bp_tuned", "ws_rr")
    options = CgBpTuned.Options(loads=4, sessions=30)
    tuned = runner.placement(Choice("cg_bp_tuned", options), 0.0)
    papers = runner.placement(configuration.methods["proposed"].placement, 0.0)
    routing = Choice("ws_rr", ROUTING["ws_rr"].Options())
    service = drawn.scenario.service
    mine, theirs = (runner.trial(service, 0.0, each, routing, 4 * 30) for each in (tuned, papers))
    assert mine.mean_ms <= theirs.mean_ms


def test_what_cannot_be_simulated_is_refused_in_words(small_swarm):
    problem, _ = by_hand(small_swarm, lambda _: 1.0)
    with pytest.raises(InputError, match=r"cg_bp_tuned: got 'nothing to simulate with'"):
        CgBpTuned().place(replace(problem, try_out=None))

    def no_rate():
        raise InputError("own.yaml", "design_load.load", "none", "R")

    with pytest.raises(InputError, match=r"own\.yaml: design_load\.rate_per_s: got 'none'"):
        CgBpTuned().place(replace(problem, choose_rate=no_rate))
    small = replace(small_swarm, memory_gb=np.full(3, 1.5))
    with pytest.raises(InfeasibleError, match="R = 1"):
        CgBpTuned().place(replace(problem, swarm=small))
