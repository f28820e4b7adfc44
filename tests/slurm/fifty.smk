# Fifty jobs of two seconds: what a cluster adds to each. From the project's folder:
#   CPUS=8 tests/slurm/with_slurm.sh snakemake --snakefile tests/slurm/fifty.smk \
#       --workflow-profile profiles/slurm --directory FOLDER
rule all:
    input:
        expand("job{number}", number=range(50)),


rule job:
    output:
        "job{number}",
    shell:
        "sleep 2; touch {output}"
