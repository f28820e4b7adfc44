"""Schemas of the tables that one stage writes and another reads (columns: ``data/README.md``)."""

from __future__ import annotations

from bprr.ground.tables import NUMBER, TEXT, TRUTH, WHOLE, Column, Schema

__all__ = [
    "ARTEFACT",
    "BOUNDS",
    "BY_SERVICE",
    "DECOMPOSITION",
    "EQUAL_BLOCKS",
    "GROWTH",
    "LOADED",
    "OPTIMALITY",
    "PUBLISHED",
    "REJECTED",
    "REQUESTS",
    "RUNNING_TIMES",
    "SOLVER_RACE",
    "STOPPING",
    "SWEEPS_TIMED",
    "THEOREM_2",
    "THEORY",
    "WAN_SWARMS",
]

REJECTED = "rejected"  # begins the status of a request that was refused as it arrived

# What a solver proves may be nothing at all, and an excess over no plan is none.
PROVEN = Column("number", gaps=True, infinite=True)

_POINT = {"figure": TEXT, "topology": TEXT, "x": NUMBER, "allocation_delays": TEXT, "method": TEXT}
_CASE = {"family": TEXT, "servers": WHOLE, "clients": WHOLE, "load": WHOLE, "draw": WHOLE}

REQUESTS = Schema(
    "requests of a sweep (bprr sweep)",
    {
        **_POINT,
        "run": WHOLE,
        "servers": WHOLE,
        "eta": NUMBER,
        "rate_per_s": NUMBER,
        "output_tokens": WHOLE,
        "requests": WHOLE,
        "status": TEXT,
        # A run that is infeasible has none of these, nor has a table of such runs alone.
        "arrival_ms": NUMBER.optional,
        "input_tokens": WHOLE.optional,
        "per_token_ms": NUMBER.optional,
        "ttft_ms": NUMBER.optional,
        "remaining_per_token_ms": NUMBER.optional,
        "wait_ms": NUMBER.optional,
        "request": WHOLE.optional,
        "max_concurrent": WHOLE.optional,
        "design_load": NUMBER.optional,
        # Only where servers have queues.
        "capacity_per_s": NUMBER.optional,
        "memory_capacity_per_s": NUMBER.optional,
        # Only where servers fail, join or are given other blocks.
        **dict.fromkeys(("cuts", "prefilled_again", "replacements"), WHOLE.optional),
    },
)

BOUNDS = Schema(
    "bounds beside a sweep (bprr bounds)",
    {
        "figure": TEXT,
        "topology": TEXT,
        "x": NUMBER,
        "run": WHOLE,
        "method": TEXT,
        "service": TEXT,
        "order": TEXT,
        "charging": TEXT,
        "bound_ms": Column("number", infinite=True),
        "bound_kind": TEXT,
        "any_placement_per_s": NUMBER,
    },
)

_TIMED = {
    "method": TEXT,
    "repeat": WHOLE,
    "servers": WHOLE,
    "requests": WHOLE,
    "placement_s": NUMBER,
    "routing_s_per_request": NUMBER,
    "total_s": NUMBER,
}
RUNNING_TIMES = Schema("running times (bprr time)", {"setting": TEXT, **_TIMED})
SWEEPS_TIMED = Schema(
    "running times of sweeps (bprr time --sweeps)",
    {"figure": TEXT, "topology": TEXT, "x": NUMBER, **_TIMED},
)

