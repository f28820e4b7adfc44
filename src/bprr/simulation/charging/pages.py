"""Cache charged page by page, as tokens fill it."""

from __future__ import annotations

from pydantic import Field

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
    state = WholeState()  # of a request that asks for the pages with which it starts

    class Options(Strict):
        """How large a page is."""

        tokens: Count = Field(16, description="of a page; the last one ends with the session")

    def covering(self, tokens: int, most: int) -> int:
        """Tokens of the whole pages that hold so many, but at most the session's own."""
        page: int = self.options.tokens
        return min(-(-tokens // page) * page, most)
