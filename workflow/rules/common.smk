# The configuration, checked before any job is made, and what every rule needs from it.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from bprr.study.checks import put_in_place
from bprr.settings.configuration import Settings, load_settings, validated
from bprr.ground.errors import BprrError
from bprr.report.claims import each_claim, load_claims
from bprr.report.ledger import load_ledger
from bprr.report.scorecard import check_claims, planned_files
from bprr.ground.storage import file_hash, source_hash, text_hash
from bprr.testbed.swarm_process import what_is_missing

try:
    SETTINGS = validated(Settings, config, "configuration")
except BprrError as error:
    raise WorkflowError(str(error)) from None

RESULTS = SETTINGS.results_dir
FIGURES = SETTINGS.figures_dir
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"

# The `bprr` of the Python that runs Snakemake, whether or not its environment is activated.
shell.prefix(f"set -euo pipefail; export PATH={Path(sys.executable).parent}:$PATH; ")

PUBLISHED = [*map(str, SETTINGS.device_files), *map(str, SETTINGS.model_files)]
SCENARIOS = sorted(
    {
        str(SETTINGS.scenario_dir / f"{sweep.scenario}.yaml")
        for sweep in SETTINGS.sweeps.values()
    }
)
SIMULATION_ROOMS = (
    "settings", "ground", "scenario", "study", "placement", "routing", "simulation",
)

# What the commands read: the configuration as merged from files and command line. Before it is put
# in place every name and scenario in it is tried, so that nothing starts on a bad one. Rules take
# it as `ancient`: what reruns them is the part of it in their params.
EFFECTIVE = f"{RESULTS}/config.yaml"
try:
    put_in_place(SETTINGS, Path(EFFECTIVE), [*PUBLISHED, *SCENARIOS])
except BprrError as error:
    raise WorkflowError(str(error)) from None


def scenario_of(wildcards):
    """Scenario file of a sweep."""
    scenario = SETTINGS.sweeps[wildcards.figure].scenario
    return str(SETTINGS.scenario_dir / f"{scenario}.yaml")


def sweep_settings(wildcards):
    """Hash of what reruns a sweep if it changes: its own settings, and those that all share."""
    sweep = SETTINGS.sweeps[wildcards.figure]
    methods = {name: SETTINGS.methods[name].model_dump(mode="json") for name in sweep.methods}
    return text_hash(
        repr(
            (
                sweep.model_dump(mode="json"),
                methods,
                SETTINGS.topologies[wildcards.topology],
                SETTINGS.seed,
                sweep.runs or SETTINGS.runs,
                SETTINGS.allocation_delays,
            )
        )
    )


def offline_flags(scale, time_limit_s):
    """Solver and scale as the command takes them."""
    chosen = SETTINGS.offline.options.get(SETTINGS.solver, {})
    options = "".join(f" --option {name}={value}" for name, value in chosen.items())
    return (
        f"--scale {scale} --solver {SETTINGS.solver} --time-limit {time_limit_s}"
        f" --threads {SETTINGS.offline.threads} --network {SETTINGS.offline.network}{options}"
    )


def measured_here(settings):
    """Run of a testbed settings file, as far as this machine can do it."""
    return lambda wildcards: (
        [] if what_is_missing() else f"{RESULTS}/testbed/{settings}/requests.csv"
    )


wildcard_constraints:
    figure="|".join(SETTINGS.sweeps),
    topology="|".join(SETTINGS.topologies),
