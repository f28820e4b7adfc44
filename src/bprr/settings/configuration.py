"""Settings: what a user may write, and the only place with defaults.

Every key a user may write is a field here, with its unit in its name and its range; an unknown or
unusable one is refused with file, key, value and what is allowed, before anything runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from bprr.ground.errors import InputError
from bprr.ground.schema import (
    Count,
    MemoryGb,
    Milliseconds,
    Positive,
    Refused,
    Share,
    Strict,
)
from bprr.ground.swarm import BYTES_PER_GB, Device, LanguageModel
from bprr.settings.messages import Loaded, known_keys, validated
from bprr.settings.overrides import parse_override, with_overrides
from bprr.settings.yaml_file import read_yaml

__all__ = [
    "DeviceProfile",
    "MethodSettings",
    "ModelSettings",
    "Scenario",
    "Settings",
    "SweepSettings",
    "json_schema",
    "load_devices",
    "load_models",
    "load_scenario",
    "load_settings",
    "parse_override",
    "validated",
    "with_overrides",
]


class ModelSettings(Strict):
    """A language model (``data/published/models.yaml``)."""

    blocks: Count
    d_model: Count
    max_sequence_tokens: Count
    parameters_per_block: Count
    bits_per_parameter: Positive
    storage_overhead: Annotated[float, Field(ge=1, strict=True)] = 1.0
    cache_bytes_per_value: Positive = 2.0
    key_value_groups: Count = 1
    source: str

    def language_model(self, name: str) -> LanguageModel:
        """The model with its memory in GB."""
        block_bytes = self.parameters_per_block * self.bits_per_parameter / 8
        return LanguageModel(
            name=name,
            blocks=self.blocks,
            d_model=self.d_model,
            block_gb=block_bytes * self.storage_overhead / BYTES_PER_GB,
            cache_bytes_per_value=self.cache_bytes_per_value,
            key_value_groups=self.key_value_groups,
            max_sequence_tokens=self.max_sequence_tokens,
        )


class DeviceProfile(Strict):
    """A kind of device (``data/published/devices.yaml``, or the output of ``bprr fit``)."""

    title: str = ""
    tau_ms: Annotated[float, Field(gt=0, le=100_000, strict=True)]
    prefill_ms: Milliseconds
    prefill_ms_per_token: Milliseconds = 0.0
    memory_gb: MemoryGb
    forward_rps: Positive
    network_rps: Positive
    source: str
    provenance: dict[str, Any] = {}

    def device(self, name: str) -> Device:
        """The profile under the name a scenario uses."""
        return Device(
            name,
            self.tau_ms,
            self.prefill_ms,
            self.prefill_ms_per_token,
            self.memory_gb,
            self.forward_rps,
            self.network_rps,
            self.source,
        )


class TopologyNetwork(Strict):
    """A backbone network of ``data/topologies``."""

    kind: Literal["topology"]
    name: str


class RepetitaNetwork(Strict):
    """A REPETITA ``.graph`` file."""

    kind: Literal["repetita"]
    file: Path


class TopohubNetwork(Strict):
    """A topology of the ``topohub`` package, e.g. ``topozoo/Abilene``."""

    kind: Literal["topohub"]
    name: str
    us_per_km: Positive = 1.67  # as in the tables of data/topologies


class GeoNetworkSettings(Strict):
    """Random places on Earth with great-circle delays."""

    kind: Literal["geo"]
    nodes: Count
    us_per_km: Positive = 5.0  # light in fibre


class ClusteredNetwork(Strict):
    """Clusters of servers; a client sits in one of them."""

    kind: Literal["clustered"]
    clusters: dict[str, dict[str, Annotated[int, Field(ge=0, strict=True)]]]
    client: str | list[str]
    intra_rtt_ms: Milliseconds = 5.0
    inter_rtt_ms: Milliseconds = 100.0

    @model_validator(mode="after")
    def _client_in_a_cluster(self) -> ClusteredNetwork:
        for name in self.client_clusters:
            if name not in self.clusters:
                raise Refused("client", name, f"one of the clusters {', '.join(self.clusters)}")
        return self

    @property
    def client_clusters(self) -> list[str]:
        """Cluster of each client."""
        return [self.client] if isinstance(self.client, str) else self.client


NetworkSettings = Annotated[
    TopologyNetwork | RepetitaNetwork | TopohubNetwork | GeoNetworkSettings | ClusteredNetwork,
    Field(discriminator="kind"),
]


class FleetSettings(Strict):
    """Which servers there are. In a clustered network the clusters say it."""

    servers: Count | None = None
    servers_per_node: Annotated[float, Field(gt=0, le=1, strict=True)] | None = None
    share: dict[str, Share] = {}
    rest: str | None = None
    memory_gb: dict[str, MemoryGb] = {}

    @model_validator(mode="after")
    def _shares_fit(self) -> FleetSettings:
        if sum(self.share.values()) > 1 + 1e-9:
            raise Refused("share", self.share, "shares that add up to at most 1")
        if self.servers is not None and self.servers_per_node is not None:
            both = f"{self.servers} with servers_per_node: {self.servers_per_node}"
            raise Refused("servers", both, "servers or servers_per_node, not both")
        return self


class OverheadSettings(Strict):
    """What is added to raw round trips (paper, section 9)."""

    token_ms: Milliseconds
    prompt_ms: Milliseconds
    prompt_ms_per_token: Milliseconds = 0.0
    initial_ms: Milliseconds


class PoissonWorkload(Strict):
    """Poisson arrivals of equal requests."""

    kind: Literal["poisson"] = "poisson"
    rate_per_s: Annotated[float, Field(gt=0, le=1e6, strict=True)]
    requests: Count | None = None
    duration_s: Positive | None = None
    input_tokens: Count
    output_tokens: Count
    per_servers: Count | None = Field(
        None, description="rate_per_s and requests are meant for so many servers, and scale"
    )

    @model_validator(mode="after")
    def _one_length(self) -> PoissonWorkload:
        if (self.requests is None) == (self.duration_s is None):
            both = f"{self.requests} with duration_s: {self.duration_s}"
            raise Refused("requests", both, "requests or duration_s, one of them and not both")
        return self


class TraceWorkload(Strict):
    """Replay of a CSV of timestamp, input tokens, output tokens."""

    kind: Literal["trace"]
    file: Path
    requests: Count | None = None
    speed: Positive = 1.0


class DesignLoadSettings(Strict):
    """How the design load R of CG-BP is chosen."""

    load: Count | None = Field(None, description="R itself, instead of the estimate")
    rate_per_s: Positive | None = Field(None, description="plan for this rate, not the actual one")
    count_allocation_delay: bool = Field(False, description="the artefact leaves it out (§12.4)")
    count_block_cap: bool = Field(False, description="the artefact leaves it out (§12.4)")


class PetalsRoutingSettings(Strict):
    """Constants of PETALS' routing (paper, section 6)."""

    hop_overhead_ms: Milliseconds = 18.0
    full_penalty_ms: Milliseconds = 10_000.0


