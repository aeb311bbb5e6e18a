"""Frames compared: what counts as equal, and what is said where they are not."""

from __future__ import annotations

import io
import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from ellipsis_local.errors import ArgumentError
from ellipsis_local.testing import assert_frame_equal


def frame(count: int = 6, **columns) -> gpd.GeoDataFrame:
    given = {"id": range(count), "value": np.linspace(0, 1, count), "name": [f"n{i}" for i in range(count)]}
    shapes = [shapely.box(i, 0, i + 0.5, 1) for i in range(count)]
    return gpd.GeoDataFrame(given | columns, geometry=shapes, crs="EPSG:3857")


def difference(actual, expected, **options) -> str:
    with pytest.raises(AssertionError) as found:
        assert_frame_equal(actual, expected, **options)
    return str(found.value)


def test_every_form_is_the_same_frame(tmp_path) -> None:
    source = frame()
    packed, parquet, features = (tmp_path / f"one.{suffix}" for suffix in ("gpkg", "parquet", "geojson"))
    source.to_file(packed)
    source.to_parquet(parquet)
    degrees = source.to_crs("EPSG:4326")
    degrees.to_file(features)
    for form in (
        packed,
        str(packed),
        packed.read_bytes(),
        io.BytesIO(packed.read_bytes()),
        parquet,
        parquet.read_bytes(),
    ):
        assert_frame_equal(form, source, check_geometry_type=False)
    for form in (features, features.read_bytes(), json.loads(degrees.to_json())):
        assert_frame_equal(form, degrees, tolerance=1e-6, rtol=1e-12)
    # An id that GeoJSON has beside the properties is no column.
    with pytest.raises(AssertionError, match="CRS: EPSG:4326, expected EPSG:3857"):
        assert_frame_equal(features, source)


def test_order_and_index_do_not_matter_unless_they_are_asked_for() -> None:
    source = frame()
    mixed = source.sample(frac=1, random_state=1)
    assert_frame_equal(mixed, source)
    text = difference(mixed, source, check_order=True)
    assert "row 0: id is" in text
    assert_frame_equal(source.set_index(source["id"] + 5), source, check_order=True)
    turned = source[["geometry", "name", "value", "id"]]
    assert_frame_equal(turned, source)
    assert "order of the columns: geometry, name" in difference(turned, source, check_column_order=True)
    assert_frame_equal(source.rename_geometry("shape"), source)


def test_shapes_are_compared_by_what_they_cover() -> None:
    source = frame()
    rings = source.set_geometry(
        [shapely.Polygon(np.roll(shapely.get_coordinates(g)[:-1], i, axis=0)[::-1]) for i, g in enumerate(source.geometry)],
        crs=source.crs,
    )  # fmt: skip
    assert_frame_equal(rings, source)
    moved = source.set_geometry(source.translate(1e-7, -1e-7))
    assert_frame_equal(moved, source, tolerance=1e-6)
    text = difference(moved, source, tolerance=1e-8)
    assert "values: 6 rows differ" in text
    assert "row 0: geometry is POLYGON" in text
    multi = source.set_geometry([shapely.MultiPolygon([g]) for g in source.geometry], crs=source.crs)
    assert "geometry is MULTIPOLYGON" in difference(multi, source)
    assert_frame_equal(multi, source, check_geometry_type=False)
    holed = source.copy()
    holed.loc[2, "geometry"] = holed.geometry[2].difference(shapely.box(2.1, 0.2, 2.2, 0.3))
    assert "row 2" in difference(holed, source, tolerance=0.01)


def test_rows_that_are_only_here_or_only_there() -> None:
    source = frame()
    text = difference(pd.concat([source.iloc[1:], source.iloc[[3]]]), source.iloc[:-1])
    assert "rows: 6, expected 5" in text
    assert "only in actual: 2 rows" in text
    assert "only in expected: 1 row\n    row 0: id=0, value=0.0, name='n0', POLYGON ((0" in text
    assert "only in actual: 3 rows" in difference(pd.concat([source, source.iloc[:3]]), source)


