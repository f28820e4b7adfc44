"""What ``make`` shows of a run: a line per job that ended, what is left, and every trouble in full.

Snakemake finds this module by its name (``--logger bprr``). All that it leaves out is in
``.snakemake/log`` and in the jobs' own logs.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

__all__ = ["LogHandler"]

OURS = ("Settings:", "Jobs:", "Nothing to be done")  # messages that begin so are shown
PLANNED = re.compile(r"about (\d+) min")  # in the message on jobs (bprr.study.cost)


class LogHandler(LogHandlerBase):
    """Writes to standard error, as Snakemake does."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Begin to count."""
        self.began_s = time.monotonic()
        self.jobs: dict[int, tuple[str, float]] = {}  # what runs, since when
        self.done = self.total = 0
        self.planned_s = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Write what is to be shown of a record."""
        try:
            if line := self._line(record):
                print(line, file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)

    def _line(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = vars(record)
        if record.levelno >= logging.WARNING:
            return self.format(record)
        match told.get("event"):
            case LogEvent.RUN_INFO:
                self.total = told["stats"]["total"]
            case LogEvent.JOB_INFO:
                words = [told["rule_name"], *map(str, told["wildcards"].values())]
                self.jobs[told["jobid"]] = (" ".join(words), time.monotonic())
            case LogEvent.JOB_FINISHED:
                return self._finished(told["job_id"])
            case None if record.getMessage().startswith(OURS):
                if minutes := PLANNED.search(record.getMessage()):
                    self.planned_s = 60.0 * int(minutes[1])
                return record.getMessage()
        return ""

    def _finished(self, job: int) -> str:
        now_s = time.monotonic()
        self.done += 1
        name, began_s = self.jobs.pop(job, ("job", now_s))
        spent_s = now_s - self.began_s
        share = self.done / self.total if self.total else 1.0
        # Long jobs go first, so that the mean of those done says too much: what was planned counts
        # for the share of jobs that is left.
        left_s = spent_s * (1 - share) / share
        if self.planned_s:
            left_s = share * left_s + (1 - share) * max(self.planned_s - spent_s, 0.0)
        rest = f"about {_told(left_s)} left" if left_s > 0 else f"all done in {_told(spent_s)}"
        width = len(str(self.total))
        return f"[{self.done:>{width}}/{self.total}] {name:<44} {now_s - began_s:6.1f} s  {rest}"


def _told(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
