"""Windows, values at locations, open files, and what the service's own client makes of it all."""

from __future__ import annotations

import contextlib
import gc
import math
import os
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from ellipsis_local.errors import ArgumentError, LayerError, LimitError
from ellipsis_local.imagery import Imagery, zoom
from ellipsis_local.raster import dataset_pool
from ellipsis_local.raster.grid import apply as at
from ellipsis_local.types import Extent
from tests.integration.imagery_tools import (
    GRIDS,
    RNG,
    UTM,
    WORLD,
    around_mercator,
    big,
    box,
    lonlat,
    opened,
    raster,
    stamp,
    tile_extent,
    tiles_of,
)

# ----- windows, and what cannot be asked for -------------------------------------------------------------------------


def test_a_window_of_many_blocks(store, imagery, tmp_path, monkeypatch):
    path, values = big(tmp_path, bands=1)
    timestamp = stamp(store, path)
    west, north, size = (timestamp.rasters[0].transform[i] for i in (2, 5, 0))
    tifffile = pytest.importorskip("tifffile")
    # Twice as fine as the file, and beyond it on all sides.
    extent = Extent(west - 100 * size, north - 400 * size, west + 700 * size, north + 50 * size)
    made = tifffile.imread(BytesIO(imagery.window(timestamp, extent, 1600, 900)))
    assert (made.shape, made.dtype) == ((900, 1600, 2), np.dtype("uint16"))
    inner = values[0, :400, :700].repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(made[100:, 200:, 0], inner)
    assert (made[100:, 200:, 1] == 65535).all()
    assert not made[:100].any() and not made[:, :200].any()


def png(data):
    assert data.startswith(b"\x89PNG")
    with rasterio.MemoryFile(data) as memory, memory.open() as dataset:
        assert [one.name for one in dataset.colorinterp] == ["red", "green", "blue", "alpha"]
        return dataset.read()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pixels_are_drawn_in_the_default_style(store, imagery):
    extent = Extent(500_000, 5_999_000, 501_000, 6_000_000)
    # Three bands of bytes as they are, a fourth is not shown; the hole is transparent.
    colours = RNG.integers(1, 256, (4, 100, 100)).astype("uint8")
    colours[:, 10:20, 30:50] = 0
    timestamp = stamp(store, raster(colours, nodata=0))
    made = png(imagery.window(timestamp, extent, 100, 100, styled=True))
    np.testing.assert_array_equal(made[:3], colours[:3])
    np.testing.assert_array_equal(made[3] == 255, (colours != 0).any(axis=0))
    assert set(np.unique(made[3])) == {0, 255}
    # One band of anything is grey, stretched over the whole layer, infinities and all.
    heights = np.linspace(-5e3, 5e3, 10_000, dtype="float32").reshape(1, 100, 100)
    heights[0, 0, :3] = np.nan, np.inf, -np.inf
    timestamp = stamp(store, raster(heights, nodata=float("nan")))
    made = png(imagery.window(timestamp, extent, 100, 100, styled=True))
    assert (made[0] == made[1]).all() and (made[0] == made[2]).all() and made[3, 0, :3].tolist() == [0, 255, 255]
    assert made[0, 0, 1:3].tolist() == [255, 0]
    low, high = np.percentile(heights[np.isfinite(heights)], [2, 98])
    wanted = np.clip((heights[0, 1:] - low) / (high - low) * 255, 0, 255)
    assert np.abs(made[0, 1:] - wanted).max() <= 0.51
    # Every tile is part of the same picture.
    z = zoom(timestamp)
    for x, y in tiles_of(timestamp, z):
        tile = png(imagery.tile(timestamp, z, x, y, styled=True))
        np.testing.assert_array_equal(tile, png(imagery.window(timestamp, tile_extent(z, x, y), 256, 256, styled=True)))
    assert imagery.tile(timestamp, z, 0, 0, styled=True) is None
    # A large one is looked at in pieces that are spread over it.
    slope = (np.arange(10**6, dtype="uint32") * 3).reshape(1, 1000, 1000)
    whole = Extent(500_000, 5_990_000, 510_000, 6_000_000)
    made = png(imagery.window(stamp(store, raster(slope)), whole, 100, 100, styled=True))
    assert np.abs(made[0, 5:95].mean(axis=1) - np.arange(5, 95) * 255 / 100).max() < 20
    # A layer of one value is drawn, one of no value is transparent, and what has no order is refused.
    assert png(imagery.window(stamp(store, raster(np.full((1, 9, 9), 7, "int16"))), extent, 9, 9, styled=True))[3].any()
    empty = stamp(store, raster(np.zeros((3, 9, 9), "uint16"), nodata=0))
    assert not png(imagery.window(empty, extent, 9, 9, styled=True))[3].any()
    waves = stamp(store, raster(np.ones((1, 9, 9), "complex64")))
    with pytest.raises(LayerError, match="complex pixels, which cannot be drawn"):
        imagery.window(waves, extent, 9, 9, styled=True)


