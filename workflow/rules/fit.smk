# Device profiles from the shipped traces: no torch, no device needed. The paths do not depend on
# the configuration, so that scenarios and config/measured.yaml can name them.
from bprr.study.slices import Slice

TRACES = "data/traces"
SHIPPED_TRACES = glob_wildcards(f"{TRACES}/{{device}}/trace.csv").device


wildcard_constraints:
    device="|".join(map(re.escape, SHIPPED_TRACES)),


rule fit:
    input:
        trace=f"{TRACES}/{{device}}/trace.csv",
        manifest=f"{TRACES}/{{device}}/manifest.json",
    output:
        device="results/fit/{device}/device.yaml",
        model="results/fit/{device}/model.yaml",
        points="results/fit/{device}/points.csv",
    log:
        "results/logs/fit_{device}.log",
    params:
        folder=lambda wildcards, output: str(Path(output.device).parent),
        data=lambda wildcards, input: files_hash(input),
        source=lambda wildcards: source_hash("bprr.fit.profile"),
    shell:
        "bprr fit {input.trace:q} -o {params.folder:q} > {log:q} 2>&1"


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
    log:
        "results/logs/fit_figure_{device}.log",
    params:
        folder=lambda wildcards, input: str(Path(input.device).parent),
        source=lambda wildcards: source_hash("bprr.figures.fit_time"),
    shell:
        "bprr plot fit {params.folder:q} -o {output.pdf:q} > {log:q} 2>&1"


# One of the paper's sweeps with a measured device beside the published ones. Its slice names the
# fitted files without reading them: they are still to be made, or to be made anew.
MEASURED_PAIR = ("servers", "abovenet")
MEASURED_SETTINGS = or_stop(load_settings, HERE / "config/measured.yaml")
FITTED = {
    kind: [
        str(Path(*path.parts[-4:]))
        for path in getattr(MEASURED_SETTINGS, kind)
        if path.parts[-4:-2] == ("results", "fit")
    ]
    for kind in ("device_files", "model_files")
}
MEASURED_KNOWN = MEASURED_SETTINGS.model_copy(
    update={
        kind: [
            path
            for path in getattr(MEASURED_SETTINGS, kind)
            if str(Path(*path.parts[-4:])) not in fitted
        ]
        for kind, fitted in FITTED.items()
    }
)
MEASURED_CONTENT = or_stop(sweep_slice, MEASURED_KNOWN, *MEASURED_PAIR).content
MEASURED_SLICE = settings_slice(Slice("measured_sweep", MEASURED_CONTENT | FITTED))
# What the sweep is made from is known only once the device is fitted.
MEASURED_CAPTION = settings_slice(
    or_stop(caption_slice, MEASURED_KNOWN, "caption_measured_sweep", MEASURED_PAIR[:1], ("made",))
)
MEASURED_INPUTS = or_stop(input_files, MEASURED_KNOWN, MEASURED_PAIR)


rule measured_sweep:
    input:
        MEASURED_INPUTS,
        *FITTED.values(),
    output:
        ensure("results/measured/sweeps/servers_abovenet.parquet", non_empty=True),
    log:
        "results/logs/measured_sweep.log",
    benchmark:
        "results/benchmarks/measured_sweep.tsv"
    params:
        pair=MEASURED_PAIR,
        settings=lambda wildcards: MEASURED_SLICE,
        data=lambda wildcards: files_hash(MEASURED_INPUTS),
        source=lambda wildcards: source_hash(*sweep_modules(MEASURED_KNOWN, MEASURED_PAIR)),
    shell:
        "bprr sweep {params.pair:q} --config {params.settings:q} -o {output:q} > {log:q} 2>&1"


rule measured_sweep_figure:
    input:
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
    log:
        "results/logs/measured_sweep_figure.log",
    params:
        caption=lambda wildcards: MEASURED_CAPTION,
        data=lambda wildcards: files_hash([ARTEFACT]),
        source=lambda wildcards: source_hash("bprr.figures.sweep"),
    shell:
        "bprr plot sweep {input.results:q} --caption {params.caption:q}"
        " --artefact {input.artefact:q} -o {output.pdf:q} > {log:q} 2>&1"


rule fitted:
    input:
        # Profiles are results too: one that is gone is made again, whatever was drawn from it.
        expand(rules.fit.output, device=SHIPPED_TRACES),
        expand("figures/fit_{device}.pdf", device=SHIPPED_TRACES),
        rules.measured_sweep_figure.output.pdf,
