"""Which servers there are: how many, with which devices and how much memory."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator

from bprr.ground.schema import Count, MemoryGb, Refused, Share, Strict
from bprr.ground.tables import NUMBER, TEXT, WHOLE, Schema, read_csv
from bprr.scenario.streams import Streams
from bprr.settings.messages import validated

__all__ = ["Fleet", "PinnedServers", "round_half_up"]

SERVERS = Schema(
    "servers",
    {
        "device": TEXT,
        "at": TEXT,
        "count": WHOLE.optional,
        "memory_gb": NUMBER.optional,
        "block_cap": WHOLE.optional,
    },
)


def round_half_up(value: float) -> int:
    """Nearest whole number, halves up, as in the artefact."""
    return int(np.floor(value + 0.5))


class PinnedServers(Strict):
    """Servers of one kind at one node of the network."""

    device: str = Field(description="name of a device")
    at: str = Field(description="name of a node")
    count: Count = Field(1, description="how many of them")
    memory_gb: MemoryGb | None = Field(None, description="of each, instead of the device's own")
    block_cap: Count | None = Field(None, description="most blocks on each, whatever its memory")


def _one_or_many(value: Any) -> str:
    # Tags that end in a bracket are left out of messages, as pydantic's own for lists.
    return "[list]" if isinstance(value, list | tuple) else "[number]"


class Fleet(Strict):
    """Which servers there are. In a clustered network the clusters say how many of which."""

    servers: (
        Annotated[
            Annotated[Count, Tag("[number]")] | Annotated[list[PinnedServers], Tag("[list]")],
            Discriminator(_one_or_many),
        ]
        | None
    ) = Field(None, description="how many, at random nodes; or which, and where")
    file: Path | None = Field(None, description="CSV of device, at, count, memory_gb, block_cap")
    servers_per_node: Annotated[float, Field(gt=0, le=1, strict=True)] | None = Field(
        None, description="how many servers, as a share of the nodes; goes without `servers`"
    )
    share: dict[str, Share] = Field(
        {}, description="by device: share of the servers, rounded half up"
    )
    rest: str | None = Field(None, description="device of all other servers")
    memory_gb: dict[str, MemoryGb] = Field({}, description="instead of the device's own")
    block_cap: dict[str, Count] = Field(
        {}, description="most blocks on a device, whatever its memory (docs/discrepancies.md#d9)"
    )

    scale_profiles: bool = Field(
        False,
        description="use profiles measured with another model, decoding scaled by the bytes of a"
        " block and prefill by its parameters",
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Fleet:
        if sum(self.share.values()) > 1 + 1e-9:
            raise Refused("share", self.share, "shares that add up to at most 1")
        if self.rest is None and self.share and sum(self.share.values()) < 1 - 1e-9:
            allowed = f"a device for what {self.share} leaves over, or shares that add up to 1"
            raise Refused("rest", "nothing", allowed)
        if self.servers is not None and self.servers_per_node is not None:
            both = f"{self.servers} with servers_per_node: {self.servers_per_node}"
            raise Refused("servers", both, "servers or servers_per_node, not both")
        pinned = isinstance(self.servers, list) or self.file is not None
        if pinned and (self.share or self.rest or self.servers_per_node is not None):
            allowed = "nothing: the servers are listed one by one"
            raise Refused("share", self.share or self.rest or self.servers_per_node, allowed)
        if self.file is not None and self.servers is not None:
            raise Refused("file", str(self.file), "servers or file, not both")
        if self.servers == []:
            raise Refused("servers", [], "at least one server")
        return self

    @cached_property
    def pinned(self) -> list[PinnedServers]:
        """Servers that are listed with their places; none where they are dealt at random.

        Raises
        ------
        InputError, InputErrors
            If their file cannot be used.
        """
        if self.file is None:
            return self.servers if isinstance(self.servers, list) else []
        table = read_csv(self.file, SERVERS)
        rows: list[PinnedServers] = []
        for line, values in enumerate(table.to_dict("records"), start=2):
            given = {
                str(name): int(value) if SERVERS.columns[str(name)].kind == "whole" else value
                for name, value in values.items()
                if name in SERVERS.columns and value == value  # not NaN
            }
            rows.append(validated(PinnedServers, given, f"{self.file} (line {line})"))
        return rows

    @property
    def dealt(self) -> dict[str, float]:
        """Share of each device that is dealt to servers, the rest last."""
        if self.rest is None:
            return self.share
        left = 1.0 - sum(share for name, share in self.share.items() if name != self.rest)
        return {**self.share, self.rest: left}

    def count(self, nodes: int) -> int:
        """Number of servers in a network of so many nodes."""
        if isinstance(self.servers, int):
            return self.servers
        assert self.servers_per_node is not None  # checked by Scenario
        return max(round_half_up(self.servers_per_node * nodes), 1)

    def deal(self, count: int, streams: Streams) -> list[str]:
        """Device of each server: shares rounded half up, dealt at random, the rest last."""
        rest = self.rest or list(self.share)[-1]
        dealt = [rest] * count
        rank = np.argsort(streams.of("devices").random(count), kind="stable")
        given = 0
        for device, share in self.share.items():
            amount = min(round_half_up(share * count), count - given)
            for server in rank[given : given + amount]:
                dealt[server] = device
            given += amount
        return dealt
