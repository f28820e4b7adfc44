# The scorecard: every published claim beside our number, a verdict and its cause.
CLAIMS = "claims.yaml"
LEDGER = "discrepancies.yaml"
SCATTERED = SETTINGS.sweeps["fig10"].topologies

# A claim that nothing produces, by the whole configuration, fails before any job.
PRODUCED = {
    *planned_files(load_settings(Path("config/default.yaml"))),
    *(f"offline/{name}.parquet" for name in OFFLINE_FIGURES),
    *(f"fit/{device}/device.yaml" for device in SHIPPED),
    "timing/table8.parquet",
}
try:
    check_claims(
        each_claim(load_claims(Path(CLAIMS)), Path(PUBLISHED_RESULTS)),
        load_register(Path(LEDGER)),
        {rule.name for rule in workflow.rules},
        PRODUCED,
    )
except BprrError as error:
    raise WorkflowError(str(error)) from None


rule scorecard:
    input:
        config=ancient(EFFECTIVE),
        claims=CLAIMS,
        discrepancies=LEDGER,
        published=PUBLISHED_RESULTS,
        sweeps=rules.simulated.input,
        times=rules.running_times.output,
        offline=expand(f"{RESULTS}/offline/{{name}}.parquet", name=OFFLINE_FIGURES),
        fits=expand("results/fit/{device}/device.yaml", device=SHIPPED),
    output:
        csv=f"{RESULTS}/scorecard.csv",
        others=multiext(f"{RESULTS}/scorecard", ".json", ".txt"),
        md=report(
            f"{RESULTS}/scorecard.md",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"table": "scorecard"},
        ),
        decomposition=f"{RESULTS}/decomposition.csv",
        discrepancies=f"{RESULTS}/discrepancies.csv",
    params:
        source=source_hash("report", "study/summary"),
    log:
        f"{LOGS}/scorecard.log",
    shell:
        "bprr scorecard --config {input.config} --claims {input.claims}"
        " --discrepancies {input.discrepancies} --published {input.published}"
        " -o {output.csv} > {log} 2>&1"


rule swarm_map:
    input:
        config=ancient(EFFECTIVE),
        scenario=str(SETTINGS.scenario_dir / "scattered.yaml"),
        published=PUBLISHED,
    output:
        pdf=report(
            f"{FIGURES}/swarm_{{topology}}.pdf",
            caption="../report/swarm.rst",
            category="Swarm maps",
            labels={"topology": "{topology}"},
        ),
        others=multiext(f"{FIGURES}/swarm_{{topology}}", ".png", ".csv"),
    params:
        settings=text_hash(repr((SETTINGS.seed, SETTINGS.methods, SETTINGS.topologies))),
        source=source_hash(*SIMULATION_ROOMS, "figures"),
    log:
        f"{LOGS}/swarm_{{topology}}.log",
    shell:
        "bprr plot swarm {wildcards.topology} --config {input.config} -o {output.pdf} > {log} 2>&1"


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
    params:
        source=source_hash("figures"),
    log:
        f"{LOGS}/decomposition_figure.log",
    shell:
        "bprr plot decomposition {input} -o {output.pdf} > {log} 2>&1"


# In the order in which the report shows them.
SHOWN = [
    rules.headline.output.pdf,
    rules.decomposition_figure.output.pdf,
    *(f"{FIGURES}/{table}.pdf" for table in ("table3", "table6", "table8")),
    *(f"{FIGURES}/{figure}_{topology}.pdf" for figure, topology in DRAWN if figure[3:].isdigit()),
    *(f"{FIGURES}/swarm_{topology}.pdf" for topology in SCATTERED),
    *(
        f"{FIGURES}/{figure}_{topology}.pdf"
        for figure, topology in DRAWN
        if not figure[3:].isdigit()
    ),
    *rules.offline.input,
    *rules.fitted.input,
    rules.testbed_report.output.table,
    rules.testbed_report.output.scatter,
    rules.testbed_report.output.cdf,
]


rule report_page:
    input:
        config=ancient(EFFECTIVE),
        claims=CLAIMS,
        discrepancies=LEDGER,
        published=PUBLISHED_RESULTS,
        scorecard=rules.scorecard.output,
        figures=SHOWN,
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"table": "report"},
        ),
    params:
        source=source_hash("report", "study/summary", "figures"),
        template=file_hash(Path("src/bprr/report/page.html")),
    log:
        f"{LOGS}/report_page.log",
    shell:
        "bprr report {input.figures} --config {input.config} --claims {input.claims}"
        " --discrepancies {input.discrepancies} --published {input.published}"
        " -o {output} > {log} 2>&1"


# Hashes of all outputs; `bprr manifest --compare` names what two runs do not agree on.
rule manifest:
    input:
        rules.simulated.input,
        rules.scorecard.output,
        rules.report_page.output,
        SHOWN,
    output:
        f"{RESULTS}/manifest.json",
    params:
        source=source_hash("report"),
    log:
        f"{LOGS}/manifest.log",
    shell:
        "bprr manifest {input} -o {output} > {log} 2>&1"


rule reported:
    input:
        rules.report_page.output,
        rules.manifest.output,
