"""Plans a workflow again and again: one process has Snakemake loaded, and forks for every plan.

A plan sees the source, settings and data of its moment, for `bprr` is first imported in the fork.
Requests and answers are lines of JSON: a folder and Snakemake's arguments, then every job.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

# What Snakemake and bprr import, other than bprr itself.
LOADED = (
    "pandas", "pyarrow.parquet", "pydantic", "scipy.optimize", "yaml",
    "snakemake.cli", "snakemake.dag", "snakemake.executors.dryrun", "snakemake.executors.touch",
    "snakemake.scheduling.job_scheduler",
)  # fmt: skip


def jobs_of(dag: Any) -> dict[str, dict[str, Any]]:
    """Every job that makes something, by its rule and wildcards."""

    def name(job: Any) -> str:
        return " ".join((job.rule.name, *map(str, job.wildcards)))

    return {
        name(job): {
            "planned": dag.needrun(job),
            "reason": str(dag.reason(job)),
            "outputs": [str(path) for path in job.output],
            "after": [name(other) for other in dag.dependencies[job] if other.output],
        }
        for job in dag.jobs
        if job.output
    }


def answer(folder: str, arguments: list[str]) -> dict[str, Any]:
    """What Snakemake plans (or does) in a folder, in a process of its own."""
    with tempfile.TemporaryDirectory() as room:
        jobs, text = Path(room, "jobs.json"), Path(room, "text")
        child = os.fork()
        if child == 0:
            plan(folder, arguments, jobs, text)
        _, status = os.waitpid(child, 0)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "jobs": json.loads(jobs.read_text(encoding="utf-8")) if jobs.exists() else {},
            "text": text.read_text(encoding="utf-8"),
        }


def plan(folder: str, arguments: list[str], jobs: Path, text: Path) -> None:
    from snakemake.cli import main
    from snakemake.executors.touch import Executor
    from snakemake.workflow import Workflow

    execute = Workflow.execute

    def recorded(workflow: Workflow, *args: Any, **kwargs: Any) -> Any:
        done = execute(workflow, *args, **kwargs)
        jobs.write_text(json.dumps(jobs_of(workflow.dag)), encoding="utf-8")
        return done

    Workflow.execute = recorded
    Executor.SLEEPING_TIME = 0
    output = os.open(text, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    code: Any = 70
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    for module in LOADED:
        importlib.import_module(module)
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)
