"""Tiles of raster timestamps: every value is the stored pixel under the centre, whatever grid and file."""

from __future__ import annotations

import json
import math
from io import BytesIO

import numpy as np
import pytest
import rasterio
from affine import Affine

from ellipsis_local.imagery import zoom
from ellipsis_local.raster import layer as layer_module
from ellipsis_local.types import Extent
from tests.integration.imagery_tools import (
    DTYPES,
    GRIDS,
    RNG,
    UTM,
    WORLD,
    big,
    box,
    check_tiles,
    expected,
    lonlat,
    on_own_grid,
    opened,
    raster,
    stamp,
    tile_extent,
    tiles_of,
    write,
)


@pytest.mark.parametrize(("crs", "transform"), GRIDS.values(), ids=GRIDS)
def test_tiles_are_the_stored_pixels_under_their_centres(store, imagery, crs, transform):
    values = RNG.integers(1, 60_000, (2, 300, 410)).astype("uint16")
    timestamp = stamp(store, {"raster": values, "transform": transform, "crs": crs})
    native = zoom(timestamp)
    for z in (native, native + 2):
        assert check_tiles(imagery, timestamp, z) >= 2
    # Without overviews, pixels of a small file are exact even where only some of them are shown.
    assert check_tiles(imagery, timestamp, native - 3) >= 1


def test_all_pixels_are_shown_at_the_native_zoom(store, imagery):
    for crs, transform in GRIDS.values():
        values = np.arange(1, 1 + 50 * 60, dtype="int32").reshape(1, 50, 60)
        timestamp = stamp(store, {"raster": values, "transform": transform, "crs": crs})
        z = zoom(timestamp)
        shown = set()
        for x, y in tiles_of(timestamp, z):
            answer = imagery.tile(timestamp, z, x, y)
            if answer is not None:
                shown |= set(np.unique(opened(answer)[0]))
        # A turned grid may be missed at a corner of a pixel only; pixels at the edges of the world do not count.
        assert len(shown - {0}) >= 3000 * (0.98 if transform.b or crs == "EPSG:3413" else 0.999)


# ----- real layers ---------------------------------------------------------------------------------------------------

REAL = [
    "l7_olinda_6band_u8.tif", "landsat_pucallpa_1985_u8.tif", "landsat_pucallpa_2020_u8.tif", "nlcd_zion_u8.tif",
    "copdem30_saotome_crop_f32.tif", "dsm_alexandria_f32.tif",
]  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_tiles_of_real_layers(store, imagery, data, name):
    timestamp = stamp(store, data / name)
    native = zoom(timestamp)
    with rasterio.open(data / name) as dataset:
        # Below the native zoom a file's own overviews are shown.
        below = native if dataset.overviews(1) else native - 2
    assert sum(check_tiles(imagery, timestamp, z, most=4) for z in (below, native, native + 1)) >= 5


@pytest.mark.data
def test_the_whole_of_a_landsat_scene_by_tiles_and_as_a_window(store, imagery, data):
    timestamp = stamp(store, data / "landsat_pucallpa_1985_u8.tif", data / "landsat_pucallpa_2020_u8.tif")
    z = zoom(timestamp)
    tiles = tiles_of(timestamp, z)
    columns, rows = sorted({x for x, _ in tiles}), sorted({y for _, y in tiles})
    whole = np.zeros((5, 256 * len(rows), 256 * len(columns)), "uint8")
    for x, y in tiles:
        r, c = 256 * (y - rows[0]), 256 * (x - columns[0])
        answer = imagery.tile(timestamp, z, x, y)
        if answer is not None:
            whole[:, r : r + 256, c : c + 256] = opened(answer)
    extent = tile_extent(z, columns[0], rows[0])._replace(
        x_max=tile_extent(z, columns[-1], 0).x_max, y_min=tile_extent(z, 0, rows[-1]).y_min
    )
    image, edge = expected(timestamp, extent, whole.shape[2], whole.shape[1])
    np.testing.assert_array_equal(whole[:, ~edge], image[:, ~edge])
    window = opened(imagery.window(timestamp, extent, whole.shape[2], whole.shape[1]))
    np.testing.assert_array_equal(window[:, ~edge], image[:, ~edge])
    assert (whole[-1] > 0).mean() > 0.3


# ----- mosaics, masks, nodata ----------------------------------------------------------------------------------------