def test_the_smallest_windows(store, imagery):
    tifffile = pytest.importorskip("tifffile")
    timestamp = stamp(store, raster(np.arange(1, 101, dtype="uint8").reshape(1, 10, 10)))
    for width, height in ((1, 1), (1, 9), (9, 1)):
        extent = Extent(500_000, 6_000_000 - 10 * height, 500_000 + 10 * width, 6_000_000)
        made = tifffile.imread(BytesIO(imagery.window(timestamp, extent, width, height)))
        assert made.shape == (height, width, 2)
        assert made[0, 0].tolist() == [1, 255]


def test_tiles_and_windows_are_georeferenced(store, imagery):
    timestamp = stamp(store, raster(np.ones((1, 300, 300), "uint8")))
    z = zoom(timestamp)
    x, y = tiles_of(timestamp, z)[0]
    with rasterio.MemoryFile(imagery.tile(timestamp, z, x, y)) as memory, memory.open() as dataset:
        assert dataset.crs == "EPSG:3857"
        np.testing.assert_allclose(dataset.bounds, tile_extent(z, x, y), rtol=1e-12)


def test_where_nothing_is(store, imagery):
    timestamp = stamp(store, raster(np.ones((1, 30, 30), "uint8")))
    assert imagery.tile(timestamp, 14, 0, 0) is None
    assert not opened(imagery.window(timestamp, Extent(0, 0, 10, 10), 20, 10)).any()
    assert imagery.locations(timestamp, [[0, 0]]) == [[None]]
    assert imagery.locations(timestamp, []) == []
    answer = imagery.analyse([timestamp], box(0, 0, 1, 1))[0]
    assert not answer["hasData"]
    assert answer["result"][0]["statistics"]["mean"] is None
    missing = stamp(store, raster(np.zeros((2, 30, 30), "uint8"), nodata=0))
    z = zoom(missing)
    assert all(imagery.tile(missing, z, x, y) is None for x, y in tiles_of(missing, z))


def test_a_timestamp_without_files(store, imagery):
    path_id = store.add_layer_path("raster", "empty")
    timestamp = store.timestamp(path_id, store.add_timestamp(path_id))
    assert imagery.tile(timestamp, 0, 0, 0) is None
    for ask in (
        lambda: imagery.window(timestamp, Extent(0, 0, 1, 1), 1, 1),
        lambda: imagery.locations(timestamp, [[0, 0]]),
        lambda: imagery.analyse([timestamp], box(0, 0, 1, 1)),
    ):
        with pytest.raises(LayerError, match=f"{timestamp.id} has no"):
            ask()


@pytest.mark.parametrize(
    ("z", "x", "y", "words"),
    [
        (-1, 0, 0, "z must be from 0 to 30"),
        (31, 0, 0, "z must be from 0 to 30, not 31"),
        (3, 8, 0, "x must be from 0 to 7, not 8"),
        (3, 0, -1, "y must be from 0 to 7"),
        (3, 0, 1.0, "y must be of type int"),
        (True, 0, 0, "z must be of type int"),
        ("3", 0, 0, "z must be of type int"),
    ],
)
def test_tiles_that_are_not_there(store, imagery, z, x, y, words):
    timestamp = stamp(store, raster(np.ones((1, 3, 3), "uint8")))
    with pytest.raises(ArgumentError, match=words):
        imagery.tile(timestamp, z, x, y)


