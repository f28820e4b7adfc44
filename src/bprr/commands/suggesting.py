"""A parser of arguments that asks "did you mean", and shows an example."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from typing import Any, NoReturn

__all__ = ["SuggestingParser", "set_dashed"]


class SuggestingParser(argparse.ArgumentParser):
    """Parser whose message about a misspelt subcommand or choice names the nearest one.

    Parameters
    ----------
    example : str
        A command line without ``bprr``, shown below the help and by ``bprr --help``.
    **options
        Those of `argparse.ArgumentParser`.
    """

    def __init__(self, *, example: str = "", **options: Any) -> None:
        if example:
            options |= {
                "epilog": f"example:\n  bprr {example}",
                "formatter_class": argparse.RawDescriptionHelpFormatter,
            }
        super().__init__(**options)
        self.example = example
        self.dashed: set[str] = set()  # options whose values may begin with a dash

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of `argparse`."""
        words: list[str] = []
        for word in sys.argv[1:] if args is None else args:
            if words and words[-1] in self.dashed and word.startswith("-"):
                words[-1] = f"{words[-1]}={word}"
            else:
                words.append(word)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with status 2."""
        if match := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            known = match[2].replace("'", "").split(", ")
            if close := difflib.get_close_matches(match[1], known, n=1):
                message = f"{message.partition(' (choose')[0]}; did you mean {close[0]}?"
        super().error(message)


def set_dashed(parser: argparse.ArgumentParser, option: str) -> None:
    """Let values of an option begin with a dash."""
    if isinstance(parser, SuggestingParser):
        parser.dashed.add(option)