def test_a_mosaic_is_what_its_export_is(store, imagery, tmp_path):
    layers = []
    for i in range(4):
        values = RNG.integers(0, 4, (3, 60, 80)).astype("int16") + 10 * i
        values[RNG.random(values.shape) < 0.3] = -1
        layers.append(raster(values, 500_000 + 150 * i, 6_000_000 - 110 * i, nodata=-1))
    timestamp = stamp(store, *layers)
    store.export(timestamp.path_id, timestamp.id, tmp_path / "mosaic.tif")
    made = on_own_grid(imagery, timestamp)
    with rasterio.open(tmp_path / "mosaic.tif") as whole:
        pixels = whole.read()
    there = (pixels != -1).any(axis=0)
    np.testing.assert_array_equal(made[:-1, there], pixels[:, there])
    np.testing.assert_array_equal(made[-1], np.where(there, 32767, 0))
    assert not made[:, ~there].any()
    # A band without a value beside one with a value keeps the nodata value.
    assert (made[:-1, there] == -1).any()


def test_mosaics_of_several_crs(store, imagery):
    layers = [
        {"raster": RNG.integers(1, 255, (1, 200, 200)).astype("uint8"), "transform": transform, "crs": crs, "nodata": 0}
        for crs, transform in (
            ("EPSG:3857", Affine(20, 0, 500_000, 0, -20, 6_800_000)),
            ("EPSG:4326", Affine(0.0002, 0, 4.5, 0, -0.00012, 51.99)),
            (UTM, Affine(12, 0, 602_000, 0, -12, 5_758_000)),
        )
    ]
    for layer in layers:
        layer["raster"][RNG.random(layer["raster"].shape) < 0.2] = 0
    timestamp = stamp(store, *layers)
    z = zoom(timestamp)
    assert sum(check_tiles(imagery, timestamp, one, most=8) for one in (z - 2, z, z + 1)) >= 8


def test_masks_and_alpha(store, imagery, tmp_path):
    values = RNG.integers(1, 200, (4, 50, 60)).astype("uint8")
    mask = (RNG.random((50, 60)) < 0.5).astype("uint8") * 255
    place = {"crs": "EPSG:3857", "transform": Affine(10, 0, 500_000, 0, -10, 6_000_000)}
    masked = write(tmp_path / "masked.tif", values[:3], mask=mask, **place)
    made = on_own_grid(imagery, stamp(store, masked))
    np.testing.assert_array_equal(made, np.concatenate([values[:3] * (mask > 0), mask[np.newaxis]]))

    values[3] = mask
    alpha = write(tmp_path / "alpha.tif", values, alpha=True, **place)
    made = on_own_grid(imagery, stamp(store, alpha))
    np.testing.assert_array_equal(made, np.concatenate([values * (mask > 0), mask[np.newaxis]]))
    # Beneath what is transparent lies the other file.
    beneath = RNG.integers(1, 200, (4, 50, 60)).astype("uint8")
    timestamp = stamp(store, raster(beneath), alpha)
    np.testing.assert_array_equal(on_own_grid(imagery, timestamp)[:-1], np.where(mask > 0, values, beneath))


def test_the_nodata_value_that_was_given_counts(store, imagery, tmp_path):
    values = RNG.integers(0, 3, (1, 40, 40)).astype("uint8")
    path = write(tmp_path / "a.tif", values, crs="EPSG:3857", transform=Affine(10, 0, 500_000, 0, -10, 6_000_000), nodata=0)  # fmt: skip
    made = on_own_grid(imagery, stamp(store, path, nodata=2))
    np.testing.assert_array_equal(made[1], np.where(values[0] == 2, 0, 255))
    np.testing.assert_array_equal(made[0], np.where(values[0] == 2, 0, values[0]))


def test_a_palette_gives_its_numbers(store, imagery, tmp_path):
    values = RNG.integers(0, 4, (1, 30, 30)).astype("uint8")
    path = write(tmp_path / "a.tif", values, crs="EPSG:3857", transform=Affine(10, 0, 500_000, 0, -10, 6_000_000))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {i: (i * 60, 0, 0, 255) for i in range(4)})
    np.testing.assert_array_equal(on_own_grid(imagery, stamp(store, path))[0], values[0])


