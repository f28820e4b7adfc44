"""From a loaded run's calibration to a profile, and from that to every case by every service."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.registry import SERVICE, Choice
from bprr.ground.request import Request, Route
from bprr.ground.schema import NonNegative, Strict
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.routing.base import RoutingPolicy
from bprr.scenario.workload import Workload
from bprr.simulation import Records, simulate
from bprr.testbed.loaded_records import CALIBRATION, LoadedRun
from bprr.testbed.loaded_settings import Arm, LoadedSettings

__all__ = ["COMPONENTS", "METRICS", "MODELS", "LoadProfile", "case_errors", "compared", "fit_load"]

MODELS = {
    "independent": "independent (the paper's)",
    "serial": "serial, in the order that was served",
    "serial_fifo": "serial, as shipped whatever was served",
    "batched_0.1": "batched, b = 0.1",
    "batched_1": "batched, b = 1",
}
METRICS = ("per_token_ms", "ttft_ms", "decode_ms")
COMPONENTS = ("wait_ms", "queue_ms", "computing_ms", "network_ms")  # per token


class LoadProfile(Strict):
    """What the calibration found (ms)."""

    rtt_ms: list[list[float]]  # of clients (rows) to servers, over TCP
    tau_ms: dict[str, float]  # per device and block, of a token
    prefill_ms: dict[str, float]  # per device and block, of the prompt
    hop_ms: float  # what every hop adds to a token besides its round trip
    prompt_round_trips: float  # per hop until the first token
    prompt_hop_ms: float
    start_ms: NonNegative  # from its arrival until a task starts that has nobody before it
    gap_ms: NonNegative  # from the end of a task until one starts that has waited for it

    def swarm(self, settings: LoadedSettings, slowdown: float) -> Swarm:
        """The swarm with its times; what is emulated is this much slower, the rest is not."""
        model = LanguageModel(blocks=settings.blocks, d_model=settings.stand_in.d_model, block_gb=1)
        rtt_ms, devices = slowdown * np.array(self.rtt_ms), [s.device for s in settings.servers]
        nothing = np.zeros(len(devices))
        return Swarm(
            model,
            memory_gb=nothing,  # pools are given
            tau_ms=slowdown * np.array([self.tau_ms[device] for device in devices]),
            prefill_ms=slowdown * np.array([self.prefill_ms[device] for device in devices]),
            prefill_ms_per_token=nothing,  # the prompt has one length in a run
            token_rtt_ms=rtt_ms + self.hop_ms,
            prompt_rtt_ms=self.prompt_round_trips * rtt_ms + self.prompt_hop_ms,
            device=devices,
        )


def fit_load(run: LoadedRun) -> LoadProfile:
    """Profile from the sessions of the calibration, of which some were a few at once."""
    settings = run.manifest.settings
    sessions, hops, tasks = (
        table[table["case"] == CALIBRATION] for table in (run.sessions, run.hops, run.tasks)
    )
    devices = np.array([server.device for server in settings.servers])
    device, of_prompt = devices[tasks["server"]], tasks["tokens"] > 1
    computing_ms = (tasks["ended_ms"] - tasks["started_ms"]) / tasks["blocks"]
    of_device = {
        name: (
            float(computing_ms[(device == name) & ~of_prompt].median()),
            float(computing_ms[(device == name) & of_prompt].median()),
        )
        for name in dict.fromkeys(devices.tolist())
    }
    before_ms = tasks.groupby(["arm", "server"])["ended_ms"].shift()  # sorted by start
    has_waited = tasks["submitted_ms"] < before_ms
    start_ms = (tasks["started_ms"] - tasks["submitted_ms"])[~has_waited].median()
    gap_ms = (tasks["started_ms"] - before_ms)[has_waited].median()

    alone = sessions[(sessions["arm"] == "1") & (sessions["status"] == "ok")].set_index("session")
    rtt_ms = np.array(run.manifest.rtt_ms)
    client = sessions.set_index("session")["client"].map(list(settings.clients).index)
    hops = hops.assign(trip_ms=rtt_ms[client[hops["session"]], hops["server"]], hops=1)
    columns = ["trip_ms", "hops", "token_computing_ms", "prompt_computing_ms"]
    sums = hops.groupby("session")[columns].sum().loc[alone.index]
    passes = alone["output_tokens"] - 1
    network_ms = (alone["completion_ms"] - alone["ttft_ms"] - sums["token_computing_ms"]) / passes
    hop_ms = ((network_ms - sums["trip_ms"]) / sums["hops"]).median()
    first_ms = alone["ttft_ms"] - sums["prompt_computing_ms"]
    prompt = np.linalg.lstsq(sums[["trip_ms", "hops"]].to_numpy(), first_ms.to_numpy())[0]
    return LoadProfile(
        rtt_ms=run.manifest.rtt_ms,
        tau_ms={name: times[0] for name, times in of_device.items()},
        prefill_ms={name: times[1] for name, times in of_device.items()},
        hop_ms=float(hop_ms),
        prompt_round_trips=float(prompt[0]),
        prompt_hop_ms=float(prompt[1]),
        start_ms=float(start_ms),
        gap_ms=float(gap_ms),
    )


class _Imposed(RoutingPolicy):
    """Routing that answers with the chain of a request's client."""

    def __init__(self, router: RoutingPolicy, settings: LoadedSettings) -> None:
        super().__init__(router.context, router.options)
        chains = [np.array(settings.chain(name)).T for name in settings.clients]
        self._routes = [Route(server, end - begin, 0.0) for server, begin, end in chains]

    def route(self, request: Request, now_ms: float) -> Route:
        """The chain, whatever the caches hold."""
        return self._routes[request.client]