def test_a_row_is_the_equal_of_one_other_only() -> None:
    near = [shapely.Point(0, 0), shapely.Point(1e-8, 0)]
    one = gpd.GeoDataFrame({"id": [1, 1]}, geometry=near, crs="EPSG:3857")
    other = gpd.GeoDataFrame({"id": [1, 1]}, geometry=[shapely.Point(2e-8, 0), shapely.Point(5, 5)], crs="EPSG:3857")
    text = difference(one, other, tolerance=1e-6)
    assert "values: 1 row differs\n    row 1: geometry is POINT" in text
    assert "only in" not in text
    assert_frame_equal(one, one.iloc[::-1], tolerance=1e-6)


def test_values_that_changed_are_told_with_both() -> None:
    source = frame()
    other = source.copy()
    other.loc[4, "value"], other.loc[4, "name"] = 9.0, None
    text = difference(other, source)
    assert "values: 1 row differs\n    row 4: value is 9.0, expected 0.8; name is None, expected 'n4'" in text
    assert "only in" not in text
    assert_frame_equal(other, source, ignore=["value", "name"])
    close = source.assign(value=source["value"] + 1e-9)
    assert_frame_equal(close, source, atol=1e-8)
    assert "values: 6 rows differ" in difference(close, source)


def test_columns_dtypes_and_crs() -> None:
    source = frame()
    text = difference(source.drop(columns="name").assign(more=1), source)
    assert "columns that are not expected: more" in text
    assert "columns that are missing: name" in text
    small = source.astype({"id": "int16"})
    assert_frame_equal(small, source)
    assert "dtype of column 'id': int16, expected int64" in difference(small, source, check_dtype=True)
    assert_frame_equal(source.set_crs(None, allow_override=True), source)
    assert_frame_equal(source.set_crs("EPSG:32631", allow_override=True), source, check_crs=False)


def test_missing_values_of_all_kinds_are_equal() -> None:
    one = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": ["x", None], "t": [pd.NaT, pd.Timestamp(0)]})
    other = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", np.nan], "t": [None, pd.Timestamp(0)]})
    assert_frame_equal(one, other)
    nested = pd.DataFrame({"a": [[1, 2], {"k": np.float64(2)}, np.array([1.5])]})
    assert_frame_equal(nested, nested.iloc[::-1])
    without = frame(2)
    without.loc[0, "geometry"] = None
    assert_frame_equal(without.iloc[::-1], without, tolerance=0.1)
    assert "rows: 2, expected 0" in difference(frame(2), frame(0))
    assert_frame_equal(frame(0), frame(0))
    plain = pd.DataFrame({"k": ["a", "b", "c"], "v": [1.0, 2.0, 3.0]})
    assert_frame_equal(plain.assign(v=plain["v"] + 1e-9).iloc[::-1], plain, atol=1e-6)


def test_many_rows_do_not_take_long() -> None:
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 1e5, (5000, 2))
    source = gpd.GeoDataFrame({"id": range(5000)}, geometry=gpd.points_from_xy(*xy.T), crs="EPSG:3857")
    moved = source.set_geometry(source.translate(1e-7, 0)).sample(frac=1, random_state=2)
    assert_frame_equal(moved, source, tolerance=1e-6)


def test_what_is_no_frame(tmp_path) -> None:
    (tmp_path / "x.gpkg").write_bytes(b"rubbish")
    for wrong, words in (
        (tmp_path / "none.gpkg", "actual is no file"),
        (tmp_path / "x.gpkg", "actual cannot be read as features .*x.gpkg"),
        (b"rubbish", r"cannot be read as features \(7 bytes\)"),
        (5, "actual must be a GeoDataFrame or DataFrame, .* not int"),
        ({"raster": 1}, "not dict"),
    ):
        with pytest.raises(ArgumentError, match=words):
            assert_frame_equal(wrong, frame())
    with pytest.raises(ArgumentError, match="tolerance must be a number"):
        assert_frame_equal(frame(), frame(), tolerance=-1)
