"""``bprr report``: the scorecard, tables and figures as one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.scorecard import add_result_options, judged

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "report",
        help="write the report, one HTML file",
        example="report figures/headline.pdf -o results/report.html",
    )
    command.add_argument("pictures", type=Path, nargs="*", help="figures, in their order")
    add_result_options(command)
    command.add_argument(
        "--scorecard",
        type=Path,
        metavar="JSON",
        help="as bprr scorecard wrote it, not judged again",
    )
    command.add_argument("-o", "--output", type=Path, help="the HTML file")
    command.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from bprr.report.page import write_page

    card, claims, register = judged(arguments, arguments.scorecard)
    pictures = [path.with_suffix(".png") for path in arguments.pictures]
    output = arguments.output or card.results.folder / "report.html"
    write_page(card, register, claims.answer, pictures, output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0
