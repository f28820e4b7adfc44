"""Where a place is: cities, airports, regions of clouds, and plain coordinates.

The table is made of the airports of the package airportsdata (MIT) and the regions of
cloud-regions-info (MIT), rounded to a hundredth of a degree.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.files import read_text
from bprr.scenario.topologies import did_you_mean

__all__ = ["Spot", "land", "locate"]

TABLE = Path(__file__).with_name("places.csv")
APART_DEG = 1.5  # airports of one city are closer

# Which of several cities a bare name means, and names by which the table does not know them.
MEANT = {
    "amsterdam": "AMS", "athens": "ATH", "austin": "AUS", "barcelona": "BCN", "beijing": "PEK",
    "belfast": "BFS", "bengaluru": "BLR", "berlin": "BER", "birmingham": "BHX", "brussels": "BRU",
    "bucharest": "OTP", "buenos aires": "EZE", "cambridge": "CBG", "chicago": "ORD",
    "copenhagen": "CPH", "dallas": "DFW", "denver": "DEN", "dubai": "DXB", "dublin": "DUB",
    "dusseldorf": "DUS", "edinburgh": "EDI", "frankfurt": "FRA", "geneva": "GVA",
    "glasgow": "GLA", "hamburg": "HAM", "helsinki": "HEL", "hong kong": "HKG", "istanbul": "IST",
    "johannesburg": "JNB", "kiev": "IEV", "kyiv": "IEV", "lisbon": "LIS", "london": "LHR",
    "los angeles": "LAX", "lyon": "LYS", "madrid": "MAD", "manchester": "MAN",
    "melbourne": "MEL", "mexico city": "MEX", "miami": "MIA", "milan": "LIN", "montreal": "YUL",
    "moscow": "SVO", "mumbai": "BOM", "munchen": "MUC", "munich": "MUC", "new york": "JFK",
    "newcastle": "NCL", "nuremberg": "NUE", "osaka": "KIX", "oslo": "OSL", "paris": "CDG",
    "perth": "PER", "philadelphia": "PHL", "portland": "PDX", "prague": "PRG", "quebec": "YQB",
    "rio de janeiro": "GIG", "rome": "FCO", "san diego": "SAN", "san francisco": "SFO",
    "san jose": "SJC", "santiago": "SCL", "sao paulo": "GRU", "seattle": "SEA", "seoul": "GMP",
    "shanghai": "SHA", "singapore": "SIN", "sofia": "SOF", "stockholm": "ARN",
    "stuttgart": "STR", "sydney": "SYD", "taipei": "TSA", "tel aviv": "TLV", "tokyo": "HND",
    "toronto": "YYZ", "vancouver": "YVR", "vienna": "VIE", "virginia": "IAD", "warsaw": "WAW",
    "washington": "DCA", "wien": "VIE", "zurich": "ZRH",
}  # fmt: skip


class Spot(NamedTuple):
    """A place on Earth (degrees)."""

    latitude: float
    longitude: float


class _Table(NamedTuple):
    codes: dict[tuple[str, str], Spot]  # by kind and code
    cities: dict[str, dict[str, list[Spot]]]  # by name and country


@cache
def _table() -> _Table:
    codes: dict[tuple[str, str], Spot] = {}
    cities: dict[str, dict[str, list[Spot]]] = defaultdict(lambda: defaultdict(list))
    for row in csv.DictReader(read_text(TABLE, "table of places").splitlines()):
        spot = Spot(float(row["latitude"]), float(row["longitude"]))
        codes[row["kind"], row["code"].lower()] = spot
        if row["kind"] == "iata":
            cities[_plain(row["name"])][row["country"]].append(spot)
    return _Table(codes, cities)


def _plain(text: str) -> str:
    bare = unicodedata.normalize("NFKD", text)
    kept = "".join(sign for sign in bare if not unicodedata.combining(sign))
    return re.sub(r"\s+", " ", kept).strip().lower()


def land(cell_deg: float) -> list[Spot]:
    """An airport of every cell that has one: enough dots to see the continents."""
    cells: dict[tuple[int, int], Spot] = {}
    for (kind, _), spot in _table().codes.items():
        if kind == "iata":
            cells.setdefault(
                (round(spot.latitude / cell_deg), round(spot.longitude / cell_deg)), spot
            )
    return list(cells.values())


def locate(text: str, where: object, key: str) -> Spot:
    """Place that a text means.

    Parameters
    ----------
    text : str
        ``48.86,2.35``, ``CDG``, ``Paris``, ``London, CA``, or ``aws:eu-west-3`` (``gcp:``,
        ``azure:``).
    where, key : object, str
        Who says so, for messages.

    Raises
    ------
    InputError
        If it is no place, or several.
    """
    found = _coordinates(text, where, key)
    if found is not None:
        return found
    table, plain = _table(), _plain(text)
    kind, colon, code = plain.partition(":")
    if colon:
        return _coded(table, kind.strip(), code.strip(), text, where, key)
    if re.fullmatch(r"[A-Z]{3}", text.strip()) and ("iata", plain) in table.codes:
        return table.codes["iata", plain]
    if plain in MEANT:
        return table.codes["iata", MEANT[plain].lower()]
    name, _, country = (part.strip() for part in plain.partition(","))
    by_country = table.cities.get(name) or {}
    if country:
        by_country = {code: all for code, all in by_country.items() if code.lower() == country}
    choices = [
        (land_code, group) for land_code, all in by_country.items() for group in _groups(all)
    ]
    if len(choices) == 1:
        return _middle(choices[0][1])
    if not choices and ("iata", plain) in table.codes:
        return table.codes["iata", plain]
    if choices:
        said = "; ".join(f"{country} at {_middle(all).latitude:.2f},{_middle(all).longitude:.2f}"
                         for country, all in choices[:6])  # fmt: skip
        allowed = f"one of several: coordinates, an airport's code or 'city, country': {said}"
        raise InputError(where, key, text, allowed)
    hint = did_you_mean(plain, [*MEANT, *table.cities])
    allowed = f"{hint}a city, an airport (IATA), aws:eu-west-1 (gcp:, azure:), or lat,lon"
    raise InputError(where, key, text, allowed)


def _coordinates(text: str, where: object, key: str) -> Spot | None:
    pair = re.fullmatch(r"\s*([-+]?[\d.]+)\s*[,;]\s*([-+]?[\d.]+)\s*", text)
    if pair is None:
        return None
    try:
        spot = Spot(float(pair[1]), float(pair[2]))
    except ValueError:
        spot = Spot(np.nan, np.nan)
    if not (-90 <= spot.latitude <= 90 and -180 <= spot.longitude <= 180):
        allowed = "latitude from -90 to 90, longitude from -180 to 180"
        raise InputError(where, key, text, allowed)
    return spot


def _coded(
    table: _Table, kind: str, code: str, text: str, where: object, key: str
) -> Spot:  # fmt: skip
    if (kind, code) in table.codes:
        return table.codes[kind, code]
    kinds = sorted({known for known, _ in table.codes})
    known = [each for other, each in table.codes if other == kind]
    listed = ", ".join(known[:40]) if kind in kinds and kind != "iata" else ", ".join(kinds)
    raise InputError(where, key, text, f"{did_you_mean(code, known)}{listed}")


def _groups(spots: list[Spot]) -> list[list[Spot]]:
    """Spots that are close to each other together."""
    groups: list[list[Spot]] = []
    for spot in spots:
        for group in groups:
            middle = _middle(group)
            apart = max(
                abs(spot.latitude - middle.latitude), abs(spot.longitude - middle.longitude)
            )
            if apart < APART_DEG:
                group.append(spot)
                break
        else:
            groups.append([spot])
    return groups


def _middle(spots: list[Spot]) -> Spot:
    return Spot(*(float(np.mean(values)) for values in zip(*spots, strict=True)))
