"""Errors a user can act on; the command line prints their text and nothing else."""

from collections.abc import Sequence

__all__ = ["BprrError", "InfeasibleError", "InputError", "InputErrors", "one_line"]

LONGEST_VALUE = 500  # characters of a value in a message


def one_line(text: str, longest: int = 2_000) -> str:
    """Text for a message: control characters escaped, and cut if it is very long."""
    cut = text if len(text) <= longest else f"{text[:longest]}…"
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in cut
    )


class BprrError(Exception):
    """Base of every error whose message is meant for the user."""


class InputError(BprrError):
    """Bad input: names the file, the key, the value found and what is allowed.

    Parameters
    ----------
    where : str
        File (or object) that holds the value.
    key : str
        Dotted path of the key inside it.
    value : object
        The value found.
    allowed : str
        What would be accepted.
    """

    def __init__(self, where: object, key: str, value: object, allowed: str) -> None:
        super().__init__(where, key, value, allowed)
        self.where, self.key, self.value, self.allowed = str(where), key, value, allowed

    def __str__(self) -> str:
        try:
            value = one_line(repr(self.value), LONGEST_VALUE)
        except (ValueError, RecursionError):  # a number of thousands of digits
            value = type(self.value).__name__
        return one_line(f"{self.where}: {self.key}: got {value}; allowed: {self.allowed}")


class InputErrors(BprrError):
    """Several pieces of bad input in one file, a line each.

    Parameters
    ----------
    errors : sequence of InputError
        The first ones.
    more : int
        How many there are beside these.
    """

    def __init__(self, errors: Sequence[InputError], more: int = 0) -> None:
        super().__init__(errors, more)
        self.errors, self.more = tuple(errors), more

    def __str__(self) -> str:
        rest = [f"… and {self.more} more"] if self.more else []
        return "\n".join([*map(str, self.errors), *rest])


class InfeasibleError(BprrError):
    """The plan cannot exist: names the scarce resource and how much of it is missing.

    Parameters
    ----------
    resource : str
        What is scarce, e.g. ``"GPU memory"``.
    missing : str
        How much is missing, with its unit.
    detail : str, optional
        Where it is missing.
    """

    def __init__(self, resource: str, missing: str, detail: str = "") -> None:
        super().__init__(resource, missing, detail)
        self.resource, self.missing, self.detail = resource, missing, detail

    def __str__(self) -> str:
        text = f"infeasible: not enough {self.resource}: {self.missing} missing"
        return f"{text} ({self.detail})" if self.detail else text
