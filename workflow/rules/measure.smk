# Re-measures this machine; never part of the default run. Needs `make measure-env`.
MEASURED = "results/traces/this-machine"


rule measure:
    output:
        trace=ensure(f"{MEASURED}/trace.csv", non_empty=True),
        manifest=ensure(f"{MEASURED}/manifest.json", non_empty=True),
    log:
        "results/logs/measure.log",
    # Timings are worth nothing beside other jobs: all cores are taken.
    threads: ALL_CORES
    resources:
        slurm_extra=ALONE,
    params:
        folder=lambda wildcards, output: str(Path(output.trace).parent),
        source=lambda wildcards: source_hash("bprr.measure"),
    shell:
        "bprr measure -o {params.folder:q} > {log:q} 2>&1"


use rule fit as fit_this_machine with:
    input:
        trace=rules.measure.output.trace,
        manifest=rules.measure.output.manifest,
    output:
        device="results/fit/this-machine/device.yaml",
        model="results/fit/this-machine/model.yaml",
        points="results/fit/this-machine/points.csv",
    log:
        "results/logs/fit_this-machine.log",
