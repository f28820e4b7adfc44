# Tables and figures from the results, each as PDF and PNG beside a CSV of its numbers.
ARTEFACT = "data/published/artefact_sweeps.csv"
DRAWN = [pair for pair in SWEPT if SETTINGS.sweeps[pair[0]].x_label]


rule figure:
    input:
        config=ancient(EFFECTIVE),
        results=rules.sweep.output[0],
        artefact=ARTEFACT,
    output:
        pdf=report(
            f"{FIGURES}/{{figure}}_{{topology}}.pdf",
            category="Figures",
            labels={"figure": "{figure}", "topology": "{topology}"},
        ),
        png=f"{FIGURES}/{{figure}}_{{topology}}.png",
        csv=f"{FIGURES}/{{figure}}_{{topology}}.csv",
    params:
        source=source_hash("summary", "figures"),
    log:
        f"{LOGS}/figure_{{figure}}_{{topology}}.log",
    shell:
        "bprr plot sweep {input.results} --config {input.config} --artefact {input.artefact}"
        " -o {output.pdf} > {log} 2>&1"


rule drawn:
    input:
        [f"{FIGURES}/{figure}_{topology}.pdf" for figure, topology in DRAWN],
