"""Clients of one position: sessions in threads, each recorded; chains imposed or PETALS' own."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import petals.client.inference_session as petals_session
import torch
from hivemind import MSGPackSerializer, PeerID
from hivemind.moe.client.remote_expert_worker import RemoteExpertWorker
from hivemind.proto import runtime_pb2
from petals import AutoDistributedModelForCausalLM
from petals.client import RemoteSequenceManager
from petals.client.inference_session import InferenceSession
from petals.client.routing.sequence_manager import SequenceManagerState
from petals.data_structures import RemoteSpanInfo, ServerInfo, ServerState
from petals.server.handler import TransformerConnectionHandler
from transformers import BloomForCausalLM

from bprr.testbed.petals_coordinator import Coordinator

__all__ = ["run_client"]

LONGEST_GAP_S = 2.0  # between attempts of a session that starts again


def _drop_finalisers() -> None:
    """Sessions are closed explicitly here; their finalisers can block the event loop for ever."""
    for kind in (petals_session._ServerInferenceSession, petals_session.InferenceSession):
        if hasattr(kind, "__del__"):
            del kind.__del__


class _Attempts(threading.local):
    """Retries and steps of the session that runs in this thread."""

    def __init__(self) -> None:
        self.retries = 0
        self.waited_until_s = 0.0
        self.steps: list[tuple[int, float, float]] = []  # first block, sent, received


_attempts = _Attempts()


def _noting(delay_of: Callable[[int], float]) -> Callable[[int], float]:
    def noted(attempt: int) -> float:
        delay_s = delay_of(attempt)
        _attempts.retries += 1
        _attempts.waited_until_s = time.monotonic() + delay_s
        return delay_s

    return noted


def _note_steps() -> None:
    """Let sessions note when each step is sent to a server and when its answer is there."""
    genuine = petals_session._ServerInferenceSession.step

    def noted(session, *arguments, **more):  # type: ignore[no-untyped-def]
        sent_s = time.monotonic()
        outputs = genuine(session, *arguments, **more)
        _attempts.steps.append((session.span.start, sent_s, time.monotonic()))
        return outputs

    petals_session._ServerInferenceSession.step = noted


@dataclasses.dataclass
class _Declared:
    """Spending policy that declares a session's rank, which a server may serve by."""

    points: int

    def get_points(self, *_: object, **__: object) -> int:
        return self.points


class ImposedChain(RemoteSequenceManager):
    """Sequence manager that answers with a given chain, whatever PETALS would choose."""

    def __init__(
        self, like: RemoteSequenceManager, spans: Sequence[RemoteSpanInfo], once: bool
    ) -> None:
        state = SequenceManagerState(p2p=like.state.p2p, rpc_info=like.rpc_info)
        config = copy.copy(like.config)
        if once:
            config.max_retries = 1  # whoever asks is told, instead of trying again
        super().__init__(config, like.block_uids, dht=like.dht, state=state)
        self._spans = spans

    def make_sequence(
        self, start_index: int = 0, end_index: int | None = None, **_: object
    ) -> list[RemoteSpanInfo]:
        """Part of the chain that covers ``[start_index, end_index)``."""
        end_index = len(self) if end_index is None else end_index
        return [
            dataclasses.replace(
                span, start=max(span.start, start_index), end=min(span.end, end_index)
            )
            for span in self._spans
            if span.start < end_index and span.end > start_index
        ]

    def on_request_failure(self, peer_id: PeerID | None) -> None:
        """Keep to the chain: nobody is banned, nothing is looked up."""


