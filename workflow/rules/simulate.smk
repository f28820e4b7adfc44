# One job runs one sweep on one topology: all points, runs, methods, with and without the delays.
SWEPT = [
    (figure, topology)
    for figure, sweep in SETTINGS.sweeps.items()
    for topology in sweep.topologies
]



rule sweep:
    input:
        config=ancient(EFFECTIVE),
        scenario=scenario_of,
        published=PUBLISHED,
    output:
        ensure(f"{RESULTS}/sweeps/{{figure}}_{{topology}}.parquet", non_empty=True),
    params:
        settings=sweep_settings,
        source=source_hash(*SIMULATION_ROOMS),
    log:
        f"{LOGS}/sweep_{{figure}}_{{topology}}.log",
    benchmark:
        f"{BENCHMARKS}/sweep_{{figure}}_{{topology}}.tsv"
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "bprr sweep {wildcards.figure} {wildcards.topology} --config {input.config}"
        " -o {output} > {log} 2>&1"


# Running times of the algorithms (Table VIII). All cores are taken, so that nothing runs beside.
rule running_times:
    input:
        config=ancient(EFFECTIVE),
        scenarios=SCENARIOS,
        published=PUBLISHED,
    output:
        ensure(f"{RESULTS}/timing/table8.parquet", non_empty=True),
    params:
        source=source_hash(*SIMULATION_ROOMS, "timing"),
    log:
        f"{LOGS}/running_times.log",
    threads: workflow.cores
    shell:
        "bprr time --config {input.config} -o {output} > {log} 2>&1"


rule simulated:
    input:
        expand(
            f"{RESULTS}/sweeps/{{pair[0]}}_{{pair[1]}}.parquet",
            pair=SWEPT,
        ),