class BackOffSettings(Strict):
    """Binary exponential back-off of a request that must wait (paper, section 5)."""

    first_ms: Positive = 1_000.0
    longest_ms: Positive = 60_000.0


class OffloadingSettings(Strict):
    """The baseline without distribution: one GPU, weights streamed for every token."""

    device: str = "a100"
    pcie_gb_per_s: Positive = Field(32.0, description="PCIe 4.0 x16, nominal 256 Gbit/s")
    ssd_gb_per_s: Positive = Field(8.0, description="NVMe on PCIe 4.0 x4, nominal 64 Gbit/s")
    buffered_blocks: Count = 2


class Scenario(Strict):
    """A swarm, its network and its load: all that a placement and a simulation start from."""

    model: str = "bloom_176b"
    network: NetworkSettings
    fleet: FleetSettings = FleetSettings()
    clients: Count = 1
    overheads: OverheadSettings
    workload: Annotated[PoissonWorkload | TraceWorkload, Field(discriminator="kind")]
    session_tokens: Count | None = Field(
        None, description="tokens of cache per session; input plus output tokens if not given"
    )
    block_cap: dict[str, Count] = Field({}, description="most blocks on a device (§12.9)")
    design_load: DesignLoadSettings = DesignLoadSettings()
    petals: PetalsRoutingSettings = PetalsRoutingSettings()
    back_off: BackOffSettings = BackOffSettings()
    offloading: OffloadingSettings = OffloadingSettings()
    admission: str = "reserve"
    charging: str = "whole"

    @model_validator(mode="after")
    def _servers_named_once(self) -> Scenario:
        fleet = self.fleet
        counted = fleet.servers is not None or fleet.servers_per_node is not None
        given = fleet.model_dump(exclude_defaults=True)
        if self.network.kind == "clustered":
            if counted or fleet.share or fleet.rest:
                allowed = "in a clustered network only memory_gb; the clusters say the rest"
                raise Refused("fleet", given, allowed)
        elif not counted:
            raise Refused("fleet", given, "servers or servers_per_node, one of them")
        elif fleet.rest is None and not fleet.share:
            raise Refused("fleet", given, "rest (a device), share (a share per device), or both")
        return self


class MethodSettings(Strict):
    """A method: a placement, a routing, and the delay the artefact sets by hand."""

    label: str
    placement: str
    routing: str
    admission: str | None = Field(None, description="instead of the scenario's")
    allocation_delay_ms: Milliseconds = Field(
        0.0, description="published allocation delay (§12.1); 0 in the variant 'none'"
    )


