"""Servers that run one task after another, as shipped PETALS does (docs/service.md)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from bprr.ground.schema import Milliseconds, NonNegative
from bprr.service.queued import Queued, QueuedOptions
from bprr.service.token_loop import Discipline

__all__ = ["Serial"]


class Serial(Queued, name="serial"):
    """One task at a time: k·τ_j a token, k·τ^I a prompt."""

    class Options(QueuedOptions):
        """Order and size of the tasks.

        Prompts run ``whole`` (shipped), in pieces of one ``block`` each, or go round ``token`` by
        token. Of those that wait, the one that came first is next (``fifo``, shipped), tokens
        before prompts (``decode_first``), or the session's that was admitted first (``oldest``);
        but a prompt goes before tokens once its session is older than ``prompt_within_ms``, divided
        by the share of time that the busiest server of its chain was idle when it began, to the
        power ``prompt_idle_power``. A piece of a prompt comes to the queue ``resubmit_ms`` after
        the one before it has ended: until then a server may take another session's task.
        """

        order: Literal["fifo", "decode_first", "oldest"] = Field(
            "fifo",
            description="came first (shipped), tokens before prompts, or of the oldest session",
        )
        prefetch: Annotated[int, Field(ge=0, le=100, strict=True)] = Field(
            2, description="tasks taken before their turn, and not passed by"
        )
        gap_ms: Milliseconds = Field(
            0.0, description="before a task that has waited while another one ran"
        )
        prompt_within_ms: Milliseconds | None = Field(
            None, description="a prompt goes before tokens once its session is older"
        )
        prompt_idle_power: NonNegative = Field(
            0.0, description="of the share of time that its busiest server was idle; divides that"
        )
        resubmit_ms: Milliseconds = Field(
            0.0, description="from the end of a piece of a prompt until the next one waits"
        )

    def discipline(self) -> Discipline:
        """One after another."""
        options = self.options
        return Discipline.serial(
            options.order,
            options.prompt,
            options.prefetch,
            options.gap_ms,
            math.inf if options.prompt_within_ms is None else options.prompt_within_ms,
            options.resubmit_ms,
            options.prompt_idle_power,
        )
