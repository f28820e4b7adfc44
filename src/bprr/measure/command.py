"""Command line of measuring: `bprr measure`, `bprr measure-network`."""

from __future__ import annotations

import argparse
import re
import time
from importlib.util import find_spec
from pathlib import Path

from bprr.errors import BprrError, InputError
from bprr.measure import manifest
from bprr.measure.link import observe_link
from bprr.measure.network import Peer, parse_address, serve
from bprr.measure.plan import FULL, QUICK
from bprr.measure.recorder import Recorder
from bprr.measure.shapes import SHAPES, load_shape
from bprr.measure.trace import write_trace

__all__ = ["add_command", "run_measure", "run_measure_network"]

_TRACES = Path("data/traces")
_DEFAULT_PORT = 31337


def run_measure(arguments: argparse.Namespace) -> None:
    """Measure this machine and write a trace (`bprr measure`)."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise BprrError("measuring needs torch and transformers: install bprr with [measure]")
    # These import torch, which only measuring needs.
    from bprr.measure.hardware import find_hardware, pin_threads
    from bprr.measure.quantise import weight_format
    from bprr.measure.session import measure_device

    shape = load_shape(arguments.model)
    hardware = find_hardware(arguments.device)
    chosen = weight_format(arguments.weights, hardware)
    threads = pin_threads(arguments.threads)
    plan = QUICK if arguments.quick else FULL
    blocks = plan.most_blocks if arguments.blocks is None else arguments.blocks
    if blocks < 1:
        raise InputError("--blocks", "count", blocks, "1 or more")
    plan = plan.limited_to(blocks, shape.max_sequence_tokens)
    rows, about = measure_device(shape, chosen, hardware, plan, threads, arguments.seed)
    slug = re.sub(r"[^a-z0-9]+", "-", f"{hardware.kind} {hardware.name()}".lower()).strip("-")
    path = write_trace(arguments.output or _TRACES / slug, rows, about)
    print(f"{path}: {len(rows)} observations in {about['duration_s']} s")


def run_measure_network(arguments: argparse.Namespace) -> None:
    """Measure the link to a peer, or be that peer (`bprr measure-network`)."""
    if arguments.serve:
        print(f"answering on port {arguments.port}; stop with Ctrl-C", flush=True)
        try:
            serve("", arguments.port)
        except KeyboardInterrupt:
            return
    recorder = Recorder()
    with Peer(*parse_address(arguments.peer)) as peer:
        bulk_bytes = round(arguments.bulk_mb * 1e6)
        observe_link(
            peer, recorder, arguments.activation_bytes, arguments.repeats, max(1, bulk_bytes)
        )
    about = {
        "kind": "network",
        **manifest.origin(("numpy",)),
        "network": "TCP to a peer",  # not its name: traces are shared
        "settings": {
            "activation_bytes": arguments.activation_bytes,
            "repeats": arguments.repeats,
            "bulk_mb": arguments.bulk_mb,
        },
        "duration_s": round(time.perf_counter() - recorder.start_s, 1),
    }
    path = write_trace(arguments.output, recorder.rows, about)
    print(f"{path}: {len(recorder.rows)} observations in {about['duration_s']} s")


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `measure` and `measure-network` to the command line."""
    device = subparsers.add_parser("measure", help="time real blocks on this machine's device")
    device.add_argument("--device", help="cuda, mps or cpu; found by itself if not given")
    device.add_argument(
        "--model",
        default="bloom-1b7",
        help=f"shape of the blocks: {', '.join(SHAPES)}, or a local config.json",
    )
    device.add_argument("--weights", default="float32", help="float32, bfloat16, int8 or nf4")
    device.add_argument("--blocks", type=int, help="most blocks held at once")
    device.add_argument("--threads", type=int, help="CPU threads; one per core if not given")
    device.add_argument("--seed", type=int, default=0, help="of the order of observations")
    device.add_argument("--quick", action="store_true", help="fewer settings and rounds")
    device.add_argument("--output", type=Path, help="directory of the trace (data/traces/<device>)")
    device.set_defaults(run=run_measure)

    network = subparsers.add_parser("measure-network", help="time the link to a peer")
    role = network.add_mutually_exclusive_group(required=True)
    role.add_argument("--serve", action="store_true", help="be the peer of another machine")
    role.add_argument("--peer", help="host:port of a machine that runs --serve")
    network.add_argument("--port", type=int, default=_DEFAULT_PORT, help="port to answer on")
    network.add_argument(
        "--activation-bytes", type=int, default=2 * 14336, help="one token's activation"
    )
    network.add_argument("--repeats", type=int, default=100, help="round trips of each kind")
    network.add_argument("--bulk-mb", type=float, default=20.0, help="MB per bandwidth observation")
    network.add_argument(
        "--output", type=Path, default=_TRACES / "network", help="directory of the trace"
    )
    network.set_defaults(run=run_measure_network)
