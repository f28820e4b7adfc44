"""Base of all that users write: strict, frozen, with its ranges in its types."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

__all__ = [
    "Count",
    "MemoryGb",
    "Milliseconds",
    "NonNegative",
    "Positive",
    "Refused",
    "Share",
    "Strict",
]

# Numbers are never read out of text or truth values: a quoted "10" or a `yes` is a mistake.
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Milliseconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False, strict=True)]
# No server has so much; a value beyond it is most likely in MB.
MemoryGb = Annotated[float, Field(gt=0, le=5_000, strict=True, description="GB = 1e9 bytes")]
Count = Annotated[int, Field(ge=1, le=10**12, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]


class Refused(ValueError):
    """What a check over several keys refuses: the key (below the checked mapping) and its value."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key}: {allowed}")
        self.key, self.value, self.allowed = key, value, allowed


class Strict(BaseModel):
    """Unknown keys are refused, values are never silently converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    _where: str = PrivateAttr("settings")

    @property
    def where(self) -> str:
        """File (or what else) the settings were read from, for messages."""
        return self._where
