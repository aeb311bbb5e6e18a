"""The pixels that the client gets: rasters by tiles and by extent, contours, values at places, statistics."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.features
import requests
import shapely
from numpy.typing import NDArray

from ellipsis_local.server import Server
from tests.client.covers import covers

LEN = 2.003751e07
"""Half the width of the world in the client's arithmetic; in Web Mercator it is 0.66 m less … 20037508.34."""
HALF = math.pi * 6378137.0


class Layer(NamedTuple):
    """An active timestamp, and what its file holds."""

    path: str
    timestamp: str
    file: Path
    pixels: NDArray[Any]
    transform: rasterio.Affine
    crs: Any
    nodata: float | None

    @property
    def ids(self) -> tuple[str, str]:
        return self.path, self.timestamp


def upload(client: ModuleType, token: str, file: Path) -> Layer:
    path = client.path.raster.add(file.name, token)["id"]
    timestamp = client.path.raster.timestamp.add(path, token)["id"]
    client.path.raster.timestamp.file.add(path, timestamp, token, "tif", str(file))
    client.path.raster.timestamp.activate(path, timestamp, token)
    with rasterio.open(file) as source:
        return Layer(path, timestamp, file, source.read(), source.transform, source.crs, source.nodata)


@pytest.fixture
def scene(client: ModuleType, token: str, fixtures: Path) -> Layer:
    """Four bands of uint16 in EPSG:3857."""
    return upload(client, token, fixtures / "scene_2024.tif")


@pytest.fixture
def dem(client: ModuleType, token: str, fixtures: Path) -> Layer:
    """Elevation, float32, in EPSG:4326."""
    return upload(client, token, fixtures / "dem.tif")


def box(bounds: Any) -> dict[str, float]:
    return dict(zip(("xMin", "yMin", "xMax", "yMax"), map(float, bounds), strict=True))


def mercator(layer: Layer) -> dict[str, float]:
    """The layer's extent in Web Mercator."""
    with rasterio.open(layer.file) as source:
        return box(rasterio.warp.transform_bounds(source.crs, "EPSG:3857", *source.bounds))


