# Genuine PETALS beside the simulator. Everything draws the report from the measurements that are
# shipped; `snakemake testbed` measures on this machine (Linux, root, make testbed; half an hour),
# `snakemake testbed_smoke` tries the whole chain on three servers. Where the machine cannot, they
# say what it lacks and measure nothing.
from bprr.testbed.swarm_process import what_is_missing

TESTBED_SHIPPED = "data/traces/testbed"
TESTBED_KNOWN = [*map(str, SETTINGS.device_files), *map(str, SETTINGS.model_files)]


rule testbed_report:
    input:
        requests=f"{TESTBED_SHIPPED}/requests.csv",
        manifest=f"{TESTBED_SHIPPED}/manifest.json",
    output:
        table=report(
            f"{FIGURES}/testbed_table.pdf",
            caption="../report/testbed.rst",
            category="Testbed",
            labels={"figure": "table"},
        ),
        scatter=report(
            f"{FIGURES}/testbed_scatter.pdf",
            caption="../report/testbed.rst",
            category="Testbed",
            labels={"figure": "scatter"},
        ),
        cdf=report(
            f"{FIGURES}/testbed_cdf.pdf",
            caption="../report/testbed.rst",
            category="Testbed",
            labels={"figure": "CDFs"},
        ),
        table_others=multiext(f"{FIGURES}/testbed_table", ".png", ".csv", ".md"),
        scatter_others=multiext(f"{FIGURES}/testbed_scatter", ".png", ".csv"),
        cdf_others=multiext(f"{FIGURES}/testbed_cdf", ".png", ".csv"),
        summary=f"{FIGURES}/testbed_summary.txt",
    log:
        f"{LOGS}/testbed_report.log",
    params:
        folder=lambda wildcards, input: str(Path(input.requests).parent),
        stem=lambda wildcards, output: output.summary.removesuffix("_summary.txt"),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash("bprr.testbed.report"),
    shell:
        "bprr testbed report {params.folder:q} -o {params.stem:q} > {log:q} 2>&1"


# All cores are taken: what runs beside a measurement is in it.
rule testbed_run:
    input:
        settings="config/testbed/{settings}.yaml",
        known=TESTBED_KNOWN,
    output:
        requests=ensure(f"{RESULTS}/testbed/{{settings}}/requests.csv", non_empty=True),
        manifest=f"{RESULTS}/testbed/{{settings}}/manifest.json",
    log:
        f"{LOGS}/testbed_run_{{settings}}.log",
    benchmark:
        f"{BENCHMARKS}/testbed_{{settings}}.tsv"
    threads: ALL_CORES
    resources:
        slurm_extra=ALONE,
    params:
        folder=lambda wildcards, output: str(Path(output.requests).parent),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash(
            "bprr.testbed", "bprr.placement", "bprr.routing", "bprr.simulation"
        ),
    shell:
        "bprr testbed run {input.settings:q} -o {params.folder:q} > {log:q} 2>&1"


rule testbed:
    input:
        lambda wildcards: ([] if what_is_missing() else f"{RESULTS}/testbed/clustered/requests.csv"),
    log:
        f"{LOGS}/testbed.log",
    params:
        folder=lambda wildcards, input: [str(Path(p).parent) for p in input] or TESTBED_SHIPPED,
    shell:
        "(bprr testbed check || true; bprr testbed report {params.folder:q}) | tee {log:q}"


rule testbed_smoke:
    input:
        lambda wildcards: ([] if what_is_missing() else f"{RESULTS}/testbed/smoke/requests.csv"),
    log:
        f"{LOGS}/testbed_smoke.log",
    params:
        folder=lambda wildcards, input: [str(Path(path).parent) for path in input],
    shell:
        "(bprr testbed check || true;"
        ' for folder in {params.folder:q}; do bprr testbed report "$folder"; done) | tee {log:q}'
