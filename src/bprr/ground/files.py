"""Files of others, read with suspicion: only regular files, of a bounded size, in UTF-8.

A pipe or a device given as a file would hang for ever, and `/dev/zero` never ends.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError

__all__ = ["LARGEST_TEXT", "read_json", "read_text", "regular_file"]

LARGEST_TEXT = 64_000_000  # bytes


def regular_file(path: Path, kind: str, largest: int | None = None) -> Path:
    """The path, if it is a file that can be read to its end.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What it should be, for messages, e.g. ``"CSV file"``.
    largest : int, optional
        Most bytes it may have.

    Raises
    ------
    InputError
        If it is missing, a folder, a pipe or a device, too large, or not ours to read.
    """
    allowed = f"a readable {kind}"
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise InputError(path, "file", _reason(error), allowed) from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(path, "file", "a folder", allowed)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(path, "file", "a pipe, socket or device", allowed)
    if largest is not None and status.st_size > largest:
        allowed = f"a {kind} of at most {largest:,} bytes"
        raise InputError(path, "file", f"{status.st_size:,} bytes", allowed)
    return path


def read_text(path: Path, kind: str, largest: int = LARGEST_TEXT) -> str:
    """Text of a regular file in UTF-8, without its byte-order mark.

    Raises
    ------
    InputError
        As `regular_file`, or if the text is not UTF-8.
    """
    try:
        return regular_file(path, kind, largest).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(path, "file", _reason(error), f"a readable {kind}") from None
    except UnicodeDecodeError as error:
        raise InputError(path, "file", str(error), f"a {kind} in UTF-8") from None


def read_json(path: Path, kind: str, largest: int = LARGEST_TEXT) -> Any:
    """Content of a JSON file.

    Raises
    ------
    InputError
        As `read_text`, or if the text is no JSON.
    """
    text = read_text(path, kind, largest)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(path, "file", str(error), f"a {kind}, valid JSON") from None


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
