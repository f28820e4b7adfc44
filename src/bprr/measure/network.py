"""TCP round trips and bandwidth to a peer: a small server and its client (no torch needed).

A request is one byte and two sizes, `!cQQ`: bytes that follow, and bytes wanted back. So a round
trip, an upload and a download are one protocol.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

from bprr.ground.errors import BprrError, InputError
from bprr.measure.plan import Visit
from bprr.measure.trace import Recorder

__all__ = [
    "MOST_BYTES",
    "Peer",
    "observe_link",
    "parse_address",
    "serve",
    "serving_in_background",
]

_HEADER = struct.Struct("!cQQ")
_MAGIC = b"b"
MOST_BYTES = 256 * 1024**2
_CHUNK_BYTES = 1024**2
_TIMEOUT_S = 60.0
_WARM_UP = 5


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises
    ------
    InputError
        If it is not of this form.
    """
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise InputError("--peer", "address", text, "host:port")
    return host.strip("[]"), int(port)


def _discard(stream: BufferedIOBase, count: int) -> None:
    buffer = memoryview(bytearray(min(count, _CHUNK_BYTES)))
    while count:
        received = stream.readinto(buffer[:count])
        if not received:
            raise ConnectionError("the peer hung up within a message")
        count -= received


def _send_zeros(connection: socket.socket, count: int) -> None:
    chunk = memoryview(bytes(min(count, _CHUNK_BYTES)))
    for start in range(0, count, _CHUNK_BYTES):
        connection.sendall(chunk[: count - start])


class _Handler(StreamRequestHandler):
    timeout = _TIMEOUT_S
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(OSError):  # a client that went away concerns nobody else
            while len(header := self.rfile.read(_HEADER.size)) == _HEADER.size:
                magic, coming, wanted = _HEADER.unpack(header)
                if magic != _MAGIC or max(coming, wanted) > MOST_BYTES:
                    return  # not our client
                _discard(self.rfile, coming)
                _send_zeros(self.connection, wanted)


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(host: str, port: int) -> None:
    """Answer clients until interrupted, at an address of this machine (an empty one: at all).

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
    """Answer clients on this machine only; yields host and a port that the system chooses."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        host, port = server.server_address[:2]
        yield str(host), int(port)
        server.shutdown()
        thread.join()


class Peer:
    """Connection to a server, kept open as PETALS keeps the stream of a session.

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
        self._stream = self._connection.makefile("rb")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
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
            _discard(self._stream, receive_bytes)
            return (time.perf_counter() - start) * 1e3
        except OSError as error:
            raise BprrError(f"the peer stopped answering: {error}") from error


def observe_link(
    peer: Peer, recorder: Recorder, activation_bytes: int, repeats: int, bulk_bytes: int
) -> None:
    """Round trips of nothing and of one token's activation; bandwidth up and down.

    Parameters
    ----------
    peer : Peer
        One connection, as a session has.
    recorder : Recorder
        Receives the observations.
    activation_bytes, bulk_bytes : int
        Sent there and back as in a decoding step; moved per observation of bandwidth.
    repeats : int
        Round trips of each kind; bandwidth is observed a fifth as often, at least twice.
    """
    for _ in range(_WARM_UP):
        peer.exchange_ms(activation_bytes, activation_bytes)
    for repeat in range(repeats):
        for payload in (1, activation_bytes):
            elapsed = peer.exchange_ms(payload, payload)
            recorder.add(Visit("network_round_trip", 0, 0, 0), elapsed, 0, repeat, payload)
    for experiment, up, down in (
        ("network_upload", bulk_bytes, 1),
        ("network_download", 1, bulk_bytes),
    ):
        peer.exchange_ms(up, down)  # opens the congestion window
        for repeat in range(max(2, repeats // 5)):
            mbit_per_s = bulk_bytes * 8 / peer.exchange_ms(up, down) / 1e3
            recorder.add(Visit(experiment, 0, 0, 0), mbit_per_s, 0, repeat, bulk_bytes)
