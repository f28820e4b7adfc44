"""``bprr scorecard``: judge every published claim by the results."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("scorecard", help="judge every published claim")
    command.add_argument("--config", type=Path, default=Path("config/default.yaml"))
    command.add_argument("--claims", type=Path, default=Path("claims.yaml"))
    command.add_argument("--discrepancies", type=Path, default=Path("discrepancies.yaml"))
    command.add_argument("--published", type=Path, default=Path("data/published/results.csv"))
    command.add_argument("--results", type=Path, help="results folder, if not the configured one")
    command.add_argument("-o", "--output", type=Path, help="scorecard.csv; the rest beside it")
    command.add_argument("--schema", action="store_true", help="print the JSON schemas and stop")
    command.set_defaults(run=_scorecard)


def _scorecard(arguments: argparse.Namespace) -> int:
    from bprr.report.claims import Claims, each_claim, load_claims
    from bprr.report.discrepancies import Register, load_register

    if arguments.schema:
        schemas = {
            "claims": Claims.model_json_schema(),
            "discrepancies": Register.model_json_schema(),
        }
        print(json.dumps(schemas, indent=2, sort_keys=True))
        return 0

    from bprr.report.results import Results
    from bprr.report.scorecard import make_scorecard, summary, write_scorecard
    from bprr.settings.configuration import load_settings

    settings = load_settings(arguments.config)
    folder = arguments.results or Path(settings.results_dir)
    results = Results(folder, settings.confidence, arguments.published)
    claims = each_claim(load_claims(arguments.claims), arguments.published)
    card = make_scorecard(claims, load_register(arguments.discrepancies), results)
    written = write_scorecard(card, arguments.output or folder / "scorecard.csv")
    print(summary(card))
    print(f"in {written[0].with_suffix('.md')}")
    return 0
