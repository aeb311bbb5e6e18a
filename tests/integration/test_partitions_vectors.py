"""Vectors cut into files: every feature once, every dtype kept, the edges of the world."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from .test_partitions_factory import (
    assert_tiles,
    describe_vector,
    frame,
    make_partitions,
    raster_layer,
    timestamp,
    vector_layer,
)

LIMIT = 20037508.35


@pytest.fixture
def partitions(tmp_path):
    """Small layers are cut in this process, by the functions that helper processes run; see test_partitions_cache."""
    return make_partitions(tmp_path, here="all")


def squares(count, crs="EPSG:3857", size=50.0, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 10_000, (2, count))
    return gpd.GeoDataFrame({"i": np.arange(count)}, geometry=shapely.box(x, y, x + size, y + size), crs=crs)


def cut(partitions, layer, nodes, **options):
    result = partitions.ensure(partitions.plan([layer], nodes, **options))
    assert len(result.parts) == len(result.extents) == nodes
    assert_tiles(result.extents)
    return [frame(part) for (part,) in result.parts], result


@pytest.mark.parametrize("nodes", [1, 5, 64])
@pytest.mark.parametrize("suffix", ["gpkg", "parquet", "fgb", "geojson"])
def test_every_feature_once(partitions, tmp_path, nodes, suffix):
    original = squares(300) if suffix != "geojson" else squares(300).to_crs(4326)
    frames, result = cut(partitions, vector_layer(tmp_path / f"a.{suffix}", original), nodes)
    assert sorted(i for f in frames for i in f["i"]) == list(range(300))
    sizes = [len(f) for f in frames]
    assert max(sizes) - min(sizes) <= 6
    for part in frames:
        assert part.crs.to_epsg() == 3857
        assert list(part.columns) == ["i", "geometry"]
        assert part.index.equals(pd.RangeIndex(len(part)))
        assert suffix == "fgb" or list(part["i"]) == sorted(part["i"])  # FlatGeobuf sorts in space
    union = assert_tiles(result.extents)
    assert np.allclose(union, original.to_crs(3857).total_bounds)


def test_every_dtype_is_kept(partitions, tmp_path):
    count = 40
    original = squares(count)
    original["category"] = pd.Categorical(["a", "b"] * 20, categories=["b", "a", "unused"], ordered=True)
    original["nullable"] = pd.array([1, None] * 20, "Int16")
    original["flag"] = np.arange(count) % 3 == 0
    original["maybe"] = pd.array([True, None] * 20, "boolean")
    original["when"] = pd.date_range("2024-01-01", periods=count, tz="Europe/Amsterdam")
    original["naive"] = pd.date_range("2024-01-01", periods=count)
    original["text"] = ["é", None] * 20
    original["small"] = np.arange(count, dtype="int8")
    original["ratio"] = np.arange(count, dtype="float32")
    frames, _ = cut(partitions, vector_layer(tmp_path / "a.parquet", original), 3)
    whole = pd.concat(frames).sort_values("i").reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.DataFrame(whole), pd.DataFrame(original))
    assert all(f["category"].cat.categories.equals(original["category"].cat.categories) for f in frames)


def test_more_cells_than_features(partitions, tmp_path):
    frames, _ = cut(partitions, vector_layer(tmp_path / "a.parquet", squares(3)), 10)
    assert sorted(len(f) for f in frames) == [0] * 7 + [1] * 3
    assert all(list(f.columns) == ["i", "geometry"] and f["i"].dtype == "int64" for f in frames)


@pytest.mark.parametrize(
    "geometry",
    [
        [shapely.Point(5, 5)] * 4,
        [shapely.Point(i, 3) for i in range(4)],
        [shapely.LineString([(0, 0), (0, 9)])] * 4,
        [shapely.Polygon([(0, 0), (1, 1), (2, 2)])] * 4,
    ],
)
def test_degenerate_extents(partitions, tmp_path, geometry):
    layer = vector_layer(tmp_path / "a.parquet", gpd.GeoDataFrame({"i": range(4)}, geometry=geometry, crs=3857))
    for nodes in (1, 2, 7):
        frames, _ = cut(partitions, layer, nodes)
        assert sorted(i for f in frames for i in f["i"]) == [0, 1, 2, 3]


def test_no_features_at_all(partitions, tmp_path):
    layer = vector_layer(tmp_path / "a.parquet", squares(3).iloc[:0])
    frames, _ = cut(partitions, layer, 4)
    assert [len(f) for f in frames] == [0] * 4
    assert list(frames[0].columns) == ["i", "geometry"]


def test_null_and_empty_geometries_are_left_out(partitions, tmp_path):
    original = squares(6)
    original.loc[1, "geometry"] = None
    original.loc[3, "geometry"] = shapely.Polygon()
    frames, result = cut(partitions, vector_layer(tmp_path / "a.parquet", original), 2)
    assert sorted(i for f in frames for i in f["i"]) == [0, 2, 4, 5]
    assert result.warnings == ()


def test_several_files_are_one_layer(partitions, tmp_path):
    one, two = squares(20), squares(20, seed=1).to_crs(4326).rename_geometry("shape")
    two["i"] += 20
    vector_layer(tmp_path / "a.parquet", one)
    vector_layer(tmp_path / "b.parquet", two)
    layer = timestamp(
        describe_vector(tmp_path / "a.parquet"), describe_vector(tmp_path / "b.parquet", geometry_column="shape")
    )
    frames, _ = cut(partitions, layer, 3)
    assert sorted(i for f in frames for i in f["i"]) == list(range(40))
    whole = pd.concat(frames)
    assert list(whole.columns) == ["i", "geometry"]
    assert whole.geometry.notna().all()


def test_intersecting(partitions, tmp_path):
    original = squares(400, size=900)
    layer = vector_layer(tmp_path / "a.parquet", original)
    frames, result = cut(partitions, layer, 7, features="intersecting")
    once, _ = cut(partitions, layer, 7)
    for part, alone, cell in zip(frames, once, result.extents, strict=True):
        expected = original[original.intersects(shapely.box(*cell))]
        assert list(part["i"]) == list(expected["i"])
        assert set(alone["i"]) <= set(part["i"])


def test_overlap(partitions, tmp_path):
    original = squares(400)
    layer = vector_layer(tmp_path / "a.parquet", original)
    frames, result = cut(partitions, layer, 5, overlap=500)
    point = gpd.GeoSeries([shapely.Point(shape.exterior.coords[0]) for shape in original.geometry], crs=3857)
    for part, cell in zip(frames, result.extents, strict=True):
        box = shapely.box(*cell.buffer(500))
        assert list(part["i"]) == list(original[point.intersects(box)]["i"])
    frames, result = cut(partitions, layer, 5, overlap=500, features="intersecting")
    for part, cell in zip(frames, result.extents, strict=True):
        assert list(part["i"]) == list(original[original.intersects(shapely.box(*cell.buffer(500)))]["i"])


def test_beyond_web_mercator(partitions, tmp_path):
    shapes = {
        "inside": shapely.box(0, 0, 1, 1),
        "pole": shapely.box(-180, -90, 180, -60),
        "over the edge": shapely.box(170, 10, 190, 20),
        "beyond": shapely.box(185, 10, 190, 20),
        "at the pole": shapely.Point(0, 90),
        "at the edge": shapely.box(179, 0, 180, 1),
    }
    original = gpd.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs=4326)
    for nodes in (1, 4):
        layer = vector_layer(tmp_path / f"{nodes}.parquet", original)
        frames, result = cut(partitions, layer, nodes)
        whole = pd.concat(frames)
        assert sorted(whole["name"]) == ["at the edge", "beyond", "inside", "over the edge", "pole"]
        assert np.isfinite(whole.total_bounds).all()
        assert np.abs(whole.total_bounds).max() <= LIMIT
        (warning,) = result.warnings
        assert "1 features were cut off and 1 dropped" in warning
        assert layer.id in warning
        degrees = whole.set_index("name").to_crs(4326).geometry
        assert np.allclose(degrees["beyond"].bounds, (-175, 10, -170, 20))
        west, east = sorted(degrees["over the edge"].geoms, key=lambda part: part.bounds)
        assert np.allclose(west.bounds, (-180, 10, -170, 20)) and np.allclose(east.bounds, (170, 10, 180, 20))
        # the cut exists now, and the warning is there each time
        assert partitions.ensure(partitions.plan([layer], nodes)).warnings == result.warnings
        assert cut(partitions, layer, nodes, crs="native")[1].warnings == ()


def test_polar_projection(partitions, tmp_path):
    shapes = [shapely.Point(0, 0).buffer(1e5), shapely.box(2e6, 0, 2.1e6, 1e5)]
    layer = vector_layer(tmp_path / "a.gpkg", gpd.GeoDataFrame({"i": [0, 1]}, geometry=shapes, crs=3413))
    frames, result = cut(partitions, layer, 2)
    whole = pd.concat(frames)
    assert np.isfinite(whole.total_bounds).all()
    assert np.abs(whole.total_bounds).max() <= LIMIT
    assert 1 in set(whole["i"])
    assert len(result.warnings) == 1


def test_with_a_raster(partitions, tmp_path):
    """The raster decides the cells; features outside it are in one of them as well."""
    raster = raster_layer(tmp_path / "a.tif", np.ones((1, 50, 50), "u1"), (100, 0, 2000, 0, -100, 8000))
    vector = vector_layer(tmp_path / "a.gpkg", squares(200).to_crs(4326))
    for nodes in (1, 3, 8):
        result = partitions.ensure(partitions.plan([vector, raster], nodes))
        union = assert_tiles(result.extents)
        assert union.x_min < 2000
        frames = [frame(node[0]) for node in result.parts]
        assert sorted(i for f in frames for i in f["i"]) == list(range(200))
        for part, cell in zip(frames, result.extents, strict=True):
            first = [shapely.Point(shape.exterior.coords[0]) for shape in part.geometry]
            assert shapely.intersects(first, shapely.box(*cell.buffer(1e-6))).all()


@pytest.mark.data
def test_real_vectors(partitions, data):
    for name, count in [
        ("ne_110m_countries.fgb", 177),
        ("tiger_roads_nyc.geojson", 8333),
        ("buildings_alexandria.geojson", 84),
        ("zion.gpkg", 1),
        ("zion_points.gpkg", 30),
    ]:
        for nodes in (1, 16):
            frames, result = cut(partitions, timestamp(describe_vector(data / name)), nodes)
            whole = pd.concat(frames)
            assert len(whole) == count
            assert np.isfinite(whole.total_bounds).all()
            assert np.abs(whole.total_bounds).max() <= LIMIT
            assert len(result.warnings) == (name == "ne_110m_countries.fgb")
            if "name" in whole:
                assert {"Antarctica", "Fiji", "Russia"} <= set(whole["name"])
                assert whole["name"].is_unique
