"""Grids of pixels: arithmetic only, the same on every machine.

Everything here is plain IEEE arithmetic in a fixed order. Which pixel belongs to which cell follows from one
monotone function of a coordinate (`Grid.window`), asked with the same number by both neighbours of a cut, so that no
rounding can lose or double a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ellipsis_local.types import Extent

SAME_PIXEL = 0.01
"""Grids that differ by less than this share of a pixel, anywhere, are one grid."""


class Window(NamedTuple):
    """Pixels of a grid: first row and column, number of rows and columns."""

    row: int
    col: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.height * self.width


def _first(position: float, count: int) -> int:
    """The first of `count` whole numbers that is at or after `position`."""
    if position <= 0:
        return 0
    return count if position > count - 1 else math.ceil(position)


def _after(position: float, count: int) -> int:
    """The first of `count` whole numbers that is after `position`."""
    if position < 0:
        return 0
    return count if position >= count - 1 else math.floor(position) + 1


@dataclass(frozen=True)
class Grid:
    """A north-up grid of pixels in the CRS of a call; pixels need not be square."""

    left: float
    top: float
    dx: float
    dy: float
    """Width and height of a pixel, both positive, in CRS units."""
    width: int
    height: int
    block: tuple[int, int] = (1, 1)
    """Shape of the blocks that decode as one, rows then columns."""
    block_offset: tuple[int, int] = (0, 0)
    """Rows and columns of the first block that lie outside the grid."""

    @property
    def extent(self) -> Extent:
        return self.extent_of(Window(0, 0, self.height, self.width))

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def extent_of(self, window: Window) -> Extent:
        """The rectangle that a window covers, edges of pixels, in CRS units."""
        return Extent(
            self.left + window.col * self.dx,
            self.top - (window.row + window.height) * self.dy,
            self.left + (window.col + window.width) * self.dx,
            self.top - window.row * self.dy,
        )

    def transform_of(self, window: Window) -> list[float]:
        """Affine coefficients a, b, c, d, e, f of a window."""
        return [self.dx, 0.0, self.left + window.col * self.dx, 0.0, -self.dy, self.top - window.row * self.dy]

    def target(self, crs: str) -> TargetGrid:
        """The same rows and columns, with their CRS."""
        whole = self.transform_of(Window(0, 0, self.height, self.width))
        return TargetGrid(crs, tuple(whole), self.width, self.height)

    def window(self, cell: Extent, overlap: float = 0.0) -> Window:
        """The pixels whose centre is in `cell`; with an overlap also those at most so far (CRS units) from it."""
        row = _first((self.top - (cell.y_max + overlap)) / self.dy - 0.5, self.height)
        col = _first(((cell.x_min - overlap) - self.left) / self.dx - 0.5, self.width)
        # Without an overlap a centre on the cut belongs to one side only; a halo includes both its edges.
        end = _after if overlap > 0 else _first
        row_end = end((self.top - (cell.y_min - overlap)) / self.dy - 0.5, self.height)
        col_end = end(((cell.x_max + overlap) - self.left) / self.dx - 0.5, self.width)
        return Window(row, col, max(row_end - row, 0), max(col_end - col, 0))


def pieces(start: int, stop: int, step: int, offset: int) -> Iterator[tuple[int, int]]:
    """From start to stop, cut at multiples of `step` less `offset`."""
    while start < stop:
        end = min((start + offset) // step * step + step - offset, stop)
        yield start, end
        start = end


@dataclass(frozen=True)
class TargetGrid:
    """Rows and columns on the ground in some CRS, turned or not: where pixels are asked for."""

    crs: str
    transform: tuple[float, ...]
    """Affine coefficients a, b, c, d, e, f: column, row → x, y."""
    width: int
    height: int

    def moved(self, column: int, row: int, width: int, height: int) -> TargetGrid:
        """Another part of the same rows and columns, which begins at a column and row of this one."""
        a, b, _, d, e, _ = self.transform
        x, y = apply(self.transform, column, row)
        return TargetGrid(self.crs, (a, b, x, d, e, y), width, height)


def apply(transform: Sequence[float], column: Any, row: Any) -> tuple[Any, Any]:
    """Where a transform (a, b, c, d, e, f, …) takes a column and a row; affine 2 and 3 differ in their operators."""
    a, b, c, d, e, f = transform[:6]
    return a * column + b * row + c, d * column + e * row + f


def inverse(transform: Sequence[float]) -> tuple[float, ...]:
    """From x and y to column and row."""
    a, b, c, d, e, f = transform[:6]
    area = a * e - b * d
    a, b, d, e = e / area, -b / area, -d / area, a / area
    return a, b, -a * c - b * f, d, e, -d * c - e * f


def axes_of(transform: Sequence[float], width: int, height: int) -> tuple[float, float, bool] | None:
    """Steps along x and y, and whether columns run along y; None where rows and columns do not run along the axes.

    They do where they stay on them to a hundredth of a pixel: a rotation that is only float noise is none.
    """
    a, b, _, d, e, _ = transform[:6]
    if abs(b) * height < SAME_PIXEL * abs(a) and abs(d) * width < SAME_PIXEL * abs(e):
        return a, e, False
    if abs(a) * width < SAME_PIXEL * abs(b) and abs(e) * height < SAME_PIXEL * abs(d):
        return b, d, True
    return None


def corners_extent(transform: Sequence[float], width: int, height: int) -> Extent:
    """The rectangle around all pixels, turned or not, in units of the CRS."""
    return Extent.around(apply(transform, column, row) for column in (0, width) for row in (0, height))
