"""Methods on genuine PETALS side by side, each beside what the simulator says of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bprr.figures.text_table import TextTable
from bprr.placement.base import Placement
from bprr.scenario.draw import Catalogue
from bprr.testbed.machine import busy_text
from bprr.testbed.rivals import DRAWS, Contest
from bprr.testbed.rivals_records import RivalsRun
from bprr.testbed.rivals_settings import Rival, case_name

__all__ = ["rivals_compared", "rivals_table", "summary_of_rivals"]

METRICS = ("per_token_ms", "p95_ms", "ttft_ms")
RANGE = ("low_ms", "high_ms")


def rivals_compared(run: RivalsRun, catalogue: Catalogue) -> pd.DataFrame:
    """Every case and arm, measured and as predicted from profiles of other sessions.

    Returns
    -------
    DataFrame
        ``case``, ``arm``, ``requests``, ``served``, ``tokens_equal``, ``retries`` and
        ``held_at_end``; `METRICS`: mean and 95th percentile of the time per token, mean TTFT, from
        arrival (ms); these as ``predicted_<name>``, means over the draws of what PETALS knows; and
        the least and largest predicted time per token of a draw, ``predicted_low_ms`` and
        ``predicted_high_ms``.
    """
    settings, rows = run.manifest.settings, []
    catalogue = settings.catalogue(catalogue)
    for fleet, profile in run.manifest.profiles.items():
        contest = Contest(settings, catalogue, fleet, profile)
        for load in settings.loads:
            for name, rival in settings.arms.items():
                case = case_name(fleet, load)
                placed = run.manifest.placed.get(f"{case}/{name}")
                if placed is None:
                    continue
                placement = contest.hosted(rival, placed)
                said = _predicted(contest, rival, placement, load)
                own = run.sessions[(run.sessions["case"] == case) & (run.sessions["arm"] == name)]
                done = own[own["status"] == "ok"]
                per_token_ms = done["completion_ms"] / done["output_tokens"]
                rows.append(
                    {
                        "case": case,
                        "load": load,
                        "arm": name,
                        "requests": len(own),
                        "served": len(done),
                        "tokens_equal": int(own["tokens_equal"].sum()),
                        "retries": int(own["retries"].clip(lower=0).sum()),
                        "held_at_end": placed.held_at_end,
                        "per_token_ms": per_token_ms.mean(),
                        "p95_ms": per_token_ms.quantile(0.95),
                        "ttft_ms": done["ttft_ms"].mean(),
                        **{f"predicted_{name}": value for name, value in said.items()},
                    }
                )
    return pd.DataFrame(rows)


def _predicted(
    contest: Contest, rival: Rival, placement: Placement, load: float
) -> dict[str, float]:
    """`METRICS` and `RANGE` as simulated; of caches charged by pages nothing is."""
    if rival.page_tokens is not None:
        return dict.fromkeys((*METRICS, *RANGE), np.nan)
    draws = []
    for records in contest.predictions(rival, placement, load):
        per_token_ms = records.completion_ms / contest.settings.output_tokens
        late_ms = np.quantile(per_token_ms, 0.95)
        draws.append((per_token_ms.mean(), late_ms, records.ttft_ms.mean()))
    values = [*np.mean(draws, axis=0), min(draws)[0], max(draws)[0]]
    return dict(zip((*METRICS, *RANGE), map(float, values), strict=True))


def rivals_table(run: RivalsRun, compared: pd.DataFrame) -> TextTable:
    """Mean and 95th percentile of the time per token and TTFT, measured (predicted)."""
    settings = run.manifest.settings
    rows: list[list[str]] = []
    best: list[int] = []
    for _, own in compared.groupby("case", sort=False):
        best.append(len(rows) + int(np.argmin(own["per_token_ms"].to_numpy())))
        for _, row in own.iterrows():
            cells = [_seconds(row[name], row[f"predicted_{name}"]) for name in METRICS]
            if row["predicted_low_ms"] < row["predicted_high_ms"]:
                low, high = (row[f"predicted_{name}"] / 1000 for name in RANGE)
                cells[0] = f"{cells[0].removesuffix(')')}; {low:.2f}–{high:.2f})"
            error = row["predicted_per_token_ms"] / row["per_token_ms"] - 1
            label = settings.arms[str(row["arm"])].label
            off = "" if np.isnan(error) else f"{100 * error:+.0f} %"
            rows.append([str(row["case"]), label, *cells, off])
    return TextTable(
        title="Methods on genuine PETALS under load, s: measured (predicted)",
        header=["Case", "Method", "per token", "95th percentile", "TTFT", "error\nper token"],
        rows=rows,
        leading=2,
        widths=[1.3, 2.8, 1.9, 1.6, 1.6, 1.0],
        emphasized=best,
        note=f"{settings.requests} sessions a case from an empty swarm, the same arrivals for all: "
        "transients. A case is a fleet and its load, of what all\nservers could do. Shaded: the "
        "least time per token. Predicted from profiles of other sessions; where PETALS routes, "
        f"mean and range over {DRAWS} draws of\nwhen servers announce and clients refresh, and of "
        "pings.",
    )


def _seconds(measured_ms: float, predicted_ms: float) -> str:
    predicted = "" if np.isnan(predicted_ms) else f" ({predicted_ms / 1000:.2f})"
    return f"{measured_ms / 1000:.2f}{predicted}"


def summary_of_rivals(run: RivalsRun, compared: pd.DataFrame) -> str:
    """What was seen, in sentences with numbers."""
    errors = compared["predicted_per_token_ms"] / compared["per_token_ms"] - 1
    lines = [
        f"{compared['requests'].sum()} sessions in {len(compared)} runs; "
        f"{compared['served'].sum()} served, {compared['tokens_equal'].sum()} with the tokens of "
        f"local transformers, {compared['retries'].sum()} retries; "
        f"{compared['held_at_end'].sum()} tokens of cache left held.",
        f"Error of the predicted mean time per token: median {100 * errors.abs().median():.1f} %, "
        f"largest {100 * errors.abs().max():.0f} %.",
    ]
    drawn = compared[compared["predicted_low_ms"] < compared["predicted_high_ms"]]
    if len(drawn):
        within = drawn["per_token_ms"].between(
            drawn["predicted_low_ms"], drawn["predicted_high_ms"]
        )
        lines.append(
            f"Where PETALS routes, the measured mean is in the range of {DRAWS} draws in "
            f"{within.sum()} of {len(drawn)} cases."
        )
    lines.append(busy_text(run.manifest.business.values()).capitalize())
    times = compared.pivot(index="case", columns="arm", values="per_token_ms")
    said = compared.pivot(index="case", columns="arm", values="predicted_per_token_ms")
    if "petals" in times:
        for name in times.columns.drop("petals"):
            ratio, own = times[name] / times["petals"], said[name] / said["petals"]
            lines.append(
                f"{name} over petals: "
                + ", ".join(
                    f"{case} {ratio[case]:.2f} (predicted {own[case]:.2f})" for case in times.index
                )
                + "."
            )
    lines += [f"{key}: not measured: {why}" for key, why in run.manifest.not_measured.items()]
    return "\n".join(lines)
