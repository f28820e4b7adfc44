"""Files of others: what is no regular file, too large or damaged is refused, and soon."""

import os
import re
import resource
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bprr.ground import files, storage, tables
from bprr.ground.errors import InputError, InputErrors
from bprr.ground.storage import read_provenance, replacing, write_table
from bprr.ground.tables import NUMBER, TEXT, TRUTH, WHOLE, Schema, csv_cells, read_csv, read_table
from bprr.report.manifest import differences, read_manifest, write_manifest
from bprr.scenario.topologies import read_repetita, read_tables
from bprr.settings.messages import MOST_MESSAGES
from bprr.settings.yaml_file import parse_yaml, read_yaml

from .traces import replay

KIND = Schema(
    "things",
    {"name": TEXT, "x": NUMBER, "n": WHOLE.with_gaps, "ok": TRUTH.optional, "note": TEXT.optional},
)
READERS = {
    "yaml": read_yaml,
    "csv": lambda path: read_csv(path, KIND),
    "trace": lambda path: replay(path, 1),
    "graph": read_repetita,
    "json": lambda path: files.read_json(path, "JSON file"),
    "manifest": read_manifest,
    "parquet": lambda path: read_table(path, KIND),
    "provenance": read_provenance,
}


def refused(call):
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return error.value


@pytest.fixture(params=["absent", "folder", "pipe", "device", "loop", "named by a null byte"])
def no_file(request, tmp_path):
    path = tmp_path / "x"
    if request.param == "folder":
        path.mkdir()
    elif request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "loop":
        path.symlink_to(path)
    elif request.param != "absent":
        path = tmp_path / "x\0"
    return path


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_no_regular_file_is_refused(read, no_file):
    error = refused(lambda: read(no_file))
    assert error.where == str(no_file)
    assert error.key == "file"
    assert "readable" in error.allowed


@pytest.mark.parametrize("name", ["yaml", "graph", "json", "manifest"])
def test_a_text_in_another_encoding_is_refused(tmp_path, name):
    path = tmp_path / "x"
    path.write_bytes("größer: 1\n".encode("latin-1"))
    assert "in UTF-8" in refused(lambda: READERS[name](path)).allowed


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\xef\xbb\xbfname: 1\n")
    assert read_yaml(path) == {"name": 1}
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert files.read_json(path, "JSON file") == {"a": 1}
    path.write_bytes(b"\xef\xbb\xbfname,x,n\na,1,2\n")
    assert read_csv(path, KIND)["name"].tolist() == ["a"]


def test_large_files_are_refused_by_their_size(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"a: 1\n" * 500_000)
    assert "2,500,000 bytes" in refused(lambda: read_yaml(path)).value
    monkeypatch.setattr(tables, "LARGEST_CSV", 10)
    assert "at most 10 bytes" in refused(lambda: csv_cells(path)).allowed
    pd.DataFrame({"name": ["a"] * 100, "x": 1.0, "n": 1}).to_parquet(path)
    monkeypatch.setattr(tables, "MOST_ROWS", 99)
    assert "100 rows" in refused(lambda: read_table(path)).value


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", ""])
def test_what_is_no_json_is_refused(tmp_path, text):
    path = tmp_path / "x"
    path.write_text(text)
    assert "valid JSON" in refused(lambda: files.read_json(path, "JSON file")).allowed


# YAML


def test_scalars_are_those_of_yaml_1_2():
    text = """
    numbers: [1e5, -2.5E-3, .5, 1., +3, 017, 0o17, 0x1F, -.inf]
    words: [yes, no, on, off, y, 1_000, 12:30:45, 2024-01-31, 0b11, 1e, ., -, <<]
    quoted: ["1", 'true', "null"]
    others: [true, FALSE, null, ~, ]
    """.replace("-, <<", '"-", "<<"')
    content = parse_yaml(text, "here")
    assert content["numbers"] == [1e5, -2.5e-3, 0.5, 1.0, 3, 17, 15, 31, float("-inf")]
    assert [type(each) for each in content["numbers"]] == [float] * 4 + [int] * 4 + [float]
    assert all(isinstance(word, str) for word in content["words"])
    assert content["words"][:2] == ["yes", "no"]
    assert content["quoted"] == ["1", "true", "null"]
    assert content["others"] == [True, False, None, None]
    assert np.isnan(parse_yaml(".nan", "here"))


