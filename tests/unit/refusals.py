"""What a call is refused with."""

from collections.abc import Callable
from typing import Any

import pytest

from bprr.ground.errors import InputError


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)
    return caught.value


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[str, object, str]:
    """Key, value, and what is allowed."""
    error = refusal(call, *arguments, **named)
    return error.key, error.value, error.allowed


def refused_text(call: Callable[..., Any], *arguments: Any) -> str:
    return str(refusal(call, *arguments))
