"""Claims, switches and results of a few numbers each, with what follows from them by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import bprr.report.by_service as by_service
import bprr.report.scorecard as scorecard
from bprr.figures.caption import Compared, StudyCaption, SweepCaption, Variant
from bprr.figures.served import ServiceModel
from bprr.ground.errors import BprrError, InputError
from bprr.ground.intervals import Interval
from bprr.report import readme
from bprr.report.claims import Claim, Claims, Comparison, each_claim
from bprr.report.discrepancies import Register, causes, decomposition, effects
from bprr.report.manifest import manifest
from bprr.report.measures import MEASURES, picked
from bprr.report.results import Results
from bprr.report.scorecard import Scorecard, make_scorecard
from bprr.report.texts import decomposition_text, markdown, with_interval, write_scorecard
from bprr.report.verdicts import Verdict, agrees, contradicts
from bprr.settings.messages import validated

NAN = math.nan
NAMES: dict[str, Any] = {
    "confidence": 0.95,
    "compared": Compared(method="new", baseline="old"),
    "methods": {"new": "New", "old": "Old"},
    "topologies": {"gts": "GTS", "abovenet": "AboveNet", "bell": "Bell"},
    "variants": {
        "free": Variant(label="Free"),
        "paid": Variant(label="Paid", delays_s={"old": (250, 250)}),
    },
}
STUDY = StudyCaption(**NAMES, sweeps={})
T_1 = 12.706205  # Student's t for 95 %, 1 degree of freedom


class Held(Results):
    """Run means that a test holds, by the name of their file."""

    def __init__(self, folder: Path, held: dict[str, pd.DataFrame], study: StudyCaption = STUDY):
        super().__init__(folder, study, folder / "published.csv")
        self.held = held
        for name in held:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()

    def means(self, *names: str) -> pd.DataFrame:
        return pd.concat([self.held[name] for name in names], ignore_index=True)


def means(
    topology: str, times: dict[tuple[float, str, str], list[float]], figure: str = "switch"
) -> pd.DataFrame:
    """Times per token (ms) of every run by point, variant and method."""
    return pd.DataFrame(
        [
            {"figure": figure, "topology": topology, "x": x, "allocation_delays": variant,
             "method": method, "run": run, "per_token_ms": value, "output_tokens": 10}
            for (x, variant, method), values in times.items()
            for run, value in enumerate(values)
        ]
    )  # fmt: skip


# --- claims


def claim(**changed: Any) -> dict[str, Any]:
    return {
        "id": "a", "kind": "claims in words", "place": "here", "statement": "It is so",
        "rule": "sweep", "files": ["sweeps/switch_gts.parquet"], "measure": "mine",
        "compare": {"kind": "band", "low": 1.0}, "minutes": 1, **changed,
    }  # fmt: skip


def claims(*rows: dict[str, Any], answer: str = "a") -> Claims:
    return validated(Claims, {"answer": answer, "claims": list(rows)}, Path("claims.yaml"))


@pytest.mark.parametrize(
    ("rows", "answer", "said"),
    [
        ([claim(compare={"kind": "band", "contradicted_below": 1})], "a",
         "claims.yaml: claims.0.compare.low: got None; allowed: at least one of low, high, "
         "tolerance, standard_errors"),
        ([claim(), claim()], "a", "claims.yaml: claims: got ['a']; allowed: each id once"),
        ([claim()], "b", "claims.yaml: answer: got 'b'; allowed: the id of a claim"),
        ([claim(measure=None)], "a",
         "claims.yaml: claims.0.measure: got None; allowed: measure and compare, or not_testable, "
         "or no_verdict"),
        ([claim(compare=None)], "a",
         "claims.yaml: claims.0.measure: got 'mine'; allowed: measure and compare, or "
         "not_testable, or no_verdict"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be(rows: list[dict[str, Any]], answer: str, said: str) -> None:
    with pytest.raises(BprrError) as error:
        claims(*rows, answer=answer)
    assert str(error.value) == said


@pytest.mark.parametrize("limit", ["low", "high", "tolerance", "standard_errors"])
def test_one_limit_is_enough(limit: str) -> None:
    assert claims(claim(compare={"kind": "band", limit: 1})).claims[0].compare is not None
    for reason in ("not_testable", "no_verdict"):
        claims(claim(measure=None, compare=None, **{reason: "since"}))


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    printed, artefact = tmp_path / "published.csv", tmp_path / "artefact.csv"
    printed.write_text(
        "table,setting,method,rate_per_s,output_tokens,quantity,value_s,sd_s\n"
        "table3,gts,old,0.1,64,simulator,5.5,\ntable3,gts,new,0.1,64,simulator,2.5,\n"
        "table3,gts,old,0.1,64,experiment,6.5,\ntable6,gts,old,,64,simulator,7.5,\n",
        encoding="utf-8",
    )
    rows = [
        f"{figure},{topology},{x},9,0.2,0.5,128,50,{variant},{method},100,{mean},{error},1,1"
        for figure, topology, x, variant, method, mean, error in [
            ("fig7", "gts", 6, "paid", "new", 30, 3), ("fig7", "gts", 6, "paid", "old", 100, 5),
            ("fig7", "gts", 6, "free", "new", 60, 0), ("fig7", "gts", 6, "free", "old", 80, 8),
            ("fig7", "gts", 7, "free", "new", 1, 1), ("fig8", "gts", 6, "free", "new", 1, 1),
            ("fig7", "bell", 6, "free", "new", 1, 1)]
    ]  # fmt: skip
    head = (
        "figure,topology,x,servers,eta,rate_per_s,output_tokens,requests,allocation_delays,"
        "method,runs,per_token_ms_mean,per_token_ms_se,ttft_ms_mean,wait_ms_mean"
    )
    artefact.write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    return printed, artefact


def spelled(tables: tuple[Path, Path], **changed: Any) -> list[Claim]:
    other = claim(id="other")
    labels = {"old": "Old", "gts": "GTS"}
    first, *found = each_claim(claims(other, claim(**changed), answer="other"), *tables, labels)
    assert first.id == "other"
    return found


def test_every_printed_number_is_a_claim_of_its_own(tables: tuple[Path, Path]) -> None:
    found = spelled(
        tables, id="{table}.{method}.{rate_per_s}", each_of={"table": "table3",
                                                             "quantity": "simulator"},
        statement="{method} on {setting} at {rate_per_s}/s", files=["sweeps/{table}_{setting}"],
        arguments={"method": "{method}", "rate": "{rate_per_s}", "two": 2, "at": "{setting}_x"},
    )  # fmt: skip
    assert [one.id for one in found] == ["table3.old.0.1", "table3.new.0.1"]
    assert [one.value for one in found] == [5.5, 2.5]
    assert [one.value_error for one in found] == [None, None]
    assert [one.statement for one in found] == ["Old on GTS at 0.1/s", "new on GTS at 0.1/s"]
    assert found[0].files == ["sweeps/table3_gts"]
    assert found[0].arguments == {"method": "old", "rate": 0.1, "two": 2, "at": "gts_x"}
    assert found[0].each_of is None


def test_every_network_and_every_point_of_the_artefact(tables: tuple[Path, Path]) -> None:
    found = spelled(tables, id="a.{topology}", each_of={"topology": ["gts", "bell"]}, value=3.0)
    assert [(one.id, one.value, one.value_error) for one in found] == [
        ("a.gts", 3.0, None), ("a.bell", 3.0, None),
    ]  # fmt: skip
    point = {"figure": "fig7", "topology": "gts", "x": 6, "ratio": ["new", "old"]}
    found = spelled(tables, id="{figure}.{x}.{allocation_delays}", each_of=[point])
    told = {one.id: (one.value, one.value_error) for one in found}
    assert told == {
        "fig7.6.free": (0.75, pytest.approx(0.75 * 0.1)),
        "fig7.6.paid": (0.3, pytest.approx(0.3 * math.hypot(0.1, 0.05))),
    }
    with pytest.raises(InputError) as error:
        spelled(tables, each_of={"table": "table9", "quantity": "simulator"})
    printed, artefact = tables
    assert str(error.value).endswith(f"allowed: rows of {printed} or {artefact}")
    assert "a.each_of" in str(error.value)


# --- switches


def register(*entries: dict[str, Any], **changed: Any) -> Register:
    entry = {"place": "there", "statement": "It differs", "switch": "x", "cause": "Since."}
    content = {
        "decomposition": {
            "sweep": "steps", "x": 1.0, "baseline": {"method": "old", "delays": "paid"},
            "orders": {
                "last": [{"name": "number", "method": "mid", "delays": "paid"},
                         {"name": "delays", "method": "new", "delays": "free"}],
                "first": [{"name": "delays", "method": "old", "delays": "free"},
                          {"name": "number", "method": "new", "delays": "free"}],
            },
            "without": ["free"],
        },
        "only_with_delays": "a",
        "discrepancies": [{**entry, **one} for one in entries or ({"id": "a"},)], **changed,
    }  # fmt: skip
    return validated(Register, content, Path("register.yaml"))


def test_entries_of_the_register_have_each_a_name() -> None:
    for entries, said in [
        ([{"id": "a"}, {"id": "b"}, {"id": "b"}, {"id": "a"}],
         "register.yaml: discrepancies: got ['a', 'b']; allowed: each id once"),
        ([{"id": "b"}], "register.yaml: only_with_delays: got 'a'; allowed: the id of an entry"),
    ]:  # fmt: skip
        with pytest.raises(BprrError) as error:
            register(*entries)
        assert str(error.value) == said


def test_effects_of_switches_on_the_ratio(tmp_path: Path) -> None:
    """Before at x = 1, after at x = 2 with another method over another baseline."""
    free = {
        (1.0, "free", "old"): [100.0, 100.0], (1.0, "free", "new"): [50.0, 60.0],
        (2.0, "free", "old"): [9.0, 9.0], (2.0, "free", "own"): [20.0, 20.0],
        (2.0, "free", "base"): [80.0, 80.0],
    }  # fmt: skip
    paid = {(x, "paid", method): [2 * one for one in each] if method == "own" else each
            for (x, _, method), each in free.items()}  # fmt: skip
    results = Held(
        tmp_path,
        {"sweeps/switch_gts.parquet": means("gts", free | paid),
         "sweeps/switch_abovenet.parquet": means("abovenet", free),
         "sweeps/other_gts.parquet": means("gts", paid, "other")},
    )  # fmt: skip
    after = {"x": 2, "method": "own", "baseline": "base"}
    table = effects(
        register(
            {"id": "a"},
            {"id": "b", "effect": {"sweep": "switch", "before": {"x": 1}, "after": after}},
            {"id": "c", "effect": {"sweep": "other", "before": {"x": 1, "delays": "paid"},
                                   "after": {"x": 1}}},
        ),
        results,
    )  # fmt: skip
    place = ["discrepancy", "topology", "allocation_delays", "quantity"]
    assert table[place].to_numpy().tolist() == [
        ["b", "abovenet", "free", "ratio"], ["b", "gts", "paid", "ratio"],
        ["b", "gts", "free", "ratio"], ["c", "gts", "paid", "ratio"],
    ]  # fmt: skip
    half = T_1 * 0.05
    for _, row in table.iterrows():
        assert [row["before"], row["before_low"], row["before_high"]] == pytest.approx(
            [0.55, 0.55 - half, 0.55 + half]
        )
    assert table["after"].tolist() == pytest.approx([0.25, 0.5, 0.25, 0.55])
    assert table["after_low"].tolist()[:3] == pytest.approx([0.25, 0.5, 0.25])
    assert table["effect"].tolist() == pytest.approx([-0.3, -0.05, -0.3, 0.0])


def test_effects_on_what_a_switch_explains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, dict[str, Interval]] = {
        "one": {"paid": Interval(0.5, 0.4, 0.6), "free": Interval(9, 9, 9)},
        "two": {"free": Interval(0.2, 0.1, 0.3)}, "none": {},
    }  # fmt: skip
    seen = []

    def measured(results: Results, files: list[str], **arguments: Any) -> dict[str, Interval]:
        (variant,) = results.caption.variants
        seen.append((variant, files, arguments))
        return found[files[0]]

    monkeypatch.setitem(MEASURES, "my_own", measured)
    results = Held(tmp_path, {name: pd.DataFrame() for name in found})

    def table(before: str, after: str) -> pd.DataFrame:
        effect = {
            "measure": "my_own", "before": {"files": [before], "arguments": {"k": 1}},
            "after": {"files": [after], "delays": "free"},
        }  # fmt: skip
        return effects(register({"id": "a", "effect": effect}), results)

    assert table("one", "two").to_dict("records") == [
        {"discrepancy": "a", "topology": "", "allocation_delays": "paid", "quantity": "my own",
         "before": 0.5, "before_low": 0.4, "before_high": 0.6, "after": 0.2, "after_low": 0.1,
         "after_high": 0.3, "effect": 0.2 - 0.5},
    ]  # fmt: skip
    assert seen == [("paid", ["one"], {"k": 1}), ("free", ["two"], {})]
    for pair in (("one", "none"), ("none", "two"), ("none", "none"), ("one", "absent")):
        assert table(*pair).empty


def test_causes_in_numbers() -> None:
    entries = register(
        {"id": "a", "cause": "From {before:.2f} to {after:.2f}, {effect:+.2f}: {of_gain}."},
        {"id": "b", "cause": "Since."}, {"id": "c", "cause": "By {effect:.2f}."},
        {"id": "d", "cause": "By {after:.2f}."}, {"id": "e", "cause": "Only {before:.1f}."},
    )  # fmt: skip
    columns = ["discrepancy", "topology", "allocation_delays", "before", "after", "effect"]
    measured = pd.DataFrame(
        [("a", "gts", "paid", 0.4, 0.5, 0.1), ("a", "abovenet", "paid", 0.5, 0.4, -0.1),
         ("a", "gts", "free", 9.0, 9.0, 9.0), ("c", "gts", "free", 0.5, 0.75, 0.25),
         ("d", "gts", "paid", NAN, 0.5, NAN), ("e", "", "paid", 0.25, NAN, NAN)],
        columns=columns,
    )  # fmt: skip
    assert causes(entries, measured, STUDY) == {
        "a": "From 0.45 to 0.45, +0.00: GTS 17 %, AboveNet 0 %.", "b": "Since.",
        "c": "By 0.25.", "d": "It differs", "e": "It differs",
    }  # fmt: skip
    nothing = causes(entries, pd.DataFrame(), STUDY)
    assert nothing == {
        "a": "It differs", "b": "Since.", "c": "It differs", "d": "It differs", "e": "It differs",
    }  # fmt: skip


def test_steps_of_the_gain(tmp_path: Path) -> None:
    """On one network without the delays only; on the other two points under both variants."""
    free = {(1.0, "free", "old"): [100.0, 100.0], (1.0, "free", "mid"): [70.0, 70.0],
            (1.0, "free", "new"): [50.0, 60.0]}  # fmt: skip
    paid = {(1.0, "paid", "old"): [400.0, 400.0], (1.0, "paid", "mid"): [200.0, 200.0],
            (1.0, "paid", "new"): [90.0, 90.0]}  # fmt: skip
    later = {(2.0, variant, method): [2 * one for one in values[:1]]
             for (_, variant, method), values in (free | paid).items()}  # fmt: skip
    results = Held(
        tmp_path,
        {"sweeps/steps_abovenet.parquet": means("abovenet", free, "steps"),
         "sweeps/steps_gts.parquet": means("gts", free | paid | later, "steps")},
    )  # fmt: skip
    table = decomposition(register(), results)
    place = ["topology", "x", "allocation_delays", "order", "step", "method", "delays", "runs"]

    def steps(topology: str, x: float, runs: int, *variants: str) -> list[list[object]]:
        names = {
            ("paid", "last"): [("number", "mid", "paid"), ("delays", "new", "free")],
            ("paid", "first"): [("delays", "old", "free"), ("number", "new", "free")],
            ("free", "last"): [("number", "mid", "free"), ("delays", "new", "free")],
            ("free", "first"): [("delays", "old", "free"), ("number", "new", "free")],
        }  # fmt: skip
        return [
            [topology, x, variant, order, *step, runs]
            for (variant, order), each in names.items()
            if variant in variants
            for step in each
        ]

    expected = [
        *steps("abovenet", 1.0, 2, "free"),
        *steps("gts", 1.0, 2, "paid", "free"), *steps("gts", 2.0, 1, "paid", "free"),
    ]  # fmt: skip
    assert sorted(table[place].to_numpy().tolist()) == sorted(expected)
    one = table[(table["topology"] == "gts") & (table["x"] == 1)]
    at = {
        key: [rows[name].tolist() for name in ("share", "ratio", "step_s")]
        for key, rows in one.groupby(["allocation_delays", "order"])
    }
    approx = pytest.approx
    assert at == {
        ("paid", "last"): [approx([-0.5, -145 / 400]), approx([0.5, 55 / 400]),
                           approx([-0.2, -0.145])],
        ("paid", "first"): [approx([-0.75, -45 / 400]), approx([0.25, 55 / 400]),
                            approx([-0.3, -0.045])],
        ("free", "last"): [approx([-0.3, -0.15]), approx([0.7, 0.55]), approx([-0.03, -0.015])],
        ("free", "first"): [approx([0, -0.45]), approx([1.0, 0.55]), approx([0, -0.045])],
    }  # fmt: skip
    half = T_1 * 0.05
    last = one[one["allocation_delays"].eq("free") & one["order"].eq("last")].iloc[1]
    assert [last["share_low"], last["share_high"]] == approx([-0.15 - half, -0.15 + half])


def test_variants_that_were_not_run_leave_the_others(tmp_path: Path) -> None:
    """The first variant and order lacks what the later ones have."""
    free = means("gts", {(1.0, "free", name): [100.0] for name in ("old", "mid", "new")}, "steps")
    table = decomposition(register(), Held(tmp_path, {"sweeps/steps_gts.parquet": free}))
    assert table["allocation_delays"].tolist() == ["free"] * 4
    assert table["order"].tolist() == ["last", "last", "first", "first"]


# --- results


def test_where_results_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bprr.report.results.FITS", Path("fits"))
    monkeypatch.setattr("bprr.report.results.TESTBED", Path("shipped"))
    results = Held(tmp_path, {"fit/own/device.yaml": pd.DataFrame()})
    assert {name: results.path(name) for name in (
        "fit/own/device.yaml", "fit/cpu/device.yaml", "testbed/x/manifest.json", "sweeps/a.parquet",
    )} == {
        "fit/own/device.yaml": tmp_path / "fit/own/device.yaml",
        "fit/cpu/device.yaml": Path("fits/cpu/device.yaml"),
        "testbed/x/manifest.json": Path("shipped/manifest.json"),
        "sweeps/a.parquet": tmp_path / "sweeps/a.parquet",
    }  # fmt: skip
    assert results.confidence == 0.95


def test_files_and_variants_of_results(tmp_path: Path) -> None:
    held = {f"sweeps/a_{name}.parquet": pd.DataFrame() for name in ("gts", "bell")}
    results = Held(tmp_path, held | {"sweeps/b_abovenet.parquet": pd.DataFrame()})
    assert results.files_of("a") == ["sweeps/a_bell.parquet", "sweeps/a_gts.parquet"]
    assert results.files_of("c") == []
    rows = pd.DataFrame({"allocation_delays": ["free", "paid", "later", "free"], "a": range(4)})
    told = [(name, part["a"].tolist()) for name, part in results.by_variant(rows)]
    assert told == [("paid", [1]), ("free", [0, 3])]
    assert [name for name, _ in results.by_variant(rows[2:])] == ["free"]
    view = results.under("paid")
    assert list(view.caption.variants) == ["paid"]
    assert list(results.under(None).caption.variants) == []
    assert list(results.caption.variants) == ["free", "paid"]
    assert [name for name, _ in view.by_variant(rows)] == ["paid"]


def test_printed_cells_in_the_place_of_sweeps(tmp_path: Path, tables: tuple[Path, Path]) -> None:
    results = Results(tmp_path, STUDY, tables[0])
    printed = results.printed("simulator")
    cells = printed.means("sweeps/any.parquet", "sweeps/other.parquet")
    wanted = ["figure", "topology", "method", "x", "run", "allocation_delays", "per_token_ms"]
    rows = cells[cells["rate_per_s"].notna()][wanted].to_numpy().tolist()
    assert rows == [
        ["table3", "gts", "old", 0, 0, "paid", 5500.0],
        ["table3", "gts", "new", 0, 0, "paid", 2500.0],
    ]  # fmt: skip
    assert cells.index.tolist() == list(range(len(cells)))
    assert sorted(cells) == sorted(
        [*wanted, "rate_per_s", "output_tokens", "quantity", "value_s", "sd_s"]
    )
    assert (printed.folder, printed.caption, printed.published) == (
        results.folder, results.caption, results.published,
    )  # fmt: skip


# --- measures at their edges


def taken(results: Results, name: str, **arguments: Any) -> float:
    return MEASURES[name](results, [*results.held], **arguments)["free"].value  # type: ignore[attr-defined]


def test_ratios_that_are_just_one(tmp_path: Path) -> None:
    """Ratios of 1 without any spread are neither faster nor slower, those of 1.25 slower by it."""
    table = means("gts", {
        (1.0, "free", "old"): [100.0, 100.0], (1.0, "free", "new"): [100.0, 100.0],
        (2.0, "free", "old"): [80.0, 80.0], (2.0, "free", "new"): [100.0, 100.0]})  # fmt: skip
    results = Held(tmp_path, {"sweeps/switch_gts.parquet": table})
    assert taken(results, "share_of_points_faster", method="new") == 0.0
    assert taken(results, "share_of_points_not_slower", method="new") == 0.5
    for by, count in ((0.0, 1), (0.25, 1), (0.26, 0)):
        found = taken(results, "points_slower", method="new", metric="per_token_ms", by=by)
        assert found == count


def test_points_by_name(tmp_path: Path) -> None:
    table = pd.concat([
        means("gts", {(x, "free", "new"): [x] for x in (3.0, 1.0, 2.0)}),
        means("bell", {(x, "free", "new"): [x] for x in (5.0, 4.0)}),
    ])  # fmt: skip
    assert picked(table, {"x": "first"})["x"].tolist() == [1.0, 4.0]
    assert picked(table, {"x": "last"})["x"].tolist() == [3.0, 5.0]
    assert picked(table, {"x": "last", "topology": "gts"})["x"].tolist() == [3.0]
    assert picked(table, {"x": 2})["x"].tolist() == [2.0]
    assert picked(table, {"topology": "bell"})["x"].tolist() == [5.0, 4.0]


def test_exact_routing_by_variant_and_run(tmp_path: Path) -> None:
    """Only runs of the method itself, that were served, and with no more at once than planned."""
    file = "sweeps/switch_gts.parquet"
    times = {
        (1.0, "free", "new"): [100.0, 100.0, 100.0],
        (1.0, "free", "exact"): [90.0, 50.0, 40.0],
    }
    table = means("gts", times)
    requests = table.assign(
        status="ok",
        max_concurrent=[4, 5, 4, 9, 4, 9], design_load=4,
    )  # fmt: skip
    refused = requests.iloc[[1]].assign(status="no room", max_concurrent=1)
    other = requests.assign(figure="else", max_concurrent=1)
    kinds = dict.fromkeys(("figure", "topology", "allocation_delays"), "category")
    requests = pd.concat([refused, requests, other], ignore_index=True).astype(kinds)

    class Asked(Held):
        def table(self, *_: Any) -> pd.DataFrame:
            return requests

    results = Asked(tmp_path, {file: table})
    found = MEASURES["exact_routing_gain"](results, [file], exact="exact")
    assert found["free"].value == pytest.approx((90 + 40) / 200)


# --- by service


SERIAL, BATCHED = ServiceModel("serial", "fifo"), ServiceModel("batched 0.1")


def served_study() -> StudyCaption:
    names = ("fig7_service", "fig8_service", "tables_queues", "other")
    sweeps = {name: SweepCaption(**NAMES, name=name) for name in names}
    sweeps["fig8_service"] = sweeps["fig8_service"].model_copy(
        update={"variants": {"late": Variant(label="Late"), **NAMES["variants"]}}
    )
    return StudyCaption(**NAMES, sweeps=sweeps)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Two sweeps under two models, the second one under one more; points of three regimes."""

    def points(path: Path, caption: StudyCaption) -> pd.DataFrame:
        rows = means("gts", {
            (x, variant, method): [10.0, 20.0]
            for x in (1.0, 2.0) for variant in ("paid", "free") for method in ("new", "old")
        }, path.stem.split("_")[0])  # fmt: skip
        state = {1.0: "stable", 2.0: "overloaded"}
        return rows.assign(
            regime=rows["x"].map(state).where(rows["method"] == "new", "backlogged"), requests=50
        )

    def models(table: pd.DataFrame, caption: SweepCaption) -> dict[ServiceModel, pd.DataFrame]:
        found = {SERIAL: table, BATCHED: table.assign(per_token_ms=1.0)}
        return found if caption.name == "fig7_service" else dict(reversed([*found.items()][:1]))

    monkeypatch.setattr(by_service, "asked_points", points)
    monkeypatch.setattr(by_service, "by_model", models)
    for name in ("fig7_service_gts", "fig8_service_gts"):
        (tmp_path / "sweeps").mkdir(exist_ok=True)
        (tmp_path / f"sweeps/{name}.parquet").touch()
    return Results(tmp_path, served_study(), tmp_path / "published.csv")