def test_the_deepest_tile(store, imagery):
    timestamp = stamp(store, raster(np.arange(1, 10, dtype="uint8").reshape(1, 3, 3)))
    size = WORLD / 2**30
    made = opened(imagery.tile(timestamp, 30, int((500_005 + WORLD / 2) / size), int((WORLD / 2 - 5_999_985) / size)))
    assert (made[0] == 4).all() and (made[1] == 255).all()


@pytest.mark.parametrize(
    ("extent", "width", "height", "error", "words"),
    [
        ((0, 0, 0, 1), 1, 1, ArgumentError, "no area"),
        ((1, 0, 0, 1), 1, 1, ArgumentError, "no area"),
        ((0, 0, math.inf, 1), 1, 1, ArgumentError, "x_max is inf"),
        ((0, math.nan, 1, 1), 1, 1, ArgumentError, "y_min is nan"),
        ((0, 0, 10**400, 1), 1, 1, ArgumentError, "x_max is 1000"),
        ((0, 0, "1", 1), 1, 1, ArgumentError, "x_max is '1'"),
        ((0, 0, 1, 1), 0, 1, ArgumentError, "width must be at least 1, not 0"),
        ((0, 0, 1, 1), 1, 2.5, ArgumentError, "height must be of type int"),
        ((0, 0, 1, 1), 4097, 4096, LimitError, "4097 x 4096.*at most 16,777,216.*smaller extents"),
    ],
)
def test_windows_that_cannot_be(store, imagery, extent, width, height, error, words):
    timestamp = stamp(store, raster(np.ones((1, 3, 3), "uint8")))
    with pytest.raises(error, match=words):
        imagery.window(timestamp, Extent(*extent), width, height)


def test_a_window_of_many_bytes(store, imagery):
    timestamp = stamp(store, raster(np.ones((40, 3, 3), "complex128")))
    with pytest.raises(LimitError, match="at most 409,200"):
        imagery.window(timestamp, Extent(0, 0, 1, 1), 1000, 1000)


# ----- single locations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("crs", "transform"), GRIDS.values(), ids=GRIDS)
def test_values_at_locations(store, imagery, crs, transform):
    values = RNG.integers(1, 60_000, (2, 300, 410)).astype("uint16")
    timestamp = stamp(store, {"raster": values, "transform": transform, "crs": crs})
    columns, rows = RNG.integers(0, 410, 200), RNG.integers(0, 300, 200)
    x, y = lonlat(*at(transform, columns + 0.3, rows + 0.6), crs)
    answers = imagery.locations(timestamp, [list(one) for one in zip(x.tolist(), y.tolist(), strict=True)])
    assert answers == values[:, rows, columns].T.tolist()


def test_locations_in_a_mosaic_and_round_the_world(store, imagery):
    beneath, above = np.full((2, 20, 20), 1.5), np.full((2, 20, 20), 2.5)
    above[0, :, :10] = -1
    above[1, 0, 0] = np.nan
    degrees = {"transform": Affine(1, 0, 170, 0, -1, 10), "crs": "EPSG:4326"}
    timestamp = stamp(store, degrees | {"raster": beneath}, degrees | {"raster": above, "nodata": -1})
    ask = [[175.5, 0.5], [185.5, 0.5], [-174.5, 0.5], [170.5, 9.5], [190.5, 0], [-169.5, 0], [530.5, 9.5]]
    assert imagery.locations(timestamp, ask) == [
        [1.5, 2.5], [2.5, 2.5], [2.5, 2.5], [1.5, 1.5], [None, None], [None, None], [1.5, 1.5],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("locations", "words"),
    [
        ("abc", "must be a list"),
        ({}, "must be a list"),
        (3, "must be a list"),
        ([[1, 2, 3]], "must be pairs"),
        (["ab"], "must be pairs"),
        ([[1, "2"]], "must be degrees"),
        ([[1, 91]], "latitude of -90 to 90"),
        ([[math.nan, 1]], "must be degrees"),
        ([[10**400, 1]], "must be degrees"),
        ([[True, 1]], "must be degrees"),
    ],
)
def test_locations_that_are_none(store, imagery, locations, words):
    timestamp = stamp(store, raster(np.ones((1, 3, 3), "uint8")))
    with pytest.raises(ArgumentError, match=words):
        imagery.locations(timestamp, locations)
    with pytest.raises(LimitError, match="100,001 locations"):
        imagery.locations(timestamp, [[0, 0]] * 100_001)


