"""The report of a folder made by hand: all that is on the page, and how the page is written."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bprr.report.page as page
from bprr.figures import style
from bprr.figures.caption import Compared, StudyCaption, SweepCaption, Variant
from bprr.ground.storage import write_table
from bprr.report.results import Results
from bprr.report.scorecard import Scorecard
from bprr.report.verdicts import Verdict

NAN = math.nan
NAMES: dict[str, Any] = {
    "confidence": 0.95,
    "compared": Compared(method="proposed", baseline="petals"),
    "methods": {"petals": "PETALS", "proposed": "Proposed"},
    "topologies": {"abovenet": "AboveNet", "gts": "GTS", "bell": "Bell"},
    "variants": {
        "paid": Variant(label="Paid", delays_s={"petals": (250, 250), "proposed": (60, 60)}),
        "free": Variant(label="Free"),
    },
}


def sweep(name: str, *topologies: str, **more: Any) -> SweepCaption:
    names = {**NAMES, "topologies": {one: NAMES["topologies"][one] for one in topologies}}
    return SweepCaption(**names, name=name, **more)


STUDY = StudyCaption(
    **NAMES, seed=3, runs=2,
    sweeps={
        "fig7": sweep("fig7", "abovenet", "gts", title="Servers", x_label="servers",
                      paper="Figure 7", details="9 servers"),
        "mine": sweep("mine", "abovenet", title="Mine <of my own>", x_label="x", details="few"),
        "table3": sweep("table3", "bell", "gts", title="Clusters", paper="Table III",
                        details="two GPUs"),
    },
)  # fmt: skip
GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = np.stack([GREY, GREY[::-1], GREY.T], axis=-1)


def picture(path: Path, width: int = 16) -> Path:
    Image.fromarray(COLOURS[:, :width]).save(path)
    return path


def sweep_rows(folder: Path, name: str) -> None:
    """Means, intervals and ratios of two points, the later one first."""
    rows = [
        {"allocation_delays": "free", "metric": metric, "method": method, "x": x, "mean": mean,
         "ci_low": mean - 100, "ci_high": NAN, "ratio_to_petals": 0.123456}
        for metric, method, x, mean in [
            ("per_token_ms", "proposed", 2.0, 1234.5678), ("per_token_ms", "proposed", 1.0, 2000),
            ("ttft_ms", "petals", 1.0, 500), ("of_nobody", "petals", 1.0, 7)]
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)


def headline_rows() -> pd.DataFrame:
    rows = [
        {"figure": "fig9", "topology": topology, "x": x, "allocation_delays": variant,
         "ratio": ratio}
        for topology, variant, x, ratio in [
            ("gts", "free", 1, 0.98765), ("gts", "free", 2, 0.5), ("gts", "free", 3, 1.5),
            ("abovenet", "paid", 1, 0.25), ("abovenet", "free", 1, NAN)]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def numbers_of(text: str) -> str:
    return gzip.decompress(base64.b64decode(text)).decode()


def results_at(folder: Path) -> Results:
    return Results(folder, STUDY, folder / "published.csv")


def test_a_picture_has_few_colours_and_its_size(tmp_path: Path) -> None:
    uri, size = page.picture_uri(picture(tmp_path / "a.png", 15))
    head, _, data = uri.partition(",")
    assert (head, size) == ("data:image/png;base64", (15, 16))
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.format, image.mode) == ("PNG", "P")
        shown = np.asarray(image.convert("RGB"))
    plain = Image.fromarray(COLOURS[:, :15])
    few = plain.quantize(96, method=Image.Quantize.FASTOCTREE).convert("RGB")
    assert (shown == np.asarray(few)).all()
    assert 48 < len(few.getcolors() or ()) <= 96


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ["| Method | Network | Who | A | B |", "| --- | --- | --- | ---: | ---: |",
             "| PETALS | AboveNet | ours | 1 | 2 |", "| PETALS | AboveNet | theirs | 3 | 4 |",
             "| PETALS | GTS | ours | 5 | 6 |"],
            {"header": ["Who", "A", "B"],
             "groups": {"PETALS · AboveNet": [["ours", "1", "2"], ["theirs", "3", "4"]],
                        "PETALS · GTS": [["ours", "5", "6"]]}},
        ),
        (
            ["| Who | A |", "| --- | ---: |", "| ours | 1 |", "| theirs | 2 |"],
            {"header": ["Who", "A"], "groups": {"": [["ours", "1"], ["theirs", "2"]]}},
        ),
    ],
)  # fmt: skip
def test_a_table_under_what_its_rows_share(
    tmp_path: Path, lines: list[str], told: dict[str, Any]
) -> None:
    path = tmp_path / "table.md"
    path.write_text("\n\n".join(["# Title", "\n".join(lines), "One.\n\nTwo.\n"]), encoding="utf-8")
    assert page.table_of(path) == {**told, "note": "One.\n\nTwo."}


def test_captions_groups_and_sources_of_exhibits(tmp_path: Path) -> None:
    """By name: caption, group, settings and whether a table stands in its place."""
    seen = {}
    for name, as_markdown in [
        ("fig7_gts", False), ("mine_abovenet", True), ("fig7_bell", False), ("table3", True),
        ("table8", False), ("headline", True), ("two_modes", True), ("testbed_clustered", True),
        ("testbed_loaded_many_cases", True), ("beyond_slo", True), ("swarm_gts", True),
        ("fit_a_cpu", False), ("measured_bell", False), ("offline_mine", False),
        ("tables_queues", True), ("service_models_ours", False), ("service_models_table", True),
        ("wan_mine", False), ("of_mine", False), ("orders", False),
    ]:  # fmt: skip
        png = picture(tmp_path / f"{name}.png")
        if as_markdown:
            text = "T\n\n| W | A |\n| --- | ---: |\n| o | 1 |\n\nN"
            png.with_suffix(".md").write_text(text, encoding="utf-8")
        one = page.exhibit(png, results_at(tmp_path))
        assert (one.name, one.numbers, one.finding, one.provenance) == (name, "", "", "")
        assert one.command == f"snakemake --cores all {tmp_path.as_posix()}/{name}.pdf"
        table = {"header": ["W", "A"], "groups": {"": [["o", "1"]]}, "note": "N"}
        assert (one.table, one.size, one.picture) in (
            ({}, (16, 16), page.picture_uri(png)[0]), (table, (0, 0), ""),
        )  # fmt: skip
        seen[name] = (one.caption, one.group, one.settings, bool(one.table))
    of_two = "; methods: PETALS, Proposed."
    assert seen == {
        "fig7_gts": ("Figure 7 · Servers — GTS", "The paper's figures", f"9 servers{of_two}",
                     False),
        "mine_abovenet": ("Mine <of my own> — AboveNet", "Further sweeps", f"few{of_two}", False),
        "fig7_bell": ("fig7 bell", "Further studies", "", False),
        "table3": ("Table III · Clusters, published beside ours", "Tables", f"two GPUs{of_two}",
                   True),
        "table8": ("Table VIII, running time of the algorithms", "Tables", "", False),
        "headline": ("Time per token of the compared methods", "Headline", "", False),
        "two_modes": ("Means of runs that fall into two groups", "Tables", "", True),
        "testbed_clustered": ("Genuine PETALS beside the simulator: clustered", "Testbed", "",
                              True),
        "testbed_loaded_many_cases": ("Genuine PETALS under load: many cases", "Testbed", "", True),
        "beyond_slo": ("Better methods: the rate within a limit on time per token",
                       "Servers that queue", "", True),
        "swarm_gts": ("Map of the swarm on GTS", "Swarm maps", "", False),
        "fit_a_cpu": ("Performance model fitted to a cpu", "Measured devices", "", False),
        "measured_bell": ("The paper's sweep with a measured device: Bell", "Measured devices", "",
                          False),
        "offline_mine": ("mine", "Offline optimum", "", False),
        "tables_queues": ("Tables III and VI against the GPUs, by how servers compute",
                          "Servers that queue", "", True),
        "service_models_ours": ("Faster than PETALS? By how servers compute", "Headline", "",
                                False),
        "service_models_table": ("Figures 7 to 10 by how servers compute", "Servers that queue",
                                 "", True),
        "wan_mine": ("mine", "Validation by others' measurements", "", False),
        "of_mine": ("of mine", "Further studies", "", False),
        "orders": ("One swarm whose servers join in other orders", "Further sweeps", "", False),
    }  # fmt: skip


def test_what_stands_beside_an_exhibit_comes_from_its_results(tmp_path: Path) -> None:
    """A table of several networks is of the first one's result, another exhibit of its own."""
    rows = pd.DataFrame({"a": [1]})
    about = {"settings_hash": "s", "data": "d", "device": "cpu", "seed": 1}
    for name in ("sweeps/table3_bell", "sweeps/fig7_gts"):
        write_table(rows, tmp_path / f"{name}.parquet", about, "code")
    write_table(rows, tmp_path / "timing/table8.parquet", {"seed": 1}, "code")
    told = {}
    for name in ("table3", "fig7_gts", "table8", "mine_abovenet"):
        told[name] = page.exhibit(picture(tmp_path / f"{name}.png"), results_at(tmp_path))
    record = json.loads(told["table3"].provenance)
    assert list(record) == ["settings_hash", "data", "source", "packages", "device"]
    assert {**record, "packages": {}} == {
        "settings_hash": "s", "data": "d", "source": "code", "packages": {}, "device": "cpu",
    }  # fmt: skip
    assert told["table3"].provenance.startswith('{\n "settings_hash": "s",\n')
    assert told["fig7_gts"].provenance == told["table3"].provenance
    assert told["table8"].provenance == (
        "Its table does not say what settings it was made from."
    )  # fmt: skip
    assert told["mine_abovenet"].provenance == ""

    sweep_rows(tmp_path, "fig7_gts")
    with_numbers = page.exhibit(tmp_path / "fig7_gts.png", results_at(tmp_path))
    text = (tmp_path / "fig7_gts.csv").read_text(encoding="utf-8")
    assert numbers_of(with_numbers.numbers) == text
    assert base64.b64decode(with_numbers.numbers)[4:8] == bytes(4)  # of no time
    assert with_numbers.finding == "Time per token, Proposed / PETALS: 12.3 % (Free)."


