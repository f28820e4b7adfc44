"""Plans that can be added up by hand: a model of four blocks of 1 GB, three places, round numbers.

A block of the model takes τ = 1090 / inference_rps ms a token and as long for a prompt, and a
fortieth of it per token of a prompt; a token's cache in a block takes 4e-6 GB.
"""

from pathlib import Path

import numpy as np

from bprr.ground.swarm import LanguageModel
from bprr.placement.base import Placement
from bprr.plan.arms import Arm, own_arm
from bprr.plan.goal import Wish
from bprr.plan.machines import Inventory, Machine
from bprr.plan.models import Served
from bprr.plan.problem import Problem, problem_of
from bprr.settings.configuration import Settings

MODEL = LanguageModel(name="toy", blocks=4, d_model=1000, block_gb=1.0, max_sequence_tokens=9000)
SERVED = Served(MODEL, 1.0, "Toy 4B")
PLACES = ("Paris", "Rome", "Oslo")
RTT_MS = np.array([[2.0, 20.0, 30.0], [20.0, 4.0, 50.0], [30.0, 50.0, 2.0]])
# τ of 1, 2, 10 and 0.5 ms.
MACHINES = (
    Machine("a", "L4", 7.5, "Paris", inference_rps=1090.0),
    Machine("b", "L4", 4.0, "Rome", inference_rps=545.0),
    Machine("c", "", 4.5, "Oslo", inference_rps=109.0),
    Machine("d", "T4", 3.5, "Rome", inference_rps=2180.0),
)


def round_trips(folder: Path) -> Path:
    """The file of round trips."""
    path = folder / "rtt.csv"
    rows = [
        f"{here},{there},{RTT_MS[a, b]}"
        for a, here in enumerate(PLACES)
        for b, there in enumerate(PLACES)
    ]
    path.write_text("\n".join(["from,to,rtt_ms", *rows]) + "\n", encoding="utf-8")
    return path


def toy_problem(
    folder: Path, settings: Settings, machines=MACHINES, served=SERVED, measured=True, **wish
) -> Problem:
    """The problem of some machines, from Paris and Oslo unless something else is wished."""
    asked = Wish(**{"clients": ("Paris", "Oslo"), "prove_s": 0.0, "requests": 20, **wish})
    rtt = round_trips(folder) if measured else None
    return problem_of(Inventory(folder, tuple(machines)), asked, served, settings, rtt)


def arm_of(problem: Problem, settings: Settings, first, blocks, name="own") -> Arm:
    """The arm of given blocks; all memory that is left is cache."""
    placement = Placement(problem.swarm, np.array(first), np.array(blocks))
    return own_arm(problem, name, f"arm {name}", placement, settings)
