"""Small results keep their type on the way back."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections import OrderedDict, defaultdict

import affine
import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio.crs
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon

from ellipsis_local.node_program.ellipsis_node.values import NotCarriableError, decode, encode

PLAIN = [
    None, True, 0, -1, 2**70, 1.5, float("inf"), "", "é\ud800", b"ab", bytearray(b"x"), 1 + 2j,
    [], [1, [2, ["x"]]], (1, (2,)), {1, 2}, frozenset({"a"}), {"a": 1, 2: (3,), (1, 2): None}, OrderedDict(b=1, a=2), range(1, 9, 2),
    datetime.datetime(2024, 1, 2, 3, 4, 5, 6), datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), datetime.date(2024, 1, 2),
    datetime.time(1, 2), datetime.timedelta(-1, 2, 3), decimal.Decimal("1.10"), uuid.UUID(int=5),
    pd.Timestamp("2020-01-01 02:00", tz="Europe/Amsterdam"), pd.Timedelta("1D 2h"), affine.Affine(1, 2, 3, 4, 5, 6),
    Point(1, 2), Point(1, 2, 3), Polygon([(0, 0), (1, 0), (1, 1)]), Polygon(), pyproj.CRS(4326), np.dtype("<u2"),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: f"{type(value).__name__}-{value!s:.20}")
def test_plain_values(value: object) -> None:
    result = decode(encode(value))
    assert type(result) is type(value)
    assert result == value


@pytest.mark.parametrize(
    "value",
    [
        np.float32(1.5), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.str_("x"), np.datetime64("2020-01-01"),
        np.complex64(1j), np.float16(0.5),
    ],
    ids=repr,
)  # fmt: skip
def test_numpy_scalars(value: np.generic) -> None:
    result = decode(encode(value))
    assert type(result) is type(value)
    assert result == value


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3), np.zeros((0, 4), "f4"), np.array(5), np.arange(6, dtype=">i2"), np.array(["a", "bb"]),
        np.asfortranarray(np.eye(3)), np.arange(10)[::2], np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([1, "a", None, (2,)], dtype=object), np.array([True, False]), np.array(["2020-01-01"], dtype="M8[s]"),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)  # fmt: skip
def test_arrays(array: np.ndarray) -> None:
    result = decode(encode({"a": [array]}))["a"][0]
    assert type(result) is np.ndarray
    assert result.dtype == array.dtype
    assert result.shape == array.shape
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


def test_masked_array() -> None:
    result = decode(encode(np.ma.masked_equal([1, 2, 3], 2)))
    assert result.mask.tolist() == [False, True, False]
    assert result.sum() == 4


FRAMES = {
    "plain": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, float("nan")]}, index=[5, 6]),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="int64"), "b": pd.Series([], dtype="float32")}),
    "nothing": pd.DataFrame(),
    "nullable": pd.DataFrame({"i": pd.array([1, None], dtype="Int64"), "b": pd.array([True, None], dtype="boolean")}),
    "categories": pd.DataFrame({"c": pd.Categorical(["a", "b"], categories=["b", "a"], ordered=True)}),
    "times": pd.DataFrame({"t": pd.to_datetime(["2020-01-01", None]).tz_localize("UTC"), "d": pd.to_timedelta([1, 2], unit="s")}),
    "columns are numbers": pd.DataFrame({1: [1.0], 2: ["q"]}),
    "mixed objects": pd.DataFrame({"m": [1, "a", (1, 2)], "k": [1, 2, 3]}),
    "two-level index": pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "x"), (2, "y")], names=["i", "j"])),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name: str) -> None:
    result = decode(encode(FRAMES[name]))
    pd.testing.assert_frame_equal(result, FRAMES[name])


def test_series_index_and_categorical() -> None:
    pd.testing.assert_series_equal(
        decode(encode(pd.Series([1, 2], name="z", index=["a", "b"]))), pd.Series([1, 2], name="z", index=["a", "b"])
    )
    pd.testing.assert_index_equal(decode(encode(pd.Index([3, 1], name="i"))), pd.Index([3, 1], name="i"))
    assert decode(encode(pd.Categorical(["a", "b"]))).tolist() == ["a", "b"]
    assert decode(encode(pd.NaT)) is pd.NaT
    assert decode(encode(pd.NA)) is pd.NA


@pytest.mark.parametrize("rows", [0, 3])
def test_geodataframe(rows: int) -> None:
    frame = gpd.GeoDataFrame(
        {"a": np.arange(rows, dtype="int16"), "n": [f"n{i}" for i in range(rows)]},
        geometry=[Point(i, i) for i in range(rows)],
        crs="EPSG:3857",
    ).rename_geometry("shape")
    result = decode(encode(frame))
    assert type(result) is gpd.GeoDataFrame
    assert result.geometry.name == "shape"
    assert result.crs == frame.crs
    pd.testing.assert_frame_equal(pd.DataFrame(result), pd.DataFrame(frame))


def test_geoseries_and_raster_crs() -> None:
    result = decode(encode(gpd.GeoSeries([Point(1, 2)], crs=4326)))
    assert type(result) is gpd.GeoSeries
    assert result.crs == pyproj.CRS(4326)
    assert decode(encode(rasterio.crs.CRS.from_epsg(3857))) == rasterio.crs.CRS.from_epsg(3857)


def test_subclasses_of_plain_types_keep_their_value() -> None:
    class Level(int):
        pass

    assert decode(encode([Level(3), defaultdict(list, a=[1])])) == [3, {"a": [1]}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(JSON)
def test_any_nesting_comes_back_equal(value: object) -> None:
    assert decode(encode(value)) == value


def test_nan_stays_nan() -> None:
    assert math.isnan(decode(encode([float("nan")]))[0])


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (object(), "result is of type builtins.object"),
        ([1, {"a": lambda: 1}], r"result\[1\]\['a'\] is of type builtins.function"),
        ({open: 1}, "a key of result"),
        (pd.DataFrame({"o": [object()]}), r"result\['o'\]\[0\]"),
        (np.array([object()]), r"result.flat\[0\]"),
    ],
)
def test_what_cannot_be_carried_is_named(value: object, place: str) -> None:
    with pytest.raises(NotCarriableError, match=place):
        encode(value)


def test_a_value_that_contains_itself() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(NotCarriableError, match="contains itself"):
        encode(value)
