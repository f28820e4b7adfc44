"""Servers that step over all tasks that wait when the step starts (docs/service.md)."""

from __future__ import annotations

import itertools
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.schema import Positive, Refused
from bprr.ground.swarm import FloatArray
from bprr.service.queued import Queued, QueuedOptions
from bprr.service.token_loop import Discipline

__all__ = ["Batched"]


class Batched(Queued, name="batched"):
    """A step takes τ·[(1−b)·max k + b·Σk] for its tokens and Σ k·τ^I for its prompts."""

    class Options(QueuedOptions):
        """How a step grows with its tasks; prompts in pieces of a ``block`` are chunked prefill.

        The share b of a step's time that grows with the batch, or a measured curve in its place.
        """

        beta_share: Annotated[float, Field(ge=0, le=1, strict=True)] = Field(
            0.1, description="b, share of the time of a step that grows with its tasks"
        )
        curve: list[tuple[Positive, Positive]] | None = Field(
            None, description="pairs: tokens in a step, its time in steps with one token"
        )

        @model_validator(mode="after")
        def _curve_rises(self) -> Batched.Options:
            if self.curve is not None:
                sizes, times = zip(*self.curve, strict=True) if self.curve else ((), ())
                if sizes[:1] != (1,) or times[:1] != (1,) or len(sizes) < 2:
                    raise Refused("curve", self.curve, "[1, 1] first, and at least one more pair")
                if any(a >= b for a, b in itertools.pairwise(sizes)) or any(
                    a > b for a, b in itertools.pairwise(times)
                ):
                    raise Refused("curve", self.curve, "increasing sizes, times that do not fall")
            return self

    def discipline(self) -> Discipline:
        """All together."""
        return Discipline.batched(self._points(), self.options.prompt)

    def least_share(self, most: FloatArray) -> FloatArray:
        """Least share in the time of a step with up to so many sessions, in steps of one.

        It is least at the largest step or at a point of the curve, between which it has no dent.
        """
        sizes, times = np.array(self._points(), dtype=float).T
        beyond = times[-1] + (times[-1] - times[-2]) / (sizes[-1] - sizes[-2]) * (most - sizes[-1])
        share = np.where(most > sizes[-1], beyond, np.interp(most, sizes, times)) / most
        for size, time in zip(sizes, times, strict=True):
            share = np.where(size <= most, np.minimum(share, time / size), share)
        return share

    def _points(self) -> list[tuple[float, float]]:
        return self.options.curve or [(1.0, 1.0), (2.0, 1.0 + self.options.beta_share)]
