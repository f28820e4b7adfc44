"""What is served and by whom: models, devices, servers, clients (paper, section 2).

A `Swarm` is frozen and holds arrays, one entry per server, so that every later stage is a pure
function of it. Units are in the names; memory is in GB = 1e9 bytes, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["BYTES_PER_GB", "Device", "LanguageModel", "Swarm", "floor_ratio"]

BYTES_PER_GB = 1e9

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def floor_ratio(amount: FloatArray | float, unit: float) -> IntArray:
    """Whole units that fit into an amount, forgiving the rounding of a ratio that is whole.

    Parameters
    ----------
    amount : float or ndarray
        What there is.
    unit : float
        Size of one unit, positive.

    Returns
    -------
    ndarray of int64
        ``floor(amount / unit)``, where a ratio within 1e-9 below a whole number counts as it;
        never negative.
    """
    ratio = np.asarray(amount, dtype=float) / unit
    whole = np.floor(ratio + 1e-9 * np.maximum(1.0, np.abs(ratio)))
    return np.maximum(whole, 0).astype(np.int64)


@dataclass(frozen=True)
class LanguageModel:
    """A decoder-only transformer of identical consecutive blocks.

    Parameters
    ----------
    name : str
        Name shown to the user.
    blocks : int
        Number of blocks, L.
    d_model : int
        Width of the hidden state.
    block_gb : float
        Memory of one block's parameters, s_m (GB).
    cache_bytes_per_value : float
        Bytes of one cached value.
    key_value_groups : int
        Query heads that share one key-value head (1 without grouped queries).
    max_sequence_tokens : int
        Longest sequence the model accepts.
    """

    name: str
    blocks: int
    d_model: int
    block_gb: float
    cache_bytes_per_value: float = 2.0
    key_value_groups: int = 1
    max_sequence_tokens: int = 2048

    @property
    def cache_gb_per_token(self) -> float:
        """Attention cache of one token in one block (GB): s_c per token of a session."""
        values = 2 * self.d_model / self.key_value_groups
        return values * self.cache_bytes_per_value / BYTES_PER_GB

    def session_cache_gb(self, tokens: int) -> float:
        """Attention cache of one session of ``tokens`` tokens in one block, s_c (GB)."""
        return self.cache_gb_per_token * tokens


@dataclass(frozen=True)
class Device:
    """Performance profile of one kind of GPU (or CPU), as measured or published.

    Parameters
    ----------
    name : str
        Name shown to the user.
    tau_ms : float
        Time per block and token when decoding, τ (ms).
    prefill_ms, prefill_ms_per_token : float
        Time per block to prefill a prompt: τ^I(l_in) = prefill_ms + prefill_ms_per_token · l_in.
    memory_gb : float
        Usable memory, M (GB).
    forward_rps, network_rps : float
        Throughputs that PETALS announces (requests/s per block; requests/s of the network link).
    source : str
        Where the numbers come from.
    """

    name: str
    tau_ms: float
    prefill_ms: float
    prefill_ms_per_token: float
    memory_gb: float
    forward_rps: float
    network_rps: float
    source: str = ""


@dataclass(frozen=True)
class Swarm:
    """Servers and clients with the round-trip times between them.

    Parameters
    ----------
    model : LanguageModel
        The model that is served.
    memory_gb, tau_ms, prefill_ms, prefill_ms_per_token : ndarray, shape (S,)
        Per server: M_j (GB), τ_j (ms), and the two terms of τ^I_j(l_in) (ms, ms/token).
    token_rtt_ms : ndarray, shape (C, S)
        t_cj: round trip for one token's activations, overhead included (ms).
    prompt_rtt_ms : ndarray, shape (C, S)
        t^I_cj at zero input tokens, overhead included (ms).
    prompt_rtt_ms_per_token : float
        What each input token adds to t^I_cj (ms).
    raw_rtt_ms : ndarray, shape (C, S), optional
        Client-server round trip of the bare network (ms); `token_rtt_ms` if not given.
    server_rtt_ms : ndarray, shape (S, S), optional
        Server-server round trip of the bare network (ms); only PETALS' routing reads it.
    forward_rps, network_rps : ndarray, shape (S,), optional
        Throughputs announced to PETALS' placement (requests/s).
    device : sequence of str, optional
        Kind of device of each server.
    """

    model: LanguageModel
    memory_gb: FloatArray
    tau_ms: FloatArray
    prefill_ms: FloatArray
    prefill_ms_per_token: FloatArray
    token_rtt_ms: FloatArray
    prompt_rtt_ms: FloatArray
    prompt_rtt_ms_per_token: float = 0.0
    raw_rtt_ms: FloatArray = None  # type: ignore[assignment]
    server_rtt_ms: FloatArray | None = None
    forward_rps: FloatArray | None = None
    network_rps: FloatArray | None = None
    device: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Make every array float64, contiguous and read-only, and check the shapes."""
        servers = np.asarray(self.memory_gb).shape[0]
        clients = np.atleast_2d(np.asarray(self.token_rtt_ms)).shape[0]
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(
                ("memory_gb", "tau_ms", "prefill_ms", "prefill_ms_per_token"), (servers,)
            ),
            **dict.fromkeys(("forward_rps", "network_rps"), (servers,)),
            **dict.fromkeys(("token_rtt_ms", "prompt_rtt_ms", "raw_rtt_ms"), (clients, servers)),
            "server_rtt_ms": (servers, servers),
        }
        if self.raw_rtt_ms is None:
            object.__setattr__(self, "raw_rtt_ms", self.token_rtt_ms)
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is None:
                continue
            array = np.array(value, dtype=np.float64, order="C")
            if len(shape) == 2:
                array = np.atleast_2d(array)
            if array.shape != shape:
                raise ValueError(f"Swarm.{name} has shape {array.shape}, expected {shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "device", tuple(self.device) or ("server",) * servers)
        if len(self.device) != servers:
            raise ValueError(f"Swarm.device has {len(self.device)} entries, expected {servers}")

    @property
    def servers(self) -> int:
        """Number of servers, |V_s|."""
        return int(self.memory_gb.shape[0])

    @property
    def clients(self) -> int:
        """Number of clients, |V_c|."""
        return int(self.token_rtt_ms.shape[0])

    def decode_only(self) -> Swarm:
        """Same swarm without prefill: a chain's time over l + 1 tokens is then objective (13a)."""
        return replace(
            self,
            prefill_ms=np.zeros(self.servers),
            prefill_ms_per_token=np.zeros(self.servers),
            prompt_rtt_ms=np.zeros((self.clients, self.servers)),
            prompt_rtt_ms_per_token=0.0,
        )