def test_keys_are_texts_and_aliases_repeat_values():
    content = parse_yaml("4090: &a {x: [1, 2]}\ntrue: *a\nnull: 3\n1e3: ''\n", "here")
    assert content == {"4090": {"x": [1, 2]}, "true": {"x": [1, 2]}, "null": 3, "1e3": ""}
    assert parse_yaml("", "here") is None
    assert parse_yaml("# nothing", "here") is None
    assert parse_yaml("{a: 1}", "here") == {"a": 1}


def bomb():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, after in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text, key, value, allowed",
    [
        (bomb(), "line 6", "more", "at most 100,000 values, aliases unfolded"),
        ("- 1\n" * 100_001, "line 100000", "more", "at most 100,000 values"),
        ("[" * 100_000, "line 1", "more", "at most 50 levels"),
        ("{a: " * 100_000, "line 1", "more", "at most 50 levels"),
        ("- " * 100_000, "line 1", "more", "at most 50 levels"),
        ("a: 1\nb: " + "9" * 5000, "line 2", "5,000 characters", "at most 100 characters"),
        ("a: " + "9" * 1_900_000, "line 1", "1,900,000 characters", "at most 100 characters"),
        ("a: !!python/object/apply:os.system [ls]", "line 1", "os.system", "no tags"),
        ("a: !!timestamp 2024-99-99", "line 1", "timestamp", "no tags"),
        ("!mine a", "line 1", "!mine", "no tags"),
        ("a: \0", "file", "#x0000", "valid YAML"),
        ("a: \x1b[2J", "file", "#x001b", "valid YAML"),
        ('a: "\\ud800"', "line 1", "Unicode", "valid YAML"),
        ("a: 1\nb:\n  c: 1\n  c: 2", "line 4", "key 'c' a second time", "each key once"),
        ("1: a\n'1': b", "line 2", "key '1' a second time", "each key once"),
        ("a: &a {x: 1}\nb: {<<: *a}", "line 2", "<<", "no merge key"),
        ("? [a]\n: 1", "line 1", "another kind of key", "a text as key"),
        ("a: &x [*x]", "line 1", "*x", "an anchor that is written, and ends, before it"),
        ("a: *x", "line 1", "*x", "an anchor"),
        ("a: 1\n---\nb: 2\n", "line 2", "a second document", "one document"),
        ("a: b: c", "line 1", "mapping values", "valid YAML"),
    ],
)
def test_what_no_file_of_settings_needs_is_refused(text, key, value, allowed):
    error = refused(lambda: parse_yaml(text, "mine.yaml"))
    assert (error.where, error.key) == ("mine.yaml", key)
    assert value in error.value
    assert allowed in error.allowed


