"""Times under queued servers against those found by other code from the same text, twice."""

import numpy as np
import pytest

from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.settings.configuration import load_settings
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue

DRAWS = 20
BELIEFS = ("ends_now", "re_estimated", "where_room")
# Service, rate: per network, WS-RR/PETALS under each belief; then PETALS (ms/token) ± its error.
PUBLISHED = {
    ("serial", 0.5): {
        "abovenet": ((1.08, 1.08, 1.08), (10726, 54)),
        "bellcanada": ((1.88, 1.33, 0.92), (6038, 125)),
        "gts_ce": ((2.58, 1.34, 1.31), (4414, 11)),
    },
    ("serial", 0.1): {
        "abovenet": ((0.99, 0.87, 0.43), (7807, 139)),
        "bellcanada": ((2.00, 0.75, 0.45), (3859, 99)),
        "gts_ce": ((2.23, 0.47, 0.47), (3459, 44)),
    },
    ("batched", 0.5): {
        "abovenet": ((0.51, 0.51, 0.51), (5079, 244)),
        "bellcanada": ((1.21, 0.96, 0.87), (2026, 99)),
        "gts_ce": ((2.07, 1.35, 1.27), (1178, 28)),
    },
}
WITH_RETRY = {"abovenet": 1.07, "bellcanada": 0.94, "gts_ce": 1.31}  # serial, λ = .5, re-estimated


@pytest.fixture(scope="module")
def settings():
    return load_settings()


def per_token_ms(settings, topology, rate, service, belief, method, admission="central_queue"):
    """Time per token of 100 requests, in each draw."""
    scenario = load_scenario(
        "scattered",
        {
            "network.name": topology,
            "workload.rate_per_s": rate,
            "admission": admission,
            "service": {service: {"belief": belief}},
        },
    )
    means = []
    for run in range(DRAWS):
        runner = MethodRunner(draw(scenario, catalogue(settings), settings.seed, run))
        records, _ = runner.run(settings.methods[method], 0.0)
        means.append((records.completion_ms / records.workload.output_tokens).mean())
    return np.array(means)


def ratio(one, other):
    """Ratio of means, and the standard error of it over paired draws."""
    value = one.mean() / other.mean()
    error = (one - value * other).std(ddof=1) / np.sqrt(DRAWS) / other.mean()
    return value, error


@pytest.mark.parametrize(("service", "rate"), PUBLISHED)
@pytest.mark.parametrize("topology", ["abovenet", "bellcanada", "gts_ce"])
def test_ratios_by_service_and_belief(settings, service, rate, topology):
    expected, (petals_ms, petals_error_ms) = PUBLISHED[service, rate][topology]
    petals = per_token_ms(settings, topology, rate, service, "ends_now", "petals")
    assert petals.mean() == pytest.approx(petals_ms, abs=2 * petals_error_ms)
    for belief, value in zip(BELIEFS, expected, strict=True):
        found = per_token_ms(settings, topology, rate, service, belief, "proposed")
        mean, error = ratio(found, petals)
        assert mean == pytest.approx(value, abs=2 * error + 0.005), belief


@pytest.mark.parametrize(("topology", "value"), WITH_RETRY.items())
def test_ratios_when_sessions_retry(settings, topology, value):
    arms = [
        per_token_ms(settings, topology, 0.5, "serial", "re_estimated", method, "retry")
        for method in ("proposed", "petals")
    ]
    mean, error = ratio(*arms)
    assert mean == pytest.approx(value, abs=2 * error + 0.005)


def test_petals_looks_at_nothing_that_is_believed(settings):
    arms = [
        per_token_ms(settings, "bellcanada", 0.5, "serial", belief, "petals")[:3]
        for belief in BELIEFS
    ]
    assert arms[0].tolist() == arms[1].tolist() == arms[2].tolist()
