"""How the hosts of a swarm are numbered and addressed.

Host 0 is the first peer, then come the servers, then the client positions. Standard library only:
both environments read it.
"""

from __future__ import annotations

__all__ = ["FIRST_PEER", "PORT", "PREFIX_BITS", "address_of", "client_host", "server_host"]

PORT = 31330
PREFIX_BITS = 24
FIRST_PEER = 0


def server_host(server: int) -> int:
    """Host of a server."""
    return 1 + server


def client_host(client: int, servers: int) -> int:
    """Host of a client position."""
    return 1 + servers + client


def address_of(host: int) -> str:
    """IPv4 address of a host."""
    return f"10.99.0.{host + 1}"
