"""The zoom level of Web Mercator at which a raster's pixels are all shown."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from ellipsis_local.crs import WEB_MERCATOR, WORLD, transformer
from ellipsis_local.raster.grid import apply
from ellipsis_local.types import Timestamp

TILE: Final = 256
DEEPEST: Final = 30
"""A pixel there is a seventh of a millimetre."""
# Float noise must not double the number of pixels of a raster that lies on the tiles' own grid.
SLACK = 1e-6


def zoom(timestamp: Timestamp) -> int | None:
    """The lowest zoom at which a tile's pixel is no larger than the first file's; None without a file (our choice).

    Web Mercator stretches towards the poles: the smallest of nine places spread over the file counts. None also where
    no part of it lies inside Web Mercator.
    """
    smallest = resolution(timestamp)
    if smallest is None:
        return None
    smallest = max(smallest, pixel_size(DEEPEST))
    return max(0, math.ceil(math.log2(WORLD / (TILE * smallest)) - SLACK))


def resolution(timestamp: Timestamp) -> float | None:
    """The size of the first file's pixels in metres of Web Mercator; see `zoom`."""
    if not timestamp.rasters:
        return None
    first = timestamp.rasters[0]
    return smallest_pixel(first.crs, first.transform, first.width, first.height)


@lru_cache(maxsize=4096)
def smallest_pixel(crs: str, transform: tuple[float, ...], width: int, height: int) -> float | None:
    places = [(width * (i + 0.5) / 3, height * (j + 0.5) / 3) for i in range(3) for j in range(3)]
    around = [apply(transform, c + dx, r + dy) for c, r in places for dx, dy in ((0, 0), (1, 0), (0, 1))]
    xs, ys = transformer(crs, WEB_MERCATOR).transform(*map(list, zip(*around, strict=True)))
    points = list(zip(xs, ys, strict=True))
    sizes = [
        min(distance(here, east), distance(here, south))
        for here, east, south in zip(points[::3], points[1::3], points[2::3], strict=True)
        if abs(here[1]) <= WORLD / 2
    ]
    return min((size for size in sizes if math.isfinite(size) and size > 0), default=None)


def pixel_size(zoom: int) -> float:
    """The width of a pixel of a tile, in metres of Web Mercator."""
    return WORLD / (TILE << zoom)


def zoom_of(pixel: float) -> int:
    """The zoom whose pixels are so wide."""
    return round(math.log2(WORLD / (TILE * pixel)))


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Metres between two points of Web Mercator, the short way round the world."""
    dx = (other[0] - one[0] + WORLD / 2) % WORLD - WORLD / 2
    return math.hypot(dx, other[1] - one[1])