def grid(extent: dict[str, float], zoom: int, shape: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The centres, in true Web Mercator, of the tiles' pixels that the client puts together for an extent."""
    size = 256 * 2**zoom
    first_x = math.floor(2**zoom * (extent["xMin"] + LEN) / (2 * LEN))
    first_y = math.floor(2**zoom * (LEN - extent["yMax"]) / (2 * LEN))
    left = first_x * 256 + math.floor((2**zoom * (extent["xMin"] + LEN) / (2 * LEN) - first_x) * 256)
    top = first_y * 256 + math.floor((2**zoom * (LEN - extent["yMax"]) / (2 * LEN) - first_y) * 256)
    columns, rows = np.arange(shape[1]) + left, np.arange(shape[0]) + top
    x, y = np.meshgrid((columns + 0.5) / size * 2 * HALF - HALF, HALF - (rows + 0.5) / size * 2 * HALF)
    return x, y


def sampled(layer: Layer, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The nearest pixel of the file for each place in Web Mercator: its row and column, and whether there is one."""
    to_layer = pyproj.Transformer.from_crs("EPSG:3857", layer.crs, always_xy=True)
    # A centre on an edge, but for float noise, belongs to the pixel right of it, or below.
    column, row = (np.asarray(place) + 1e-6 for place in ~layer.transform * to_layer.transform(x, y))
    row, column = np.floor(row).astype(int), np.floor(column).astype(int)
    inside = (row >= 0) & (column >= 0) & (row < layer.pixels.shape[1]) & (column < layer.pixels.shape[2])
    return row, column, inside


def check_whole(client: ModuleType, token: str, layer: Layer) -> None:
    """`getRaster` of all of it: each value is the nearest stored pixel's, and every stored pixel is there."""
    extent = mercator(layer)
    answer = client.path.raster.timestamp.getRaster(*layer.ids, extent, token, showProgress=False)
    got = answer["raster"]
    info = client.path.get(layer.path, token)["raster"]
    assert got.dtype == layer.pixels.dtype and len(got) == len(layer.pixels) + 1
    x, y = grid(extent, info["timestamps"][0]["zoom"], got.shape[1:])
    row, column, inside = sampled(layer, x, y)
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)
    stored = layer.pixels[:, row, column]
    valid = inside if layer.nodata is None else inside & (stored != layer.nodata).any(axis=0)
    opaque = 1 if got.dtype.kind == "f" else np.iinfo(got.dtype).max
    assert np.array_equal(got[-1], np.where(valid, opaque, 0))
    assert np.array_equal(got[:-1], np.where(valid, stored, 0))
    seen = np.zeros(layer.pixels.shape[1:], dtype=bool)
    seen[row[inside], column[inside]] = True
    # Tiles are finer than the file, but what the client cuts off at the edge may be a part of a pixel.
    assert seen[1:-1, 1:-1].all()
    assert answer["crs"] == "EPSG:3857" and answer["extent"] == pytest.approx(extent)


@covers("path.raster.timestamp.getRaster")
def test_the_raster_of_a_scene_holds_the_stored_pixels(
    client: ModuleType, token: str, scene: Layer, dem: Layer
) -> None:
    check_whole(client, token, scene)
    check_whole(client, token, dem)


def test_map_clients_get_pictures_and_others_values(
    client: ModuleType, token: str, server: Server, scene: Layer
) -> None:
    """Their requests, as Leaflet's and the R client's: a style by its id, in full, or the default one by a flag."""
    extent, place = mercator(scene), f"{server.url}/path/{scene.path}/raster/timestamp/{scene.timestamp}"
    zoom = client.path.get(scene.path, token)["raster"]["timestamps"][0]["zoom"]
    middle = ((extent["xMin"] + extent["xMax"]) / 2 + HALF, HALF - (extent["yMin"] + extent["yMax"]) / 2)
    x, y = (math.floor(one / (2 * HALF) * 2**zoom) for one in middle)
    window = {"extent": json.dumps(extent), "width": 30, "height": 20}
    for query, kind in [
        ({"style": "11111111-2222-4333-8444-555555555555"}, "png"), ({"style": '{"method": "rgb"}'}, "png"),
        ({"applyStyle": "true"}, "png"), ({"style": "1", "applyStyle": "false"}, "tiff"),
        ({"applyStyle": "false"}, "tiff"), ({}, "tiff"),
    ]:  # fmt: skip
        for call, more, size in ((f"tile/{zoom}/{x}/{y}", {}, (256, 256)), ("rasterByExtent", window, (20, 30))):
            answer = requests.get(f"{place}/{call}", {"token": token, **query, **more}, timeout=20)
            assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{kind}")
            if kind == "png":
                with rasterio.MemoryFile(answer.content) as memory, memory.open() as drawn:
                    assert (drawn.driver, drawn.shape, drawn.count, drawn.dtypes[0]) == ("PNG", size, 4, "uint8")
                    assert drawn.read(4).any()
    empty = requests.get(f"{place}/tile/{zoom}/0/0", {"token": token, "style": "1"}, timeout=20)
    assert (empty.status_code, empty.content) == (204, b"")


@pytest.mark.data
@pytest.mark.parametrize("name", ["landsat_pucallpa_2020_u8.tif", "l7_olinda_6band_u8.tif"])
def test_the_raster_of_a_whole_landsat_scene_holds_the_stored_pixels(
    client: ModuleType, token: str, data: Path, name: str
) -> None:
    check_whole(client, token, upload(client, token, data / name))


def test_a_raster_in_degrees_is_what_the_client_makes_of_it(client: ModuleType, token: str, scene: Layer) -> None:
    with rasterio.open(scene.file) as source:
        extent = box(rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *source.bounds))
    found = client.path.raster.timestamp.getRaster(*scene.ids, dict(extent), token, showProgress=False, epsg=4326)
    assert found["crs"] == "EPSG:4326" and found["extent"] == pytest.approx(extent)
    valid = found["raster"][-1] == 65535
    assert valid.mean() > 0.95
    assert set(np.unique(found["raster"][0][valid])) <= set(np.unique(scene.pixels[0]))
    with pytest.raises(ValueError, match="timestamp is not active"):
        client.path.raster.timestamp.deactivate(*scene.ids, token)
        client.path.raster.timestamp.getRaster(*scene.ids, extent, token)


