"""The cut `shards`: overlapping windows of the tiles' grid, as the service has them, and what functions see of them."""

from __future__ import annotations

import itertools
import sys

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from ellipsis_local.crs import WORLD
from ellipsis_local.errors import ArgumentError, PartitionError, SettingsError
from ellipsis_local.partitions import Shards
from ellipsis_local.raster.zoom import pixel_size

from .imagery_tools import opened
from .test_partitions_factory import frame, make_partitions, pixels, raster_layer, timestamp, vector_layer, write_raster

ZOOM = 12
PIXEL = pixel_size(ZOOM)


def on_tiles(row, col, scale=1):
    """The transform of a raster whose first pixel is one of the tiles of the zoom."""
    return PIXEL * scale, 0.0, col * PIXEL - WORLD / 2, 0.0, -PIXEL * scale, WORLD / 2 - row * PIXEL


def place_of(part):
    """First row and column among all pixels of the part's zoom."""
    size = part.transform[0]
    return round((WORLD / 2 - part.transform[5]) / size), round((part.transform[2] + WORLD / 2) / size)


def joined(parts, buffer):
    """The raster from the cores of its shards: array, first row, first column. Each pixel comes once."""
    arrays = {place_of(part): pixels(part) for part in parts}
    cores = {
        (row + buffer, col + buffer): array[:, buffer : array.shape[1] - buffer, buffer : array.shape[2] - buffer]
        for (row, col), array in arrays.items()
    }
    top, left = min(row for row, _ in cores), min(col for _, col in cores)
    bottom = max(row + core.shape[1] for (row, _), core in cores.items())
    right = max(col + core.shape[2] for (_, col), core in cores.items())
    bands, dtype = parts[0].shape[0], parts[0].dtype
    whole, count = np.zeros((bands, bottom - top, right - left), dtype), np.zeros((bottom - top, right - left), "uint8")
    for (row, col), core in cores.items():
        at = np.s_[row - top : row - top + core.shape[1], col - left : col - left + core.shape[2]]
        whole[:, *at], count[at] = core, count[at] + 1
    assert count.max() == 1
    return whole, top, left


