"""The whole configuration: what is swept, by which methods, with which delays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from bprr.ground.errors import InputError
from bprr.ground.files import regular_file
from bprr.ground.registry import (
    ADMISSION,
    CHARGING,
    PLACEMENT,
    REPLACEMENT,
    ROUTING,
    SERVICE,
    Choice,
    ChoiceOf,
    load_policy_file,
)
from bprr.ground.schema import Count, Milliseconds, Refused, Strict
from bprr.ground.swarm import Device, LanguageModel
from bprr.settings.messages import Loaded, known_keys, validated
from bprr.settings.offline import OfflineSettings, SolverName
from bprr.settings.overrides import located, overlaid, seen_from_here, with_overrides
from bprr.settings.shipped import DEFAULT
from bprr.settings.yaml_file import read_yaml

__all__ = [
    "DelayVariant",
    "Method",
    "Settings",
    "Sweep",
    "load_settings",
    "named_in_files",
    "settings_of",
]


# Of the results and figures of every run: a run of this name would write among them.
OTHER_FOLDERS = ("benchmarks", "fit", "logs", "measured", "offline", "offline_study", "readme",
                 "settings", "sweeps", "testbed", "theory", "timing")  # fmt: skip


class Method(Strict):
    """A method: policies of every kind; the scenario's where it names none."""

    label: str = Field("", description="in figures and tables; its name if not given")
    placement: Annotated[Choice, ChoiceOf(PLACEMENT)] = Field(
        description="which blocks servers host"
    )
    routing: Annotated[Choice, ChoiceOf(ROUTING)] = Field(description="which chain a request takes")
    admission: Annotated[Choice, ChoiceOf(ADMISSION)] | None = Field(
        None, description="what happens where caches are full"
    )
    charging: Annotated[Choice, ChoiceOf(CHARGING)] | None = Field(
        None, description="which tokens of a session a block is charged with"
    )
    service: Annotated[Choice, ChoiceOf(SERVICE)] | None = Field(
        None, description="what a server does with several sessions"
    )
    replacement: Annotated[Choice, ChoiceOf(REPLACEMENT)] | None = Field(
        None, description="whether blocks are placed anew while requests are served"
    )


class DelayVariant(Strict):
    """An assumption on the delay that every request pays while its caches are allocated."""

    label: str = Field("", description="in figures; its name if not given")
    source: str = Field("", description="where the assumption comes from")
    per_method_ms: dict[str, Milliseconds] = Field({}, description="by method")
    all_ms: Milliseconds = Field(0.0, description="of the methods that per_method_ms leaves out")
    admission: Annotated[Choice, ChoiceOf(ADMISSION)] | None = Field(
        None, description="of the methods that name none, instead of the scenario's"
    )
    in_every_sweep: bool = Field(True, description="or only in the sweeps that name it")

    def of(self, method: str) -> float:
        """Allocation delay of a method (ms)."""
        return self.per_method_ms.get(method, self.all_ms)

    def applied(self, method: Method) -> Method:
        """A method as it is run under this variant."""
        if self.admission is None or method.admission is not None:
            return method
        return method.model_copy(update={"admission": self.admission})


class Compared(Strict):
    """The pair of methods that the answer is about."""

    method: str = Field("proposed", description="the one that is praised")
    baseline: str = Field("petals", description="the one that it is compared with")


class Topology(Strict):
    """Where a sweep takes place: keys of its scenario."""

    label: str = Field("", description="in figures; its name if not given")
    set: dict[str, Any] = Field(description="dotted keys of the scenario")


class Sweep(Strict):
    """A scenario, and what varies.

    Keys of axes and ``set`` are those of the scenario, or begin with ``methods.`` or ``delays.``.
    """

    title: str = Field("", description="of its figure")
    x_label: str = Field("", description="of its figure; without one there is none")
    paper: str = Field("", description="figure or table of the paper that it reproduces")
    scenario: str | dict[str, str] = Field(description="one of all topologies, or one of each")
    topologies: Annotated[list[str], Field(min_length=1)] = Field(
        description="where it takes place: any of `topologies`"
    )
    axes: dict[str, list[Any] | dict[str, list[Any]]] = Field(
        description="dotted key: values, or values per topology"
    )
    one_at_a_time: dict[str, list[Any] | dict[str, list[Any]]] = Field(
        {}, description="keys set at all these points, one value of one key after another"
    )
    set: dict[str, Any] = Field({}, description="dotted keys to set beforehand")
    methods: Annotated[list[str], Field(min_length=1)] = Field(
        description="any of `methods`, in the order of the legend"
    )
    delays: list[str] | None = Field(None, description="delay variants; if not all of the usual")
    runs: Count | None = Field(
        None, description="of each point; those of the configuration if not given"
    )
    study: bool = Field(False, description="a longer one: made by `make study`, not by default")

    def scenario_on(self, topology: str) -> str:
        """Scenario of a topology."""
        scenario = self.scenario
        return scenario if isinstance(scenario, str) else scenario[topology]

    def points(self, topology: str) -> list[dict[str, Any]]:
        """Dotted keys and values of each point, the first axis varying slowest.

        After them those with one more key set, each of them once, key by key.
        """
        return [point for _, _, point in self.changed_points(topology)]

    def changed_points(self, topology: str) -> list[tuple[str, Any, dict[str, Any]]]:
        """Points, each with the key that is set beside the axes, and its value; at first none."""
        values = [_on(axis, topology) for axis in self.axes.values()]
        whole = [dict(zip(self.axes, point, strict=True)) for point in itertools.product(*values)]
        points: list[tuple[str, Any, dict[str, Any]]] = [("", None, point) for point in whole]
        for key, axis in self.one_at_a_time.items():
            for value in _on(axis, topology):
                changed = [{**point, key: value} for point in whole]
                once = [point for n, point in enumerate(changed) if point not in changed[:n]]
                points += [(key, value, point) for point in once]
        return points


