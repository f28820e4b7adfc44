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
from contextlib import suppress
from pathlib import Path
from typing import Any

OWN = ("bprr", "__main__")


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
        found, text = Path(room, "found.json"), Path(room, "text")
        child = os.fork()
        if child == 0:
            plan(folder, arguments, found, text)
        _, status = os.waitpid(child, 0)
        jobs, modules = json.loads(found.read_text(encoding="utf-8"))
        for module in modules:  # so that the next plan has them
            with suppress(ImportError):
                importlib.import_module(module)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "jobs": jobs,
            "text": text.read_text(encoding="utf-8"),
        }


def plan(folder: str, arguments: list[str], found: Path, text: Path) -> None:
    from snakemake.cli import main
    from snakemake.executors.touch import Executor
    from snakemake.workflow import Workflow

    execute, jobs = Workflow.execute, {}

    def recorded(workflow: Workflow, *args: Any, **kwargs: Any) -> Any:
        done = execute(workflow, *args, **kwargs)
        jobs.update(jobs_of(workflow.dag))
        return done

    Workflow.execute = recorded
    Executor.SLEEPING_TIME = 0
    output = os.open(text, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    sys.argv[1:] = arguments
    code: Any = 70
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    finally:
        modules = [name for name in sys.modules if name.partition(".")[0] not in OWN]
        found.write_text(json.dumps([jobs, modules]), encoding="utf-8")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)
