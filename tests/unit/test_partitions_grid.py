"""Grids, windows, trees and bisection over rasters: tables, and the property that any cut is a partition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellipsis_local.errors import ArgumentError
from ellipsis_local.partitions.balance_rasters import bisect_rasters
from ellipsis_local.partitions.tree import EVERYWHERE, cells, count_leaves, pad
from ellipsis_local.raster.grid import Grid, Window, pieces
from ellipsis_local.types import Extent

TEN = Grid(left=100.0, top=200.0, dx=10.0, dy=5.0, width=4, height=6)


@pytest.mark.parametrize(
    ("cell", "overlap", "expected"),
    [
        # the grid itself, and everything
        (TEN.extent, 0, Window(0, 0, 6, 4)),
        (EVERYWHERE, 0, Window(0, 0, 6, 4)),
        # cuts at edges of pixels
        (Extent(100, 185, 120, 200), 0, Window(0, 0, 3, 2)),
        (Extent(120, 170, 140, 185), 0, Window(3, 2, 3, 2)),
        # a centre on the west or north edge is in, on the east or south edge is out
        (Extent(105, 182.5, 115, 197.5), 0, Window(0, 0, 3, 1)),
        # nothing but a part of a pixel without its centre
        (Extent(100, 198, 104, 200), 0, Window(0, 0, 0, 0)),
        # beside the grid on one axis, on both
        (Extent(0, 170, 50, 200), 0, Window(0, 0, 6, 0)),
        (Extent(500, 0, 600, 50), 0, Window(6, 4, 0, 0)),
        # a halo, within the grid and clamped to it; both its edges count
        (Extent(120, 185, 130, 190), 10, Window(0, 1, 5, 3)),
        (Extent(110, 185, 120, 190), 5, Window(1, 0, 3, 3)),
        (Extent(100, 170, 140, 200), 1000, Window(0, 0, 6, 4)),
    ],
)
def test_window(cell, overlap, expected):
    assert TEN.window(cell, overlap) == expected


def test_extent_and_transform_of_a_window():
    assert TEN.extent == Extent(100, 170, 140, 200)
    assert TEN.extent_of(Window(2, 1, 3, 2)) == Extent(110, 175, 130, 190)
    assert TEN.transform_of(Window(2, 1, 3, 2)) == [10.0, 0.0, 110.0, 0.0, -5.0, 190.0]


@pytest.mark.parametrize(
    ("extent", "flat"),
    [(None, (True, True)), (Extent(5, 5, 5, 5), (True, True)), (Extent(2e7, 0, 2e7, 10), (True, False))],
)
def test_pad_gives_an_area(extent, flat):
    padded = pad(extent)
    assert padded.width > 0
    assert padded.height > 0
    assert padded.width < 1 or not flat[0]


def test_pad_leaves_what_has_an_area():
    assert pad(Extent(0, 0, 1, 2)) == Extent(0, 0, 1, 2)


@pytest.mark.parametrize(
    ("start", "stop", "step", "offset", "expected"),
    [
        (0, 10, 4, 0, [(0, 4), (4, 8), (8, 10)]),
        (3, 9, 4, 0, [(3, 4), (4, 8), (8, 9)]),
        (0, 10, 4, 3, [(0, 1), (1, 5), (5, 9), (9, 10)]),
        (2, 2, 4, 0, []),
    ],
)
def test_pieces(start, stop, step, offset, expected):
    assert list(pieces(start, stop, step, offset)) == expected


def counts(grid, tree):
    """How many cells each pixel is in."""
    found = {}
    for cell in cells(tree, EVERYWHERE):
        w = grid.window(cell)
        for row in range(w.row, w.row + w.height):
            for col in range(w.col, w.col + w.width):
                found[row, col] = found.get((row, col), 0) + 1
    return found


def assert_partition(grids, tree, nodes, each_has_pixels=True):
    assert count_leaves(tree) == nodes
    for grid in grids:
        found = counts(grid, tree)
        assert len(found) == grid.pixels
        assert set(found.values()) == {1}
    root = grids[0].extent
    for grid in grids[1:]:
        root = root.union(grid.extent)
    made = list(cells(tree, root))
    assert math.isclose(sum(c.width * c.height for c in made), root.width * root.height, rel_tol=1e-9)
    assert all(c.width > 0 and c.height > 0 for c in made)
    for i, one in enumerate(made):
        assert not any(one.intersects(other) for other in made[i + 1 :])
        if each_has_pixels:
            assert any(grid.window(one).pixels for grid in grids)


@pytest.mark.parametrize("width", range(1, 6))
@pytest.mark.parametrize("height", range(1, 6))
def test_any_number_of_nodes_up_to_the_pixels(width, height):
    grid = Grid(0.1, 0.7, 0.1, 0.3, width, height, (2, 2))
    for nodes in range(1, grid.pixels + 1):
        assert_partition([grid], bisect_rasters([grid], nodes), nodes)
    with pytest.raises(ArgumentError, match=rf"nodes is {grid.pixels + 1}.* {grid.pixels} pixels") as caught:
        bisect_rasters([grid], grid.pixels + 1)
    assert caught.value.argument == "nodes"


@pytest.mark.parametrize(
    ("grid", "nodes", "expected"),
    [
        # equal blocks both ways: rows are cut, at the edge of a block
        (Grid(0, 10980, 1, 1, 10980, 10980, (512, 512)), 2, [(0, 0, 5632, 10980), (5632, 0, 5348, 10980)]),
        # strips are cut by rows, even where the raster is wider than high
        (Grid(0, 100, 1, 1, 1000, 100, (1, 1000)), 2, [(0, 0, 50, 1000), (50, 0, 50, 1000)]),
        # one block: across the longer side
        (Grid(0, 10, 1, 1, 1000, 10, (10, 1000)), 2, [(0, 0, 10, 500), (0, 500, 10, 500)]),
        # the edge of a block that would cost more than 5 % is left alone
        (Grid(0, 1000, 1, 1, 100, 1000, (300, 100)), 2, [(0, 0, 500, 100), (500, 0, 500, 100)]),
        # an odd number: a third and two thirds
        (Grid(0, 900, 1, 1, 10, 900, (1, 10)), 3, [(0, 0, 300, 10), (300, 0, 300, 10), (600, 0, 300, 10)]),
    ],
)
def test_where_rasters_are_cut(grid, nodes, expected):
    tree = bisect_rasters([grid], nodes)
    assert [tuple(grid.window(cell)) for cell in cells(tree, EVERYWHERE)] == expected


def test_blocks_that_start_outside_the_grid():
    grid = Grid(0, 1000, 1, 1, 1000, 1000, (512, 1000), (24, 0))
    first, _ = [grid.window(cell) for cell in cells(bisect_rasters([grid], 2), EVERYWHERE)]
    assert first.height == 488


def test_two_rasters_side_by_side_are_balanced():
    one, two = Grid(0, 100, 1, 1, 100, 100, (1, 100)), Grid(500, 100, 2, 2, 50, 50, (1, 50))
    for nodes in (2, 3, 8, 17):
        tree = bisect_rasters([one, two], nodes)
        assert_partition([one, two], tree, nodes)
        loads = [one.window(c).pixels + two.window(c).pixels for c in cells(tree, EVERYWHERE)]
        assert max(loads) <= 1.35 * sum(loads) / nodes


sizes = st.integers(1, 12)
numbers = st.floats(-1e6, 1e6, allow_nan=False, width=32)
steps = st.floats(1 / 1024, 1000, allow_nan=False, width=32)


@st.composite
def grids(draw):
    block = draw(st.tuples(sizes, sizes))
    offset = draw(st.integers(0, block[0] - 1)), draw(st.integers(0, block[1] - 1))
    return Grid(draw(numbers), draw(numbers), draw(steps), draw(steps), draw(sizes), draw(sizes), block, offset)


@settings(max_examples=300, deadline=None)
@given(grids(), st.data())
def test_any_cut_of_a_grid_is_a_partition(grid, data):
    nodes = data.draw(st.integers(1, grid.pixels))
    assert_partition([grid], bisect_rasters([grid], nodes), nodes)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.builds(
            Grid,
            st.floats(-20, 20, width=32),
            st.floats(-20, 20, width=32),
            st.sampled_from([0.1, 0.3, 1.0, 2.5]),
            st.sampled_from([0.1, 0.3, 1.0, 2.5]),
            sizes,
            sizes,
        ),
        min_size=1,
        max_size=4,
    ),
    st.data(),
)
def test_any_cut_of_several_grids_is_a_partition(several, data):
    nodes = data.draw(st.integers(1, max(grid.pixels for grid in several)))
    tree = bisect_rasters(several, nodes)
    assert_partition(several, tree, nodes)
    assert tree == bisect_rasters(several, nodes)
