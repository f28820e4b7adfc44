# Tables and figures from the results, each as PDF and PNG beside a CSV of its numbers. They depend
# on what they show and on their caption: titles, labels, confidence.
ARTEFACT = "data/published/artefact_sweeps.csv"
PUBLISHED_RESULTS = "data/published/results.csv"
DRAWN = [pair for pair in SWEPT if SETTINGS.sweeps[pair[0]].x_label]
IN_HEADLINE = [pair for pair in DRAWN if SETTINGS.sweeps[pair[0]].paper]
TABLES = ("table3", "table6")


NOT_DRAWN = ("details", "seed", "runs")  # only the report says these
CAPTIONS = {
    pair: caption("caption_{}_{}".format(*pair), [pair[0]], NOT_DRAWN, pair[1]) for pair in SWEPT
}
TABLE_CAPTIONS = {
    name: caption(f"caption_{name}", [name], NOT_DRAWN)
    for name in (*TABLES, "tables_sensitivity", "orders")
}
HEADLINE_CAPTION = caption(
    "caption_headline", sorted({name for name, _ in IN_HEADLINE}), (*NOT_DRAWN, "title")
)
SWEEP_TIMES_CAPTION = caption(
    "caption_sweep_times",
    sorted({name for name, _ in IN_HEADLINE}),
    (*NOT_DRAWN, "title", "confidence", "variants", "made", "changes"),
)
NAMES_CAPTION = caption("caption_names", unsaid=(*NOT_DRAWN, "confidence", "variants"))
TIMES_CAPTION = caption(
    "caption_table8", unsaid=(*NOT_DRAWN, "confidence", "variants"), tables=[TIMED]
)


rule figure:
    input:
        results=f"{RESULTS}/sweeps/{{sweep}}_{{topology}}.parquet",
        artefact=ARTEFACT,
    output:
        pdf=report(
            f"{FIGURES}/{{sweep}}_{{topology}}.pdf",
            caption="../report/sweep.rst",
            category="Figures",
            labels={"figure": "{sweep}", "topology": "{topology}"},
        ),
        others=multiext(f"{FIGURES}/{{sweep}}_{{topology}}", ".png", ".csv"),
    log:
        f"{LOGS}/figure_{{sweep}}_{{topology}}.log",
    params:
        caption=lambda wildcards: CAPTIONS[wildcards.sweep, wildcards.topology],
        data=lambda wildcards: files_hash([ARTEFACT]),
        source=lambda wildcards: source_hash("bprr.figures.sweep"),
    shell:
        "bprr plot sweep {input.results:q} --caption {params.caption:q}"
        " --artefact {input.artefact:q} -o {output.pdf:q} > {log:q} 2>&1"


# Means that are of neither group of their runs: of the paper's figures, and of longer runs.
PARTED = [*IN_HEADLINE, *(pair for pair in SWEPT if pair[0] == "switch_length")]
PARTED_CAPTION = caption("caption_two_modes", sorted({name for name, _ in PARTED}), NOT_DRAWN)


