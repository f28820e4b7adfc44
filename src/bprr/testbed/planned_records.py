"""What a planned run leaves: machines, plans, sessions, what PETALS routed by, and a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bprr.ground.schema import Strict
from bprr.ground.tables import NUMBER, TEXT, TRUTH, WHOLE
from bprr.plan.record import PlanRecord
from bprr.testbed.calibration import CalibrationSession, Profile
from bprr.testbed.loaded_records import Business
from bprr.testbed.planned_settings import PlannedSettings
from bprr.testbed.records import (
    Machine,
    read_manifest,
    read_tables,
    write_manifest,
    write_tables,
)

__all__ = [
    "ARMS",
    "MACHINES",
    "PLANS",
    "PlannedManifest",
    "PlannedRun",
    "asked_for",
    "log_rows",
    "now_rows",
    "read_planned",
    "write_planned",
]

MACHINES, PLANS = "machines", "plans"  # folders of a run
ARMS = ("planned", "shipped")  # the plan's chains; those that PETALS chooses
SESSIONS = {
    "plan": TEXT,
    "arm": TEXT,
    "session": WHOLE,
    "client": TEXT,
    "arrival_ms": NUMBER,
    "output_tokens": WHOLE,
    "status": TEXT,
    "lag_ms": NUMBER.with_gaps,
    "ttft_ms": NUMBER.with_gaps,
    "completion_ms": NUMBER.with_gaps,
    "retries": WHOLE,
    "chain": TEXT.with_gaps,
    "tokens_equal": TRUTH,
}
# Of sessions that PETALS routes: round trips as its client had them then; source −1 is the client.
PINGS = {"plan": TEXT, "session": WHOLE, "source": WHOLE, "server": WHOLE, "rtt_ms": NUMBER}
FILES = {"sessions": SESSIONS, "pings": PINGS}


class PlannedManifest(Strict):
    """What the tables of a planned run rest on."""

    settings: PlannedSettings
    profile: Profile
    calibration: list[CalibrationSession]
    machine: Machine
    business: dict[str, Business]  # by "plan/arm"
    not_measured: dict[str, str] = {}


@dataclass(frozen=True)
class PlannedRun:
    """Tables of a planned run and its manifest."""

    sessions: pd.DataFrame
    pings: pd.DataFrame
    manifest: PlannedManifest


def write_planned(run: PlannedRun, folder: Path) -> None:
    """Write tables and manifest; machines and plans are there already."""
    write_tables({name: getattr(run, name) for name in FILES}, folder)
    write_manifest(run.manifest, folder)


def read_planned(folder: Path) -> PlannedRun:
    """Read a planned run.

    Raises
    ------
    InputError, InputErrors
        If a file cannot be read, or is not what such a run writes.
    """
    manifest = read_manifest(PlannedManifest, folder, "a planned run")
    tables = read_tables(FILES, folder, "of a planned run (bprr testbed plan)")
    return PlannedRun(tables["sessions"], tables["pings"], manifest)


def asked_for(settings: PlannedSettings, name: str) -> list[str]:
    """Words after ``bprr plan``, in the folder of the run."""
    return [
        f"{MACHINES}/servers.csv",
        *known_of(settings),
        *("--rate", f"{settings.rate_per_s:g}", "-o", f"{PLANS}/{name}"),
        *settings.plans[name],
    ]


def known_of(settings: PlannedSettings) -> list[str]:
    """Arguments that a plan and its explanation have in common."""
    return [
        *("--model", f"{MACHINES}/config.json", "--quant", settings.quant),
        *("--devices", f"{MACHINES}/devices.yaml", "--rtt", f"{MACHINES}/rtt.csv"),
        *("--clients", ";".join(settings.clients)),
        *("--input", str(settings.input_tokens), "--output", str(settings.output_tokens)),
        # The stand-in's activations are so small that they take no time to travel.
        *("--mbit", "100000"),
    ]


def now_rows(settings: PlannedSettings, plan: PlanRecord) -> str:
    """The machines with the blocks that they host now, for ``bprr plan explain``."""
    rows = [["name", "gpu", "memory_gb", "place", "blocks"]]
    for server, record in zip(settings.servers, plan.placement, strict=True):
        memory_gb, blocks = f"{server.memory_gb:g}", record.block_indices or ""
        rows.append([server.name, server.gpu, memory_gb, server.place, blocks])
    return "".join(",".join(row) + "\n" for row in rows)


def log_rows(run: PlannedRun, plan: str, arm: str = "planned") -> pd.DataFrame:
    """Log of a plan's sessions, as ``bprr calibrate`` takes it."""
    rows = run.sessions
    rows = rows[(rows["plan"] == plan) & (rows["arm"] == arm) & (rows["status"] == "ok")]
    names = [server.name for server in run.manifest.settings.servers]
    chains = [
        " > ".join(names[int(hop.partition(":")[0])] for hop in chain.split())
        for chain in rows["chain"]
    ]
    start_s = rows["arrival_ms"] / 1000.0
    return pd.DataFrame(
        {
            "start": start_s.round(6),
            "first_token": (start_s + rows["ttft_ms"] / 1000.0).round(6),
            "end": (start_s + rows["completion_ms"] / 1000.0).round(6),
            "tokens": rows["output_tokens"],
            "chain": chains,
            "client": rows["client"],
        }
    )
