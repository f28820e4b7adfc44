"""Servers that come and go as was observed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field

from bprr.ground.errors import InputError
from bprr.ground.schema import Strict
from bprr.ground.tables import NUMBER, TEXT, WHOLE, Schema, read_csv
from bprr.living.churn.base import Change, ChurnPolicy

__all__ = ["Trace"]

CHANGES = Schema("servers that fail and join", {"time_s": NUMBER, "server": WHOLE, "event": TEXT})
EVENTS = ("fail", "join")


class Trace(ChurnPolicy, name="trace"):
    """As a file says; a server whose first event is that it joins is away until then."""

    class Options(Strict):
        """A CSV of ``time_s``, ``server`` (from 0) and ``event``, ``fail`` or ``join``."""

        file: Path = Field(description="CSV of time_s, server (from 0) and event: fail or join")

    def changes(self, servers: int, rng: np.random.Generator) -> Iterator[Change]:
        """Those of the file, by time.

        Raises
        ------
        InputError
            If the file cannot be used, or a server fails that is away, or joins that is there.
        """
        path: Path = self.options.file
        table = read_csv(path, CHANGES)
        told = []
        for line, row in enumerate(table.to_dict("records"), start=2):
            time_s, server, event = (row[str(name)] for name in CHANGES.columns)
            where = f"{path} (line {line})"
            if not time_s >= 0:
                raise InputError(where, "time_s", time_s, "at least 0")
            if not 0 <= server < servers:
                raise InputError(where, "server", server, f"0 to {servers - 1}")
            if event not in EVENTS:
                raise InputError(where, "event", event, " or ".join(EVENTS))
            told.append((Change(1000.0 * time_s, int(server), event == "join"), where))
        told.sort(key=lambda each: each[0].time_ms)
        first: dict[int, bool] = {}
        for change, _ in told:
            first.setdefault(change.server, change.joins)
        away = {server for server, joins in first.items() if joins}
        changes = [Change(0.0, server, False) for server in sorted(away)]
        for change, where in told:
            if change.joins != (change.server in away):
                state, event = ("away", "join") if change.server in away else ("there", "fail")
                found = f"server {change.server} is {state} at {change.time_ms / 1000:g} s"
                raise InputError(where, "event", EVENTS[change.joins], f"{event}: {found}")
            (away.remove if change.joins else away.add)(change.server)
            changes.append(change)
        return iter(changes)
