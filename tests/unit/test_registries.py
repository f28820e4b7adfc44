"""Registries of policies: found by name, refused in full, loaded from files once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import TypeAdapter, ValidationError

from bprr.ground import registry
from bprr.ground.errors import BprrError, InfeasibleError, InputError, InputErrors, one_line
from bprr.ground.registry import (
    POLICY_FILE,
    REGISTRIES,
    SIMULATED,
    Choice,
    ChoiceOf,
    Policy,
    Registry,
    WrongOptions,
    load_policy_file,
)
from bprr.ground.schema import Refused, Strict


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Registry of a package with two policies, one in a module of another name."""
    folder = tmp_path / "zoo_of_policies"
    folder.mkdir()
    found = Registry("animal", "zoo_of_policies")
    monkeypatch.setitem(sys.modules, "zoo_registry", SimpleNamespace(ZOO=found))  # type: ignore[arg-type]
    head = "from zoo_registry import ZOO\nfrom bprr.ground.registry import Policy\n"
    kind = "from bprr.ground.schema import Strict\n"
    (folder / "__init__.py").write_text("")
    (folder / "ape.py").write_text(
        head + kind + "class Ape(Policy, name='ape', registry=ZOO):\n"
        "    class Options(Strict):\n        arms: int = 2\n"
        "    def __init__(self, *arguments):\n        self.arguments = arguments\n"
    )
    (folder / "misc.py").write_text(head + "class Bee(Policy, name='bee', registry=ZOO): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield found
    for name in [name for name in sys.modules if name.startswith("zoo_of_policies")]:
        del sys.modules[name]


def test_a_policy_is_imported_when_it_is_asked_for(zoo: Registry) -> None:
    assert zoo["ape"].__name__ == "Ape"
    assert (zoo["ape"].name, zoo["ape"].registry) == ("ape", zoo)
    assert "zoo_of_policies.misc" not in sys.modules
    assert zoo["bee"].__name__ == "Bee"  # whose module has another name
    assert list(zoo) == ["ape", "bee"]
    assert (len(zoo), "ape" in zoo, "cow" in zoo, 7 in zoo, "a.b" in zoo) == (
        2, True, False, False, False,
    )  # fmt: skip
    for name in ("cow", "misc", "not a name", "os.path"):
        with pytest.raises(KeyError) as caught:
            zoo[name]
        assert caught.value.args == (f"animal {name!r} is unknown; known: ape, bee",)


def test_policies_are_built_with_their_options(zoo: Registry) -> None:
    ape = zoo["ape"]
    choice = Choice("ape", ape.Options(arms=4))
    assert zoo.of("ape") is zoo.of(choice) is ape
    assert zoo.build("ape", 1, 2).arguments == (1, 2)
    assert zoo.build(choice, 1).arguments == (1, choice.options)
    assert choice.content() == {"ape": {"arms": 4}}


def test_a_name_is_taken_once(zoo: Registry) -> None:
    ape = zoo["ape"]
    zoo.add("ape", ape)
    with pytest.raises(BprrError) as caught:

        class Other(Policy, name="ape", registry=zoo):
            pass

    said = f"animal 'ape' is registered twice: by zoo_of_policies.ape and {__name__}"
    assert str(caught.value) == said
    assert zoo["ape"] is ape

    class Base(Policy, registry=zoo):
        """A kind has no name."""

        tail: ClassVar[bool] = True

    assert "Base" not in zoo
    assert Base.registry is zoo


def test_choices_as_they_are_written(zoo: Registry) -> None:
    read = ChoiceOf(zoo).read
    assert read("ape") == read({"ape": None}) == read({"ape": {}}) == Choice(
        "ape", zoo["ape"].Options(),
    )  # fmt: skip
    given = read({"ape": {"arms": 3}})
    assert given.content() == {"ape": {"arms": 3}}
    assert read(given) is given
    allowed = "a name, or one name with its options, {name: {option: value}}"
    for value in (7, None, ["ape"], {}, {"ape": {}, "bee": {}}, {7: {}}):
        with pytest.raises(Refused) as caught:
            read(value)
        assert (caught.value.key, caught.value.allowed) == ("", allowed)
        assert caught.value.value == (value if not isinstance(value, dict) or value else {})
    for name, allowed in (
        ("app", "did you mean ape? one of ape, bee"), ("zebra", "one of ape, bee"),
    ):  # fmt: skip
        for written in (name, {name: {"arms": 1}}):
            with pytest.raises(Refused) as caught:
                read(written)
            assert (caught.value.key, caught.value.value) == ("", name)
            assert caught.value.allowed == allowed
    with pytest.raises(WrongOptions) as wrong:
        read({"ape": {"legs": 3}})
    assert (wrong.value.policy, wrong.value.kind) == ("ape", zoo["ape"].Options)
    assert isinstance(wrong.value.error, ValidationError)
    assert str(wrong.value) == str(wrong.value.error)
    assert "legs" in str(wrong.value)


def test_choices_in_a_schema(zoo: Registry) -> None:
    adapter = TypeAdapter(Annotated[Choice, ChoiceOf(zoo)])
    assert adapter.validate_python({"ape": {"arms": 5}}).options.arms == 5
    assert adapter.dump_python(adapter.validate_python("bee")) == {"bee": {}}
    schema = adapter.json_schema()
    assert schema["description"] == "animal policy"
    names, options = schema["anyOf"]
    assert names == {"enum": ["ape", "bee"]}
    assert {key: value for key, value in options.items() if key != "properties"} == {
        "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False,
    }  # fmt: skip
    assert list(options["properties"]) == ["ape", "bee"]
    assert options["properties"]["ape"]["properties"]["arms"]["default"] == 2


def test_files_of_policies_are_imported_once(tmp_path: Path) -> None:
    path = tmp_path / "one_of_mine.py"
    path.write_text("count = []\n")
    load_policy_file(path)
    module = sys.modules[POLICY_FILE + "one_of_mine"]
    load_policy_file(path)
    assert sys.modules[POLICY_FILE + "one_of_mine"] is module
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "one_of_mine.py").write_text("count = [1]\n")
    load_policy_file(other / "one_of_mine.py")  # of the same name
    assert sys.modules[POLICY_FILE + "one_of_mine"].count == [1]
    (other / "worse.py").write_text("raise OSError('no')\n")
    with pytest.raises(InputError) as caught:
        load_policy_file(other / "worse.py")
    assert str(caught.value) == (
        f"{other / 'worse.py'}: file: got \"OSError('no')\"; allowed: Python that can be imported"
    )
    assert POLICY_FILE + "worse" not in sys.modules
    for absent in (tmp_path / "absent.py", tmp_path / "notes.txt", tmp_path / "folder.py"):
        if absent.suffix == ".txt":
            absent.write_text("")
        if absent.stem == "folder":
            absent.mkdir()
        with pytest.raises(InputError) as caught:
            load_policy_file(absent)
        assert str(caught.value) == (
            f"configuration: policy_files: got '{absent}'; allowed: a Python file that exists"
        )
    del sys.modules[POLICY_FILE + "one_of_mine"]


