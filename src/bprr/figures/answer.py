"""The answer in four sentences, filled from results; the same wherever it is told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bprr.figures.caption import Caption

__all__ = ["answer", "found_tables", "percent", "percents"]


def found_tables(csv: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``figures/tables_found.csv``, and ``tables_found_gpus.csv`` beside it."""
    return pd.read_csv(csv), pd.read_csv(csv.with_name(f"{csv.stem}_gpus.csv"))


def answer(
    headline: pd.DataFrame, found: pd.DataFrame, gpus: pd.DataFrame, caption: Caption
) -> list[str]:
    """What simulation, GPUs, calibration and the model's gaps say, a sentence each.

    Parameters
    ----------
    headline : DataFrame
        ``figures/headline.csv`` (`bprr.figures.headline.headline_table`).
    found, gpus : DataFrame
        ``figures/tables_found.csv`` and ``tables_found_gpus.csv`` (`bprr.figures.tables_found`).
    caption : Caption
        The compared methods and the variants of the delays.
    """
    method, baseline = caption.pair
    method = method[:1].lower() + method[1:]
    points = len(headline[["figure", "topology", "x"]].drop_duplicates())
    error = (found["found_s"] / found["published_s"] - 1).abs()
    with_ratios, without_ratios = (
        _ratios(headline, variant) for variant in (caption.delayed, caption.undelayed)
    )
    found_off, free_off = (
        _off(gpus, f"ours, setting found{which}") for which in ("", ", without delays")
    )
    return [
        f"Simulated with {_delays(caption)}, set by hand in the artefact, the {method} method "
        f"takes {with_ratios} of {baseline}' time per token over the {points} points of the "
        f"paper's figures, and without any such delay {without_ratios}"
        f"{_light(headline, caption)}.",
        f"On the authors' GPUs it saved {_saved(found, caption)} per cell of Tables III and VI, "
        f"and the {len(error)} cells of their simulator come out here to "
        f"{100 * error.mean():.1f} % in the mean (at most {100 * error.max():.0f} %) in settings "
        "that the paper does not state.",
        f"The delays may be a calibration: with them our cells are {found_off} off what the GPUs "
        f"took in the median, without them {free_off}; but released {baseline} refuses at once "
        "where memory is short, and genuine sessions on CPUs needed no such delay.",
        "The model leaves out that a server is busy while it computes, that idle TCP connections "
        "start slowly again, and that light in fibre takes longer than its three networks do; "
        "which of these, or the delays, made the GPUs take as long as they did is unknown.",
    ]


def _delays(caption: Caption) -> str:
    paid = caption.variants[caption.delayed or ""].delays_s
    texts = [
        f"{high:g} s per request under {_small(caption, name)}"
        for name, (_, high) in paid.items()
        if high
    ]
    return "delays of " + " and ".join(texts)


def _small(caption: Caption, name: str) -> str:
    label = caption.methods.get(name, name)
    return f"the {label[:1].lower()}{label[1:]} one" if name == caption.compared.method else label


def percent(share: float) -> str:
    """A share, to the percent."""
    return f"{100 * share:.0f} %"


def percents(shares: pd.Series) -> str:
    """The least and the largest of some shares."""
    low, high = f"{100 * shares.min():.0f}", f"{100 * shares.max():.0f}"
    return f"{low} %" if low == high else f"{low} to {high} %"


def _ratios(headline: pd.DataFrame, variant: str | None) -> str:
    ratios = headline.loc[headline["allocation_delays"] == variant, "ratio"].dropna()
    return f"{percents(ratios)} (median {percent(ratios.median())})"


def _light(headline: pd.DataFrame, caption: Caption) -> str:
    """Ratios at the lowest rate, where nobody waits."""
    rows = headline[headline["figure"] == "fig9"]
    rows = rows[rows["allocation_delays"] == caption.undelayed]
    lowest = rows[rows["x"] == rows["x"].min()]
    parts = [
        f"{percent(row['ratio'])} on {caption.topology(row['topology'])}"
        for row in lowest.to_dict("records")
    ]
    return (
        f"; at λ = {lowest['x'].iloc[0]:g}/s, where nobody waits, {', '.join(parts)}"
        if parts
        else ""
    )


def _saved(found: pd.DataFrame, caption: Caption) -> str:
    place = ["table", "setting", "rate_per_s", "output_tokens"]
    wide = found.pivot(index=place, columns="method", values="measured_gpu_s")
    return percents(1 - wide[caption.compared.method] / wide[caption.compared.baseline])


def _off(gpus: pd.DataFrame, source: str) -> str:
    return percent(gpus.loc[gpus["source"] == source, "deviation"].abs().median())
