"""Other ways to cut than for balance: a pattern of how a cell is divided becomes a `Tree` over an extent or rasters.

They are for trying what a function makes of other partitions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from random import Random
from typing import NamedTuple

from ellipsis_local.partitions.balance_rasters import along, bisect_rasters, choose_guide, nearest
from ellipsis_local.partitions.tree import Axis, Cut, Tree, halves, part_way
from ellipsis_local.raster.grid import Grid
from ellipsis_local.types import Extent

LEAST = 0.15
"""A random cut leaves at least this share of a cell on either side."""


class Pattern(NamedTuple):
    """How a cell is cut; None in place of a pattern is a cell that stays whole."""

    axis: Axis
    share: float
    """Of the cell's width or height, before the cut: from the west, or from the north."""
    nodes: tuple[int, int]
    first: Pattern | None
    second: Pattern | None


def pattern_of(cut: Cut, nodes: int, seed: int = 0) -> Pattern | None:
    """How `cut` divides a cell for so many nodes; a random one is the same on every machine for one `seed`."""
    if cut == "rows":
        return _halved("y", "y", nodes)
    if cut == "columns":
        return _halved("x", "x", nodes)
    if cut == "blocks":
        return _rows_of_blocks(max(nearest(math.sqrt(nodes)), 1), nodes)
    if cut == "medians":
        return _halved("x", "y", nodes)
    # Of Python's generator only `random` promises the same numbers in every version.
    return _random(Random(seed), nodes)  # noqa: S311


def _halved(axis: Axis, then: Axis, nodes: int) -> Pattern | None:
    """Cut across one axis, the halves across another, and so on by turns."""
    if nodes == 1:
        return None
    half = nodes // 2
    first, second = _halved(then, axis, half), _halved(then, axis, nodes - half)
    return Pattern(axis, half / nodes, (half, nodes - half), first, second)


def _rows_of_blocks(rows: int, nodes: int) -> Pattern | None:
    if rows == 1:
        return _halved("x", "x", nodes)
    above = rows // 2
    first = nodes * above // rows
    upper, lower = _rows_of_blocks(above, first), _rows_of_blocks(rows - above, nodes - first)
    return Pattern("y", above / rows, (first, nodes - first), upper, lower)


def _random(generator: Random, nodes: int) -> Pattern | None:
    if nodes == 1:
        return None
    axis: Axis = "x" if generator.random() < 0.5 else "y"
    share = LEAST + (1 - 2 * LEAST) * generator.random()
    first = 1 + int(generator.random() * (nodes - 1))
    return Pattern(axis, share, (first, nodes - first), _random(generator, first), _random(generator, nodes - first))


def lay_on_extent(pattern: Pattern | None, cell: Extent) -> Tree:
    """The tree of a pattern over a cell with an area (see `pad`); cells may be empty of data."""
    if pattern is None:
        return None
    position = part_way(cell, pattern.axis, pattern.share)
    one, two = halves(cell, pattern.axis, position)
    return pattern.axis, position, lay_on_extent(pattern.first, one), lay_on_extent(pattern.second, two)


def lay_on_rasters(pattern: Pattern | None, grids: Sequence[Grid]) -> Tree:
    """The tree of a pattern at edges of pixels; across the other axis, or for balance, where pixels are too few."""
    if pattern is None:
        return None
    bisect_rasters(grids, sum(pattern.nodes))  # refuses what cannot be
    return _lay(pattern, grids, reduce(Extent.union, (grid.extent for grid in grids)))


def _lay(pattern: Pattern | None, grids: Sequence[Grid], cell: Extent) -> Tree:
    if pattern is None:
        return None
    axes: tuple[Axis, Axis] = ("x", "y") if pattern.axis == "x" else ("y", "x")
    for axis in axes:
        position = _edge(grids, cell, axis, pattern)
        if position is not None:
            one, two = halves(cell, axis, position)
            return axis, position, _lay(pattern.first, grids, one), _lay(pattern.second, grids, two)
    return bisect_rasters(grids, sum(pattern.nodes), cell)


def _edge(grids: Sequence[Grid], cell: Extent, axis: Axis, pattern: Pattern) -> float | None:
    """The edge of pixels nearest to where the pattern wants it, with pixels enough on both sides; None without one."""
    guide, window = choose_guide(grids, [grid.window(cell) for grid in grids], cell, sum(pattern.nodes))
    if not window.pixels:
        return None
    start, count, step, origin = along(guide, window, axis)
    across = window.pixels // count
    wish = cell.x_min + cell.width * pattern.share if axis == "x" else cell.y_max - cell.height * pattern.share
    least, most = math.ceil(pattern.nodes[0] / across), count - math.ceil(pattern.nodes[1] / across)
    if least > most:
        return None
    position = origin + (start + min(max(nearest((wish - origin) / step) - start, least), most)) * step
    # Where the guide covers a part of the cell, its edge may lie at the cell's own.
    low, high = (cell.x_min, cell.x_max) if axis == "x" else (cell.y_min, cell.y_max)
    return position if low < position < high else None
