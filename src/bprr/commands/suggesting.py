"""A parser of arguments that asks "did you mean", and shows an example."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import Any, NoReturn

__all__ = ["SuggestingParser"]


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

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with status 2."""
        if match := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            known = match[2].replace("'", "").split(", ")
            if close := difflib.get_close_matches(match[1], known, n=1):
                message = f"{message.partition(' (choose')[0]}; did you mean {close[0]}?"
        super().error(message)
