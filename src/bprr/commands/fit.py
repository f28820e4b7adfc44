"""``bprr fit TRACE``: a device profile from a trace (no torch needed)."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_json, natural_number, positive_number, print_json

__all__ = ["add_command"]

WORDS = {True: "holds", False: "FAILS", None: "untested"}


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "fit",
        help="fit a device profile to a trace",
        example="fit data/traces/cpu-amd-epyc -o results/fit/mine",
    )
    command.add_argument("trace", type=Path, help="folder of a trace, or its trace.csv")
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="folder of the profile and its points",
    )
    command.add_argument("--name", help="name of the profile; that of the trace if not given")
    command.add_argument("--network", type=Path, help="trace of bprr measure-network")
    command.add_argument(
        "--memory-gb",
        type=positive_number,
        help="usable memory M; by default what was free when measured",
    )
    command.add_argument("--seed", type=natural_number, default=0, help="of the bootstrap")
    add_json(command)
    command.set_defaults(run=_fit)


def _fit(arguments: argparse.Namespace) -> int:
    import numpy as np

    from bprr.fit.device import fit_device
    from bprr.fit.profile import write_fit
    from bprr.measure.trace import read_trace

    trace = read_trace(arguments.trace)
    link = None if arguments.network is None else read_trace(arguments.network)
    name = arguments.name or trace.path.resolve().parent.name.replace("-", "_")
    rng = np.random.default_rng(arguments.seed)
    found = fit_device(trace, name, rng, link, arguments.memory_gb)
    write_fit(arguments.output, found, trace)
    if arguments.json:
        told = {
            "name": name,
            "tau_ms": found.tau_ms._asdict(),
            "findings": [vars(finding) for finding in found.findings],
        }
        print_json(told)
        return 0
    tau = found.tau_ms
    print(f"{name}: τ = {tau.value:.4g} ms [{tau.low:.4g}, {tau.high:.4g}], in {arguments.output}")
    for finding in found.findings:
        print(f"  {WORDS[finding.holds]}: {finding.statement} ({finding.evidence})")
    return 0
