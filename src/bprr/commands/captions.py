"""Options that say where names, titles and delays of exhibits come from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bprr.commands.arguments import add_config

if TYPE_CHECKING:
    from bprr.figures.caption import StudyCaption

__all__ = ["add_caption_options", "caption_from"]


def add_caption_options(command: argparse.ArgumentParser) -> None:
    """Add ``--config`` and, for jobs that read only what they show, ``--caption``."""
    add_config(command)
    command.add_argument("--caption", type=Path, help="JSON with titles and names, not --config")


def caption_from(arguments: argparse.Namespace) -> StudyCaption:
    """Caption of the study that the options name."""
    from bprr.figures.caption import read_caption

    if arguments.caption is not None:
        return read_caption(arguments.caption)
    from bprr.figures.from_settings import study_caption
    from bprr.study.slices import settings_at

    return study_caption(settings_at(arguments.config))