def test_curves_for_the_reader_to_choose_from(tmp_path: Path) -> None:
    for name in ("fig7_gts", "mine_abovenet", "table3_bell"):
        sweep_rows(tmp_path, name)
    pictures = [tmp_path / f"{name}.png" for name in ("fig7_gts", "mine_abovenet", "table3_bell")]
    curves = {
        "free": {
            "per_token_ms": {
                "proposed": [[1.0, 2.0, 1.9, None, 0.1235, None, None],
                             [2.0, 1.235, 1.135, None, 0.1235, None, None]],
            },
            "ttft_ms": {"petals": [[1.0, 0.5, 0.4, None, 0.1235, None, None]]},
        }
    }  # fmt: skip
    of_all = {
        "methods": ["petals", "proposed"],
        "delays": {"paid": "Paid (PETALS 250 s, Proposed 60 s)", "free": "Free"},
    }
    looks = style.method_styles(STUDY.methods)
    told = page.explorer_data(pictures, STUDY)
    assert told == {
        "sweeps": {
            "fig7": {"title": "Figure 7 · Servers", "axis": "servers", **of_all,
                     "curves": {"gts": curves}},
            "mine": {"title": "Mine <of my own>", "axis": "x", **of_all,
                     "curves": {"abovenet": curves}},
        },
        "networks": {"abovenet": "AboveNet", "gts": "GTS", "bell": "Bell"},
        "metrics": {
            "per_token_ms": "Time per token (s)", "ttft_ms": "Time to first token (s)",
            "remaining_per_token_ms": "Time per remaining token (s)",
        },
        "baseline": "PETALS",
        "methods": {
            name: {"label": label, "color": looks[name].color}
            for name, label in (("petals", "PETALS"), ("proposed", "Proposed"))
        },
    }  # fmt: skip
    assert page.explorer_data(pictures[2:], STUDY)["sweeps"] == {}