@pytest.mark.parametrize("nodata", [None, math.nan, -9999.0])
def test_nan_is_never_valid(store, imagery, nodata):
    values = RNG.random((2, 30, 40)).astype("float32")
    values[:, :10] = np.nan
    values[0, 10:12] = np.nan
    values[:, 20, 20] = np.inf
    made = on_own_grid(imagery, stamp(store, raster(values, nodata=nodata)))
    assert not made[:, :10].any()
    assert made[2, 10:].all()
    np.testing.assert_array_equal(made[:2, 10:], values[:, 10:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(store, imagery, dtype):
    tifffile = pytest.importorskip("tifffile")
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        values = RNG.integers(limits.min, limits.max, (2, 30, 40), dtype=kind, endpoint=True)
        values[0, 0, :2] = limits.min, limits.max
        full = limits.max
    else:
        values = (RNG.random((2, 30, 40)) * 1e30).astype(kind)
        values += (1j * values[::-1]).astype(kind) if kind.kind == "c" else 0
        full = 1
    timestamp = stamp(store, raster(values))
    made = tifffile.imread(BytesIO(imagery.window(timestamp, Extent(500_000, 5_999_700, 500_400, 6_000_000), 40, 30)))
    assert (made.shape, made.dtype) == ((30, 40, 3), kind)
    np.testing.assert_array_equal(made[..., :2], values.transpose(1, 2, 0))
    assert (made[..., 2] == full).all()
    z = zoom(timestamp)
    tile = tifffile.imread(BytesIO(imagery.tile(timestamp, z, *tiles_of(timestamp, z)[0])))
    assert (tile.shape, tile.dtype) == ((3, 256, 256), kind)
    assert set(np.unique(tile[2])) == {0, full}
    value = imagery.locations(timestamp, [list(lonlat(500_005, 5_999_995))])[0][0]
    number = values[0, 0, 0].item()
    assert value == ([number.real, number.imag] if kind.kind == "c" else number)
    assert json.loads(json.dumps(value, allow_nan=False)) == value


# ----- many pixels shown as few --------------------------------------------------------------------------------------


def test_overviews_are_shown_below_the_native_zoom(store, imagery, tmp_path, monkeypatch):
    # So that nothing is small enough to be read as it is.
    monkeypatch.setattr(layer_module, "FEW", 0)
    path, values = big(tmp_path, overviews=[2, 4, 8])
    timestamp = stamp(store, path)
    assert zoom(timestamp) == 14
    x, y = 512 + 2**13, 2**13 - 1024
    np.testing.assert_array_equal(opened(imagery.tile(timestamp, 14, x, y))[:2], values[:, :256, :256])
    for level, z in enumerate((13, 12, 11)):
        with rasterio.open(path, overview_level=level) as overview:
            pixels = overview.read()
        made = opened(imagery.tile(timestamp, z, x >> (14 - z), y >> (14 - z)))
        height, width = (min(256, size) for size in pixels.shape[1:])
        np.testing.assert_array_equal(made[:2, :height, :width], pixels[:, :height, :width])
        assert (made[2] > 0).sum() == height * width
    # The last overview serves everything below.
    made = opened(imagery.tile(timestamp, 8, x >> 6, y >> 6))
    assert (made[2] > 0).sum() == 23 * 20
    assert set(np.unique(made[0])) <= {0, *np.unique(pixels[0])}


@pytest.mark.parametrize("overviews", [None, [2, 4, 8, 16]])
def test_any_part_of_a_decimated_file_is_that_of_the_whole(store, imagery, tmp_path, overviews, monkeypatch):
    # So that nothing is small enough to be read whole.
    monkeypatch.setattr(layer_module, "BUDGET", 1)
    monkeypatch.setattr(layer_module, "FEW", 0)
    mask = np.full((1296, 1504), 255, "uint8")
    mask[:, 700:] = 0
    path, _ = big(tmp_path, overviews, mask, bands=1)
    timestamp = stamp(store, path)
    transform = timestamp.rasters[0].transform
    for step in (4, 8):
        width, height = 1504 // step, 1296 // step
        west, north = transform[2], transform[5]
        size = step * transform[0]
        whole = opened(imagery.window(timestamp, Extent(west, north - height * size, west + width * size, north), width, height))  # fmt: skip
        assert (whole[1, :, : 700 // step - 1] > 0).all() and not whole[1, :, 700 // step + 1 :].any()
        for _ in range(20):
            c, r = int(RNG.integers(0, width - 1)), int(RNG.integers(0, height - 1))
            w, h = int(RNG.integers(1, width - c)), int(RNG.integers(1, height - r))
            extent = Extent(west + c * size, north - (r + h) * size, west + (c + w) * size, north - r * size)
            part = opened(imagery.window(timestamp, extent, w, h))
            np.testing.assert_array_equal(part, whole[:, r : r + h, c : c + w])


def test_a_grid_that_needs_more_than_the_budget_is_read_in_pieces(store, imagery, tmp_path, monkeypatch):
    path, _ = big(tmp_path)
    timestamp = stamp(store, path)
    monkeypatch.setattr(layer_module, "BUDGET", 50_000)
    assert check_tiles(imagery, timestamp, 14) >= 2


@pytest.mark.parametrize("overviews", [None, [2]])
def test_a_tile_far_below_what_overviews_there_are(store, imagery, tmp_path, monkeypatch, overviews):
    monkeypatch.setattr(layer_module, "BUDGET", 100_000)
    monkeypatch.setattr(layer_module, "FEW", 0)
    path, values = big(tmp_path, overviews)
    if overviews:
        with rasterio.open(path, overview_level=0) as dataset:
            values = dataset.read()
    timestamp = stamp(store, path)
    made = opened(imagery.tile(timestamp, 4, (512 + 2**13) >> 10, (2**13 - 1024) >> 10))
    assert 1 <= (made[2] > 0).sum() <= 9
    assert set(np.unique(made[0])) <= {0, *np.unique(values[0])}


# ----- the ends of the world -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crs", "transform", "period"),
    [
        ("EPSG:4326", Affine(0.1, 0, 170, 0, -0.1, 10), 360),
        ("EPSG:4326", Affine(0.1, 0, -190, 0, -0.1, 10), 360),
        ("EPSG:4326", Affine(1.8, 0, 0, 0, -0.9, 90), 360),
        ("EPSG:4326", Affine(1.8, 0, -180, 0, -0.9, 90), 360),
        ("EPSG:3857", Affine(10_000, 0, 19_000_000, 0, -10_000, 1_000_000), WORLD),
        ("EPSG:32601", Affine(2000, 0, 100_000, 0, -2000, 7_000_000), 0),
        ("EPSG:3832", Affine(5000, 0, 2_900_000, 0, -5000, 500_000), 0),
        ("EPSG:3413", Affine(50_000, 0, -5_000_000, 0, -50_000, 5_000_000), 0),
    ],
    ids=["170 to 190", "-190 to -170", "0 to 360", "world", "mercator", "utm", "pacific", "pole"],
)
def test_over_the_antimeridian_and_the_pole(store, imagery, crs, transform, period):
    timestamp = stamp(store, {"raster": RNG.integers(1, 255, (1, 200, 200)).astype("uint8"), "transform": transform, "crs": crs})  # fmt: skip
    z = zoom(timestamp)
    assert z is not None
    filled = {0: 0, 1: 0}
    for one in (0, 1, max(2, z), z + 2):
        last = 2**one - 1
        for x in {0, last}:
            for y in {last // 2, (last + 1) // 2, 0} if one < 3 else {last // 2, 7 * 2**one // 16}:
                answer = imagery.tile(timestamp, one, x, y)
                image, edge = expected(timestamp, tile_extent(one, x, y), 256, 256, period)
                made = np.zeros_like(image) if answer is None else opened(answer)
                np.testing.assert_array_equal(made[:, ~edge], image[:, ~edge])
                filled[int(x > 0)] += answer is not None
    assert all(filled.values()) or crs == "EPSG:3413"


def test_nothing_is_there_beyond_web_mercator(store, imagery):
    arctic = {"raster": np.ones((10, 10), "uint8"), "transform": Affine(1, 0, 0, 0, -0.1, 89), "crs": "EPSG:4326"}
    timestamp = stamp(store, arctic)
    assert zoom(timestamp) is None
    assert imagery.tile(timestamp, 0, 0, 0) is None
    assert imagery.locations(timestamp, [[5, 88.5], [5, 80]]) == [[1], [None]]
    assert imagery.analyse([timestamp], box(0, 88, 5, 89))[0]["result"][0]["statistics"]["count"] == 50


def test_zoom(store):
    for crs, transform, native in (
        ("EPSG:3857", Affine(WORLD / 2**18, 0, 0, 0, -WORLD / 2**18, 0), 10),
        ("EPSG:3857", Affine(WORLD / 2**18 * 1.01, 0, 0, 0, -WORLD / 2**18, 0), 10),
        ("EPSG:3857", Affine(WORLD / 2**18 * 0.99, 0, 0, 0, -WORLD / 2**18, 0), 11),
        ("EPSG:4326", Affine(1, 0, -180, 0, -1, 90), 1),
        ("EPSG:4326", Affine(360 / 256, 0, -180, 0, -1.40625, 90), 0),
        (UTM, Affine(10, 0, 600_000, 0, -10, 5_800_020), 14),
        (UTM, Affine(1e-6, 0, 600_000, 0, -1e-6, 5_800_020), 30),
        ("EPSG:4326", Affine(0.0005, 0, 179.9, 0, -0.0005, 10), 12),
    ):
        size = 128 if crs == "EPSG:4326" and transform.a > 1 else 360
        raster = {"raster": np.ones((size, 256 if size == 128 else size), "uint8"), "transform": transform, "crs": crs}
        assert zoom(stamp(store, raster)) == native
    path_id = store.add_layer_path("raster", "empty")
    assert zoom(store.timestamp(path_id, store.add_timestamp(path_id))) is None
