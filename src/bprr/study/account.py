"""What a simulation of one scenario tells: times, where blocks lie, and how much is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.compiled import compiled
from bprr.ground.performance import max_design_load
from bprr.ground.registry import Choice
from bprr.ground.results import REJECTED
from bprr.ground.swarm import FloatArray
from bprr.placement.base import Placement
from bprr.scenario.draw import Instance
from bprr.simulation.records import Records
from bprr.study.summary import mean_interval

__all__ = ["Account", "Objective", "Usage"]

CONFIDENCE = 0.95
MOST_CHAINS = 5  # of a method; there may be as many as requests


@dataclass(frozen=True)
class Objective:
    """A service-level objective: longest time per token and to the first token (s)."""

    per_token_s: float = math.inf
    ttft_s: float = math.inf

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return math.isfinite(min(self.per_token_s, self.ttft_s))

    def share(self, requests: pd.DataFrame) -> float:
        """Share of the requests within it; a rejected one is not."""
        within = requests["per_token_ms"] <= self.per_token_s * 1000
        within &= requests["ttft_ms"] <= self.ttft_s * 1000
        return float(within.mean())


@dataclass(frozen=True)
class Usage:
    """How much of each server one run uses.

    Parameters
    ----------
    decode, prefill : ndarray, shape (S,)
        Computing that the load asks for per second, one request after another: Σ k·τ·rate.
    cache : ndarray, shape (S,)
        Share of the cache that is held, over the whole run.
    tokens_per_s : float
        Output tokens over the time from the first arrival to the last completion.
    hops : float
        Servers on a request's chain, mean over requests.
    """

    decode: FloatArray
    prefill: FloatArray
    cache: FloatArray
    tokens_per_s: float
    hops: float

    @classmethod
    def of(cls, records: Records, placement: Placement, rate_per_s: float) -> Usage:
        """Usage in a run."""
        swarm, load = placement.swarm, records.workload
        lasted_ms = float(records.end_ms.max() - load.arrival_ms.min())
        # Per second of the load, not of the run, which lasts until the last request is done.
        span_ms = len(load) / rate_per_s * 1000 if rate_per_s > 0 else lasted_ms
        decode_ms, prefill_ms, held = np.zeros((3, swarm.servers))
        _add_up(
            records.chain_start,
            records.chain_server,
            records.chain_processed,
            swarm.tau_ms,
            swarm.prefill_ms,
            swarm.prefill_ms_per_token,
            load.input_tokens,
            load.output_tokens,
            load.cache_tokens,
            records.completion_ms,
            records.wait_ms,
            decode_ms,
            prefill_ms,
            held,
        )
        capacity = np.maximum(placement.cache_tokens, 1)
        return cls(
            decode_ms / span_ms,
            prefill_ms / span_ms,
            held / capacity / lasted_ms,
            float(load.output_tokens.sum()) / lasted_ms * 1000,
            len(records.chain_server) / len(load),
        )


@compiled
def _add_up(  # type: ignore[no-untyped-def]
    chain_start, server, blocks, tau_ms, prefill_ms, prefill_ms_per_token, input_tokens,
    output_tokens, cache_tokens, completion_ms, wait_ms, decode, prefill, held,
):  # fmt: skip
    """Sum what every session asks of the servers on its chain: work (ms), cache (tokens · ms)."""
    for i in range(completion_ms.shape[0]):
        for k in range(chain_start[i], chain_start[i + 1]):
            j = server[k]
            prompt_ms = prefill_ms[j] + prefill_ms_per_token[j] * input_tokens[i]
            decode[j] += blocks[k] * tau_ms[j] * (output_tokens[i] - 1)
            prefill[j] += blocks[k] * prompt_ms
            held[j] += blocks[k] * cache_tokens[i] * (completion_ms[i] - wait_ms[i])


@compiled
def _fingerprints(client, chain_start, server, blocks, found):  # type: ignore[no-untyped-def]
    """A number of 64 bits for every client and chain (FNV-1a over whole numbers)."""
    for i in range(client.shape[0]):
        mixed = (np.uint64(14695981039346656037) ^ np.uint64(client[i])) * np.uint64(1099511628211)
        for k in range(chain_start[i], chain_start[i + 1]):
            hop = (np.uint64(server[k]) << np.uint64(32)) | np.uint64(blocks[k])
            mixed = (mixed ^ hop) * np.uint64(1099511628211)
            mixed ^= mixed >> np.uint64(29)
        found[i] = mixed


@dataclass
class _Method:
    """Runs of one method."""

    usage: list[Usage] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)  # of the first run
    chains: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Account:
    """Collects what the runs of a scenario tell, method by method.

    Parameters
    ----------
    services : mapping
        Service policy of every method.
    """

    def __init__(self, services: Mapping[str, Choice]) -> None:
        self._services = services
        self._methods: dict[str, _Method] = {}
        self.remarks: list[str] = []

    def observe(
        self, instance: Instance, name: str, records: Records, placement: Placement
    ) -> None:
        """Take note of one run of a method."""
        method = self._methods.setdefault(name, _Method())
        method.usage.append(Usage.of(records.served, placement, instance.rate_per_s))
        if len(method.usage) > 1:
            return
        self.remarks = list(dict.fromkeys([*self.remarks, *instance.remarks]))
        method.servers = _servers(instance, placement)
        method.chains = _chains(records)
        if "load" in placement.details and instance.scenario.design_load.load is None:
            tokens = instance.design_request.cache_tokens
            counted = instance.scenario.design_load.count_block_cap
            swarm = instance.swarm if counted else instance.swarm.without_block_cap()
            if max_design_load(swarm, tokens) < 1:
                method.warnings.append(
                    "R = 1, although the guarantee of Corollary 1 holds for no R at all"
                )

    def summary(
        self, table: pd.DataFrame, labels: Mapping[str, str], objective: Objective
    ) -> dict[str, Any]:
        """All of it, JSON-serialisable; numbers that do not exist are null."""
        methods = {
            name: self._summary_of(name, label, table[table["method"] == name], objective)
            for name, label in labels.items()
        }
        return {"remarks": self.remarks, "methods": methods}

    def _summary_of(
        self, name: str, label: str, rows: pd.DataFrame, objective: Objective
    ) -> dict[str, Any]:
        status = rows["status"].astype(str)
        served = rows[status == "ok"]
        asked = rows[(status == "ok") | status.str.startswith(REJECTED)]
        told: dict[str, Any] = {
            "label": label,
            "not_served": {
                text: int(count) for text, count in status[status != "ok"].value_counts().items()
            },
            "runs": int(served["run"].nunique()),
            "requests": len(served),
        }
        if served.empty:
            return told
        tokens = served["output_tokens"]
        weighted = served.assign(all_ms=served["per_token_ms"] * tokens).groupby("run")
        per_run = weighted["all_ms"].sum() / weighted["output_tokens"].sum()
        overall = float((served["per_token_ms"] * tokens).sum() / tokens.sum())
        told["per_token_s"] = _spread(served["per_token_ms"], per_run, overall)
        for metric in ("ttft", "wait"):
            values = served[f"{metric}_ms"]
            means = values.groupby(served["run"]).mean()
            told[f"{metric}_s"] = _spread(values, means, float(values.mean()))
        load = float(served["design_load"].iloc[0])
        told["design_load"] = None if math.isnan(load) else int(load)
        if objective.given:
            told["within_objective"] = objective.share(asked)
        method = self._methods[name]
        first = method.usage[0]
        # Servers are drawn anew in every run: the busiest of each, and the first run's one by one.
        busiest = float(np.mean([(run.decode + run.prefill).max() for run in method.usage]))
        decoding = float(np.mean([run.decode.max() for run in method.usage]))
        told |= {
            "tokens_per_s": float(np.mean([run.tokens_per_s for run in method.usage])),
            "hops": float(np.mean([run.hops for run in method.usage])),
            "computing_busiest": busiest,
            "computing_busiest_decode": decoding,
            "cache_fullest": float(np.mean([run.cache.max() for run in method.usage])),
            "servers": [
                {**server, "decode": float(d), "prefill": float(p), "cache_used": float(c)}
                for server, d, p, c in zip(
                    method.servers, first.decode, first.prefill, first.cache, strict=True
                )
            ],
            "chains": method.chains,
            "warnings": [*method.warnings, *self._overload(name, busiest, decoding)],
        }
        if "cuts" in served:
            told["living"] = {
                "engine": str(served["engine"].iloc[0]),
                "cuts_per_request": float(served["cuts"].mean()),
                "tokens_prefilled_again": float(served["prefilled_again"].mean()),
                "replacements": float(served.groupby("run")["replacements"].first().mean()),
            }
        return told

    def _overload(self, name: str, busiest: float, decoding: float) -> list[str]:
        service = self._services[name].name
        if busiest <= 1 or service not in ("independent", "serial"):
            return []
        said = (
            f"computing of the busiest server is used {busiest:.1f} times over without batching"
            f" ({decoding:.1f} in decoding)"
        )
        if service == "independent":
            said += ": sessions side by side at full speed, as the times assume, are impossible"
            return [f"{said}; --set service=serial, or batched, makes them wait"]
        return [f"{said}: waits grow as long as requests come"]


def _spread(values: pd.Series, per_run: pd.Series, mean_ms: float) -> dict[str, float | None]:
    """Mean with its interval over runs, and percentiles over requests (s)."""
    interval = mean_interval(per_run, CONFIDENCE)
    half = (interval.high - interval.low) / 2
    quantiles = values.quantile([0.5, 0.95, 0.99]).to_numpy() / 1000
    names = ("mean", "half_width_95", "p50", "p95", "p99")
    numbers = (mean_ms / 1000, half / 1000, *quantiles)
    return {
        name: float(number) if math.isfinite(number) else None
        for name, number in zip(names, numbers, strict=True)
    }


def _servers(instance: Instance, placement: Placement) -> list[dict[str, Any]]:
    """Blocks and memory of every server."""
    swarm, names = placement.swarm, instance.network.node_names
    at_home = swarm.servers == len(instance.server_node)
    told = []
    for server in range(swarm.servers):
        node = int(instance.server_node[server]) if at_home else None
        blocks = int(placement.blocks[server])
        weights_gb = blocks * swarm.model.block_gb
        cache_gb = int(placement.cache_tokens[server]) * swarm.model.cache_gb_per_token
        memory_gb = float(swarm.memory_gb[server])
        told.append(
            {
                "server": server,
                "device": swarm.device[server],
                "at": names[node] if node is not None and node < len(names) else None,
                "first_block": int(placement.first_block[server]),
                "blocks": blocks,
                "memory_gb": memory_gb,
                "weights_gb": weights_gb,
                "cache_gb": cache_gb,
                "free_gb": memory_gb - weights_gb - cache_gb,
            }
        )
    return told


def _chains(records: Records) -> list[dict[str, Any]]:
    """Chains of the first run, the most used first."""
    client = records.workload.client
    prints = np.empty(len(records), dtype=np.uint64)
    _fingerprints(
        client, records.chain_start, records.chain_server, records.chain_processed, prints
    )
    _, first, counts = np.unique(prints, return_index=True, return_counts=True)
    told = []
    for i in np.lexsort((first, -counts))[:MOST_CHAINS]:
        servers, blocks = (each.tolist() for each in records.chain(first[i]))
        whose = {"client": int(client[first[i]]), "servers": servers, "blocks": blocks}
        told.append({**whose, "requests": int(counts[i])})
    return told