def test_bombs_cost_no_memory():
    parse_yaml("a: 1", "here")
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for text in (bomb(), "[a, " * 400_000, "{a: [" * 300_000, "- a\n" * 400_000):
        refused(lambda text=text: parse_yaml(text, "here"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 200_000


def test_many_mistakes_are_told_by_the_first(tmp_path):
    from bprr.settings.configuration import load_settings

    path = tmp_path / "mine.yaml"
    path.write_text("".join(f"k{number}: 1\n" for number in range(40_000)))
    with pytest.raises(InputErrors) as error:
        load_settings(path)
    lines = str(error.value).splitlines()
    assert len(lines) == MOST_MESSAGES + 1
    assert lines[-1] == f"… and {40_000 - MOST_MESSAGES} more"


# messages


def test_a_message_is_one_line_whatever_it_tells_of():
    error = InputError("a\nb", "k\x1b[2J", "v\n" * 3000, "x" * 9000)
    assert "\n" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 2500
    assert "got int; allowed" in str(InputError("a", "b", 10**5000, "c"))


# tables


GOOD = pd.DataFrame({"name": ["a", "b"], "x": [1.5, 2.0], "n": [1.0, np.nan], "other": [1, 2]})


def test_a_table_is_read_as_pandas_reads_it(tmp_path):
    path = tmp_path / "a=b" / "x.parquet"  # a folder that looks like a partition
    path.parent.mkdir()
    GOOD.to_parquet(path)
    known = GOOD[[name for name in GOOD if name in KIND.columns]]
    pd.testing.assert_frame_equal(read_table(path, KIND), known)
    csv = tmp_path / "x.csv"
    GOOD.to_csv(csv, index=False)
    pd.testing.assert_frame_equal(read_csv(csv, KIND), GOOD)


@pytest.mark.parametrize(
    "change, key, value, allowed",
    [
        ({"name": None}, "columns", "no name", "things: name, x, n"),
        ({"name": [None, "b"]}, "name (row 0)", "nothing", "a text"),
        ({"name": ["a", 3]}, "name (row 1)", 3, "a text"),
        ({"x": ["1", "2"]}, "x (row 0)", "1", "a finite number"),
        ({"x": ["1", "many"]}, "x (row 1)", "many", "a finite number"),
        ({"x": [1.0, np.inf]}, "x (row 1)", np.inf, "a finite number"),
        ({"x": [1.0, np.nan]}, "x (row 1)", "nothing", "a finite number"),
        ({"x": [True, False]}, "x (row 0)", True, "a finite number"),
        ({"x": pd.to_datetime([1, 2])}, "x (row 0)", pd.Timestamp(1), "a finite number"),
        ({"n": [1.0, 1.5]}, "n (row 1)", 1.5, "a whole number, or nothing"),
        ({"ok": [True, 1.0]}, "ok (row 1)", 1.0, "true or false, or nothing"),
        ({"note": [1, 2]}, "note (row 0)", 1, "a text, or nothing"),
        ({"name": pd.Categorical([1, 2])}, "name (row 0)", 1, "a text"),
    ],
)
def test_a_column_of_another_kind_is_refused(change, key, value, allowed):
    table = GOOD.astype(dict.fromkeys(change.keys() & set(GOOD), object))
    for name, values in change.items():
        table = table.drop(columns=name) if values is None else table.assign(**{name: values})
    error = refused(lambda: KIND.checked(table, "here"))
    assert (error.where, error.key, error.value) == ("here", key, value)
    assert allowed in error.allowed


@pytest.mark.parametrize(
    "change",
    [
        {"ok": [True, None]},
        {"n": [None, None]},
        {"n": [1, 2]},
        {"note": [None, None]},
        {"name": pd.Categorical(["a", "b"])},
        {"x": [1, 2]},
    ],
)
def test_a_column_of_its_kind_is_taken(change):
    KIND.checked(GOOD.assign(**change), "here")


def test_other_tables_are_refused():
    assert refused(lambda: KIND.checked(GOOD.iloc[:0], "here")).key == "rows"
    twice = pd.concat([GOOD, GOOD[["x"]]], axis=1)
    assert refused(lambda: KIND.checked(twice, "here")).value == "x"


def test_cells_of_a_csv_are_what_stands_there(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("name,x,n\nNA,1,\nnull,2,3\n017,3,4\n")
    assert read_csv(path, KIND)["name"].tolist() == ["NA", "null", "017"]
    path.write_text("name,x,n\na,1,2\nb,many,3\n")
    error = refused(lambda: read_csv(path, KIND))
    assert (error.key, error.value) == ("x (line 3)", "many")
    path.write_text("name,x,n\na,1,2,3\nb,1,2,3\n")
    assert "more cells" in refused(lambda: read_csv(path, KIND)).value
    for text in ("", "\n", "name,x,n\n", 'name,x,n\n"a,1,2\n', "name,x,n\na," + "9" * 400 + ",1\n"):
        path.write_text(text)
        assert refused(lambda: read_csv(path, KIND)).where == str(path)


# traces


TRACE = "timestamp,input_tokens,output_tokens\n10.5,20,128\n11,30,64\n12.25,5,1\n"


@pytest.mark.parametrize(
    "old, new, key",
    [
        ("12.25", "1e15", "arrival (line 4)"),
        ("12.25", "-1e300", "arrival (line 4)"),
        ("12.25", "9" * 400, "arrival (line 4)"),
        ("30", "1000000001", "input_tokens (line 3)"),
        ("64", "9" * 400, "output_tokens (line 3)"),
        ("64", "9" * 30, "output_tokens (line 3)"),
    ],
)
def test_numbers_of_a_trace_have_an_end(tmp_path, old, new, key):
    path = tmp_path / "trace.csv"
    path.write_text(TRACE.replace(old, new))
    assert refused(lambda: replay(path, 1)).key == key


def test_a_replay_has_an_end(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    assert replay(path, 1, speed=1e-9).arrival_ms[-1] == pytest.approx(1.75e12)
    for speed in (1e-12, 5e-324):
        error = refused(lambda speed=speed: replay(path, 1, speed=speed))
        assert "1.75 s at" in error.value


def test_a_network_of_too_many_nodes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bprr.scenario.network.MOST_NODES", 2)
    (tmp_path / "n.nodes.csv").write_text(
        "node,city,longitude_deg,latitude_deg\na,,,\nb,,,\nc,,,\n"
    )
    (tmp_path / "n.links.csv").write_text("node_a,node_b,delay_us\na,b,1\nb,c,1\n")
    assert refused(lambda: read_tables(tmp_path, "n")).key == "nodes"


# results


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "file" / "x.parquet"):
        assert refused(lambda path=path: write_table(GOOD, path, {}, "abc")).key == "output"


def unfinished(name, process):
    with pytest.raises(KeyboardInterrupt), replacing(name) as path:
        raise KeyboardInterrupt
    assert not path.exists()
    return path.with_name(re.sub(r"\.\d+\.unfinished$", f".{process}.unfinished", path.name))


def test_what_killed_processes_left_is_swept(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    pattern = unfinished(tmp_path / "x.csv", gone.pid)
    host = pattern.name.split(".")[-3]
    left = {
        "swept": pattern,
        "running": pattern.with_name(pattern.name.replace(str(gone.pid), str(os.getppid()))),
        "elsewhere": pattern.with_name(pattern.name.replace(host, "another-host")),
        "no number": pattern.with_name(pattern.name.replace(str(gone.pid), "1x")),
        "not hidden": pattern.with_name(pattern.name[1:]),
        "a user's": tmp_path / ".mine.unfinished",
    }
    for path in left.values():
        path.write_text("x")
    storage._sweep.cache_clear()  # as another process would start
    with replacing(tmp_path / "y.csv") as path:
        path.write_text("y")
    assert {name for name, path in left.items() if not path.exists()} == {"swept"}
    assert (tmp_path / "y.csv").read_text() == "y"


def test_manifests_are_checked(tmp_path):
    one, output = tmp_path / "a.csv", tmp_path / "manifest.json"
    one.write_text("1")
    write_manifest([one], output)
    assert differences(output, output) == []
    assert read_manifest(output).files == {str(one): storage.file_hash(one)}
    for text in ("[]", '{"files": {"a": 3}, "packages": {}, "source": ""}', '{"files": {}}', "3"):
        output.write_text(text)
        with pytest.raises(InputErrors, match=r"manifest\.json"):
            differences(output, output)
