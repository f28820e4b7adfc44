# Swarms as they run today: models against measurements that others published. Nothing of it depends
# on the configuration.
WAN_DATA = sorted(map(str, Path("data/wan_swarms").glob("*.*")))
WAN_POLICIES = (
    [f"bprr.forwarding.{name}" for name in ("hub", "relay", "ring")]
    + [f"bprr.window.{name}" for name in ("none", "idle_restart", "warm")]
    + [f"bprr.speculation.{name}" for name in ("none", "chain", "tree", "chunks", "single_frames")]
)


rule wan_swarms:
    input:
        WAN_DATA,
    output:
        f"{RESULTS}/wan_swarms.csv",
    log:
        f"{LOGS}/wan_swarms.log",
    params:
        data=lambda wildcards: files_hash(WAN_DATA),
        source=lambda wildcards: source_hash("bprr.commands.wan", *WAN_POLICIES),
        folder=lambda wildcards, input: str(Path(input[0]).parent),
    shell:
        "bprr wan {params.folder:q} -o {output:q} > {log:q} 2>&1"


rule wan_figure:
    input:
        rules.wan_swarms.output,
    output:
        pdf=report(
            f"{FIGURES}/wan_swarms.pdf",
            caption="../report/wan.rst",
            category="Validation by others' measurements",
            labels={"figure": "wan_swarms"},
        ),
        others=multiext(f"{FIGURES}/wan_swarms", ".png", ".csv"),
    log:
        f"{LOGS}/wan_figure.log",
    params:
        source=lambda wildcards: source_hash("bprr.figures.wan_swarms"),
    shell:
        "bprr plot wan {input:q} -o {output.pdf:q} > {log:q} 2>&1"
