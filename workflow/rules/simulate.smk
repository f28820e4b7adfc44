from bprr.study.checks import check_settings
from bprr.study.parts import parts_of
from bprr.study.planned import planned_sweep

# One draw of every point, before any job: not again by the processes of jobs on a cluster. A file of
# devices that a job is still to make may name what nobody knows yet.
MADE_DEVICES = all(path.exists() for path in [*SETTINGS.device_files, *SETTINGS.model_files])
if MADE_DEVICES and workflow.is_main_process:
    or_stop(check_settings, SETTINGS)

# A job runs a sweep on one topology: all its points, methods and delay variants, and all its runs
# unless there are more than `runs_per_job`.
SWEPT = [
    (name, topology) for name, sweep in SETTINGS.sweeps.items() for topology in sweep.topologies
]
SWEEP_INPUTS = {pair: or_stop(input_files, SETTINGS, pair) for pair in SWEPT}
PLANNED = {pair: or_stop(planned_sweep, SETTINGS, *pair) for pair in SWEPT}
SWEEP_SLICES = {pair: settings_slice(planned.settings) for pair, planned in PLANNED.items()}
PARTS = {name: parts_of(SETTINGS.runs_of(name), SETTINGS.runs_per_job) for name in SETTINGS.sweeps}
SPREAD = {name for name, parts in PARTS.items() if len(parts) > 1}
PART_SLICES = {
    (*pair, part.stop - 1): settings_slice(sweep_slice(SETTINGS, *pair, part.stop))
    for pair in SWEPT
    if pair[0] in SPREAD
    for part in PARTS[pair[0]]
}


rule sweep:
    input:
        lambda wildcards: SWEEP_INPUTS[wildcards.sweep, wildcards.topology],
    output:
        ensure(f"{RESULTS}/sweeps/{{sweep}}_{{topology}}.parquet", non_empty=True),
    log:
        f"{LOGS}/sweep_{{sweep}}_{{topology}}.log",
    benchmark:
        f"{BENCHMARKS}/sweep_{{sweep}}_{{topology}}.tsv"
    wildcard_constraints:
        sweep=one_of(name for name in PARTS if name not in SPREAD),
    priority: BEFORE_FIGURES
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=lambda wildcards: SWEEP_SLICES[wildcards.sweep, wildcards.topology],
        data=lambda wildcards: PLANNED[wildcards.sweep, wildcards.topology].data,
        source=lambda wildcards: PLANNED[wildcards.sweep, wildcards.topology].source,
        which="",
    shell:
        "bprr sweep {wildcards.sweep:q} {wildcards.topology:q} --config {params.settings:q}"
        " {params.which} -o {output:q} > {log:q} 2>&1"


# A part depends on no runs but its own, so that more runs need more parts and leave those that
# are there. The first one may have been the whole, before there were more.
use rule sweep as sweep_part with:
    output:
        ensure(
            f"{RESULTS}/sweeps/parts/{{sweep}}_{{topology}}.{{first}}-{{last}}.parquet",
            non_empty=True,
        ),
    log:
        f"{LOGS}/sweep_{{sweep}}_{{topology}}.{{first}}-{{last}}.log",
    benchmark:
        f"{BENCHMARKS}/sweep_{{sweep}}_{{topology}}.{{first}}-{{last}}.tsv"
    wildcard_constraints:
        sweep=one_of(SPREAD),
        first=r"\d+",
        last=r"\d+",
    params:
        settings=lambda wildcards: PART_SLICES[
            wildcards.sweep, wildcards.topology, int(wildcards.last)
        ],
        data=lambda wildcards: PLANNED[wildcards.sweep, wildcards.topology].data,
        source=lambda wildcards: PLANNED[wildcards.sweep, wildcards.topology].source,
        which=lambda wildcards: (
            f"--first-run {wildcards.first} --known "
            + shlex.quote(f"{RESULTS}/sweeps/{wildcards.sweep}_{wildcards.topology}.parquet")
        ),


