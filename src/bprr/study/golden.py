"""Replay reference cases (format of ``tests/golden/README.md``) through the public functions.

One function per kind turns a case's input into the outputs that the case records; nothing here
computes a result of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.performance import design_load, max_design_load
from bprr.ground.registry import ROUTING, Choice
from bprr.ground.request import Request
from bprr.ground.swarm import IntArray, LanguageModel, Swarm, floor_ratio
from bprr.placement.base import Placement
from bprr.placement.cg_bp import cg_bp
from bprr.placement.petals import block_gain, petals_blocks, petals_placement, pool_cache_tokens
from bprr.routing.petals import PetalsRouting
from bprr.scenario.workload import Workload
from bprr.simulation.engine import Delays, simulate
from bprr.simulation.records import Records
from bprr.study.design_load import single_request_ms

__all__ = ["TOLERANCE", "KindReport", "replay", "replay_file", "worst_difference"]

TOLERANCE = 1e-9
ARTEFACT_MIG_CAP = 4  # blocks; the cases were recorded with it (discrepancy 9)
NOT_REPLAYED = {"n_shortest_paths"}  # notes on a case, not results

Case = Mapping[str, Any]


def _swarm(case: Case) -> Swarm:
    count = len(case["M"])
    zeros = np.zeros(count)
    tokens = case["lc"] + case["lc_in"]
    model = LanguageModel(
        blocks=case["L"],
        d_model=case.get("d_model", 14336),
        block_gb=case["sm"],
        key_value_groups=case.get("num_key_value_groups", 1),
    )
    if "sc" in case:
        # Choose the bytes of a cached value so that a session's cache is the recorded one.
        factor = case["sc"] / model.session_cache_gb(tokens)
        cached_bytes = model.cache_bytes_per_value * factor
        model = model.model_copy(update={"cache_bytes_per_value": cached_bytes})
    raw = np.array(case["RTT_raw"], dtype=float) if "RTT_raw" in case else None
    throughput = np.array(case.get("throughput", np.zeros((count, 2))), dtype=float)
    if throughput.ndim == 1:
        throughput = np.stack([throughput, throughput], axis=1)
    return Swarm(
        model,
        memory_gb=np.array(case["M"], dtype=float),
        tau_ms=case.get("tau", zeros),
        prefill_ms=case.get("tau_input", zeros),
        prefill_ms_per_token=zeros,
        token_rtt_ms=np.array([case.get("RTT", zeros)], dtype=float),
        prompt_rtt_ms=np.array([case.get("RTT_input", zeros)], dtype=float),
        raw_rtt_ms=None if raw is None else raw[:1, 1:],  # type: ignore[arg-type]
        server_rtt_ms=None if raw is None else raw[1:, 1:],
        forward_rps=throughput[:, 0],
        network_rps=throughput[:, 1],
    )


def _request(case: Case) -> Request:
    return Request(0, case["lc_in"], case["lc"], case["lc_in"] + case["lc"])


def _capped_swarm(case: Case) -> Swarm:
    if "server_types" not in case:
        return _swarm(case)
    mig = np.array(case["server_types"]) == "MIG"
    return replace(_swarm(case), block_cap=np.where(mig, ARTEFACT_MIG_CAP, case["L"]))


def _routing(case: Case, name: str) -> Choice:
    """Routing policy; PETALS' with the constants of the case."""
    if name != "petals":
        return Choice(name, ROUTING[name].Options())
    hop_ms, penalty_ms = case.get("overhead_delay_petals", 0), case.get("alloc_delay", 0)
    options = PetalsRouting.Options(
        hop_overhead_ms=float(hop_ms), full_penalty_ms=float(penalty_ms)
    )
    return Choice(name, options)


def _join_order(case: Case) -> IntArray:
    return np.array(case["join_order"], dtype=np.int64) - 1


def _placed(placement: Placement) -> dict[str, Any]:
    return {"a": placement.first_block, "m": placement.blocks}


def _given_placement(case: Case, swarm: Swarm, cache_tokens: IntArray | None = None) -> Placement:
    first, blocks = np.array(case["a"]), np.array(case["m"])
    return Placement(swarm, first, blocks, cache_tokens)  # type: ignore[arg-type]


def _chains(records: Records) -> list[list[int]]:
    return [(records.chain(i)[0] + 1).tolist() for i in range(len(records))]


