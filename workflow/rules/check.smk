# Every name and every scenario is tried before anything expensive runs.
rule check:
    input:
        config=ancient(EFFECTIVE),
        published=PUBLISHED,
        scenarios=SCENARIOS,
    output:
        f"{RESULTS}/checked.txt",
    params:
        settings=effective,
    log:
        f"{LOGS}/check.log",
    shell:
        "bprr check {input.config} > {output} 2> >(tee {log} >&2)"
