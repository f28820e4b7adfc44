"""What a measurement also depends on: the machine, and who else is busy there."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Collection, Mapping
from typing import Any

from bprr.measure.manifest import processor
from bprr.testbed.loaded_records import Business
from bprr.testbed.records import Machine

__all__ = ["business_since", "busy_text", "cpu_times", "machine_at_start", "machine_of"]


def machine_at_start() -> dict[str, Any]:
    """What is known of the machine before anything runs."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "niceness": os.nice(0),
        "load_average_at_start": os.getloadavg()[0],
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def machine_of(start: Mapping[str, Any], packages: dict[str, str]) -> Machine:
    """The machine of a run that ends now, and began with `machine_at_start`."""
    began = datetime.datetime.fromisoformat(start["started"])
    spent = datetime.datetime.now(datetime.UTC) - began
    return Machine(
        **start,
        packages=packages,
        load_average_at_end=os.getloadavg()[0],
        minutes=round(spent.total_seconds() / 60, 1),
    )


def cpu_times() -> tuple[float, float, float]:
    """Seconds of all cores until now: in all, busy, and busy with processes of low priority."""
    with open("/proc/stat", encoding="utf-8") as file:
        ticks = [int(text) for text in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks), sum(ticks) - idle, ticks[1]


def business_since(before: tuple[float, float, float], seconds: float) -> Business:
    """How busy the machine was since `cpu_times` were read."""
    total, busy, nice = (b - a for a, b in zip(before, cpu_times(), strict=True))
    return Business(
        busy=round(busy / max(total, 1), 3),
        others=round(nice / max(total, 1), 3),
        load_average=round(os.getloadavg()[0], 2),
        seconds=round(seconds, 1),
    )


def busy_text(business: Collection[Business]) -> str:
    """How busy it was at the most, all cases together."""
    own = max(each.busy - each.others for each in business)
    return (
        f"machine {100 * max(each.busy for each in business):.0f} % busy at the most, "
        f"{100 * own:.0f} % without processes of low priority."
    )