@covers("path.raster.timestamp.getSampledRaster")
def test_a_sampled_raster_has_the_size_that_was_asked_for(client: ModuleType, token: str, scene: Layer) -> None:
    sample = client.path.raster.timestamp.getSampledRaster
    extent = mercator(scene)
    # At the file's own size and grid it is the file.
    whole = sample(*scene.ids, dict(extent), 512, 480, token=token)
    valid = (scene.pixels != 0).any(axis=0)
    assert np.array_equal(whole["raster"][-1], np.where(valid, 65535, 0))
    assert np.array_equal(whole["raster"][:-1], np.where(valid, scene.pixels, 0))
    assert tuple(whole["transform"]) == pytest.approx(tuple(scene.transform))
    # A quarter of its lines: every value is one that lies there.
    quarter = sample(*scene.ids, dict(extent), 128, 120, token=token)["raster"]
    assert quarter.shape == (5, 120, 128)
    blocks = scene.pixels.reshape(4, 120, 4, 128, 4)
    assert ((blocks == quarter[:-1, :, None, :, None]).any(axis=(2, 4)) | (quarter[-1] == 0)).all()
    far = {"xMin": 0.0, "xMax": 1000.0, "yMin": 0.0, "yMax": 1000.0}
    assert not sample(*scene.ids, far, 10, 20, token=token)["raster"].any()
    degrees = sample(*scene.ids, box((5.96, 51.9, 5.98, 51.91)), 50, 60, epsg=4326, token=token)
    assert degrees["raster"].shape == (5, 60, 50) and (degrees["raster"][-1] > 0).all()
    with pytest.raises(ValueError, match="pixels"):
        sample(*scene.ids, dict(extent), 100_000, 100_000, token=token)


