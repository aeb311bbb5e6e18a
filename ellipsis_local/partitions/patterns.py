"""Other ways to cut than for balance: which axis, how far along, how many nodes on either side, without the data.

A pattern says how a cell is divided; laid over an extent, or over the pixels of rasters, it becomes a `Tree`. These
cuts are for trying what a function makes of other partitions; the service does not say how it cuts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from random import Random
from typing import NamedTuple

from ellipsis_local.errors import PartitionError
from ellipsis_local.partitions.bisect import bisect_rasters, choose_guide, halves, nearest
from ellipsis_local.partitions.tree import Axis, Cut, Tree
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
    """How `cut` divides a cell for so many nodes.

    rows, columns
        Strips of one height, or of one width.
    blocks
        About as many rows of blocks as columns.
    medians
        By turns across and along.
    random
        Any axis, share and number of nodes on either side, from `seed`: the same on every machine.
    """
    if cut == "rows":
        return _strips("y", nodes)
    if cut == "columns":
        return _strips("x", nodes)
    if cut == "blocks":
        rows = max(math.floor(math.sqrt(nodes) + 0.5), 1)
        return _rows_of_blocks(rows, nodes)
    if cut == "medians":
        return _turns("x", nodes)
    # Of Python's generator only `random` promises the same numbers in every version.
    return _random(Random(seed), nodes)  # noqa: S311


def _strips(axis: Axis, nodes: int) -> Pattern | None:
    if nodes == 1:
        return None
    half = nodes // 2
    return Pattern(axis, half / nodes, (half, nodes - half), _strips(axis, half), _strips(axis, nodes - half))


def _rows_of_blocks(rows: int, nodes: int) -> Pattern | None:
    if rows == 1:
        return _strips("x", nodes)
    above = rows // 2
    first = nodes * above // rows
    return Pattern(
        "y", above / rows, (first, nodes - first), _rows_of_blocks(above, first),
        _rows_of_blocks(rows - above, nodes - first),
    )  # fmt: skip


def _turns(axis: Axis, nodes: int) -> Pattern | None:
    if nodes == 1:
        return None
    half, other = nodes // 2, _other(axis)
    return Pattern(axis, half / nodes, (half, nodes - half), _turns(other, half), _turns(other, nodes - half))


def _other(axis: Axis) -> Axis:
    return "y" if axis == "x" else "x"


def _random(generator: Random, nodes: int) -> Pattern | None:
    if nodes == 1:
        return None
    axis: Axis = "x" if generator.random() < 0.5 else "y"
    share = LEAST + (1 - 2 * LEAST) * generator.random()
    first = 1 + int(generator.random() * (nodes - 1))
    return Pattern(axis, share, (first, nodes - first), _random(generator, first), _random(generator, nodes - first))


def lay_on_extent(pattern: Pattern | None, cell: Extent) -> Tree:
    """The tree of a pattern over a cell with an area (see `grid.pad`); cells may be empty of data."""
    if pattern is None:
        return None
    low, high = (cell.x_min, cell.x_max) if pattern.axis == "x" else (cell.y_min, cell.y_max)
    share = pattern.share if pattern.axis == "x" else 1 - pattern.share
    position = low + (high - low) * share
    if not low < position < high:
        raise PartitionError("these features lie too close together to be cut into so many cells; use fewer nodes")
    one, two = halves(cell, pattern.axis, position)
    return pattern.axis, position, lay_on_extent(pattern.first, one), lay_on_extent(pattern.second, two)


def lay_on_rasters(pattern: Pattern | None, grids: Sequence[Grid]) -> Tree:
    """The tree of a pattern over the union of rasters, at edges of pixels; every cell holds at least one pixel.

    Where too few pixels lie across the axis that the pattern names, the other one is cut, and where that does not do
    either, the cell is cut for balance.

    Raises
    ------
    ArgumentError
        Where there are more nodes than the largest raster has pixels (from `bisect_rasters`).
    """
    if pattern is None:
        return None
    bisect_rasters(grids, sum(pattern.nodes))  # refuses what cannot be
    return _lay(pattern, grids, reduce(Extent.union, (grid.extent for grid in grids)))


def _lay(pattern: Pattern | None, grids: Sequence[Grid], cell: Extent) -> Tree:
    if pattern is None:
        return None
    for axis in (pattern.axis, _other(pattern.axis)):
        position = _edge(grids, cell, axis, pattern)
        if position is not None:
            one, two = halves(cell, axis, position)
            return axis, position, _lay(pattern.first, grids, one), _lay(pattern.second, grids, two)
    return bisect_rasters(grids, sum(pattern.nodes), cell)


def _edge(grids: Sequence[Grid], cell: Extent, axis: Axis, pattern: Pattern) -> float | None:
    """The edge of pixels nearest to where the pattern wants it, with pixels enough on both sides; None without one."""
    guide, window = choose_guide(grids, [grid.window(cell) for grid in grids], cell, sum(pattern.nodes))
    if axis == "x":
        start, count, across, step, origin = window.col, window.width, window.height, guide.dx, guide.left
        wish = cell.x_min + cell.width * pattern.share
    else:
        start, count, across, step, origin = window.row, window.height, window.width, -guide.dy, guide.top
        wish = cell.y_max - cell.height * pattern.share
    if across == 0:
        return None
    least, most = math.ceil(pattern.nodes[0] / across), count - math.ceil(pattern.nodes[1] / across)
    if least > most:
        return None
    position = origin + (start + min(max(nearest((wish - origin) / step) - start, least), most)) * step
    # Where the guide covers a part of the cell, its edge may lie at the cell's own.
    low, high = (cell.x_min, cell.x_max) if axis == "x" else (cell.y_min, cell.y_max)
    return position if low < position < high else None
