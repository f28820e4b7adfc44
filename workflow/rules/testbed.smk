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


# What a plan said beside what PETALS did from its files; what a frame takes after a pause; methods
# side by side. Measured by `snakemake testbed_plan`, `testbed_frames`, `testbed_rivals`.
PLANNED_SHIPPED = "data/traces/testbed_planned"
FRAMES_SHIPPED = "data/traces/testbed_frames"
RIVALS_SHIPPED = "data/traces/testbed_rivals"


rule testbed_planned_report:
    input:
        [f"{PLANNED_SHIPPED}/{name}" for name in ("sessions.csv", "pings.csv", "manifest.json")],
        known=TESTBED_KNOWN,
    output:
        multiext(f"{FIGURES}/testbed_planned", ".pdf", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/testbed_planned_report.log",
    params:
        folder=lambda wildcards, input: str(Path(input[0]).parent),
        stem=lambda wildcards, output: output[0].removesuffix(".pdf"),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash("bprr.testbed.planned_report", "bprr.plan"),
    shell:
        "bprr testbed plan-report {params.folder:q} -o {params.stem:q} > {log:q} 2>&1"


rule testbed_frames_report:
    input:
        [f"{FRAMES_SHIPPED}/{name}" for name in ("frames.csv", "steps.csv", "manifest.json")],
    output:
        multiext(f"{FIGURES}/testbed_windows", ".pdf", ".png", ".csv"),
    log:
        f"{LOGS}/testbed_frames_report.log",
    params:
        folder=lambda wildcards, input: str(Path(input[0]).parent),
        stem=lambda wildcards, output: output[0].removesuffix(".pdf"),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash("bprr.testbed.frames_report"),
    shell:
        "bprr testbed frames-report {params.folder:q} -o {params.stem:q} > {log:q} 2>&1"


rule testbed_rivals_report:
    input:
        [f"{RIVALS_SHIPPED}/{name}" for name in ("sessions.csv", "hops.csv", "manifest.json")],
        known=TESTBED_KNOWN,
    output:
        multiext(f"{FIGURES}/testbed_rivals", ".pdf", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/testbed_rivals_report.log",
    params:
        folder=lambda wildcards, input: str(Path(input[0]).parent),
        stem=lambda wildcards, output: output[0].removesuffix(".pdf"),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash(
            "bprr.testbed.rivals_report",
            "bprr.service",
            "bprr.placement",
            "bprr.routing",
            "bprr.simulation",
        ),
    shell:
        "bprr testbed rivals-report {params.folder:q} -o {params.stem:q} > {log:q} 2>&1"


# A manifest is the last file that a run writes; what lies beside it is of the same run.
rule testbed_further:
    input:
        settings="config/testbed/{settings}.yaml",
        known=TESTBED_KNOWN,
    output:
        f"{RESULTS}/testbed_{{kind,plan|frames|rivals}}/{{settings}}/manifest.json",
    log:
        f"{LOGS}/testbed_{{kind}}_{{settings}}.log",
    benchmark:
        f"{BENCHMARKS}/testbed_{{kind}}_{{settings}}.tsv"
    threads: ALL_CORES
    resources:
        slurm_extra=ALONE,
    params:
        folder=lambda wildcards, output: str(Path(output[0]).parent),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash("bprr.testbed", "bprr.plan"),
    shell:
        "bprr testbed {wildcards.kind} {input.settings:q} -o {params.folder:q} > {log:q} 2>&1"


REPORT_FURTHER = (
    "(bprr testbed check || true;"
    ' for folder in {params.folders:q}; do bprr testbed {params.kind}-report "$folder"; done)'
    " | tee {log:q}"
)


rule testbed_plan:
    input:
        lambda wildcards: (
            () if what_is_missing() else f"{RESULTS}/testbed_plan/planned/manifest.json"
        ),
    log:
        f"{LOGS}/testbed_plan.log",
    params:
        kind="plan",
        folders=lambda wildcards, input: [str(Path(path).parent) for path in input],
    shell:
        REPORT_FURTHER


use rule testbed_plan as testbed_plan_smoke with:
    input:
        lambda wildcards: (
            () if what_is_missing() else f"{RESULTS}/testbed_plan/planned_smoke/manifest.json"
        ),
    log:
        f"{LOGS}/testbed_plan_smoke.log",


use rule testbed_plan as testbed_frames with:
    input:
        lambda wildcards: (
            () if what_is_missing() else f"{RESULTS}/testbed_frames/frames/manifest.json"
        ),
    log:
        f"{LOGS}/testbed_frames.log",
    params:
        kind="frames",
        folders=lambda wildcards, input: [str(Path(path).parent) for path in input],


use rule testbed_plan as testbed_rivals with:
    input:
        lambda wildcards: (
            () if what_is_missing() else f"{RESULTS}/testbed_rivals/rivals/manifest.json"
        ),
    log:
        f"{LOGS}/testbed_rivals.log",
    params:
        kind="rivals",
        folders=lambda wildcards, input: [str(Path(path).parent) for path in input],
