# The scorecard: every published claim beside our number, a verdict and its cause.
CLAIMS = "claims.yaml"
LEDGER = "discrepancies.yaml"

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
        load_ledger(Path(LEDGER)),
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
        md=report(f"{RESULTS}/scorecard.md", category="Scorecard", labels={"table": "scorecard"}),
        decomposition=f"{RESULTS}/decomposition.csv",
        discrepancies=f"{RESULTS}/discrepancies.csv",
    params:
        source=source_hash("report", "summary"),
    log:
        f"{LOGS}/scorecard.log",
    shell:
        "bprr scorecard --config {input.config} --claims {input.claims}"
        " --discrepancies {input.discrepancies} --published {input.published}"
        " -o {output.csv} > {log} 2>&1"


rule reported:
    input:
        rules.scorecard.output,
