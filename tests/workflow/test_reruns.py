"""Changing a thing reruns exactly the jobs that read it, and what follows from them.

The workflow is planned again and again in a copy of the project whose results pass for finished:
Snakemake has touched files without content, and recorded what it would have after real jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml
from house import SETTINGS, House, Jobs

Change = Callable[[House], None]


@pytest.fixture
def house(finished: House) -> Iterator[House]:
    yield finished
    finished.put_back()


def following(jobs: Jobs, first: set[str]) -> set[str]:
    """Jobs, and all that take what they make."""
    reached = set(first)
    while True:
        more = {name for name, job in jobs.items() if reached & set(job["after"])} - reached
        if not more:
            return reached
        reached |= more


def named(jobs: Jobs, patterns: str) -> set[str]:
    """Jobs by patterns, one a line or after a comma; a `!` before one leaves its jobs out."""
    found: set[str] = set()
    for pattern in filter(None, map(str.strip, patterns.replace("\n", ",").split(","))):
        matching = {name for name in jobs if fnmatchcase(name, pattern.removeprefix("!"))}
        assert matching, f"no job is called {pattern}"
        found = found - matching if pattern.startswith("!") else found | matching
    return found


def source(name: str) -> Change:
    return lambda house: house.append(f"src/bprr/{name}", "# changed\n")


def setting(**changed: Any) -> Change:
    return lambda house: house.set(**changed)


def replaced(name: str, old: str, new: str, *, older: bool = False) -> Change:
    return lambda house: house.replace(name, old, new, older=older)


def deleted(name: str) -> Change:
    return lambda house: house.delete(name)


LINKS = "data/topologies/abovenet.links.csv"
DEVICES = "data/published/devices.yaml"
TRACE = "data/traces/cpu-amd-epyc/trace.csv"
OWN_POLICY = """
from bprr.placement.cg_bp import CgBp
class Own(CgBp, name="own"):
    pass
