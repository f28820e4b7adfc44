"""Command line of fitting: `bprr fit` (no torch needed)."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bprr.errors import InputError
from bprr.fit import fit_device
from bprr.measure.trace import read_trace
from bprr.profile import device_profile, measured_model, write_named

__all__ = ["add_command", "run_fit"]


def run_fit(arguments: argparse.Namespace) -> None:
    """Fit a device profile to a trace (`bprr fit`)."""
    trace = read_trace(arguments.trace)
    link = None if arguments.network is None else read_trace(arguments.network)
    name = arguments.name or trace.path.resolve().parent.name.replace("-", "_")
    if arguments.memory_gb is not None and not arguments.memory_gb > 0:
        raise InputError("--memory-gb", "size", arguments.memory_gb, "a size above 0")
    rng = np.random.default_rng(arguments.seed)
    found = fit_device(trace, name, rng, link, arguments.memory_gb)
    write_named(arguments.output, name, device_profile(found, trace))
    if arguments.model is not None:
        write_named(arguments.model, f"{name}_model", measured_model(trace))
    if arguments.points is not None:
        arguments.points.parent.mkdir(parents=True, exist_ok=True)
        found.points.to_csv(arguments.points, index=False, float_format="%.6g")
    tau = found.decode.per_block(1)
    print(f"{arguments.output}: τ = {tau.value:.4g} ms [{tau.low:.4g}, {tau.high:.4g}]")
    words = {True: "holds", False: "FAILS", None: "untested"}
    for verdict in found.verdicts:
        print(f"  {words[verdict.holds]}: {verdict.statement} ({verdict.evidence})")


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `fit` to the command line."""
    parser = subparsers.add_parser("fit", help="fit a device profile to a trace")
    parser.add_argument("trace", type=Path, help="directory of a trace, or its trace.csv")
    parser.add_argument("--output", type=Path, required=True, help="device profile to write (YAML)")
    parser.add_argument("--model", type=Path, help="model that was timed, to write (YAML)")
    parser.add_argument("--points", type=Path, help="observations beside predictions (CSV)")
    parser.add_argument("--name", help="name of the profile; the trace's directory if not given")
    parser.add_argument("--network", type=Path, help="trace of `bprr measure-network`")
    parser.add_argument("--memory-gb", type=float, help="usable memory M; by default what was free")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.set_defaults(run=run_fit)
