"""How far machines are from each other: measured round trips, or great circles.

An estimate is a floor and a multiple of what light in fibre takes over the great circle. Over the
45 pairs of ten cities between which a cloud provider publishes monthly means, the multiple is 1.6
in the middle and 1.3 to 2.6 at the ends; over 23 pairs of consumer lines, 2.5 and 1.2 to 4.2
(docs/plan.md#distances).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.swarm import FloatArray, IntArray
from bprr.plan.gazetteer import Spot, locate
from bprr.plan.known import Grade
from bprr.plan.machines import Inventory
from bprr.scenario.measured import read_rtt
from bprr.scenario.network import FIBRE_US_PER_KM, GeoNetwork, LinkNetwork

__all__ = ["Distances", "distances_of"]

FACTORS, FLOORS_MS = (1.25, 2.0, 4.2), (0.3, 2.0, 6.0)  # low, value, high
# The same cell of a real swarm within hours: nine in ten deviate by less (docs/wan.md).
MEASURED = (0.9, 1.0, 1.28)


@dataclass(frozen=True)
class Distances:
    """Nodes with the round trips between them, low, value and high.

    Parameters
    ----------
    network : LinkNetwork
        Of the values.
    low_ms, high_ms : ndarray, shape (N, N)
        Ends of their intervals.
    server_node, client_node : ndarray of int64
        Where everybody is.
    grade : Grade
        Measured, if no pair that counts is estimated.
    because : str
        The same in words.
    """

    network: LinkNetwork
    low_ms: FloatArray
    high_ms: FloatArray
    server_node: IntArray
    client_node: IntArray
    grade: Grade
    because: str

    def between(self, level: int, sources: IntArray, targets: IntArray) -> FloatArray:
        """Round trips, shape (len(sources), len(targets)): level 0 low, 1 value, 2 high (ms)."""
        return (self.low_ms, self.network.rtt, self.high_ms)[level][np.ix_(sources, targets)]


def distances_of(
    inventory: Inventory, clients: Sequence[str], rtt_file: Path | None = None
) -> Distances:
    """Distances between machines, and from clients to them.

    Parameters
    ----------
    clients : sequence of str
        Their places; the first machine's, if there are none.
    rtt_file : Path, optional
        Round trips by the names of places, or of machines. Places that it lacks are an error.

    Raises
    ------
    InputError
        If a place or a distance is not known.
    """
    machines = inventory.machines
    if rtt_file is not None:
        return _measured(inventory, clients, rtt_file)
    if any(machine.place for machine in machines):
        return _estimated(inventory, clients)
    if any(machine.pings_ms for machine in machines):
        return _pinged(inventory, clients)
    allowed = "a column place, or --rtt FILE"
    raise InputError(inventory.path, "place", "nothing", allowed)


def _network(
    name: str,
    rtt: FloatArray,
    nodes: Sequence[str],
    spots: Sequence[Spot | None],
    said: Sequence[str],
    mbit_per_s: FloatArray | None = None,
) -> LinkNetwork:
    places = np.array([(np.nan, np.nan) if spot is None else spot for spot in spots], dtype=float)
    return LinkNetwork(
        name, rtt, places[:, 1], places[:, 0], tuple(nodes), (), tuple(said), mbit_per_s
    )


def _spot(text: str, where: object, key: str) -> Spot | None:
    try:
        return locate(text, where, key)
    except InputError:
        return None


def _measured(inventory: Inventory, clients: Sequence[str], path: Path) -> Distances:
    table = read_rtt(path, None, "detour")
    names = list(table.node_names)
    index = {name: place for place, name in enumerate(names)}
    lower = {name.lower(): place for name, place in index.items()}

    def node(said: Sequence[str], where: object, key: str) -> int:
        for name in said:
            if name and (name in index or name.lower() in lower):
                return index.get(name, lower.get(name.lower(), 0))
        allowed = f"a name of {path}: {', '.join(names[:50])}"
        raise InputError(where, key, " or ".join(filter(None, said)) or "nothing", allowed)

    servers = np.array(
        [
            node((machine.name, machine.place), inventory.path, f"place of {machine.name}")
            for machine in inventory.machines
        ]
    )
    homes = [node((name,), "command line", "--clients") for name in clients]
    spots = [_spot(name, path, "place") for name in names]
    network = _network(path.stem, table.rtt, names, spots, table.remarks, table.mbit_per_s)
    low, high = table.rtt * MEASURED[0], table.rtt * MEASURED[2]
    return Distances(
        network, low, high, servers, np.array(homes or [servers[0]]), Grade.MEASURED,
        f"round trips of {path.name}",
    )  # fmt: skip


def _estimated(inventory: Inventory, clients: Sequence[str]) -> Distances:
    said = [*(machine.place for machine in inventory.machines), *clients]
    names = list(dict.fromkeys(said))
    where = [
        (inventory.path, "place") if name in said[: len(inventory.machines)] else
        ("command line", "--clients") for name in names
    ]  # fmt: skip
    if "" in names:
        lost = next(each.name for each in inventory.machines if not each.place)
        raise InputError(inventory.path, f"place of {lost}", "nothing", "where it stands")
    spots = [locate(name, *whom) for name, whom in zip(names, where, strict=True)]
    bare = GeoNetwork(
        "", np.array([spot.longitude for spot in spots]),
        np.array([spot.latitude for spot in spots]), FIBRE_US_PER_KM,
    )  # fmt: skip
    everybody = np.arange(len(names))
    light_ms = bare.rtt_ms(everybody, everybody)
    np.fill_diagonal(light_ms, 0.0)
    low, rtt, high = (
        floor_ms + factor * light_ms for floor_ms, factor in zip(FLOORS_MS, FACTORS, strict=True)
    )
    index = {name: place for place, name in enumerate(names)}
    servers = np.array([index[machine.place] for machine in inventory.machines])
    homes = np.array([index[name] for name in clients] or [servers[0]])
    network = _network("great circles", rtt, names, spots, ())
    because = f"great circles: {FLOORS_MS[1]:g} ms + {FACTORS[1]:g} × light in fibre"
    return Distances(network, low, high, servers, homes, Grade.ESTIMATED, because)


def _pinged(inventory: Inventory, clients: Sequence[str]) -> Distances:
    """Pings between servers; a pair without one, and a client, is as far as the median."""
    machines = inventory.machines
    count = len(machines)
    index = {machine.name: place for place, machine in enumerate(machines)}
    rtt = np.full((count + 1, count + 1), np.nan)
    for machine in machines:
        for other, ping_ms in machine.pings_ms.items():
            rtt[index[machine.name], index[other]] = ping_ms
    known = rtt[np.isfinite(rtt)]
    if not known.size:
        raise InputError(inventory.path, "next_pings", "none", "pings, or --rtt FILE")
    if clients:
        allowed = "--rtt FILE with their distances: pings name no places"
        raise InputError("command line", "--clients", ", ".join(clients), allowed)
    rtt = np.where(np.isnan(rtt), rtt.T, rtt)
    unknown = np.isnan(rtt)
    low_ms, usual_ms, high_ms = np.percentile(known, [10, 50, 90])
    low = np.where(unknown, low_ms, rtt * MEASURED[0])
    high = np.where(unknown, high_ms, rtt * MEASURED[2])
    rtt = np.where(unknown, usual_ms, rtt)
    for ends in (low, rtt, high):
        np.fill_diagonal(ends, 0.0)
    names = [*index, "client"]
    network = _network("pings", rtt, names, [None] * (count + 1), ())
    measured = (count * count - int(unknown[:count, :count].sum())) / max(count * count, 1)
    because = (
        f"pings between servers ({measured:.0%} of the pairs); the client is as far as their"
        f" median, {usual_ms:.0f} ms"
    )
    return Distances(
        network, low, high, np.arange(count), np.array([count]), Grade.ESTIMATED, because
    )
