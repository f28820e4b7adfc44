"""The quiet console: a line per job, what is left, and every trouble."""

import logging

import pytest
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_bprr import LogHandler


@pytest.fixture
def says(capsys):
    handler = LogHandler(OutputSettings(), None)

    def emit(level=logging.INFO, text="", **told):
        record = logging.LogRecord("snakemake", level, "", 0, text, None, None)
        vars(record).update(told)
        handler.emit(record)
        return capsys.readouterr().err.strip()

    return emit


def test_a_job_is_a_line_when_it_ends(says):
    assert says(event=LogEvent.RUN_INFO, stats={"total": 2}) == ""
    for job, topology in ((7, "abovenet"), (8, "gts_ce")):
        words = {"sweep": "fig7", "topology": topology}
        assert says(event=LogEvent.JOB_INFO, jobid=job, rule_name="sweep", wildcards=words) == ""
    assert says(event=LogEvent.SHELLCMD, text="bprr sweep …") == ""
    assert says(event=LogEvent.JOB_FINISHED, job_id=8).startswith("[1/2] sweep fig7 gts_ce ")
    assert "all done in 0 s" in says(event=LogEvent.JOB_FINISHED, job_id=7)


def test_what_the_workflow_says_itself_is_shown_and_troubles_are(says):
    assert says(text="Building DAG of jobs...") == ""
    assert says(text="Jobs: 68, about 2 min on 2 cores") == "Jobs: 68, about 2 min on 2 cores"
    assert says(logging.WARNING, "careful") == "careful"
    assert says(logging.ERROR, "Error in rule fit") == "Error in rule fit"


@pytest.mark.parametrize(
    ("said", "left"),
    [("Jobs: 10, about 10 min on 2 cores", "about 9 min left"), ("", "about 15 min left")],
)
def test_what_is_left_is_what_was_planned_at_first(monkeypatch, said, left):
    """One of ten jobs took 100 s of 600: .1 times 900 s by the mean, .9 times the other 500."""
    now_s = [0.0]
    monkeypatch.setattr("snakemake_logger_plugin_bprr.time.monotonic", lambda: now_s[0])
    handler = LogHandler(OutputSettings(), None)

    def line(text="", **told):
        record = logging.LogRecord("snakemake", logging.INFO, "", 0, text, None, None)
        vars(record).update(told)
        return handler._line(record)

    line(said)
    line(event=LogEvent.RUN_INFO, stats={"total": 10})
    line(event=LogEvent.JOB_INFO, jobid=1, rule_name="sweep", wildcards={})
    now_s[0] = 100.0
    assert line(event=LogEvent.JOB_FINISHED, job_id=1).endswith(left)
