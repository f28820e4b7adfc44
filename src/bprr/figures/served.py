"""Models of how servers compute: sweeps that repeat others under one after another, told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bprr.figures.caption import SweepCaption
from bprr.study.summary import CONDITIONS

__all__ = [
    "INDEPENDENT",
    "SUFFIX",
    "ServiceModel",
    "axis_of",
    "by_model",
    "family",
    "points_by_model",
    "points_repeated",
]

SUFFIX = "_service"  # of the sweeps; before it stands the name of the one that they repeat
INDEPENDENT = "independent"


class ServiceModel(NamedTuple):
    """How servers compute, as tables name it."""

    service: str
    order: str = ""
    belief: str = ""

    @classmethod
    def of(cls, service: Any) -> ServiceModel:
        """Model of a value of the scenario's ``service``; the paper's without one."""
        if not isinstance(service, Mapping):
            return cls(service or INDEPENDENT)
        ((name, options),) = service.items()
        belief = options.get("belief", "re_estimated")
        prompt = options.get("prompt", "whole")
        pieces = "" if prompt == "whole" else f" {prompt}"
        if name == "batched":
            return cls(f"{name} {options.get('beta_share', 0.1):g}", pieces.strip(), belief)
        return cls(name, options.get("order", "fifo") + pieces, belief)


def family(service: str, order: str) -> str:
    """What several models have in common: all but belief, pieces and share of a step."""
    kind = service.partition(" ")[0]
    return f"{kind}, {order.partition(' ')[0]}" if kind == "serial" else kind


def points_by_model(
    means: pd.DataFrame, caption: SweepCaption
) -> Iterator[tuple[float, ServiceModel, pd.DataFrame]]:
    """Points of a sweep on one network: x, how servers compute there, and the runs."""
    changes = caption.changes.get(str(means["topology"].iloc[0]))
    for x in means["x"].unique().tolist():
        key, value = changes[int(x)] if changes else ("", None)
        yield x, ServiceModel.of(value if key == "service" else None), means[means["x"] == x]


def by_model(means: pd.DataFrame, caption: SweepCaption) -> dict[ServiceModel, pd.DataFrame]:
    """Run means under every model, named and numbered as in the sweep that is repeated."""
    parts: dict[ServiceModel, list[pd.DataFrame]] = {}
    axis, base = axis_of(means, caption), points_repeated(means, caption)
    for x, model, runs in points_by_model(means, caption):
        place = runs[axis].iloc[0] if axis else x % base
        parts.setdefault(model, []).append(
            runs.assign(x=float(place), figure=caption.name.removesuffix(SUFFIX))
        )
    return {model: pd.concat(each, ignore_index=True) for model, each in parts.items()}


def points_repeated(means: pd.DataFrame, caption: SweepCaption) -> float:
    """How many points come before those that change anything."""
    changes = caption.changes.get(str(means["topology"].iloc[0]), [])
    return sum(not key for key, _ in changes) or np.inf


def axis_of(means: pd.DataFrame, caption: SweepCaption) -> str | None:
    """Condition that the axis is; none where x says it itself."""
    if not caption.changes:
        return None
    varied = (name for name in CONDITIONS if means[name].nunique() > 1)
    return next(varied, None)
