"""Pixel grids, and the tree of straight cuts that makes cells: arithmetic only, the same on every machine.

Everything here is plain IEEE arithmetic in a fixed order. Which pixel belongs to which cell follows from one
monotone function of a coordinate (`Grid.column`, `Grid.row`), asked with the same number by both neighbours of a
cut, so that no rounding can lose or double a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from ellipsis_local.types import Extent

__all__ = ["EVERYWHERE", "Axis", "Cut", "Grid", "Tree", "Window", "cells", "count_leaves", "pad", "pieces"]

Axis = Literal["x", "y"]

Cut = Literal["balanced", "rows", "columns", "blocks", "medians", "random"]
"""Ways to cut; see `patterns`, and for `balanced` `bisect` and `points`."""

Tree: TypeAlias = "tuple[Axis, float, Tree, Tree] | None"
"""A cell that stays whole (None), or a cut: axis, coordinate, first half, second half.

An `x` cut has the west first, and a point on the cut belongs to the east; a `y` cut has the north first, and a point on
the cut belongs to the south. (A raster's pixels are counted from the north-west, hence.)
"""

THIN = 1e-9
"""An extent thinner than this share of its coordinates is widened by it: a point, a line along an axis."""

EVERYWHERE = Extent(-math.inf, -math.inf, math.inf, math.inf)


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

    def window(self, cell: Extent, overlap: float = 0.0) -> Window:
        """The pixels whose centre is in `cell`; with an overlap also those at most so far (CRS units) from it."""
        row = _first((self.top - (cell.y_max + overlap)) / self.dy - 0.5, self.height)
        col = _first(((cell.x_min - overlap) - self.left) / self.dx - 0.5, self.width)
        # Without an overlap a centre on the cut belongs to one side only; a halo includes both its edges.
        end = _after if overlap > 0 else _first
        row_end = end((self.top - (cell.y_min - overlap)) / self.dy - 0.5, self.height)
        col_end = end(((cell.x_max + overlap) - self.left) / self.dx - 0.5, self.width)
        return Window(row, col, max(row_end - row, 0), max(col_end - col, 0))


def cells(tree: Tree, root: Extent) -> Iterator[Extent]:
    """The cells into which `tree` cuts `root`, in node order (depth first)."""
    if tree is None:
        yield root
        return
    axis, position, first, second = tree
    if axis == "x":
        yield from cells(first, root._replace(x_max=position))
        yield from cells(second, root._replace(x_min=position))
    else:
        yield from cells(first, root._replace(y_min=position))
        yield from cells(second, root._replace(y_max=position))


def count_leaves(tree: Tree) -> int:
    """How many cells a tree makes."""
    return 1 if tree is None else count_leaves(tree[2]) + count_leaves(tree[3])


def pad(extent: Extent | None) -> Extent:
    """An extent with an area: `extent` itself, widened where it is a line or a point; around the origin where None."""
    if extent is None:
        extent = Extent(0.0, 0.0, 0.0, 0.0)
    amount = THIN * max(1.0, *(abs(value) for value in extent))
    x = amount if extent.width < amount else 0.0
    y = amount if extent.height < amount else 0.0
    return Extent(extent.x_min - x, extent.y_min - y, extent.x_max + x, extent.y_max + y)


def pieces(start: int, stop: int, step: int, offset: int) -> Iterator[tuple[int, int]]:
    """From start to stop, cut at multiples of `step` less `offset`."""
    while start < stop:
        end = min((start + offset) // step * step + step - offset, stop)
        yield start, end
        start = end
