"""What is served and by whom: models, devices, servers, clients (docs/model.md#setting).

A `Swarm` is frozen and holds arrays, one entry per server, so that every later stage is a pure
function of it. Units are in the names; memory is in GB = 1e9 bytes, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bprr.ground.schema import Count, MemoryGb, Milliseconds, Positive, Refused, Strict

if TYPE_CHECKING:
    from bprr.ground.legs import Neighbours

__all__ = ["BYTES_PER_GB", "Device", "LanguageModel", "Overheads", "Swarm", "floor_ratio"]

ACTIVATION_BYTES = 2  # of a value on its way between servers: 16 bits, as PETALS sends it
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


class LanguageModel(Strict):
    """A decoder-only transformer of identical consecutive blocks.

    The memory of a block is given, or follows from its parameters and how they are stored.
    """

    name: str = Field("", description="set by whoever names the model")
    blocks: Count = Field(description="L")
    d_model: Count = Field(description="width of the hidden state")
    max_sequence_tokens: Count = Field(2048, description="longest input plus output")
    parameters_per_block: Count | None = Field(
        None, description="goes with bits_per_parameter, in place of block_gb"
    )
    bits_per_parameter: Positive | None = Field(None, description="as they are stored")
    storage_overhead: Annotated[float, Field(ge=1, strict=True)] = Field(
        1.0, description="bytes stored over those of the parameters alone"
    )
    block_gb: Positive = Field(None, description="s_m (GB)")  # type: ignore[assignment]
    cache_bytes_per_value: Positive = Field(2.0, description="of the attention cache; 2: 16-bit")
    key_value_groups: Count = Field(1, description="query heads that share a key-value head")
    key_value_width: Count | None = Field(
        None,
        description="key-value heads times head size; d_model / key_value_groups if not given,"
        " which is wrong where a head is not d_model / heads wide",
    )
    cache_bytes_per_token_per_block: Positive | None = Field(
        None, description="said directly, e.g. of a latent attention"
    )
    window_tokens: Count | None = Field(
        None, description="sliding window: a session's cache grows no further"
    )
    source: str = Field("", description="where the numbers come from")

    @model_validator(mode="after")
    def _memory_of_a_block(self) -> LanguageModel:
        if self.block_gb is None:
            if self.parameters_per_block is None or self.bits_per_parameter is None:
                allowed = "block_gb, or parameters_per_block with bits_per_parameter"
                raise Refused("block_gb", "nothing", allowed)
            stored_bytes = self.parameters_per_block * self.bits_per_parameter / 8
            self.__dict__["block_gb"] = stored_bytes * self.storage_overhead / BYTES_PER_GB
        if self.cache_bytes_per_token_per_block is not None and self.key_value_width is not None:
            allowed = "nothing, where cache_bytes_per_token_per_block says it all"
            raise Refused("key_value_width", self.key_value_width, allowed)
        return self

    @property
    def cache_gb_per_token(self) -> float:
        """Attention cache of one token in one block (GB): s_c per token of a session."""
        if self.cache_bytes_per_token_per_block is not None:
            return self.cache_bytes_per_token_per_block / BYTES_PER_GB
        values = 2 * (self.key_value_width or self.d_model / self.key_value_groups)
        return values * self.cache_bytes_per_value / BYTES_PER_GB

    def session_cache_gb(self, tokens: int) -> float:
        """Attention cache of one session of ``tokens`` tokens in one block, s_c (GB)."""
        return self.cache_gb_per_token * tokens


class Device(Strict):
    """Performance profile of one kind of GPU (or CPU), as measured or published."""

    name: str = Field("", description="set by whoever names the device")
    title: str = Field("", description="in figures; its name if not given")
    tau_ms: Annotated[float, Field(gt=0, le=100_000, strict=True)] = Field(
        description="time per block and token when decoding, τ"
    )
    prefill_ms: Milliseconds = Field(
        description="time per block to prefill a prompt: prefill_ms + prefill_ms_per_token · l_in"
    )
    prefill_ms_per_token: Milliseconds = Field(
        0.0, description="time per block and token of a prompt"
    )
    memory_gb: MemoryGb = Field(description="usable memory, M")
    inference_rps: Positive | None = Field(
        None, description="blocks/s of decoding, as PETALS announces them; 1/τ if not given"
    )
    forward_rps: Positive | None = Field(
        None, description="requests/s per block, as PETALS announces them; only it reads them"
    )
    network_rps: Positive | None = Field(
        None, description="requests/s of the link, as PETALS announces them"
    )
    tokens_per_s: list[Positive] | None = Field(
        None, description="tokens/s that it passes if it hosts 1, 2, … blocks, batching as it does"
    )
    model: str | None = Field(
        None, description="model it was measured with; no other one is run on it unscaled"
    )
    source: str = Field("", description="where the numbers come from")
    provenance: dict[str, Any] = Field(
        {}, description="how they were measured, as `bprr fit` notes it"
    )

    def of_model(self, model: LanguageModel) -> bool:
        """Whether the profile may be used with a model as it is."""
        return self.model is None or self.model == model.name

    def scaled(self, measured: LanguageModel, model: LanguageModel) -> Device:
        """Profile for another model than it was measured with.

        Decoding reads every parameter once a token: τ goes with the bytes of a block. Prefill
        computes: it goes with the parameters, or with the bytes too where they are not said.
        What is sent per token goes with the width of the hidden state.
        """
        in_bytes = model.block_gb / measured.block_gb
        compute = in_bytes
        if model.parameters_per_block and measured.parameters_per_block:
            compute = model.parameters_per_block / measured.parameters_per_block
        width = model.d_model / measured.d_model
        changed = {
            "model": model.name,
            "tau_ms": self.tau_ms * in_bytes,
            "prefill_ms": self.prefill_ms * compute,
            "prefill_ms_per_token": self.prefill_ms_per_token * compute,
            "inference_rps": self.inference_rps and self.inference_rps / in_bytes,
            "forward_rps": self.forward_rps and self.forward_rps / compute,
            "network_rps": self.network_rps and self.network_rps / width,
        }
        return self.model_copy(update=changed)


class Overheads(Strict):
    """What is added to raw round trips (docs/constants.md)."""

    token_ms: Milliseconds = Field(description="added to each round trip of a token")
    prompt_ms: Milliseconds = Field(description="added to each round trip of a prompt")
    prompt_ms_per_token: Milliseconds = Field(0.0, description="the same, per token of the prompt")
    initial_ms: Milliseconds = Field(
        description="that every request pays once, before its first token"
    )
    prompt_round_trips: Positive = Field(
        1.0, description="of each hop until a prompt is through; 2: a session is opened before"
    )


def _prompt_ms_per_token(
    model: LanguageModel, overheads: Overheads, mbit_per_s: tuple[FloatArray, FloatArray] | None
) -> Any:
    """What each input token adds to a round trip (ms): its activation, sent there and back."""
    if mbit_per_s is None:
        return overheads.prompt_ms_per_token
    bits = 8 * ACTIVATION_BYTES * model.d_model
    there, back = mbit_per_s
    sent_ms = bits / 1000 * (1 / there + 1 / back)
    return np.where(np.isnan(sent_ms), overheads.prompt_ms_per_token, sent_ms)


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
    prompt_rtt_ms_per_token : float or ndarray, shape (C, S)
        What each input token adds to t^I_cj (ms); an array from here on.
    raw_rtt_ms : ndarray, shape (C, S), optional
        Client-server round trip of the bare network (ms); `token_rtt_ms` if not given.
    server_rtt_ms : ndarray, shape (S, S), optional
        Server-server round trip of the bare network (ms); only PETALS' routing reads it.
    forward_rps, network_rps : ndarray, shape (S,), optional
        Throughputs announced to PETALS' placement (requests/s).
    inference_rps : ndarray, shape (S,), optional
        Decoding as announced to PETALS' clients (blocks/s); 1/τ_j if not given.
    device : sequence of str, optional
        Kind of device of each server.
    block_cap : ndarray of int64, shape (S,), optional
        Most blocks each server may host, whatever its memory.
    tokens_per_s : ndarray, shape (S, L), optional
        What each server passes if it hosts 1, 2, … blocks (tokens/s); 0 where it was not measured.
    neighbours : Neighbours, optional
        Legs of a frame, if servers send on to each other; the client is between any two if not.
    """

    model: LanguageModel
    memory_gb: FloatArray
    tau_ms: FloatArray
    prefill_ms: FloatArray
    prefill_ms_per_token: FloatArray
    token_rtt_ms: FloatArray
    prompt_rtt_ms: FloatArray
    prompt_rtt_ms_per_token: FloatArray = 0.0  # type: ignore[assignment]
    raw_rtt_ms: FloatArray = None  # type: ignore[assignment]
    server_rtt_ms: FloatArray | None = None
    forward_rps: FloatArray | None = None
    network_rps: FloatArray | None = None
    inference_rps: FloatArray = None  # type: ignore[assignment]
    device: Sequence[str] = ()
    block_cap: IntArray | None = None
    tokens_per_s: FloatArray | None = None
    neighbours: Neighbours | None = None

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        devices: Sequence[Device],
        raw_rtt_ms: FloatArray,
        overheads: Overheads,
        mbit_per_s: tuple[FloatArray, FloatArray] | None = None,
        **more: Any,
    ) -> Swarm:
        """Swarm of these devices, one server each.

        Parameters
        ----------
        devices : sequence of Device, length S
            Device of each server.
        raw_rtt_ms : ndarray, shape (C, S)
            Round trips of the bare network between clients and servers (ms).
        overheads : Overheads
            What is added to them.
        mbit_per_s : pair of ndarray, shape (C, S), optional
            Bandwidth from client to server and back. Where both are known, a prompt pays its bytes
            over them, both ways, in the place of the overhead per token.
        more
            Other fields of the swarm.
        """
        names = (
            "memory_gb", "tau_ms", "prefill_ms", "prefill_ms_per_token", "forward_rps",
            "network_rps",
        )  # fmt: skip
        columns = {name: [getattr(device, name) for device in devices] for name in names}
        profile: dict[str, Any] = {
            name: None if None in values else np.array(values) for name, values in columns.items()
        }
        rates = [device.tokens_per_s for device in devices]
        if None not in rates:
            table = np.zeros((len(rates), model.blocks))
            for server, each in enumerate(rates):
                known = (each or [])[: model.blocks]
                table[server, : len(known)] = known
            more["tokens_per_s"] = table
        return cls(
            model,
            inference_rps=np.array([each.inference_rps or 1000 / each.tau_ms for each in devices]),
            token_rtt_ms=raw_rtt_ms + overheads.token_ms,
            prompt_rtt_ms=raw_rtt_ms * overheads.prompt_round_trips + overheads.prompt_ms,
            prompt_rtt_ms_per_token=_prompt_ms_per_token(model, overheads, mbit_per_s),
            raw_rtt_ms=raw_rtt_ms,
            device=[device.name for device in devices],
            **profile,
            **more,
        )

    def __post_init__(self) -> None:
        """Make every array float64, contiguous and read-only, and check the shapes."""
        servers = np.asarray(self.memory_gb).shape[0]
        clients = np.atleast_2d(np.asarray(self.token_rtt_ms)).shape[0]
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(
                ("memory_gb", "tau_ms", "prefill_ms", "prefill_ms_per_token"), (servers,)
            ),
            **dict.fromkeys(("forward_rps", "network_rps", "inference_rps"), (servers,)),
            **dict.fromkeys(
                ("token_rtt_ms", "prompt_rtt_ms", "prompt_rtt_ms_per_token", "raw_rtt_ms"),
                (clients, servers),
            ),
            "server_rtt_ms": (servers, servers),
        }
        if self.raw_rtt_ms is None:
            object.__setattr__(self, "raw_rtt_ms", self.token_rtt_ms)
        if np.ndim(self.prompt_rtt_ms_per_token) == 0:
            every = np.full((clients, servers), self.prompt_rtt_ms_per_token)
            object.__setattr__(self, "prompt_rtt_ms_per_token", every)
        if self.inference_rps is None:
            with np.errstate(divide="ignore"):  # servers of a bare example may take no time
                rate = 1000.0 / np.asarray(self.tau_ms, dtype=float)
            object.__setattr__(self, "inference_rps", rate)
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
        if self.block_cap is not None:
            object.__setattr__(self, "block_cap", np.array(self.block_cap, dtype=np.int64))
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

    def capped(self, blocks: IntArray) -> IntArray:
        """Numbers of blocks, none above L or above what a server is capped at."""
        blocks = np.minimum(blocks, self.model.blocks)
        return blocks if self.block_cap is None else np.minimum(blocks, self.block_cap)

    def part(self, servers: IntArray) -> Swarm:
        """Some of the servers, and all clients."""
        columns = {
            each.name: np.asarray(value)[..., servers]
            for each in fields(self)
            if each.name not in ("model", "server_rtt_ms", "tokens_per_s", "neighbours")
            and (value := getattr(self, each.name)) is not None
        }
        pairs, rates = self.server_rtt_ms, self.tokens_per_s
        return replace(
            self,
            **{**columns, "device": columns["device"].tolist()},
            server_rtt_ms=None if pairs is None else pairs[np.ix_(servers, servers)],
            tokens_per_s=None if rates is None else rates[servers],
            neighbours=None if self.neighbours is None else self.neighbours.part(servers),
        )

    def without_block_cap(self) -> Swarm:
        """Same swarm, servers hosting as many blocks as their memory holds."""
        return replace(self, block_cap=None)

    def decode_only(self) -> Swarm:
        """Same swarm without prefill: a chain's time over l + 1 tokens is then objective (13a)."""
        return replace(
            self,
            prefill_ms=np.zeros(self.servers),
            prefill_ms_per_token=np.zeros(self.servers),
            prompt_rtt_ms=np.zeros((self.clients, self.servers)),
            prompt_rtt_ms_per_token=np.zeros((self.clients, self.servers)),
            neighbours=self.neighbours and self.neighbours.decode_only(),
        )