def test_results_by_service(served: Results) -> None:
    ours = by_service.Served(served)
    assert (ours.folder, ours.caption, ours.published, ours.model) == (
        served.folder, served.caption, served.published, None,
    )  # fmt: skip
    place = {
        "sweeps/fig7_gts.parquet": "fig7_service_gts",
        "sweeps/tables_found_bell.parquet": "tables_queues_bell",
    }
    for name, repeated in place.items():
        assert ours.path(name) == served.folder / f"sweeps/{repeated}.parquet"
    one, two, none = (f"sweeps/{name}_gts.parquet" for name in ("fig7", "fig8", "fig9"))
    for name in (none, "sweeps/other_gts.parquet", "sweeps/fig7_nowhere.parquet", "gts.parquet"):
        with pytest.raises(InputError) as error:
            ours.path(name)
        assert str(error.value) == (
            f"by service: file: got {name!r}; allowed: a sweep that the study repeats by service"
        )
    assert [ours.repeats(names) for names in ([one, two], [one, none], [none, one], [none])] == [
        True, False, False, False,
    ]  # fmt: skip
    assert ours.models([one]) == [SERIAL, BATCHED]
    assert ours.models([one, two]) == [SERIAL]
    assert ours.models([two, one]) == [SERIAL]
    view = ours.of(BATCHED)
    assert view.model == BATCHED
    assert set(view.means(one)["per_token_ms"]) == {1.0}
    assert set(ours.of(SERIAL).means(one, two)["figure"]) == {"fig7", "fig8"}
    points = ours.of(SERIAL).points(one, two)
    assert set(points["method"]) == {"new"}
    keys = points[["figure", "x", "allocation_delays", "run"]].to_numpy().tolist()
    assert keys == [
        [figure, x, variant, 0]
        for figure in ("fig7", "fig8") for x in (1.0, 2.0) for variant in ("paid", "free")
    ]  # fmt: skip
    assert ours.variants == ["free", "paid", "late"]


