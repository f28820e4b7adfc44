# The offline optimum: experiments (in results/offline) and their figures. `snakemake offline_study`
# runs them on their full scale, for hours, in results/offline_study.
OFFLINE_ROOMS = ("ground", "scenario", "placement", "offline")
OFFLINE_SOLVED = ("optimality", "solver_race", "relaxed_stopping", "equal_blocks")
OFFLINE_FIGURES = (*OFFLINE_SOLVED, "theorem_2")
STUDY_TIME_LIMIT_S = 600


wildcard_constraints:
    experiment="|".join(OFFLINE_SOLVED),
    offline_figure="|".join(OFFLINE_FIGURES),
    offline_kind="offline|offline_study",


# Solvers are timed here, and use several threads: nothing else runs beside them.
rule offline_experiment:
    input:
        config=ancient(EFFECTIVE),
        scenario=str(SETTINGS.scenario_dir / "scattered.yaml"),
        published=PUBLISHED,
    output:
        ensure(f"{RESULTS}/{{offline_kind}}/{{experiment}}.parquet", non_empty=True),
    params:
        flags=lambda wildcards: (
            offline_flags(SETTINGS.offline.scale, SETTINGS.offline.time_limit_s)
            if wildcards.offline_kind == "offline"
            else offline_flags("study", STUDY_TIME_LIMIT_S)
        ),
        seed=SETTINGS.seed,
        source=source_hash(*OFFLINE_ROOMS),
        solver_logs=f"{LOGS}/{{offline_kind}}_{{experiment}}_solver",
    log:
        f"{LOGS}/{{offline_kind}}_{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/{{offline_kind}}_{{experiment}}.tsv"
    threads: workflow.cores
    resources:
        mem_mb=4000,
        runtime=lambda wildcards: 15 if wildcards.offline_kind == "offline" else 720,
    shell:
        "rm -rf {params.solver_logs};"
        " bprr offline {wildcards.experiment} {params.flags} --config {input.config}"
        " --log-dir {params.solver_logs} -o {output} > {log} 2>&1"


rule offline_theorem_2:
    input:
        f"{RESULTS}/{{offline_kind}}/optimality.parquet",
    output:
        ensure(f"{RESULTS}/{{offline_kind}}/theorem_2.parquet", non_empty=True),
    params:
        source=source_hash("offline"),
    log:
        f"{LOGS}/{{offline_kind}}_theorem_2.log",
    shell:
        "bprr offline theorem_2 --optimality {input} -o {output} > {log} 2>&1"


rule offline_figure:
    input:
        f"{RESULTS}/{{offline_kind}}/{{offline_figure}}.parquet",
    output:
        pdf=report(
            f"{FIGURES}/{{offline_kind}}_{{offline_figure}}.pdf",
            caption="../report/offline.rst",
            category="Offline optimum",
            labels={"figure": "{offline_figure}", "scale": "{offline_kind}"},
        ),
        png=f"{FIGURES}/{{offline_kind}}_{{offline_figure}}.png",
        csv=f"{FIGURES}/{{offline_kind}}_{{offline_figure}}.csv",
    params:
        source=source_hash("figures"),
    log:
        f"{LOGS}/figure_{{offline_kind}}_{{offline_figure}}.log",
    shell:
        "bprr plot-offline {wildcards.offline_figure} {input} -o {output.pdf} > {log} 2>&1"


rule offline:
    input:
        expand(f"{FIGURES}/offline_{{name}}.pdf", name=OFFLINE_FIGURES),


rule offline_study:
    input:
        expand(f"{FIGURES}/offline_study_{{name}}.pdf", name=OFFLINE_FIGURES),
