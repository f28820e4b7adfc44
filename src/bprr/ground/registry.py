"""Policies by name, each with its own options: a new one is one file, listed nowhere.

A policy is a subclass of its kind's base class, in a module of the kind's package that bears its
name. Policies from outside the package come from modules that are named as entry points (group
``bprr.policies``) or in the configuration (``policy_files``).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from bprr.ground.errors import BprrError, InputError
from bprr.ground.schema import Refused, Strict

__all__ = [
    "ADMISSION",
    "CHARGING",
    "CHURN",
    "FORWARDING",
    "PLACEMENT",
    "POLICY_FILE",
    "REGISTRIES",
    "REPLACEMENT",
    "ROUTING",
    "SERVICE",
    "SIMULATED",
    "SPECULATION",
    "WINDOW",
    "Choice",
    "ChoiceOf",
    "Policy",
    "Registry",
    "WrongOptions",
    "load_policy_file",
]

ENTRY_POINTS = "bprr.policies"
POLICY_FILE = "bprr_policy_file_"  # begins the names of modules that come from policy files


class Policy:
    """Base of every policy; ``class Mine(KindOfPolicy, name="mine")`` registers it."""

    registry: ClassVar[Registry]
    name: ClassVar[str]

    class Options(Strict):
        """What a user may set; none unless the policy says so."""

    def __init_subclass__(
        cls, *, name: str | None = None, registry: Registry | None = None, **more: Any
    ) -> None:
        super().__init_subclass__(**more)
        if registry is not None:
            cls.registry = registry
        if name is not None:
            cls.name = name
            cls.registry.add(name, cls)


class Registry(Mapping[str, type[Any]]):
    """Policies of one kind.

    Parameters
    ----------
    kind : str
        What is registered, for messages.
    package : str
        Package whose modules hold the policies; a module is imported when its policy is asked for,
        all of them when the names are listed.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._policies: dict[str, type[Policy]] = {}

    def add(self, name: str, policy: type[Policy]) -> None:
        """Register a policy; a name taken by another one is an error."""
        known = self._policies.setdefault(name, policy)
        if known is not policy:
            raise BprrError(
                f"{self.kind} {name!r} is registered twice:"
                f" by {known.__module__} and {policy.__module__}"
            )

    def __getitem__(self, name: str) -> type[Any]:
        if name not in self._policies and name.isidentifier():
            module = f"{self.package}.{name}"
            if importlib.util.find_spec(module) is not None:
                importlib.import_module(module)
        if name not in self._policies and name not in list(self):
            raise KeyError(f"{self.kind} {name!r} is unknown; known: {', '.join(self)}")
        return self._policies[name]

    def of(self, choice: Choice | str) -> type[Any]:
        """Class of a policy."""
        return self[choice if isinstance(choice, str) else choice.name]

    def build(self, choice: Choice | str, *arguments: Any) -> Any:
        """Policy built from its arguments and its options; by name with the defaults."""
        if isinstance(choice, str):
            return self[choice](*arguments)
        return self[choice.name](*arguments, choice.options)

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self[name] is not None
        except KeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        _load_entry_points()
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        return iter(sorted(self._policies))

    def __len__(self) -> int:
        return len(list(iter(self)))


@cache
def _load_entry_points() -> None:
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except Exception as error:
            raise BprrError(f"entry point {entry.name} of {ENTRY_POINTS}: {error!r}") from error


def load_policy_file(path: Path) -> None:
    """Import a file of policies, once.

    Raises
    ------
    InputError
        If the file cannot be imported.
    """
    name = POLICY_FILE + path.stem
    if name in sys.modules and sys.modules[name].__file__ == str(path.resolve()):
        return
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError("configuration", "policy_files", str(path), "a Python file that exists")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(path, "file", repr(error), "Python that can be imported") from error


class Choice(NamedTuple):
    """A policy by name, with its options."""

    name: str
    options: Strict

    def content(self) -> dict[str, Any]:
        """As a user may write it, all options said."""
        return {self.name: self.options.model_dump(mode="json")}


class WrongOptions(ValueError):
    """Options of a policy that cannot be used."""

    def __init__(self, policy: str, kind: type[Strict], error: ValidationError) -> None:
        super().__init__(str(error))
        self.policy, self.kind, self.error = policy, kind, error


class ChoiceOf:
    """Field of settings that takes a policy of one kind: its name, or {its name: its options}."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(Choice.content),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        entries = {name: self.registry[name].Options.model_json_schema() for name in self.registry}
        single = {"type": "object", "minProperties": 1, "maxProperties": 1}
        return {
            "description": f"{self.registry.kind} policy",
            "anyOf": [
                {"enum": list(entries)},
                {**single, "additionalProperties": False, "properties": entries},
            ],
        }

    def read(self, value: object) -> Choice:
        """Choice that a user wrote.

        Raises
        ------
        Refused, WrongOptions
            If nobody registered the policy, or an option cannot be used.
        """
        if isinstance(value, Choice):
            return value
        name: object = value
        options: object = None
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, options),) = value.items()
        if not isinstance(name, str):
            allowed = "a name, or one name with its options, {name: {option: value}}"
            raise Refused("", value, allowed)
        if name not in self.registry:
            close = difflib.get_close_matches(name, self.registry, n=1)
            did_you_mean = f"did you mean {close[0]}? " if close else ""
            raise Refused("", name, f"{did_you_mean}one of {', '.join(self.registry)}")
        kind = self.registry[name].Options
        try:
            return Choice(name, kind.model_validate(options or {}))
        except ValidationError as error:
            raise WrongOptions(name, kind, error) from None


PLACEMENT = Registry("placement", "bprr.placement")
ROUTING = Registry("routing", "bprr.routing")
ADMISSION = Registry("admission", "bprr.simulation.admission")
CHARGING = Registry("charging", "bprr.simulation.charging")
SERVICE = Registry("service", "bprr.service")
CHURN = Registry("churn", "bprr.living.churn")
REPLACEMENT = Registry("replacement", "bprr.living.replacement")
FORWARDING = Registry("forwarding", "bprr.forwarding")
WINDOW = Registry("window", "bprr.window")
SPECULATION = Registry("speculation", "bprr.speculation")

# Kinds that methods and scenarios of the simulator name, and those that `bprr explain` reads.
LIVING = (CHURN, REPLACEMENT)
SIMULATED = {
    each.kind: each
    for each in (PLACEMENT, ROUTING, ADMISSION, CHARGING, SERVICE, FORWARDING, *LIVING)
}
REGISTRIES = SIMULATED | {each.kind: each for each in (WINDOW, SPECULATION)}
