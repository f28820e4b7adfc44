"""``bprr calibrate LOG --plan DIR``: what was seen against what was planned."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_json, print_json

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "calibrate",
        help="fit a plan to sessions that were seen",
        example="calibrate log.csv --plan plan -o calibration.yaml",
    )
    command.add_argument(
        "log", type=Path, help="CSV or lines of JSON: start, first_token, end, tokens[, chain]"
    )
    command.add_argument("--plan", type=Path, required=True, metavar="DIR", help="of bprr plan")
    command.add_argument(
        "-o", "--output", type=Path, default=Path("calibration.yaml"), help="for --calibration"
    )
    add_json(command)
    command.set_defaults(run=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    import yaml

    from bprr.ground.storage import replacing
    from bprr.plan.calibrate import calibrated, errors, read_log, read_plan

    plan = read_plan(arguments.plan)
    observed = read_log(arguments.log, plan)
    fit = calibrated(plan, observed, f"{len(observed)} sessions of {arguments.log.name}")
    content = fit.calibration.model_dump(mode="json")
    with replacing(arguments.output) as unfinished:
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        unfinished.write_text(text, encoding="utf-8")
    predicted = {
        title: errors(ratios).to_dict()
        for title, ratios in (("before", fit.before), ("after", fit.after))
    }
    if arguments.json:
        held_out = {"sessions": len(observed), "held_out": len(fit.before)}
        print_json(held_out | predicted | {"calibration": content})
        return 0
    print(
        f"{len(observed)} sessions, {len(fit.before)} of them held out: predicted / observed time"
    )
    print(f"{'per token':<12} {'middle':>8} {'median error':>13} {'worst':>8}")
    for title, row in predicted.items():
        print(f"{title:<12} {row['ratio']:>8.3f} {row['median']:>13.1%} {row['worst']:>8.1%}")
    low, value, high = fit.calibration.hop_overhead_ms
    print(f"a hop costs {value:.1f} ms ({low:.1f} to {high:.1f}) beside distance and computing")
    for gpu, (low, value, high) in fit.calibration.devices.items():
        print(f"{gpu}: {value:.3f} times the planned time per block ({low:.3f} to {high:.3f})")
    print(f"{arguments.output}; bprr plan … --calibration {arguments.output}")
    return 0