class _Client:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        _drop_finalisers()
        _note_steps()
        torch.set_num_threads(1)
        self._settings = settings
        self._model = AutoDistributedModelForCausalLM.from_pretrained(
            settings["model_dir"],
            initial_peers=settings["initial_peers"],
            dht_prefix=settings["dht_prefix"],
            torch_dtype=torch.float32,
            use_server_to_server=False,
            show_route=False,
            update_period=settings["update_period_s"],
            request_timeout=settings["request_timeout_s"],
            max_retries=settings["max_retries"],
            # All of them unless told otherwise: known distances, open connections.
            max_pinged=settings.get("max_pinged", settings["servers"]),
        )
        self._manager = self._model.transformer.h.sequence_manager
        self._manager.get_retry_delay = _noting(self._manager.get_retry_delay)
        self._manager.make_sequence(mode="min_latency")  # the first look into the DHT
        assert self._manager.rpc_info

    def sessions(self, command: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run requests at their arrival instants, each in a thread."""
        start_s = command.get("start_s") or time.monotonic() + command.get("lead_s", 0.0)
        records: list[dict[str, Any]] = [{} for _ in command["requests"]]
        rule = command.get("rule")
        self._rule = None if rule is None else (Coordinator(rule), rule["chains"])
        threads = [
            threading.Thread(target=self._session, args=(request, start_s, record), daemon=True)
            for request, record in zip(command["requests"], records, strict=True)
        ]
        for thread in threads:
            thread.start()
        deadline_s = time.monotonic() + command["timeout_s"]
        for thread in threads:
            thread.join(max(deadline_s - time.monotonic(), 0.0))
        # A thread may still be writing: what it has written until now is what is reported.
        return [dict(record) or {"status": "timeout"} for record in records]

    def _session(self, request: Mapping[str, Any], start_s: float, record: dict[str, Any]) -> None:
        arrival_s = start_s + request["arrival_ms"] / 1000.0
        time.sleep(max(arrival_s - time.monotonic(), 0.0))
        _attempts.retries, _attempts.waited_until_s, _attempts.steps = 0, arrival_s, []
        record.update(status="timeout", lag_ms=1000.0 * (time.monotonic() - arrival_s))
        try:
            with torch.inference_mode():
                self._admitted(request, arrival_s, record)
            record["status"] = "ok"
        except Exception as error:  # whatever PETALS raises is a result, recorded as such
            record["status"] = f"{type(error).__name__}: {error}"[:300]
        record["retries"] = _attempts.retries
        if "rank" in request:
            record.update(start_s=start_s, steps=_attempts.steps)

    def _admitted(
        self, request: Mapping[str, Any], arrival_s: float, record: dict[str, Any]
    ) -> None:
        """Generate at once, or on the chain that the coordinator gives, from when it does.

        A session that a server refuses gives everything back and asks anew; what it has generated
        by then is a part of its prompt.
        """
        if self._rule is None:
            return self._generate(request, arrival_s, record)
        coordinator, chains = self._rule
        for attempt in itertools.count():
            # PETALS' own retry would keep what other servers have allocated: all may stand still.
            try:
                with coordinator.joined() as number:
                    if not record.get("token_ids"):
                        _attempts.waited_until_s = time.monotonic()
                    own = {**request, "chain": chains[number], "once": True}
                    return self._generate(own, arrival_s, record)
            except Exception:
                if attempt == self._settings["max_retries"]:
                    raise
            _attempts.retries += 1
            time.sleep(min(0.1 * 2**attempt, LONGEST_GAP_S))

    def _generate(
        self, request: Mapping[str, Any], arrival_s: float, record: dict[str, Any]
    ) -> None:
        model = self._model
        tokens: list[int] = record.setdefault("token_ids", [])
        token_ms: list[float] = record.setdefault("token_ms", [])
        ids = torch.tensor([[*request["input_ids"], *tokens]])
        if request.get("note_known"):
            record["known"] = self._known()
        with InferenceSession(self._manager_for(request), request["cache_tokens"]) as session:

            def passed(inputs: torch.Tensor) -> torch.Tensor:
                hidden = model.transformer.word_embeddings(inputs)
                return session.step(model.transformer.word_embeddings_layernorm(hidden))

            *before, inputs = ids.split(1 if request.get("token_by_token") else ids.shape[1], 1)
            for piece in before:
                passed(piece)
            while len(tokens) < request["output_tokens"]:
                hidden = model.transformer.ln_f(passed(inputs))
                inputs = model.lm_head(hidden[:, -1:]).argmax(-1)
                token_ms.append(round(1000.0 * (time.monotonic() - arrival_s), 3))
                if not tokens:
                    record["wait_ms"] = 1000.0 * (_attempts.waited_until_s - arrival_s)
                    record["retries_before_first"] = _attempts.retries
                tokens.append(int(inputs))
                record.update(ttft_ms=token_ms[0], last_token_ms=token_ms[-1], tokens=len(tokens))
            record["chain"] = [
                [str(part.span.peer_id), part.span.start, part.span.end]
                for part in session._server_sessions
            ]

    def _known(self) -> dict[str, Any]:
        """What PETALS routes by: its pings, and what servers have announced (ms, tokens)."""
        pings = self._manager.ping_aggregator.to_dict()
        between, cache = {}, {}
        for span in self._manager.state.sequence_info.spans_by_priority:
            info, peer = span.server_info, str(span.peer_id)
            cache[peer] = info.cache_tokens_left
            between[peer] = {to: 1000.0 * rtt for to, rtt in (info.next_pings or {}).items()}
        own = {str(peer): 1000.0 * rtt for peer, rtt in pings.items()}
        return {"pings_ms": own, "between_ms": between, "cache_tokens": cache}

    def _manager_for(self, request: Mapping[str, Any]) -> RemoteSequenceManager:
        if request.get("chain") is None:
            if "rank" not in request:
                return self._manager
            manager = copy.copy(self._manager)  # PETALS' own routes, with a rank to declare
            manager.policy = _Declared(request["rank"] * request["cache_tokens"])
            return manager
        spans = [
            RemoteSpanInfo(
                PeerID.from_base58(peer), start, end, ServerInfo(ServerState.ONLINE, 1.0)
            )
            for peer, start, end in request["chain"]
        ]
        manager = ImposedChain(self._manager, spans, request.get("once", False))
        manager.get_retry_delay = _noting(manager.get_retry_delay)
        if "rank" in request:
            manager.policy = _Declared(request["rank"] * request["cache_tokens"])
        return manager

    def cache_left(self, command: Mapping[str, Any]) -> list[int]:
        """Cache that servers have free, in tokens of one block, by their own word."""
        found = []
        for peer, block in command["servers"]:
            stub = TransformerConnectionHandler.get_stub(
                self._manager.state.p2p, PeerID.from_base58(peer)
            )
            uid = runtime_pb2.ExpertUID(uid=self._manager.block_uids[block])
            answer = RemoteExpertWorker.run_coroutine(stub.rpc_info(uid, timeout=10.0))
            found.append(MSGPackSerializer.loads(answer.serialized_info)["cache_tokens_available"])
        return found

    def steps(self, command: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Send activations of some width along a chain, a pause after each answer.

        Returns
        -------
        list of dict
            Per width and pause: for each step when it was sent and answered (monotonic seconds),
            and the bytes that the host sent and received meanwhile.
        """
        found = []
        for width, pause_s in command["cells"]:
            times = []
            tokens = command["repeats"]
            _attempts.steps = []
            manager = self._manager_for(command)
            with torch.inference_mode(), InferenceSession(manager, tokens) as session:
                for _ in range(tokens):
                    hidden = torch.randn(1, 1, width).to(torch.bfloat16)
                    before = _bytes_carried()
                    session.step(hidden)
                    after = _bytes_carried()
                    carried = [b - a for a, b in zip(before, after, strict=True)]
                    times.append([*_attempts.steps[-1][1:], *carried])
                    time.sleep(pause_s)
            found.append({"width": width, "pause_s": pause_s, "steps": times})
        return found


def _bytes_carried() -> tuple[int, int]:
    """Bytes that this host's device has sent and received."""
    with open("/proc/self/net/dev", encoding="ascii") as file:
        fields = next(line for line in file if "tun0:" in line).partition(":")[2].split()
    return int(fields[8]), int(fields[0])


def connect_times_ms(command: Mapping[str, Any]) -> list[list[float]]:
    """Times to open a TCP connection to each address: one round trip each (ms)."""
    measured = []
    for address, port in command["addresses"]:
        times = []
        for _ in range(command["repeats"]):
            start_s = time.perf_counter()
            with socket.create_connection((address, port), timeout=10):
                times.append(1000.0 * (time.perf_counter() - start_s))
        measured.append(times)
    return measured


def local_tokens(model_dir: str, command: Mapping[str, Any]) -> list[list[int]]:
    """Greedy tokens of local transformers for the same prompts."""
    model = BloomForCausalLM.from_pretrained(model_dir).eval()
    answers = []
    for request in command["requests"]:
        ids = torch.tensor([request["input_ids"]])
        with torch.inference_mode():
            whole = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=request["output_tokens"],
                min_new_tokens=request["output_tokens"],
                do_sample=False,
            )
        answers.append(whole[0, ids.shape[1] :].tolist())
    return answers


def run_client(pipe: Connection, settings: Mapping[str, Any]) -> None:
    """Answer commands until killed."""
    client = _Client(settings)
    answer: dict[str, Callable[[Mapping[str, Any]], object]] = {
        "sessions": client.sessions,
        "steps": client.steps,
        "cache_left": client.cache_left,
        "connect_times": connect_times_ms,
        "local_tokens": lambda command: local_tokens(settings["model_dir"], command),
    }
    pipe.send({"ready": True})
    while True:
        command = pipe.recv()
        pipe.send(answer[command["do"]](command))
