"""TCP round trip and bandwidth to a peer: a small server and its client (no torch needed).

A request is one byte and two sizes, `!cQQ`: bytes that follow, and bytes wanted back. So a round
trip, an upload and a download are one protocol.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from bprr.ground.errors import BprrError, InputError

__all__ = ["Peer", "parse_address", "serve", "serving_in_background"]

_HEADER = struct.Struct("!cQQ")
_MAGIC = b"b"
_MOST_BYTES = 256 * 1024**2
_CHUNK_BYTES = 1024**2
_TIMEOUT_S = 60.0


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises
    ------
    InputError
        If it is not of this form.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError("--peer", "address", text, "host:port")
    return host.strip("[]"), int(port)


def _read_exactly(connection: socket.socket, count: int) -> bytes | None:
    """Header bytes, or None if the peer hung up before the first of them."""
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            if parts:
                raise ConnectionError("the peer hung up within a message")
            return None
        parts += part
    return bytes(parts)


def _discard(connection: socket.socket, count: int) -> None:
    buffer = bytearray(min(count, _CHUNK_BYTES))
    while count:
        received = connection.recv_into(buffer, min(count, len(buffer)))
        if not received:
            raise ConnectionError("the peer hung up within a message")
        count -= received


def _send_zeros(connection: socket.socket, count: int) -> None:
    chunk = bytes(min(count, _CHUNK_BYTES))
    while count:
        size = min(count, len(chunk))
        connection.sendall(chunk[:size])
        count -= size


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.settimeout(_TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (header := _read_exactly(connection, _HEADER.size)) is not None:
                magic, coming, wanted = _HEADER.unpack(header)
                if magic != _MAGIC or max(coming, wanted) > _MOST_BYTES:
                    return  # not our client
                _discard(connection, coming)
                _send_zeros(connection, wanted)
        except OSError:
            return  # a client that went away concerns nobody else


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(host: str, port: int) -> None:
    """Answer clients until interrupted.

    Parameters
    ----------
    host : str
        Address to listen at; an empty one means all.
    port : int
        TCP port.

    Raises
    ------
    BprrError
        If the port cannot be opened.
    """
    try:
        server = _Server((host, port), _Handler)
    except OSError as error:
        raise BprrError(f"cannot listen on port {port}: {error.strerror or error}") from error
    with server:
        server.serve_forever()


@contextmanager
def serving_in_background() -> Iterator[tuple[str, int]]:
    """Answer clients on this machine only, at a port the system chooses.

    Yields
    ------
    host : str
    port : int
    """
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        host, port = server.server_address[:2]
        yield str(host), int(port)
        server.shutdown()
        thread.join()


class Peer:
    """Connection to a server, kept open as PETALS keeps the stream of a session.

    Parameters
    ----------
    host : str
    port : int

    Raises
    ------
    BprrError
        If nobody answers.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            self._connection = socket.create_connection((host, port), timeout=_TIMEOUT_S)
        except OSError as error:
            reason = error.strerror or str(error)
            raise BprrError(f"no answer from {host}:{port}: {reason}") from error
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def exchange_ms(self, send_bytes: int, receive_bytes: int) -> float:
        """Time to send so many bytes and get so many back (ms).

        Raises
        ------
        BprrError
            If the peer hangs up or speaks another protocol.
        """
        try:
            start = time.perf_counter()
            self._connection.sendall(_HEADER.pack(_MAGIC, send_bytes, receive_bytes))
            _send_zeros(self._connection, send_bytes)
            _discard(self._connection, receive_bytes)
            return (time.perf_counter() - start) * 1e3
        except OSError as error:
            raise BprrError(f"the peer stopped answering: {error}") from error