def service_of(model: str, arm: Arm, profile: LoadProfile) -> Choice:
    """The service that a model takes an arm for.

    A server's handler submits a piece of a prompt when the one before it has come back. Its way
    takes as long as that from the handler to the start.
    """
    name, _, share = model.partition("_")
    if name == "serial":
        served = arm if not share else Arm(label="as shipped")
        return served.service(profile.gap_ms, profile.start_ms)
    options: dict[str, Any] = {}
    if name == "batched":
        options = {"beta_share": float(share), "prompt": arm.prompt}
    return Choice(name, SERVICE[name].Options.model_validate(options))


def predict(settings: LoadedSettings, swarm: Swarm, workload: Workload, service: Choice) -> Records:
    """Simulate sessions on imposed chains; those that are refused come again as in PETALS."""
    return simulate(
        settings.placement(swarm),
        workload,
        "shortest_path",
        admission="retry",
        service=service,
        watch=lambda router: _Imposed(router, settings),
    )


def compared(run: LoadedRun) -> pd.DataFrame:
    """Every session that was served, measured beside predicted by every model.

    Returns
    -------
    DataFrame
        Per session and model: its key, `METRICS` and `COMPONENTS` (per token, ms), and all of
        them again as ``predicted_<name>``.
    """
    settings, profile, tables = run.manifest.settings, fit_load(run), []
    scored = run.sessions[run.sessions["case"] != CALIBRATION]
    for key, rows in scored.groupby(["case", "arm"], sort=False):
        name, arm_name = map(str, key)
        case, arm = settings.cases[name], settings.arms[arm_name]
        swarm = profile.swarm(settings, case.slowdown)
        workload = Workload(
            rows["arrival_ms"].to_numpy(),
            rows["client"].map(list(settings.clients).index).to_numpy(),
            np.full(len(rows), settings.input_tokens),
            rows["output_tokens"].to_numpy(),
        )
        if case.session_tokens is not None:
            reserved = np.full(len(rows), case.session_tokens)
            workload = replace(workload, cache_tokens=reserved)
        hops = run.hops[(run.hops["case"] == name) & (run.hops["arm"] == arm_name)]
        measured, alone = _measured(rows, hops), _alone(settings, swarm, workload, arm)
        for model in MODELS:
            service = service_of(model, arm, profile)
            records = predict(settings, swarm, workload, service)
            predicted = _predicted(records, alone, profile.start_ms)
            table = measured.join(predicted.add_prefix("predicted_"), on="session")
            table.insert(2, "model", model)
            tables.append(table[table["status"] == "ok"])
    return pd.concat(tables, ignore_index=True)


