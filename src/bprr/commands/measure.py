"""``bprr measure``: time real blocks on this machine, and write a trace."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import natural_number, whole_number

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "measure",
        help="time real blocks on this machine's device",
        example="measure --quick -o data/traces/my-gpu",
    )
    command.add_argument("--device", help="cuda, mps or cpu; found by itself if not given")
    command.add_argument(
        "--model",
        default="bloom-1b7",
        help="shape of the blocks, e.g. bloom-176b or llama-3-8b, or a local config.json",
    )
    command.add_argument("--weights", default="float32", help="float32, bfloat16, int8 or nf4")
    command.add_argument("--blocks", type=whole_number, help="most blocks held at once")
    command.add_argument("--threads", type=whole_number, help="CPU threads; one per core")
    command.add_argument(
        "--seed", type=natural_number, default=0, help="of the order of observations"
    )
    command.add_argument("--quick", action="store_true", help="fewer settings, under 2 minutes")
    command.add_argument(
        "-o", "--output", type=Path, help="folder of the trace; default data/traces/<device>"
    )
    command.set_defaults(run=_measure)


def _measure(arguments: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from bprr.ground.errors import BprrError
    from bprr.measure.plan import FULL, QUICK
    from bprr.measure.shapes import load_shape
    from bprr.measure.trace import default_folder, write_trace

    if find_spec("torch") is None or find_spec("transformers") is None:
        raise BprrError("measuring needs torch and transformers: make measure-env")
    from bprr.measure.hardware import find_hardware, pin_threads
    from bprr.measure.quantise import weight_format
    from bprr.measure.session import measure_device

    shape = load_shape(arguments.model)
    hardware = find_hardware(arguments.device)
    chosen = weight_format(arguments.weights, hardware)
    plan = QUICK if arguments.quick else FULL
    plan = plan.limited_to(arguments.blocks or plan.most_blocks, shape.max_sequence_tokens)
    threads = pin_threads(arguments.threads)
    rows, about = measure_device(shape, chosen, hardware, plan, threads, arguments.seed)
    folder = arguments.output or default_folder(hardware.kind, hardware.name())
    path = write_trace(folder, rows, about)
    print(f"{path}: {len(rows):,} observations in {about['duration_s']} s")
    return 0
