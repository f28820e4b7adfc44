"""User-space router that joins TUN devices and holds each packet for its link's delay.

It stands in for ``tc netem``, which not every kernel has. Standard library only: it runs in either
environment.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["DelayLine", "destination", "route_packets"]

PACKET_BYTES = 65536
LONGEST_SLEEP_S = 0.5


def destination(packet: bytes) -> str | None:
    """Destination of an IPv4 packet; None for anything else."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    return ".".join(map(str, packet[16:20]))


@dataclass
class DelayLine:
    """Packets under way between hosts, by the instant at which they arrive."""

    one_way_s: Sequence[Sequence[float]]  # from host to host: half a round trip
    bytes_per_s: Sequence[Sequence[float]]  # of each link, whose packets queue behind one another
    _due: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _link_free_s: dict[tuple[int, int], float] = field(default_factory=dict)
    _number: itertools.count[int] = field(default_factory=itertools.count)

    def put(self, source: int, target: int, packet: bytes, now_s: float) -> None:
        """Take a packet at ``now_s``."""
        link = (source, target)
        sent_s = max(now_s, self._link_free_s.get(link, 0.0))
        sent_s += len(packet) / self.bytes_per_s[source][target]
        self._link_free_s[link] = sent_s
        due_s = sent_s + self.one_way_s[source][target]
        heapq.heappush(self._due, (due_s, next(self._number), target, packet))

    def arrived(self, now_s: float) -> list[tuple[int, bytes]]:
        """Remove and return the packets that have arrived by ``now_s``, with their targets."""
        ready = []
        while self._due and self._due[0][0] <= now_s:
            _, _, target, packet = heapq.heappop(self._due)
            ready.append((target, packet))
        return ready

    def next_s(self) -> float | None:
        """Instant of the next arrival; None if nothing is under way."""
        return self._due[0][0] if self._due else None


def route_packets(tuns: Sequence[int], host_of: Mapping[str, int], line: DelayLine) -> None:
    """Carry packets between the TUN devices of the hosts until killed.

    Packets to an IPv4 address that ``host_of`` does not know are dropped.
    """
    host_of_tun = {tun: host for host, tun in enumerate(tuns)}
    while True:
        next_s = line.next_s()
        sleep_s = LONGEST_SLEEP_S if next_s is None else max(next_s - time.monotonic(), 0.0)
        readable, _, _ = select.select(tuns, (), (), min(sleep_s, LONGEST_SLEEP_S))
        now_s = time.monotonic()
        for tun in readable:
            for packet in _waiting(tun):
                target = host_of.get(destination(packet) or "")
                if target is not None:
                    line.put(host_of_tun[tun], target, packet, now_s)
        for target, packet in line.arrived(time.monotonic()):
            try:
                os.write(tuns[target], packet)
            except BlockingIOError:
                continue  # a full device drops the packet, as a router does; TCP sends it again


def _waiting(tun: int) -> list[bytes]:
    """Packets that a device has for us, so many that no other device starves."""
    packets = []
    for _ in range(64):
        try:
            packets.append(os.read(tun, PACKET_BYTES))
        except BlockingIOError:
            break
    return packets
