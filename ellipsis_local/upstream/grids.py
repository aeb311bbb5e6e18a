"""Pixels of one zoom level of the service's tiles: which of them an extent takes, and which tiles hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellipsis_local.errors import ArgumentError
from ellipsis_local.types import Extent
from ellipsis_local.upstream.extents import in_crs
from ellipsis_local.upstream.models import positions

TILE = 256
HALF = math.pi * 6378137.0
"""Half the width of Web Mercator in metres."""
NORTH = 85.0511287798066
"""Where Web Mercator ends."""
SLACK = 1e-3
"""Of a pixel: bounds in degrees do not hit the edges of pixels exactly."""


@dataclass(frozen=True)
class TileGrid:
    """A rectangle of pixels of one zoom level, counted from the upper left corner of the world."""

    zoom: int
    left: int
    top: int
    width: int
    height: int

    @property
    def transform(self) -> Any:
        from affine import Affine

        size = resolution(self.zoom)
        return Affine(size, 0.0, self.left * size - HALF, 0.0, -size, HALF - self.top * size)

    @property
    def columns(self) -> range:
        """The x of the tiles under it."""
        return range(self.left // TILE, (self.left + self.width - 1) // TILE + 1)

    @property
    def rows(self) -> range:
        return range(self.top // TILE, (self.top + self.height - 1) // TILE + 1)


def resolution(zoom: int) -> float:
    """Metres per pixel of a zoom level."""
    return 2 * HALF / (TILE << zoom)


def grid_of(zoom: int, extent: Extent) -> TileGrid:
    """The pixels that touch an extent of EPSG:4326."""
    low, high = max(extent.y_min, -NORTH), min(extent.y_max, NORTH)
    if low > high:
        raise ArgumentError(f"extent lies beyond ±{NORTH:.2f}°, where the service has no tiles", argument="extent")
    box = in_crs(Extent(extent.x_min, low, extent.x_max, high), "EPSG:3857")
    size = resolution(zoom)
    most = TILE * 2**zoom
    left, right = between((box.x_min + HALF) / size, (box.x_max + HALF) / size, most)
    top, bottom = between((HALF - box.y_max) / size, (HALF - box.y_min) / size, most)
    return TileGrid(zoom, left, top, right - left, bottom - top)


def between(low: float, high: float, most: int) -> tuple[int, int]:
    """Whole pixels from `low` to `high`, at least one."""
    first = min(max(0, math.floor(low + SLACK)), most - 1)
    return first, min(max(first + 1, math.ceil(high - SLACK)), most)


def envelopes(geometry: Any) -> list[Extent]:
    """Those of the parts of a GeoJSON multipolygon, or the one of any other geometry."""
    several = isinstance(geometry, dict) and geometry.get("type") == "MultiPolygon"
    coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
    parts = map(positions, coordinates or () if several else (coordinates,))
    return [Extent.around(points) for points in map(list, parts) if points]


def touches(zoom: int, tile: tuple[int, int], extents: list[Extent]) -> bool:
    """Whether a tile (row, column) touches one of the extents in EPSG:4326."""
    row, column = tile
    size = 360 / 2**zoom
    west, east = column * size - 180, (column + 1) * size - 180
    north, south = latitude(row, zoom), latitude(row + 1, zoom)
    return any(one.x_min <= east and one.x_max >= west and one.y_min <= north and one.y_max >= south for one in extents)


def latitude(row: int, zoom: int) -> float:
    """Of the upper edge of a row of tiles."""
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / 2**zoom))))


def place(folder: Path, row: int, column: int) -> Path:
    """Where a tile lies in the draft; an empty file is a tile of nothing."""
    return folder / "tiles" / str(row) / f"{column}.tif"
