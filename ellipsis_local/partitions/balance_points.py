"""Cutting the plane for balance over features, each taken as one point, and telling which cell a point is in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.partitions.tree import Axis, Tree, halves, part_way
from ellipsis_local.types import Extent

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def bisect_points(xy: Floats, root: Extent, nodes: int) -> Tree:
    """Cut `root` at medians of points (n, 2), across the longer axis; by its size where no cut divides them."""
    return _bisect(xy[np.isfinite(xy).all(axis=1)], root, nodes)


def _bisect(xy: Floats, cell: Extent, nodes: int) -> Tree:
    if nodes == 1:
        return None
    share = (nodes // 2) / nodes
    axes: tuple[Axis, Axis] = ("x", "y") if cell.width > cell.height else ("y", "x")
    for axis in axes:
        position = _median(xy[:, 0 if axis == "x" else 1], share, cell, axis)
        if position is not None:
            break
    else:
        axis, position = axes[0], part_way(cell, axes[0], share)
    first = _is_first(xy, axis, position)
    one, two = halves(cell, axis, position)
    half = nodes // 2
    return axis, position, _bisect(xy[first], one, half), _bisect(xy[~first], two, nodes - half)


def _is_first(xy: Floats, axis: Axis, position: float) -> NDArray[np.bool_]:
    """West of the cut, or north of it; a point on it is not (see `Tree`)."""
    return xy[:, 0] < position if axis == "x" else xy[:, 1] > position


def _median(values: Floats, share: float, cell: Extent, axis: Axis) -> float | None:
    """A coordinate strictly inside the cell with about `share` of the values before it, None where there is none."""
    if len(values) < 2:
        return None
    # The first half of a y cut is the high one.
    low, high, from_high = (cell.x_min, cell.x_max, False) if axis == "x" else (cell.y_min, cell.y_max, True)
    rank = min(max(round(len(values) * (1 - share if from_high else share)), 1), len(values) - 1)
    middle = float(np.partition(values, rank)[rank])
    below, above = values[values < middle], values[values > middle]
    gaps = []  # between two neighbouring values: how far from the wish, and where
    if len(below):
        gaps.append((abs(len(below) - rank), float(np.max(below)), middle))
    if len(above):
        gaps.append((abs(len(values) - len(above) - rank), middle, float(np.min(above))))
    for _, lower, upper in sorted(gaps):
        position = lower / 2 + upper / 2
        # The value on a cut belongs to the east or to the south: between neighbouring floats the cut is that one.
        if from_high:
            position = position if lower <= position < upper else lower
        else:
            position = position if lower < position <= upper else upper
        if low < position < high:
            return position
    return None


def assign(xy: Floats, tree: Tree) -> Integers:
    """The node of each point, int64 (points,): every point is in exactly one cell."""
    nodes = np.zeros(len(xy), np.int64)
    _assign(xy, np.arange(len(xy)), tree, 0, nodes)
    return nodes


def _assign(xy: Floats, rows: NDArray[Any], tree: Tree, node: int, nodes: Integers) -> int:
    """Write the nodes of these rows, the first cell being `node`; returns the next cell."""
    if tree is None:
        nodes[rows] = node
        return node + 1
    axis, position, one, two = tree
    first = _is_first(xy[rows], axis, position)
    node = _assign(xy, rows[first], one, node, nodes)
    return _assign(xy, rows[~first], two, node, nodes)