# ----- open files ----------------------------------------------------------------------------------------------------


OPEN_FILES = Path("/proc/self/fd")


def open_files(folder):
    links = []
    for one in OPEN_FILES.iterdir():
        with contextlib.suppress(OSError):
            links.append(str(one.readlink()))
    return [link for link in links if link.startswith(str(folder))]


needs_proc = pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="needs /proc")


@needs_proc
def test_files_stay_open_until_released(store, imagery, monkeypatch):
    timestamps = [stamp(store, raster(np.full((1, 300, 300), i + 1, "uint8"))) for i in range(4)]
    z = zoom(timestamps[0])
    x, y = tiles_of(timestamps[0], z)[0]
    for timestamp in timestamps * 2:
        imagery.tile(timestamp, z, x, y)
    assert len(open_files(store.home.layers)) == 4
    imagery.release()
    assert open_files(store.home.layers) == []
    monkeypatch.setattr(dataset_pool, "MOST_IDLE", 2)
    for timestamp in timestamps:
        imagery.tile(timestamp, z, x, y)
    assert len(open_files(store.home.layers)) == 2
    imagery.close()
    assert open_files(store.home.layers) == []
    # After that it answers, and keeps nothing.
    assert imagery.tile(timestamps[0], z, x, y) is not None
    assert open_files(store.home.layers) == []


@needs_proc
def test_deleted_files_are_not_kept(store, imagery, monkeypatch):
    monkeypatch.setattr(dataset_pool, "LOOK_SECONDS", -1.0)
    gone, stays = (stamp(store, raster(np.ones((1, 300, 300), "uint8"))) for _ in range(2))
    z = zoom(gone)
    x, y = tiles_of(gone, z)[0]
    imagery.tile(gone, z, x, y)
    store.remove(gone.path_id)
    imagery.tile(stays, z, x, y)
    assert len(open_files(store.home.layers)) == 1
    monkeypatch.setattr(dataset_pool, "IDLE_SECONDS", -1.0)
    imagery.tile(stays, z, x, y)
    assert open_files(store.home.layers) == []
    imagery.release()
    with pytest.raises(LayerError, match=r"\.tif"):
        imagery.tile(gone, z, x, y)


def test_a_damaged_file_is_named(store, imagery, tmp_path):
    path, _ = big(tmp_path, bands=1)
    timestamp = stamp(store, path)
    (file,) = timestamp.rasters
    os.truncate(file.location, Path(file.location).stat().st_size // 2)
    with pytest.raises(LayerError, match=r"\.tif"):
        imagery.window(timestamp, Extent(*around_mercator(file)), 1500, 1200)


def test_many_threads_get_what_one_gets(store, tmp_path):
    path, _ = big(tmp_path, overviews=[2, 4])
    timestamps = [stamp(store, path), stamp(store, {"raster": RNG.integers(0, 9, (1, 400, 400)).astype("int16"), "transform": GRIDS["utm"][1], "crs": UTM})]  # fmt: skip
    asks = [(t, z, *xy) for t in timestamps for z in (12, 13, 14) for xy in tiles_of(t, z)]
    alone, together = Imagery(), Imagery()
    expect = [alone.tile(*ask) for ask in asks]
    order = RNG.permutation(np.repeat(np.arange(len(asks)), 3))
    with ThreadPoolExecutor(6) as pool:
        for index, made in zip(order, pool.map(lambda i: together.tile(*asks[i]), order), strict=True):
            assert made == expect[index]
    alone.close()
    together.close()
    gc.collect()
    assert not OPEN_FILES.is_dir() or open_files(store.home.layers) == []
