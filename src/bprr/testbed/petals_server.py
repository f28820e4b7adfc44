"""One PETALS server, or the peer that the others join by, as a process inside its namespace."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import hivemind
import petals.cli.run_server as petals_command
import petals.server.server as petals_server
from petals.utils.convert_block import QuantType

from bprr.testbed.hosts import PORT
from bprr.testbed.petals_growing import charge_by_pages
from bprr.testbed.petals_runtime import (
    accept_wide,
    emulate_device,
    log_sessions,
    serve_in_order,
)

__all__ = ["run_first_peer", "run_server"]


def run_first_peer(pipe: Connection, address: str, identity: str) -> None:
    """Hold the DHT's first peer; tell its address."""
    dht = hivemind.DHT(
        start=True,
        host_maddrs=[f"/ip4/{address}/tcp/{PORT}"],
        identity_path=identity,
        use_relay=False,
        use_auto_relay=False,
    )
    pipe.send({"maddrs": [str(maddr) for maddr in dht.get_visible_maddrs()]})
    threading.Event().wait()


def run_server(pipe: Connection, spec: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Serve blocks until killed; tell which, once ready, and again whenever they change.

    Parameters
    ----------
    pipe : Connection
        To the swarm's main process.
    spec, settings : mapping
        Of this server and of all; a ``range`` of blocks is imposed, of a number of ``blocks``
        PETALS chooses which. ``tasks`` is the file of its log (`bprr.testbed.petals_runtime`);
        ``order``, ``prompt``, ``prefetch_batches`` and ``page_tokens`` are as shipped if not
        given. With a ``config``, a file of PETALS' ``run_server --config``, that command serves
        instead.
    """
    device = spec["device"]
    log = os.open(spec["tasks"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    emulate_device(device, log)
    log_sessions(log)
    serve_in_order(spec.get("order", "fifo"), spec.get("prompt", "whole"))
    accept_wide()
    if spec.get("page_tokens"):
        charge_by_pages(spec["page_tokens"])

    # Asked for its throughput, PETALS would time the CPU; it gets the emulated device's instead.
    def announced(*_: object, num_blocks: int, **__: object) -> dict[str, float]:
        share = device["forward_rps"] / ((num_blocks + 1) / 2)
        return {
            "throughput": min(share, device["network_rps"]),
            "inference_rps": 1000.0 / device["tau_ms"],
            "forward_rps": device["forward_rps"],
            "network_rps": device["network_rps"],
        }

    petals_server.get_server_throughput = announced
    if "config" in spec:
        _serve_by_command(pipe, spec, settings)
    imposed = spec.get("range")
    server = petals_server.Server(
        initial_peers=settings["initial_peers"],
        dht_prefix=settings["dht_prefix"],
        converted_model_name_or_path=settings["model_dir"],
        throughput="eval",
        num_blocks=None if imposed else spec["blocks"],
        block_indices=f"{imposed[0]}:{imposed[1]}" if imposed else None,
        num_handlers=1,
        attn_cache_tokens=spec["cache_tokens_per_block"],
        prefetch_batches=spec.get("prefetch_batches", 1),
        torch_dtype=spec.get("torch_dtype", "float32"),
        device="cpu",
        quant_type=QuantType.NONE,
        update_period=settings["update_period_s"],
        mean_block_selection_delay=0.0,  # servers join one after another, so nothing can collide
        skip_reachability_check=True,
        reachable_via_relay=False,
        use_relay=False,
        use_auto_relay=False,
        host_maddrs=[f"/ip4/{spec['address']}/tcp/{PORT}"],
        identity_path=spec["identity"],
    )
    threading.Thread(target=_tell_blocks, args=(pipe, server), daemon=True).start()
    server.run()


def _serve_by_command(
    pipe: Connection, spec: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """PETALS' own command with a file as it is, and what no file can know of this swarm."""

    class Told(petals_server.Server):
        def __init__(self, **arguments: Any) -> None:
            # No address here is of the Internet, where PETALS would look for relays.
            nearby = {"reachable_via_relay": False, "use_relay": False}
            super().__init__(**arguments, **nearby)
            threading.Thread(target=_tell_blocks, args=(pipe, self), daemon=True).start()

    petals_command.Server = Told
    petals_command.validate_version = lambda: None  # asks the Internet for a newer one
    known = {
        "config": spec["config"],
        "converted_model_name_or_path": settings["model_dir"],
        "initial_peers": settings["initial_peers"][0],
        "dht_prefix": settings["dht_prefix"],
        "identity_path": spec["identity"],
        "device": "cpu",
        "torch_dtype": "float32",
        "num_handlers": 1,
        "update_period": settings["update_period_s"],
    }
    words = [word for key, value in known.items() for word in (f"--{key}", str(value))]
    sys.argv = ["run_server", *words, "--no_auto_relay", "--skip_reachability_check"]
    petals_command.main()
    sys.exit(1)  # it serves until killed


def _tell_blocks(pipe: Connection, server: Any) -> None:
    told: list[int] | None = None
    while True:
        container = server.module_container
        if container is not None and container.ready.is_set():
            indices = sorted(int(uid.rsplit(".", 1)[1]) for uid in container.module_backends)
            blocks = [indices[0], indices[-1] + 1]
            if blocks != told:
                told = blocks
                pipe.send({"range": blocks, "peer": str(server.dht.peer_id)})
        time.sleep(0.1)
