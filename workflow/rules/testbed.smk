# Genuine PETALS beside the simulator. Everything draws the report from the measurements that are
# shipped; `snakemake testbed` measures on this machine (Linux, root, make testbed; half an hour),
# `snakemake testbed_smoke` tries the whole chain on three servers. Where the machine cannot, they
# say what it lacks and measure nothing.
SHIPPED = "data/traces/testbed"
TESTBED_ROOMS = (*SIMULATION_ROOMS, "testbed")


rule testbed_report:
    input:
        requests=f"{SHIPPED}/requests.csv",
        manifest=f"{SHIPPED}/manifest.json",
    output:
        table=report(
            f"{FIGURES}/testbed_table.pdf", category="Testbed", labels={"figure": "table"}
        ),
        scatter=report(
            f"{FIGURES}/testbed_scatter.pdf", category="Testbed", labels={"figure": "scatter"}
        ),
        cdf=report(f"{FIGURES}/testbed_cdf.pdf", category="Testbed", labels={"figure": "CDFs"}),
        table_others=multiext(f"{FIGURES}/testbed_table", ".png", ".csv", ".md"),
        scatter_others=multiext(f"{FIGURES}/testbed_scatter", ".png", ".csv"),
        cdf_others=multiext(f"{FIGURES}/testbed_cdf", ".png", ".csv"),
        summary=f"{FIGURES}/testbed_summary.txt",
    params:
        folder=SHIPPED,
        stem=f"{FIGURES}/testbed",
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
        directory(f"{RESULTS}/testbed/{{settings}}"),
    params:
        source=source_hash(*TESTBED_ROOMS),
    log:
        f"{LOGS}/testbed_{{settings}}.log",
    benchmark:
        f"{BENCHMARKS}/testbed_{{settings}}.tsv"
    threads: workflow.cores
    shell:
        "mkdir -p {output}; bprr testbed run {input.settings} -o {output} --skip 2>&1"
        " | tee {log}"


rule testbed:
    input:
        f"{RESULTS}/testbed/clustered",


rule testbed_smoke:
    input:
        f"{RESULTS}/testbed/smoke",
