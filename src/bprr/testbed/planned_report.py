"""What a plan said beside what genuine PETALS did from its files: times, and routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.figures.text_table import TextTable
from bprr.placement.base import Placement
from bprr.plan.calibrate import (
    Calibration,
    Observed,
    calibrated,
    errors,
    read_plan,
    sessions_of,
    token_ms,
)
from bprr.plan.explain import explained, hosted
from bprr.plan.goal import Wish
from bprr.plan.models import served_model
from bprr.plan.problem import Problem, problem_of
from bprr.plan.readers import read_inventory
from bprr.plan.record import PlanRecord
from bprr.settings.configuration import Settings
from bprr.testbed.machine import busy_text
from bprr.testbed.planned_records import ARMS, MACHINES, PLANS, PlannedRun, log_rows
from bprr.testbed.planned_settings import PlannedSettings
from bprr.testbed.prediction import chain_of, chain_text

__all__ = ["compared", "planned_table", "summary_of_plans"]

CLIENT = -1  # as the source of a ping
UNKNOWN_RTT_MS = 300.0  # PETALS takes 0.15 s for half of one that it does not know


def compared(run: PlannedRun, folder: Path, settings: Settings) -> pd.DataFrame:
    """Every session that was served: times per later token, and whether its route is explained.

    Returns
    -------
    DataFrame
        ``plan``, ``arm``, ``client``, ``chain``; ``token_ms`` as measured; ``planned_ms`` of that
        chain; ``elsewhere_ms``, calibrated on the other plans' sessions; of those that PETALS
        routed, ``explained`` (the route of ``bprr plan explain``) and ``by_pings`` (the route by
        what the client knew then).
    """
    own, tables = run.manifest.settings, []
    plans = {name: read_plan(folder / PLANS / name) for name in own.plans}
    seen = {name: observed(run, plan, name, ARMS[0]) for name, plan in plans.items()}
    for name, plan in plans.items():
        others = [(plans[other], seen[other]) for other in plans if other != name]
        calibration = _calibration(*others[0]) if others else None
        problem = problem_at(own, folder, name, settings)
        for arm in ARMS:
            rows = run.sessions
            rows = rows[(rows["plan"] == name) & (rows["arm"] == arm) & (rows["status"] == "ok")]
            sessions = observed(run, plan, name, arm)
            table = rows[["plan", "arm", "session", "client", "chain"]].reset_index(drop=True)
            table["token_ms"] = [each.token_ms for each in sessions]
            table["planned_ms"] = [token_ms(plan, each) for each in sessions]
            table["elsewhere_ms"] = [
                token_ms(plan, each, calibration) if calibration else np.nan for each in sessions
            ]
            if arm == "shipped":
                table = _routes(table, run.pings[run.pings["plan"] == name], problem)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def observed(run: PlannedRun, plan: PlanRecord, name: str, arm: str) -> list[Observed]:
    """Sessions as ``bprr calibrate`` reads them."""
    rows: Any = log_rows(run, name, arm).to_dict("records")
    return sessions_of(list(enumerate(rows, start=2)), plan, Path(f"log of {name}"))


def _calibration(plan: PlanRecord, sessions: list[Observed]) -> Calibration:
    return calibrated(plan, sessions, "testbed").calibration


def problem_at(own: PlannedSettings, folder: Path, name: str, settings: Settings) -> Problem:
    """Problem of ``bprr plan explain`` on the machines as they serve."""
    machines = folder / MACHINES
    files = [*settings.device_files, machines / "devices.yaml"]
    settings = settings.model_copy(update={"device_files": files})
    wish = Wish(
        clients=tuple(own.clients), input_tokens=own.input_tokens, output_tokens=own.output_tokens
    )
    served = served_model(str(machines / "config.json"), own.quant, settings.all_models)
    inventory = read_inventory(machines / f"{name}.csv", None)
    return problem_of(inventory, wish, served, settings, machines / "rtt.csv")


def _routes(table: pd.DataFrame, pings: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    clients = list(problem.wish.clients)
    placement = hosted(problem)
    told = [_explained(problem, placement, client) for client in range(len(clients))]
    by_pings = []
    for session, client in table[["session", "client"]].itertuples(index=False):
        known = _as_known(placement, pings[pings["session"] == session])
        by_pings.append(_explained(problem, known, clients.index(client)))
    routes = [told[clients.index(client)] for client in table["client"]]
    return table.assign(
        explained=[a == b for a, b in zip(table["chain"], routes, strict=True)],
        by_pings=[a == b for a, b in zip(table["chain"], by_pings, strict=True)],
    )


def _explained(problem: Problem, placement: Placement, client: int) -> str:
    route = explained(problem, placement, client).petals
    return chain_text(chain_of(route.servers, route.processed))


def _as_known(placement: Placement, pings: pd.DataFrame) -> Placement:
    """The placement with round trips as a client knew them."""
    swarm = placement.swarm
    servers = swarm.servers
    own = np.full((swarm.clients, servers), UNKNOWN_RTT_MS)
    between = np.full((servers, servers), UNKNOWN_RTT_MS)
    for source, server, rtt_ms in pings[["source", "server", "rtt_ms"]].itertuples(index=False):
        if source == CLIENT:
            own[:, server] = rtt_ms
        else:
            between[source, server] = rtt_ms
    return replace(placement, swarm=replace(swarm, raw_rtt_ms=own, server_rtt_ms=between))


def planned_table(run: PlannedRun, comparison: pd.DataFrame, folder: Path) -> TextTable:
    """Errors of what was planned, before and after a calibration, and routes explained."""
    rows, machines = [], len(run.manifest.settings.servers)
    for (name, arm), own in comparison.groupby(["plan", "arm"], sort=False):
        plan = read_plan(folder / PLANS / str(name))
        fit = calibrated(plan, observed(run, plan, str(name), str(arm)), "testbed")
        rows.append(
            [
                str(name),
                "the plan's" if arm == "planned" else "PETALS' own",
                str(len(own)),
                f"{own['planned_ms'].median():.0f}",
                f"{own['token_ms'].median():.0f}",
                _missed(own["planned_ms"] / own["token_ms"]),
                _missed(own["elsewhere_ms"] / own["token_ms"]),
                _missed(pd.Series(fit.after)),
                *(
                    _share(own[key]) if arm == "shipped" else ""
                    for key in ("explained", "by_pings")
                ),
            ]
        )
    return TextTable(
        title=f"Plans for {machines} machines, and genuine PETALS run from their files",
        header=[
            "Plan",
            "chains",
            "sessions",
            "planned\nms/token",
            "measured\nms/token",
            "error as\nplanned",
            "calibrated\nelsewhere",
            "calibrated,\nheld out",
            "route as\nexplained",
            "by the\nclient's pings",
        ],
        rows=rows,
        leading=2,
        widths=[1.2, 1.2, 0.9, 1.0, 1.0, 1.4, 1.4, 1.4, 1.1, 1.1],
        note="Times per token after the first, medians of sessions; errors of single sessions, "
        "median (largest).\nElsewhere: on the sessions of the other plan. Held out: by bprr "
        "calibrate, which fits the other half.",
    )


def _missed(ratios: pd.Series) -> str:
    if ratios.isna().all():
        return ""
    row = errors(ratios.to_numpy())
    return f"{100 * row['median']:.1f} % ({100 * row['worst']:.0f} %)"


def _share(agreeing: pd.Series) -> str:
    return f"{int(agreeing.sum())} of {len(agreeing)}"


def summary_of_plans(run: PlannedRun, comparison: pd.DataFrame, folder: Path) -> str:
    """What was seen, in sentences with numbers."""
    sessions, settings = run.sessions, run.manifest.settings
    lines = [
        f"{len(sessions)} sessions on {len(settings.plans)} plans; "
        f"{int((sessions['status'] == 'ok').sum())} served, "
        f"{int(sessions['tokens_equal'].sum())} with the tokens of local transformers.",
        f"Profiles from {len(run.manifest.calibration)} other sessions; "
        + busy_text(run.manifest.business.values()),
    ]
    for name in settings.plans:
        own = comparison[(comparison["plan"] == name) & (comparison["arm"] == "planned")]
        load = read_plan(folder / PLANS / name).loaded
        if load is not None:
            said: Mapping[str, float | None] = {k: v.value for k, v in load.token_ms.items()}
            lines.append(
                f"{name}, {load.rate_per_s:g} sessions/s: mean {own['token_ms'].mean():.0f} ms a "
                f"token, planned under this load {said['mean']:.0f}; 95th percentile "
                f"{own['token_ms'].quantile(0.95):.0f}, planned {said['p95']:.0f}."
            )
    beyond_ms = _beyond_ms(run)
    lines.append(
        f"PETALS' clients knew {len(beyond_ms)} round trips as {np.median(beyond_ms):.0f} ms "
        f"longer than they were (median; nine in ten {np.quantile(beyond_ms, 0.05):.0f} to "
        f"{np.quantile(beyond_ms, 0.95):.0f} ms)."
    )
    routed = comparison[comparison["arm"] == "shipped"]
    for (plan, client, chain), rows in routed.groupby(["plan", "client", "chain"], sort=False):
        first = rows.iloc[0]
        if not first["explained"]:
            lines.append(
                f"{plan}, from {client}: {len(rows)} sessions over {chain}, which is not the route "
                f"explained; by the client's pings it is in {int(rows['by_pings'].sum())}."
            )
    lines += [f"{key}: not measured: {why}" for key, why in run.manifest.not_measured.items()]
    return "\n".join(lines)


def _beyond_ms(run: PlannedRun) -> np.ndarray:
    """What clients' pings said of round trips, less what is emulated."""
    settings, pings = run.manifest.settings, run.pings[run.pings["source"] == CLIENT]
    servers, own = len(settings.servers), run.sessions[run.sessions["arm"] == "shipped"]
    client_of = own.set_index(["plan", "session"])["client"].map(settings.clients.index)
    clients = client_of.loc[list(zip(pings["plan"], pings["session"], strict=True))].to_numpy()
    between_ms = settings.rtt_between_hosts_ms()
    emulated_ms = between_ms[1 + servers + clients, 1 + pings["server"].to_numpy()]
    return np.asarray(pings["rtt_ms"] - emulated_ms)
