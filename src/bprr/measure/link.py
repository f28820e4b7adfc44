"""What is observed of a link to a peer: round trips and bandwidth in both directions."""

from __future__ import annotations

from bprr.measure.network import Peer
from bprr.measure.plan import Visit
from bprr.measure.recorder import Recorder

__all__ = ["observe_link"]

_BITS_PER_BYTE = 8
_WARM_UP = 5


def observe_link(
    peer: Peer, recorder: Recorder, activation_bytes: int, repeats: int, bulk_bytes: int
) -> None:
    """Round trips of nothing and of one token's activation; bandwidth up and down.

    Parameters
    ----------
    peer : Peer
        Open connection.
    recorder : Recorder
        Receives the observations.
    activation_bytes : int
        One token's activation, sent there and back as in a decoding step.
    repeats : int
        Round trips of each kind; bandwidth is observed a fifth as often, at least twice.
    bulk_bytes : int
        Bytes moved per observation of bandwidth. One connection, as a session has.
    """
    for _ in range(_WARM_UP):
        peer.exchange_ms(activation_bytes, activation_bytes)
    round_trip = Visit("network_round_trip", 0, 0, 0)
    for repeat in range(repeats):
        for payload in (1, activation_bytes):
            elapsed = peer.exchange_ms(payload, payload)
            recorder.add(round_trip, elapsed, repeat=repeat, payload_bytes=payload)
    sizes = {"network_upload": (bulk_bytes, 1), "network_download": (1, bulk_bytes)}
    for experiment, (up, down) in sizes.items():
        peer.exchange_ms(up, down)  # opens the congestion window
        for repeat in range(max(2, repeats // 5)):
            mbit_per_s = bulk_bytes * _BITS_PER_BYTE / peer.exchange_ms(up, down) / 1e3
            visit = Visit(experiment, 0, 0, 0)
            recorder.add(visit, mbit_per_s, repeat=repeat, payload_bytes=bulk_bytes)
