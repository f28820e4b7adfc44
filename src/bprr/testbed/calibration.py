"""From sessions measured one at a time to the profile that predictions start from.

The calibration's chains are none of the scored ones: every server hosts the whole model, and random
parts of it are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from bprr.ground.errors import InfeasibleError
from bprr.ground.schema import NonNegative, Strict
from bprr.ground.swarm import FloatArray, Swarm

__all__ = ["CalibrationSession", "Profile", "calibrated", "fit_profile", "random_chain"]


class CalibrationSession(Strict):
    """One session of the calibration, as measured (ms)."""

    client: int
    chain: list[tuple[int, int, int]] = Field(description="server, first block, end, from 0")
    ttft_ms: NonNegative
    remaining_per_token_ms: NonNegative


class Profile(Strict):
    """What the calibration found (ms)."""

    rtt_ms: list[list[float]] = Field(description="of clients (rows) to servers, over TCP")
    hop_ms: float = Field(description="what every hop adds to a token besides its round trip")
    tau_ms: dict[str, float] = Field(description="per device and block, of a token")
    prefill_ms: dict[str, float] = Field(description="per device and block, of the prompt")
    prompt_round_trips: float = Field(
        description="per hop until the first token (a stream is opened, then a step made)"
    )
    prompt_hop_ms: float = Field(description="what every hop adds to the first token besides")
    token_error_ms: float = Field(description="root mean square of the residuals")
    prompt_error_ms: float


def random_chain(
    rng: np.random.Generator, servers: int, blocks: int, hops: int
) -> list[tuple[int, int, int]]:
    """Chain over distinct servers that cuts the model at random."""
    hops = min(hops, servers, blocks)
    cuts = np.sort(rng.choice(np.arange(1, blocks), size=hops - 1, replace=False))
    ends = [0, *cuts.tolist(), blocks]
    chosen = rng.permutation(servers)[:hops].tolist()
    return list(zip(chosen, ends[:-1], ends[1:], strict=True))


def fit_profile(
    sessions: Sequence[CalibrationSession], rtt_ms: FloatArray, devices: Sequence[str]
) -> Profile:
    """Least squares of per-token and first-token times on round trips, hops and blocks.

    Parameters
    ----------
    sessions : sequence of CalibrationSession
        At least as many as unknowns: devices + 2.
    rtt_ms, devices
        Measured round trips, shape (C, S), and the device of each server.

    Raises
    ------
    InfeasibleError
        If the sessions do not determine the profile.
    """
    kinds = list(dict.fromkeys(devices))
    trips = np.array([sum(rtt_ms[s.client, server] for server, _, _ in s.chain) for s in sessions])
    hops = np.array([len(s.chain) for s in sessions], dtype=float)
    blocks = np.zeros((len(sessions), len(kinds)))
    for row, session in enumerate(sessions):
        for server, first, end in session.chain:
            blocks[row, kinds.index(devices[server])] += end - first
    per_token = np.array([s.remaining_per_token_ms for s in sessions])
    first_token = np.array([s.ttft_ms for s in sessions])
    token, token_error = _least_squares(np.column_stack([hops, blocks]), per_token - trips)
    prompt, prompt_error = _least_squares(np.column_stack([trips, hops, blocks]), first_token)
    return Profile(
        rtt_ms=rtt_ms.tolist(),
        hop_ms=float(token[0]),
        tau_ms=dict(zip(kinds, token[1:].tolist(), strict=True)),
        prefill_ms=dict(zip(kinds, prompt[2:].tolist(), strict=True)),
        prompt_round_trips=float(prompt[0]),
        prompt_hop_ms=float(prompt[1]),
        token_error_ms=token_error,
        prompt_error_ms=prompt_error,
    )


def _least_squares(matrix: FloatArray, values: FloatArray) -> tuple[FloatArray, float]:
    solution, _, rank, _ = np.linalg.lstsq(matrix, values, rcond=None)
    if rank < matrix.shape[1]:
        raise InfeasibleError(
            "calibration sessions", f"{matrix.shape[1] - rank} independent", f"of {len(values)}"
        )
    residual = matrix @ solution - values
    return np.asarray(solution, dtype=np.float64), float(np.sqrt(np.mean(residual**2)))


def calibrated(swarm: Swarm, profile: Profile) -> Swarm:
    """The swarm with its times as calibrated; memory and announced throughputs stay."""
    rtt_ms = np.array(profile.rtt_ms)
    return replace(
        swarm,
        tau_ms=np.array([profile.tau_ms[device] for device in swarm.device]),
        prefill_ms=np.array([profile.prefill_ms[device] for device in swarm.device]),
        prefill_ms_per_token=np.zeros(swarm.servers),  # the prompt has one length in a run
        token_rtt_ms=rtt_ms + profile.hop_ms,
        prompt_rtt_ms=profile.prompt_round_trips * rtt_ms + profile.prompt_hop_ms,
        prompt_rtt_ms_per_token=np.zeros_like(rtt_ms),
        raw_rtt_ms=rtt_ms,
    )
