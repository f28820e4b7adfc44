"""How a rate of arrivals changes over time, about its mean."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.schema import NonNegative, Positive, Refused, Share, Strict
from bprr.ground.swarm import FloatArray

__all__ = ["Diurnal", "Drift", "Piecewise"]

HALVINGS = 60  # of an interval of a period: to the last bit


class Diurnal(Strict):
    """λ·(1 + a·cos(2π(t − t_peak)/T)): quiet nights and busy days."""

    kind: Literal["diurnal"] = Field("diurnal", description="which kind of drift")
    amplitude: Share = Field(0.5, description="a: 0 is steady, 1 leaves nobody at the quietest")
    period_s: Positive = Field(86_400.0, description="T: of a day")
    peak_s: NonNegative = Field(43_200.0, description="t_peak, when most requests arrive")

    def times_s(self, mean_s: FloatArray) -> FloatArray:
        """Arrivals of a process of constant rate, at the times that this one has them.

        The expected number until then is the same in both: t + a·T/2π·(sin(…) − sin(…)), whose
        inverse is found by halving.
        """
        size_s = self.amplitude * self.period_s / math.pi
        low, high = np.maximum(mean_s - size_s, 0.0), mean_s + size_s
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            late = self._expected_s(middle) >= mean_s
            low, high = np.where(late, low, middle), np.where(late, middle, high)
        return np.maximum.accumulate(high)

    def _expected_s(self, time_s: FloatArray) -> FloatArray:
        turn = 2 * math.pi / self.period_s
        began = math.sin(-turn * self.peak_s)
        return time_s + self.amplitude / turn * (np.sin(turn * (time_s - self.peak_s)) - began)


class Piecewise(Strict):
    """Factors of λ at some times, in straight lines between them; the last one stays."""

    kind: Literal["piecewise"] = Field(description="which kind of drift")
    time_s: list[NonNegative] = Field(min_length=1, description="0, and later times")
    factor: list[Positive] = Field(min_length=1, description="of the rate at these times")

    @model_validator(mode="after")
    def _one_of_each(self) -> Piecewise:
        if len(self.factor) != len(self.time_s):
            raise Refused("factor", self.factor, f"{len(self.time_s)}, as of time_s")
        if self.time_s[0] != 0 or (np.diff(self.time_s) <= 0).any():
            raise Refused("time_s", self.time_s, "0, and then later times")
        return self

    def times_s(self, mean_s: FloatArray) -> FloatArray:
        """Arrivals of a process of constant rate, at the times that this one has them."""
        at, factor = np.array(self.time_s), np.array(self.factor)
        lasts, slope = (
            np.append(np.diff(at), np.inf),
            np.append(np.diff(factor), 0.0) / np.append(np.diff(at), 1.0),
        )
        expected = np.append(0.0, np.cumsum((factor[1:] + factor[:-1]) / 2 * lasts[:-1]))
        piece = np.searchsorted(expected, mean_s, side="right") - 1
        rest, begins, grows = mean_s - expected[piece], factor[piece], slope[piece]
        # The root of f·x + g·x²/2 = rest, in the form that also holds for g = 0.
        root = np.sqrt(np.maximum(begins**2 + 2 * grows * rest, 0.0))
        return at[piece] + 2 * rest / (begins + root)


Drift = Annotated[Diurnal | Piecewise, Field(discriminator="kind")]
