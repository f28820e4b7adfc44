# Device profiles from the shipped traces: no torch, no device needed. The paths do not depend on
# the configuration, so that scenarios and config/measured.yaml can name them.
TRACES = "data/traces"
SHIPPED = glob_wildcards(f"{TRACES}/{{device}}/trace.csv").device


wildcard_constraints:
    device="|".join(SHIPPED),


rule fit:
    input:
        trace=f"{TRACES}/{{device}}/trace.csv",
        manifest=f"{TRACES}/{{device}}/manifest.json",
    output:
        device="results/fit/{device}/device.yaml",
        model="results/fit/{device}/model.yaml",
        points="results/fit/{device}/points.csv",
    params:
        folder=lambda wildcards, output: str(Path(output.device).parent),
        source=source_hash("fit", "measure/trace"),
    log:
        "results/logs/fit_{device}.log",
    shell:
        "bprr fit {input.trace} -o {params.folder} > {log} 2>&1"


rule fit_figure:
    input:
        device="results/fit/{device}/device.yaml",
        points="results/fit/{device}/points.csv",
    output:
        pdf=report(
            "figures/fit_{device}.pdf",
            caption="../report/fit.rst",
            category="Device profiles",
            labels={"device": "{device}"},
        ),
        png="figures/fit_{device}.png",
        csv="figures/fit_{device}.csv",
    params:
        folder=lambda wildcards, input: str(Path(input.device).parent),
        source=source_hash("figures/fit_time", "figures/style"),
    log:
        "results/logs/fit_figure_{device}.log",
    shell:
        "bprr plot fit {params.folder} -o {output.pdf} > {log} 2>&1"


# One of the paper's sweeps with a measured device instead of the published ones.
rule measured_sweep:
    input:
        config="config/measured.yaml",
        scenario="config/scenarios/measured.yaml",
        device="results/fit/cpu-amd-epyc/device.yaml",
        model="results/fit/cpu-amd-epyc/model.yaml",
    output:
        ensure("results/measured/sweeps/servers_abovenet.parquet", non_empty=True),
    params:
        source=source_hash(*SIMULATION_ROOMS),
    log:
        "results/logs/measured_sweep.log",
    benchmark:
        "results/benchmarks/measured_sweep.tsv"
    shell:
        "bprr sweep servers abovenet --config {input.config} -o {output} > {log} 2>&1"


rule measured_sweep_figure:
    input:
        config="config/measured.yaml",
        results=rules.measured_sweep.output[0],
        artefact=ARTEFACT,
    output:
        pdf=report(
            "figures/measured_servers_abovenet.pdf",
            caption="../report/fit.rst",
            category="Device profiles",
        ),
        png="figures/measured_servers_abovenet.png",
        csv="figures/measured_servers_abovenet.csv",
    params:
        source=source_hash("study/summary", "figures"),
    log:
        "results/logs/measured_sweep_figure.log",
    shell:
        "bprr plot sweep {input.results} --config {input.config} --artefact {input.artefact}"
        " -o {output.pdf} > {log} 2>&1"


rule fitted:
    input:
        expand("figures/fit_{device}.pdf", device=SHIPPED),
        rules.measured_sweep_figure.output.pdf,
