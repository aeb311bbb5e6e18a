"""What lies at a location: the features that contain it, and those within a few metres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.arguments import invalid
from ellipsis_local.crs import WGS84, epsg_text, transformer
from ellipsis_local.errors import ArgumentError, LimitError
from ellipsis_local.features.columns import finite
from ellipsis_local.features.geojson import in_wgs84
from ellipsis_local.features.ids import Integers
from ellipsis_local.features.table import FeatureTable

MOST_LOCATIONS = 100
MOST_FEATURES = 10
NEAR_METRES = 10.0
DEGREE = 111_320.0
"""Metres in a degree of latitude, and of longitude at the equator."""

Floats = NDArray[np.float64]


def checked_locations(locations: Any, epsg: Any) -> Floats:
    """Locations as longitude and latitude, (locations, 2).

    ArgumentError for what is no list of pairs of numbers, or lies outside the CRS; LimitError for more than 100.
    """
    if not isinstance(locations, list | tuple):
        raise invalid("locations", locations, "must be of type list")
    if len(locations) > MOST_LOCATIONS:
        # The client's own words.
        raise LimitError(f"can get information for only {MOST_LOCATIONS} locations at a time")
    for position, one in enumerate(locations):
        if not isinstance(one, list | tuple) or len(one) != 2 or not all(map(finite, one)):
            text = f"locations[{position}] must be a pair of finite numbers, x and y, not {one!r}"
            raise ArgumentError(text, argument="locations", value=one)
    points = np.array(locations, float).reshape(-1, 2)
    crs = epsg_text(epsg)
    if crs != WGS84:
        points = np.column_stack(transformer(crs, WGS84).transform(points[:, 0], points[:, 1]))
    for position in np.flatnonzero(~np.isfinite(points).all(axis=1)).tolist():
        text = f"locations[{position}] lies outside EPSG:{epsg}"
        raise ArgumentError(text, argument="locations", value=locations[position])
    return points


class Best:
    """The nearest features of each location, found file by file."""

    def __init__(self, locations: Floats) -> None:
        self.locations = locations
        self._found: list[list[tuple[float, int, int]]] = [[] for _ in locations]
        """Distance in metres, position of the file, row."""

    def look(self, position: int, sheet: FeatureTable, bounds: Floats) -> None:
        """Take the features of one file into account; `bounds` are theirs, in degrees."""
        candidates = [self._candidates(x, y, bounds) for x, y in self.locations]
        rows = np.unique(np.concatenate([np.empty(0, np.int64), *candidates]))
        for piece, table in sheet.read(rows, [sheet.geometry]):
            geometries, _ = in_wgs84(table[sheet.geometry], sheet.detail.crs)
            for found, own, (x, y) in zip(self._found, candidates, self.locations, strict=True):
                inside = np.flatnonzero(np.isin(piece, own))
                for index, metres in zip(inside, distances(geometries[inside], x, y), strict=True):
                    if metres <= NEAR_METRES:
                        found.append((float(metres), position, int(piece[index])))
                found.sort()
                del found[MOST_FEATURES:]

    @staticmethod
    def _candidates(x: float, y: float, bounds: Floats) -> Integers:
        # A little more than needed: the distance decides.
        north = 1.1 * NEAR_METRES / DEGREE
        east = north / max(0.01, math.cos(math.radians(min(90.0, abs(y) + north))))
        low, high = np.array([x - east, y - north]), np.array([x + east, y + north])
        return np.flatnonzero((bounds[:, :2] <= high).all(axis=1) & (bounds[:, 2:] >= low).all(axis=1))

    def rows(self) -> dict[int, Integers]:
        """Which rows of which file are among the nearest anywhere."""
        rows: dict[int, set[int]] = {}
        for found in self._found:
            for _, position, row in found:
                rows.setdefault(position, set()).add(row)
        return {position: np.array(sorted(one), np.int64) for position, one in rows.items()}

    def chosen(self) -> Sequence[list[tuple[int, int]]]:
        """Per location its features, the nearest first: position of the file, and row."""
        return [[(position, row) for _, position, row in found] for found in self._found]


def distances(geometries: NDArray[Any], x: float, y: float) -> Floats:
    """Metres from a place to geometries nearby, 0 inside of polygons; degrees are laid flat around the place."""
    import shapely

    scale = np.array([DEGREE * math.cos(math.radians(y)), DEGREE])
    flat = shapely.transform(geometries, lambda xy: (xy - (x, y)) * scale)
    found: Floats = shapely.distance(flat, shapely.Point(0, 0))
    return found