def test_ratios_at_a_glance(tmp_path: Path) -> None:
    headline = tmp_path / "headline.png"
    assert page.glance([headline], STUDY) == []
    headline_rows().to_csv(headline.with_suffix(".csv"), index=False)
    assert page.glance([tmp_path / "other.png"], STUDY) == []
    assert page.glance([tmp_path / "other.png", headline], STUDY) == [
        {"network": "AboveNet", "variant": "Paid", "free": False, "low": 25.0, "middle": 25.0,
         "high": 25.0},
        {"network": "GTS", "variant": "Free", "free": True, "low": 50.0, "middle": 98.8,
         "high": 150.0},
    ]  # fmt: skip


def test_the_answer_needs_three_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("headline", "tables_found", "tables_found_gpus")
    for name in names:
        (tmp_path / f"{name}.csv").write_text(f"{name}\n1\n", encoding="utf-8")
    pictures = [tmp_path / f"{name}.png" for name in names]
    monkeypatch.setattr(
        page,
        "four_sentences",
        lambda *tables: [next(iter(one)) for one in tables[:3]] + [*tables[3:]],
    )
    assert page.sentences(pictures, STUDY) == [*names, STUDY]
    for absent in pictures:
        assert page.sentences([one for one in pictures if one != absent], STUDY) == []


