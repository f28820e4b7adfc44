"""Cache charged page by page, as tokens fill it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bprr.ground.request import Request
from bprr.ground.schema import Count, Strict
from bprr.simulation.charging.base import ChargingPolicy
from bprr.simulation.charging.whole import WholeState

__all__ = ["Pages"]


class Pages(ChargingPolicy, name="pages"):
    """Pages for the prompt and one token to start, then one more whenever they are full.

    A session that finds no room for its next page gives all of them back and begins again, with
    the tokens that it has as part of its prompt, behind those that wait.
    """

    grows = True
    paces: ClassVar[bool] = False  # whether somebody may start because others have grown
    state = WholeState()  # of a request that asks for the pages with which it starts

    class Options(Strict):
        """How large a page is."""

        tokens: Count = Field(16, description="of a page; the last one ends with the session")

    def covering(self, tokens: int, most: int) -> int:
        """Tokens of the whole pages that hold so many, but at most the session's own."""
        page: int = self.options.tokens
        return min(-(-tokens // page) * page, most)

    def asks(self, asked: Request, most: int, made: int) -> None:
        """A session asks for a chain: its cache at most, and the tokens that it has already."""

    def grew(self, asked: Request, made: int, now_ms: float) -> None:
        """It has so many tokens, of all that it makes."""

    def ended(self, asked: Request, made: int, cut: bool) -> None:
        """It has ended with so many tokens, or begins again."""