def _online(case: Case, placement: Placement, routing: str) -> dict[str, Any]:
    arrival = np.cumsum(case["inter_arrivals"])
    request = _request(case)
    workload = Workload(arrival, 0, request.input_tokens, request.output_tokens)  # type: ignore[arg-type]
    records = simulate(
        placement,
        workload,
        _routing(case, routing),
        delays=Delays(case["initial_delay"], case["allocation_delay"]),
    )
    return {
        **_placed(placement),
        "chains": _chains(records),
        "completion_ms": records.completion_ms,
        "ttft_ms": records.ttft_ms,
        "wait_ms": records.wait_ms,
        "raw_wait_ms": records.raw_wait_ms,
        "sum_completion_ms": records.completion_ms.sum(),
        "avg_per_token_ms": records.completion_ms.mean() / request.output_tokens,
        "avg_ttft_ms": records.ttft_ms.mean(),
        "avg_wait_ms": records.wait_ms.mean(),
        "max_concurrent": records.max_concurrent,
    }


def _offline(case: Case, placement: Placement, routing: str) -> dict[str, Any]:
    """All requests at time 0, timed by objective (13a), each starting when its caches are free."""
    count = case["n_request_client"]
    swarm = placement.swarm.decode_only()
    tokens = case["lc"] + case["lc_in"]
    workload = Workload(np.zeros(count), 0, 1, case["lc"] + 1, tokens)  # type: ignore[arg-type]
    records = simulate(
        replace(placement, swarm=swarm),
        workload,
        _routing(case, routing),
        admission="at_release",
    )
    durations = records.completion_ms - records.wait_ms
    return {
        **_placed(placement),
        "chains": _chains(records),
        "start_times": records.start_ms,
        "end_times": records.end_ms,
        "total_inference_time": durations.sum(),
    }


def _bprr_ext(case: Case) -> dict[str, Any]:
    swarm, request = _swarm(case), _request(case)
    single_ms = single_request_ms(swarm, request, case["initial_delay"])
    largest = max_design_load(swarm, request.cache_tokens)
    return {
        "time_per_request": single_ms,
        "R_max": largest,
        "R": design_load(case["lambda_per_ms"] * 1000.0, single_ms, largest),
    }


def _cg_bp(case: Case) -> dict[str, Any]:
    placement = cg_bp(_capped_swarm(case), case["R"], _request(case).cache_tokens)
    details = placement.details
    order = np.asarray(details["order"]) + 1
    return {**_placed(placement), "soln_val": details["bound_ms"], "order": order}


def _petals_place(case: Case) -> dict[str, Any]:
    swarm = _capped_swarm(case)
    blocks = petals_blocks(swarm)
    placement = petals_placement(swarm, blocks, block_gain(swarm, blocks), _join_order(case))
    throughput = placement.details["block_throughput"]
    return {**_placed(placement), "block_throughput": throughput}


def _petals_online(case: Case) -> dict[str, Any]:
    swarm = _capped_swarm(case)
    blocks = petals_blocks(swarm)
    pool = pool_cache_tokens(swarm.model, blocks)
    gain = block_gain(swarm, blocks)
    placement = petals_placement(swarm, blocks, gain, _join_order(case), pool)
    return _online(case, placement, "petals")


def _petals_opt_num(case: Case) -> dict[str, Any]:
    swarm, blocks = _swarm(case), np.array(case["m_given"], dtype=np.int64)
    placement = petals_placement(swarm, blocks, block_gain(swarm, blocks), _join_order(case))
    return _online(case, placement, "petals")


def _petals_opt_rr(case: Case) -> dict[str, Any]:
    swarm = _swarm(case)
    pool_gb = np.array(case["m"]) * case["cache_gb_per_block"]
    pool = floor_ratio(pool_gb, swarm.model.cache_gb_per_token)
    return _online(case, _given_placement(case, swarm, pool), "exact")


def _ws_rr(case: Case) -> dict[str, Any]:
    return _online(case, _given_placement(case, _swarm(case)), "ws_rr")


def _bprr_general(case: Case) -> dict[str, Any]:
    placement = cg_bp(_swarm(case), case["R"], _request(case).cache_tokens)
    outputs = _offline(case, placement, "shortest_path")
    order = np.asarray(placement.details["order"]) + 1
    return {**outputs, "order": order, "soln_val": outputs["total_inference_time"]}