def claim(**changed: Any) -> dict[str, Any]:
    return {
        "id": "a", "kind": "claims in words", "place": "§ 1", "statement": "It <is> so",
        "unit": "share", "published": 0.3, "published_text": "a third", "agrees_within": "",
        "ours": 0.25, "ours_low": 0.2, "ours_high": 0.3, "ours_without_delays": 0.1,
        "ours_without_delays_low": NAN, "ours_without_delays_high": NAN, "difference": -0.05,
        "difference_percent": -16.7, "verdict": str(Verdict.REPRODUCED),
        "holds_without_delays": False, "cause": "", "rule": "sweep",
        "files": "sweeps/fig7_gts.parquet", "minutes": 2.5, **changed,
    }  # fmt: skip


def as_text(folder: Path, name: str, kind: str, **changed: Any) -> dict[str, Any]:
    return {
        "claim": "It <is> so", "kind": kind, "place": "§ 1", "published": "a third",
        "ours": "25.0 ± 5.0 %", "without delays": "10 %", "difference": "-5.0 points",
        "verdict": "reproduced", "holds without delays": "no", "cause": "",
        "command": f"snakemake --cores all {folder.as_posix()}/sweeps/fig7_gts.parquet",
        "minutes": "2.5", "id": name, **changed,
    }  # fmt: skip


def card_of(folder: Path, study: StudyCaption = STUDY) -> Scorecard:
    claims = [
        claim(id="one", kind="printed simulator numbers"), claim(id="two"),
        claim(id="three", kind="running times", ours=0.6), claim(id="four"),
    ]  # fmt: skip
    step = {
        "topology": "gts", "x": 0.5, "allocation_delays": "paid", "order": "last",
        "step": "cache", "share": -0.25, "share_low": NAN, "share_high": NAN, "ratio": 0.75,
    }  # fmt: skip
    effect = {
        "discrepancy": "a_b", "quantity": "ratio", "topology": "gts", "allocation_delays": "paid",
        "before": 0.5, "before_low": NAN, "before_high": NAN, "after": 0.4, "after_low": NAN,
        "after_high": NAN, "effect": -0.1,
    }  # fmt: skip
    return Scorecard(
        pd.DataFrame(claims), pd.DataFrame([effect]), pd.DataFrame([step]), {"a": "since it is"},
        0.5, Results(folder, study, folder / "published.csv"),
    )  # fmt: skip


