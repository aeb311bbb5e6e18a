"""Cutting the plane for balance over rasters: by turns in two, at edges of pixels, or of blocks where that is cheap.

A place weighs as many pixels as all rasters have there. Our own choice: the service does not say how it cuts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

from ellipsis_local.arguments import invalid
from ellipsis_local.partitions.tree import Axis, Tree, halves
from ellipsis_local.raster.grid import Grid, Window
from ellipsis_local.types import Extent

SNAP = 1.05
"""How much more the busiest node may do for a cut at an edge of blocks, where each block is decoded once."""


class Cut(NamedTuple):
    """One way to cut a cell: `first` nodes go north or west; `load` is the busiest node's share over the mean."""

    axis: Axis
    position: float
    first: int
    load: float


def bisect_rasters(grids: Sequence[Grid], nodes: int, cell: Extent | None = None) -> Tree:
    """The union of the grids, or a cell of it, cut so that every cell holds at least one pixel."""
    most = max(grid.pixels for grid in grids)
    if nodes > most:
        raise invalid(
            "nodes", nodes, f"is {nodes}, and the largest of these rasters has {most} pixels: use at most {most} nodes"
        )
    return _bisect(grids, cell or reduce(Extent.union, (grid.extent for grid in grids)), nodes)


def _bisect(grids: Sequence[Grid], cell: Extent, nodes: int) -> Tree:
    if nodes == 1:
        return None
    axis, position, first, _ = _choose(grids, cell, nodes)
    one, two = halves(cell, axis, position)
    return axis, position, _bisect(grids, one, first), _bisect(grids, two, nodes - first)


def _choose(grids: Sequence[Grid], cell: Extent, nodes: int) -> Cut:
    """The preferred axis where it balances, else the one that balances better."""
    windows = [grid.window(cell) for grid in grids]
    guide, window = choose_guide(grids, windows, cell, nodes)
    cuts = []
    for axis in _axes(guide, window):
        cut = _cut(grids, windows, guide, window, cell, axis, nodes)
        if cut is not None and cut.load <= SNAP:
            return cut
        if cut is not None:
            cuts.append(cut)
    # There is one: a guide with as many pixels as nodes can always be cut between two of its pixels.
    return min(cuts, key=lambda cut: cut.load)


def choose_guide(grids: Sequence[Grid], windows: Sequence[Window], cell: Extent, nodes: int) -> tuple[Grid, Window]:
    """The first raster that covers the cell and has a pixel for every node, else the one with the most pixels."""
    for grid, window in zip(grids, windows, strict=True):
        own = grid.extent
        covers = (
            own.x_min <= cell.x_min + grid.dx / 2
            and own.x_max >= cell.x_max - grid.dx / 2
            and own.y_min <= cell.y_min + grid.dy / 2
            and own.y_max >= cell.y_max - grid.dy / 2
        )
        if covers and window.pixels >= nodes:
            return grid, window
    return max(zip(grids, windows, strict=True), key=lambda pair: pair[1].pixels)


def _axes(guide: Grid, window: Window) -> tuple[Axis, Axis]:
    """Along the axis with more blocks first, so that strips are cut by rows; within one block, the longer axis."""
    rows = _blocks(window.row, window.height, guide.block[0], guide.block_offset[0])
    cols = _blocks(window.col, window.width, guide.block[1], guide.block_offset[1])
    if rows == cols == 1:
        rows, cols = window.height, window.width
    return ("y", "x") if rows >= cols else ("x", "y")


def _blocks(start: int, count: int, block: int, offset: int) -> int:
    return (start + count - 1 + offset) // block - (start + offset) // block + 1


def _cut(
    grids: Sequence[Grid], windows: Sequence[Window], guide: Grid, window: Window, cell: Extent, axis: Axis, nodes: int
) -> Cut | None:
    """The best cut across one axis, or None where none leaves pixels enough on both sides."""
    ideal = _balance(grids, windows, axis, (nodes // 2) / nodes)
    start, count, step, origin = along(guide, window, axis)
    side = 1 if axis == "x" else 0
    block, offset = guide.block[side], guide.block_offset[side]
    place = (ideal - origin) / step

    def at(edge: int) -> Cut | None:
        return _weigh(grids, windows, cell, axis, origin + edge * step, nodes)

    edges = [nearest(place)]
    if count > 1:  # inside the guide there is always a cut that leaves pixels on both sides
        edges.append(min(max(nearest(place), start + 1), start + count - 1))
    by_pixel = next((cut for cut in map(at, edges) if cut is not None), None)
    by_block = at(nearest((place + offset) / block) * block - offset)
    if by_block is not None and (by_pixel is None or by_block.load <= SNAP * by_pixel.load):
        return by_block
    return by_pixel


def along(guide: Grid, window: Window, axis: Axis) -> tuple[int, int, float, float]:
    """First pixel and number of them across an axis, the step from one to the next, and where the grid begins."""
    if axis == "x":
        return window.col, window.width, guide.dx, guide.left
    return window.row, window.height, -guide.dy, guide.top


def nearest(value: float) -> int:
    """To the nearest whole number, halves up (Python's own rounds them to even)."""
    return math.floor(value + 0.5)


def _weigh(
    grids: Sequence[Grid], windows: Sequence[Window], cell: Extent, axis: Axis, position: float, nodes: int
) -> Cut | None:
    """What a cut at `position` means, or None where one side could not give a pixel to each of its nodes."""
    one, two = halves(cell, axis, position)
    if one.width < 0 or one.height < 0 or two.width < 0 or two.height < 0:
        return None
    ones = [grid.window(one).pixels for grid in grids]
    twos = [whole.pixels - part for whole, part in zip(windows, ones, strict=True)]
    if not max(ones) or not max(twos) or max(ones) + max(twos) < nodes:
        return None
    first = min(max(nodes // 2, nodes - max(twos)), max(ones))
    mean = sum(window.pixels for window in windows) / nodes
    return Cut(axis, position, first, max(sum(ones) / first, sum(twos) / (nodes - first)) / mean)


def _balance(grids: Sequence[Grid], windows: Sequence[Window], axis: Axis, share: float) -> float:
    """The coordinate before which (from north or west) lies `share` of the pixels, as if they were spread evenly."""
    spans = list(_spans(grids, windows, axis))
    marks = sorted({mark for start, stop, _ in spans for mark in (start, stop)})
    goal = share * sum(pixels for *_, pixels in spans)
    below, done = marks[0], 0.0
    for mark in marks[1:]:
        weight = sum(
            pixels * (mark - below) / (stop - start) for start, stop, pixels in spans if start <= below and mark <= stop
        )
        if weight and done + weight >= goal:
            below += (mark - below) * max(goal - done, 0.0) / weight
            break
        below, done = mark, done + weight
    return below if axis == "x" else -below


def _spans(grids: Sequence[Grid], windows: Sequence[Window], axis: Axis) -> Iterator[tuple[float, float, int]]:
    """Start, stop and pixels of each raster along an axis that runs east, or south (as minus y)."""
    for grid, window in zip(grids, windows, strict=True):
        if window.pixels:
            extent = grid.extent_of(window)
            if axis == "x":
                yield extent.x_min, extent.x_max, window.pixels
            else:
                yield -extent.y_max, -extent.y_min, window.pixels
