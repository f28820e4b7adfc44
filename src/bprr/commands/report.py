"""``bprr report``: the scorecard, tables and figures as one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("report", help="write the report, one HTML file")
    command.add_argument("pictures", type=Path, nargs="*", help="figures, in their order")
    command.add_argument("--config", type=Path, default=Path("config/default.yaml"))
    command.add_argument("--claims", type=Path, default=Path("claims.yaml"))
    command.add_argument("--discrepancies", type=Path, default=Path("discrepancies.yaml"))
    command.add_argument("--published", type=Path, default=Path("data/published/results.csv"))
    command.add_argument("--results", type=Path, help="results folder, if not the configured one")
    command.add_argument("-o", "--output", type=Path, help="the HTML file")
    command.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from bprr.report.claims import each_claim, load_claims
    from bprr.report.discrepancies import load_register
    from bprr.report.page import write_page
    from bprr.report.results import Results
    from bprr.report.scorecard import make_scorecard
    from bprr.settings.configuration import load_settings

    settings = load_settings(arguments.config)
    folder = arguments.results or Path(settings.results_dir)
    results = Results(folder, settings.confidence, arguments.published)
    register = load_register(arguments.discrepancies)
    claims = each_claim(load_claims(arguments.claims), arguments.published)
    card = make_scorecard(claims, register, results)
    pictures = [path.with_suffix(".png") for path in arguments.pictures]
    output = arguments.output or folder / "report.html"
    write_page(card, register, settings, results, pictures, output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0