rule two_modes:
    input:
        results_of(PARTED),
    output:
        pdf=report(
            f"{FIGURES}/two_modes.pdf",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "runs in two groups"},
        ),
        others=multiext(f"{FIGURES}/two_modes", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/two_modes.log",
    params:
        caption=lambda wildcards: PARTED_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.two_modes"),
    shell:
        "bprr plot two-modes {input:q} --caption {params.caption:q} -o {output.pdf:q} > {log:q} 2>&1"


rule orders:
    input:
        results_of(pair for pair in SWEPT if pair[0] == "orders"),
    output:
        pdf=report(
            f"{FIGURES}/orders.pdf",
            caption="../report/sweep.rst",
            category="Figures",
            labels={"figure": "orders", "topology": "all"},
        ),
        others=multiext(f"{FIGURES}/orders", ".png", ".csv"),
    log:
        f"{LOGS}/figure_orders.log",
    params:
        caption=lambda wildcards: TABLE_CAPTIONS["orders"],
        source=lambda wildcards: source_hash("bprr.figures.orders"),
    shell:
        "bprr plot orders {input:q} --caption {params.caption:q} -o {output.pdf:q} > {log:q} 2>&1"


rule headline:
    input:
        results=results_of(IN_HEADLINE),
        found=f"{FIGURES}/tables_found.csv",
        gpus=f"{FIGURES}/tables_found_gpus.csv",
    output:
        pdf=report(
            f"{FIGURES}/headline.pdf",
            caption="../report/headline.rst",
            category="Headline",
            labels={"figure": "headline"},
        ),
        others=multiext(f"{FIGURES}/headline", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/headline.log",
    params:
        caption=lambda wildcards: HEADLINE_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.headline"),
    shell:
        "bprr plot headline {input.results:q} --caption {params.caption:q} --found {input.found:q}"
        " -o {output.pdf:q} > {log:q} 2>&1"


rule table:
    input:
        results=lambda wildcards: results_of(pair for pair in SWEPT if pair[0] == wildcards.table),
        published=PUBLISHED_RESULTS,
    output:
        pdf=report(
            f"{FIGURES}/{{table}}.pdf",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        others=multiext(f"{FIGURES}/{{table}}", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/{{table}}.log",
    wildcard_constraints:
        table="|".join(TABLES),
    params:
        caption=lambda wildcards: TABLE_CAPTIONS[wildcards.table],
        data=lambda wildcards: files_hash([PUBLISHED_RESULTS]),
        source=lambda wildcards: source_hash("bprr.figures.tables"),
    shell:
        "bprr plot table {input.results:q} --caption {params.caption:q}"
        " --published {input.published:q} -o {output.pdf:q} > {log:q} 2>&1"


# Tables III and VI in the settings stated and found, against the GPUs, and by network.
FOUND = ("tables_found", "table3", "table6")
FOUND_CAPTION = caption("caption_tables", FOUND)


rule tables_found:
    input:
        results=results_of(pair for pair in SWEPT if pair[0] in FOUND),
        published=PUBLISHED_RESULTS,
    output:
        pdf=report(
            f"{FIGURES}/tables_found.pdf",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "both settings"},
        ),
        others=multiext(f"{FIGURES}/tables_found", ".png", ".csv"),
        gpus=multiext(f"{FIGURES}/tables_found_gpus", ".pdf", ".png", ".csv"),
        trend=multiext(f"{FIGURES}/tables_found_trend", ".pdf", ".png", ".csv"),
    log:
        f"{LOGS}/figure_tables_found.log",
    params:
        caption=lambda wildcards: FOUND_CAPTION,
        data=lambda wildcards: files_hash([PUBLISHED_RESULTS]),
        source=lambda wildcards: source_hash("bprr.figures.tables_found"),
    shell:
        "bprr plot tables-found {input.results:q} --caption {params.caption:q}"
        " --published {input.published:q} -o {output.pdf:q} > {log:q} 2>&1"


# The same against the GPUs with servers that have queues; a study.
SERVED = ("tables_queues", *FOUND)
SERVED_CAPTION = caption("caption_tables_queues", SERVED)


rule tables_queues:
    input:
        results=results_of(pair for pair in SWEPT if pair[0] in SERVED),
        published=PUBLISHED_RESULTS,
    output:
        pdf=f"{FIGURES}/tables_queues.pdf",
        others=multiext(f"{FIGURES}/tables_queues", ".png", ".csv"),
        lines=multiext(f"{FIGURES}/tables_queues_lines", ".pdf", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/figure_tables_queues.log",
    params:
        caption=lambda wildcards: SERVED_CAPTION,
        data=lambda wildcards: files_hash([PUBLISHED_RESULTS]),
        source=lambda wildcards: source_hash("bprr.figures.tables_queues"),
    shell:
        "bprr plot tables-queues {input.results:q} --caption {params.caption:q}"
        " --published {input.published:q} -o {output.pdf:q} > {log:q} 2>&1"


rule tables_sensitivity:
    input:
        results=results_of(pair for pair in SWEPT if pair[0] == "tables_sensitivity"),
        published=PUBLISHED_RESULTS,
    output:
        pdf=report(
            f"{FIGURES}/tables_sensitivity.pdf",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "sensitivity"},
        ),
        others=multiext(f"{FIGURES}/tables_sensitivity", ".png", ".csv"),
    log:
        f"{LOGS}/figure_tables_sensitivity.log",
    params:
        caption=lambda wildcards: TABLE_CAPTIONS["tables_sensitivity"],
        data=lambda wildcards: files_hash([PUBLISHED_RESULTS]),
        source=lambda wildcards: source_hash("bprr.figures.sensitivity"),
    shell:
        "bprr plot sensitivity {input.results:q} --caption {params.caption:q}"
        " --published {input.published:q} -o {output.pdf:q} > {log:q} 2>&1"


# The answer by how servers compute: sweeps under every service, beside those that they repeat.
REPEATED = [name for name in SETTINGS.sweeps if name.endswith("_service")]
BY_SERVICE = [name for name in REPEATED if SETTINGS.sweeps[name.removesuffix("_service")].x_label]
BY_SERVICE += [name.removesuffix("_service") for name in BY_SERVICE]
SERVICE_CAPTION = caption("caption_service_models", BY_SERVICE, (*NOT_DRAWN, "title"))


rule service_models:
    input:
        results_of(pair for pair in SWEPT if pair[0] in BY_SERVICE),
    output:
        pdf=report(
            f"{FIGURES}/service_models.pdf",
            caption="../report/service_models.rst",
            category="Figures",
            labels={"figure": "service models"},
        ),
        others=multiext(f"{FIGURES}/service_models", ".png", ".csv"),
        table=multiext(f"{FIGURES}/service_models_table", ".pdf", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/figure_service_models.log",
    params:
        caption=lambda wildcards: SERVICE_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.service_models"),
    shell:
        "bprr plot service-models {input:q} --caption {params.caption:q} -o {output.pdf:q}"
        " > {log:q} 2>&1"


rule table8:
    input:
        results=rules.running_times.output.table8,
        published=PUBLISHED_RESULTS,
    output:
        pdf=report(
            f"{FIGURES}/table8.pdf",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "table8"},
        ),
        others=multiext(f"{FIGURES}/table8", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/table8.log",
    params:
        caption=lambda wildcards: TIMES_CAPTION,
        data=lambda wildcards: files_hash([PUBLISHED_RESULTS]),
        source=lambda wildcards: source_hash("bprr.figures.running_times"),
    shell:
        "bprr plot running-times {input.results:q} --caption {params.caption:q}"
        " --published {input.published:q} -o {output.pdf:q} > {log:q} 2>&1"


rule sweep_times:
    input:
        rules.running_times_of_figures.output,
    output:
        pdf=report(
            f"{FIGURES}/sweep_times.pdf",
            caption="../report/sweep.rst",
            category="Figures",
            labels={"figure": "running times", "topology": "all"},
        ),
        others=multiext(f"{FIGURES}/sweep_times", ".png", ".csv"),
    log:
        f"{LOGS}/figure_sweep_times.log",
    params:
        caption=lambda wildcards: SWEEP_TIMES_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.sweep_times"),
    shell:
        "bprr plot sweep-times {input:q} --caption {params.caption:q} -o {output.pdf:q}"
        " > {log:q} 2>&1"


rule drawn:
    input:
        [f"{FIGURES}/{name}_{topology}.pdf" for name, topology in DRAWN],
        rules.headline.output.pdf,
        rules.table8.output.pdf,
        [f"{FIGURES}/{table}.pdf" for table in TABLES],
        rules.tables_found.output.pdf,
        rules.tables_sensitivity.output.pdf,
        rules.two_modes.output.pdf,
        rules.orders.output.pdf,
        rules.sweep_times.output.pdf,


# Better methods against load, beside bounds.
BEYOND = [pair for pair in SWEPT if pair[0].startswith("beyond_")]
BOUNDS = {pair: or_stop(planned_bounds, SETTINGS, *pair) for pair in BEYOND}
BEYOND_CAPTION = caption(
    "caption_beyond",
    list(dict.fromkeys(name for name, _ in BEYOND)),
    (*NOT_DRAWN, "title"),
    tables=BOUNDS.values(),
)


rule bounds:
    input:
        lambda wildcards: SWEEP_INPUTS[wildcards.sweep, wildcards.topology],
    output:
        ensure(f"{RESULTS}/bounds/{{sweep}}_{{topology}}.parquet", non_empty=True),
    log:
        f"{LOGS}/bounds_{{sweep}}_{{topology}}.log",
    params:
        settings=lambda wildcards: SWEEP_SLICES[wildcards.sweep, wildcards.topology],
        data=lambda wildcards: BOUNDS[wildcards.sweep, wildcards.topology].data,
        source=lambda wildcards: BOUNDS[wildcards.sweep, wildcards.topology].source,
    shell:
        "bprr bounds {wildcards.sweep:q} {wildcards.topology:q} --config {params.settings:q}"
        " -o {output:q} > {log:q} 2>&1"


rule beyond:
    input:
        results=results_of(BEYOND),
        bounds=[f"{RESULTS}/bounds/{name}_{topology}.parquet" for name, topology in BEYOND],
    output:
        pdf=report(
            f"{FIGURES}/beyond.pdf",
            caption="../report/beyond.rst",
            category="Better methods",
            labels={"figure": "beyond"},
        ),
        others=multiext(f"{FIGURES}/beyond", ".png", ".csv"),
        slo=multiext(f"{FIGURES}/beyond_slo", ".pdf", ".png", ".csv", ".md"),
    log:
        f"{LOGS}/figure_beyond.log",
    params:
        caption=lambda wildcards: BEYOND_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.beyond"),
    shell:
        "bprr plot beyond {input.results:q} --bounds {input.bounds:q} --caption {params.caption:q}"
        " -o {output.pdf:q} > {log:q} 2>&1"


# Servers that fail and join, blocks placed once or anew.
LIVING = [pair for pair in SWEPT if pair[0].startswith("living_")]
LIVING_CAPTION = caption(
    "caption_living", list(dict.fromkeys(name for name, _ in LIVING)), NOT_DRAWN
)


rule living:
    input:
        results_of(LIVING),
    output:
        pdf=report(
            f"{FIGURES}/living.pdf",
            caption="../report/living.rst",
            category="Figures",
            labels={"figure": "living swarms"},
        ),
        others=multiext(f"{FIGURES}/living", ".png", ".csv"),
    log:
        f"{LOGS}/figure_living.log",
    params:
        caption=lambda wildcards: LIVING_CAPTION,
        source=lambda wildcards: source_hash("bprr.figures.living"),
    shell:
        "bprr plot living {input:q} --caption {params.caption:q} -o {output.pdf:q} > {log:q} 2>&1"


# Better methods with one thing changed; what the order of service costs.
ASIDE = {"robust": "robust_serial", "frontier": "frontier_serial"}
ASIDE = {figure: name for figure, name in ASIDE.items() if name in SETTINGS.sweeps}
ASIDE_CAPTIONS = {
    figure: caption(f"caption_{figure}", [name], NOT_DRAWN) for figure, name in ASIDE.items()
}


rule aside:
    input:
        lambda wildcards: results_of(pair for pair in SWEPT if pair[0] == ASIDE[wildcards.figure]),
    output:
        pdf=report(
            f"{FIGURES}/{{figure}}.pdf",
            caption="../report/beyond.rst",
            category="Better methods",
            labels={"figure": "{figure}"},
        ),
        others=multiext(f"{FIGURES}/{{figure}}", ".png", ".csv"),
    log:
        f"{LOGS}/figure_{{figure}}.log",
    wildcard_constraints:
        figure="|".join(ASIDE) or "none",
    params:
        caption=lambda wildcards: ASIDE_CAPTIONS[wildcards.figure],
        source=lambda wildcards: source_hash(f"bprr.figures.{wildcards.figure}"),
    shell:
        "bprr plot {wildcards.figure} {input:q} --caption {params.caption:q} -o {output.pdf:q}"
        " > {log:q} 2>&1"
