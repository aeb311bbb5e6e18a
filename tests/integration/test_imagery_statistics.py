"""Statistics of the pixels inside a geometry, against those of the pixels found one by one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import rasterio
from affine import Affine

from ellipsis_local.errors import ArgumentError, LayerError, LimitError
from ellipsis_local.imagery import statistics, zonal_statistics
from ellipsis_local.raster.grid import apply as at
from tests.integration.imagery_tools import DTYPES, GRIDS, RNG, WORLD, big, box, lonlat, raster, stamp

# ----- statistics ----------------------------------------------------------------------------------------------------


def inside(timestamp, geometry):
    """Which pixel centres of the only file lie in a geometry of EPSG:4326, point by point."""
    import shapely

    (file,) = timestamp.rasters
    u, v = np.meshgrid(np.arange(file.width) + 0.5, np.arange(file.height) + 0.5)
    x, y = lonlat(*at(file.transform, u, v), file.crs)
    return shapely.intersects_xy(shapely.geometry.shape(geometry), x, y)


def check_statistics(found, values):
    values = values[np.isfinite(values)].astype(float)
    assert found["count"] == values.size
    for name, expect in (("min", values.min()), ("max", values.max()), ("mean", values.mean()),
                         ("median", np.median(values)), ("deviation", values.std()), ("sum", values.sum())):  # fmt: skip
        assert found[name] == pytest.approx(expect, rel=1e-9), name
    np.testing.assert_allclose(found["percentiles"], np.percentile(values, np.arange(101)))
    assert sum(one["count"] for one in found["histogram"]) == values.size
    assert len(found["histogram"]) <= 256


TRIANGLE = [[0.1, 0.15], [0.93, 0.2], [0.55, 0.9], [0.1, 0.15]]


@pytest.mark.parametrize(("crs", "transform"), GRIDS.values(), ids=GRIDS)
def test_statistics_of_what_lies_inside(store, imagery, crs, transform):
    values = RNG.normal(100, 30, (2, 300, 410)).astype("float32")
    values[:, 100:120] = -1
    timestamp = stamp(store, {"raster": values, "transform": transform, "crs": crs, "nodata": -1})
    corners = [lonlat(*at(transform, 410 * u, 300 * v), crs) for u, v in TRIANGLE]
    geometry = {"type": "Polygon", "coordinates": [corners]}
    where = inside(timestamp, geometry)
    (answer,) = imagery.analyse([timestamp], geometry, approximate=False)
    assert (answer["timestamp"], answer["hasData"], answer["approximate"]) == ({"id": timestamp.id}, True, False)
    assert [one["band"]["number"] for one in answer["result"]] == [1, 2]
    for band, one in zip(values, answer["result"], strict=True):
        check_statistics(one["statistics"], band[where & (band != -1)])
    json.dumps(answer, allow_nan=False)
    assert imagery.analyse([timestamp], {"type": "Feature", "properties": None, "geometry": geometry}) == [answer]


@pytest.mark.data
def test_statistics_of_real_layers(store, imagery, data):
    import geopandas

    timestamp = stamp(store, data / "nlcd_zion_u8.tif")
    park = geopandas.read_file(data / "zion.gpkg").to_crs(4326).geometry.iloc[0]
    where = inside(timestamp, park.__geo_interface__)
    with rasterio.open(data / "nlcd_zion_u8.tif") as dataset:
        values = dataset.read(1)
    found = imagery.analyse([timestamp], park.__geo_interface__)[0]["result"][0]["statistics"]
    counts = {one["bin"]: one["count"] for one in found["histogram"]}
    assert counts == {kind: (values[where] == kind).sum() for kind in np.unique(values[where])}


@pytest.mark.parametrize("dtype", [d for d in DTYPES if "complex" not in d])
def test_statistics_of_every_dtype(store, imagery, dtype):
    kind = np.dtype(dtype)
    limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    values = (RNG.random((1, 60, 70)) * 100).astype(kind)
    for extremes in ((), (limits.min, limits.max)):
        values[0, 0, : len(extremes)] = extremes
        timestamp = stamp(store, raster(values))
        found = imagery.analyse([timestamp], around(timestamp))[0]["result"][0]["statistics"]
        json.dumps(found, allow_nan=False)
        assert (found["min"], found["max"]) == (values.min(), values.max())
        assert found["median"] == pytest.approx(float(np.median(values)))
        if kind.kind in "iu":
            assert found["sum"] == sum(values.ravel().tolist())
        if not extremes:
            check_statistics(found, values[0])


def around(timestamp):
    """A box of degrees around everything."""
    corners = []
    for file in timestamp.rasters:
        corners += [lonlat(*at(file.transform, c, r), file.crs) for c in (0, file.width) for r in (0, file.height)]
    xs, ys = zip(*corners, strict=True)
    return box(min(xs) - 0.1, max(min(ys) - 0.1, -90), max(xs) + 0.1, min(max(ys) + 0.1, 90))


def test_statistics_of_a_mosaic(store, imagery, tmp_path):
    layers = [raster(RNG.integers(0, 9, (1, 600, 50)).astype("int32"), 500_000 + 300 * i, 6_000_000 - 50 * i, nodata=3) for i in range(3)]  # fmt: skip
    timestamp = stamp(store, *layers)
    store.export(timestamp.path_id, timestamp.id, tmp_path / "mosaic.tif")
    with rasterio.open(tmp_path / "mosaic.tif") as dataset:
        pixels = dataset.read(1)
    found = imagery.analyse([timestamp, timestamp], around(timestamp))
    assert found[0] == found[1]
    check_statistics(found[0]["result"][0]["statistics"], pixels[pixels != 3])


def test_points_and_lines(store, imagery):
    values = np.arange(1, 101, dtype="uint8").reshape(1, 10, 10)
    timestamp = stamp(store, {"raster": values, "transform": Affine(1, 0, 0, 0, -1, 10), "crs": "EPSG:4326"})

    def bins(kind, coordinates):
        answer = imagery.analyse([timestamp], {"type": kind, "coordinates": coordinates})
        return [one["bin"] for one in answer[0]["result"][0]["statistics"]["histogram"]]

    assert bins("Point", [3.2, 9.7]) == [4]
    assert bins("MultiPoint", [[3.2, 9.7], [0.1, 0.1], [50, 50]]) == [4, 91]
    assert bins("LineString", [[0.5, 8.5], [3.5, 8.5]]) == [11, 12, 13, 14]
    assert bins("Polygon", [[[0.6, 8.6], [1.4, 8.6], [1.4, 8.9], [0.6, 8.6]]]) == []
    # A hole, two parts, a part twice, an edge over itself.
    assert bins("Polygon", [[[0, 10], [3, 10], [3, 7], [0, 7], [0, 10]], [[1, 9], [2, 9], [2, 8], [1, 8], [1, 9]]]) == [1, 2, 3, 11, 13, 21, 22, 23]  # fmt: skip
    collection = {"type": "GeometryCollection", "geometries": [
        {"type": "Polygon", "coordinates": [[[0, 10], [1, 10], [1, 9], [0, 9], [0, 10]]]},
        {"type": "Point", "coordinates": [3.5, 3.5]},
        {"type": "GeometryCollection", "geometries": [{"type": "LineString", "coordinates": [[5.5, 0.5], [6.5, 0.5]]}]},
    ]}  # fmt: skip
    answer = imagery.analyse([timestamp], collection)
    assert [one["bin"] for one in answer[0]["result"][0]["statistics"]["histogram"]] == [1, 64, 96, 97]
    one = [[[0, 10], [1, 10], [1, 9], [0, 9], [0, 10]]]
    answer = imagery.analyse([timestamp], {"type": "MultiPolygon", "coordinates": [one, one]})
    assert answer[0]["result"][0]["statistics"]["count"] == 1
    assert bins("Polygon", [[[0.2, 10], [4.2, 6], [4.2, 10], [0.2, 6], [0.2, 10]]]) == [1, 11, 12, 14, 21, 22, 24, 31]


def test_statistics_over_the_antimeridian(store, imagery):
    values = np.arange(200, dtype="int16").reshape(1, 10, 20)
    for crs, transform in (
        ("EPSG:4326", Affine(1, 0, 170, 0, -1, 5)),
        ("EPSG:3857", Affine(111_319.5, 0, WORLD / 2 - 10 * 111_319.5, 0, -111_000, 555_000)),
        ("EPSG:3832", Affine(111_319.5, 0, 20 * 111_319.5, 0, -111_000, 555_000)),
    ):
        timestamp = stamp(store, {"raster": values, "transform": transform, "crs": crs})
        for west, east in ((175, 180), (-180, -175), (180, 185), (175, 185), (-185, -175)):
            first = int((west + 190) % 360 - 0)
            columns = np.arange(first, first + round(east - west))
            found = imagery.analyse([timestamp], box(west + 0.01, -9, east - 0.01, 9))[0]["result"][0]["statistics"]
            assert found["count"] == 10 * len(columns)
            assert (found["min"], found["max"]) == (columns[0], 180 + columns[-1]), (crs, west, east)


def test_statistics_up_to_the_poles(store, imagery):
    values = np.ones((1, 200, 200), "uint8")
    world = Affine(WORLD / 200, 0, -WORLD / 2, 0, -WORLD / 200, WORLD / 2)
    for crs, transform, geometry, count in (
        ("EPSG:3857", world, box(-180, -90, 180, 90), 40_000),
        ("EPSG:3857", world, box(-180, -80, 0, 90), None),
        ("EPSG:4326", Affine(1.8, 0, -180, 0, -0.9, 90), box(-180, -90, 180, 90), 40_000),
        ("EPSG:4326", Affine(1.8, 0, 0, 0, -0.9, 90), box(-180, -90, 180, 90), 40_000),
        ("EPSG:3413", Affine(50_000, 0, -5_000_000, 0, -50_000, 5_000_000), box(-180, 60, 180, 90), None),
        ("EPSG:3031", Affine(50_000, 0, -5_000_000, 0, -50_000, 5_000_000), box(-180, -90, 180, -55), None),
    ):
        timestamp = stamp(store, {"raster": values, "transform": transform, "crs": crs})
        if count is None:
            count = inside(timestamp, geometry).sum()
        found = imagery.analyse([timestamp], geometry)[0]["result"][0]["statistics"]["count"]
        assert found == pytest.approx(count, abs=2), crs


def test_large_polygons_are_estimated_where_that_is_enough(store, imagery, tmp_path, monkeypatch):
    monkeypatch.setattr(zonal_statistics, "APPROXIMATE_ABOVE", 100_000)
    path, values = big(tmp_path, overviews=[2, 4], bands=1)
    timestamp = stamp(store, path)
    (exact,) = imagery.analyse([timestamp], around(timestamp), approximate=False)
    (found,) = imagery.analyse([timestamp], around(timestamp), approximate=True)
    assert (exact["approximate"], found["approximate"]) == (False, True)
    check_statistics(exact["result"][0]["statistics"], values[0])
    exact, found = (one["result"][0]["statistics"] for one in (exact, found))
    assert found["count"] == pytest.approx(exact["count"], rel=0.02)
    assert found["mean"] == pytest.approx(exact["mean"], rel=0.02)
    assert found["sum"] == pytest.approx(exact["sum"], rel=0.03)
    # A thin shape holds few pixels, and all of them count.
    (west, south), _, (east, north), *_ = around(timestamp)["coordinates"][0]
    middle = (south + north) / 2
    thin = box(west, middle, east, middle + 0.001)
    assert imagery.analyse([timestamp], thin) == imagery.analyse([timestamp], thin, approximate=False)
    monkeypatch.setattr(zonal_statistics, "MOST_PIXELS", 1000)
    with pytest.raises(LimitError, match="at most 1,000 are read"):
        imagery.analyse([timestamp], around(timestamp), False)
    assert imagery.analyse([timestamp], around(timestamp))[0]["approximate"]


def test_more_values_than_are_kept(store, imagery, monkeypatch):
    monkeypatch.setattr(statistics, "MOST_KEPT", 1000)
    values = RNG.normal(0, 1, (1, 600, 700)).astype("float32")
    timestamp = stamp(store, raster(values))
    found = imagery.analyse([timestamp], around(timestamp))[0]["result"][0]["statistics"]
    assert (found["min"], found["max"], found["count"]) == (values.min(), values.max(), values.size)
    assert found["mean"] == pytest.approx(values.mean(dtype=float), abs=1e-9)
    assert found["deviation"] == pytest.approx(values.std(dtype=float), rel=1e-9)
    bin_width = (found["max"] - found["min"]) / 2**16
    np.testing.assert_allclose(found["percentiles"], np.percentile(values, np.arange(101)), atol=2 * bin_width)
    into, _ = np.histogram(values, 256, (found["min"], found["max"]))
    assert sum(one["count"] for one in found["histogram"]) == values.size
    assert max(one["count"] for one in found["histogram"]) == pytest.approx(into.max(), abs=2)


def test_what_is_wanted(store, imagery):
    timestamp = stamp(store, raster(np.ones((1, 3, 3), "uint8")))

    def keys(*want):
        return set(imagery.analyse([timestamp], around(timestamp), True, set(want))[0]["result"][0]["statistics"])

    everything = {"min", "max", "mean", "median", "deviation", "sum", "count", "percentiles", "histogram"}
    assert keys() == keys("all") == keys("statistics") == keys("all", "histogram") == everything
    assert keys("percentiles") == {"percentiles"}
    assert keys("percentiles", "histogram") == {"percentiles", "histogram"}
    with pytest.raises(ArgumentError, match="one of all, statistics, percentiles, histogram, not 'colour'"):
        keys("colour")


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        (None, "must be a GeoJSON geometry"),
        ("POINT (1 1)", "must be a GeoJSON geometry"),
        ({}, "must be a GeoJSON geometry"),
        ({"type": "Feature", "geometry": None}, "must be a GeoJSON geometry"),
        ({"type": "Circle", "coordinates": []}, "is no GeoJSON geometry"),
        ({"type": "Polygon"}, "is no GeoJSON geometry"),
        ({"type": "Polygon", "coordinates": [[[0, 0]]]}, "is no GeoJSON geometry"),
        ({"type": "Polygon", "coordinates": "abc"}, "is no GeoJSON geometry"),
        ({"type": "Point", "coordinates": [1]}, "is no GeoJSON geometry"),
        ({"type": "Point", "coordinates": [10**400, 1]}, "is no GeoJSON geometry"),
        ({"type": "Polygon", "coordinates": []}, "is empty"),
        ({"type": "Point", "coordinates": [500_000, 6_000_000]}, "must be in degrees"),
        ({"type": "Point", "coordinates": [math.nan, 6]}, "is empty|must be in degrees"),
    ],
)
def test_geometries_that_are_none(store, imagery, geometry, words):
    timestamp = stamp(store, raster(np.ones((1, 3, 3), "uint8")))
    with pytest.raises(ArgumentError, match=words):
        imagery.analyse([timestamp], geometry)


def test_complex_pixels_have_no_statistics(store, imagery):
    with pytest.raises(LayerError, match="complex"):
        imagery.analyse([stamp(store, raster(np.ones((1, 3, 3), "complex64")))], box(0, 0, 1, 1))
