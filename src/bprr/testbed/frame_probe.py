"""Frames there and back over TCP between two hosts, pauses between them (standard library only).

The router carries IP packets, so both ends of every connection are the kernel's own TCP: its
window, its idle rule, its retransmission timeout. Run as ``python -m bprr.testbed.frame_probe`` in
new network and PID namespaces, with a job as JSON on standard input; rows come as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from bprr.testbed.delay_router import DelayLine, route_packets
from bprr.testbed.namespaces import enter, new_host

PORT = 4000
DROPPED = 2  # first frames after each pause, until window and pause have found each other
INFO = struct.Struct("=8B24I")  # head of Linux' struct tcp_info


def tcp_state(connection: socket.socket) -> dict[str, float]:
    """Timeout (ms), congestion window (segments) and retransmissions of a connection."""
    raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO.size)
    fields = INFO.unpack(raw)[8:]
    return {"rto_ms": fields[0] / 1000.0, "window": fields[18], "resent": fields[23]}


def received(connection: socket.socket, count: int) -> bool:
    """Read so many bytes; False if the other end has closed."""
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            return False
        count -= len(part)
    return True


def answer(listener: socket.socket) -> None:
    """Send every frame back, once it is whole; each begins with its length. One at a time."""
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while head := connection.recv(8, socket.MSG_WAITALL):
                (size,) = struct.unpack("!Q", head)
                if not received(connection, size - 8):
                    break
                connection.sendall(head + bytes(size - 8))


def connect(address: str) -> tuple[socket.socket, float]:
    """A connection, and the time it took to open (ms)."""
    start_s = time.perf_counter()
    connection = socket.create_connection((address, PORT), timeout=30)
    took_ms = 1000.0 * (time.perf_counter() - start_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection, took_ms


def there_and_back_ms(connection: socket.socket, size: int) -> float:
    """Time until a frame has come back whole (ms)."""
    start_s = time.perf_counter()
    connection.sendall(struct.pack("!Q", size) + bytes(size - 8))
    received(connection, size)
    return 1000.0 * (time.perf_counter() - start_s)


def rows(address: str, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Frames of all sizes: on new connections, and after each pause on an old one."""
    for size in job["frame_bytes"]:
        for repeat in range(job["repeats"]):
            connection, opened_ms = connect(address)
            with connection:
                took_ms = there_and_back_ms(connection, size)
                yield _row(size, None, repeat, took_ms, opened_ms, tcp_state(connection))
        connection, opened_ms = connect(address)
        with connection:
            for pause_s in job["pauses_s"]:
                for repeat in range(-DROPPED, job["repeats"]):
                    time.sleep(pause_s)
                    state = tcp_state(connection)
                    took_ms = there_and_back_ms(connection, size)
                    if repeat >= 0:
                        state["resent"] = tcp_state(connection)["resent"] - state["resent"]
                        yield _row(size, pause_s, repeat, took_ms, opened_ms, state)


def _row(
    size: int, pause_s: float | None, repeat: int, took_ms: float, opened_ms: float,
    state: Mapping[str, float],
) -> dict[str, Any]:  # fmt: skip
    return {
        "frame_bytes": size, "pause_s": pause_s, "repeat": repeat,
        "took_ms": round(took_ms, 3), "opened_ms": round(opened_ms, 3), **state,
    }  # fmt: skip


def main() -> None:
    """Two hosts with a router between them; the second asks, the first answers."""
    job = json.load(sys.stdin)
    addresses = ["10.98.0.1", "10.98.0.2"]
    hosts = [new_host(address, 24, job["controls"]) for address in addresses]
    one_way_s, bytes_per_s = job["rtt_ms"] / 2000.0, job["mbit_per_s"] * 1e6 / 8
    line = DelayLine([[0.0, one_way_s], [one_way_s, 0.0]], [[bytes_per_s] * 2] * 2)
    host_of = {address: host for host, address in enumerate(addresses)}
    children = []
    for work in ("route", "answer"):
        child = os.fork()
        if child == 0:
            if work == "route":
                route_packets([tun for _, tun in hosts], host_of, line)
            enter(hosts[0][0])
            answer(socket.create_server((addresses[0], PORT)))
        children.append(child)
    enter(hosts[1][0])
    time.sleep(0.5)
    for row in rows(addresses[0], job):
        print(json.dumps(row), flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