# What is drawn must be there; the rest goes into the figure's CSV.
_SOLVED = {
    "seconds": NUMBER.optional,
    "solver": TEXT.optional,
    "verified": TRUTH.optional,
}
GROWTH = Schema(
    "times of CG-BPRR's steps by size (bprr time --growth)",
    {
        **dict.fromkeys(("step", "varied"), TEXT),
        **dict.fromkeys(("size", "repeat"), WHOLE),
        "seconds": NUMBER,
    },
)
OPTIMALITY = Schema(
    "plans beside the optimum (bprr offline optimality)",
    {
        **_CASE,
        "method": TEXT,
        "objective_ms": PROVEN,
        "bound_ms": PROVEN,
        "above_optimum_percent": PROVEN,
        "status": TEXT,
        **_SOLVED,
    },
)
EQUAL_BLOCKS = Schema(
    "plans on servers of equal memory (bprr offline equal_blocks)",
    {**OPTIMALITY.columns, "blocks": WHOLE.optional, "memory_gb": NUMBER},
)
THEOREM_2 = Schema(
    "bounds of Theorem 2 (bprr offline theorem_2)",
    {
        **_CASE,
        "bound_ms": PROVEN.optional,
        "cg_bprr_ms": PROVEN.optional,
        "optimum_ms": PROVEN.optional,
        "bound_over_cg_bprr": PROVEN,
        "bound_over_optimum": PROVEN,
    },
)
SOLVER_RACE = Schema(
    "progress of solvers (bprr offline solver_race)",
    {
        **_CASE,
        "formulation": TEXT,
        "solver": TEXT,
        "seconds": NUMBER.with_gaps,
        "objective_ms": PROVEN.optional,
        "bound_ms": PROVEN.optional,
        "gap": PROVEN,
        "status": TEXT,
        "nodes": WHOLE.optional,
    },
)
STOPPING = Schema(
    "what stopping early gains (bprr offline relaxed_stopping)",
    {
        **_CASE,
        "suffix_ms": PROVEN.optional,
        "relaxed_ms": PROVEN.optional,
        "relaxed_bound_ms": PROVEN.optional,
        "gain_percent": PROVEN,
        "most_gain_percent": PROVEN,
        "suffix_status": TEXT.optional,
        "relaxed_status": TEXT.optional,
        "seconds": NUMBER.optional,
    },
)

THEORY = Schema("bounds and sizes (bprr theory)", {"check": TEXT, "case": TEXT, "value": NUMBER})
LOADED = Schema(
    "genuine PETALS under load beside every service (bprr testbed load-report)",
    {
        "case": TEXT,
        "arm": TEXT,
        "model": TEXT,
        "sessions": WHOLE,
        **dict.fromkeys(("per_token_ms", "predicted_per_token_ms"), NUMBER),
    },
)
PUBLISHED = Schema(
    "numbers printed in the paper (data/published/results.csv)",
    {
        "table": TEXT,
        "setting": TEXT,
        "method": TEXT,
        "rate_per_s": NUMBER.with_gaps,
        "output_tokens": WHOLE.with_gaps,
        "quantity": TEXT,
        "value_s": NUMBER,
        "sd_s": NUMBER.with_gaps,
    },
)
ARTEFACT = Schema(
    "means of the artefact (data/published/artefact_sweeps.csv)",
    {
        **_POINT,
        "servers": WHOLE,
        "eta": NUMBER,
        "rate_per_s": NUMBER,
        "output_tokens": WHOLE,
        "requests": WHOLE,
        "runs": WHOLE,
        "per_token_ms_mean": NUMBER,
        "per_token_ms_se": NUMBER.with_gaps,
        "ttft_ms_mean": NUMBER,
        "wait_ms_mean": NUMBER,
    },
)
DECOMPOSITION = Schema(
    "steps of the gain (bprr scorecard)",
    {
        "topology": TEXT,
        "x": NUMBER,
        "allocation_delays": TEXT,
        "order": TEXT,
        "step": TEXT,
        "share": NUMBER.with_gaps,
        "ratio": NUMBER.with_gaps,
        "runs": WHOLE,
    },
)
BY_SERVICE = Schema(
    "claims by how servers compute (bprr by-service)",
    {
        **dict.fromkeys(("id", "statement", "holds"), TEXT),
        **dict.fromkeys(("unit", "delays", "service", "order", "belief"), TEXT.with_gaps),
        **dict.fromkeys(("ours", "low", "high"), NUMBER.with_gaps),
    },
)
WAN_SWARMS = Schema(
    "models against measurements of real swarms (bprr wan)",
    {
        **dict.fromkeys(("group", "ring", "quantity", "model"), TEXT),
        **dict.fromkeys(("run", "arm", "fitted_on"), TEXT.with_gaps),
        **dict.fromkeys(("measured", "predicted", "error"), NUMBER.with_gaps),
    },
)
