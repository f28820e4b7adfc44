"""Network namespaces without names, and TUN devices in them (Linux, root).

A namespace here is held by a file descriptor, a TUN device by another. When the processes that hold
them end, however they end, the kernel removes both: there is nothing to clean up.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["allowing", "enter", "new_host"]

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
DEVICE = "tun0"

CONTROLS = Path("/proc/sys/net/ipv4")

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter(namespace: int) -> None:
    """Move this process into the network namespace of a file descriptor."""
    _checked(_libc.setns(namespace, CLONE_NEWNET), "setns")


@contextmanager
def allowing(algorithms: Iterable[str]) -> Iterator[None]:
    """Let namespaces use congestion controls of the kernel that only its first one may use."""
    path = CONTROLS / "tcp_allowed_congestion_control"
    before = path.read_text(encoding="ascii").split()
    path.write_text(" ".join(dict.fromkeys([*before, *algorithms])), encoding="ascii")
    try:
        yield
    finally:
        path.write_text(" ".join(before), encoding="ascii")


def new_host(
    address: str, prefix_bits: int, controls: Mapping[str, str] | None = None
) -> tuple[int, int]:
    """New network namespace with one TUN device; the caller is inside it afterwards.

    Parameters
    ----------
    address, prefix_bits
        Of the device.
    controls : mapping, optional
        Kernel settings of the namespace, such as ``tcp_congestion_control`` (net/ipv4).

    Returns
    -------
    namespace, tun : int
        File descriptors that keep the namespace and the device alive.
    """
    _checked(_libc.unshare(CLONE_NEWNET), "unshare")
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    for name, value in (controls or {}).items():
        (CONTROLS / name).write_text(value, encoding="ascii")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    for command in (
        "link set lo up",
        f"addr add {address}/{prefix_bits} dev {DEVICE}",
        f"link set {DEVICE} txqueuelen 1000 up",
    ):
        subprocess.run(["ip", *command.split()], check=True, timeout=10)
    return namespace, tun
