"""Cuts other than for balance: any of them is a partition, and the same on every machine."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellipsis_local.errors import ArgumentError, PartitionError
from ellipsis_local.partitions.balance_points import assign
from ellipsis_local.partitions.cut_patterns import lay_on_extent, lay_on_rasters, pattern_of
from ellipsis_local.partitions.request import CutRequest, VectorPlan, VectorSource
from ellipsis_local.partitions.tree import EVERYWHERE, cells, count_leaves
from ellipsis_local.raster.grid import Grid
from ellipsis_local.types import Extent

OTHERS = ("rows", "columns", "blocks", "medians", "random")


def grid(width, height, left=0.0, top=0.0, pixel=1.0):
    return Grid(left, top, pixel, pixel, width, height)


def windows(one, tree):
    return [one.window(cell) for cell in cells(tree, EVERYWHERE)]


@settings(max_examples=60, deadline=None)
@given(
    cut=st.sampled_from(OTHERS), nodes=st.integers(1, 17), seed=st.integers(0, 5),
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(-9, 9), st.integers(-9, 9)), min_size=1,
                   max_size=3),
)  # fmt: skip
def test_every_pixel_is_in_one_cell_and_every_cell_has_a_pixel(cut, nodes, seed, sizes) -> None:
    grids = [grid(width, height, left, top, 1 + 0.5 * i) for i, (width, height, left, top) in enumerate(sizes)]
    if nodes > max(one.pixels for one in grids):
        with pytest.raises(ArgumentError, match="use at most"):
            lay_on_rasters(pattern_of(cut, nodes, seed), grids)
        return
    tree = lay_on_rasters(pattern_of(cut, nodes, seed), grids)
    assert count_leaves(tree) == nodes
    held = np.zeros(nodes, int)
    for one in grids:
        seen = np.zeros((one.height, one.width), int)
        for node, window in enumerate(windows(one, tree)):
            seen[window.row : window.row + window.height, window.col : window.col + window.width] += 1
            held[node] += window.pixels
        assert (seen == 1).all()
    assert held.min() > 0


@settings(max_examples=60, deadline=None)
@given(
    cut=st.sampled_from(OTHERS), nodes=st.integers(1, 17), seed=st.integers(0, 5),
    points=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=20),
)  # fmt: skip
def test_every_point_is_in_one_cell(cut, nodes, seed, points) -> None:
    root = reduce(Extent.union, [Extent(x, y, x, y) for x, y in points], Extent(-1, -1, 1, 1))
    tree = lay_on_extent(pattern_of(cut, nodes, seed), root)
    made = list(cells(tree, root))
    assert len(made) == nodes
    assert math.isclose(sum(cell.width * cell.height for cell in made), root.width * root.height)
    for (x, y), node in zip(points, assign(np.array(points, float).reshape(-1, 2), tree), strict=True):
        assert made[node].x_min <= x <= made[node].x_max
        assert made[node].y_min <= y <= made[node].y_max


@pytest.mark.parametrize(
    ("cut", "nodes", "expected"),
    [
        ("rows", 3, [(0, 0, 3, 8), (3, 0, 3, 8), (6, 0, 3, 8)]),
        ("columns", 2, [(0, 0, 9, 4), (0, 4, 9, 4)]),
        ("blocks", 4, [(0, 0, 5, 4), (0, 4, 5, 4), (5, 0, 4, 4), (5, 4, 4, 4)]),
        ("blocks", 3, [(0, 0, 5, 8), (5, 0, 4, 4), (5, 4, 4, 4)]),
        ("medians", 4, [(0, 0, 5, 4), (5, 0, 4, 4), (0, 4, 5, 4), (5, 4, 4, 4)]),
        # What the generator gives for this seed, on every machine and version.
        ("random", 4, [(0, 0, 7, 8), (7, 0, 1, 6), (8, 0, 1, 6), (7, 6, 2, 2)]),
    ],
)
def test_where_a_raster_is_cut(cut, nodes, expected) -> None:
    tree = lay_on_rasters(pattern_of(cut, nodes, 2), [grid(8, 9)])
    assert [tuple(window) for window in windows(grid(8, 9), tree)] == expected


def test_a_raster_of_too_few_rows_is_cut_across() -> None:
    one = grid(10, 2)
    assert [window.height for window in windows(one, lay_on_rasters(pattern_of("rows", 2), [one]))] == [1, 1]
    assert sum(window.pixels for window in windows(one, lay_on_rasters(pattern_of("rows", 20), [one]))) == 20


def test_nearly_as_many_nodes_as_pixels() -> None:
    one = grid(5, 4)
    for seed in range(100):
        made = windows(one, lay_on_rasters(pattern_of("random", 17, seed), [one]))
        assert min(window.pixels for window in made) >= 1
        assert sum(window.pixels for window in made) == 20


def test_too_thin_for_so_many_cells() -> None:
    with pytest.raises(PartitionError, match="too close together"):
        lay_on_extent(pattern_of("columns", 2), Extent(1.0, 0.0, math.nextafter(1.0, 2), 1.0))


def request(**changed):
    source = VectorSource("/a", "content", "EPSG:3857", "parquet", None, "geometry")
    plain = CutRequest("EPSG:3857", 2, "once", 0.0, (VectorPlan("id", "EPSG:3857", (source,)),), None)
    return dataclasses.replace(plain, **changed)


def test_requests_tell_cuts_apart_only_where_they_decide() -> None:
    keys = {request(cut=cut).key for cut in ("balanced", *OTHERS)}
    assert len(keys) == 6
    assert request(cut="random", seed=1).key != request(cut="random").key
    assert request(cut="rows", seed=1).key == request(cut="rows").key
    settled = {"tree": ("x", 1.0, None, None)}
    assert request(cut="rows", **settled).key == request(**settled).key
    assert request(cut="rows", nodes=1).key == request(nodes=1).key


def test_a_request_comes_back_from_json() -> None:
    assert CutRequest.from_json(json.loads(json.dumps(request().to_json()))) == request()
    assert CutRequest.from_json(json.loads(json.dumps(request(cut="random", seed=3).to_json()))).seed == 3


def test_requests_of_the_first_release_open_and_are_cut_anew():
    """What 0.1.0 kept of a vector knows no extent and no rule; its key is another one, so no old cut is taken."""
    source = {"location": "/a.gpkg", "content": "c", "crs": "EPSG:3857", "format": "ogr", "layer": "a"}
    layer = {"id": "i", "crs": "EPSG:3857", "sources": [source | {"geometry_column": "geometry"}], "type": "vector"}
    data = {"format": 1, "crs": "EPSG:3857", "nodes": 2, "features": "once", "overlap": 0.0, "layers": [layer]}
    found = CutRequest.from_json(data | {"tree": None, "cut": "balanced", "seed": 0})
    (plan,) = found.vectors
    assert plan.rule == 2 and plan.sources[0].extent is None and plan.sources[0].without_geometry is None
    assert CutRequest.from_json(json.loads(json.dumps(found.to_json()))) == found
    with_extent = dataclasses.replace(plan.sources[0], extent=Extent(0, 1, 2, 3), without_geometry=0)
    other = dataclasses.replace(found, layers=(dataclasses.replace(plan, sources=(with_extent,)),))
    assert CutRequest.from_json(json.loads(json.dumps(other.to_json()))) == other
