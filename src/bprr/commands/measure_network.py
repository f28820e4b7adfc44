"""``bprr measure-network``: time the link to a peer, or be that peer."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import positive_number, whole_number

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "measure-network",
        help="time the link to a peer",
        example="measure-network --peer host.example:31337",
    )
    role = command.add_mutually_exclusive_group(required=True)
    role.add_argument("--serve", action="store_true", help="be the peer of another machine")
    role.add_argument("--peer", metavar="HOST:PORT", help="a machine that runs --serve")
    command.add_argument("--port", type=whole_number, default=31337, help="port to answer on")
    command.add_argument(
        "--activation-bytes",
        type=whole_number,
        default=2 * 14336,
        help="one token's activation (default: BLOOM-176B in 16 bits)",
    )
    command.add_argument(
        "--repeats", type=whole_number, default=100, help="round trips of each kind"
    )
    command.add_argument(
        "--bulk-mb", type=positive_number, default=20.0, help="MB per bandwidth observation"
    )
    command.add_argument(
        "-o", "--output", type=Path, default=Path("data/traces/network"), help="folder of the trace"
    )
    command.set_defaults(run=_serve_or_measure)


def _serve_or_measure(arguments: argparse.Namespace) -> int:
    return _serve(arguments.port) if arguments.serve else _measure(arguments)


def _serve(port: int) -> int:
    from bprr.measure.network import serve

    print(f"answering on port {port}; stop with Ctrl-C", flush=True)
    serve("", port)
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    from bprr.ground.errors import InputError
    from bprr.measure.manifest import origin
    from bprr.measure.network import MOST_BYTES, Peer, observe_link, parse_address
    from bprr.measure.trace import Recorder, write_trace

    bulk_bytes = max(round(arguments.bulk_mb * 1e6), 1)
    for key, value in (("bulk-mb", bulk_bytes), ("activation-bytes", arguments.activation_bytes)):
        if value > MOST_BYTES:
            raise InputError("command line", f"--{key}", f"{value} bytes", f"at most {MOST_BYTES}")
    recorder, started = Recorder(), origin(("numpy",))
    with Peer(*parse_address(arguments.peer)) as peer:
        observe_link(peer, recorder, arguments.activation_bytes, arguments.repeats, bulk_bytes)
    about = {
        "kind": "network",
        **started,
        "network": "TCP to a peer",  # not its name: traces are shared
        "settings": {
            "activation_bytes": arguments.activation_bytes,
            "repeats": arguments.repeats,
            "bulk_mb": arguments.bulk_mb,
        },
        "duration_s": round(recorder.elapsed_s(), 1),
    }
    path = write_trace(arguments.output, recorder.rows, about)
    print(f"{path}: {len(recorder.rows):,} observations in {about['duration_s']} s")
    return 0
