"""How networks, metrics and variants are written in figures and tables."""

from __future__ import annotations

from bprr.settings.configuration import Settings

__all__ = ["METRIC_LABELS", "delays_label", "figure_title", "topology_label"]

# Metric: what its axis says, and what a value in ms is divided by for it.
METRIC_LABELS: dict[str, tuple[str, float]] = {
    "per_token_ms": ("Time per token (s)", 1000.0),
    "ttft_ms": ("Time to first token (s)", 1000.0),
    "remaining_per_token_ms": ("Time per remaining token (s)", 1000.0),
    "wait_ms": ("Waiting time (s)", 1000.0),
    "max_concurrent": ("Peak concurrency (requests)", 1.0),
}

TOPOLOGIES = {
    "abovenet": "AboveNet",
    "bellcanada": "BellCanada",
    "gts_ce": "GTS-CE",
    "clustered": "Clustered",
    "cluster0": "client in cluster 0",
    "cluster1": "client in cluster 1",
    "cluster2": "client in cluster 2",
}


def topology_label(name: str) -> str:
    """Name of a network as the paper writes it; any other name as it is."""
    return TOPOLOGIES.get(name, name)


def figure_title(settings: Settings, figure: str) -> str:
    """Title of a sweep, with the paper's number where it has one."""
    title = settings.sweeps[figure].title
    number = figure.removeprefix("fig")
    return f"Figure {number} · {title}" if number.isdigit() else title


def delays_label(settings: Settings, figure: str, variant: str) -> str:
    """What a variant of the allocation delays means in a sweep, e.g. which delays."""
    if variant == "none":
        return "Without allocation delays"
    sweep = settings.sweeps[figure]
    parts = []
    for name in ("petals", "proposed"):
        if name in sweep.methods:
            method = settings.methods[name]
            delay_ms = sweep.replace_allocation_delay_ms.get(name, method.allocation_delay_ms)
            parts.append(f"{method.label} {delay_ms / 1000:g} s")
    return f"Published delays ({', '.join(parts)})"
