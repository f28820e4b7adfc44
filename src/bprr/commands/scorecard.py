"""``bprr scorecard``: judge every published claim by the results."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bprr.commands.arguments import add_json
from bprr.commands.captions import add_caption_options, caption_from
from bprr.settings.shipped import SHIPPED

if TYPE_CHECKING:
    from bprr.report.claims import Claim, Claims
    from bprr.report.discrepancies import Register
    from bprr.report.results import Results
    from bprr.report.scorecard import Scorecard

__all__ = ["add_command", "add_result_options", "judge_with", "judged", "spelled"]

PUBLISHED = SHIPPED / "data/published"


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "scorecard",
        help="judge every published claim",
        example="scorecard",
    )
    add_result_options(command)
    command.add_argument("-o", "--output", type=Path, help="scorecard.csv; the rest beside it")
    command.add_argument("--schema", action="store_true", help="print the JSON schemas and stop")
    add_json(command)
    command.set_defaults(run=_scorecard)


def add_result_options(command: argparse.ArgumentParser) -> None:
    """Add what scorecard and report are made from."""
    add_caption_options(command)
    command.add_argument("--claims", type=Path, default=SHIPPED / "claims.yaml")
    command.add_argument("--discrepancies", type=Path, default=SHIPPED / "discrepancies.yaml")
    command.add_argument("--published", type=Path, default=PUBLISHED / "results.csv")
    command.add_argument("--artefact", type=Path, default=PUBLISHED / "artefact_sweeps.csv")
    command.add_argument("--results", type=Path, help="results folder, if not the configured one")


def judge_with(arguments: argparse.Namespace) -> tuple[Claims, Register, Results]:
    """Claims, the register and the results that the options name."""
    from bprr.figures.from_settings import other_tables
    from bprr.report.claims import load_claims
    from bprr.report.discrepancies import load_register
    from bprr.report.results import Results

    caption = caption_from(arguments, other_tables)
    folder = arguments.results or results_folder(arguments)
    claims, register = load_claims(arguments.claims), load_register(arguments.discrepancies)
    return claims, register, Results(folder, caption, arguments.published)


def spelled(arguments: argparse.Namespace, claims: Claims, results: Results) -> list[Claim]:
    """Every claim by itself, those of the printed numbers too."""
    from bprr.report.claims import each_claim

    return each_claim(claims, arguments.published, arguments.artefact, results.caption.labels)


def judged(
    arguments: argparse.Namespace, known: Path | None = None
) -> tuple[Scorecard, Claims, Register]:
    """Every claim judged by the results that the options name; or as a file knows it."""
    from bprr.report.scorecard import make_scorecard
    from bprr.report.texts import read_scorecard

    claims, register, results = judge_with(arguments)
    if known is not None:
        return read_scorecard(known, register, results), claims, register
    card = make_scorecard(spelled(arguments, claims, results), register, results)
    return card, claims, register


def results_folder(arguments: argparse.Namespace) -> Path:
    """Folder that the configuration names; a caption alone names none."""
    from bprr.study.slices import settings_at

    if arguments.caption is not None:
        return Path("results")
    return Path(settings_at(arguments.config).results_dir)


def _scorecard(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        from bprr.report.claims import Claims
        from bprr.report.discrepancies import Register

        schemas = {
            "claims": Claims.model_json_schema(),
            "discrepancies": Register.model_json_schema(),
        }
        print(json.dumps(schemas, indent=2, sort_keys=True))
        return 0

    from bprr.report.texts import summary, write_scorecard

    card, _, _ = judged(arguments)
    written = write_scorecard(card, arguments.output or card.results.folder / "scorecard.csv")
    if arguments.json:
        print(written[0].with_suffix(".json").read_text(encoding="utf-8"), end="")
        return 0
    print(summary(card))
    print(f"in {written[0].with_suffix('.md')}")
    return 0
