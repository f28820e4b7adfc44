# Tables and figures from the results, each as PDF and PNG beside a CSV of its numbers.
ARTEFACT = "data/published/artefact_sweeps.csv"
PUBLISHED_RESULTS = "data/published/results.csv"
DRAWN = [pair for pair in SWEPT if SETTINGS.sweeps[pair[0]].x_label]


rule figure:
    input:
        config=ancient(EFFECTIVE),
        results=rules.sweep.output[0],
        artefact=ARTEFACT,
    output:
        pdf=report(
            f"{FIGURES}/{{figure}}_{{topology}}.pdf",
            caption="../report/sweep.rst",
            category="Figures",
            labels={"figure": "{figure}", "topology": "{topology}"},
        ),
        png=f"{FIGURES}/{{figure}}_{{topology}}.png",
        csv=f"{FIGURES}/{{figure}}_{{topology}}.csv",
    params:
        source=source_hash("study/summary", "figures"),
    log:
        f"{LOGS}/figure_{{figure}}_{{topology}}.log",
    shell:
        "bprr plot sweep {input.results} --config {input.config} --artefact {input.artefact}"
        " -o {output.pdf} > {log} 2>&1"


rule headline:
    input:
        config=ancient(EFFECTIVE),
        results=[
            f"{RESULTS}/sweeps/{figure}_{topology}.parquet"
            for figure, topology in SWEPT
            if figure in ("fig7", "fig8", "fig9", "fig10")
        ],
    output:
        pdf=report(
            f"{FIGURES}/headline.pdf",
            caption="../report/headline.rst",
            category="Headline",
            labels={"figure": "headline"},
        ),
        others=multiext(f"{FIGURES}/headline", ".png", ".csv", ".md"),
    params:
        source=source_hash("study/summary", "figures"),
    log:
        f"{LOGS}/headline.log",
    shell:
        "bprr plot headline {input.results} --config {input.config} -o {output.pdf} > {log} 2>&1"


rule table:
    input:
        config=ancient(EFFECTIVE),
        results=lambda wildcards: [
            f"{RESULTS}/sweeps/{figure}_{topology}.parquet"
            for figure, topology in SWEPT
            if figure == wildcards.table
        ],
        published=PUBLISHED_RESULTS,
    output:
        pdf=report(
            f"{FIGURES}/{{table}}.pdf",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        others=multiext(f"{FIGURES}/{{table}}", ".png", ".csv", ".md"),
    params:
        source=source_hash("study/summary", "figures"),
    log:
        f"{LOGS}/{{table}}.log",
    wildcard_constraints:
        table="table3|table6",
    shell:
        "bprr plot table {input.results} --config {input.config} --published {input.published}"
        " -o {output.pdf} > {log} 2>&1"


rule table8:
    input:
        config=ancient(EFFECTIVE),
        results=rules.running_times.output,
        published=PUBLISHED_RESULTS,
    output:
        pdf=report(
            f"{FIGURES}/table8.pdf",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "table8"},
        ),
        others=multiext(f"{FIGURES}/table8", ".png", ".csv", ".md"),
    params:
        source=source_hash("figures"),
    log:
        f"{LOGS}/table8.log",
    shell:
        "bprr plot running-times {input.results} --config {input.config}"
        " --published {input.published} -o {output.pdf} > {log} 2>&1"


rule drawn:
    input:
        [f"{FIGURES}/{figure}_{topology}.pdf" for figure, topology in DRAWN],
        rules.headline.output.pdf,
        rules.table8.output.pdf,
        [f"{FIGURES}/{table}.pdf" for table in ("table3", "table6")],
