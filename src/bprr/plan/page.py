"""plan.html: one page that stands alone, with a map, the blocks, the hops and the rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined

from bprr.plan.distances import Distances
from bprr.plan.gazetteer import land
from bprr.plan.record import ChainRecord, PlanRecord, Value
from bprr.plan.text import number, said

__all__ = ["page_of"]

MAP_WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 1000.0, 300.0, 620.0
LEAST_SPAN_DEG = 8.0
LAND_DOT = 7.0  # of the map's units between dots
MOST_BARS = 80
# Colours that stay apart for everybody (Okabe and Ito), one per client.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


class Dot(NamedTuple):
    """A place of the map."""

    x: float
    y: float
    label: str
    servers: int
    blocks: int
    is_client: bool
    label_x: float
    label_y: float
    anchor: str


class Arc(NamedTuple):
    """A hop of a chain: a curve there and back."""

    path: str
    color: str
    title: str


class Map(NamedTuple):
    """What the map shows."""

    height: float
    land: list[tuple[float, float]]
    dots: list[Dot]
    arcs: list[Arc]


class Bar(NamedTuple):
    """A server's blocks, in percent of the model."""

    name: str
    left: float
    width: float
    text: str
    color: str
    title: str


def page_of(plan: PlanRecord, distances: Distances) -> str:
    """The page; every text of the user is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"said": said, "brief": _brief, "ms": _ms, "number": number}
    template = environment.from_string(
        files("bprr.plan").joinpath("page.html").read_text(encoding="utf-8")
    )
    longest = max((_sum_ms(chain) for chain in plan.chains), default=1.0)
    shown = plan.chains[:12]
    return template.render(
        plan=plan,
        used=sum(server.blocks > 0 for server in plan.placement),
        map=_map(plan, distances),
        bars=_bars(plan),
        shown=[(chain, COLORS[i % len(COLORS)], _parts(chain, longest)) for i, chain in
               enumerate(shown)],
        curve=_curve(plan),
        felt=[each for each in plan.losses if each.blocks_lost or each.times_slower != 1],
        most=MOST_BARS,
    )  # fmt: skip


def _brief(value: Value, unit: str = "") -> str:
    if value.value is None:
        return "unknown"
    return f"{number(value.value)} {unit}".strip()


def _ms(value: Value) -> str:
    """Milliseconds, as seconds where there are many."""
    if value.value is None:
        return "unknown"
    return f"{value.value:.0f} ms" if value.value < 1000 else f"{value.value / 1000:.2f} s"


def _sum_ms(chain: ChainRecord) -> float:
    return sum((hop.network_ms.value or 0) + (hop.computing_ms.value or 0) for hop in chain.hops)


def _parts(chain: ChainRecord, longest: float) -> list[dict[str, Any]]:
    """Pieces of a chain's bar: the way to each server, and its computing."""
    parts = []
    for hop in chain.hops:
        for kind, value in (("network", hop.network_ms), ("computing", hop.computing_ms)):
            share = 100.0 * (value.value or 0.0) / max(longest, 1e-9)
            title = f"{hop.name}, {hop.blocks} blocks, {kind}: {said(value)}"
            text = hop.name if kind == "computing" and share > 9 else ""
            parts.append({"kind": kind, "width": f"{share:.3f}", "title": title, "text": text})
    return parts


