"""Reduced values of any kind, compared: numbers, arrays, rasters, frames, and nestings of them."""

from __future__ import annotations

import io
import math

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

import ellipsis_local
from ellipsis_local import testing
from ellipsis_local.errors import ArgumentError
from ellipsis_local.testing.rasters import RasterDifference
from ellipsis_local.testing.seams import Line, lines_of, near, owners
from ellipsis_local.testing.values import compare, joined
from ellipsis_local.types import Extent


def told(actual, expected, rtol=1e-6, atol=0.0) -> list[str]:
    return [line for finding in compare(actual, expected, rtol, atol) for line in finding.lines]


def tile(left, values):
    return {"raster": np.asarray(values, "uint8"), "transform": Affine(1, 0, left, 0, -1, 0), "crs": "EPSG:3857"}


def points(*numbers):
    return gpd.GeoDataFrame({"id": numbers}, geometry=[shapely.Point(i, 0) for i in numbers], crs="EPSG:3857")


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (1.0 + 1e-9, 1.0), (5, 5.0), (np.float32(0.5), 0.5), (math.nan, math.nan), (None, None), ("a", "a"),
        ({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2.0 + 1e-9}]}), ((1, 2), [1, 2]), ({1, 2}, {2, 1}),
        (np.arange(3), np.arange(3.0)), (np.array([np.nan, 1]), np.array([np.nan, 1])), (b"x", b"x"), (True, True),
        (shapely.box(0, 0, 1, 1), shapely.box(0, 0, 1, 1, ccw=False)), (points(1, 2), points(2, 1)),
        (tile(0, [[1, 2]]), tile(0, [[1, 2]])), ([tile(0, [[1]]), tile(1, [[2]])], [tile(0, [[1, 2]])]),
        ([points(1), points(2)], [points(2, 1)]), ([tile(0, [[1]]), tile(0, [[2]])], [tile(0, [[1]]), tile(0, [[2]])]),
        (1 + 2j, 1 + 2j), (np.datetime64("2024-01-01"), np.datetime64("2024-01-01")), ([], []), (io.BytesIO(b"a"), b"a"),
    ],
)  # fmt: skip
def test_equal(actual, expected) -> None:
    assert told(actual, expected) == []


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (1.1, 1.0, "value: 1.1, with one node 1.0 (+0.1, +10.000%)"),
        (10**18 + 1, 10**18, "value: 1000000000000000001, with one node 1000000000000000000 ("),
        (1, True, "value: 1, with one node True"),
        (None, 3, "value: None, with one node 3"),
        (math.nan, 1.0, "value: nan, with one node 1.0"),
        ({"a": 1}, {"a": 2, "b": 3}, "value['a']: 1, with one node 2 (-1, -50.000%)"),
        ({"a": 1}, {"a": 1, "b": 3}, "value['b']: is missing; one node gives 3"),
        ({"a": 1, 2: 3}, {"a": 1}, "value[2]: is not in the value of one node"),
        ([1, 2], [1], "value: 2 entries, with one node 1"),
        ([1, 2], [1, 3], "value[1]: 2, with one node 3"),
        (np.arange(3), np.array([0, 5, 2]), "1 of 3 numbers differ, the first at [1]: 1, with one node 5"),
        (np.arange(3), np.arange(4), "an array of shape (3,), with one node (4,)"),
        (shapely.Point(0, 0), shapely.Point(0, 1), "value: <POINT (0 0)>, with one node <POINT (0 1)>"),
        (points(1), 5, "value: a frame of 1 rows, with one node 5"),
        (5, tile(0, [[1]]), "value: 5, with one node a raster (1, 1, 1)"),
        (points(1, 2), points(1), "  only in actual: 1 row"),
        (tile(0, [[1, 2]]), tile(0, [[1, 3]]), "    band 1, row 0, column 1 (x 1.5, y -0.5): 2, expected 3"),
        ([tile(0, [[1]]), tile(1, [[3]])], [tile(0, [[1, 2]])], "    band 1, row 0, column 1 (x 1.5, y -0.5): 3, expected 2"),
        ([tile(0, [[1]]), tile(1.5, [[3]])], [tile(0, [[1, 2]])], "value: what node 1 returns lies on another grid than"),
    ],
)  # fmt: skip
def test_different(actual, expected, words) -> None:
    lines = told(actual, expected)
    assert any(words in line for line in lines), lines


def test_what_cannot_be_joined() -> None:
    with pytest.raises(ArgumentError, match=r"reduce is needed: .* \(float, int\)"):
        joined([1, 2.0])
    assert len(joined([points(1), points(), points(2)])) == 2


def test_public_names() -> None:
    assert dir(testing) == sorted(testing.__all__) == list(testing.__all__)
    assert all(getattr(testing, name).__doc__ for name in testing.__all__)
    assert testing is ellipsis_local.testing
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        testing.nothing  # noqa: B018 - that it raises is the point


def test_lines_between_partitions() -> None:
    cells = [Extent(0, 0, 2, 4), Extent(2, 2, 6, 4), Extent(2, 0, 6, 2)]
    assert lines_of(cells) == [Line("x", 2, 0, 4), Line("y", 2, 2, 6)]
    assert str(Line("x", 2, 0, 4)) == "x = 2 (y from 0 to 4)"
    assert lines_of(cells[:1]) == []
    # Two stretches of one line, apart from each other.
    apart = [Extent(0, 0, 1, 1), Extent(1, 0, 2, 1), Extent(0, 5, 1, 6), Extent(1, 5, 2, 6)]
    assert lines_of(apart) == [Line("x", 1, 0, 1), Line("x", 1, 5, 6)]


def test_how_far_pixels_are_from_the_lines() -> None:
    pixels = np.zeros((10, 10), bool)
    pixels[:, 2], pixels[7, 5] = True, True
    difference = RasterDifference((), pixels, Affine(10, 0, 0, 0, -10, 100), Extent(20, 0, 60, 100))
    lines = [Line("x", 30, 0, 100), Line("x", 70, 0, 100), Line("y", 10, 30, 100)]
    assert near(difference, lines) == (lines[:2], 2.0)
    assert near(difference, lines[:1]) == (lines[:1], 3.0)
    assert near(difference, []) is None
    cells = [Extent(0, 0, 30, 100), Extent(30, 0, 100, 100)]
    assert owners(difference, cells) == {0: 10, 1: 1}