def cut(partitions, layers, nodes, size, buffer, edge="full"):
    return partitions.ensure(partitions.plan(layers, nodes, cut="shards", shards=Shards(size, buffer, edge)))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_shards_without_their_buffer_are_the_raster(tmp_path_factory, data) -> None:
    size = data.draw(st.integers(64, 400), "size")
    buffer = data.draw(st.integers(0, min(32, (size - 1) // 2)), "buffer")
    height, width = data.draw(st.integers(1, 300), "height"), data.draw(st.integers(1, 300), "width")
    row, col = data.draw(st.integers(0, 2**20 - 300), "row"), data.draw(st.integers(-50, 2**20), "col")
    nodata = data.draw(st.sampled_from([None, 7]), "nodata")
    array = np.random.default_rng(1).integers(1, 60_000, (2, height, width), "uint16")
    folder = tmp_path_factory.mktemp("shards")
    layer = raster_layer(folder / "a.tif", array, on_tiles(row, col), nodata=nodata)

    made = cut(make_partitions(folder, here="all"), [layer], 2, size, buffer)

    whole, top, left = joined([parts[0] for parts in made.parts], buffer)
    expected = np.full_like(whole, nodata or 0)
    expected[:, row - top : row - top + height, col - left : col - left + width] = array
    assert np.array_equal(whole, expected)
    assert all(parts[0].shape == (2, size, size) for parts in made.parts)
    # Neighbours hold the same in what both have.
    for parts in made.parts:
        (row, col), values = place_of(parts[0]), pixels(parts[0])
        rows, cols = slice(max(row, top) - top, row - top + size), slice(max(col, left) - left, col - left + size)
        here = whole[:, rows, cols]
        begin = max(top - row, 0), max(left - col, 0)
        assert np.array_equal(values[:, begin[0] : begin[0] + here.shape[1], begin[1] : begin[1] + here.shape[2]], here)


def test_of_the_service_s_size(tmp_path) -> None:
    """4096 pixels: with a buffer, and without one as blocks of 16 × 16 tiles."""
    array = np.random.default_rng(2).integers(1, 255, (1, 700, 900), "uint8")
    partitions = make_partitions(tmp_path)
    layer = raster_layer(tmp_path / "a.tif", array, on_tiles(4096 * 9 - 350, 4096 * 7 - 450))
    for buffer in (0, 32):
        made = cut(partitions, [layer], 2, 4096, buffer)
        whole, top, left = joined([parts[0] for parts in made.parts], buffer)
        row, col = 4096 * 9 - 350 - top, 4096 * 7 - 450 - left
        assert np.array_equal(whole[:, row : row + 700, col : col + 900], array)
        assert np.count_nonzero(whole) == array.size
        assert {parts[0].shape for parts in made.parts} == {(1, 4096, 4096)}
        if not buffer:
            assert [place_of(parts[0]) for parts in made.parts] == [
                (4096 * row, 4096 * col) for row in (8, 9) for col in (6, 7)
            ]


def test_pixels_are_those_of_the_tiles(tmp_path, imagery) -> None:
    """A raster of another CRS and size of pixels comes onto its zoom as tiles show it."""
    array = np.random.default_rng(3).integers(1, 255, (1, 150, 200), "uint8")
    layer = raster_layer(tmp_path / "a.tif", array, (0.001, 0, 5.0, 0, -0.001, 52.0), "EPSG:4326")
    made = cut(make_partitions(tmp_path, here="all"), [layer], 1, 512, 0)
    zoom = imagery.zoom(layer)
    for parts in made.parts:
        row, col = (index // 256 for index in place_of(parts[0]))
        for down in (0, 1):
            for right in (0, 1):
                tile = imagery.tile(layer, zoom, col + right, row + down)
                shown = np.zeros((1, 256, 256), "uint8") if tile is None else opened(tile)[:1]
                found = pixels(parts[0])[:, down * 256 : down * 256 + 256, right * 256 : right * 256 + 256]
                assert np.array_equal(found, shown)


def test_rasters_of_one_call_share_the_extents_to_the_last_bit(tmp_path) -> None:
    layers = [
        timestamp(
            write_raster(tmp_path / f"{scale}.tif", np.ones((1, 40, 40), "uint8"), on_tiles(scale * 9, 80, scale))
        )
        for scale in (1, 4, 64)
    ]
    made = cut(make_partitions(tmp_path, here="all"), layers, 2, 256, 8)
    for parts in made.parts:
        assert len({tuple(part.extent.values()) for part in parts}) == 1
        # Of the coarsest no whole pixels would fit: 8 = 256 / 32 is the least that the buffer allows.
        assert [part.shape for part in parts] == [(1, 256, 256), (1, 64, 64), (1, 32, 32)]
        assert all(part.transform[0] * part.shape[2] == pytest.approx(256 * PIXEL) for part in parts)


def test_cropped_ones_end_with_the_rasters(tmp_path) -> None:
    array = np.random.default_rng(4).integers(1, 255, (1, 130, 170), "uint8")
    layer = raster_layer(tmp_path / "a.tif", array, on_tiles(900, 700))
    made = cut(make_partitions(tmp_path, here="all"), [layer], 1, 128, 16, "cropped")
    shapes = {part.shape[1:] for (part,) in made.parts}
    assert (128, 128) not in shapes
    assert all(0 < side <= 128 for shape in shapes for side in shape)
    whole = np.zeros_like(array)
    for (part,) in made.parts:
        row, col = place_of(part)
        values = pixels(part)
        whole[:, row - 900 : row - 900 + values.shape[1], col - 700 : col - 700 + values.shape[2]] = values
    assert np.array_equal(whole, array)


def squares(count, step, size=5.0):
    xs = [40 * PIXEL + number * step * PIXEL for number in range(count)]
    return [shapely.box(x, -x, x + size * PIXEL, -x + size * PIXEL) for x in xs]


def test_features_come_whole_to_every_shard_that_they_touch_with_the_columns_that_occur(tmp_path) -> None:
    features = gpd.GeoDataFrame(
        {"id": range(20), "count": [1, None] * 10, "rare": [None] * 19 + ["x"], "flag": [True] * 20},
        geometry=squares(20, 31), crs="EPSG:3857",
    ).astype({"count": "Int64"})  # fmt: skip
    raster = raster_layer(tmp_path / "a.tif", np.ones((1, 600, 600), "uint8"), on_tiles(2**19, 2**19))
    layer = vector_layer(tmp_path / "v.gpkg", features)
    made = cut(make_partitions(tmp_path, here="all"), [raster, layer], 3, 128, 16)
    seen: dict[int, int] = {}
    for (_, part), core in zip(made.parts, made.extents, strict=True):
        found = frame(part)
        box = shapely.box(*core.buffer(16 * PIXEL))
        expected = features[features.intersects(box)]
        for number in expected["id"]:
            seen[number] = seen.get(number, 0) + 1
        occurring = {name for name in ("id", "count", "flag", "rare") if expected[name].notna().any()}
        assert set(found.columns) == {"geometry", *occurring}
        if len(expected):
            assert list(found["id"]) == list(expected["id"])
            assert found.geometry.area.tolist() == pytest.approx(expected.geometry.area.tolist())
        if "count" in occurring:
            assert found["count"].dtype == ("int64" if expected["count"].notna().all() else "float64")
    assert set(seen) == set(range(20))
    assert max(seen.values()) > 1


def test_features_alone_make_as_many_shards_as_there_are_nodes(tmp_path) -> None:
    partitions = make_partitions(tmp_path, here="all")
    spread = vector_layer(tmp_path / "a.gpkg", gpd.GeoDataFrame({"id": range(30)}, geometry=squares(30, 400), crs=3857))
    for nodes in (1, 2, 7):
        made = cut(partitions, [spread], nodes, 256, 0)
        assert nodes <= len(made.parts) <= 4 * nodes + 3
        assert {number for (part,) in made.parts for number in frame(part)["id"]} == set(range(30))
    # A road whose rectangle holds many more shards than it touches.
    road = shapely.LineString([(0, 0), (7e6, -7e6)])
    across = vector_layer(tmp_path / "r.gpkg", gpd.GeoDataFrame({"id": [1]}, geometry=[road], crs=3857))
    assert 300 <= len(cut(partitions, [across], 300, 256, 0).parts) <= 1300
    alone = vector_layer(tmp_path / "b.gpkg", gpd.GeoDataFrame({"id": [1]}, geometry=[shapely.Point(5, 5)], crs=3857))
    assert [part.rows for (part,) in cut(partitions, [alone], 7, 256, 0).parts] == [1]
    nothing = vector_layer(tmp_path / "c.parquet", gpd.GeoDataFrame({"id": []}, geometry=[], crs=3857))
    assert [part.rows for (part,) in cut(partitions, [nothing], 7, 256, 0).parts] == [0]


def test_features_beyond_the_rasters_have_shards_too(tmp_path) -> None:
    raster = raster_layer(tmp_path / "a.tif", np.ones((1, 50, 50), "uint8"), on_tiles(2**19 - 50, 2**19))
    far = gpd.GeoDataFrame({"id": [0, 1]}, geometry=[shapely.Point(9, 9), shapely.Point(900 * PIXEL, 9)], crs=3857)
    made = cut(make_partitions(tmp_path, here="all"), [raster, vector_layer(tmp_path / "v.gpkg", far)], 2, 128, 4)
    found = [(pixels(a).any(), b.rows) for a, b in made.parts]
    assert (True, 1) in found
    assert (False, 1) in found


def test_beyond_the_edge_of_web_mercator_there_is_none(tmp_path) -> None:
    layer = raster_layer(tmp_path / "a.tif", np.ones((1, 1, 1), "uint8"), on_tiles(2**20, 0))
    with pytest.raises(PartitionError, match="hold no pixel inside of Web Mercator"):
        cut(make_partitions(tmp_path), [layer], 1, 64, 0)


def test_too_many_say_what_to_raise(tmp_path) -> None:
    layer = raster_layer(tmp_path / "a.tif", np.ones((1, 2000, 2000), "uint8"), on_tiles(0, 0))
    with pytest.raises(PartitionError, match="shard_size=8 makes more than 10,000 shards .* raise shard_size"):
        cut(make_partitions(tmp_path), [layer], 1, 8, 0)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"shard_buffer": 2048}, "shard_buffer must be less than half of shard_size=4096"),
        ({"shard_size": 0}, "shard_size must be at least 1"),
        ({"shard_edge": "round"}, "shard_edge must be one of full, cropped"),
        ({"overlap": 3}, "overlap=3.0 does not go with cut='shards'"),
        ({"crs": "native"}, "crs='native' does not go with cut='shards'"),
        ({"features": "intersecting"}, "features='intersecting' does not go with cut='shards'"),
    ],
)
def test_settings_that_do_not_go_together(el, wrong, text) -> None:
    with pytest.raises(SettingsError, match=text):
        el.configure(cut="shards", **wrong)
    with pytest.raises(SettingsError, match="cut='rows' is not how strict='service' cuts"):
        el.configure(cut="rows", strict="service")
    with pytest.raises(ArgumentError, match="shard_buffer must leave a core"):
        Shards(10, 5)