def _on(axis: list[Any] | dict[str, list[Any]], topology: str) -> list[Any]:
    if isinstance(axis, dict):
        return axis.get(topology, axis.get("default", []))
    return axis


class Settings(Strict):
    """The whole configuration (``config/default.yaml``)."""

    run: str = Field(
        "",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$|^$",
        description="name of a run, whose results and figures lie in folders of that name",
    )
    results_dir: str = Field("results", description="folder of tables, logs and the report")
    figures_dir: str = Field("figures", description="folder of figures")
    seed: Annotated[int, Field(ge=0, strict=True)] = Field(
        description="of all random numbers; run r draws its own from it"
    )
    runs: Count = Field(description="Monte-Carlo runs of each point")
    runs_per_job: Count = Field(200, description="a sweep with more runs is spread over jobs")
    confidence: Annotated[float, Field(gt=0, lt=1, strict=True)] = Field(
        0.95, description="of the intervals over runs"
    )
    compared: Compared = Field(
        Compared(), description="the pair of methods that the answer is about"
    )
    policy_files: list[Path] = Field([], description="Python files with policies of your own")
    device_files: list[Path] = Field([], description="YAML files of devices by name")
    model_files: list[Path] = Field([], description="YAML files of language models by name")
    devices: dict[str, Device] = Field({}, description="beside those of device_files")
    models: dict[str, LanguageModel] = Field({}, description="beside those of model_files")
    topology_dir: Path = Field(
        Path("data/topologies"), description="folder of backbone networks, two tables each"
    )
    scenario_dir: Path = Field(Path("config/scenarios"), description="folder of scenarios by name")
    scenarios: dict[str, dict[str, Any]] = Field({}, description="beside those of scenario_dir")
    solver: SolverName = Field("highs", description="of the offline optimum")
    offline: OfflineSettings = Field(
        OfflineSettings(), description="the offline optimum: experiments and limits"
    )
    delays: dict[str, DelayVariant] = Field(
        description="by name: assumptions on what a request pays while its caches are allocated"
    )
    topologies: dict[str, Topology] = Field(description="by name: where a sweep may take place")
    methods: dict[str, Method] = Field(description="by name: policies that are compared")
    sweeps: dict[str, Sweep] = Field(
        description="by name: scenarios, what varies, and who is compared"
    )

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        if self.run in OTHER_FOLDERS:
            raise Refused(
                "run", self.run, f"a name of your own, none of {', '.join(OTHER_FOLDERS)}"
            )
        for name, sweep in self.sweeps.items():
            named: dict[str, tuple[Sequence[str], Mapping[str, Any]]] = {
                "methods": (sweep.methods, self.methods),
                "topologies": (sweep.topologies, self.topologies),
                "delays": (sweep.delays or [], self.delays),
            }
            for key, (entries, known) in named.items():
                for entry in entries:
                    if entry not in known:
                        raise Refused(f"sweeps.{name}.{key}", entry, f"any of {', '.join(known)}")
            for axis, values in sweep.axes.items():
                key = f"sweeps.{name}.axes.{axis}"
                _check_axis(key, values, sweep.topologies, list(self.topologies))
            for axis, values in sweep.one_at_a_time.items():
                key = f"sweeps.{name}.one_at_a_time.{axis}"
                _check_axis(key, values, [], list(self.topologies))
            for place in sweep.topologies if isinstance(sweep.scenario, dict) else ():
                if place not in sweep.scenario:
                    key = f"sweeps.{name}.scenario"
                    raise Refused(key, sweep.scenario, f"a scenario of {place} too")
        for variant, delays in self.delays.items():
            for method in delays.per_method_ms:
                if method not in self.methods:
                    allowed = f"methods: {', '.join(self.methods)}"
                    raise Refused(f"delays.{variant}.per_method_ms", method, allowed)
        return self

    def variants_of(self, sweep: Sweep) -> list[str]:
        """Delay variants that a sweep runs under."""
        usual = [name for name, variant in self.delays.items() if variant.in_every_sweep]
        return usual if sweep.delays is None else sweep.delays

    def runs_of(self, sweep: str) -> int:
        """Runs of each point of a sweep.

        Raises
        ------
        InputError
            If there is no such sweep.
        """
        if sweep not in self.sweeps:
            raise InputError(self.where, "sweeps", sweep, ", ".join(self.sweeps))
        return self.sweeps[sweep].runs or self.runs

    @cached_property
    def all_devices(self) -> dict[str, Device]:
        """Devices by name, those of the files too."""
        return named_in_files(self.device_files, Device, self.devices)

    @cached_property
    def all_models(self) -> dict[str, LanguageModel]:
        """Language models by name, those of the files too."""
        return named_in_files(self.model_files, LanguageModel, self.models)

    def scenario(self, name: str) -> tuple[Mapping[str, Any], str]:
        """Content of a scenario by its name or file, and where it was read from."""
        if name in self.scenarios:
            return self.scenarios[name], f"scenarios.{name} of {self.where}"
        path = Path(name)
        if not path.suffix:
            path = self.scenario_dir / f"{name}.yaml"
            known = sorted([*self.scenarios, *(each.stem for each in path.parent.glob("*.yaml"))])
            if name not in known:
                raise InputError(self.where, "scenario", name, f"a file, or {', '.join(known)}")
        if path not in self._scenario_files:
            self._scenario_files[path] = located(read_yaml(path), path.parent)
        return self._scenario_files[path], str(path)

    @cached_property
    def derived(self) -> dict[Any, Any]:
        """What others have made of these settings, so that it is made once."""
        return {}

    def __copy__(self) -> Self:
        copied = super().__copy__()
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]  # a copy may be changed: what was derived goes
        return copied

    @cached_property
    def _scenario_files(self) -> dict[Path, Mapping[str, Any]]:
        """Content of the files that have been read."""
        return {}


