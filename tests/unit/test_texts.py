"""Printed digits, limits and verdicts at their very edges."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bprr.figures.caption import Compared, StudyCaption, Variant
from bprr.ground.errors import InputError
from bprr.ground.intervals import Interval
from bprr.report.claims import Comparison
from bprr.report.discrepancies import load_register
from bprr.report.findings import _printed_table, finding
from bprr.report.results import Results
from bprr.report.scorecard import Scorecard
from bprr.report.texts import (
    claims_text,
    decomposition_text,
    effects_text,
    number,
    percent,
    read_scorecard,
    summary,
    with_interval,
    write_scorecard,
)
from bprr.report.verdicts import Verdict, agrees, contradicts, judge
from bprr.settings.shipped import SHIPPED

NAN = math.nan
STUDY = StudyCaption(
    confidence=0.95,
    compared=Compared(method="proposed", baseline="petals"),
    methods={"petals": "PETALS", "proposed": "Proposed"},
    topologies={"abovenet": "AboveNet"},
    variants={
        "paid": Variant(label="Paid", delays_s={"petals": (250, 250)}),
        "free": Variant(label="Free"),
    },
    sweeps={},
)


def test_numbers_as_they_are_printed() -> None:
    assert [number(value) for value in (1234.5, 0.123456, NAN)] == ["1.23e+03", "0.123", ""]
    assert [percent(share) for share in (0.1234, -0.00001, -0.5, NAN)] == [
        "+12.3", "+0.0", "-50.0", "–",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ((1.0, 0.5, 1.5), "1.00 ± 0.50"),
        ((9.99, 9.0, 11.0), "9.99 ± 1.00"),
        ((10.0, 9.5, 10.5), "10.0 ± 0.5"),
        ((123.4, 120.0, 126.8), "123 ± 3"),
        ((12345.0, 12000.0, 12690.0), "12345 ± 345"),
        ((0.0123, 0.0120, 0.0126), "0.0123 ± 0.0003"),
        ((0.001, -5.0, 5.002), "0.00 ± 5.00"),
        ((0.5, NAN, NAN), "0.5"),
        ((NAN, NAN, NAN), ""),
    ],
)
def test_an_estimate_has_the_digits_of_its_interval(
    estimate: tuple[float, float, float], text: str
) -> None:
    assert with_interval(*estimate) == text


def claim(**changed: object) -> dict[str, object]:
    names = ("ours", "ours_without_delays")
    estimates = {f"{name}{end}": NAN for name in names for end in ("", "_low", "_high")}
    return {
        "id": "a", "kind": "claims in words", "place": "here", "statement": "It is so", "unit": "s",
        "published": 2.0, "published_text": "", "agrees_within": "", **estimates,
        "difference": NAN, "difference_percent": NAN, "verdict": str(Verdict.REPRODUCED),
        "holds_without_delays": "", "cause": "", "rule": "sweep", "files": "sweeps/a_b.parquet",
        "minutes": 2.5, **changed,
    }  # fmt: skip


def card(*rows: dict[str, object], effects: list[dict[str, object]] | None = None,
         decomposition: list[dict[str, object]] | None = None) -> Scorecard:  # fmt: skip
    results = Results(Path("there"), STUDY, Path("published.csv"))
    return Scorecard(
        pd.DataFrame(rows), pd.DataFrame(effects or []), pd.DataFrame(decomposition or []), {}, 0.5,
        results,
    )  # fmt: skip


def test_claims_in_the_units_that_they_are_printed_in() -> None:
    ours = {"ours": 0.3, "ours_low": 0.2, "ours_high": 0.4, "difference": 0.1}
    texts = claims_text(
        card(
            claim(),
            claim(**ours, unit="share", published=0.2, holds_without_delays=True),
            claim(**ours, unit="ratio", published_text="about a half", difference_percent=-12.6),
            claim(**ours, kind="running times", published=0.1, holds_without_delays=False),
            claim(ours=5.0, ours_without_delays=4.0, difference=3.0, difference_percent=150.4,
                  files="sweeps/a_b.parquet sweeps/c_d.parquet"),
        )
    )  # fmt: skip
    assert texts["published"].tolist() == ["2 s", "20 %", "about a half", "0.1 s", "2 s"]
    assert texts["ours"].tolist() == [
        "", "30.0 ± 10.0 %", "0.300 ± 0.100", "0.300 ± 0.100 s", "5 s",
    ]  # fmt: skip
    assert texts["without delays"].tolist() == ["", "", "", "", "4 s"]
    assert texts["difference"].tolist() == [
        "", "+10.0 points", "-13 %", "3 times as long", "+150 %",
    ]  # fmt: skip
    assert texts["holds without delays"].tolist() == ["", "yes", "", "no", ""]
    assert texts["minutes"].tolist() == ["2.5"] * 5
    commands = texts["command"].tolist()
    assert commands[0] == "snakemake --cores all there/sweeps/a_b.parquet"
    assert commands[4] == "snakemake --cores all there/sweeps/{a_b,c_d}.parquet"


def test_effects_of_switches_as_texts() -> None:
    effect = {
        "discrepancy": "a_b", "quantity": "ratio", "topology": "abovenet",
        "allocation_delays": "paid", "before": 0.5, "before_low": 0.4, "before_high": 0.6,
        "after": 0.4, "after_low": NAN, "after_high": NAN, "effect": -0.1,
    }  # fmt: skip
    texts = effects_text(card(claim(), effects=[effect, {**effect, "effect": NAN}]))
    assert texts.iloc[0].tolist() == [
        "a b", "ratio", "AboveNet", "Paid", "0.500 ± 0.100", "0.4", "-0.100",
    ]  # fmt: skip
    assert texts["effect"][1] == ""


STEPS = [
    {"topology": "abovenet", "x": x, "allocation_delays": variant, "order": order, "step": step,
     "share": share, "share_low": share - 0.01, "share_high": share + half, "ratio": ratio}
    for x in (0.1, 0.5)
    for variant in ("paid", "free")
    for order in ("last", "first")
    for step, share, half, ratio in (("cache", -0.25, 0.01, 0.75), ("number", 0.05, NAN, 0.8))
]  # fmt: skip


def test_the_decomposition_step_by_step() -> None:
    shown = card(claim(kind="printed simulator numbers", difference_percent=8.4), claim(),
                 claim(kind="printed simulator numbers", difference_percent=-8.4),
                 claim(kind="printed simulator numbers", difference_percent=8.0),
                 claim(kind="claims in words", difference_percent=99.0,
                       verdict=str(Verdict.CONTRADICTED)),
                 decomposition=STEPS)  # fmt: skip
    table = decomposition_text(shown)
    # Without delays the order makes no difference.
    assert table["delays"].tolist() == ["Paid, last", "Paid, first", "Free"] * 2
    assert table["λ (1/s)"].tolist() == ["0.1"] * 3 + ["0.5"] * 3
    assert table.iloc[0].tolist() == [
        "AboveNet", "0.1", "Paid, last", "-25.0 ± 1.0 %", "+5.0 %", "-20.0 %",
    ]  # fmt: skip
    lines = summary(shown).splitlines()
    assert lines == [
        "5 numbers and claims:",
        "  printed simulator numbers: 3 reproduced",
        "  claims in words: 1 reproduced, 1 contradicted",
        "  beyond 8 %: It is so (+8 %)",
        "  beyond 8 %: It is so (-8 %)",
        "Time per token against PETALS' at λ = 0.5/s, step by step:",
        "  AboveNet, Paid, last: cache -25.0 %, number +5.0 %; in all -20.0 %",
        "  AboveNet, Paid, first: cache -25.0 %, number +5.0 %; in all -20.0 %",
        "  AboveNet, Free: cache -25.0 %, number +5.0 %; in all -20.0 %",
    ]
    assert summary(card(claim())).splitlines()[1:] == ["  claims in words: 1 reproduced"]


def test_a_scorecard_is_read_as_it_was_written(tmp_path: Path) -> None:
    effect = {
        "discrepancy": "a", "quantity": "ratio", "topology": "abovenet",
        "allocation_delays": "paid", "before": 1 / 3, "before_low": NAN, "before_high": NAN,
        "after": 2e-7, "after_low": 1e-7, "after_high": 3e-7, "effect": NAN,
    }  # fmt: skip
    written = card(
        claim(ours=1 / 7, ours_low=0.1, ours_high=0.2, holds_without_delays=True), claim(),
        effects=[effect], decomposition=STEPS,
    )  # fmt: skip
    write_scorecard(written, tmp_path / "scorecard.csv")
    register = load_register(SHIPPED / "discrepancies.yaml")
    found = read_scorecard(tmp_path / "scorecard.json", register, written.results)
    for made in (claims_text, effects_text, decomposition_text):
        pd.testing.assert_frame_equal(made(found), made(written))
    assert (found.counts, found.causes) == (written.counts, written.causes)
    assert found.claims["ours"][0] == pytest.approx(1 / 7, rel=1e-14)
    (tmp_path / "scorecard.json").write_text('{"claims": [{}]}', encoding="utf-8")
    with pytest.raises(InputError, match=r"as bprr scorecard writes it"):
        read_scorecard(tmp_path / "scorecard.json", register, written.results)


def at(value: float, half: float = 0.0) -> Interval:
    return Interval(value, value - half, value + half)


def test_a_value_on_the_limit_agrees() -> None:
    band = Comparison(kind="band", low=1.0, high=2.0)
    assert [agrees(at(x, 9.0), band) for x in (0.99, 1.0, 2.0, 2.01)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not agrees(Interval(NAN, NAN, NAN), band)
    order = Comparison(kind="order", low=0.0)
    assert [agrees(at(1.0, half), order) for half in (0.99, 1.0, 1.01)] == [True, True, False]
    trend = Comparison(kind="trend", high=0.0)
    assert [agrees(at(-1.0, half), trend) for half in (0.99, 1.0, 1.01)] == [True, True, False]
    assert agrees(Interval(1.0, NAN, NAN), order)  # without an interval the value counts
    assert not agrees(Interval(-1.0, NAN, NAN), order)


def test_an_interval_that_touches_the_limit_does_not_contradict() -> None:
    limits = Comparison(kind="band", low=1.0, contradicted_below=0.5, contradicted_above=4.0)
    assert [contradicts(at(x, 0.1), limits) for x in (0.39, 0.4, 3.0, 4.1, 4.11)] == [
        True, False, False, False, True,
    ]  # fmt: skip
    assert not contradicts(Interval(0.0, NAN, NAN), limits)
    only_above = Comparison(kind="band", low=1.0, contradicted_above=4.0)
    assert not contradicts(at(-9.0), only_above)
    assert not contradicts(at(9.0), Comparison(kind="band", low=1.0, contradicted_below=0.5))


def test_verdicts_by_variant() -> None:
    band = Comparison(kind="band", low=1.0, high=2.0, contradicted_below=0.5)
    cases = {
        (1.5, 1.5): Verdict.REPRODUCED, (1.5, 0.1): Verdict.ONLY_WITH_DELAYS,
        (0.1, 1.5): Verdict.NOT_REPRODUCED, (0.1, 0.1): Verdict.CONTRADICTED,
        (0.7, 0.1): Verdict.NOT_REPRODUCED,
    }  # fmt: skip
    for (paid, free), verdict in cases.items():
        ours = {"paid": at(paid), "free": at(free)}
        assert judge(ours, band, "paid") == verdict
        assert judge({"all": at(paid)}, band, "paid") in (
            Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.CONTRADICTED,
        )  # fmt: skip
    assert judge({"paid": at(1.5), "free": at(0.1)}, band, None) == Verdict.NOT_REPRODUCED


def test_limits_around_a_printed_value() -> None:
    found = Comparison(kind="band", tolerance=0.15, contradicted_factor=2).around(4.0)
    assert [found.low, found.high] == pytest.approx([3.4, 4.6])
    assert (found.contradicted_below, found.contradicted_above) == (2.0, 8.0)
    floor = Comparison(kind="bound", tolerance=0.5, low=3.9).around(4.0)
    assert (floor.low, floor.high, floor.contradicted_below) == (3.9, 6.0, None)
    errors = Comparison(kind="band", standard_errors=3).around(4.0, 0.1)
    assert [errors.low, errors.high] == pytest.approx([3.7, 4.3])
    plain = Comparison(kind="band", low=1.0)
    assert plain.around(4.0) is plain
    relative = Comparison(kind="band", tolerance=0.15)
    assert relative.around(None) is relative


def test_a_table_that_is_no_exhibit_says_nothing() -> None:
    assert finding("headline", pd.DataFrame({"a": [1]}), STUDY) == ""
    empty = pd.DataFrame(columns=["order", "allocation_delays", "step", "share"])
    assert finding("decomposition", empty, STUDY) == ""
    unknown = pd.DataFrame({"allocation_delays": ["paid"], "ratio": [np.nan]})
    assert finding("headline", unknown, STUDY) == ""


def test_printed_cells_are_compared_as_a_ratio():
    rows = [("a", "model", 11.0), ("a", "simulator", 10.0), ("b", "model", 7.0),
            ("b", "simulator", 10.0), ("c", "model", 5.0)]  # fmt: skip
    table = pd.DataFrame(
        [
            {"setting": setting, "method": "petals", "rate_per_s": 0.1, "output_tokens": 20,
             "quantity": quantity, "value": value, "unit": "s"}
            for setting, quantity, value in rows
        ]
    )  # fmt: skip
    said = _printed_table(table, SimpleNamespace(delayed="model"))
    assert "20 % off the printed simulator in the mean, 30 % at most" in said