def total(params):
    (part,) = params.values()
    return float(part["raster"].sum())


@pytest.fixture
def compute(el, token):
    """Two nodes on a raster that lies in six shards, and what it adds up to."""

    def create(**given):
        el.configure(**({"inline": True, "shard_size": 64, "shard_buffer": 8} | given))
        array = np.ones((100, 130), "uint8")
        layer = el.layers.add({"raster": array, "transform": Affine(*on_tiles(480, 480)), "crs": "EPSG:3857"})
        made = el.compute.createCompute([layer], token, nodes=2, interpreter=f"python3.{sys.version_info[1]}")
        return made["id"], layer

    return create


@pytest.mark.parametrize("inline", [True, False])
def test_the_function_runs_once_per_shard_and_a_node_s_one_after_the_other(el, token, compute, inline) -> None:
    compute_id, _ = compute(cut="shards", inline=inline, seed=3, cores=2)

    def f(params):
        import os
        import random
        import time

        begun = time.monotonic()
        time.sleep(0.002)
        (part,) = params.values()
        return os.getpid(), begun, time.monotonic(), part["extent"]["xMin"], part["extent"]["yMax"], random.random()

    results = el.compute.execute(compute_id, f, token)
    info = el.compute.getComputeInfo(compute_id, token)
    nodes = [one["node"] for one in info["nodes"]]
    assert len(results) == len(nodes) > 2
    assert nodes == sorted(nodes)
    assert set(nodes) == {0, 1}
    assert [one["shard"] for one in info["nodes"]] == list(range(len(nodes)))
    # Row after row, from the north-west.
    assert [(-top, left) for _, _, _, left, top, _ in results] == sorted((-y, x) for _, _, _, x, y, _ in results)
    for node in (0, 1):
        runs = [result for result, one in zip(results, nodes, strict=True) if one == node]
        assert len({pid for pid, *_ in runs}) == 1
        assert all(before[2] <= after[1] for before, after in itertools.pairwise(runs))
    assert len({draw for *_, draw in results}) == len(results)


