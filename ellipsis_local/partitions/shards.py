"""Shards: the windows of a fixed grid in which the service calls the function, once each.

The grid is that of Web Mercator's tiles at a zoom. A shard is `size` pixels wide and high; `buffer` of them on each
side are its neighbours', too, so that its core, which is its alone, has ``size - 2 * buffer``. Of 4096 pixels without a
buffer it is a block of 16 × 16 tiles. Arithmetic only, the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ellipsis_local.arguments import invalid
from ellipsis_local.crs import WORLD
from ellipsis_local.errors import PartitionError
from ellipsis_local.raster.grid import Grid, Window
from ellipsis_local.raster.placement import Rectangle, around, common
from ellipsis_local.raster.zoom import pixel_size
from ellipsis_local.types import Extent

Edge = Literal["full", "cropped"]
Place = tuple[int, int]
"""A shard's row and column in the grid, from the north-west corner of the world."""

MOST = 10_000
"""Shards of one compute."""
MOST_LOOKED_AT = 100 * MOST
"""Of which features may touch a few, such as a road that runs across all of them."""
DEEPEST = 21
"""The last zoom that is tried where features decide: the service's own of vectors."""


@dataclass(frozen=True)
class Shards:
    """Which shards there are, and how large."""

    size: int
    """Pixels along each side, the buffer included."""
    buffer: int
    """Pixels on each side that the neighbours have as well."""
    edge: Edge = "full"
    """Whether those at the edge of the rasters are of full size, or cropped to them."""
    zoom: int | None = None
    """Of the pixels: that of the finest raster; None as long as features have still to decide."""
    places: tuple[Place, ...] = ()
    """Row after row."""
    covered: Rectangle | None = None
    """The rows and columns of pixels that rasters lie on; None without any."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise invalid("shard_size", self.size, f"must be at least 1, not {self.size}")
        if not 0 <= 2 * self.buffer < self.size:
            text = f"must leave a core: at least 0, and less than half of shard_size={self.size}, not {self.buffer}"
            raise invalid("shard_buffer", self.buffer, text)

    @property
    def core_size(self) -> int:
        return self.size - 2 * self.buffer

    @property
    def deepest_fit(self) -> int:
        """By how many zooms another raster may be coarser and still have whole pixels in every shard."""
        both = math.gcd(self.size, self.buffer)
        return (both & -both).bit_length() - 1

    @property
    def pixel(self) -> float:
        """Metres of Web Mercator."""
        return pixel_size(self.zoom or 0)

    def rectangle(self, place: Place, *, core: bool = False) -> Rectangle:
        """The pixels of a shard, with its buffer or without."""
        around = 0 if core else self.buffer
        top, left = (index * self.core_size for index in place)
        box = (top - around, top + self.core_size + around, left - around, left + self.core_size + around)
        cropped = self.edge == "cropped" and self.covered is not None
        return (common(box, self.covered) if cropped else None) or box  # type: ignore[arg-type]

    def extent(self, place: Place, *, core: bool = False) -> Extent:
        """The rectangle of a shard in Web Mercator."""
        top, bottom, left, right = self.rectangle(place, core=core)
        half, pixel = WORLD / 2, self.pixel
        return Extent(left * pixel - half, half - bottom * pixel, right * pixel - half, half - top * pixel)

    def window(self, grid: Grid, place: Place) -> Window:
        """The pixels of a shard in a grid that `grid_of` made."""
        scale, row, col = self._position(grid)
        top, bottom, left, right = (edge // scale for edge in self.rectangle(place))
        return Window(top - row, left - col, bottom - top, right - left)

    def _position(self, grid: Grid) -> tuple[int, int, int]:
        """How many pixels of the zoom one of a grid is wide, and the grid's first row and column."""
        half = WORLD / 2
        return round(grid.dx / self.pixel), round((half - grid.top) / grid.dy), round((grid.left + half) / grid.dx)

    def grid_of(self, zoom: int) -> Grid:
        """The pixels of a zoom, as far as there are shards."""
        shift = (self.zoom or 0) - zoom
        top, bottom, left, right = (edge >> shift for edge in around([self.rectangle(place) for place in self.places]))
        size, half = pixel_size(zoom), WORLD / 2
        return Grid(left * size - half, half - top * size, size, size, right - left, bottom - top)

    def touching(self, boxes: Iterable[Rectangle], most: int = MOST) -> Iterator[Place]:
        """The places whose cores share something with boxes of pixels; PartitionError where these are too many."""
        found: set[Place] = set()
        for top, bottom, left, right in set(boxes):
            rows = range(top // self.core_size, -(-bottom // self.core_size))
            columns = range(left // self.core_size, -(-right // self.core_size))
            self._check_count(len(rows) * len(columns), most)
            found.update((row, column) for row in rows for column in columns)
            self._check_count(len(found), most)
        yield from sorted(found)

    def _check_count(self, count: int, most: int = MOST) -> None:
        if count > most:
            raise PartitionError(
                f"shard_size={self.size} makes more than {MOST:,} shards of these layers, which are as many as can be "
                "run here; raise shard_size, or add a smaller part of the layers"
            )

    def at(self, places: Collection[Place]) -> Shards:
        self._check_count(len(places))
        return replace(self, places=tuple(sorted(places)))

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Shards:
        places = tuple((row, column) for row, column in data["places"])
        covered = None if data["covered"] is None else tuple(data["covered"])
        return cls(**{**data, "places": places, "covered": covered})
