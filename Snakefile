# Published constants and real networks in, every table and figure of the paper out.
#
#   snakemake --cores all                                   everything
#   snakemake --cores all figures/fig7_abovenet.pdf         one figure
#   snakemake --cores all --configfile config/smoke.yaml    the whole chain in miniature
#   snakemake --cores all --config runs=100                 one setting changed
#
# Targets come first: what follows --config or --configfile belongs to it.
from snakemake.utils import min_version

min_version("9.13")


include: "workflow/rules/common.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/offline.smk"
include: "workflow/rules/testbed.smk"
include: "workflow/rules/wan.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.simulated.input,
        rules.drawn.input,
        rules.fitted.input,
        rules.offline.input,
        rules.reported.input,
        rules.testbed_report.output,
        rules.testbed_load_report.output,
        rules.scorecard.input,  # all tables, also those that nobody shows any more


# Neither in dry runs and summaries, nor in the processes of single jobs.
onstart:
    start()