def test_what_a_buffer_counts_twice_shows(el, token, compute) -> None:
    exact, _ = compute(cut="balanced")
    assert sum(el.compute.execute(exact, total, token)) == 13_000
    shards, _ = compute(cut="shards")
    assert sum(el.compute.execute(shards, total, token)) > 13_000
    # The very same with all that is the service's.
    strict, _ = compute(cut="balanced", strict="service")
    assert sum(el.compute.execute(strict, total, token)) > 13_000


def test_a_shard_that_fails_is_named_and_runs_again(el, token, compute) -> None:
    compute_id, _ = compute(cut="shards")

    def f(params):
        (part,) = params.values()
        if not part["raster"][:, :, -20:].any():
            raise KeyError("nothing in the east")
        return 1

    with pytest.raises(el.NodeError, match=rf"shard \d+ of compute {compute_id} failed") as caught:
        el.compute.execute(compute_id, f, token)
    info = el.compute.getComputeInfo(compute_id, token)
    failed = [one for one in info["result"] if one["type"] == "exception"]
    assert 0 < len(failed) < len(info["result"])
    assert info["message"].startswith(f"{len(failed)} of {len(info['nodes'])} shards failed: {failed[0]['shard']}, ")
    assert caught.value.node == failed[0]["shard"]
    with pytest.raises(el.NodeError, match="nothing in the east"):
        el.testing.replay(compute_id, failed[-1]["shard"], f=f)
    with pytest.raises(ArgumentError, match=f"has the shards 0 to {len(info['nodes']) - 1}, and no shard 99"):
        el.testing.replay(compute_id, 99, f=f)


def test_a_node_holds_one_of_its_shards_at_a_time(el, token) -> None:
    el.configure(cut="shards", shard_size=512, shard_buffer=0, cores=1)
    size = 2_000_000
    features = gpd.GeoDataFrame(
        {"text": [chr(65 + number) * size for number in range(40)]},
        geometry=[shapely.Point(*at) for at in ((512 * (n + 0.5) * PIXEL, 5 * PIXEL) for n in range(40))],
        crs="EPSG:3857",
    )  # fmt: skip
    raster = {
        "raster": np.zeros((2, 20_000), "uint8"), "transform": Affine(PIXEL, 0, 0, 0, -PIXEL, PIXEL), "crs": "EPSG:3857"
    }  # fmt: skip
    layers = [el.layers.add(raster), el.layers.add(features)]
    made = el.compute.createCompute(layers, token, nodes=1, interpreter=f"python3.{sys.version_info[1]}")

    def f(params):
        return sum(len(part["text"][0]) for part in params.values() if not isinstance(part, dict) and len(part))

    results = el.compute.execute(made["id"], f, token)
    assert sum(results) == 40 * size
    peaks = [one["peakMemory"] for one in el.compute.getComputeInfo(made["id"], token)["nodes"]]
    assert len(peaks) >= 40
    assert max(peaks[5:]) - min(peaks[5:]) < 10 * size
