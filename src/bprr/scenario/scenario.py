"""A scenario: a swarm, its network and its load, as a user writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from bprr.ground.registry import (
    ADMISSION,
    CHARGING,
    CHURN,
    FORWARDING,
    REPLACEMENT,
    SERVICE,
    Choice,
    ChoiceOf,
)
from bprr.ground.schema import Count, NonNegative, Positive, Refused, Strict
from bprr.ground.swarm import Overheads
from bprr.scenario.beliefs import Believed
from bprr.scenario.demand import Demand
from bprr.scenario.fleet import Fleet
from bprr.scenario.places import ClusteredNetwork, Names, ScenarioNetwork
from bprr.scenario.streams import Purpose
from bprr.settings.messages import validated
from bprr.settings.overrides import located, seen_from_here, with_overrides
from bprr.settings.shipped import SHIPPED
from bprr.settings.yaml_file import read_yaml

__all__ = ["DesignLoad", "Lost", "Scenario", "load_scenario", "scenario_of"]


class DesignLoad(Strict):
    """How the design load R of CG-BP is chosen."""

    load: Count | None = Field(None, description="R itself, instead of the estimate")
    rate_per_s: Positive | None = Field(None, description="plan for this rate, not the actual one")
    count_allocation_delay: bool = Field(
        False, description="the artefact leaves it out (docs/discrepancies.md#d4)"
    )
    count_block_cap: bool = Field(
        False, description="the artefact leaves it out (docs/discrepancies.md#d4)"
    )


class Lost(Strict):
    """A server that is gone when requests come, though blocks were placed with it."""

    server: Literal["most_blocks", "random"] = Field(
        description="the one that was given the most blocks (the fastest of them), or any"
    )
    placed_anew: bool = Field(
        False, description="blocks are placed anew without it; or the others keep theirs"
    )


def _many_or_named(value: Any) -> str:
    # Tags that end in a bracket are left out of messages, as pydantic's own for lists.
    return "[list]" if isinstance(value, str | list) else "[number]"


class Scenario(Strict):
    """All that a placement and a simulation start from."""

    model: str = Field("bloom_176b", description="name of a language model")
    network: ScenarioNetwork = Field(description="where servers and clients are, and how far apart")
    fleet: Fleet = Field(Fleet(), description="which servers there are")
    clients: Annotated[
        Annotated[Count, Tag("[number]")] | Annotated[Names, Tag("[list]")],
        Discriminator(_many_or_named),
    ] = Field(1, description="how many, at random nodes; or the node of each")
    overheads: Overheads = Field(description="what is added to raw round trips")
    workload: Demand = Field(description="which requests come, and when")
    session_tokens: Count | None = Field(
        None, description="tokens of cache per session; input plus output tokens if not given"
    )
    design_load: DesignLoad = Field(DesignLoad(), description="how many sessions CG-BP plans for")
    believed: Believed | None = Field(
        None,
        description="τ and lengths that are planned and routed with; the true ones if not given",
    )
    lost: Lost | None = Field(None, description="a server that is gone when requests come; none")
    join_order: list[Count] | None = Field(
        None, description="servers, from 1, in the order in which they join; random if not given"
    )
    redrawn: list[Purpose] | None = Field(
        None, description="what runs draw anew, e.g. only join_order; everything if not given"
    )
    # What servers do, unless a method says otherwise.
    admission: Annotated[Choice, ChoiceOf(ADMISSION)] = Field(
        "reserve", validate_default=True, description="what happens where caches are full"
    )
    charging: Annotated[Choice, ChoiceOf(CHARGING)] = Field(
        "whole",
        validate_default=True,
        description="which tokens of a session a block is charged with",
    )
    service: Annotated[Choice, ChoiceOf(SERVICE)] = Field(
        "independent", validate_default=True, description="what a server does with several sessions"
    )
    forwarding: Annotated[Choice, ChoiceOf(FORWARDING)] = Field(
        "hub",
        validate_default=True,
        description="who sends to whom; a leg takes half of a round trip and of its overheads",
    )
    engine: Literal["auto", "compiled", "simpy"] = Field(
        "auto", description="with the same results; auto: compiled, where all policies have kernels"
    )
    churn: Annotated[Choice, ChoiceOf(CHURN)] = Field(
        "none", validate_default=True, description="when servers fail and join"
    )
    replacement: Annotated[Choice, ChoiceOf(REPLACEMENT)] = Field(
        "never", validate_default=True, description="when blocks are placed anew"
    )
    reload_s_per_gb: NonNegative = Field(
        8.0, description="to load blocks, when a server joins or is given others"
    )

    @model_validator(mode="after")
    def _servers_named_once(self) -> Scenario:
        fleet = self.fleet
        pinned = fleet.file is not None or isinstance(fleet.servers, list)
        counted = fleet.servers is not None or fleet.servers_per_node is not None or pinned
        given = fleet.model_dump(exclude_defaults=True)
        if isinstance(self.network, ClusteredNetwork):
            if counted or fleet.share or fleet.rest:
                allowed = "in a clustered network the clusters say how many of which device"
                raise Refused("fleet", given, allowed)
            clients = len(self.network.client)
            if "clients" in self.model_fields_set and self.clients != clients:
                allowed = f"{clients}, or nothing: network.client says where clients sit"
                raise Refused("clients", self.clients, allowed)
        elif not counted:
            raise Refused("fleet", given, "servers, servers_per_node or file, one of them")
        elif not pinned and fleet.rest is None and not fleet.share:
            raise Refused("fleet", given, "rest (a device), share (a share per device), or both")
        return self

    @model_validator(mode="after")
    def _legs_pay_the_overheads(self) -> Scenario:
        said = self.forwarding.options.model_fields_set
        if said:
            allowed = "no options: a leg pays half of the scenario's overheads"
            raise Refused("forwarding", self.forwarding.content(), allowed)
        return self

    def files(self, topology_dir: Path) -> list[Path]:
        """Files that a draw reads."""
        parts = (self.network.files(topology_dir), self.workload.files())
        named = (self.fleet.file, getattr(self.churn.options, "file", None))
        own = [path for path in named if path is not None]
        return [*own, *(path for part in parts for path in part)]

    def devices(self) -> Iterator[tuple[str, str]]:
        """Key and name of every device that the scenario names."""
        fleet = self.fleet
        yield from (("fleet.share", name) for name in fleet.share)
        if fleet.rest:
            yield "fleet.rest", fleet.rest
        yield from (("fleet.servers.device", server.device) for server in fleet.pinned)
        yield from (("fleet.memory_gb", name) for name in fleet.memory_gb)
        yield from (("fleet.block_cap", name) for name in fleet.block_cap)
        if isinstance(self.network, ClusteredNetwork):
            for cluster, devices in self.network.clusters.items():
                yield from ((f"network.clusters.{cluster}", name) for name in devices)


def scenario_of(content: Mapping[str, Any], overrides: Mapping[str, Any], where: str) -> Scenario:
    """Scenario in a mapping, with dotted keys set beforehand.

    Raises
    ------
    InputError, InputErrors
        If it cannot be used.
    """
    return validated(Scenario, with_overrides(content, overrides, where), where)


def load_scenario(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Scenario in a file, or a shipped one by its name, e.g. ``"scattered"``.

    Relative paths in a file begin at its folder.

    Parameters
    ----------
    overrides : mapping, optional
        Dotted keys to set, and their values.

    Raises
    ------
    InputError, InputErrors
        If it cannot be used.

    Examples
    --------
    >>> scenario = load_scenario("scattered", {"fleet.servers": 10})
    >>> scenario.fleet.servers, scenario.network.name
    (10, 'abovenet')
    """
    path = Path(path)
    if not path.suffix:
        path = SHIPPED / "config/scenarios" / f"{path}.yaml"
    content = located(read_yaml(path), path.parent)
    return scenario_of(content, overrides or {}, seen_from_here(path))