"""


def own_policy(**changed: Any) -> Change:
    def change(house: House) -> None:
        house.write("own.py", OWN_POLICY)
        house.set(policy_files=["own.py"], **changed)

    return change


ON_ABOVENET = (
    "sweep * abovenet, measured_sweep, swarm_map abovenet, running_times,"
    "running_times_of_figures, theory"
)
SIMULATED = "sweep *, measured_sweep, running_times, running_times_of_figures, swarm_map *"
OFFLINE = "offline_experiment *"
EXACT = (  # sweeps with a method that routes exactly
    "sweep fig7 *, sweep fig8 *, sweep fig9 *, sweep fig10 *, sweep servers_and_rate *,"
    "sweep design_load *, sweep planned_rate *, sweep servers_26 *, sweep fig9_retry *"
)
OFFLOADING = f"{EXACT}, sweep fig7_caption *, sweep fig8_caption *, sweep table3 *, sweep table6 *"

# What is changed; how; and the jobs that read it, whose followers run as well.
CASES: dict[str, tuple[Change, str]] = {
    "nothing": (lambda house: None, ""),
    # ---- what no result depends on
    "the date of every file": (House.touch, ""),
    "a comment in the settings": (lambda house: house.append(SETTINGS, "# a comment\n"), ""),
    "a comment on devices": (replaced(DEVICES, "a100:", "# a comment\na100:"), ""),
    "a comment in a scenario": (
        replaced("config/scenarios/scattered.yaml", "model:", "# a comment\nmodel:"), ""),
    "the order of settings": (
        lambda house: house.write(
            SETTINGS, yaml.safe_dump(dict(reversed(house.settings.items())), sort_keys=False)), ""),
    "an unused device": (
        lambda house: house.append(
            DEVICES, "\nspare:\n  tau_ms: 1\n  prefill_ms: 1\n  prefill_ms_per_token: 0\n"
            "  memory_gb: 1\n  forward_rps: 1\n  network_rps: 1\n"), ""),
    "an unused model": (replaced("data/published/models.yaml", "blocks: 80", "blocks: 81"), ""),
    "a new file of a method": (
        lambda house: house.write("src/bprr/placement/own.py", OWN_POLICY), ""),
    "a new method": (
        setting(methods={"own": {"label": "Own", "placement": "cg_bp", "routing": "exact"}}), ""),
    "a new delay variant": (
        setting(delays={"spare": {
            "label": "S", "source": "none", "all_ms": 1, "in_every_sweep": False}}), ""),
    "a policy file that no method names": (own_policy(), ""),
    # ---- settings
    "the confidence": (setting(confidence=0.9),
        "figure *, headline, table *, tables_found, tables_sensitivity, two_modes, orders,"
        "scorecard"),
    "the seed": (
        setting(seed=7),
        "sweep *, running_times, running_times_of_figures, offline_experiment *, swarm_map *,"
        "theory"),
    "the number of runs": (
        setting(runs=3),
        "sweep *, !sweep switch_length *, !sweep tables_found *, !sweep orders *,"
        "!sweep tables_sensitivity *, !sweep servers_and_rate *, !sweep planned_rate *,"
        "!sweep design_load *, !sweep fig9_retry *, theory"),
    "the runs of a job": (setting(runs_per_job=11), ""),
    "the runs of a timed sweep": (
        setting(sweeps={"table3": {"runs": 5}}), "sweep table3 *, theory"),
    "the runs of one sweep": (setting(sweeps={"fig7": {"runs": 5}}), "sweep fig7 *"),
    "the title of a sweep": (
        setting(sweeps={"fig7": {"title": "Other"}}), "figure fig7 *, two_modes"),
    "the title of a table": (
        setting(sweeps={"table6": {"title": "Other"}}), "table table6, tables_found"),
    "the label of an axis": (
        setting(sweeps={"fig8": {"x_label": "Other"}}),
        "figure fig8 *, headline, sweep_times, two_modes"),
    "the axis of a sweep": (
        setting(sweeps={"fig9": {"axes": {"workload.rate_per_s": [0.1, 0.6]}}}),
        "sweep fig9 *, running_times_of_figures"),
    "one more network for a sweep": (
        setting(sweeps={"fig7": {"topologies": ["abovenet", "gts_ce"], "axes": {
            "fleet.servers": {"default": [10]}}}}),
        "sweep fig7 gts_ce, figure fig7 gts_ce, headline, two_modes, running_times_of_figures,"
        "scorecard"),
    "one more method in a sweep": (
        setting(sweeps={"fig9_retry": {"methods": ["petals", "proposed"]}}), "sweep fig9_retry *"),
    "a method of a policy file in a sweep": (
        own_policy(
            methods={"own": {"placement": "own", "routing": "exact"}},
            sweeps={"fig9_retry": {"methods": ["petals", "proposed", "own"]}}),
        "sweep fig9_retry *"),
    "the label of a method": (
        setting(methods={"optimized_rr": {"label": "Other"}}),
        EXACT.replace("sweep ", "figure ")
        + ", headline, sweep_times, two_modes, orders, scorecard"),
    "the label of a network": (
        setting(topologies={"abovenet": {"label": "Other"}}),
        "figure * abovenet, swarm_map abovenet, headline, sweep_times, table table6, table8,"
        "tables_found,"
        "tables_sensitivity, two_modes, orders, scorecard"),
    "the policy of a method": (
        setting(methods={"optimized_rr": {"routing": "ws_rr"}}),
        f"{EXACT}, sweep switch_penalty *, sweep orders *, running_times_of_figures, theory"),
    "an option of a policy": (
        setting(methods={"offloading_ssd": {"placement": {"offloading": {
            "bandwidth_gb_per_s": 9}}}}),
        "sweep table3 *, sweep table6 *, theory"),
    "a delay": (
        setting(delays={"published": {"per_method_ms": {"offloading_ssd": 1}}}),
        "sweep table3 *, sweep table6 *, theory"),
    "the label of a delay variant": (
        setting(delays={"petals_for_all": {"label": "Other"}}), "scorecard"),
    "the solver": (
        setting(solver="cbc"), "offline_experiment *, !offline_experiment * solver_race"),
    "threads of the solver": (setting(offline={"threads": 1}), "offline_experiment *"),
    "an option of the solver": (
        setting(offline={"options": {"highs": {"presolve": "off"}}}),
        "offline_experiment *"),
    # ---- data
    "the delay of a link": (replaced(LINKS, "0,2,1457", "0,2,1458"), ON_ABOVENET),
    "the delay of a link, in an old file": (
        replaced(LINKS, "0,2,1457", "0,2,1458", older=True), ON_ABOVENET),
    "a device": (replaced(DEVICES, "memory_gb: 84.973", "memory_gb: 85"),
        "sweep servers_26 *, sweep tables_sensitivity *"),
    "a device that a scenario only caps": (
        replaced(DEVICES, "memory_gb: 10.2", "memory_gb: 10.3"),
        "sweep servers_26 *, sweep tables_sensitivity *"),
    "a device of one scenario": (
        replaced(DEVICES, "memory_gb: 79.138427734375", "memory_gb: 79.2"),
        "sweep table3 *, running_times, sweep tables_found cluster0,"
        "sweep tables_sensitivity *, theory"),
    "a scenario": (
        replaced("config/scenarios/clustered.yaml", "inter_rtt_ms: 100", "inter_rtt_ms: 101"),
        "sweep table3 *, running_times, theory"),
    "the scenario of the measured device": (
        replaced("config/scenarios/measured.yaml", "rate_per_s: 0.5", "rate_per_s: 0.6"),
        "measured_sweep"),
    "a row of a trace": (replaced(TRACE, "206295040", "206295041"), "fit cpu-amd-epyc"),
    "the manifest of a trace": (
        lambda house: house.append("data/traces/cpu-amd-epyc/manifest.json"), "fit cpu-amd-epyc"),
    "a request measured on the testbed": (
        lambda house: house.append("data/traces/testbed/requests.csv"),
        "testbed_report, scorecard"),
    "a session measured on the testbed under load": (
        lambda house: house.append("data/traces/testbed_loaded/sessions.csv"),
        "testbed_load_report"),
    "a published number": (
        replaced("data/published/results.csv", "64,simulator,5.33", "64,simulator,5.34"),
        "table *, table8, tables_found, tables_sensitivity, scorecard"),
    "the artefact's curves": (
        replaced("data/published/artefact_sweeps.csv", "1861.93", "1861.94"),
        "figure *, measured_sweep_figure, scorecard"),
    "the band of a claim": (
        replaced("claims.yaml", "tolerance: 0.15", "tolerance: 0.16"), "scorecard"),
    "the statement of a discrepancy": (
        replaced("discrepancies.yaml", "is set by hand", "is set so by hand"), "scorecard"),
    # ---- source, a file of each room
    "source: ground/caches": (
        source("ground/caches.py"), f"{SIMULATED}, testbed_load_report, theory"),
    "source: settings/overrides": (
        source("settings/overrides.py"),
        f"{SIMULATED}, {OFFLINE}, testbed_report, testbed_load_report, theory"),
    "source: scenario/workload": (
        source("scenario/workload.py"),
        f"{SIMULATED}, {OFFLINE}, testbed_report, testbed_load_report, theory"),
    "source: placement/offloading": (source("placement/offloading.py"), OFFLOADING),
    "source: placement/cg_bp": (
        source("placement/cg_bp.py"), f"{SIMULATED}, {OFFLINE}, theory"),
    "source: routing/exact": (
        source("routing/exact.py"), f"{EXACT}, sweep switch_penalty *, sweep orders *,"
        "running_times_of_figures"),
    "source: routing/ws_rr": (source("routing/ws_rr.py"), f"{SIMULATED}, theory"),
    "source: simulation/engine": (
        source("simulation/engine.py"), f"{SIMULATED}, testbed_load_report, theory"),
    "source: simulation/admission/retry": (
        source("simulation/admission/retry.py"),
        "sweep fig9_retry *, sweep switch_admission *, testbed_load_report"),
    "source: study/timing": (
        source("study/timing.py"), "running_times, running_times_of_figures"),
    "source: study/summary": (
        source("study/summary.py"), "figure *, headline, table *, table8, scorecard,"
        "measured_sweep_figure, tables_found, tables_sensitivity, two_modes, orders"),
    "source: offline/milp": (source("offline/milp.py"), f"{OFFLINE}, theory"),
    "source: offline/experiments/theorem_2": (
        source("offline/experiments/theorem_2.py"), f"offline_theorem_2 *, {OFFLINE}"),
    "source: fit/regression": (source("fit/regression.py"), "fit *"),
    "source: measure/shapes": (source("measure/shapes.py"), "fit *"),
    "source: measure/session": (source("measure/session.py"), ""),
    "source: testbed/records": (
        source("testbed/records.py"), "testbed_report, testbed_load_report, scorecard"),
    "source: testbed/loaded_prediction": (
        source("testbed/loaded_prediction.py"), "testbed_load_report"),
    "source: service/serial": (source("service/serial.py"), "testbed_load_report"),
    "source: figures/swarm_map": (source("figures/swarm_map.py"), "swarm_map *"),
    "source: figures/headline": (source("figures/headline.py"), "headline"),
    "source: report/page": (source("report/page.py"), "report_page"),
    "the page's frame": (
        lambda house: house.append("src/bprr/report/page.html"), "report_page"),
    "source: commands/verify": (source("commands/verify.py"), ""),
    "source: commands/time": (source("commands/time.py"), "running_times_of_figures"),
    # ---- results
    "a deleted figure": (deleted("figures/smoke/headline.pdf"), "headline"),
    "a deleted table of results": (
        deleted("results/smoke/sweeps/fig7_abovenet.parquet"), "sweep fig7 abovenet"),
    "a deleted profile": (deleted("results/fit/cpu-amd-epyc/device.yaml"), "fit cpu-amd-epyc"),
    "a deleted table of an experiment": (
        deleted("results/smoke/offline/optimality.parquet"), "offline_experiment * optimality"),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_exactly_what_reads_it_reruns(house: House, what: str) -> None:
    change, first = CASES[what]
    change(house)
    jobs = house.plan()
    planned = {name for name, job in jobs.items() if job["planned"]}
    expected = following(jobs, named(jobs, first))
    because = {name: jobs[name]["reason"] for name in planned - expected}
    assert (because, expected - planned) == ({}, set())


def test_more_runs_need_only_the_new_parts(house: House) -> None:
    target = "results/smoke/sweeps/fig7_abovenet.parquet"
    house.set(runs=4, runs_per_job=2)
    made = house.plan("--dry-run", target)
    parts = {f"sweep_part fig7 abovenet {runs}" for runs in ("0 1", "2 3")}
    assert {name for name, job in made.items() if job["planned"]} == parts | {"merge fig7 abovenet"}
    for name in parts | {"merge fig7 abovenet"}:
        house.write(made[name]["outputs"][0], "made")
    house.plan("--touch", "--forceall", target)
    house.set(runs=7, runs_per_job=2)
    jobs = house.plan("--dry-run", target)
    planned = {name for name, job in jobs.items() if job["planned"]}
    new = {"sweep_part fig7 abovenet 4 5", "sweep_part fig7 abovenet 6 6", "merge fig7 abovenet"}
    assert (planned, set(jobs) - planned) == (new, parts)
    # What Snakemake has noted of the table by then would make it anew for the tests that follow.
    house.put_back()
    house.plan("--touch", "--forceall")
