"""What a user reads of settings that cannot be used: every kind of mistake, in full."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, model_validator

from bprr.ground.errors import InputError, InputErrors
from bprr.ground.registry import SERVICE, Choice, ChoiceOf
from bprr.ground.schema import (
    Count,
    MemoryGb,
    Milliseconds,
    NonNegative,
    Positive,
    Refused,
    Share,
    Strict,
)
from bprr.settings import yaml_file
from bprr.settings.messages import known_keys, validated
from bprr.settings.overrides import (
    located,
    overlaid,
    parse_override,
    seen_from_here,
    with_overrides,
)
from bprr.settings.shipped import SHIPPED, here_or_shipped
from bprr.settings.yaml_file import parse_yaml, read_yaml


class Tea(Strict):
    kind: Literal["tea"]
    leaves: Count


class Coffee(Strict):
    kind: Literal["coffee"]
    beans: Count
    milk_ml: NonNegative = 0.0


class Order(Strict):
    guest: str = "somebody"
    seats: Count = 1
    price: Positive = 1.0
    share: Share = 0.5
    wait_ms: Milliseconds = 0.0
    memory_gb: MemoryGb = 1.0
    below: Annotated[float, Field(lt=5)] = 1.0
    drink: Annotated[Tea | Coffee, Field(discriminator="kind")] | None = None
    rounds: list[Tea] = []
    most: Annotated[list[int], Field(min_length=1)] = [1]
    named: dict[str, Coffee] = {}
    notes: dict[str, int] = {}
    size: Literal["small", "large"] = "small"
    paid: bool = False
    bill: Path = Path("bill")
    service: Annotated[Choice, ChoiceOf(SERVICE)] = Field("independent", validate_default=True)

    @model_validator(mode="after")
    def _checked(self) -> Order:
        if self.guest == "nobody":
            raise Refused("guest", self.guest, "somebody")
        if self.guest == "odd":
            raise Refused("", self.guest, "even")
        if self.guest == "plain":
            raise ValueError("no plain people")
        return self


KEYS = (
    "below, bill, drink, guest, memory_gb, most, named, notes, paid, price, rounds, seats, service,"
    " share, size, wait_ms"
)


@pytest.mark.parametrize(
    ("content", "key", "value", "allowed"),
    [
        ({"gest": 1}, "gest", 1, f"did you mean guest? one of the keys {KEYS}"),
        ({"xyzzy": 1}, "xyzzy", 1, f"one of the keys {KEYS}"),
        ({"drink": {"kind": "tea", "leaves": 1, "leafs": 2}}, "drink.leafs", 2,
         "did you mean leaves? one of the keys kind, leaves"),
        ({"named": {"a": {"kind": "coffee", "beans": 1, "x": 2}}}, "named.a.x", 2,
         "one of the keys beans, kind, milk_ml"),
        ({"rounds": [{"kind": "tea", "leaves": 1, "y": 2}]}, "rounds.0.y", 2,
         "one of the keys kind, leaves"),
        ({"drink": {"kind": "tea"}}, "drink.leaves", "nothing", "this key is required"),
        ({"rounds": [{"kind": "tea", "leaves": 2}, {"kind": "tea"}]}, "rounds.1.leaves", "nothing",
         "this key is required"),
        ({"guest": "nobody"}, "guest", "nobody", "somebody"),
        ({"guest": "odd"}, "(whole file)", "odd", "even"),
        ({"drink": {"kind": "milk"}}, "drink.kind", "milk", "one of 'tea', 'coffee'"),
        ({"drink": {"leaves": 1}}, "drink.kind", "nothing",
         "this key is required: it says which of the kinds is meant"),
        ({"named": {"a": 3}}, "named.a", 3, "a mapping with the keys beans, kind, milk_ml"),
        ({"named": 3}, "named", 3, "a mapping"),
        ({"notes": 3}, "notes", 3, "a mapping"),
        ({"rounds": [4]}, "rounds.0", 4, "a mapping with the keys kind, leaves"),
        ({"drink": 4}, "drink", 4, "a mapping with the keys beans, kind, leaves, milk_ml"),
        ({"seats": "2"}, "seats", "2", "a whole number, without quotes"),
        ({"seats": 2.5}, "seats", 2.5, "a whole number, without quotes"),
        ({"notes": {"a": 1.5}}, "notes.a", 1.5, "a whole number, without quotes"),
        ({"price": "2"}, "price", "2",
         "a number, without quotes or a unit (the key names the unit)"),
        ({"price": float("inf")}, "price", float("inf"), "a finite number"),
        ({"price": 0}, "price", 0, "a number above 0"),
        ({"seats": 0}, "seats", 0, "a number of at least 1"),
        ({"below": 5.0}, "below", 5.0, "a number below 5"),
        ({"share": 1.5}, "share", 1.5, "a number of at most 1"),
        ({"wait_ms": 1.1e7}, "wait_ms", 1.1e7, "a number of at most 1e+07"),
        ({"memory_gb": 5001.0}, "memory_gb", 5001.0,
         "a number of at most 5000; the unit is GB = 1e9 bytes"),
        ({"most": []}, "most", [], "at least one entry"),
        ({"size": "big"}, "size", "big", "one of 'small' or 'large'"),
        ({"guest": 3}, "guest", 3, "a text"),
        ({"rounds": 3}, "rounds", 3, "a list"),
        ({"paid": 3}, "paid", 3, "true or false"),
        ({"paid": "maybe"}, "paid", "maybe", "true or false"),
        ({"bill": 3}, "bill", 3, "a path, as text"),
        ({"service": {"independent": {"x": 1}}}, "service.independent.x", 1, "no such key"),
        ({"guest": "plain"}, "(whole file)", None, "Value error, no plain people"),
    ],
)  # fmt: skip
def test_mistakes(content: dict[str, Any], key: str, value: object, allowed: str) -> None:
    with pytest.raises(InputErrors) as caught:
        validated(Order, content, Path("mine.yaml"))
    (one,) = caught.value.errors
    assert (one.where, one.key, one.allowed) == ("mine.yaml", key, allowed)
    assert value is None or one.value == value
    assert caught.value.more == 0


def test_what_can_be_used_knows_where_it_is_from() -> None:
    content = {"drink": {"kind": "coffee", "beans": 3}, "wait_ms": 1e7, "memory_gb": 5000}
    found = validated(Order, content, Path("mine.yaml"))
    assert found.where == "mine.yaml"
    assert found.drink == Coffee(kind="coffee", beans=3)


@pytest.mark.parametrize(("mistakes", "shown", "more"), [(19, 19, 0), (20, 20, 0), (23, 20, 3)])
def test_many_mistakes(mistakes: int, shown: int, more: int) -> None:
    content = {f"wrong{number}": number for number in range(mistakes)}
    with pytest.raises(InputErrors) as caught:
        validated(Order, content, "mine")
    assert [error.key for error in caught.value.errors] == [f"wrong{n}" for n in range(shown)]
    assert caught.value.more == more


def test_keys_that_are_known() -> None:
    assert ", ".join(known_keys(Order, [])) == KEYS
    both = ["beans", "kind", "leaves", "milk_ml"]
    assert known_keys(Order, ["drink"]) == both
    assert known_keys(Order, ["drink", "tea"]) == ["kind", "leaves"]
    assert known_keys(Order, ["rounds", "0"]) == ["kind", "leaves"]
    assert known_keys(Order, ["named", "any"]) == ["beans", "kind", "milk_ml"]
    for nothing in (["named"], ["guest"], ["nowhere"], ["drink", "tea", "leaves"], ["notes", "a"]):
        assert known_keys(Order, nothing) == []


def test_mappings_laid_over_each_other() -> None:
    below = {"a": {"x": 1, "y": {"z": 1}}, "routing": {"petals": {"c": 1}}, "l": [1], "b": 2}
    above = {"a": {"y": {"w": 2}, "v": 0}, "routing": {"petals": {"d": 1}}, "l": [2], "b": {"q": 1}}
    assert overlaid(below, above) == {
        "a": {"x": 1, "y": {"z": 1, "w": 2}, "v": 0}, "routing": {"petals": {"d": 1}}, "l": [2],
        "b": {"q": 1},
    }  # fmt: skip
    assert below["a"] == {"x": 1, "y": {"z": 1}}
    assert overlaid({"a": {"x": 1}}, {"a": 3, "c": 4}) == {"a": 3, "c": 4}


def test_paths_of_a_content() -> None:
    folder = Path("some/where")
    content = {
        "file": "a.csv", "fleet": {"file": "../b.csv", "files": "c"},
        "device_files": ["d", "/e", 7],
        "workload.file": {"one": "f", "two": ["g"]}, "model": "h", "list": [{"topology_dir": "i"}],
        "scenario_dir": None, "model_files": ["j"], "policy_files": ["k"],
    }  # fmt: skip
    assert located(content, folder) == {
        "file": "some/where/a.csv", "fleet": {"file": "some/b.csv", "files": "c"},
        "device_files": ["some/where/d", "/e", 7],
        "workload.file": {"one": "some/where/f", "two": ["some/where/g"]}, "model": "h",
        "list": [{"topology_dir": "some/where/i"}], "scenario_dir": None,
        "model_files": ["some/where/j"], "policy_files": ["some/where/k"],
    }  # fmt: skip
    assert located("a", folder) == "a"
    assert located("a", folder, "x.file") == "some/where/a"


def test_paths_as_seen_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert seen_from_here(Path("a/../b")) == "b"
    assert seen_from_here(here / "c" / "d") == f"c{os.sep}d"
    assert seen_from_here(Path("..")) == str(tmp_path)
    assert seen_from_here(tmp_path / "hereafter") == str(tmp_path / "hereafter")
    assert seen_from_here(here) == str(here)


def test_single_keys() -> None:
    content = {"fleet": {"servers": 3, "x": {"y": 1}}, "w": {"requests": 5}, "routing": "petals"}
    for overrides, changed in (
        ({"fleet.servers_per_node": 0.5}, {"fleet": {"servers_per_node": 0.5, "x": {"y": 1}}}),
        ({"w.duration_s": 7}, {"w": {"duration_s": 7}}),
        ({"new.deep.key": 1}, {"new": {"deep": {"key": 1}}}),
        ({"fleet.x": {"z": 2}, "fleet.x.w": 3}, {"fleet": {"servers": 3, "x": {"z": 2, "w": 3}}}),
        ({"routing.c": 3}, {"routing": {"petals": {"c": 3}}}),
        ({"m.routing": {"a": None}, "m.routing.c": 3}, {"m": {"routing": {"a": {"c": 3}}}}),
        ({"m.routing": {"a": {"b": 1}}, "m.routing.c": 3},
         {"m": {"routing": {"a": {"b": 1, "c": 3}}}}),
        ({"m.routing": {}, "m.routing.c": 3}, {"m": {"routing": {"c": 3}}}),
        ({"m.routing": {"a": {}, "b": {}}, "m.routing.c": 3},
         {"m": {"routing": {"a": {}, "b": {}, "c": 3}}}),
    ):  # fmt: skip
        assert with_overrides(content, overrides) == {**content, **changed}
    assert content["fleet"] == {"servers": 3, "x": {"y": 1}}
    for dotted, value, allowed in (
        ("fleet.servers.x", 1, "a key that exists; fleet.servers is 3"),
        ("fleet.x.y.z", 2, "a key that exists; fleet.x.y is 1"),
    ):
        with pytest.raises(InputError) as caught:
            with_overrides(content, {dotted: value}, "mine")
        said = (caught.value.where, caught.value.key, caught.value.value, caught.value.allowed)
        assert said == ("mine", dotted, value, allowed)
    with pytest.raises(InputError, match=r"^overrides: fleet\.servers\.x"):
        with_overrides(content, {"fleet.servers.x": 1})


def test_keys_of_the_command_line() -> None:
    assert parse_override("a.b=1e3") == ("a.b", 1000)
    assert parse_override("a=b=c") == ("a", "b=c")
    assert parse_override("a=") == ("a", None)
    assert parse_override("w.file=x/../y") == ("w.file", "y")
    for text, allowed in (
        ("a", "KEY=VALUE, e.g. fleet.servers=12"), ("=3", "KEY=VALUE, e.g. fleet.servers=12"),
        ("a=[1", "KEY=VALUE, the value in YAML: valid YAML"),
        ("a=!x y", "KEY=VALUE, the value in YAML: no tags"),
    ):  # fmt: skip
        with pytest.raises(InputError) as caught:
            parse_override(text)
        said = (caught.value.where, caught.value.key, caught.value.value, caught.value.allowed)
        assert said == ("command line", "--set", text, allowed)


def test_a_file_from_here_or_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = Path("config/default.yaml")
    assert here_or_shipped(shipped) == SHIPPED / shipped
    assert here_or_shipped(Path("no/such.yaml")) == Path("no/such.yaml")
    assert here_or_shipped(Path("config")) == Path("config")  # a folder is none
    (tmp_path / "config").mkdir()
    (tmp_path / shipped).write_text("")
    assert here_or_shipped(shipped) == shipped


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: [1, -2, +3, 0o17, 0x1F, 08]", [1, -2, 3, 15, 31, 8]),
        ("a: [1., .5, -1.5e3, 1e-3, +.5E+1]", [1.0, 0.5, -1500.0, 0.001, 5.0]),
        ("a: [., e1, 1e, 0o8, 0xg, 1_000, yes, 1:30, .5.5]",
         [".", "e1", "1e", "0o8", "0xg", "1_000", "yes", "1:30", ".5.5"]),
        ("a: [~, null, Null, NULL, '', true, True, TRUE, false, False, FALSE, 'true', \"1\"]",
         [None, None, None, None, "", True, True, True, False, False, False, "true", "1"]),
        ("a: [.inf, +.Inf, -.INF]", [float("inf"), float("inf"), float("-inf")]),
        ("a: &x [1, &y {b: 2}]\nc: *x", [1, {"b": 2}]),
    ],
)  # fmt: skip
def test_plain_words(text: str, value: list[Any]) -> None:
    found = parse_yaml(text, "here")
    assert found["a"] == value
    assert [type(each) for each in found["a"]] == [type(each) for each in value]
    assert found.get("c", value) == value


@pytest.mark.parametrize(
    ("text", "key", "value", "allowed"),
    [
        ("a: 1\nb: [\n", "line 3", None, "valid YAML"),
        ("a: 1\n---\nb: 2\n", "line 2", "a second document", "one document per file"),
        ("a: 1\nb: *x\n", "line 2", "*x", "an anchor that is written, and ends, before it"),
        ("a: &x [1, *x]\n", "line 1", "*x", "an anchor that is written, and ends, before it"),
        ("a: 1\nb: !!str x\n", "line 2", "tag:yaml.org,2002:str", "no tags"),
        ("? [1]\n: 2\n", "line 1", "another kind of key", "a text as key"),
        ("!!str a: 1\n", "line 1", "another kind of key", "a text as key"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "line 3", "<<",
         "the entries themselves; YAML 1.2 has no merge key"),
        ("a: 1\nb: 2\na: 3\n", "line 3", "key 'a' a second time", "each key once"),
        ("a: " + "1" * 101, "line 1", "101 characters", "a number of at most 100 characters"),
        ("a: ." + "1" * 100, "line 1", "101 characters", "a number of at most 100 characters"),
        ("\x00", "file", None, "valid YAML"),
    ],
)  # fmt: skip
def test_yaml_refused(text: str, key: str, value: str | None, allowed: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "here")
    assert (caught.value.where, caught.value.key, caught.value.allowed) == ("here", key, allowed)
    assert value is None or caught.value.value == value


def test_yaml_at_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_yaml("a: " + "1" * 100, "here") == {"a": int("1" * 100)}
    assert parse_yaml("a: '<<'\n'<<': 1", "here") == {"a": "<<", "<<": 1}
    assert (parse_yaml("", "here"), parse_yaml("# nothing\n", "here")) == (None, None)

    def refused(text: str) -> tuple[str, object, str]:
        with pytest.raises(InputError) as caught:
            parse_yaml(text, "here")
        return caught.value.key, caught.value.value, caught.value.allowed

    parse_yaml("[" * 50 + "]" * 50, "here")
    assert refused("[" * 51 + "]" * 51) == ("line 1", "more", "at most 50 levels")
    parse_yaml("{a: " * 49 + "1" + "}" * 49, "here")
    assert refused("{a: " * 50 + "1" + "}" * 50) == ("line 1", "more", "at most 50 levels")
    # A mapping, its keys and values; an alias counts as what it stands for.
    text = "a: &x [1, 2]\nb: *x\nc: *x\n"
    monkeypatch.setattr(yaml_file, "MOST_VALUES", 13)
    assert parse_yaml(text, "here") == {"a": [1, 2], "b": [1, 2], "c": [1, 2]}
    monkeypatch.setattr(yaml_file, "MOST_VALUES", 12)
    allowed = "at most 12 values, aliases unfolded"
    assert refused(text) == ("line 3", "more", allowed)
    path = tmp_path / "a.yaml"
    for content, found in (("", "nothing"), ("[1]", "list"), ("3", "int")):
        path.write_text(content)
        with pytest.raises(InputError) as caught:
            read_yaml(path)
        said = (caught.value.where, caught.value.key, caught.value.value, caught.value.allowed)
        assert said == (str(path), "file", found, "a mapping of keys to values")
    path.write_text("a: 12")
    monkeypatch.setattr(yaml_file, "LARGEST_FILE", 5)
    assert read_yaml(path) == {"a": 12}
    monkeypatch.setattr(yaml_file, "LARGEST_FILE", 4)
    with pytest.raises(InputError, match="a YAML file of at most 4 bytes"):
        read_yaml(path)
