"""Which servers there are: how many, with which devices and how much memory."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.schema import Count, MemoryGb, Refused, Share, Strict
from bprr.scenario.streams import Streams

__all__ = ["Fleet", "round_half_up"]


def round_half_up(value: float) -> int:
    """Nearest whole number, halves up, as in the artefact."""
    return int(np.floor(value + 0.5))


class Fleet(Strict):
    """Which servers there are. In a clustered network the clusters say how many of which."""

    servers: Count | None = None
    servers_per_node: Annotated[float, Field(gt=0, le=1, strict=True)] | None = None
    share: dict[str, Share] = {}
    rest: str | None = None
    memory_gb: dict[str, MemoryGb] = Field({}, description="instead of the device's own")
    block_cap: dict[str, Count] = Field(
        {}, description="most blocks on a device, whatever its memory (docs/discrepancies.md#d9)"
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Fleet:
        if sum(self.share.values()) > 1 + 1e-9:
            raise Refused("share", self.share, "shares that add up to at most 1")
        if self.servers is not None and self.servers_per_node is not None:
            both = f"{self.servers} with servers_per_node: {self.servers_per_node}"
            raise Refused("servers", both, "servers or servers_per_node, not both")
        return self

    @property
    def dealt(self) -> dict[str, float]:
        """Share of each device that is dealt to servers, the rest last."""
        if self.rest is None:
            return self.share
        left = 1.0 - sum(share for name, share in self.share.items() if name != self.rest)
        return {**self.share, self.rest: left}

    def count(self, nodes: int) -> int:
        """Number of servers in a network of so many nodes."""
        if self.servers is not None:
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
