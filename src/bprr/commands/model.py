"""``bprr model CONFIG``: a Hugging Face configuration as an entry of a model file."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "model",
        help="a Hugging Face config.json as a model file",
        example="model tests/cases/example/Qwen3-32B/config.json",
    )
    command.add_argument("config", type=Path, help="config.json")
    command.add_argument("--name", help="of the model; that of the folder if not given")
    command.add_argument(
        "--upper-bound",
        action="store_true",
        help="where blocks differ, take the largest block and cache for all of them",
    )
    command.add_argument("-o", "--output", type=Path, help="file to write; printed if not given")
    command.set_defaults(run=_model)


def _model(arguments: argparse.Namespace) -> int:
    import re

    import yaml

    from bprr.ground.storage import replacing
    from bprr.ground.swarm import LanguageModel
    from bprr.settings.hugging_face import read_architecture
    from bprr.settings.messages import validated
    from bprr.settings.model_file import model_entry

    path = arguments.config
    entry = model_entry(read_architecture(path), path, arguments.upper_bound)
    model = validated(LanguageModel, entry, path)
    name = arguments.name or (path.resolve().parent.name if path.stem == "config" else path.stem)
    named = {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "model": entry}
    text = yaml.safe_dump(named, sort_keys=False, allow_unicode=True, width=1000)
    text = (
        f"# A block takes {model.block_gb:.4f} GB, a token of its cache"
        f" {model.cache_gb_per_token * 1e9:,.0f} bytes.\n{text}"
    )
    if arguments.output is None:
        print(text, end="")
        return 0
    with replacing(arguments.output) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    print(f"{', '.join(named)} in {arguments.output}")
    return 0
