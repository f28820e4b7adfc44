"""Options that say where names, titles and delays of exhibits come from."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bprr.commands.arguments import add_config

if TYPE_CHECKING:
    from bprr.figures.caption import StudyCaption
    from bprr.settings.configuration import Settings
    from bprr.study.planned import Planned

__all__ = ["add_caption_options", "caption_from"]


def add_caption_options(command: argparse.ArgumentParser) -> None:
    """Add ``--config`` and, for jobs that read only what they show, ``--caption``."""
    add_config(command)
    command.add_argument("--caption", type=Path, help="JSON with titles and names, not --config")


def caption_from(
    arguments: argparse.Namespace, tables: Callable[[Settings], Iterable[Planned]] | None = None
) -> StudyCaption:
    """Caption of the study that the options name, and what tables beside its sweeps are asked."""
    from bprr.figures.caption import read_caption

    if arguments.caption is not None:
        return read_caption(arguments.caption)
    from bprr.figures.from_settings import study_caption
    from bprr.study.slices import settings_at

    settings = settings_at(arguments.config)
    return study_caption(settings, tables=tables(settings) if tables else ())