def _map(plan: PlanRecord, distances: Distances) -> Map | None:
    """Places, chains and land around them; none if no place is known."""
    network = distances.network
    used = sorted({*distances.server_node.tolist(), *distances.client_node.tolist()})
    known = [
        node for node in used
        if math.isfinite(network.latitude_deg[node] + network.longitude_deg[node])
    ]  # fmt: skip
    if not known:
        return None
    longitude = network.longitude_deg[known]
    east = _cut(longitude)  # longitudes are counted from here
    shifted = (longitude - east) % 360
    south, north = _span(network.latitude_deg[known], 85)
    west, far = _span(shifted, 360)
    flat = math.cos(math.radians((south + north) / 2))
    width, height = (far - west) * flat, north - south
    scale = MAP_WIDTH / width
    if height * scale > MOST_HEIGHT:  # a tall map is widened
        more = height * MAP_WIDTH / MOST_HEIGHT / flat - (far - west)
        west, scale = west - more / 2, MOST_HEIGHT / height
    elif height * scale < LEAST_HEIGHT:
        more = LEAST_HEIGHT / scale - height
        north, height = north + more / 2, height + more

    def spot(latitude: float, longitude_deg: float) -> tuple[float, float]:
        x = ((longitude_deg - east) % 360 - west) * flat * scale
        return round(x, 1), round((north - latitude) * scale, 1)

    dots_of_land = [spot(each.latitude, each.longitude) for each in land(LAND_DOT / scale)]
    inside = [
        (x, y) for x, y in dots_of_land
        if -5 < x < MAP_WIDTH + 5 and -5 < y < height * scale + 5
    ]  # fmt: skip
    place_of = {
        node: spot(network.latitude_deg[node], network.longitude_deg[node]) for node in known
    }
    return Map(
        round(height * scale, 1), inside, _dots(plan, distances, place_of, height * scale),
        _arcs(plan, distances, place_of),
    )  # fmt: skip


def _cut(longitude: np.ndarray) -> float:
    """Longitude in the middle of the widest gap, where the map may begin."""
    ordered = np.sort(longitude % 360)
    gaps = np.diff(ordered, append=ordered[0] + 360)
    widest = int(np.argmax(gaps))
    return float(ordered[widest] + gaps[widest] / 2) % 360


def _span(values: np.ndarray, most: float) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = max(0.18 * (high - low), (LEAST_SPAN_DEG - (high - low)) / 2)
    return (max(low - room, -most) if most < 100 else low - room), min(high + room, most)


def _dots(
    plan: PlanRecord,
    distances: Distances,
    place_of: dict[int, tuple[float, float]],
    height: float,
) -> list[Dot]:
    """Places, those of clients and chains first: of two labels that meet, the first one stays."""
    clients = set(distances.client_node.tolist())
    chained = {int(distances.server_node[s]) for chain in plan.chains for s in chain.servers}
    count = np.bincount(distances.server_node, minlength=distances.network.nodes)
    blocks = np.bincount(
        distances.server_node,
        [server.blocks for server in plan.placement],
        minlength=distances.network.nodes,
    )
    taken = [(x - 12, y - 12, x + 12, y + 12) for x, y in place_of.values()]
    dots = []
    order = sorted(place_of, key=lambda node: (node not in clients, node not in chained))
    for node in order:
        x, y = place_of[node]
        name, servers = distances.network.node_names[node], int(count[node])
        label = f"{name} × {servers}" if servers > 1 else name
        found = _label(x, y, 8.6 * len(label), height, taken)
        at = (0.0, 0.0, "") if found is None else found[0]
        if found is not None:
            taken.append(found[1])
        dots.append(Dot(x, y, label, servers, int(blocks[node]), node in clients, *at))
    return dots[::-1]


Box = tuple[float, float, float, float]


def _label(
    x: float, y: float, width: float, height: float, taken: list[Box]
) -> tuple[tuple[float, float, str], Box] | None:
    """Where a label is free of what is there: its anchor, and the box that it takes."""
    for dy in (-10.0, 22.0, 5.0, -26.0, 38.0):
        for left in (False, True):
            start = x - 16 - width if left else x + 16
            box = (start, y + dy - 14, start + width, y + dy + 4)
            inside = box[0] > 0 and box[2] < MAP_WIDTH and box[1] > 0 and box[3] < height
            free = not any(
                max(box[0], other[0]) < min(box[2], other[2])
                and max(box[1], other[1]) < min(box[3], other[3])
                for other in taken
            )
            if inside and free:
                return (x - 16 if left else x + 16, y + dy, "end" if left else "start"), box
    return None


