from bprr.study.checks import check_settings

# One draw of every point, before any job. A file of devices that a job is still to make may name
# what nobody knows yet.
if all(path.exists() for path in [*SETTINGS.device_files, *SETTINGS.model_files]):
    or_stop(check_settings, SETTINGS)

# One job runs one sweep on one topology: all points, runs, methods and delay variants.
SWEPT = [
    (name, topology) for name, sweep in SETTINGS.sweeps.items() for topology in sweep.topologies
]
SWEEP_SLICES = {pair: settings_slice(or_stop(sweep_slice, SETTINGS, *pair)) for pair in SWEPT}
SWEEP_INPUTS = {pair: or_stop(input_files, SETTINGS, pair) for pair in SWEPT}


rule sweep:
    input:
        lambda wildcards: SWEEP_INPUTS[wildcards.sweep, wildcards.topology],
    output:
        ensure(f"{RESULTS}/sweeps/{{sweep}}_{{topology}}.parquet", non_empty=True),
    params:
        settings=lambda wildcards: SWEEP_SLICES[wildcards.sweep, wildcards.topology],
        data=lambda wildcards: files_hash(SWEEP_INPUTS[wildcards.sweep, wildcards.topology]),
        source=lambda wildcards: source_hash(
            *sweep_modules(SETTINGS, (wildcards.sweep, wildcards.topology))
        ),
    log:
        f"{LOGS}/sweep_{{sweep}}_{{topology}}.log",
    benchmark:
        f"{BENCHMARKS}/sweep_{{sweep}}_{{topology}}.tsv"
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "bprr sweep {wildcards.sweep:q} {wildcards.topology:q} --config {params.settings:q}"
        " -o {output:q} > {log:q} 2>&1"


# Running times of the algorithms (Table VIII). All cores are taken, so that nothing runs beside.
TIMED = or_stop(planned_times, SETTINGS)
TIMED_SLICE = settings_slice(TIMED.settings)
TIMED_INPUTS = or_stop(input_files, SETTINGS, *SETTINGS_TIMED.values())


rule running_times:
    input:
        TIMED_INPUTS,
    output:
        ensure(f"{RESULTS}/timing/table8.parquet", non_empty=True),
    params:
        settings=lambda wildcards: TIMED_SLICE,
        data=TIMED.data,
        source=TIMED.source,
    log:
        f"{LOGS}/running_times.log",
    threads: ALL_CORES
    shell:
        "bprr time --config {params.settings:q} -o {output:q} > {log:q} 2>&1"


# Bounds, sizes and capacities that the paper states without simulating.
IN_THEORY = or_stop(planned_theory, SETTINGS)
THEORY_SLICE = settings_slice(IN_THEORY.settings)
THEORY_INPUTS = or_stop(input_files, SETTINGS, *theory_sweeps(SETTINGS))


rule theory:
    input:
        THEORY_INPUTS,
    output:
        ensure(f"{RESULTS}/theory/checks.parquet", non_empty=True),
    params:
        settings=lambda wildcards: THEORY_SLICE,
        data=IN_THEORY.data,
        source=IN_THEORY.source,
    log:
        f"{LOGS}/theory.log",
    shell:
        "bprr theory --config {params.settings:q} -o {output:q} > {log:q} 2>&1"


rule simulated:
    input:
        [
            f"{RESULTS}/sweeps/{name}_{topology}.parquet"
            for name, topology in SWEPT
            if not SETTINGS.sweeps[name].study
        ],