def _measured(sessions: pd.DataFrame, hops: pd.DataFrame) -> pd.DataFrame:
    parts = hops.groupby("session").sum(numeric_only=True)
    table = sessions.set_index("session")
    tokens = table["output_tokens"]
    queue_ms = parts["prompt_queue_ms"] + parts["token_queue_ms"]
    computing_ms = parts["prompt_computing_ms"] + parts["token_computing_ms"]
    network_ms = table["completion_ms"] - table["wait_ms"] - queue_ms - computing_ms
    components = {
        "wait_ms": table["wait_ms"],
        "queue_ms": queue_ms,
        "computing_ms": computing_ms,
        "network_ms": network_ms,
    }
    table = table.assign(
        per_token_ms=table["completion_ms"] / tokens,
        decode_ms=(table["completion_ms"] - table["ttft_ms"]) / (tokens - 1).clip(lower=1),
        **{name: values / tokens for name, values in components.items()},
    )
    keep = ["case", "arm", "session", "client", "status", "retries", "output_tokens"]
    return table.reset_index()[[*keep, *METRICS, *COMPONENTS]]


def _alone(settings: LoadedSettings, swarm: Swarm, workload: Workload, arm: Arm) -> pd.DataFrame:
    """Of sessions that meet nobody: completion, computing (ms) and how many tasks they are."""
    apart_ms = np.arange(len(workload), dtype=np.float64) * 1e7
    apart = replace(workload, arrival_ms=apart_ms)
    records = predict(settings, swarm, apart, arm.service(0.0))
    rows = []
    for index, completion_ms in enumerate(records.completion_ms.tolist()):
        servers, blocks = records.chain(index)
        later, pieces = int(workload.output_tokens[index]) - 1, len(servers)
        prompt_ms = float(np.sum(blocks * swarm.prefill_ms[servers]))
        if arm.prompt == "token":
            later, prompt_ms, pieces = later + settings.input_tokens, 0.0, 0
        if arm.prompt == "block":
            pieces = int(np.sum(blocks))
        computing_ms = prompt_ms + later * float(np.sum(blocks * swarm.tau_ms[servers]))
        rows.append((completion_ms, computing_ms, pieces + later * len(servers)))
    return pd.DataFrame(rows, columns=["completion_ms", "computing_ms", "tasks"])


def _predicted(records: Records, alone: pd.DataFrame, start_ms: float) -> pd.DataFrame:
    """Metrics and components; queueing is what there is beyond the session's time alone.

    A task that has nobody before it takes ``start_ms`` to start. That is queueing by the
    measurement's clock, and a part of the network's time by the profile.
    """
    table, computing_ms = records.table(), alone["computing_ms"]
    network_ms = alone["completion_ms"] - computing_ms - alone["tasks"] * start_ms
    queue_ms = records.completion_ms - records.wait_ms - computing_ms - network_ms
    components = (table["wait_ms"], queue_ms, computing_ms, network_ms)
    return pd.DataFrame(
        {
            "per_token_ms": table["per_token_ms"],
            "ttft_ms": table["ttft_ms"],
            "decode_ms": table["remaining_per_token_ms"],
            "retries": table["attempts"] - 1,
            **{n: v / table["output_tokens"] for n, v in zip(COMPONENTS, components, strict=True)},
        }
    )


def case_errors(comparison: pd.DataFrame) -> pd.DataFrame:
    """Means of every case, arm and model, and the relative errors of what is predicted.

    Errors of components are relative to the measured time per token.
    """
    names = [*METRICS, *COMPONENTS, "retries"]
    columns = [*names, *(f"predicted_{name}" for name in names)]
    grouped = comparison.groupby(["case", "arm", "model"], sort=False)
    means = grouped[columns].mean()
    means.insert(0, "sessions", grouped.size())
    for name in (*METRICS, *COMPONENTS):
        whole = means[name] if name in METRICS else means["per_token_ms"]
        means[f"{name}_error"] = (means[f"predicted_{name}"] - means[name]) / whole
    return means.reset_index()


def orders_agree(errors: pd.DataFrame, tie: float = 0.05) -> tuple[int, int]:
    """Pairs of arms of a case of which a model names the faster one; of how many.

    Pairs that are measured as equal within ``tie`` say nothing.
    """
    agreeing = pairs = 0
    for _, rows in errors.groupby("case", sort=False):
        times = rows[["per_token_ms", "predicted_per_token_ms"]].to_numpy()
        for one in range(len(times)):
            for other in range(one):
                measured, predicted = times[one] / times[other] - 1
                if abs(measured) > tie:
                    pairs += 1
                    agreeing += int(measured * predicted > 0)
    return agreeing, pairs