def _check_axis(
    key: str,
    values: list[Any] | dict[str, list[Any]],
    topologies: Sequence[str],
    known: Sequence[str],
) -> None:
    per_topology = values if isinstance(values, dict) else {"default": values}
    for name, entries in per_topology.items():
        if not entries:
            raise Refused(key, values, "at least one value")
        # Values for a topology that this sweep leaves out are no mistake: see config/smoke.yaml.
        if name not in known and name != "default":
            allowed = f"a topology ({', '.join(known)}) or default"
            raise Refused(key, name, allowed)
    for topology in topologies:
        if topology not in per_topology and "default" not in per_topology:
            allowed = f"values for {topology} too, or for default"
            raise Refused(key, ", ".join(per_topology), allowed)


def named_in_files(
    files: Sequence[Path], kind: type[Loaded], given: Mapping[str, Loaded]
) -> dict[str, Loaded]:
    """Entries of some files by name, beside given ones, each knowing its name."""
    named = {name: entry.model_copy(update={"name": name}) for name, entry in given.items()}
    for path in files:
        for name, content in read_yaml(path).items():
            if name in named:
                raise InputError(path, name, "defined twice", "each name once over all files")
            if not isinstance(content, dict):
                allowed = f"a mapping with the keys {', '.join(known_keys(kind, []))}"
                raise InputError(path, str(name), content, allowed)
            entry = validated(kind, content, f"{path}: {name}")
            named[name] = entry.model_copy(update={"name": name})
    return named


def settings_of(content: Mapping[str, Any], where: object) -> Settings:
    """Settings in a mapping; its policy files are imported first, its policies must be known."""
    files = content.get("policy_files")
    for path in files if isinstance(files, list) else []:
        if isinstance(path, str | Path):  # anything else is refused below
            load_policy_file(regular_file(Path(path), "Python file with policies"))
    return validated(Settings, content, where)


def load_settings(*files: str | Path, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Shipped defaults, overlaid by files in their order, and by single keys.

    Relative paths in a file begin at its folder, those of single keys at the working folder.

    Raises
    ------
    InputError, InputErrors
        One line per mistake.
    """
    content = located(read_yaml(DEFAULT), DEFAULT.parent)
    where = seen_from_here(DEFAULT)
    for path in map(Path, files):
        if not (path.exists() and path.samefile(DEFAULT)):
            content = overlaid(content, located(read_yaml(path), path.parent))
            where = str(path)
    keys = located(overrides or {}, Path())
    content = overlaid(content, {key: value for key, value in keys.items() if "." not in key})
    content = with_overrides(content, {key: keys[key] for key in keys if "." in key})
    if run := content.get("run"):
        for key in ("results_dir", "figures_dir"):
            content[key] = f"{content[key]}/{run}"
    return settings_of(content, where)