rule merge:
    input:
        lambda wildcards: [
            f"{RESULTS}/sweeps/parts/{wildcards.sweep}_{wildcards.topology}"
            f".{part.start}-{part.stop - 1}.parquet"
            for part in PARTS[wildcards.sweep]
        ],
    output:
        ensure(f"{RESULTS}/sweeps/{{sweep}}_{{topology}}.parquet", non_empty=True),
    log:
        f"{LOGS}/merge_{{sweep}}_{{topology}}.log",
    benchmark:
        f"{BENCHMARKS}/merge_{{sweep}}_{{topology}}.tsv"
    wildcard_constraints:
        sweep=one_of(SPREAD),
    priority: BEFORE_FIGURES
    params:
        settings=lambda wildcards: SWEEP_SLICES[wildcards.sweep, wildcards.topology],
        source=lambda wildcards: source_hash("bprr.study.parts"),
    shell:
        "bprr merge {wildcards.sweep:q} {wildcards.topology:q} {input:q}"
        " --config {params.settings:q} -o {output:q} > {log:q} 2>&1"


# Running times of the algorithms (Table VIII). All cores are taken, so that nothing runs beside; the
# first of all, so that nothing is waited for either.
TIMED = or_stop(planned_times, SETTINGS)
TIMED_SLICE = settings_slice(TIMED.settings)
TIMED_INPUTS = or_stop(input_files, SETTINGS, *SETTINGS_TIMED.values())


rule running_times:
    input:
        TIMED_INPUTS,
    output:
        table8=ensure(f"{RESULTS}/timing/table8.parquet", non_empty=True),
        growth=ensure(f"{RESULTS}/timing/growth.parquet", non_empty=True),
    log:
        f"{LOGS}/running_times.log",
    priority: ALONE_FIRST
    threads: ALL_CORES
    resources:
        slurm_extra=ALONE,
    params:
        settings=lambda wildcards: TIMED_SLICE,
        data=TIMED.data,
        source=TIMED.source,
    shell:
        "bprr time --config {params.settings:q} -o {output.table8:q} --growth {output.growth:q}"
        " > {log:q} 2>&1"


# The same at every point of the paper's figures, for every method.
FIGURES_TIMED = [
    (name, topology)
    for name, topology in SWEPT
    if SETTINGS.sweeps[name].paper and SETTINGS.sweeps[name].x_label
]
FIGURES_TIMED_METHODS = [
    name
    for name, method in SETTINGS.methods.items()
    if distributes(method)
    and any(name in SETTINGS.sweeps[each].methods for each, _ in FIGURES_TIMED)
]
FIGURES_TIMED_SLICE = settings_slice(
    or_stop(
        sweeps_slice,
        SETTINGS,
        "running_times_of_figures",
        FIGURES_TIMED,
        FIGURES_TIMED_METHODS,
    )
)
FIGURES_TIMED_INPUTS = or_stop(input_files, SETTINGS, *FIGURES_TIMED)


rule running_times_of_figures:
    input:
        FIGURES_TIMED_INPUTS,
    output:
        ensure(f"{RESULTS}/timing/sweeps.parquet", non_empty=True),
    log:
        f"{LOGS}/running_times_of_figures.log",
    priority: ALONE_FIRST
    threads: ALL_CORES
    params:
        sweeps=list(dict.fromkeys(name for name, _ in FIGURES_TIMED)),
        settings=lambda wildcards: FIGURES_TIMED_SLICE,
        data=lambda wildcards: files_hash(FIGURES_TIMED_INPUTS),
        source=lambda wildcards: source_hash(
            *sweep_modules(SETTINGS, *FIGURES_TIMED, methods=FIGURES_TIMED_METHODS),
            "bprr.commands.time",
        ),
    shell:
        "bprr time --sweeps {params.sweeps:q} --config {params.settings:q} -o {output:q}"
        " > {log:q} 2>&1"


# Bounds, sizes and capacities that the paper states without simulating.
IN_THEORY = or_stop(planned_theory, SETTINGS)
THEORY_SLICE = settings_slice(IN_THEORY.settings)
THEORY_INPUTS = or_stop(input_files, SETTINGS, *theory_sweeps(SETTINGS))


rule theory:
    input:
        THEORY_INPUTS,
    output:
        ensure(f"{RESULTS}/theory/checks.parquet", non_empty=True),
    log:
        f"{LOGS}/theory.log",
    priority: BEFORE_FIGURES
    params:
        settings=lambda wildcards: THEORY_SLICE,
        data=IN_THEORY.data,
        source=IN_THEORY.source,
    shell:
        "bprr theory --config {params.settings:q} -o {output:q} > {log:q} 2>&1"


rule simulated:
    input:
        [
            f"{RESULTS}/sweeps/{name}_{topology}.parquet"
            for name, topology in SWEPT
            if not SETTINGS.sweeps[name].study
        ],
