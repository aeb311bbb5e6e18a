"""Rasters cut into files: exact windows, warped pixels that do not depend on the cut, mosaics, edges of the world."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp, Resampling

from ellipsis_local.errors import ArgumentError, PartitionError

from .test_partitions_factory import (
    assemble,
    assert_tiles,
    describe_raster,
    make_partitions,
    pixels,
    raster_layer,
    timestamp,
    write_raster,
)

NODES = (1, 2, 5, 16)
NORTH_UP = (10.0, 0.0, 1000.0, 0.0, -10.0, 5000.0)


@pytest.fixture
def partitions(tmp_path):
    """Small layers are cut in this process, by the functions that helper processes run; see test_partitions_cache."""
    return make_partitions(tmp_path, here="all")


def noise(*shape, dtype="uint16", seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def cut(partitions, layer, nodes, **options):
    """The whole layer, put together from its parts, each pixel once."""
    result = partitions.ensure(partitions.plan([layer], nodes, **options))
    assert len(result.extents) == len(result.parts) == nodes
    assert_tiles(result.extents)
    whole, counts, transform = assemble(result)
    assert (counts == 1).all()
    return whole, transform, result


def same(one, other):
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")


@pytest.mark.parametrize("nodes", [1, 2, 3, 7, 64])
@pytest.mark.parametrize(
    "profile", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 32, "interleave": "pixel"}, {"compress": "deflate"}]
)
def test_exact_windows(partitions, tmp_path, nodes, profile):
    array = noise(3, 75, 91)
    layer = raster_layer(tmp_path / "a.tif", array, (10, 0, 1000.5, 0, -2.5, 5000), **profile)
    whole, transform, result = cut(partitions, layer, nodes)
    assert same(whole, array)
    assert np.allclose(transform, (10, 0, 1000.5, 0, -2.5, 5000))
    assert result.crs == "EPSG:3857"
    assert result.warnings == ()
    assert {part.id for node in result.parts for part in node} == {layer.id}


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "complex64",
     "complex128"],
)  # fmt: skip
@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32631"])
def test_dtypes_keep_their_values(partitions, tmp_path, dtype, crs):
    array = noise(2, 40, 50, dtype=dtype)
    layer = raster_layer(tmp_path / "a.tif", array, (100, 0, 500000, 0, -100, 5000000), crs)
    whole, _, result = cut(partitions, layer, 3)
    assert result.parts[0][0].dtype == np.dtype(dtype).str
    if crs == "EPSG:3857":
        assert same(whole, array)
    else:
        for band in range(2):
            assert set(whole[band].ravel()) <= set(array[band].ravel()) | {0}
            assert len(set(whole[band].ravel()) & set(array[band].ravel())) > 0.5 * len(set(array[band].ravel()))


@pytest.mark.parametrize(
    ("transform", "turn"),
    [
        ((10, 0, 1000, 0, 10, 5000), lambda a: a[:, ::-1]),
        ((-10, 0, 1000, 0, -10, 5000), lambda a: a[:, :, ::-1]),
        ((-10, 0, 1000, 0, 10, 5000), lambda a: a[:, ::-1, ::-1]),
    ],
)
def test_turned_rasters_flip_exactly(partitions, tmp_path, transform, turn):
    array = noise(2, 70, 45)
    layer = raster_layer(tmp_path / "a.tif", array, transform, tiled=True, blockxsize=16, blockysize=16)
    for nodes in (1, 6):
        whole, found, _ = cut(partitions, layer, nodes)
        assert same(whole, turn(array))
        assert found[0] > 0
        assert found[4] < 0


def rotated(degrees, scale=30.0):
    cos, sin = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return cos, sin, 500000.0, sin, -cos, 5000000.0


WARPED = {
    "utm": ("EPSG:32631", (30, 0, 400000, 0, -30, 5600000)),
    "degrees": ("EPSG:4326", (0.001, 0, 5, 0, -0.0012, 52)),
    "south-up degrees": ("EPSG:4326", (0.001, 0, 5, 0, 0.0012, 51)),
    "rotated": ("EPSG:3857", rotated(25)),
    "rotated utm": ("EPSG:32631", rotated(-40)),
    "polar, with the pole": ("EPSG:3413", (9000, 0, -3e6, 0, -9000, 3e6)),
}


@pytest.mark.parametrize("name", WARPED)
def test_warped_pixels_do_not_depend_on_the_cut(partitions, tmp_path, name):
    crs, transform = WARPED[name]
    array = noise(2, 620, 640, dtype="int16")
    layer = raster_layer(tmp_path / "a.tif", array, transform, crs)
    first = None
    for nodes in NODES:
        whole, grid, _ = cut(partitions, layer, nodes)
        first = whole if first is None else first
        assert same(whole, first)
        assert grid[0] > 0 > grid[4]
    assert set(first.ravel()) <= set(array.ravel()) | {0}


def test_warped_is_nearest(partitions, tmp_path):
    """Every warped pixel has the value of the source pixel that holds its centre, give or take a quarter pixel."""
    rows, cols = np.mgrid[:300, :400]
    array = np.stack([rows, cols]).astype("int16")
    layer = raster_layer(tmp_path / "a.tif", array, (30, 0, 400000, 0, -30, 5600000), "EPSG:32631")
    whole, (a, _, left, _, e, top), _ = cut(partitions, layer, 5)
    r, c = np.mgrid[20:280:7, 20:380:7]
    xs, ys = rasterio.warp.transform(
        "EPSG:3857", "EPSG:32631", (left + (c.ravel() + 0.5) * a).tolist(), (top + (r.ravel() + 0.5) * e).tolist()
    )
    row, col = (5600000 - np.array(ys)) / 30 - 0.5, (np.array(xs) - 400000) / 30 - 0.5
    inside = (row > 0) & (row < 299) & (col > 0) & (col < 399)
    assert inside.sum() > 1000
    found = whole[:, r.ravel(), c.ravel()]
    assert np.abs(found[0] - row)[inside].max() < 0.75
    assert np.abs(found[1] - col)[inside].max() < 0.75


@pytest.mark.parametrize("nodata", [None, 0, 7, 255])
def test_warping_leaves_classes_alone(partitions, tmp_path, nodata):
    """No class appears or loses its number, not even nodata, zero, or what lies beside them."""
    array = noise(1, 300, 300, dtype="uint8") % 9
    array[0, :20, :20] = 255
    layer = raster_layer(tmp_path / "a.tif", array, (0.001, 0, 5, 0, -0.001, 0.15), "EPSG:4326", nodata=nodata)
    whole, _, result = cut(partitions, layer, 4)
    fill = nodata or 0
    assert set(whole.ravel()) <= set(array.ravel()) | {fill}
    assert result.parts[0][0].nodata == nodata
    # at the equator, the pixels stay square and nearly one to one
    before, after = np.bincount(array.ravel(), minlength=256), np.bincount(whole.ravel(), minlength=256)
    assert abs(after[3] / whole.size - before[3] / array.size) < 0.01


def test_overviews_are_not_read(partitions, tmp_path):
    array = noise(1, 1200, 1200, dtype="uint8") % 2 * 200
    big, small = tmp_path / "big.tif", tmp_path / "small.tif"
    write_raster(small, array[:, ::8, ::8], (240, 0, 400000, 0, -240, 5600000), "EPSG:32631")
    write_raster(big, array, (30, 0, 400000, 0, -30, 5600000), "EPSG:32631", tiled=True, blockxsize=128, blockysize=128)
    with rasterio.open(big, "r+") as dst:
        dst.build_overviews([2, 4, 8], Resampling.average)
    whole, _, _ = cut(partitions, timestamp(describe_raster(small), describe_raster(big)), 3)
    assert set(whole.ravel()) == {0, 200}


def test_alpha_and_masks_leave_one_file_alone(partitions, tmp_path):
    array = noise(4, 60, 60, dtype="uint8")
    array[3] = np.where(np.arange(60) % 2, 255, 0)
    path = tmp_path / "a.tif"
    write_raster(path, array, NORTH_UP, photometric="rgb", alpha="yes")
    with rasterio.open(path) as src:
        assert src.colorinterp[3] == ColorInterp.alpha
    whole, _, _ = cut(partitions, timestamp(describe_raster(path)), 3)
    assert same(whole, array)


def test_mosaic_of_one_grid(partitions, tmp_path):
    one, two = noise(2, 40, 50, seed=1) % 1000 + 1, noise(2, 40, 50, seed=2) % 1000 + 1
    two[:, :5] = 0
    a = write_raster(tmp_path / "a.tif", one, (10, 0, 1000, 0, -10, 5000), nodata=0)
    # 30 columns further east, 20 rows further north, south-up
    b = write_raster(tmp_path / "b.tif", two[:, ::-1], (10, 0, 1300, 0, 10, 4800), nodata=0)
    expected = np.zeros((2, 60, 80), "uint16")
    expected[:, 20:, :50] = one
    top = expected[:, :40, 30:]
    top[two != 0] = two[two != 0]
    for nodes in NODES:
        whole, transform, _ = cut(partitions, timestamp(a, b), nodes)
        assert same(whole, expected)
        assert np.allclose(transform, (10, 0, 1000, 0, -10, 5200))


def test_mosaic_promotes_and_knows_nan(partitions, tmp_path):
    one, two = noise(1, 30, 30, dtype="int16"), noise(1, 30, 30, dtype="float32")
    two[0, :10] = np.nan
    layer = timestamp(
        write_raster(tmp_path / "a.tif", one, NORTH_UP), write_raster(tmp_path / "b.tif", two, NORTH_UP, nodata=np.nan)
    )
    whole, _, result = cut(partitions, layer, 4)
    assert whole.dtype == np.float32
    assert same(whole, np.where(np.isnan(two), one.astype("f4"), two))
    assert result.parts[0][0].nodata == "nan"


def test_mosaic_with_masks(partitions, tmp_path):
    one, two = noise(1, 30, 30, seed=1), noise(1, 30, 30, seed=2)
    a = write_raster(tmp_path / "a.tif", one, NORTH_UP)
    write_raster(tmp_path / "b.tif", two, NORTH_UP)
    mask = np.zeros((30, 30), bool)
    mask[10:20] = True
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "b.tif", "r+") as dst:
        dst.write_mask(mask)
    whole, _, _ = cut(partitions, timestamp(a, describe_raster(tmp_path / "b.tif")), 3)
    assert same(whole, np.where(mask, two, one))


def test_mosaic_of_two_projections(partitions, tmp_path):
    one = np.full((1, 300, 300), 1, "uint8")
    two = np.full((1, 300, 300), 2, "uint8")
    a = write_raster(tmp_path / "a.tif", one, (30, 0, 735000, 0, -30, 5700000), "EPSG:32631", nodata=0)
    b = write_raster(tmp_path / "b.tif", two, (30, 0, 305000, 0, -30, 5700000), "EPSG:32632", nodata=0)
    first = None
    for nodes in NODES:
        whole, _, _ = cut(partitions, timestamp(a, b), nodes)
        first = whole if first is None else first
        assert same(whole, first)
    values, numbers = np.unique(first, return_counts=True)
    assert list(values) == [0, 1, 2]
    assert numbers[2] >= numbers[1] > 0.4 * one.size


def test_many_files_in_one_layer(partitions, tmp_path):
    array = noise(1, 60, 60)
    tiles = [
        write_raster(tmp_path / f"{i}{j}.tif", array[:, i : i + 10, j : j + 10], (10, 0, 10 * j, 0, -10, -10 * i))
        for i in range(0, 60, 10)
        for j in range(0, 60, 10)
    ]
    assert same(cut(partitions, timestamp(*tiles), 7)[0], array)


def test_different_bands_are_refused(partitions, tmp_path):
    a = write_raster(tmp_path / "a.tif", noise(1, 5, 5), NORTH_UP)
    b = write_raster(tmp_path / "b.tif", noise(2, 5, 5), NORTH_UP)
    with pytest.raises(PartitionError, match="different numbers of bands"):
        partitions.plan([timestamp(a, b)], 1)


def test_the_whole_earth_is_clipped_with_a_count(partitions, tmp_path):
    array = noise(1, 180, 360, dtype="uint8")
    layer = raster_layer(tmp_path / "a.tif", array, (1, 0, -180, 0, -1, 90), "EPSG:4326")
    first = None
    for nodes in NODES:
        whole, (a, _, left, _, e, top), result = cut(partitions, layer, nodes)
        first = whole if first is None else first
        assert same(whole, first)
        (warning,) = result.warnings
        assert layer.id in warning
        assert "10 rows" in warning
        assert "3600 pixels" in warning
        limit = 20037508.35
        assert -limit < left
        assert top < limit
        assert left + a * whole.shape[2] < limit + a
        assert top + e * whole.shape[1] > -limit + e
    assert (
        partitions.plan([timestamp(*layer.rasters, *layer.rasters)], 1).layers[0].warnings == (warning_of(result),) * 2
    )
    assert partitions.plan([layer], 1).layers[0].warnings == (warning_of(result),)
    native, _, result = cut(partitions, layer, 3, crs="native")
    assert same(native, array)
    assert result.warnings == ()
    assert result.crs == "EPSG:4326"


def warning_of(result):
    return result.warnings[0].partition(": ")[2]


def test_longitudes_to_360_lie_on_both_sides(partitions, tmp_path):
    values = np.arange(3600).reshape(1, 10, 360).astype("uint16")
    layer = raster_layer(tmp_path / "a.tif", values, (1, 0, 0, 0, -1, 5), "EPSG:4326")
    whole, (_, _, left, _, _, _), result = cut(partitions, layer, 2)
    assert set(np.unique(values)) == set(np.unique(whole))
    assert left == pytest.approx(-20037508.342789244)
    assert (whole[0, 0, :180] == whole[0, 0, 180:] + 180).all()
    assert result.warnings == ()


def test_over_the_antimeridian_a_raster_keeps_together(partitions, tmp_path):
    values = np.arange(1, 401).reshape(1, 20, 20).astype("uint16")
    layer = raster_layer(tmp_path / "a.tif", values, (1, 0, 170, 0, -1, 10), "EPSG:4326")
    whole, (dx, _, left, _, _, _), result = cut(partitions, layer, 3)
    assert whole.shape[2] == 20
    assert left + dx * whole.shape[2] > 20037508.4
    assert set(np.unique(values)) == set(np.unique(whole))
    assert result.warnings == ()


def test_nothing_of_web_mercator(partitions, tmp_path):
    layer = raster_layer(tmp_path / "a.tif", noise(1, 10, 10), (0.1, 0, 0, 0, -0.1, 89), "EPSG:4326")
    with pytest.raises(PartitionError, match=f"(?s){layer.id}.*outside Web Mercator.*native"):
        partitions.plan([layer], 2)
    assert same(cut(partitions, layer, 2, crs="native")[0], noise(1, 10, 10))


def test_the_pole_is_clipped_with_a_count(partitions, tmp_path):
    layer = raster_layer(tmp_path / "a.tif", noise(1, 200, 200), (30000, 0, -3e6, 0, -30000, 3e6), "EPSG:3413")
    whole, (_, _, _, _, _, top), result = cut(partitions, layer, 4)
    assert "about" in result.warnings[0]
    assert top <= 20037508.35
    assert (whole > 0).any()


def test_native_needs_one_crs(partitions, tmp_path):
    one = raster_layer(tmp_path / "a.tif", noise(1, 5, 5), NORTH_UP)
    two = raster_layer(tmp_path / "b.tif", noise(1, 5, 5), (0.1, 0, 0, 0, -0.1, 9), "EPSG:4326")
    with pytest.raises(PartitionError, match=r"EPSG:3857.*EPSG:4326.*use crs='EPSG:3857'"):
        partitions.plan([one, two], 2, crs="native")
    assert partitions.plan([one, two], 2).crs == "EPSG:3857"


def test_web_mercator_by_another_name(partitions, tmp_path):
    array = noise(1, 20, 20)
    file = write_raster(tmp_path / "a.tif", array, NORTH_UP)
    wkt = rasterio.crs.CRS.from_epsg(3857).to_wkt()
    assert same(cut(partitions, timestamp(replace(file, crs=wkt)), 2)[0], array)


def test_partly_overlapping_and_disjoint_layers(partitions, tmp_path):
    arrays = [noise(1, 40, 40, seed=i) for i in range(3)]
    layers = [
        raster_layer(tmp_path / "a.tif", arrays[0], (10, 0, 0, 0, -10, 0)),
        raster_layer(tmp_path / "b.tif", arrays[1], (7, 0, 203, 0, -11, 57)),
        raster_layer(tmp_path / "c.tif", arrays[2], (10, 0, 5000, 0, -10, 9000)),
    ]
    for nodes in (1, 2, 5, 16, 64):
        result = partitions.ensure(partitions.plan(layers, nodes))
        union = assert_tiles(result.extents)
        assert union == (0, -400, 5400, 9000)
        for i, array in enumerate(arrays):
            whole, counts, _ = assemble(result, i)
            assert (counts == 1).all()
            assert same(whole, array)
        if nodes == 16:
            empty = [part for node in result.parts for part in node if 0 in part.shape]
            assert empty
            assert all(pixels(part).size == 0 for part in empty)


def test_overlap_adds_a_halo(partitions, tmp_path):
    array = noise(2, 64, 64)
    layer = raster_layer(tmp_path / "a.tif", array, NORTH_UP, tiled=True, blockxsize=16, blockysize=16)
    plain = partitions.ensure(partitions.plan([layer], 4))
    halo = partitions.ensure(partitions.plan([layer], 4, overlap=30))
    assert plain.extents == halo.extents
    for (before,), (after,) in zip(plain.parts, halo.parts, strict=True):
        assert after.shape == (2, 35, 35)
        row = round((5000 - after.extent["yMax"]) / 10)
        col = round((after.extent["xMin"] - 1000) / 10)
        assert same(pixels(after), array[:, row : row + 35, col : col + 35])
        assert before.shape == (2, 32, 32)


def test_more_nodes_than_pixels(partitions, tmp_path):
    layer = raster_layer(tmp_path / "a.tif", noise(1, 3, 3), NORTH_UP)
    assert same(cut(partitions, layer, 9)[0], noise(1, 3, 3))
    with pytest.raises(ArgumentError, match=r"nodes is 10.*9 pixels") as caught:
        partitions.plan([layer], 10)
    assert (caught.value.argument, caught.value.value) == ("nodes", 10)


@pytest.mark.parametrize(("nodes", "overlap"), [(0, 0), (-1, 0), (1, -1.0), (1, math.nan), (1, math.inf)])
def test_impossible_arguments(partitions, tmp_path, nodes, overlap):
    layer = raster_layer(tmp_path / "a.tif", noise(1, 3, 3), NORTH_UP)
    with pytest.raises(ArgumentError):
        partitions.plan([layer], nodes, overlap=overlap)


def test_no_files_and_no_layers(partitions):
    with pytest.raises(PartitionError, match="no raster files"):
        partitions.plan([timestamp()], 2)
    result = partitions.ensure(partitions.plan([], 3))
    assert (result.crs, result.extents, result.parts) == (None, (), ((), (), ()))


@pytest.mark.slow
def test_large_blocks_and_wide_rasters(partitions, tmp_path):
    """A strip that is the whole file, and rows too long to be held at a time."""
    one_block = noise(1, 700, 300)
    layer = raster_layer(tmp_path / "a.tif", one_block, NORTH_UP, blockysize=700)
    assert same(cut(partitions, layer, 5)[0], one_block)
    wide = noise(1, 45, 50_000, dtype="float64")
    layer = raster_layer(tmp_path / "b.tif", wide, NORTH_UP, tiled=True, blockxsize=512, blockysize=512)
    assert same(cut(partitions, layer, 2)[0], wide)


@pytest.mark.data
def test_real_rasters(partitions, data):
    for path in sorted(Path(data).glob("*.tif")):
        layer = timestamp(describe_raster(path))
        first = None
        for nodes in NODES:
            whole, _, result = cut(partitions, layer, nodes)
            first = whole if first is None else first
            assert same(whole, first), path.name
            assert result.warnings == ()
        with rasterio.open(path) as src:
            source = src.read()
        assert set(np.unique(first)) <= set(np.unique(source)) | {layer.rasters[0].nodata or 0}
        assert same(cut(partitions, layer, 7, crs="native")[0], source)
