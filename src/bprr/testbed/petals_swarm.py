"""The swarm's main process: makes the hosts and the network, then starts and kills what runs there.

It is the first process of a PID namespace of its own and ends when its standard input does; the
kernel then kills every process below it and removes their network namespaces and devices.
Commands come and answers go as lines of JSON. It imports PETALS once and forks everything else.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bprr.testbed.delay_router import DelayLine, route_packets
from bprr.testbed.hosts import FIRST_PEER, PREFIX_BITS, address_of, client_host, server_host
from bprr.testbed.namespaces import enter, new_host
from bprr.testbed.petals_import import offer_names

PACKAGES = ("petals", "hivemind", "torch", "transformers", "numpy")


class TimedOut(Exception):
    """A process did not answer in time."""


class Process:
    """A forked process in its own session, with a pipe."""

    def __init__(
        self, work: Callable[[Connection], object], namespace: int | None, log: Path
    ) -> None:
        self.pipe, far_end = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                self.pipe.close()
                descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(descriptor, 1)
                os.dup2(descriptor, 2)
                if namespace is not None:
                    enter(namespace)
                work(far_end)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(1)
        far_end.close()

    def receive(self, timeout_s: float) -> Any:
        """Next message; `TimedOut` if there is none in time or the process has ended."""
        try:
            if self.pipe.poll(timeout_s):
                return self.pipe.recv()
        except EOFError:
            raise TimedOut("the process has ended") from None
        raise TimedOut(f"no answer within {timeout_s:g} s")

    def kill(self) -> None:
        """Kill it with everything it started; a second time does nothing."""
        if self.pipe.closed:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.pipe.close()


class PetalsSwarm:
    """Hosts and network, and the processes of one swarm after another on them."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._folder = Path(settings["folder"])
        self._for_clients: Mapping[str, Any] = {}
        self._servers: dict[int, Process] = {}
        self._clients: dict[int, Process] = {}
        self._first_peer: Process | None = None
        self.peers: dict[int, str] = {}
        self._swarms = itertools.count(1)
        rtt_ms, mbit_per_s = settings["rtt_ms"], settings["mbit_per_s"]
        addresses = [address_of(host) for host in range(len(rtt_ms))]
        controls = settings.get("controls")  # of every host's kernel
        hosts = [new_host(address, PREFIX_BITS, controls) for address in addresses]
        self._namespaces, tuns = zip(*hosts, strict=True)
        line = DelayLine(
            [[value / 2000.0 for value in row] for row in rtt_ms],
            [[value * 1e6 / 8 for value in row] for row in mbit_per_s],
        )
        host_of = {address: host for host, address in enumerate(addresses)}
        log = self._folder / "router.log"
        self._router = Process(lambda _: route_packets(tuns, host_of, line), None, log)
        for tun in tuns:
            os.close(tun)  # the router alone keeps the devices
        offer_names()
        model_dir = make_model(self._folder / "model", settings["model"])
        self._settings = {**settings, "model_dir": model_dir}

    def start(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Start first peer, servers and clients; answer with the blocks of every server."""
        from bprr.testbed.petals_server import run_first_peer, run_server

        deadline_s = time.monotonic() + command["timeout_s"]

        def message_of(process: Process) -> Any:
            return process.receive(max(deadline_s - time.monotonic(), 0.0))

        identity = str(self._folder / "identity_0")
        self._first_peer = Process(
            lambda pipe: run_first_peer(pipe, address_of(FIRST_PEER), identity),
            self._namespaces[FIRST_PEER],
            self._folder / "first_peer.log",
        )
        settings = {
            **self._settings,
            "initial_peers": message_of(self._first_peer)["maddrs"],
            "dht_prefix": f"testbed-{next(self._swarms)}",  # no stale record of an earlier swarm
        }
        up: dict[int, dict[str, Any]] = {}
        for spec in command["servers"]:
            server, host = spec["server"], server_host(spec["server"])
            spec |= {
                "address": address_of(host),
                "identity": str(self._folder / f"identity_{host}"),
                "tasks": str(self._folder / f"tasks_{server}"),
            }
            Path(spec["tasks"]).unlink(missing_ok=True)
            self._servers[server] = Process(
                partial(run_server, spec=spec, settings=settings),
                self._namespaces[host],
                self._folder / f"server_{server}.log",
            )
            if "range" not in spec:  # PETALS chooses: the next one must see this one
                up[server] = message_of(self._servers[server])
        for server in self._servers.keys() - up.keys():
            up[server] = message_of(self._servers[server])
        self._for_clients = settings
        for client in range(self._settings["clients"]):
            self._start_client(client)
        for process in self._clients.values():
            message_of(process)
        self.peers.update({server: message["peer"] for server, message in up.items()})
        ranges = {server: message["range"] for server, message in up.items()}
        return {"ranges": ranges, "peers": self.peers}

    def _start_client(self, client: int) -> None:
        from bprr.testbed.petals_client import run_client

        self._clients[client] = Process(
            lambda pipe: run_client(pipe, self._for_clients),
            self._namespaces[client_host(client, self._settings["servers"])],
            self._folder / f"client_{client}.log",
        )

    def blocks_now(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Changes of blocks since the last time asked (PETALS rebalances by itself)."""
        changes = {}
        for server, process in self._servers.items():
            with suppress(EOFError, OSError):
                while process.pipe.poll(0):
                    changes[server] = process.pipe.recv()["range"]
        return {"changes": changes}

    def client(self, command: Mapping[str, Any]) -> Any:
        """Pass a command to the client of a position; one that does not answer is replaced."""
        process = self._clients[command["client"]]
        process.pipe.send(command)
        if command.get("kill_server") is not None:
            victim = self._servers[command["kill_server"]]
            threading.Timer(command["kill_after_s"], victim.kill).start()
        try:
            return process.receive(command["timeout_s"] + 15.0)
        except TimedOut:
            process.kill()
            self._start_client(command["client"])
            self._clients[command["client"]].receive(60.0)
            raise

    def clients(self, command: Mapping[str, Any]) -> list[Any]:
        """Pass commands to clients of several positions, which share an instant to start at."""
        start_s = time.monotonic() + command["lead_s"]
        for each in command["commands"]:
            timeout_s = command["timeout_s"]
            message = {**each, "timeout_s": timeout_s, "start_s": start_s}
            self._clients[each["client"]].pipe.send(message)
        deadline_s = start_s + command["timeout_s"] + 15.0
        return [
            self._clients[each["client"]].receive(max(deadline_s - time.monotonic(), 0.0))
            for each in command["commands"]
        ]

    def connect_times(self, command: Mapping[str, Any]) -> list[list[list[float]]]:
        """Times to open TCP connections from hosts to addresses, while servers listen (ms)."""
        from bprr.testbed.petals_client import connect_times_ms

        def measure(pipe: Connection) -> None:
            pipe.send(connect_times_ms(command))
            pipe.recv()

        found = []
        for host in command["hosts"]:
            process = Process(
                measure,
                self._namespaces[host],
                self._folder / "connect.log",
            )
            found.append(process.receive(command["timeout_s"]))
            process.kill()
        return found

    def tasks(self, command: Mapping[str, Any]) -> dict[int, list[str]]:
        """Logs of the servers' runtimes since the last time asked, when nothing runs."""
        found = {}
        for server in self._servers:
            path = self._folder / f"tasks_{server}"
            found[server] = path.read_text(encoding="utf-8").splitlines()
            os.truncate(path, 0)
        return found

    def stop(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Kill clients, servers and first peer; hosts and network stay."""
        for process in (*self._clients.values(), *self._servers.values()):
            process.kill()
        self._clients.clear()
        self._servers.clear()
        if self._first_peer is not None:
            self._first_peer.kill()
            self._first_peer = None
        return {"stopped": True}


def make_model(folder: Path, model: Mapping[str, Any]) -> str:
    """Save a BLOOM of random weights as PETALS wants it (the keys of the base model)."""
    import torch
    from transformers import BloomConfig, BloomForCausalLM

    torch.manual_seed(model["seed"])
    config = BloomConfig(
        vocab_size=model["vocabulary"],
        hidden_size=model["d_model"],
        n_layer=model["blocks"],
        n_head=model["heads"],
        initializer_range=model["initializer_range"],
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    BloomForCausalLM(config).transformer.save_pretrained(folder)
    return str(folder)


def main() -> None:
    """Answer commands; the first one makes the hosts."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # whatever the libraries print is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides when to end
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.alarm(int(sys.argv[1]))
    swarm: PetalsSwarm | None = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if swarm is None:
                swarm = PetalsSwarm(command["settings"])
                answer: Any = {"packages": {name: version(name) for name in PACKAGES}}
            else:
                answer = getattr(swarm, command["op"])(command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps({"answer": answer}) + "\n")


if __name__ == "__main__":
    main()
