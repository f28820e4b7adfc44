"""A plan for people: plan.md, and the short form on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bprr.plan.record import PlanRecord, Value

__all__ = ["briefly", "number", "said", "text_of"]

MOST_ROWS = 60


def number(value: float | None, digits: int = 3) -> str:
    """A few digits, without an exponent."""
    if value is None:
        return "–"
    few = float(f"{value:.{digits}g}")
    if abs(few) < 10.0**-digits:
        return "0"
    return f"{few:,.0f}" if abs(few) >= 10 ** (digits - 1) else f"{few:.{digits}g}"


def said(value: Value, unit: str = "ms") -> str:
    """Value, interval and grade; many milliseconds as seconds."""
    if value.value is None:
        return "unknown"
    scale = 1.0
    if unit == "ms" and value.value >= 1000:
        scale, unit = 1000.0, "s"
    with_unit = f"{number(value.value / scale)} {unit}".strip()
    if value.low is None or value.high is None:
        return f"{with_unit} ({value.grade})"
    ends = f"{number(value.low / scale)} to {number(value.high / scale)}"
    return f"{with_unit} ({ends}, {value.grade})"


def _cell(text: object) -> str:
    """Text that neither ends a cell nor begins a tag or a link."""
    plain = "".join(sign if sign.isprintable() else " " for sign in str(text))
    for sign in "\\`*_[]|#":
        plain = plain.replace(sign, f"\\{sign}")
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' for _ in header)} |"
    for row in rows[:MOST_ROWS]:
        yield f"| {' | '.join(map(_cell, row))} |"
    if len(rows) > MOST_ROWS:
        yield f"| … and {len(rows) - MOST_ROWS} more in plan.json |{' |' * (len(header) - 1)}"
    yield ""


def briefly(plan: PlanRecord) -> list[str]:
    """Lines for the screen."""
    used = [server for server in plan.placement if server.blocks]
    rate = "" if plan.rate_per_s is None else f", {plan.rate_per_s:g} sessions/s"
    lines = [
        f"{plan.title} ({plan.quantisation}, {plan.blocks} blocks of {number(plan.block_gb)} GB) on"
        f" {len(used)} of {len(plan.placement)} servers{rate}; {plan.method}",
        f"  each token alone    {said(plan.token_ms)}",
        f"  first token alone   {said(plan.ttft_ms)}",
        f"  sustained           {said(plan.sustained_per_s, 'sessions/s')}, bound by {plan.bound}",
    ]
    if plan.loaded is not None:
        under_load = {"each token": plan.loaded.token_ms, "first token": plan.loaded.ttft_ms}
        lines += [
            f"  {f'{name}, {of}':<19} {said(values[of])}"
            for name, values in under_load.items()
            for of in ("mean", "p95")
        ]
    lines += _against_petals(plan)
    lines.append(f"  bottleneck          {plan.bottleneck}")
    if plan.spares:
        named = ", ".join(spare.name for spare in plan.spares[:8])
        lines.append(f"  without a spare     blocks of {len(plan.spares)} servers: {named}")
    lines += [
        f"  goal {goal.goal}: {goal.verdict}, {said(goal.value_ms)}: {goal.because}"
        for goal in plan.goals
    ]
    if plan.until_slo_per_s is not None:
        lines.append(f"  all goals up to     {plan.until_slo_per_s:.3g} sessions/s (simulated)")
    return lines


def _against_petals(plan: PlanRecord) -> list[str]:
    """What these servers would do by themselves, in time per token, prompt and wait included."""
    chosen = next((arm for arm in plan.compared if arm.chosen), None)
    theirs = next((arm for arm in plan.compared if arm.name.startswith("petals_shipped")), None)
    if chosen is None or theirs is None:
        return []
    loaded = (chosen.loaded_ms, theirs.loaded_ms)
    ours_ms, theirs_ms = loaded if all(loaded) else (chosen.mean_alone_ms, theirs.mean_alone_ms)
    if not ours_ms or not theirs_ms:
        return []
    how = "under load" if all(loaded) else "alone"
    return [
        f"  PETALS by itself    {number(theirs_ms)} ms per token of a session {how}, this plan"
        f" {number(ours_ms)}"
    ]


def text_of(plan: PlanRecord) -> str:
    """Markdown of a plan."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: PlanRecord) -> Iterator[str]:
    first, *others = briefly(plan)
    yield f"# Plan: {_cell(first)}"
    yield ""
    for line in others:
        yield f"- {_cell(line.strip())}"
    yield ""
    yield (
        "A number is *measured*, *calibrated* or *estimated*, as the weakest that it rests on (one"
        " without a word as the times above it); its interval is what is left unknown of machines"
        " and distances, all of it at one end at once."
    )
    yield f"Distances: {_cell(plan.distances)}. A hop costs {said(plan.hop_overhead_ms)} besides."
    yield ""
    yield "## Chains"
    for chain in plan.chains:
        yield f"From {_cell(chain.place)}: {said(chain.token_ms)} a token, {said(chain.ttft_ms)} to"
        yield f"the first one, {said(chain.tokens_per_s, 'tokens/s')}."
        yield ""
        yield from _table(
            ("server", "blocks", "network", "computing"),
            [
                (hop.name, hop.blocks, said(hop.network_ms), said(hop.computing_ms))
                for hop in chain.hops
            ],
        )
    if plan.loaded is not None:
        yield f"## Under load: {plan.loaded.sessions} sessions"
        yield from _table(
            ("", "mean", "p50", "p95", "p99"),
            [
                (name, *(said(values[of]) for of in ("mean", "p50", "p95", "p99")))
                for name, values in (
                    ("first token", plan.loaded.ttft_ms),
                    ("each token after it", plan.loaded.token_ms),
                    ("waiting for room", plan.loaded.wait_ms),
                )
            ],
        )
        busy = f"{plan.loaded.busiest_share:.0%}" if plan.loaded.busiest_share is not None else "–"
        yield f"Busiest server: {_cell(plan.loaded.busiest_server)}, computing {busy} of the time."
        yield ""
    yield "## Servers (GB)"
    yield from _table(
        ("server", "GPU", "blocks", "memory", "reserve", "weights", "cache", "free", "sessions",
         "ms per block", "PETALS' own blocks"),
        [
            (
                each.name, each.gpu or each.device,
                f"{each.first_block}–{each.first_block + each.blocks - 1}"
                if each.blocks else "none",
                *map(number, (each.memory_gb, each.reserve_gb, each.weights_gb, each.cache_gb,
                               each.free_gb)),
                each.sessions, said(each.tau_ms, ""), each.petals_blocks,
            )
            for each in plan.placement
        ],
    )  # fmt: skip
    yield "## Compared"
    yield from _table(
        ("placement", "ms per token alone", "sessions/s", "ms per token under load", ""),
        [
            (each.label, number(each.mean_alone_ms), number(each.capacity_per_s),
             number(each.loaded_ms), "chosen" if each.chosen else "")
            for each in plan.compared
        ],
    )  # fmt: skip
    if plan.optimum is not None:
        yield (
            f"Optimum of decoding alone: {plan.optimum.status}, {number(plan.optimum.decode_ms, 4)}"
            f" ms a token (no plan is below {number(plan.optimum.bound_ms, 4)}); this plan:"
            f" {number(plan.optimum.plan_ms, 4)} ms."
        )
        yield ""
    if plan.changes:
        yield "## Changes"
        yield from _table(
            ("change", "ms per token alone", "times as fast", "sessions/s", "times as many"),
            [
                (each.what, number(each.mean_alone_ms), number(each.times_faster),
                 number(each.capacity_per_s), number(each.times_capacity))
                if not each.why_not else (each.what, each.why_not, "", "", "")
                for each in plan.changes
            ],
        )  # fmt: skip
    if plan.losses:
        yield "## A server less"
        felt = [each for each in plan.losses if each.blocks_lost or each.times_slower != 1]
        yield from _table(
            ("server lost", "blocks gone", "times as slow alone"),
            [(each.name, each.blocks_lost or "none", number(each.times_slower)) for each in felt],
        )
        yield f"The other {len(plan.losses) - len(felt)} make no session alone slower."
        yield ""
    yield "## Spares"
    hot, cold = plan.spare_seconds["hot"], plan.spare_seconds["cold"]
    if plan.spares:
        yield f"A hot spare serves after {hot:g} s, a cold one after {cold:g} s, on another swarm."
        yield "Blocks with one host alone:"
        yield ""
        yield from _table(
            ("server", "blocks", "GB of a spare"),
            [(each.name, each.blocks, number(each.memory_gb)) for each in plan.spares],
        )
    else:
        yield "Every block has a second host."
        yield ""
    if plan.remarks:
        yield "## Remarks"
        for remark in plan.remarks:
            yield f"- {_cell(remark)}"
