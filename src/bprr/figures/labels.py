"""How networks, metrics and variants are written in figures and tables."""

from __future__ import annotations

from bprr.config import Settings

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


def delays_label(settings: Settings, variant: str) -> str:
    """What a variant of the allocation delays means, e.g. with which delays."""
    if variant == "none":
        return "Without allocation delays"
    petals_s = settings.methods["petals"].allocation_delay_ms / 1000
    proposed_s = settings.methods["proposed"].allocation_delay_ms / 1000
    return f"Published delays ({petals_s:g} s; Proposed {proposed_s:g} s)"