def _petals_offline(case: Case) -> dict[str, Any]:
    swarm = _swarm(case)
    blocks = petals_blocks(swarm)
    assert swarm.forward_rps is not None
    placement = petals_placement(swarm, blocks, swarm.forward_rps, _join_order(case))
    outputs = _offline(case, placement, "petals")
    return {**outputs, "soln_val": outputs["end_times"].sum()}


REPLAYS: dict[str, Callable[[Case], dict[str, Any]]] = {
    "bprr_ext": _bprr_ext,
    "cg_bp": _cg_bp,
    "petals_place": _petals_place,
    "petals_online": _petals_online,
    "petals_opt_num": _petals_opt_num,
    "petals_opt_rr": _petals_opt_rr,
    "ws_rr": _ws_rr,
    "bprr_general": _bprr_general,
    "petals_offline": _petals_offline,
}


def _difference(ours: Any, theirs: Any) -> float:
    """Largest relative difference (absolute below 1); inf where the shapes differ."""
    if np.isscalar(theirs) and np.ndim(ours) == 1 and len(ours) == 1:
        theirs = [theirs]  # the recorder writes a list of one as a bare number
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if a.shape != b.shape:
        return np.inf
    if not a.size:
        return 0.0
    gap = np.abs(a - b) / np.maximum(1.0, np.abs(b))
    return float(np.nan_to_num(gap, nan=np.inf).max())


def worst_difference(ours: Mapping[str, Any], recorded: Mapping[str, Any]) -> float:
    """Largest relative difference over all outputs that a case records; inf if one is absent."""
    worst = 0.0
    for name, theirs in recorded.items():
        if name in NOT_REPLAYED:
            continue
        if name not in ours:
            return np.inf
        if name == "chains":
            if len(ours[name]) != len(theirs):
                return np.inf
            pairs = [(mine, _padded(chain)) for mine, chain in zip(ours[name], theirs, strict=True)]
            worst = max([worst, *(_difference(mine, chain) for mine, chain in pairs)])
        else:
            worst = max(worst, _difference(ours[name], theirs))
    return worst


def _padded(chain: Any) -> list[int]:
    servers = chain if isinstance(chain, list) else [chain]
    return [server for server in servers if server]


def replay(case: Mapping[str, Any]) -> float:
    """Replay one case; return its worst relative difference.

    A case in which the artefact fails must give `InfeasibleError`, and then differs by 0.
    """
    recorded = case["output"]
    try:
        ours = REPLAYS[case["kind"]](case["input"])
    except InfeasibleError:
        return 0.0 if "error" in recorded else np.inf
    if "error" in recorded:
        return np.inf
    return worst_difference(ours, recorded)


@dataclass(frozen=True)
class KindReport:
    """Outcome of all cases of one kind."""

    kind: str
    cases: int
    worst: float
    worst_id: str

    @property
    def passed(self) -> bool:
        """Whether every case of the kind agrees within the tolerance."""
        return self.worst <= TOLERANCE


def replay_file(path: Path) -> list[KindReport]:
    """Replay every case of a file; one report per kind, in order of first appearance.

    Raises
    ------
    InputError
        If the file is not of the format, or names an unknown kind.
    """
    try:
        cases = json.loads(path.read_text())["cases"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(path, "cases", str(error), 'a JSON object with a list "cases"') from None
    if not isinstance(cases, list) or not cases:
        raise InputError(path, "cases", cases, "a list of at least one case")
    differences: dict[str, list[tuple[float, str]]] = {}
    for place, case in enumerate(cases):
        if not isinstance(case, dict) or not {"id", "kind", "input", "output"} <= case.keys():
            allowed = "an object with id, kind, input and output"
            raise InputError(path, f"cases.{place}", case, allowed)
        if case["kind"] not in REPLAYS:
            raise InputError(path, f"{case['id']}.kind", case["kind"], ", ".join(REPLAYS))
        try:
            difference = replay(case)
        except KeyError as error:
            raise InputError(path, f"{case['id']}.input", f"no {error}", "this key") from None
        except (TypeError, ValueError, IndexError) as error:
            allowed = f"numbers as in the other cases of kind {case['kind']}"
            raise InputError(path, f"{case['id']}.input", str(error), allowed) from None
        differences.setdefault(case["kind"], []).append((difference, case["id"]))
    return [
        KindReport(kind, len(found), *max(found, key=lambda entry: entry[0]))
        for kind, found in differences.items()
    ]
