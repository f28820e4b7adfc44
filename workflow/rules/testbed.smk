# Genuine PETALS beside the simulator. Everything draws the report from the measurements that are
# shipped; `snakemake testbed` measures on this machine (Linux, root, make testbed; half an hour),
# `snakemake testbed_smoke` tries the whole chain on three servers. Where the machine cannot, they
# say what it lacks and measure nothing.
TESTBED_SHIPPED = "data/traces/testbed"
TESTBED_ROOMS = (*SIMULATION_ROOMS, "testbed")


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
    params:
        folder=lambda wildcards, input: str(Path(input.requests).parent),
        stem=lambda wildcards, output: output.summary.removesuffix("_summary.txt"),
        source=source_hash("testbed", "figures"),
    log:
        f"{LOGS}/testbed_report.log",
    shell:
        "bprr testbed report {params.folder} -o {params.stem} > {log} 2>&1"


# All cores are taken: what runs beside a measurement is in it.
rule testbed_run:
    input:
        settings="config/testbed/{settings}.yaml",
        published=PUBLISHED,
    output:
        requests=ensure(f"{RESULTS}/testbed/{{settings}}/requests.csv", non_empty=True),
        manifest=f"{RESULTS}/testbed/{{settings}}/manifest.json",
    params:
        folder=lambda wildcards, output: str(Path(output.requests).parent),
        source=source_hash(*TESTBED_ROOMS),
    log:
        f"{LOGS}/testbed_{{settings}}.log",
    benchmark:
        f"{BENCHMARKS}/testbed_{{settings}}.tsv"
    threads: workflow.cores
    resources:
        timing=1,
    shell:
        "bprr testbed run {input.settings} -o {params.folder} > {log} 2>&1"


rule testbed:
    input:
        measured_here("clustered"),
    params:
        folder=lambda wildcards, input: Path(input[0]).parent if input else TESTBED_SHIPPED,
    log:
        f"{LOGS}/testbed.log",
    shell:
        "(bprr testbed check || true; bprr testbed report {params.folder}) | tee {log}"


rule testbed_smoke:
    input:
        measured_here("smoke"),
    params:
        report=lambda wildcards, input: (
            f"bprr testbed report {Path(input[0]).parent}" if input else "true"
        ),
    log:
        f"{LOGS}/testbed_smoke.log",
    shell:
        "(bprr testbed check || true; {params.report}) | tee {log}"