class SweepSettings(Strict):
    """One figure or table of the paper: a scenario, and what varies."""

    title: str
    scenario: str
    topologies: Annotated[list[str], Field(min_length=1)]
    axes: dict[str, list[Any] | dict[str, list[Any]]] = Field(
        description="dotted key of the scenario: values, or values per topology"
    )
    set: dict[str, Any] = Field({}, description="dotted keys of the scenario to set beforehand")
    methods: Annotated[list[str], Field(min_length=1)]
    replace_placement: dict[str, str] = Field(
        {}, description="method: placement, where the artefact runs another one in this figure"
    )
    replace_allocation_delay_ms: dict[str, Milliseconds] = Field(
        {}, description="method: published delay, where the artefact sets another one here"
    )
    x_label: str = ""
    runs: Count | None = None

    def points(self, topology: str) -> list[dict[str, Any]]:
        """Dotted keys and values of each point, the first axis varying slowest."""
        values = [
            axis[topology if topology in axis else "default"] if isinstance(axis, dict) else axis
            for axis in self.axes.values()
        ]
        return [dict(zip(self.axes, point, strict=True)) for point in itertools.product(*values)]


SolverName = Literal["highs", "cbc", "gurobi", "scip"]


class OfflineSettings(Strict):
    """Experiments on the offline optimum."""

    scale: Literal["smoke", "main", "study"] = "main"
    network: str = Field("bellcanada", description="where the scattered swarms are")
    time_limit_s: Positive = 60.0
    threads: Count = 2
    options: dict[SolverName, dict[str, Any]] = Field({}, description="per solver, its own names")


class Settings(Strict):
    """The whole configuration (``config/default.yaml``)."""

    results_dir: str = "results"
    figures_dir: str = "figures"
    seed: Annotated[int, Field(ge=0, strict=True)]
    runs: Count
    confidence: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.95
    allocation_delays: list[Literal["published", "none"]] = ["published", "none"]
    device_files: list[Path] = [Path("data/published/devices.yaml")]
    model_files: list[Path] = [Path("data/published/models.yaml")]
    topology_dir: Path = Path("data/topologies")
    scenario_dir: Path = Path("config/scenarios")
    solver: SolverName = "highs"
    offline: OfflineSettings = OfflineSettings()
    topologies: dict[str, dict[str, Any]]
    methods: dict[str, MethodSettings]
    sweeps: dict[str, SweepSettings]

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        for name, sweep in self.sweeps.items():
            for key, known in (("methods", self.methods), ("topologies", self.topologies)):
                for entry in getattr(sweep, key):
                    if entry not in known:
                        raise Refused(f"sweeps.{name}.{key}", entry, f"any of {', '.join(known)}")
            for entry in {*sweep.replace_placement, *sweep.replace_allocation_delay_ms}:
                if entry not in sweep.methods:
                    allowed = f"methods of this sweep: {', '.join(sweep.methods)}"
                    raise Refused(f"sweeps.{name}", f"a replacement for {entry}", allowed)
            for axis, values in sweep.axes.items():
                key = f"sweeps.{name}.axes.{axis}"
                _check_axis(key, values, sweep.topologies, list(self.topologies))
        return self


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


def json_schema() -> dict[str, Any]:
    """JSON schema of the configuration, of scenarios, and of device and model files."""
    kinds: dict[str, type[BaseModel]] = {
        "configuration": Settings,
        "scenario": Scenario,
        "device": DeviceProfile,
        "model": ModelSettings,
    }
    return {name: kind.model_json_schema() for name, kind in kinds.items()}


def load_settings(path: Path) -> Settings:
    """Read and check the whole configuration."""
    return validated(Settings, read_yaml(path), path)


def load_scenario(
    path: Path, overrides: Mapping[str, Any] | None = None, where: str | None = None
) -> Scenario:
    """Read and check one scenario file, with dotted keys set beforehand.

    Parameters
    ----------
    path : Path
        The file.
    overrides : mapping, optional
        Dotted keys and their values.
    where : str, optional
        Who sets them, for messages.
    """
    source = f"{path} as set by {where}" if where else str(path)
    try:
        content = with_overrides(read_yaml(path), overrides or {})
    except InputError as error:
        if error.where != str(path):
            raise InputError(source, error.key, error.value, error.allowed) from None
        raise
    return validated(Scenario, content, source)


def _load_named(files: Sequence[Path], kind: type[Loaded]) -> dict[str, Loaded]:
    named: dict[str, Loaded] = {}
    for path in files:
        for name, content in read_yaml(path).items():
            if name in named:
                raise InputError(path, name, "defined twice", "each name once over all files")
            if not isinstance(content, dict):
                keys = ", ".join(known_keys(kind, []))
                raise InputError(path, str(name), content, f"a mapping with the keys {keys}")
            named[name] = validated(kind, content, f"{path}: {name}")
    return named


def load_devices(files: Sequence[Path]) -> dict[str, DeviceProfile]:
    """Device profiles by name."""
    return _load_named(files, DeviceProfile)


def load_models(files: Sequence[Path]) -> dict[str, ModelSettings]:
    """Language models by name."""
    return _load_named(files, ModelSettings)
