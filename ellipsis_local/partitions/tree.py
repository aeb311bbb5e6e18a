"""The tree of straight cuts that makes cells: arithmetic only, the same on every machine.

Both neighbours of a cut ask one monotone function (`raster.Grid.window`), so no rounding loses or doubles a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, TypeAlias

from ellipsis_local.errors import PartitionError
from ellipsis_local.types import Extent

Axis = Literal["x", "y"]

Cut = Literal["balanced", "rows", "columns", "blocks", "medians", "random", "shards"]
"""Ways to cut; see `cut_patterns`, for `balanced` `balance_rasters` and `balance_points`, for `shards` that module."""

Tree: TypeAlias = "tuple[Axis, float, Tree, Tree] | None"
"""A cell that stays whole (None), or a cut: axis, coordinate, first half, second half.

An `x` cut has the west first, and a point on the cut belongs to the east; a `y` cut has the north first, and a point on
the cut belongs to the south. (A raster's pixels are counted from the north-west, hence.)
"""

THIN = 1e-9
"""An extent thinner than this share of its coordinates is widened by it: a point, a line along an axis."""

EVERYWHERE = Extent(-math.inf, -math.inf, math.inf, math.inf)


def cells(tree: Tree, root: Extent) -> Iterator[Extent]:
    """The cells into which `tree` cuts `root`, in node order (depth first)."""
    if tree is None:
        yield root
        return
    axis, position, *subtrees = tree
    for subtree, half in zip(subtrees, halves(root, axis, position), strict=True):
        yield from cells(subtree, half)


def halves(cell: Extent, axis: Axis, position: float) -> tuple[Extent, Extent]:
    """West and east of a cut, or north and south."""
    if axis == "x":
        return cell._replace(x_max=position), cell._replace(x_min=position)
    return cell._replace(y_min=position), cell._replace(y_max=position)


def part_way(cell: Extent, axis: Axis, share: float) -> float:
    """The coordinate with `share` of the cell before it; PartitionError where the cell is too thin."""
    low, high = (cell.x_min, cell.x_max) if axis == "x" else (cell.y_min, cell.y_max)
    position = low + (high - low) * (share if axis == "x" else 1 - share)
    if not low < position < high:
        raise PartitionError("these features lie too close together to be cut into so many cells; use fewer nodes")
    return position


def count_leaves(tree: Tree) -> int:
    return 1 if tree is None else count_leaves(tree[2]) + count_leaves(tree[3])


def pad(extent: Extent | None) -> Extent:
    """An extent with an area: `extent` itself, widened where it is a line or a point; around the origin where None."""
    if extent is None:
        extent = Extent(0.0, 0.0, 0.0, 0.0)
    amount = THIN * max(1.0, *(abs(value) for value in extent))
    x = amount if extent.width < amount else 0.0
    y = amount if extent.height < amount else 0.0
    return Extent(extent.x_min - x, extent.y_min - y, extent.x_max + x, extent.y_max + y)
