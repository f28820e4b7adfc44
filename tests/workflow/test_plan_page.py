"""The page of a plan in a browser: as wide as its window, and nothing from outside."""

import re
from pathlib import Path

import pytest

from tests.workflow.test_report import CHROMIUM, wider_than_the_window

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["four-cities", "university", "health-monitor"])
def test_pages_stand_alone(name: str) -> None:
    text = (EXAMPLES / name / "plan/plan.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|(?:src|href)=\"(?!data:)|url\(|@import", text)
    assert ('class="map"' in text) == (name != "health-monitor")  # which has no places


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
def test_pages_are_as_wide_as_the_window(tmp_path: Path) -> None:
    page = EXAMPLES / "four-cities/plan/plan.html"
    assert wider_than_the_window(page, tmp_path) == []
