# Genuine PETALS beside the simulator, uncontended and under load. Everything draws the reports from
# the measurements that are shipped; `snakemake testbed` measures on this machine (Linux, root, make
# testbed; an hour), `snakemake testbed_smoke` tries both on three servers. Where the machine
# cannot, they say what it lacks and measure nothing.
from bprr.testbed.swarm_process import what_is_missing

TESTBED_SHIPPED = "data/traces/testbed"
LOADED_SHIPPED = "data/traces/testbed_loaded"
LOADED_TABLES = ("sessions.csv", "hops.csv", "tasks.parquet", "manifest.json")
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


rule testbed_load_report:
    input:
        [f"{LOADED_SHIPPED}/{name}" for name in LOADED_TABLES],
    output:
        table=report(
            f"{FIGURES}/testbed_loaded_table.pdf",
            caption="../report/testbed_loaded.rst",
            category="Testbed",
            labels={"figure": "under load, table"},
        ),
        scatter=report(
            f"{FIGURES}/testbed_loaded_scatter.pdf",
            caption="../report/testbed_loaded.rst",
            category="Testbed",
            labels={"figure": "under load, scatter"},
        ),
        cdf=report(
            f"{FIGURES}/testbed_loaded_cdf.pdf",
            caption="../report/testbed_loaded.rst",
            category="Testbed",
            labels={"figure": "under load, CDFs"},
        ),
        table_others=multiext(f"{FIGURES}/testbed_loaded_table", ".png", ".csv", ".md"),
        scatter_others=multiext(f"{FIGURES}/testbed_loaded_scatter", ".png", ".csv"),
        cdf_others=multiext(f"{FIGURES}/testbed_loaded_cdf", ".png", ".csv"),
        summary=f"{FIGURES}/testbed_loaded_summary.txt",
        errors=ensure(f"{RESULTS}/testbed/loaded.parquet", non_empty=True),
    log:
        f"{LOGS}/testbed_load_report.log",
    params:
        folder=lambda wildcards, input: str(Path(input[0]).parent),
        stem=lambda wildcards, output: output.summary.removesuffix("_summary.txt"),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash(
            "bprr.testbed.loaded_report",
            "bprr.service",
            "bprr.simulation.admission.retry",
            "bprr.routing.shortest_path",
        ),
    shell:
        "bprr testbed load-report {params.folder:q} -o {params.stem:q}"
        " --results {output.errors:q} > {log:q} 2>&1"


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


rule testbed_load:
    input:
        settings="config/testbed/{settings}.yaml",
        known=TESTBED_KNOWN,
    output:
        tables=ensure(
            [f"{RESULTS}/testbed_loaded/{{settings}}/{name}" for name in LOADED_TABLES],
            non_empty=True,
        ),
    log:
        f"{LOGS}/testbed_load_{{settings}}.log",
    benchmark:
        f"{BENCHMARKS}/testbed_load_{{settings}}.tsv"
    threads: ALL_CORES
    resources:
        slurm_extra=ALONE,
    params:
        folder=lambda wildcards, output: str(Path(output.tables[0]).parent),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash("bprr.testbed.loaded"),
    shell:
        "bprr testbed load {input.settings:q} -o {params.folder:q} > {log:q} 2>&1"


REPORT_TESTBED = (
    "(bprr testbed check || true;"
    " set -- {params.folders:q}; if [ $# -eq 2 ]; then"
    ' bprr testbed report "$1"; bprr testbed load-report "$2"; fi) | tee {log:q}'
)
MEASURED_WHOLE = (
    f"{RESULTS}/testbed/clustered/requests.csv",
    f"{RESULTS}/testbed_loaded/loaded/sessions.csv",
)
MEASURED_SMOKE = (
    f"{RESULTS}/testbed/smoke/requests.csv",
    f"{RESULTS}/testbed_loaded/loaded_smoke/sessions.csv",
)


rule testbed:
    input:
        lambda wildcards: () if what_is_missing() else MEASURED_WHOLE,
    log:
        f"{LOGS}/testbed.log",
    params:
        folders=lambda wildcards, input: (
            [str(Path(path).parent) for path in input] or [TESTBED_SHIPPED, LOADED_SHIPPED]
        ),
    shell:
        REPORT_TESTBED


rule testbed_smoke:
    input:
        lambda wildcards: () if what_is_missing() else MEASURED_SMOKE,
    log:
        f"{LOGS}/testbed_smoke.log",
    params:
        folders=lambda wildcards, input: [str(Path(path).parent) for path in input],
    shell:
        REPORT_TESTBED
