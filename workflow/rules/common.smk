# The configuration, checked before any job is made, and what every rule needs from it. Nothing is
# written while this is read: slices of the settings are written when a run starts (Snakefile).
import fcntl
import json
import os
import re
import shlex
import sys
from pathlib import Path

# Where this file lies, also where another workflow uses this one as a module.
HERE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
SRC = HERE.resolve() / "src"
IS_MODULE = not workflow.modifier.is_main_snakefile()
sys.path.insert(0, str(SRC))

from bprr.figures.from_settings import caption_slice, other_tables
from bprr.ground.errors import BprrError
from bprr.ground.source import source_hash
from bprr.ground.storage import files_hash, replacing
from bprr.report.claims import each_claim, load_claims
from bprr.report.discrepancies import load_register
from bprr.report.scorecard import check_claims, planned_files
from bprr.settings.configuration import load_settings
from bprr.study.cost import about
from bprr.study.planned import planned_bounds
from bprr.study.slices import input_files, sweep_modules, sweep_slice, sweeps_slice
from bprr.study.status import differences, state_of
from bprr.study.theory import planned_theory, theory_sweeps
from bprr.study.timing import SETTINGS_TIMED, distributes, planned_times, timed_methods


def or_stop(work, *arguments, **options):
    """Result of some work; what a user got wrong ends the workflow in its own words."""
    try:
        return work(*arguments, **options)
    except BprrError as error:
        raise WorkflowError(str(error)) from None


if not Path("claims.yaml").exists():  # data and settings are named from here
    raise WorkflowError(
        f"this workflow runs in its own folder: snakemake --directory {shlex.quote(str(HERE))}"
        " (of a module: workdir); to keep results apart: --config run=NAME"
    )

# Of a module its own `config:` counts, not that of the workflow around it.
SETTINGS = or_stop(
    load_settings,
    *([] if IS_MODULE else workflow.config_settings.configfiles),
    overrides=dict(config if IS_MODULE else workflow.config_settings.config),
)
RESULTS = SETTINGS.results_dir
FIGURES = SETTINGS.figures_dir

# Snakemake takes a target only as its rule writes it.
MADE_HERE = [Path.cwd() / made for made in (RESULTS, FIGURES) if not Path(made).is_absolute()]
for word in map(Path, sys.argv[1:]):
    if any(word.is_relative_to(made) for made in MADE_HERE):
        raise WorkflowError(
            f"{word}: name a target relative to {Path.cwd()}: {word.relative_to(Path.cwd())}"
        )

LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
ALL_CORES = os.cpu_count() or 1  # scaled down to what a run may use
ALONE = "--exclusive"  # on Slurm, for what measures time: the whole node

# Priorities that keep all cores busy to the end: what wants them all while none is taken, then the
# longest jobs, then what the scorecard waits for, which is judged while figures are drawn.
ALONE_FIRST, LONG, BEFORE_FIGURES = 1000, 20, 10

# Jobs run this very source, by the Python that runs Snakemake, whatever `bprr` is installed.
# Braces are doubled because the prefix is formatted like a command.
shell.prefix(
    (
        "set -euo pipefail;"
        f" export PYTHONPATH={shlex.quote(str(SRC))} PYTHONSAFEPATH=1;"
        f' bprr() {{ {shlex.quote(sys.executable)} -m bprr "$@"; }}; '
    )
    .replace("{", "{{")
    .replace("}", "}}")
)

SLICES = {}


def settings_slice(made):
    """Path of a slice of the settings, to be written when a run starts."""
    path = made.path(RESULTS)
    SLICES[path] = made
    return path


def start():
    """Let one run at a time work in this folder, and write what its jobs read."""
    global RUNNING
    Path(".snakemake").mkdir(exist_ok=True)
    RUNNING = open(".snakemake/running", "a+", encoding="utf-8")
    try:
        # Free again as soon as this process ends, however it ends.
        fcntl.flock(RUNNING, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        RUNNING.seek(0)
        raise WorkflowError(
            f"another run works in {Path.cwd()} (process {RUNNING.read().strip()}): wait for it,"
            " or work in another copy of the project"
        ) from None
    RUNNING.truncate(0)
    RUNNING.write(f"{os.getpid()}\n")
    RUNNING.flush()
    for made in SLICES.values():
        made.write(RESULTS)
    content = SETTINGS.model_dump(mode="json")
    frozen = Path(RESULTS, "configuration.json")
    with replacing(frozen) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    changed = list(differences(load_settings().model_dump(mode="json"), content))
    logger.info(f"Settings: {frozen}; other than shipped: {', '.join(changed) or 'nothing'}")
    jobs = [job for job in workflow.dag.needrun_jobs() if job.output]
    swept = [
        ((job.wildcards.sweep, job.wildcards.topology), share_of_runs(job.wildcards))
        for job in jobs
        if job.rule.name in ("sweep", "sweep_part")
    ]
    experiments = sum(job.rule.name == "offline_experiment" for job in jobs)
    # On a cluster no number of cores is known, but how many jobs may be there at a time.
    cores = workflow.resource_settings.cores or workflow.resource_settings.nodes or 1
    logger.info(f"Jobs: {about(SETTINGS, len(jobs), swept, experiments, cores)}")


def share_of_runs(wildcards):
    """Part of a sweep's runs that a job makes."""
    if "last" not in wildcards.keys():
        return 1
    return (int(wildcards.last) - int(wildcards.first) + 1) / SETTINGS.runs_of(wildcards.sweep)


def one_of(names):
    """Pattern of some names; of no name if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def results_of(pairs):
    """Tables of requests of some sweeps."""
    return [f"{RESULTS}/sweeps/{name}_{topology}.parquet" for name, topology in pairs]


def caption(name, sweeps=(), unsaid=(), topology=None, tables=()):
    """Path of what an exhibit of some sweeps, and other tables, says."""
    return settings_slice(or_stop(caption_slice, SETTINGS, name, sweeps, unsaid, topology, tables))


def offline_cores(wildcards):
    """Cores of an experiment.

    The race's result is time: it takes all of them, so that nothing runs beside it. The others
    keep one core busy with HiGHS and SCIP, whatever threads these may use. What is proven does not
    depend on what runs beside; two instances of equal_blocks end at the time limit everywhere, and
    their bounds are as far as one core comes.
    """
    if wildcards.experiment == "solver_race":
        return ALL_CORES
    return 1 if SETTINGS.solver in ("highs", "scip") else SETTINGS.offline.threads


def offline_priority(wildcards):
    """Priority of an experiment, by its cores."""
    return ALONE_FIRST if wildcards.experiment == "solver_race" else LONG


wildcard_constraints:
    sweep=one_of(SETTINGS.sweeps),
    topology=one_of(SETTINGS.topologies),


# The report shows of a study what has been made from what is asked for now, and makes none of it.
def studied():
    """Exhibits of the study that are there, where all the sweeps that they show are current."""
    by_service = (
        "service_models", "service_models_table", "claims_by_service",
        "decomposition_by_service", "tables_queues", "tables_queues_lines",
    )  # fmt: skip
    paths = [
        f"{FIGURES}/{name}.pdf"
        for sweeps, names in ((SERVED_SWEEPS, by_service), (BEYOND, ("beyond", "beyond_slo")))
        if all(state_of(PLANNED[pair]).word == "current" for pair in sweeps)
        for name in names
    ]
    return [path for path in paths if Path(path).with_suffix(".png").exists()]
