# The offline optimum: experiments (in results/offline) and their figures. `snakemake offline_study`
# runs them on their full scale, for hours, in results/offline_study.
from bprr.study.offline import BOUND, KINDS, SCATTERED, check_solvers, offline_inputs, offline_slice
from bprr.study.offline import MODULES as OFFLINE_MODULES

OFFLINE_SOLVED = ("optimality", "solver_race", "relaxed_stopping", "equal_blocks")
OFFLINE_FIGURES = (*OFFLINE_SOLVED, BOUND)
OFFLINE_SLICES = {
    (kind, name): settings_slice(or_stop(offline_slice, SETTINGS, kind, name))
    for kind in KINDS
    for name in OFFLINE_SOLVED
}
OFFLINE_INPUTS = {name: or_stop(offline_inputs, SETTINGS, name) for name in OFFLINE_SOLVED}
# A solver that is not installed, or an option that it does not take, stops everything here.
or_stop(check_solvers, SETTINGS)


wildcard_constraints:
    experiment="|".join(OFFLINE_SOLVED),
    offline_figure="|".join(OFFLINE_FIGURES),
    offline_kind="|".join(KINDS),


rule offline_experiment:
    input:
        lambda wildcards: OFFLINE_INPUTS[wildcards.experiment],
    output:
        ensure(f"{RESULTS}/{{offline_kind}}/{{experiment}}.parquet", non_empty=True),
    log:
        f"{LOGS}/{{offline_kind}}_{{experiment}}.log",
    benchmark:
        f"{BENCHMARKS}/{{offline_kind}}_{{experiment}}.tsv"
    priority: offline_priority
    threads: offline_cores
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: (
            attempt * (30 if wildcards.offline_kind == "offline" else 720)
        ),
        slurm_extra=lambda wildcards: ALONE if wildcards.experiment == "solver_race" else "",
    params:
        settings=lambda wildcards: OFFLINE_SLICES[wildcards.offline_kind, wildcards.experiment],
        data=lambda wildcards: files_hash(OFFLINE_INPUTS[wildcards.experiment]),
        source=source_hash(*OFFLINE_MODULES),
        solver_logs=f"{LOGS}/{{offline_kind}}_{{experiment}}_solver",
    shell:
        "bprr offline {wildcards.experiment:q} --config {params.settings:q}"
        " --log-dir {params.solver_logs:q} -o {output:q} > {log:q} 2>&1"


rule offline_theorem_2:
    input:
        f"{RESULTS}/{{offline_kind}}/optimality.parquet",
    output:
        ensure(f"{RESULTS}/{{offline_kind}}/theorem_2.parquet", non_empty=True),
    log:
        f"{LOGS}/{{offline_kind}}_theorem_2.log",
    params:
        source=source_hash("bprr.offline.experiments.theorem_2"),
    shell:
        "bprr offline theorem_2 --optimality {input:q} -o {output:q} > {log:q} 2>&1"


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
    log:
        f"{LOGS}/figure_{{offline_kind}}_{{offline_figure}}.log",
    params:
        settings=lambda wildcards: OFFLINE_SLICES[
            wildcards.offline_kind,
            SCATTERED if wildcards.offline_figure == BOUND else wildcards.offline_figure,
        ],
        source=source_hash("bprr.figures.offline"),
    shell:
        "bprr plot-offline {wildcards.offline_figure:q} {input:q} --config {params.settings:q}"
        " -o {output.pdf:q} > {log:q} 2>&1"


rule offline:
    input:
        expand(f"{FIGURES}/offline_{{name}}.pdf", name=OFFLINE_FIGURES),


rule offline_study:
    input:
        expand(f"{FIGURES}/offline_study_{{name}}.pdf", name=OFFLINE_FIGURES),
