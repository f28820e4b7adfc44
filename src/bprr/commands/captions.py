"""Options that say where names, titles and delays of exhibits come from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bprr.figures.caption import StudyCaption

__all__ = ["add_caption_options", "caption_from"]


def add_caption_options(command: argparse.ArgumentParser) -> None:
    """Add ``--config`` and, for jobs that read only what they show, ``--caption``."""
    command.add_argument("--config", type=Path, default=Path("config/default.yaml"))
    command.add_argument("--caption", type=Path, help="JSON with titles and names, not --config")


def caption_from(arguments: argparse.Namespace) -> StudyCaption:
    """Caption of the study that the options name."""
    from bprr.figures.caption import read_caption

    if arguments.caption is not None:
        return read_caption(arguments.caption)
    from bprr.figures.from_settings import study_caption
    from bprr.settings.configuration import load_settings

    return study_caption(load_settings(arguments.config))
