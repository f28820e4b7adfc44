# The scorecard: every published claim beside our number, a verdict and its cause.
CLAIMS = "claims.yaml"
DISCREPANCIES = "discrepancies.yaml"
JUDGED = [CLAIMS, DISCREPANCIES, PUBLISHED_RESULTS, ARTEFACT]
TESTBED_MEASURED = "testbed/clustered/requests.csv"  # the shipped one where nobody measured
# Swarms are shown at one point of a sweep.
MAPPED, MAPPED_X = "fig10", 128
MAPS = [pair for pair in SWEPT if pair[0] == MAPPED]
MAP_SLICES = {
    pair: settings_slice(
        or_stop(sweeps_slice, SETTINGS, f"map_{pair[1]}", [pair], timed_methods(SETTINGS))
    )
    for pair in MAPS
}
STUDY_CAPTION = caption(
    "caption_study", list(SETTINGS.sweeps), tables=or_stop(other_tables, SETTINGS)
)
SCORECARD_CAPTION = caption(
    "caption_scorecard",
    list(SETTINGS.sweeps),
    (*NOT_DRAWN, "title", "x_label"),
    tables=or_stop(other_tables, SETTINGS),
)
DECOMPOSITION_CAPTION = caption("caption_decomposition", unsaid=(*NOT_DRAWN, "confidence"))

# A claim that nothing produces, by the shipped configuration, fails before any job.
# (Rules of a module have the names that the workflow around it gives them.)
if workflow.is_main_process and not IS_MODULE:
    or_stop(
        check_claims,
        or_stop(each_claim, or_stop(load_claims, Path(CLAIMS)), Path(PUBLISHED_RESULTS)),
        or_stop(load_register, Path(DISCREPANCIES)),
        {rule.name for rule in workflow.rules},
        {
            *planned_files(load_settings()),
            *(f"offline/{name}.parquet" for name in OFFLINE_FIGURES),
            *(f"fit/{device}/device.yaml" for device in SHIPPED_TRACES),
            "timing/table8.parquet",
            "timing/growth.parquet",
            TESTBED_MEASURED,
            "testbed/loaded.parquet",
            "theory/checks.parquet",
            "wan_swarms.csv",
        },
    )


rule scorecard:
    input:
        judged=JUDGED,
        sweeps=rules.simulated.input,
        times=rules.running_times.output,
        theory=rules.theory.output,
        others=rules.wan_swarms.output,
        offline=expand(f"{RESULTS}/offline/{{name}}.parquet", name=OFFLINE_FIGURES),
        fits=expand("results/fit/{device}/device.yaml", device=SHIPPED_TRACES),
        testbed=f"{TESTBED_SHIPPED}/requests.csv",
        loaded=rules.testbed_load_report.output.errors,
    output:
        csv=f"{RESULTS}/scorecard.csv",
        json=f"{RESULTS}/scorecard.json",
        txt=f"{RESULTS}/scorecard.txt",
        md=report(
            f"{RESULTS}/scorecard.md",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"table": "scorecard"},
        ),
        decomposition=f"{RESULTS}/decomposition.csv",
        discrepancies=f"{RESULTS}/discrepancies.csv",
    log:
        f"{LOGS}/scorecard.log",
    priority: BEFORE_FIGURES
    params:
        caption=lambda wildcards: SCORECARD_CAPTION,
        data=lambda wildcards: files_hash(JUDGED),
        source=lambda wildcards: source_hash("bprr.report.texts"),
        results=lambda wildcards, output: str(Path(output.csv).parent),
    shell:
        "bprr scorecard --caption {params.caption:q} --results {params.results:q}"
        " -o {output.csv:q} > {log:q} 2>&1"


rule swarm_map:
    input:
        lambda wildcards: SWEEP_INPUTS[MAPPED, wildcards.topology],
    output:
        pdf=report(
            f"{FIGURES}/swarm_{{topology}}.pdf",
            caption="../report/swarm.rst",
            category="Swarm maps",
            labels={"topology": "{topology}"},
        ),
        others=multiext(f"{FIGURES}/swarm_{{topology}}", ".png", ".csv"),
    log:
        f"{LOGS}/swarm_{{topology}}.log",
    params:
        settings=lambda wildcards: MAP_SLICES[MAPPED, wildcards.topology],
        caption=lambda wildcards: NAMES_CAPTION,
        data=lambda wildcards: files_hash(SWEEP_INPUTS[MAPPED, wildcards.topology]),
        source=lambda wildcards: source_hash(
            *sweep_modules(
                SETTINGS, (MAPPED, wildcards.topology), methods=timed_methods(SETTINGS)
            ),
            "bprr.study.swarm_view",
            "bprr.figures.swarm_map",
        ),
        sweep=MAPPED,
        x=MAPPED_X,
    shell:
        "bprr plot swarm {params.sweep:q} {wildcards.topology:q} --x {params.x}"
        " --config {params.settings:q} --caption {params.caption:q} -o {output.pdf:q}"
        " > {log:q} 2>&1"


rule decomposition_figure:
    input:
        rules.scorecard.output.decomposition,
    output:
        pdf=report(
            f"{FIGURES}/decomposition.pdf",
            caption="../report/decomposition.rst",
            category="Headline",
            labels={"figure": "decomposition"},
        ),
        others=multiext(f"{FIGURES}/decomposition", ".png", ".csv"),
    log:
        f"{LOGS}/decomposition_figure.log",
    params:
        caption=lambda wildcards: DECOMPOSITION_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.decomposition"),
    shell:
        "bprr plot decomposition {input:q} --caption {params.caption:q} -o {output.pdf:q}"
        " > {log:q} 2>&1"


