"""A job of the offline optimum gets the settings that its experiment reads, and no others."""

from __future__ import annotations

import pytest

from bprr.offline.experiments import EXPERIMENTS
from bprr.settings.configuration import load_settings, settings_of
from bprr.study.offline import offline_inputs, offline_slice

OPTIONS = {"cbc": {"cuts": "off"}, "highs": {"presolve": "off"}}


@pytest.mark.parametrize("kind", ["offline", "offline_study"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_job_sees_its_own_slice(kind: str, experiment: str) -> None:
    settings = load_settings(overrides={"solver": "cbc", "offline.options": OPTIONS})
    made = offline_slice(settings, kind, experiment)
    again = offline_slice(settings_of(made.content, "slice"), "offline", experiment)
    assert again.digest == made.digest
    assert made.content["offline"]["scale"] == ("study" if kind == "offline_study" else "main")


@pytest.mark.parametrize(
    ("changes", "reruns"),
    [
        ({"seed": 1}, set(EXPERIMENTS)),
        ({"confidence": 0.9, "runs": 3}, set()),
        ({"solver": "cbc"}, set(EXPERIMENTS) - {"solver_race"}),
        ({"offline.options": {"highs": {"presolve": "off"}}}, set(EXPERIMENTS)),
        ({"offline.options": {"cbc": {"cuts": "off"}}}, {"solver_race"}),
        ({"offline.time_limit_s": 61}, set(EXPERIMENTS) - {"solver_race"}),
        ({"offline.relative_gap": 1e-3}, set(EXPERIMENTS)),
        ({"offline.network": "abovenet"}, {"optimality"}),
        ({"methods.petals.label": "P"}, set()),
    ],
)
def test_what_a_setting_reruns(changes: dict[str, object], reruns: set[str]) -> None:
    before, after = load_settings(), load_settings(overrides=changes)
    changed = {
        name
        for name in EXPERIMENTS
        if offline_slice(before, "offline", name).digest
        != offline_slice(after, "offline", name).digest
        or offline_inputs(before, name) != offline_inputs(after, name)
    }
    assert changed == reruns