def written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, study: StudyCaption = STUDY
) -> tuple[dict[str, Any], str]:
    """What the page is made of, and the page."""
    shown: dict[str, Any] = {}

    class Kept(jinja2.Environment):
        def from_string(self, source: Any, *_: Any, **__: Any) -> Any:
            template = super().from_string(source)

            def render(**values: Any) -> str:
                shown.update(values)
                return template.render(**values)

            return SimpleNamespace(render=render)

    monkeypatch.setattr(page, "Environment", Kept)
    monkeypatch.setattr(page, "source_hash", lambda name: f"code of {name}")
    monkeypatch.setattr(page, "package_versions", lambda: {"bprr": "1", "numpy": "2"})
    entry = {"id": "a", "place": "there", "statement": "It differs", "switch": "x", "cause": ""}
    register = SimpleNamespace(discrepancies=[SimpleNamespace(id="a", model_dump=lambda: entry)])
    headline_rows().to_csv(folder / "headline.csv", index=False)
    for name in ("fig7_gts", "mine_abovenet"):
        sweep_rows(folder, name)
    names = ("fig7_gts", "of_mine", "beyond", "headline", "mine_abovenet", "swarm_gts")
    pictures = [picture(folder / f"{name}.png") for name in names]
    page.write_page(card_of(folder, study), register, "two", pictures, folder / "report.html")  # type: ignore[arg-type]
    return shown, (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_is_made_of_the_scorecard_and_the_exhibits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, text = written(tmp_path, monkeypatch)
    groups = {name: [one.name for one in members] for name, members in shown.pop("groups").items()}
    assert list(groups.items()) == [
        ("Headline", ["headline"]), ("Servers that queue", ["beyond"]),
        ("The paper's figures", ["fig7_gts"]), ("Further studies", ["of_mine"]),
        ("Further sweeps", ["mine_abovenet"]), ("Swarm maps", ["swarm_gts"]),
    ]  # fmt: skip
    explorer = shown.pop("explorer")
    assert json.loads(explorer)["sweeps"].keys() == {"fig7", "mine"}
    assert json.loads(explorer)["networks"]["gts"] == "GTS"
    assert explorer.startswith('{"sweeps":{"fig7":{"title":"Figure 7 · Servers","axis":"servers",')
    assert shown.pop("glance") == page.glance([tmp_path / "headline.png"], STUDY)
    assert shown == {
        "answer": {
            "statement": "It <is> so", "printed": "a third", "with_delays": "25.0 ± 5.0",
            "without": "10", "verdict": "reproduced",
        },
        "sentences": [],
        "counts": {
            "reproduced": 4, "reproduced only with the artefact's delays": 0, "not reproduced": 0,
            "contradicted": 0, "not testable here": 0, "reported without a verdict": 0,
        },
        "kinds": {
            "header": ["kind", "reproduced"],
            "rows": [["printed simulator numbers", "1"], ["claims in words", "2"],
                     ["running times", "1"]],
        },
        "total": 4,
        "claims": [
            as_text(tmp_path, "two", "sentence"), as_text(tmp_path, "four", "sentence"),
            as_text(tmp_path, "one", "number"),
            as_text(tmp_path, "three", "number", ours="60.0 ± 5.0 %",
                    difference="2 times as long"),
        ],
        "decomposition": {
            "header": ["network", "λ (1/s)", "delays", "cache", "in all"],
            "rows": [["GTS", "0.5", "Paid, last", "-25.0 %", "-25.0 %"]],
        },
        "effects": {
            "header": ["discrepancy", "of", "network", "delays", "before", "after", "effect"],
            "rows": [["a b", "ratio", "GTS", "Paid", "0.5", "0.4", "-0.100"]],
        },
        "register": [{"id": "a", "place": "there", "statement": "It differs", "switch": "x",
                      "cause": "since it is"}],
        "queues": "Servers that queue",
        "provenance": {"source": "code of bprr", "bprr": "1", "numpy": "2"},
        "study": STUDY,
        "method": "Proposed",
        "baseline": "PETALS",
        "interval": " ± half the 95 % confidence interval",
        "folder": tmp_path.as_posix(),
    }  # fmt: skip

    assert "<td>It &lt;is&gt; so<details" in text
    assert "It <is> so" not in text
    assert "\n\n<li>" not in text  # no empty line is left of a statement
    captions = re.findall(r"<figcaption>([^\n]*?)</figcaption>", text)
    assert [html.unescape(one) for one in captions[-6:]] == [
        "Time per token of the compared methods", "Better methods against load, and a bound",
        "Figure 7 · Servers — GTS", "of mine", "Mine <of my own> — AboveNet",
        "Map of the swarm on GTS",
    ]  # fmt: skip
    assert explorer in text


def test_a_page_of_one_run_has_no_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, text = written(tmp_path, monkeypatch, STUDY.model_copy(update={"runs": 1}))
    assert shown["interval"] == ""
    assert "Seed 3, 1 run per point" in text


def test_the_page_knows_every_name_of_its_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = SimpleNamespace(read_text=lambda encoding: "{{ nobody }}")
    folder = SimpleNamespace(joinpath=lambda name: template)
    monkeypatch.setattr(page, "files", lambda package: folder)
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        written(tmp_path, monkeypatch)


def test_data_in_a_script_ends_no_script() -> None:
    told = page._script_json({"a": ["</script>", "λ"], "b": 1})
    assert told == '{"a":["\\u003c/script>","λ"],"b":1}'
    assert json.loads(told) == {"a": ["</script>", "λ"], "b": 1}