def _arcs(
    plan: PlanRecord, distances: Distances, place_of: dict[int, tuple[float, float]]
) -> list[Arc]:
    arcs = []
    for index, chain in enumerate(plan.chains[:12]):
        home = int(distances.client_node[chain.client])
        color = COLORS[index % len(COLORS)]
        stops = [home, *(int(distances.server_node[server]) for server in chain.servers)]
        if plan.forwarding == "ring":
            legs = list(zip(stops, [*stops[1:], home], strict=True))
        else:
            legs = [(home, stop) for stop in stops[1:]]
        for leg, (start, end) in enumerate(legs):
            if start == end or start not in place_of or end not in place_of:
                continue
            (x0, y0), (x1, y1) = place_of[start], place_of[end]
            bend = (0.14 + 0.05 * (index % 3)) * (1 if leg % 2 else -1)
            x, y = (x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0)
            path = f"M{x0},{y0} Q{x:.1f},{y:.1f} {x1},{y1}"
            hop = chain.hops[min(leg, len(chain.hops) - 1)]
            title = f"{chain.place} → {hop.name}: {said(hop.network_ms)}"
            arcs.append(Arc(path, color, title))
    return arcs


def _bars(plan: PlanRecord) -> list[Bar]:
    """Servers by their first block, those that serve chains in the chain's colour."""
    colors: dict[int, str] = {}
    for index, chain in reversed(list(enumerate(plan.chains))):
        colors |= dict.fromkeys(chain.servers, COLORS[index % len(COLORS)])
    hosting = sorted(
        (server for server in plan.placement if server.blocks),
        key=lambda server: (server.first_block, -server.blocks),
    )
    hosting.sort(key=lambda server: server.server not in colors)
    bars = []
    for server in hosting[:MOST_BARS]:
        last = server.first_block + server.blocks - 1
        bars.append(
            Bar(
                server.name,
                100.0 * (server.first_block - 1) / plan.blocks,
                100.0 * server.blocks / plan.blocks,
                f"{server.first_block}–{last}",
                colors.get(server.server, ""),
                f"{server.name} ({server.gpu or server.device}): blocks {server.first_block} to"
                f" {last}, {said(server.tau_ms)} a block; room for {server.sessions} sessions",
            )
        )
    return bars


def _curve(plan: PlanRecord) -> dict[str, Any] | None:
    """Time per token over the rate: points of an SVG of 640 × 300."""
    points = [
        (point.rate_per_s, point.mean_ms, point.p95_ms)
        for point in plan.curve
        if point.rate_per_s and point.mean_ms and point.p95_ms
    ]
    if len(points) < 2:
        return None
    left, right, top, bottom = 62.0, 620.0, 16.0, 250.0
    sustained = plan.sustained_per_s.value or points[-1][0]
    most_rate = max(sustained, points[-1][0]) * 1.04
    least = 0.8 * min(point[1] for point in points)
    most = 1.25 * max(point[2] for point in points)
    span = math.log(most / least)

    def x(rate: float) -> float:
        return round(left + (right - left) * rate / most_rate, 1)

    def y(time_ms: float) -> float:
        return round(bottom - (bottom - top) * math.log(time_ms / least) / span, 1)

    ticks = [value for value in _ticks(least, most) if least <= value <= most]
    return {
        "mean": " ".join(f"{x(rate)},{y(mean)}" for rate, mean, _ in points),
        "p95": " ".join(f"{x(rate)},{y(p95)}" for rate, _, p95 in points),
        "dots": [
            (
                x(rate), y(mean), y(p95),
                f"{rate:.3g} sessions/s: mean {mean:.3g} ms, p95 {p95:.3g} ms",
            )
            for rate, mean, p95 in points
        ],
        "sustained": x(sustained),
        "asked": None if plan.rate_per_s is None or plan.rate_per_s > most_rate else
                 x(plan.rate_per_s),
        "x_ticks": [(x(rate), f"{rate:.2g}") for rate in np.linspace(0, sustained, 5).tolist()],
        "y_ticks": [(y(value), f"{value:g}" if value < 1000 else f"{value / 1000:g} s")
                    for value in ticks],
    }  # fmt: skip


def _ticks(least: float, most: float) -> Sequence[float]:
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    dense = most / least < 8
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if dense else (1, 2, 5)
    return [step * 10.0**power for power in powers for step in steps]