def test_entry_points_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, groups = [], []

    def points(group: str) -> list[Any]:
        groups.append(group)
        return [SimpleNamespace(name=name, load=load) for name, load in named.items()]

    def fails() -> None:
        raise ImportError("gone")

    named: dict[str, Any] = {"one": lambda: loaded.append(1), "two": lambda: loaded.append(2)}
    monkeypatch.setattr(registry, "entry_points", points)
    registry._load_entry_points.__wrapped__()
    assert (loaded, groups) == ([1, 2], ["bprr.policies"])
    named["three"] = fails
    with pytest.raises(BprrError) as caught:
        registry._load_entry_points.__wrapped__()
    assert str(caught.value) == "entry point three of bprr.policies: ImportError('gone')"
    assert isinstance(caught.value.__cause__, ImportError)


def test_kinds_of_policies() -> None:
    packages = {kind: each.package for kind, each in REGISTRIES.items()}
    assert packages == {
        "placement": "bprr.placement", "routing": "bprr.routing",
        "admission": "bprr.simulation.admission", "charging": "bprr.simulation.charging",
        "service": "bprr.service", "forwarding": "bprr.forwarding",
        "churn": "bprr.living.churn", "replacement": "bprr.living.replacement",
        "window": "bprr.window", "speculation": "bprr.speculation",
    }  # fmt: skip
    assert list(REGISTRIES)[:8] == list(SIMULATED)
    assert all(REGISTRIES[kind] is each for kind, each in SIMULATED.items())


def test_texts_of_errors() -> None:
    assert one_line("a\tb\u2028c") == "a\\tb\\u2028c"
    assert (one_line("x" * 2000), one_line("x" * 2001)) == ("x" * 2000, "x" * 2000 + "…")
    assert (one_line("abc", 3), one_line("abcd", 3)) == ("abc", "abc…")
    one = InputError(Path("a"), "b", "c", "d")
    assert (one.where, one.args) == ("a", (Path("a"), "b", "c", "d"))
    assert str(one) == "a: b: got 'c'; allowed: d"
    quoted = len(str(InputError("a", "b", "x" * 498, "")))
    assert len(str(InputError("a", "b", "x" * 499, ""))) == quoted + 1
    assert len(str(InputError("a", "b", "x" * 599, ""))) == quoted + 1
    two = InputErrors([one, one], 3)
    assert str(two) == f"{one}\n{one}\n… and 3 more"
    assert (two.errors, two.more, two.args) == ((one, one), 3, ([one, one], 3))
    assert str(InputErrors([one])) == str(one)
    assert str(InfeasibleError("memory", "3 GB")) == ("infeasible: not enough memory: 3 GB missing")
    assert InfeasibleError("memory", "3 GB").args == ("memory", "3 GB", "")
    said = InfeasibleError("memory", "3 GB", "at a")
    assert str(said) == "infeasible: not enough memory: 3 GB missing (at a)"
    assert (said.resource, said.missing, said.detail) == ("memory", "3 GB", "at a")
    assert said.args == ("memory", "3 GB", "at a")
    assert str(Refused("a", 1, "b")) == "a: b"
    assert Strict().where == "settings"
