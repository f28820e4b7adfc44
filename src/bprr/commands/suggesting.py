"""A parser of arguments that asks "did you mean"."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import NoReturn

__all__ = ["SuggestingParser"]


class SuggestingParser(argparse.ArgumentParser):
    """Parser whose message about a misspelt subcommand or choice names the nearest one."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with status 2."""
        if match := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            known = match[2].replace("'", "").split(", ")
            if close := difflib.get_close_matches(match[1], known, n=1):
                message = f"{message}; did you mean {close[0]}?"
        super().error(message)
