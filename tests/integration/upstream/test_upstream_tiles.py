"""Rasters put together from their tiles."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from ellipsis_local.errors import LayerWarning, UpstreamError
from ellipsis_local.raster import write
from tests.integration.upstream.hosted import WORLD, Hosted, Tiles, tiff
from tests.integration.upstream.layers import HERE, nothing_here, pixels, read, scene, stored


def tiled(dtype: str, *, zoom: int = 12, left: int = 2**19 + 200, top: int = 2**18 + 130, seed: int = 1) -> Tiles:
    """300 × 700 pixels over three times two or more tiles, some of them missing, one tile of nothing."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (2, 300, 700)).astype(dtype)
    valid = rng.random((300, 700)) > 0.1
    valid[:, 312:568] = False
    return Tiles(values, valid, zoom, left, top)


def world_grid(tiles: Tiles) -> Affine:
    size = WORLD / (256 * 2**tiles.zoom)
    return Affine(size, 0, tiles.left * size - WORLD / 2, 0, -size, WORLD / 2 - tiles.top * size)


@pytest.mark.parametrize(
    ("dtype", "change", "nodata"),
    [
        ("float32", None, "nan"),
        ("uint16", None, 65535),
        ("uint8", lambda values: np.maximum(values, 1), 0),
        ("uint8", None, None),
        ("int16", None, 32767),
    ],
)
def test_tiles_become_the_raster(hosted: Hosted, pull, monkeypatch, dtype: str, change, nodata) -> None:
    monkeypatch.setattr(write, "WINDOW", 256)
    hosted.level = 100
    path_id = hosted.add_raster(bands=["near", "band 2"], dtype=dtype)
    tiles = tiled(dtype)
    if change is not None:
        tiles.values = change(tiles.values)
    timestamp_id = hosted.add_tiles(path_id, tiles)
    pull(path_id)
    assert hosted.asked("/data") == []
    [file] = stored(path_id, timestamp_id)
    with rasterio.open(file.detail.location) as dataset:
        values, valid = dataset.read(), dataset.dataset_mask() > 0
        assert dataset.crs.to_epsg() == 3857
        assert dataset.transform.almost_equals(world_grid(tiles), 1e-6)
        assert dataset.descriptions == ("near", None)
        if nodata == "nan":
            assert np.isnan(dataset.nodata)
        else:
            assert dataset.nodata == nodata
    np.testing.assert_array_equal(valid, tiles.valid)
    np.testing.assert_array_equal(values[:, valid], tiles.values[:, valid])


def test_tiles_without_anything_missing_have_no_nodata(hosted: Hosted, pull) -> None:
    hosted.level = 50
    path_id = hosted.add_raster(dtype="float32")
    values = np.full((1, 256, 256), 1.5, "float32")
    timestamp_id = hosted.add_tiles(path_id, Tiles(values, np.ones((256, 256), bool), 10, 512 * 256, 340 * 256))
    pull(path_id)
    found, profile = read(path_id, timestamp_id)
    np.testing.assert_array_equal(found, values)
    assert profile["nodata"] is None


def test_an_extent_takes_only_the_tiles_under_it(hosted: Hosted, pull) -> None:
    hosted.level = 100
    path_id = hosted.add_raster(bands=["a", "b"], dtype="uint16")
    tiles = tiled("uint16")
    timestamp_id = hosted.add_tiles(path_id, tiles)
    grid = world_grid(tiles)
    # Columns 60 to 90 and rows 100 to 140: in one column of tiles, and in two rows of them.
    west, north, east, south = grid.c + 60 * grid.a, grid.f + 100 * grid.e, grid.c + 90 * grid.a, grid.f + 140 * grid.e
    pull(path_id, extent={"xMin": west, "yMin": south, "xMax": east, "yMax": north}, epsg=3857)
    asked = {tuple(request.path.split("/")[-2:]) for request in hosted.asked("/tile/")}
    column, row = (tiles.left + 60) // 256, (tiles.top + 100) // 256
    assert asked == {(str(column), str(row)), (str(column), str(row + 1))}
    found, profile = read(path_id, timestamp_id)
    valid = tiles.valid[100:140, 60:90]
    np.testing.assert_array_equal(found[:, valid], tiles.values[:, 100:140, 60:90][:, valid])
    assert found.shape == (2, 40, 30)
    assert (found[:, ~valid] == profile["nodata"]).all()


def test_tiles_that_were_fetched_are_kept(hosted: Hosted, pull) -> None:
    hosted.level = 100
    path_id = hosted.add_raster(bands=["a", "b"], dtype="uint16")
    hosted.add_tiles(path_id, tiled("uint16"))
    hosted.fail(f"/tile/12/{(2**19 + 899) // 256}/", 503)
    with pytest.raises(UpstreamError, match="fails at tile 12/"):
        pull(path_id)
    assert nothing_here(path_id)
    got = {request.path for request in hosted.asked("/tile/")}
    hosted.well_again()
    pull(path_id)
    again = {request.path for request in hosted.asked("/tile/")}
    assert again < got or again.isdisjoint(got)
    assert len(again) < 8


@pytest.mark.parametrize(
    ("tile", "text"),
    [
        (b"II*\0 and no more", "cannot be read as a TIFF"),
        (b"<VRTDataset rasterXSize='256' rasterYSize='256'></VRTDataset>", "cannot be read as a TIFF"),
        (tiff(np.zeros((3, 128, 256), "uint8")), "128 × 256 pixels"),
        (tiff(np.ones((1, 256, 256), "uint8")), "1 bands"),
        (tiff(np.ones((5, 256, 256), "uint8")), "service tells of 3 bands"),
    ],
)
def test_tiles_that_are_none(hosted: Hosted, pull, monkeypatch, tile: bytes, text: str) -> None:
    hosted.level = 100
    path_id = hosted.add_raster(bands=["a", "b"])
    hosted.add_tiles(path_id, tiled("uint8"))
    monkeypatch.setattr(Tiles, "tile", lambda self, x, y: tile)
    with pytest.raises(UpstreamError, match=text):
        pull(path_id)
    assert nothing_here(path_id)


def test_files_that_are_not_handed_out_after_all(hosted: Hosted, pull) -> None:
    path_id = hosted.add_raster(bands=["a", "b"])
    tiles = tiled("uint8")
    timestamp_id = hosted.add_tiles(path_id, tiles)
    hosted.add_layer_file(timestamp_id, "a.tif", tiff(pixels(), **HERE))
    hosted.fail("/data", 403, text="not for you")
    with pytest.warns(LayerWarning, match="tiles at native zoom are pulled instead.*not for you"):
        pull(path_id)
    assert read(path_id, timestamp_id)[0].shape == (2, 300, 700)


def test_what_holds_nothing_is_skipped(hosted: Hosted, pull) -> None:
    path_id, timestamp_id = scene(hosted)
    empty = hosted.add_timestamp(path_id, status="created")
    answer = pull(path_id)
    assert (answer["pulled"], list(answer["skipped"])) == ([timestamp_id], [empty])
    with pytest.raises(UpstreamError, match="it is not active, and there are no files"):
        pull(path_id, empty)