@covers("path.raster.timestamp.contour")
def test_contours_follow_the_elevation(client: ModuleType, token: str, dem: Layer, scene: Layer) -> None:
    extent = mercator(dem)
    levels = [float(level) for level in np.percentile(dem.pixels[0], [30, 60])]
    lines = client.path.raster.timestamp.contour(*dem.ids, dict(extent), intervals=levels, epsg=3857, token=token)
    assert lines.crs.to_epsg() == 3857 and set(lines["label"]) == set(levels) and (lines.length > 0).all()
    heights = client.path.raster.timestamp.getSampledRaster(*dem.ids, dict(extent), 1000, 1000, token=token)["raster"]
    step = np.array([(extent["xMax"] - extent["xMin"]) / 1000, (extent["yMax"] - extent["yMin"]) / 1000])
    for line, level in zip(lines.geometry, lines["label"], strict=True):
        # The client puts rows, counted from the top, where x belongs, and columns where y does.
        at = np.round((np.array(line.coords) - (extent["xMin"], extent["yMin"])) / step).astype(int)
        around = [
            heights[0, np.clip(at[:, 0] + i, 0, 999), np.clip(at[:, 1] + j, 0, 999)]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
        assert (np.min(around, axis=0) <= level).all() and (np.max(around, axis=0) >= level).all()
    by_step = client.path.raster.timestamp.contour(*dem.ids, dict(extent), epsg=3857, token=token)
    assert 9 <= by_step["label"].nunique() <= 11
    # It looks for 1 in the mask, which of integers is the highest value.
    with pytest.raises(ValueError, match="zero-size array"):
        client.path.raster.timestamp.contour(*scene.ids, mercator(scene), epsg=3857, token=token)


@covers("path.raster.timestamp.getLocationInfo")
def test_values_at_places(client: ModuleType, token: str, scene: Layer) -> None:
    to_degrees = pyproj.Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    pixels = [(0, 0), (100, 200), (479, 511)]
    places = [list(to_degrees.transform(*(scene.transform * (column + 0.5, row + 0.5)))) for row, column in pixels]
    found = client.path.raster.timestamp.getLocationInfo(*scene.ids, [*places, [100.0, 10.0]], token=token)
    stored = [[int(v) for v in scene.pixels[:, row, column]] for row, column in pixels]
    # The lower right corner is nodata.
    assert found == [*stored[:2], [None] * 4, [None] * 4] and stored[2] == [0] * 4
    # With another epsg the client makes points and forgets to move them: they are sent as they are.
    with pytest.raises(ValueError, match="latitude of -90 to 90"):
        client.path.raster.timestamp.getLocationInfo(
            *scene.ids, [scene.transform * (100.5, 100.5)], epsg=3857, token=token
        )
    assert client.path.raster.timestamp.getLocationInfo(*scene.ids, [places[1]], epsg=3857, token=token) == [stored[1]]


@covers("path.raster.timestamp.analyse")
def test_statistics_of_the_pixels_in_a_geometry(client: ModuleType, token: str, scene: Layer, dem: Layer) -> None:
    triangle = shapely.Polygon([scene.transform * corner for corner in ((10.2, 10.1), (480.7, 30.3), (200.4, 440.2))])
    inside = rasterio.features.geometry_mask([triangle], scene.pixels.shape[1:], scene.transform, invert=True)
    (found,) = client.path.raster.timestamp.analyse(
        scene.path, [scene.timestamp], triangle, approximate=False, token=token, epsg=3857, showProgress=False
    )
    assert found["timestamp"]["id"] == scene.timestamp and found["hasData"] and not found["approximate"]
    assert len(found["result"]) == 4
    for band, pixels in zip(found["result"], scene.pixels, strict=True):
        values = pixels[inside].astype(float)
        statistics = band["statistics"]
        assert statistics["count"] == pytest.approx(len(values), rel=1e-3)
        assert statistics["mean"] == pytest.approx(values.mean(), rel=1e-3)
        assert (statistics["min"], statistics["max"]) == (values.min(), values.max())
        assert statistics["percentiles"][50] == pytest.approx(np.median(values), rel=1e-3)
    # The type that is asked for is a parameter of its own name.
    (only,) = client.path.raster.timestamp.analyse(
        scene.path, [scene.timestamp], triangle, returnType="percentiles", token=token, epsg=3857, showProgress=False
    )
    assert set(only["result"][0]["statistics"]) == {"percentiles"}
    far = shapely.box(100, 10, 101, 11)
    (nothing,) = client.path.raster.timestamp.analyse(dem.path, [dem.timestamp], far, token=token, showProgress=False)
    assert nothing["hasData"] is False
    with pytest.raises(ValueError, match="returnType"):
        client.path.raster.timestamp.analyse(dem.path, [dem.timestamp], far, returnType="nonsense", token=token)


def test_what_is_published_for_viewing_is_seen_without_a_token(client: ModuleType, token: str, scene: Layer) -> None:
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.raster.timestamp.getSampledRaster(*scene.ids, mercator(scene), 16, 16)
    client.path.editPublicAccess(scene.path, token, access={"accessLevel": 100})
    assert client.path.raster.timestamp.getSampledRaster(*scene.ids, mercator(scene), 16, 16)["raster"].any()
    assert client.path.raster.timestamp.getRaster(*scene.ids, mercator(scene), showProgress=False)["raster"].any()