# Claims and steps once more, by how servers compute, from the sweeps of the study.
SERVED_SWEEPS = [pair for pair in SWEPT if pair[0] in (*REPEATED, "tables_queues")]
BY_SERVICE_CAPTION = caption(
    "caption_by_service",
    list(dict.fromkeys(name for name, _ in SERVED_SWEEPS)),
    (*NOT_DRAWN, "title", "x_label"),
)


rule by_service:
    input:
        judged=JUDGED,
        sweeps=results_of(SERVED_SWEEPS),
    output:
        claims=f"{RESULTS}/claims_by_service.csv",
        steps=f"{RESULTS}/decomposition_by_service.csv",
    log:
        f"{LOGS}/by_service.log",
    params:
        caption=lambda wildcards: BY_SERVICE_CAPTION,
        data=lambda wildcards: files_hash(JUDGED),
        source=lambda wildcards: source_hash("bprr.report.by_service"),
        results=lambda wildcards, output: str(Path(output.claims).parent),
    shell:
        "bprr by-service --caption {params.caption:q} --results {params.results:q}"
        " -o {output.claims:q} > {log:q} 2>&1"


rule claims_by_service:
    input:
        rules.by_service.output.claims,
    output:
        pdf=f"{FIGURES}/claims_by_service.pdf",
        others=multiext(f"{FIGURES}/claims_by_service", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/claims_by_service.log",
    params:
        caption=lambda wildcards: BY_SERVICE_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.claims_services"),
    shell:
        "bprr plot claims {input:q} --caption {params.caption:q} -o {output.pdf:q} > {log:q} 2>&1"


use rule decomposition_figure as decomposition_by_service with:
    input:
        rules.by_service.output.steps,
    output:
        pdf=f"{FIGURES}/decomposition_by_service.pdf",
        others=multiext(f"{FIGURES}/decomposition_by_service", ".png", ".csv"),
    log:
        f"{LOGS}/decomposition_by_service.log",
    params:
        caption=lambda wildcards: BY_SERVICE_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.decomposition"),


# What takes longer than the main job: `snakemake study`.
rule study:
    input:
        rules.service_models.output,
        rules.tables_queues.output,
        rules.claims_by_service.output,
        rules.decomposition_by_service.output,
        rules.beyond.output,
        rules.living.output,
        [f"{FIGURES}/{figure}.pdf" for figure in ASIDE],


TABLES_FOUND = ("tables_found", "tables_found_gpus", "tables_found_trend", "tables_sensitivity")

# In the order in which the report shows them.
EXHIBITS = [
    rules.headline.output.pdf,
    rules.decomposition_figure.output.pdf,
    *(f"{FIGURES}/{table}.pdf" for table in (*TABLES, *TABLES_FOUND, "table8", "two_modes")),
    *(f"{FIGURES}/{name}_{topology}.pdf" for name, topology in IN_HEADLINE),
    rules.sweep_times.output.pdf,
    *(f"{FIGURES}/swarm_{topology}.pdf" for _, topology in MAPS),
    *(
        f"{FIGURES}/{name}_{topology}.pdf"
        for name, topology in DRAWN
        if (name, topology) not in IN_HEADLINE
    ),
    rules.orders.output.pdf,
    *rules.offline.input,
    *(str(path) for path in rules.fitted.input if str(path).endswith(".pdf")),
    rules.wan_figure.output.pdf,
    rules.testbed_report.output.table,
    rules.testbed_report.output.scatter,
    rules.testbed_report.output.cdf,
    rules.testbed_load_report.output.table,
    rules.testbed_load_report.output.scatter,
    rules.testbed_load_report.output.cdf,
]


rule report_page:
    input:
        judged=JUDGED,
        scorecard=rules.scorecard.output.json,
        figures=EXHIBITS,
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"table": "report"},
        ),
    log:
        f"{LOGS}/report_page.log",
    params:
        caption=lambda wildcards: STUDY_CAPTION,
        data=lambda wildcards: files_hash(JUDGED),
        source=lambda wildcards: source_hash("bprr.report.page"),
        results=lambda wildcards, output: str(Path(output[0]).parent),
        studied=studied(),
        study=files_hash([Path(path).with_suffix(".csv") for path in studied()]),
    shell:
        "bprr report {input.figures:q} {params.studied:q} --caption {params.caption:q} --results {params.results:q}"
        " --scorecard {input.scorecard:q} -o {output:q} > {log:q} 2>&1"


# Hashes of all outputs; `bprr manifest --compare` names what two runs do not agree on.
rule manifest:
    input:
        rules.simulated.input,
        rules.scorecard.output,
        rules.report_page.output,
        EXHIBITS,
    output:
        f"{RESULTS}/manifest.json",
    log:
        f"{LOGS}/manifest.log",
    params:
        source=lambda wildcards: source_hash("bprr.report.manifest"),
    shell:
        "bprr manifest {input:q} -o {output:q} > {log:q} 2>&1"


rule reported:
    input:
        rules.report_page.output,
        rules.manifest.output,
