"""Bisection over points: any set of points, any number of nodes, a partition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ellipsis_local.partitions.balance_points import assign, bisect_points
from ellipsis_local.partitions.tree import cells, count_leaves, pad
from ellipsis_local.types import Extent


def root_of(xy):
    return pad(Extent(*xy.min(axis=0), *xy.max(axis=0)) if len(xy) else None)


def assert_partition(xy, nodes):
    root = root_of(xy)
    tree = bisect_points(xy, root, nodes)
    made = list(cells(tree, root))
    assert count_leaves(tree) == nodes == len(made)
    assert math.isclose(sum(c.width * c.height for c in made), root.width * root.height, rel_tol=1e-6)
    assert all(c.width > 0 and c.height > 0 for c in made)
    for i, one in enumerate(made):
        assert not any(one.intersects(other) for other in made[i + 1 :])
    owner = assign(xy, tree)
    assert owner.shape == (len(xy),)
    for (x, y), node in zip(xy, owner, strict=True):
        cell = made[node]
        assert cell.x_min <= x <= cell.x_max
        assert cell.y_min <= y <= cell.y_max
    return np.bincount(owner, minlength=nodes)


@pytest.mark.parametrize(
    ("xy", "nodes", "expected"),
    [
        # across the longer axis, west before east
        ([(0, 0), (1, 0.1), (2, 0.1), (3, 0)], 2, [2, 2]),
        # north before south: the one in the north is first
        ([(0, 0), (0, 5), (0, 1)], 3, [1, 1, 1]),
        # a third and two thirds
        ([(i, 0) for i in range(9)], 3, [3, 3, 3]),
        # identical points stay together, the other cells are empty
        ([(7, 7)] * 5, 4, None),
        # ties: the cut goes where the counts are nearest
        ([(0, 0), (0, 0.1), (0, 0.2), (1, 0)], 2, [3, 1]),
        # nothing at all, one point
        ([], 5, [0] * 5),
        ([(3, 4)], 3, None),
        # more cells than features
        ([(0, 0), (10, 10)], 16, None),
        # a horizontal and a vertical line
        ([(i, 5) for i in range(8)], 8, [1] * 8),
        ([(5, i) for i in range(8)], 8, [1] * 8),
    ],
)
def test_cuts(xy, nodes, expected):
    found = assert_partition(np.array(xy, float).reshape(-1, 2), nodes)
    assert found.sum() == len(xy)
    if expected is not None:
        assert list(found) == expected


@pytest.mark.parametrize("nodes", [1, 2, 3, 64, 1000])
@pytest.mark.parametrize("place", [(0.0, 0.0), (2e7, -2e7), (179.9, 85.0), (1e-12, 5.0)])
def test_one_place_in_many_cells(place, nodes):
    assert assert_partition(np.array([place] * 3), nodes).sum() == 3


def test_neighbouring_floats():
    x = [1.0]
    for _ in range(5):
        x.append(math.nextafter(x[-1], 2))
    xy = np.column_stack([x, np.arange(6.0)])
    for nodes in range(1, 12):
        assert_partition(xy, nodes)
        assert_partition(xy[:, ::-1].copy(), nodes)


def test_balance():
    xy = np.random.default_rng(0).normal(size=(10_000, 2))
    for nodes in (2, 7, 64):
        found = assert_partition(xy, nodes)
        assert found.max() - found.min() <= 6


def test_points_without_coordinates_are_somewhere():
    xy = np.array([(0, 0), (np.nan, np.nan), (5, 5), (9, 1)])
    tree = bisect_points(xy, Extent(0, 0, 9, 5), 3)
    assert set(assign(xy, tree)) <= {0, 1, 2}


coordinates = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 40), st.just(2)),
    elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-2e7, 2e7, allow_nan=False)),
)


@settings(max_examples=300, deadline=None)
@given(coordinates, st.integers(1, 40))
def test_any_cut_of_points_is_a_partition(xy, nodes):
    assert assert_partition(xy, nodes).sum() == len(xy)