def test_claims_by_service(served: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(results: by_service.Served, files: list[str], scale: float = 1.0) -> dict[str, Any]:
        (variant,) = results.caption.variants
        if results.model == BATCHED:
            return {variant: Interval(NAN, NAN, NAN)} if variant == "free" else {}
        value = {"free": 1.0, "paid": 0.5}[variant] * scale
        return {variant: Interval(value, value - 0.25, value + 0.25), "other": Interval(9, 9, 9)}

    monkeypatch.setitem(MEASURES, "mine", mine)
    monkeypatch.setattr(by_service.Served, "variants", ["free", "paid"])
    one, two, three = (f"sweeps/{name}_gts.parquet" for name in ("fig7", "fig8", "fig9"))
    limits = {"kind": "band", "low": 0.75, "contradicted_below": 0.76}
    rows = [
        claim(id="a", files=[one], compare=limits, unit="share"),
        claim(id="b", files=[one], kind="running times"),
        claim(id="c", files=[one], not_testable="since"),
        claim(id="d", files=[one], no_verdict="since"),
        claim(id="e", files=[one], compare=None, not_testable="since"),
        claim(id="f", files=[one], measure=None, no_verdict="since"),
        claim(id="g", files=[one, three]),
        claim(id="h", files=["sweeps/fig7_bell.parquet"]),
        claim(id="i", files=[one, two], arguments={"scale": 2.0}, compare=limits),
    ]  # fmt: skip
    table = by_service.claims_by_service(claims(*rows).claims, served)
    columns = ["id", "statement", "unit", "delays", "service", "order", "belief", "ours", "low",
               "high", "holds", "regimes"]  # fmt: skip
    assert list(table) == columns

    def row(name: str, unit: str, delays: str, ours: float, holds: str, regimes: str) -> list[Any]:
        low, high = ours - 0.25, ours + 0.25
        return [
            name, "It is so", unit, delays, "serial", "fifo", "", ours, low, high, holds, regimes,
        ]  # fmt: skip

    gone = [None] * 7
    told = [[None if each != each else each for each in one] for one in table.to_numpy().tolist()]
    assert told == [
        row("a", "share", "free", 1.0, "yes", "1 / 0 / 1"),
        row("a", "share", "paid", 0.5, "contradicted", "1 / 0 / 1"),
        ["h", "It is so", "", *gone, "not run", None],
        row("i", "", "free", 2.0, "yes", "2 / 0 / 2"),
        row("i", "", "paid", 1.0, "yes", "2 / 0 / 2"),
    ]  # fmt: skip
    limits["contradicted_below"] = 0.75
    table = by_service.claims_by_service(claims(rows[0] | {"compare": limits}).claims, served)
    assert table["holds"].tolist() == ["yes", "no"]
    assert by_service.claims_by_service([], served).columns.tolist() == columns


def test_steps_by_service(served: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(register: Register, view: by_service.Served) -> pd.DataFrame:
        place = {"topology": "gts", "allocation_delays": "free"}
        return pd.DataFrame([{**place, "x": x, "share": x} for x in (1.0, 2.0, 3.0)])

    monkeypatch.setattr(by_service, "decomposition", steps)
    entries = register()
    wanted = entries.decomposition.model_copy(update={"sweep": "fig7"})
    entries = entries.model_copy(update={"decomposition": wanted})
    table = by_service.decomposition_by_service(entries, served)
    assert list(table) == [
        "service", "service_order", "belief", "topology", "allocation_delays", "x", "share",
        "regime",
    ]  # fmt: skip
    regimes = ["stable", "overloaded"]
    assert table["service"].tolist() == ["serial"] * 3 + ["batched 0.1"] * 3
    assert table["service_order"].tolist() == ["fifo"] * 3 + [""] * 3
    assert [one for one in table["regime"].tolist() if one == one] == regimes * 2
    wanted = wanted.model_copy(update={"sweep": "fig9"})
    entries = entries.model_copy(update={"decomposition": wanted})
    with pytest.raises(InputError):
        by_service.decomposition_by_service(entries, served)


# --- the scorecard


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Row of the scorecard of a claim, by what its measure finds."""

    def judged(found: dict[str, Interval], **changed: Any) -> dict[str, Any]:
        monkeypatch.setitem(MEASURES, "mine", lambda *_, **__: found)
        results = Held(tmp_path, {"sweeps/switch_gts.parquet": pd.DataFrame()})
        entries = register({"id": "a", "cause": "A."}, {"id": "b", "cause": "B."},
                           {"id": "c", "cause": "C."})  # fmt: skip
        card = make_scorecard(claims(claim(**changed)).claims, entries, results)
        (row,) = card.claims.to_dict("records")
        assert card.headline_x == 1.0
        return {str(key): value for key, value in row.items()}

    return judged


def near(value: float, half: float = 0.0) -> Interval:
    return Interval(value, value - half, value + half)


def test_a_row_of_the_scorecard(judge: Callable[..., dict[str, Any]]) -> None:
    row = judge(
        {"paid": near(1.5, 0.5), "free": near(1.2, 0.1)}, value=2.0, value_text="two", unit="s",
        files=["sweeps/switch_gts.parquet"], minutes=2.5,
        compare={"kind": "band", "low": 1.0, "high": 2},
    )  # fmt: skip
    assert row == {
        "id": "a", "kind": "claims in words", "place": "here", "statement": "It is so",
        "unit": "s", "published": 2.0, "published_text": "two", "agrees_within": "1 to 2",
        "ours": 1.5, "ours_low": 1.0, "ours_high": 2.0, "ours_without_delays": 1.2,
        "ours_without_delays_low": 1.2 - 0.1, "ours_without_delays_high": 1.2 + 0.1,
        "difference": -0.5, "difference_percent": -25.0, "verdict": "reproduced",
        "holds_without_delays": True, "cause": "", "rule": "sweep",
        "files": "sweeps/switch_gts.parquet", "minutes": 2.5,
    }  # fmt: skip


BAND = {"kind": "band", "low": 1.0, "contradicted_below": 0.5}


@pytest.mark.parametrize(
    ("found", "changed", "verdict", "cause", "held"),
    [
        ({"paid": near(2)}, {}, Verdict.REPRODUCED, "", ""),
        ({"free": near(2)}, {}, Verdict.REPRODUCED, "", True),
        ({"paid": near(2), "free": near(0.7)}, {}, Verdict.ONLY_WITH_DELAYS, "A.", False),
        ({"paid": near(2), "free": near(0.7)}, {"causes": {"only_with_delays": "b"}},
         Verdict.ONLY_WITH_DELAYS, "B.", False),
        ({"paid": near(0.7), "free": near(2)}, {"causes": {"default": "c"}},
         Verdict.NOT_REPRODUCED, "C.", True),
        ({"paid": near(0.7)}, {}, Verdict.NOT_REPRODUCED, "unexplained", ""),
        ({"paid": near(0.1)}, {}, Verdict.CONTRADICTED, "unexplained", ""),
        ({}, {}, Verdict.NOT_TESTABLE, "no feasible run", ""),
        ({"paid": near(NAN)}, {}, Verdict.NOT_TESTABLE, "no feasible run", ""),
        ({"paid": near(2)}, {"not_testable": "Why."}, Verdict.NOT_TESTABLE, "Why.", ""),
        ({"paid": near(2)}, {"no_verdict": "So."}, Verdict.REPORTED, "So.", ""),
        ({}, {"no_verdict": "So."}, Verdict.NOT_TESTABLE, "no feasible run", ""),
        ({"paid": near(2), "free": near(0.7)}, {"kind": "printed simulator numbers"},
         Verdict.REPRODUCED, "", False),
        ({"free": near(0.7)}, {"kind": "printed simulator numbers"}, Verdict.NOT_REPRODUCED,
         "unexplained", False),
        ({"paid": near(2)}, {"compare": None, "no_verdict": "So."}, Verdict.REPORTED, "So.", ""),
    ],
)  # fmt: skip
def test_verdicts_and_their_causes(
    judge: Callable[..., dict[str, Any]], found: dict[str, Interval], changed: dict[str, Any],
    verdict: Verdict, cause: str, held: object,
) -> None:  # fmt: skip
    row = judge(found, **{"compare": BAND, **changed})
    assert (row["verdict"], row["cause"], row["holds_without_delays"]) == (verdict, cause, held)


def test_files_that_this_run_lacks(judge: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    row = judge({"paid": near(2)}, files=["sweeps/switch_gts.parquet", "b", "c"])
    assert row["cause"] == f"this run has no {tmp_path}/b, {tmp_path}/c"
    assert row["verdict"] == Verdict.NOT_TESTABLE
    assert row["ours"] != row["ours"]


@pytest.mark.parametrize(
    ("compare", "said"),
    [
        ({"low": 0.123456}, "at least 0.1235"), ({"high": 2}, "at most 2"),
        ({"low": 1, "high": 2.5}, "1 to 2.5"), ({"tolerance": 0.25}, "3 to 5"),
        ({"tolerance": 0.25, "low": 0}, "0 to 5"),
    ],
)  # fmt: skip
def test_limits_as_they_are_told(
    judge: Callable[..., dict[str, Any]], compare: dict[str, float], said: str
) -> None:
    row = judge({"paid": near(4.5)}, value=4.0, compare={"kind": "band", **compare})
    assert row["agrees_within"] == said
    assert row["difference"] == 0.5
    assert row["difference_percent"] == pytest.approx(12.5)


@pytest.mark.parametrize("error", [None, 4.0])
def test_limits_by_standard_errors(
    judge: Callable[..., dict[str, Any]], error: float | None
) -> None:
    """Ours has one of 3 (its interval is 1.96 times as wide), theirs as large or of its own."""
    half = 3 * 1.959963984540054
    row = judge({"paid": near(14, half)}, value=10.0, value_error=error,
                compare={"kind": "band", "standard_errors": 1})  # fmt: skip
    width = 3 * 2**0.5 if error is None else 5.0
    assert row["agrees_within"] == f"{10 - width:.4g} to {10 + width:.4g}"


def test_the_difference_to_nothing_has_no_percent(judge: Callable[..., dict[str, Any]]) -> None:
    for value, difference in ((None, NAN), (0.0, 2.0)):
        row = judge({"paid": near(2)}, value=value)
        assert row["difference"] == pytest.approx(difference, nan_ok=True)
        assert math.isnan(row["difference_percent"])


def test_what_is_published_may_be_a_measure_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: tuple[Path, Path]
) -> None:
    def mine(results: Results, files: list[str], k: int) -> dict[str, Interval]:
        if isinstance(results, Held):
            return {"paid": near(5.0)}
        assert (files, k) == (["sweeps/switch_gts.parquet"], 3)
        mean = results.means("any")["per_token_ms"].mean()
        return {"paid": near(mean), "free": near(9.0)} if mean == 6500 else {}

    monkeypatch.setitem(MEASURES, "mine", mine)
    results = Held(tmp_path, {"sweeps/switch_gts.parquet": pd.DataFrame()})
    rows = [claim(id=name, arguments={"k": 3}, value_from=name)
            for name in ("experiment", "simulator")]  # fmt: skip
    card = make_scorecard(claims(*rows, answer="experiment").claims, register(), results)
    assert card.claims["published"].tolist() == pytest.approx([6500, NAN], nan_ok=True)


def test_counts_by_kind_and_the_whole_text(tmp_path: Path) -> None:
    results = Held(tmp_path, {})
    kinds = ["claims in words", "printed simulator numbers", "claims in words"]
    verdicts = [Verdict.CONTRADICTED, Verdict.REPRODUCED, Verdict.REPRODUCED]
    rows = pd.DataFrame(
        [
            {"id": "a", "kind": kind, "verdict": str(verdict), "unit": "s", "published": 2.0,
             "published_text": "", "statement": "It is so", "place": "here", "cause": "",
             "files": "a.csv", "minutes": 1.0, "holds_without_delays": "", "difference": NAN,
             **dict.fromkeys([f"{name}{end}" for name in ("ours", "ours_without_delays")
                              for end in ("", "_low", "_high")], NAN)}
            for kind, verdict in zip(kinds, verdicts, strict=True)
        ]
    )  # fmt: skip
    card = Scorecard(rows, pd.DataFrame(), pd.DataFrame(), {}, 0.5, results)
    assert card.by_kind.to_dict("index") == {
        "printed simulator numbers": {"reproduced": 1, "contradicted": 0},
        "claims in words": {"reproduced": 1, "contradicted": 1},
    }
    assert list(card.by_kind.index) == ["printed simulator numbers", "claims in words"]
    assert list(card.by_kind.columns) == ["reproduced", "contradicted"]
    assert list(card.counts.values()) == [2, 0, 0, 1, 0, 0]
    command = f"snakemake --cores all {tmp_path}/a.csv"
    one = "| It is so | {} | here | 2 s |  |  |  | {} |  |  | " + command + " | 1 |"
    assert markdown(card).split("\n") == [
        "# Scorecard", "", "| kind | reproduced | contradicted |", "| --- | --- | --- |",
        "| printed simulator numbers | 1 | 0 |", "| claims in words | 1 | 1 |", "",
        "## Where the gain comes from", "",
        "Change of the time per token by each step from Old to New, in percent of Old; negative "
        "is faster.", "", "(none)", "", "## Claims", "",
        "| claim | kind | place | published | ours | without delays | difference | verdict | "
        "holds without delays | cause | command | minutes |",
        f"|{' --- |' * 12}", *(one.format(kind, verdict) for kind, verdict in
                               zip(kinds, verdicts, strict=True)),
        "", "## Discrepancies", "", "(none)", "",
    ]  # fmt: skip


def test_claims_that_name_what_is_not_there() -> None:
    entries = register({"id": "a", "effect": {
        "measure": "mine", "before": {"files": ["x"], "arguments": {"k": 1}},
        "after": {"files": ["x"], "arguments": {"j": 2}}}})  # fmt: skip
    given = claims(claim(causes={"default": "z"})).claims
    file = "sweeps/switch_gts.parquet"
    with pytest.raises(InputError) as error:
        scorecard.check_claims(given, entries, ["sweep"], [file])
    assert str(error.value) == "claims: claims.a.causes: got 'z'; allowed: a"
    good = claims(claim(measure="gain")).claims
    with pytest.raises(InputError, match=r"discrepancies\.a\.effect\.before\.measure: got 'mine'"):
        scorecard.check_claims(good, entries, ["sweep"], [file])
    effect = entries.discrepancies[0].effect
    assert effect is not None
    for k, side in (("method", "after"), ("j", "before")):
        fields: dict[str, Any] = effect.model_dump() | {"measure": "gain"}
        fields["before"]["arguments"] = {k: "a"}
        with pytest.raises(InputError, match=rf"discrepancies\.a\.effect\.{side}\.arguments"):
            scorecard.check_claims(good, register({"id": "a", "effect": fields}), ["sweep"], [file])


def test_what_stands_beside_a_figure_is_hashed_too(tmp_path: Path) -> None:
    for name in ("a.pdf", "a.png", "a.csv", "b.parquet", "b.png", "c.md"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    found = manifest([tmp_path / "b.parquet", tmp_path / "a.pdf"])
    assert [Path(name).name for name in found.files] == ["a.csv", "a.pdf", "a.png", "b.parquet"]


def test_limits_that_are_just_touched() -> None:
    limits = Comparison(kind="band", low=1.0, high=2.0, contradicted_below=0.5,
                        contradicted_above=4.0)  # fmt: skip
    assert [contradicts(near(x, 0.25), limits) for x in (0.125, 0.25, 4.25, 4.375)] == [
        True, False, False, True,
    ]  # fmt: skip
    assert [agrees(near(x, 9), limits) for x in (0.75, 1.0, 2.0, 2.25)] == [
        False, True, True, False,
    ]  # fmt: skip
    order = Comparison(kind="order", low=1.0, high=2.0)
    assert [agrees(near(1.5, half), order) for half in (0.25, 0.5, 0.75, NAN)] == [
        True, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("half", "said"), [(1.0, "1e+09"), (1.5, "1000000000 ± 2"), (0.5, "1e+09"), (NAN, "1e+09")]
)
def test_an_interval_that_is_all_but_none(half: float, said: str) -> None:
    assert with_interval(1e9, 1e9 - half, 1e9 + half) == said
    assert with_interval(-1e9, -1e9 - half, -1e9 + half) == said.replace("1", "-1", 1)


def test_the_steps_as_they_are_told(tmp_path: Path) -> None:
    """Without the delays only the order that comes first in the table."""
    rows = [
        {"topology": "gts", "x": 0.5, "allocation_delays": variant, "order": order, "step": "one",
         "share": share, "share_low": share - 0.2, "share_high": share + 0.2, "ratio": 1 + share}
        for variant, order, share in [("paid", "last", -0.5), ("paid", "first", -0.4),
                                      ("free", "last", -0.3), ("free", "first", -0.25)]
    ]  # fmt: skip
    none = pd.DataFrame()
    card = Scorecard(none, none, pd.DataFrame(rows), {}, 0.5, Held(tmp_path, {}))
    assert decomposition_text(card).to_dict("split")["data"] == [
        ["GTS", "0.5", "Paid, last", "-50.0 ± 20.0 %", "-50.0 %"],
        ["GTS", "0.5", "Paid, first", "-40.0 ± 20.0 %", "-40.0 %"],
        ["GTS", "0.5", "Free", "-30.0 ± 20.0 %", "-30.0 %"],
    ]  # fmt: skip


def test_the_files_of_a_scorecard(judge: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    rows = pd.DataFrame([judge({"paid": near(2.0)}, statement="λ is so", value=1 / 3)])
    steps, switches = pd.DataFrame({"x": [1 / 3]}), pd.DataFrame({"effect": [NAN, 0.5]})
    card = Scorecard(rows, switches[:0], steps[:0], {"a": "Wohl möglich"}, 0.5, Held(tmp_path, {}))
    paths = write_scorecard(card, tmp_path / "card.csv")
    names = ["card.csv", "card.json", "card.md", "card.txt", "decomposition.csv",
             "discrepancies.csv"]  # fmt: skip
    assert [path.name for path in paths] == names
    text = {path.name: path.read_text(encoding="utf-8") for path in paths}
    head, row = text["card.csv"].splitlines()
    assert head == ",".join(rows.columns)
    assert row.startswith("a,claims in words,here,λ is so,,0.333333333,,at least 1,2,2,2,,,,")
    assert text["decomposition.csv"] == "x\n"
    assert text["card.md"] == markdown(card)
    assert text["card.txt"] == "1 numbers and claims:\n  claims in words: 1 reproduced\n"
    assert '"a": "Wohl möglich"' in text["card.json"]
    assert text["card.json"].startswith('{\n "counts": {\n  "reproduced": 1,\n')
    told = json.loads(text["card.json"])
    assert list(told) == ["counts", "kinds", "claims", "decomposition", "effects", "causes"]
    assert told["kinds"] == {"claims in words": {"reproduced": 1}}
    assert told["claims"][0]["published"] == 0.333333333333333
    assert told["claims"][0]["ours_without_delays"] is None


def test_an_order_that_was_not_run_leaves_the_next_one(tmp_path: Path) -> None:
    paid = means("gts", {(1.0, "paid", name): [100.0] for name in ("old", "new")}, "steps")
    entries = register()
    orders = {
        "last": [{"name": "one", "method": "new", "delays": "late"}],
        "first": [{"name": "one", "method": "new", "delays": "paid"}],
    }
    content = entries.decomposition.model_dump() | {"orders": orders}
    entries = validated(
        Register, entries.model_dump() | {"decomposition": content}, Path("register.yaml")
    )
    table = decomposition(entries, Held(tmp_path, {"sweeps/steps_gts.parquet": paid}))
    assert table[["order", "step", "share"]].to_numpy().tolist() == [["first", "one", 0.0]]


def test_first_tokens_of_short_and_long_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 to 125 and to 150 ms; neither what failed nor what was not alone counts."""
    rows = [
        (client, tokens, ttft_ms, "table", "ok")
        for client, times in ((0, (100, 125)), (1, (200, 300)))
        for tokens, ttft_ms in zip((4, 16), times, strict=True)
    ]
    rows += [(0, 16, 9000, "contention", "ok"), (0, 16, 9000, "table", "failed"),
             (1, 8, 9000, "table", "ok"), (2, 4, 1, "table", "ok")] * 3  # fmt: skip
    columns = ["client", "output_tokens", "ttft_ms", "group", "status"]
    requests = pd.DataFrame(rows, columns=columns).assign(method="petals")
    run = SimpleNamespace(requests=requests)
    monkeypatch.setattr("bprr.report.measures.read_run", lambda folder: run)
    found = MEASURES["first_token_by_length"](Held(tmp_path, {}), ["testbed/manifest.json"])
    half = T_1 * 0.125
    told = [found["measured"].value, found["measured"].low, found["measured"].high]
    assert told == pytest.approx([0.375, 0.375 - half, 0.375 + half])


def test_numbers_of_plans_in_prose(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        ("a", 9, "cg_bprr", 0.0, "found"), ("b", 9, "cg_bprr", 90.0, "found"),
        ("a", 9, "petals", 80.0, "found"), ("a", 9, "petals", 100.0, "found"),
        ("b", 9, "petals", 70.0, "found"), ("a", 9, "optimum", 0.0, "optimal"),
        ("b", 9, "optimum", 0.0, "stopped"),
    ]  # fmt: skip
    columns = ["family", "servers", "method", "above_optimum_percent", "status"]
    table = pd.DataFrame(rows, columns=columns)
    monkeypatch.setattr(readme, "read_table", lambda path: table)
    assert readme._offline(Path("optimality.parquet")) == {
        "offline.instances": "2", "offline.proven": "50 %", "offline.hit": "50 %",
        "offline.mean": "45.0 %", "offline.worst": "90.0 %", "offline.petals_9": "70 to 90 %",
    }  # fmt: skip


def test_pages_and_pictures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "numbers", lambda root: {"a.b": "λ", "c": "2"})
    monkeypatch.setattr(readme, "FIGURES", ("one",))
    monkeypatch.setattr(readme, "STUDIED", ("two", "three"))
    for folder in ("figures/readme", "docs"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("one", "two"):
        (tmp_path / f"figures/{name}.png").write_text(name, encoding="utf-8")
    page, other = tmp_path / "README.md", tmp_path / "docs/other.md"
    page.write_text("<!--=a.b-->x\ny<!--=--> <!--=c--><!--=-->", encoding="utf-8")
    other.write_text("nothing", encoding="utf-8")
    kept = tmp_path / "figures/readme"
    assert readme.write_readme(tmp_path) == [kept / "numbers.json", page]
    assert page.read_text(encoding="utf-8") == "<!--=a.b-->λ<!--=--> <!--=c-->2<!--=-->"
    text = (kept / "numbers.json").read_text(encoding="utf-8")
    assert text == '{\n "a.b": "λ",\n "c": "2"\n}\n'
    assert sorted(path.name for path in kept.iterdir()) == ["numbers.json", "one.png", "two.png"]
    assert readme.write_readme(tmp_path) == []
    page.write_text("<!--=d--><!--=-->", encoding="utf-8")
    with pytest.raises(InputError) as error:
        readme.write_readme(tmp_path)
    assert str(error.value) == f"{page}: number: got 'd'; allowed: a.b, c"
