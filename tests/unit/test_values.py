"""Small results arrive as they were, in type, dtype and value, or are refused with their place."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import http
import io
import json
import math
import pathlib
import pickle
import re
import struct
import sys
import time
import types
import unittest.mock
import uuid
import warnings
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any, NamedTuple

import affine
import dateutil.tz
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyproj
import pytest
import rasterio.coords
import rasterio.crs
import rasterio.enums
import rasterio.profiles
import rasterio.windows
import shapely
import shapely.prepared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from rasterio.io import MemoryFile
from shapely.geometry import GeometryCollection, LinearRing, LineString, MultiPoint, Point, Polygon

from ellipsis_local.node_program.ellipsis_node.values import (
    LENGTH,
    MAGIC,
    MOST_NESTED,
    NotCarriableError,
    NotReadableError,
    decode,
    encode,
    memory_file,
)

# --- sameness -------------------------------------------------------------------------------------------------------


def assert_same(found: Any, given: Any) -> None:
    """Equal in type, dtype and value, all the way down; NaN equals NaN, and -0.0 is not 0.0."""
    assert type(found) is type(given)
    if isinstance(given, pd.DataFrame | pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        assert_same_labelled(found, given)
    elif isinstance(given, np.ndarray | np.generic):
        assert_same_arrays(found, given)
    elif isinstance(given, dict | collections.UserDict):
        assert_same(list(found.items()), list(given.items()))
        assert getattr(found, "default_factory", None) is getattr(given, "default_factory", None)
    elif isinstance(given, list | tuple | deque):
        assert len(found) == len(given)
        assert getattr(found, "maxlen", None) == getattr(given, "maxlen", None)
        for one, other in zip(found, given, strict=True):
            assert_same(one, other)
    elif isinstance(given, set | frozenset):
        assert len(found) == len(given)
        equal = {item: item for item in found}
        for item in given:
            assert_same(equal[item], item)
    elif isinstance(given, slice):
        assert_same([found.start, found.stop, found.step], [given.start, given.stop, given.step])
    elif isinstance(given, shapely.Geometry):
        assert described(found) == described(given)
    elif isinstance(given, float | complex):
        assert repr(found) == repr(given)
    elif isinstance(given, datetime.datetime | datetime.time):
        assert type(found.tzinfo) is type(given.tzinfo)
        assert (str(found), found.fold, str(found.tzinfo)) == (str(given), given.fold, str(given.tzinfo))
        assert getattr(found, "unit", None) == getattr(given, "unit", None)
    elif isinstance(given, decimal.Decimal):
        assert str(found) == str(given)
    else:
        assert found is given or found == given
        assert isinstance(given, int) or str(found) == str(given)


def described(geometry: Any) -> tuple[Any, ...]:
    text = shapely.to_wkt(geometry, rounding_precision=-1, output_dimension=4)
    return text, geometry.has_z, int(shapely.get_srid(geometry))


def assert_same_arrays(found: Any, given: Any) -> None:
    if given is np.ma.masked:
        assert found is given
        return
    assert (found.dtype, found.dtype.type, found.shape) == (given.dtype, given.dtype.type, given.shape)
    if isinstance(given, np.ma.MaskedArray):
        assert (found.mask is np.ma.nomask) == (given.mask is np.ma.nomask)
        assert (found.mask.tobytes(), found.hardmask) == (given.mask.tobytes(), given.hardmask)
        assert_same(found.fill_value, given.fill_value)
        assert_same(np.asarray(found.data), np.asarray(given.data))
    elif given.dtype == object:
        assert_same(found.ravel().tolist(), given.ravel().tolist())
    elif given.dtype.char in "gG":
        # The bytes between them are anything.
        np.testing.assert_array_equal(found, given)
    else:
        assert found.tobytes() == given.tobytes()


def assert_same_labelled(found: Any, given: Any) -> None:
    if isinstance(given, pd.DataFrame):
        assert_same(found.columns, given.columns)
        for i in range(given.shape[1]):
            assert_same(found.iloc[:, i].array, given.iloc[:, i].array)
        assert getattr(found, "_geometry_column_name", None) == getattr(given, "_geometry_column_name", None)
    elif isinstance(given, pd.MultiIndex):
        assert_same([*found.levels, *map(list, found.codes)], [*given.levels, *map(list, given.codes)])
    else:
        assert found.dtype == given.dtype
        assert_same(list(found), list(given))
        assert_same(getattr(found, "crs", None), getattr(given, "crs", None))
    if isinstance(given, pd.Index):
        assert_same(list(found.names), list(given.names))
        assert getattr(found, "freq", None) == getattr(given, "freq", None)
    elif isinstance(given, pd.DataFrame | pd.Series):
        assert_same(found.index, given.index)
        assert_same([getattr(found, "name", None), found.attrs], [getattr(given, "name", None), given.attrs])
        assert found.flags == given.flags


# --- named cases ----------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: int
    b: Any


class Level(enum.IntEnum):
    LOW = 3


class Colour(str, enum.Enum):  # noqa: UP042
    RED = "red"


class Plain(enum.Enum):
    A = 1


@dataclasses.dataclass
class Record:
    x: int = 1


def objects(*values: Any) -> np.ndarray:
    return np.fromiter(values, dtype=object, count=len(values))


def with_attrs(frame: Any, **attrs: Any) -> Any:
    frame.attrs.update(attrs)
    return frame


def nested(levels: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


AMSTERDAM = zoneinfo.ZoneInfo("Europe/Amsterdam")
POINTS = [Point(0, 0), Point(1, 1)]
STRUCTURED = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", ">f8")])
MOMENTS = pd.to_datetime(["2020-01-01", None])

PLAIN = {
    "none": None, "bool": True, "int": -1, "2**70": 2**70, "more digits than Python writes": [10**5000, -(10**5000)],
    "floats": [1.5, -0.0, math.inf, math.nan, 5e-324], "complex": [1 + 2j, complex(-0.0, math.nan), complex(math.inf, -0.0), complex(0.0, -0.0)],
    "texts": ["", "é\u4e2d\U0001f600", "\ud800", "\ud800\udc00"], "surrogate as key": {"\udc00": 1}, "bytes": [b"\0a", bytearray(b"x")],
    "lists": [[], [1, [2, ["x"]]], (), (1, (2,))], "sets": [{1, 2}, frozenset({"a", (1, 2)})],
    "dicts": [{"a": 1, 2: (3,), (1, 2): None, None: {}, 1.5: [], b"k": 0}, OrderedDict(b=1, a=2), Counter("abba")],
    "defaultdicts": [defaultdict(list, a=[1]), defaultdict(None, a=1)], "deque": deque([1, [2]], maxlen=5),
    "ranges": [range(1, 9, 2), range(10**30, 10**31, 7), slice(1, None, (2,))], "constants": [..., NotImplemented],
    "decimals": [*map(decimal.Decimal, ("1.10", "NaN", "sNaN12", "-0.00", "1E+400", "-Infinity"))], "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID(int=5), "paths": [pathlib.PurePosixPath("/a/b"), pathlib.Path("x\udcff"), pathlib.PureWindowsPath("c:\\a")],
    "dates": [datetime.date(2024, 1, 2), datetime.date.max, datetime.datetime(2024, 1, 2, 3, 4, 5, 6), datetime.datetime.min],
    "timedeltas": [datetime.timedelta(-1, 2, 3), datetime.timedelta.max, datetime.timedelta.min],
    "fold": [datetime.datetime(2020, 1, 1, fold=1), datetime.time(1, 2, fold=1)],
    "zones": [datetime.UTC, datetime.timezone(datetime.timedelta(hours=-23, microseconds=5), "x"), AMSTERDAM],
    "which of two": [datetime.datetime(2020, 10, 25, 2, 30, fold=fold, tzinfo=AMSTERDAM) for fold in (0, 1)],
    "no such time": datetime.datetime(2020, 3, 29, 2, 30, tzinfo=AMSTERDAM), "time with zone": datetime.time(1, 2, tzinfo=AMSTERDAM),
    "fixed offset": datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    "dateutil": [datetime.datetime(2020, 1, 1, tzinfo=zone) for zone in (
        dateutil.tz.UTC, dateutil.tz.gettz("Europe/Amsterdam"), dateutil.tz.tzoffset("x", 3600))],
    "deep lists": nested(400, lambda value: [value]), "deep dicts": nested(250, lambda value: {"a": value}),
}  # fmt: skip

NUMPY = {
    "scalars": [
        np.float32(1.5), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.complex64(1j), np.float16("nan"), np.longdouble("1.1"),
        np.str_("x"), np.str_(""), np.bytes_(b"a"), np.void(b"abc"), STRUCTURED[0], np.rec.array(STRUCTURED)[0], np.datetime64("2020-01-01"),
        np.datetime64("NaT"), np.timedelta64(5, "25s"), np.timedelta64(5),
    ],
    "shapes": [np.arange(6).reshape(2, 3), np.zeros((0, 4), "f4"), np.array(5), np.asfortranarray(np.eye(3)), np.arange(10)[::2]],
    "dtypes": [np.arange(6, dtype=">i2"), np.array(["a", "bb\ud800"]), np.array([b"a"]), np.array(["2020-01-01"], dtype="M8[s]"), np.zeros(3, "V0")],
    "structured": [STRUCTURED, np.rec.array(STRUCTURED), np.asarray(np.rec.array(STRUCTURED)), np.zeros(1, [(f"field number {i}", "f8") for i in range(600)])],
    "matrices": [np.matrix([[1, 2]]), np.matrix(np.array([[1, "a"]], dtype=object))],
    "masked": [
        np.ma.masked_equal([1, 2, 3], 2), np.ma.array([1.5]), np.ma.array([1, 2], mask=[0, 1], fill_value=7, hard_mask=True), np.ma.masked,
        np.ma.array(5, mask=True), np.ma.array(STRUCTURED, mask=[(0, 1)]), np.ma.array(STRUCTURED, mask=[(0, 1)])[0],
        np.ma.array(objects(1, "a"), mask=[0, 1]), np.ma.array(["a", "bb"], mask=[0, 1]),
    ],
    "objects": [np.array([1, "a", None, (2,)], dtype=object), np.array(None, dtype=object), np.zeros((0, 3), object), objects([1, 2], [3, 4])],
    "many objects": [objects(*cells * 40) for cells in (
        [1, None], [2**70, 1], [1.5, math.nan, None], ["a", None, "é"], ["a", "\ud800"], [b"a", None], [datetime.date(2020, 1, 1), None],
        [True, None], [True, 1, 1.0], [np.float32(1), np.float32(2)], [np.float32(1), np.float64(1)], [Point(1, 2), None, Point()],
        [LinearRing([(0, 0), (1, 0), (1, 1)])],
        [[1.5, math.nan], None, [], [None]], [[1], [2.5]], [["a", None]], [[2**70]], [[], None],
        [{"a": 1.5, "{b}\ud800": [1]}, {"a": None, "{b}\ud800": {"c": 1}}], [{"a": 1}, {"a": 1, "b": 2}], [{"a": 1}, None], [{1: 1}], [{}])],
    "dtypes as values": [np.dtype("<u2"), np.dtype([("a", "<i4", (2,)), ("b", "f8")]), np.dtype(("f4", (2, 3))), np.dtype(object), np.dtype("q"), np.dtype("M8[25s]")],
    "types of one size": [np.longlong(1), np.ulonglong(2), np.arange(2, dtype="q"), np.arange(2, dtype=">q"), np.intc(3)],
}  # fmt: skip

INDEXES = {
    "range": pd.RangeIndex(2, 10, 3, name="r"), "objects": pd.Index(objects(1, "a", (1, 2)), dtype=object), "texts as objects": pd.Index(["a"], dtype=object),
    "texts": pd.Index(["a", None]), "nullable": pd.Index(pd.array([1, None], dtype="Int64")), "float32": pd.Index(np.arange(3, dtype="f4"), name=("a", 1)),
    "freq": pd.date_range("2020", periods=5, freq="ME", tz="Europe/Amsterdam"), "weeks": pd.date_range("2020", periods=5, freq="W-WED"), "NaT": pd.DatetimeIndex(MOMENTS),
    "timedeltas": pd.timedelta_range("1D", periods=4, freq="6h"), "periods": pd.period_range("2020", periods=3, freq="Q-JAN", name="p"),
    "intervals": pd.interval_range(0, 5), "no interval": pd.IntervalIndex([pd.Interval(0, 1), None]), "categories": pd.CategoricalIndex(["a", "b"]),
    "levels": pd.MultiIndex.from_tuples([(1, "x"), (2, None)], names=["i", "j"]), "unused levels": pd.MultiIndex.from_product([[1, 2], ["a", "b"]])[:1],
    "levels of objects": pd.MultiIndex.from_arrays([objects(1, "a"), pd.date_range("2020", periods=2)]),
}  # fmt: skip

FRAMES = {
    "plain": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, math.nan]}, index=[5, 6]),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="int64"), "b": pd.Series([], dtype="float32")}), "no columns": pd.DataFrame(index=[1, 2]), "nothing": pd.DataFrame(),
    "objects": pd.DataFrame({"dicts": objects({"a": 1}, {"b": 2}, None), "lists": objects([1], [2.5], (3,)), "numbers": objects(1, 2.5, True),
                             "missing": objects(None, math.nan, pd.NA), "moments": objects(pd.NaT, 1, "x"), "large": objects(2**70, 1, 0)}),
    "frames in cells": pd.DataFrame({"a": objects(pd.DataFrame({"b": [1]}), np.arange(3))}),
    "labels": pd.DataFrame({1: [1], None: [2], ("a", 1): [3], 2.5: ["x"]}), "twice": pd.DataFrame([[1, "a"]], columns=["x", "x"]),
    "levels of columns": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["u", None])),
    "nullable": pd.DataFrame({"i": pd.array([1, None], dtype="UInt8"), "f": pd.array([1.5, None], dtype="Float32"), "b": pd.array([True, None], dtype="boolean")}),
    "texts": pd.DataFrame({d: pd.array(["a", None, "é"] * 50, dtype=d) for d in ("string[python]", "string[pyarrow]", "str")}),
    "few texts": pd.DataFrame({d: pd.array(["a", None], dtype=d) for d in ("string[python]", "string[pyarrow]", "str")}),
    "arrow": pd.DataFrame({"a": pd.array([1, None], dtype=pd.ArrowDtype(pa.int16())), "l": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int8())))}),
    "categories": pd.DataFrame({"c": pd.Categorical(["a", None], categories=["b", "a"], ordered=True), "i": pd.cut([1, 3], 2)}),
    "times": pd.DataFrame({"n": MOMENTS.as_unit("s"), "z": MOMENTS.tz_localize("Europe/Amsterdam"),
                           "o": MOMENTS.tz_localize(datetime.timezone(datetime.timedelta(hours=1))), "t": pd.to_timedelta([1, 2], unit="s")}),
    "numpy's": pd.DataFrame({"h": np.arange(3, dtype="f2"), "c": np.arange(3) * 1j, "b": np.arange(3, dtype=">i4")}),
    "attrs": with_attrs(pd.DataFrame({"a": [1]}), k=(1, 2), crs=pyproj.CRS(4326)), "flags": pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
    "geometries": gpd.GeoDataFrame({"a": np.arange(2, dtype="int16")}, geometry=POINTS, crs="EPSG:3857").rename_geometry("shape"),
    "no geometries": gpd.GeoDataFrame({"a": []}, geometry=[], crs=3857), "many": gpd.GeoDataFrame(geometry=[*POINTS, None] * 50, crs=28992),
    "two of them": gpd.GeoDataFrame({"a": gpd.GeoSeries(POINTS, crs=3857), "b": gpd.GeoSeries([None, POINTS[0]], crs=4326), "c": [1, 2]}, geometry="a"),
    "none active": gpd.GeoDataFrame({"a": gpd.GeoSeries(POINTS, crs=3857)}), "none at all": gpd.GeoDataFrame({"x": [1]}), "no CRS": gpd.GeoDataFrame(geometry=POINTS),
    "of pandas": pd.DataFrame(gpd.GeoDataFrame(geometry=POINTS, crs=3857)),
}  # fmt: skip

PANDAS = {
    "timestamps": [
        pd.Timestamp("2020-01-01 02:00", tz="Europe/Amsterdam"), pd.Timestamp("2020-10-25 01:30", tz="UTC").tz_convert("Europe/Amsterdam"), pd.Timestamp.max,
        pd.Timestamp.min, pd.Timestamp("2020").as_unit("s"), pd.Timestamp("9999-01-01").as_unit("ms"), pd.NaT, pd.NA,
    ],
    "timedeltas": [pd.Timedelta("1D 2h"), pd.Timedelta.max, pd.Timedelta(1, "s"), pd.Timedelta(5).as_unit("ns")],
    "periods": [pd.Period("2020-01", "M"), pd.Period("2020", "Y-MAR"), pd.Period("2020-01-01 05", "3h")],
    "intervals": [pd.Interval(1, 2.5, closed="both"), pd.Interval(pd.Timestamp("2020"), pd.Timestamp("2021"))],
    "offsets": [pd.offsets.MonthEnd(2), pd.offsets.Week(weekday=3), pd.DateOffset(months=1), pd.offsets.BusinessHour(), pd.offsets.Hour(3)],
    "series": [pd.Series([1, 2], name="z", index=["a", "b"]), pd.cut(pd.Series([1, 2, 3]), 2), pd.Series(gpd.GeoSeries(POINTS))],
    "geoseries": [gpd.GeoSeries([Point(1, 2), None, Point()], crs="epsg:3857", index=["x", "y", "z"], name="n"), gpd.GeoSeries([LinearRing([(0, 0, 1), (1, 0, 1), (1, 1, 1)])])],
    "arrays": [pd.Categorical(["a", "b"]), pd.array([1, None], dtype="Int64"), pd.array(["a"], dtype="string"), pd.interval_range(0, 2).array, gpd.GeoSeries(POINTS, crs=3857).array],
    "dtypes": [FRAMES["few texts"].dtypes, FRAMES["categories"].dtypes, FRAMES["times"].dtypes, FRAMES["two of them"].dtypes, FRAMES["nullable"].dtypes],
}  # fmt: skip

PROFILE = rasterio.profiles.DefaultGTiffProfile(
    count=1, crs=rasterio.crs.CRS.from_epsg(3857), transform=affine.Affine(1, 2, 3, 4, 5, 6)
)
GEO = {
    "geometries": [
        Point(1, 2), Point(1, 2, 3), Point(), Point(1, math.nan), Polygon([(0, 0), (1, 0), (1, 1)]), Polygon(), LineString([(math.nan, math.nan), (1, 1)]), MultiPoint([(1, 2)]),
        GeometryCollection([Point(1, 2, 3), LineString([(0, 0), (1, 1)])]), GeometryCollection(), shapely.set_srid(Point(1, 2), 4326),
    ],
    "rings": [LinearRing([(0, 0), (1, 0), (1, 1)]), LinearRing([(0, 0, 1), (1, 0, 1), (1, 1, 1)]), LinearRing(), shapely.set_srid(LinearRing([(0, 0), (1, 0), (1, 1)]), 28992)],
    "CRSs of rasterio": [*map(rasterio.crs.CRS.from_user_input, (3857, 4979, 28992, "ESRI:54009", "+proj=laea +lat_0=52 +lon_0=10")), rasterio.crs.CRS()],
    "CRSs of pyproj": [*map(pyproj.CRS, (3857, "epsg:4326", "+proj=laea +lat_0=52", {"proj": "utm", "zone": 31}, pyproj.CRS(28992).to_wkt(), "EPSG:4326+5773", "OGC:CRS84"))],
    "rasterio": [rasterio.windows.Window(0.5, 1, np.int64(3), 4), rasterio.coords.BoundingBox(1, 2, 3.5, 4), PROFILE, rasterio.enums.Resampling.cubic, rasterio.enums.Compression.lzw],
    "affine": affine.Affine(-0.0, 2, math.inf, 4, 5, 6),
}  # fmt: skip

TABLE = {
    f"{group}-{name}": value
    for group, cases in {
        "plain": PLAIN,
        "numpy": NUMPY,
        "index": INDEXES,
        "frame": FRAMES,
        "pandas": PANDAS,
        "geo": GEO,
    }.items()
    for name, value in cases.items()
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.filterwarnings("error")
def test_values_arrive_as_they_were(name: str) -> None:
    assert_same(decode(encode(TABLE[name])), TABLE[name])


def test_a_column_in_a_zone_of_dateutil() -> None:
    try:
        given = pd.Series(MOMENTS.tz_localize(dateutil.tz.gettz("Europe/Amsterdam")))
    except AttributeError:
        pytest.skip("this pandas cannot use the zones of this dateutil")
    assert_same(decode(encode(given)), given)


def test_arrays_can_be_written_to() -> None:
    given = {"a": [np.arange(3), np.array([None])], "f": FRAMES["plain"].copy(), "s": pd.Series([1, 2])}
    found = decode(encode(given))
    found["a"][0][0] = found["a"][1][0] = 7
    found["f"].loc[5, "a"] = found["s"][0] = 7
    assert (found["a"][0][0], found["a"][1][0], found["f"].loc[5, "a"], found["s"][0]) == (7, 7, 7, 7)


def test_subclasses_of_plain_types_keep_their_value() -> None:
    class Own(dict):
        def items(self) -> Any:
            raise RuntimeError

    given = [Level.LOW, http.HTTPStatus.OK, Colour.RED, Own(a=1), defaultdict(lambda: 1, a=1), time.gmtime(0)]
    found = decode(encode(given))
    assert found == [3, 200, "red", {"a": 1}, {"a": 1}, (1970, 1, 1, 0, 0, 0, 3, 1, 0)]
    assert [type(value) for value in found] == [int, int, str, dict, defaultdict, tuple]


def test_named_tuples_keep_their_names() -> None:
    found = decode(encode([Pair(1, [2]), Pair(3, None)]))
    assert found == [(1, [2]), (3, None)]
    assert (found[0].b, type(found[0]).__name__, type(found[0]) is type(found[1])) == ([2], "Pair", True)
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_crs_prints_as_in_the_node() -> None:
    frame, crs, other = decode(
        encode((FRAMES["geometries"], rasterio.crs.CRS.from_epsg(3857), pyproj.CRS("+proj=laea +lat_0=52")))
    )
    assert str(frame.crs) == "EPSG:3857" and "EPSG:3857" in repr(frame.crs)
    assert (str(crs), repr(crs)) == ("EPSG:3857", "CRS.from_epsg(3857)")
    assert str(other) == "+proj=laea +lat_0=52 +type=crs"


def test_what_fits_stays_small() -> None:
    numbers = np.random.default_rng(1).random(100_000)
    for value in (pd.DataFrame({"a": numbers}), pd.DataFrame({"a": numbers}).astype(object), pd.Series(numbers)):
        assert len(encode(value)) < 801_000
    assert len(encode(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))) < 600
    assert len(encode([*numbers[:1000]])) < 50_000
    cells = numbers.reshape(10_000, 10)
    assert len(encode(pd.DataFrame({"lists": objects(*cells.tolist())}))) < 890_000
    assert (
        len(encode(pd.DataFrame({"dicts": objects(*({"a": a, "b": b} for a, b in cells[:, :2].tolist()))}))) < 180_000
    )
    assert len(encode(pd.DataFrame({"arrays": objects(*cells)}))) < 1_500_000


# --- what is refused ------------------------------------------------------------------------------------------------

SELF: list[Any] = []
SELF.append({"a": (SELF,)})
LOOP = objects(None, None)
LOOP[1] = pd.Series([LOOP], dtype=object)

REFUSED = {
    "object": (object(), "result is of type builtins.object"),
    "function": ([1, {"a": lambda: 1}], r"result\[1\]\['a'\] is of type builtins.function"),
    "key": ({open: 1}, "a key of result"),
    "cell": (pd.DataFrame({"column": [1, "a", None, object()]}), r"result\['column'\]\[3\] is of type"),
    "cell in a cell": (pd.DataFrame({"o": objects([1, {"k": object()}])}), r"result\['o'\]\[0\]\[1\]\['k'\] is of type"),
    "record": (pd.Series([{"a": 1, "{b}": 2}] * 70 + [{"a": 1, "{b}": [object()]}], name="s"), r"result\[70\]\['\{b\}'\]\[0\] is"),
    "array": (np.array([object()]), r"result.flat\[0\]"),
    "level": (pd.MultiIndex.from_arrays([objects(1, object())]), r"result.levels\[0\]\[1\] is"),
    "category": (pd.Categorical([open]), r"result.categories\[0\] is"),
    "index": (pd.DataFrame({"a": [1]}, index=objects(object())), r"result.index\[0\] is"),
    "label": (pd.DataFrame([[1]], columns=objects(object())), r"result.columns\[0\] is"),
    "attrs": (with_attrs(pd.DataFrame(), k=[open]), r"result.attrs\['k'\]\[0\] is"),
    "itself": (SELF, "result.* contains itself"),
    "itself in arrays": (LOOP, "result.* contains itself"),
    "too deep": (nested(MOST_NESTED + 1, lambda value: [value]), "result.* is nested too deeply"),
    "dataclass": ([Record()], r"result\[0\] .*dataclasses.asdict"),
    "enum": ({"a": Plain.A}, r"result\['a'\] .*`.value`"),
    "generator": ((i for i in ()), "result .*list"),
    "view": ({}.keys(), "result .*list"),
    "memoryview": (memoryview(b"a"), "result .*bytes"),
    "other types": ([types.SimpleNamespace()], "types.SimpleNamespace"),
    "prepared": ([shapely.prepared.prep(Point(1, 2))], r"result\[0\] .*PreparedGeometry"),
    "point at NaN": ([Point(math.nan, math.nan)], r"result\[0\] is a Point that WKB does not hold"),
    "points at NaN": (gpd.GeoSeries([Point(1, 2)] * 99 + [Point(math.nan, math.nan)]), r"result\[99\] is a Point"),
    "ring in a collection": (GeometryCollection([LinearRing([(0, 0), (1, 0), (1, 1)])]), "result is a GeometryCollection that"),
    "NUL": ([np.str_("a\0")], r"result\[0\] ends in NUL"),
    **({"numpy's texts": (np.array(["a"], np.dtypes.StringDType()), "result is of dtype StringDType")}
       if hasattr(np.dtypes, "StringDType") else {}),  # of numpy 2
    "objects in fields": (np.zeros(1, [("a", "O")]), "result is of dtype"),
    "dtype without categories": ([pd.CategoricalDtype()], r"result\[0\] is of type"),
    "record without fields": ([np.record(1), np.ma.core.mvoid(1)], r"result\[0\] is of type"),
    "sparse": (pd.DataFrame({"s": pd.arrays.SparseArray([0, 1])}), r"result\['s'\] is of dtype Sparse.*to_dense"),
    "calendar": ([pd.offsets.CustomBusinessDay(holidays=["2020-01-01"])], r"result\[0\].freq\['calendar'\]"),
    "local zone": ([datetime.datetime(2020, 1, 1, tzinfo=dateutil.tz.tzlocal())], r"result\[0\] has a time zone .*zoneinfo"),
    "closed profile": ({"p": rasterio.profiles.Profile(driver=open)}, r"result\['p'\]\['driver'\] is of type"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_carried_is_named(name: str) -> None:
    value, text = REFUSED[name]
    with pytest.raises(NotCarriableError, match=text) as caught:
        encode(value)
    assert "return" in str(caught.value) or "use " in str(caught.value) or "astype" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        [object()] * 1000, (object(),) * 1000, dict.fromkeys(range(1000), object()), deque([object()] * 1000),
        [[object()] * 600, [object()] * 600], {"a": np.zeros(2000), "b": object()},
        [list(range(100)), *([list(range(100))] * 20), object()],
    ],
    ids=["list", "tuple", "dict", "deque", "nested", "array", "in sum"],
)  # fmt: skip
def test_more_than_is_taken_is_refused_before_it_is_written(value: Any) -> None:
    """What could not be written anyway is not come to."""
    with pytest.raises(NotCarriableError, match=r"takes at least [\d,]+ bytes, and a small result may take 1,000"):
        encode(value, 1000)


def test_what_is_taken_is_counted_to_the_byte() -> None:
    value = {"numbers": list(range(100)), "array": np.arange(10), "text": "ü" * 50}
    size = len(encode(value))
    assert encode(value, size) == encode(value)
    with pytest.raises(NotCarriableError, match=f"the result takes {size:,} bytes"):
        encode(value, size - 1)


def test_what_a_broken_object_raises_is_a_refusal() -> None:
    released = memoryview(b"abc")
    released.release()
    lying = unittest.mock.Mock()
    lying.__class__ = dict
    for value in ([released], [lying], [zoneinfo.ZoneInfo.from_file(io.BytesIO(zone_data()))]):
        with pytest.raises(NotCarriableError, match=r"result\[0\]"):
            encode(value)


def zone_data() -> bytes:
    """A zone file of UTC alone."""
    header = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    return 2 * (header + bytes(6) + b"UTC\0") + b"\nUTC0\n"


@pytest.mark.parametrize("file", ["BytesIO", "MemoryFile"])
def test_a_closed_memory_file_is_named_with_the_way_out(file: str) -> None:
    made = {"BytesIO": lambda: io.BytesIO(b"abc"), "MemoryFile": lambda: MemoryFile(b"abc")}[file]()
    assert bytes(memory_file(made)) == b"abc"
    made.close()
    with pytest.raises(NotCarriableError, match=rf"memory file \({file}\) that is closed.*outside the `with`"):
        memory_file(made)


# --- reading --------------------------------------------------------------------------------------------------------


def message(tree: Any, *blobs: bytes) -> bytes:
    """An encoded value with this tree; "b" in it counts the blobs."""
    places = [[sum(map(len, blobs[:i])), len(blob)] for i, blob in enumerate(blobs)]
    text = json.dumps(tree)
    for i, place in enumerate(places):
        text = text.replace(f'"b": {i}', f'"b": {place}')
    return b"".join([MAGIC, LENGTH.pack(len(text)), text.encode(), *blobs])


def arrow_file(frame: pd.DataFrame) -> bytes:
    table, sink = pa.Table.from_pandas(frame, preserve_index=True), io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    return sink.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_results_of_release_0_1_are_read() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    feather = io.BytesIO()
    gpd.GeoDataFrame({"0": [7]}, geometry=POINTS[:1], crs=3857).to_feather(feather, compression="uncompressed")
    old_frame = {"t": "frame", "b": 0, "extra": [[1, "m", [1, "q"]]]}
    old_column = {"t": "frame", "b": 1, "extra": []}
    tree = [
        old_frame, {"t": "series", "v": old_column, "name": "n"}, {"t": "index", "v": old_column, "name": "i"}, {"t": "geoframe", "b": 2, "extra": []},
        {"t": "scalar", "b": 3}, {"t": "array", "b": 3}, {"t": "masked", "v": [{"t": "array", "b": 4}, {"t": "array", "b": 5}, {"t": "array", "b": 3}]},
        {"t": "dtype", "v": "<u2"}, {"t": "objects", "shape": [1, 2], "v": [1, {"t": "tuple", "v": [2]}]}, {"t": "range", "v": "1 9 2"},
        {"t": "timestamp", "v": "2020-01-01T02:00:00+01:00", "tz": "Europe/Amsterdam", "unit": "us"}, {"t": "pandas-timedelta", "v": "P1DT2H0M0S"},
        {"t": "datetime", "v": "2020-01-01T00:00:00+01:00"}, {"t": "time", "v": "01:02:00"}, {"t": "int", "v": str(2**70)}, {"t": "rasterio-crs", "v": pyproj.CRS(3857).to_wkt()},
        {"t": "categorical", "v": {"t": "series", "v": {"t": "frame", "b": 6, "extra": []}, "name": None}}, {"t": "pyproj-crs", "v": pyproj.CRS(3857).to_wkt()}, {"t": "odict", "v": [["a", 1]]},
    ]  # fmt: skip
    one, data, mask = np.array(5, "f4"), np.arange(2), np.array([True, False])
    categories = pd.DataFrame({"0": pd.Categorical(["a", "b"])})
    blobs = [
        arrow_file(frame),
        arrow_file(pd.DataFrame({"0": [1.5, 2]})),
        feather.getvalue(),
        npy(one),
        npy(data),
        npy(mask),
        arrow_file(categories),
    ]
    found = decode(message(tree, *blobs))
    pd.testing.assert_frame_equal(found[0], frame.assign(m=objects(1, "q")))
    pd.testing.assert_series_equal(found[1], pd.Series([1.5, 2], name="n"))
    pd.testing.assert_index_equal(found[2], pd.Index([1.5, 2], name="i"))
    assert (type(found[3]), found[3].crs) == (gpd.GeoDataFrame, pyproj.CRS(3857))
    assert_same([found[4], found[5]], [np.float32(5), one])
    assert (found[6].tolist(), found[6].fill_value) == ([None, 1], 5)
    assert found[7:10] == [np.dtype("<u2"), found[8], range(1, 9, 2)]
    assert_same(found[8], np.fromiter([1, (2,)], dtype=object).reshape(1, 2))
    assert_same(
        found[10:12],
        [
            pd.Timestamp("2020-01-01 02:00", tz="Europe/Amsterdam").as_unit("us"),
            pd.Timedelta("1D 2h").as_unit(found[11].unit),
        ],
    )
    assert found[12:15] == [datetime.datetime.fromisoformat("2020-01-01T00:00:00+01:00"), datetime.time(1, 2), 2**70]
    assert (found[15], list(found[16]), found[17]) == (rasterio.crs.CRS.from_epsg(3857), ["a", "b"], pyproj.CRS(3857))
    assert_same(found[18], OrderedDict(a=1))


ZONE = {"t": "zone", "of": "zoneinfo", "v": "Mars/Olympus_Mons"}


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ([1, {"t": "dict", "v": [["a", {"t": "tuple", "v": [0, ZONE]}]]}], "result[1]['a'][1]"),
        ({"t": "tuple", "v": [{"t": "of a later release"}]}, "result[0]"),
        ({"t": "dict", "v": [[[1], 2]]}, "result"),
        ({"t": "frame", "columns": {"t": "index", "name": None, "v": {"t": "cells", "v": ["x"]}}, "index": {"t": "index", "name": None, "range": [0, 1, 1]},
          "v": [{"t": "cells", "v": [ZONE]}]}, "result['x'][0]"),
        ({"t": "series", "index": ZONE, "v": {"t": "cells", "v": []}, "name": None}, "result"),
    ],
    ids=["zone", "tag", "key", "frame", "series"],
)  # fmt: skip
def test_what_cannot_be_made_here_is_named(tree: Any, place: str) -> None:
    with pytest.raises(NotReadableError, match=f"^{re.escape(place)} cannot be made by the packages of the calling"):
        decode(message(tree))


def test_a_caller_deep_in_its_stack_reads_what_was_carried() -> None:
    data = [encode(nested(levels, wrap)) for levels, wrap in (
        (MOST_NESTED - 1, lambda v: [v]), (MOST_NESTED // 3, lambda v: {"a": v}), (MOST_NESTED // 3, lambda v: (v,)), (MOST_NESTED // 10 - 1, lambda v: pd.Series([v], dtype=object)))]  # fmt: skip

    def deeper(levels: int) -> list[Any]:
        return deeper(levels - 1) if levels else [decode(one) for one in data]

    found = deeper(sys.getrecursionlimit() * 2 // 3)
    assert [type(value) for value in found] == [list, dict, tuple, pd.Series]


# --- any nesting ----------------------------------------------------------------------------------------------------

ZONES = (
    st.none()
    | st.timezones()
    | st.builds(datetime.timezone, st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)))
)
TEXTS = st.text(st.characters(exclude_categories=()))
HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.binary() | st.fractions() | st.uuids() | st.dates()
    | st.timedeltas() | st.complex_numbers(allow_nan=False) | st.builds(np.int16, st.integers(-9, 9)) | st.sampled_from([AMSTERDAM, ..., Point(1, 2)]),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5,
)  # fmt: skip
DTYPES = npst.scalar_dtypes() | npst.nested_dtypes(npst.scalar_dtypes(), max_leaves=4)
ARRAYS = npst.arrays(DTYPES, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
COORDINATES = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-9, 9).map(float)


def lines(most: int = 4, least: int = 2) -> st.SearchStrategy[Any]:
    return st.sampled_from([2, 3]).flatmap(
        lambda n: st.lists(st.tuples(*[COORDINATES] * n), min_size=least, max_size=most)
    )


def made(make: Any) -> Any:
    """What `make` gives of its arguments, where it takes them."""

    def attempt(*args: Any, **named: Any) -> Any:
        try:
            return make(*args, **named)
        except (ValueError, TypeError, OverflowError, shapely.errors.ShapelyError):
            return None

    return attempt


SHAPES = st.recursive(
    st.builds(made(Point), st.lists(COORDINATES, min_size=2, max_size=3)) | st.builds(made(LineString), lines()) | st.builds(made(LinearRing), lines(least=4))
    | st.builds(made(Polygon), lines(least=4)) | st.builds(made(MultiPoint), lines()) | st.sampled_from([Point(), LinearRing(), Polygon(), MultiPoint()]),
    lambda inner: st.builds(made(GeometryCollection), st.lists(inner, max_size=3)) | st.builds(made(shapely.set_srid), inner, st.integers(0, 99)), max_leaves=4,
)  # fmt: skip
SCALARS = (
    HASHABLE | st.floats() | st.complex_numbers() | st.decimals() | st.binary().map(bytearray) | st.datetimes(timezones=ZONES, allow_imaginary=True)
    | st.times(timezones=ZONES) | st.builds(slice, HASHABLE, HASHABLE) | TEXTS.map(lambda text: pathlib.PurePosixPath(text.replace("\0", ""))) | SHAPES
    | ARRAYS | DTYPES | npst.arrays(DTYPES, 2).map(lambda a: a[0]) | st.builds(lambda a: np.ma.array(a, mask=a == a), npst.arrays(npst.scalar_dtypes(), 3))
    | st.sampled_from([case for cases in (PANDAS, GEO, INDEXES, FRAMES) for value in cases.values() for case in (value if type(value) is list else [value])])
    | st.sampled_from([object(), open, Plain.A, Record(), memoryview(b"a"), np.ma.masked, pd.NA, pd.NaT, np.matrix([[1]]), np.rec.array(STRUCTURED)])
)  # fmt: skip


def columns(cells: st.SearchStrategy[Any], n: int) -> st.SearchStrategy[Any]:
    """Arrays of n cells, of any dtype of pandas."""
    moments = npst.arrays("i8", n, elements=st.integers(-(2**62), 2**62)).map(
        lambda array: pd.DatetimeIndex(array.view("M8[ns]"))
    )
    numbers = (
        npst.boolean_dtypes()
        | npst.integer_dtypes()
        | npst.floating_dtypes(sizes=(32, 64))
        | st.sampled_from(["M8[s]", "m8[ms]", "c16"])
    )
    texts = st.lists(st.none() | TEXTS, min_size=n, max_size=n)
    small = st.lists(st.none() | st.integers(0, 99), min_size=n, max_size=n)
    return st.one_of(
        st.lists(cells, min_size=n, max_size=n).map(lambda values: objects(*values)),
        npst.arrays(numbers, n),
        st.builds(made(pd.array), texts, dtype=st.sampled_from(["string[python]", "string[pyarrow]", "str"])),
        st.builds(made(pd.array), small, dtype=st.sampled_from(["Int8", "UInt64", "Float32", "category"])),
        st.builds(made(lambda index, zone: index.tz_localize("UTC").tz_convert(zone).array), moments, ZONES.filter(bool)),
        st.builds(made(lambda ends: pd.arrays.IntervalArray.from_breaks(sorted(ends))), st.lists(st.integers(0, 9), min_size=n + 1, max_size=n + 1)),
        st.builds(made(lambda index: index.to_period("D").array), moments),
        st.lists(st.none() | SHAPES, min_size=n, max_size=n).map(lambda values: gpd.GeoSeries(objects(*values), crs=3857).array),
    ).filter(lambda values: values is not None)  # fmt: skip


def tables(cells: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Series, indexes and frames of such columns."""

    def of(n: int) -> st.SearchStrategy[Any]:
        column = columns(cells, n)
        index = st.just(pd.RangeIndex(n)) | columns(HASHABLE, n).map(
            made(lambda values: pd.Index(values, tupleize_cols=False, dtype=values.dtype))
        )
        index |= st.builds(
            made(lambda *arrays: pd.MultiIndex.from_arrays(arrays)), columns(HASHABLE, n), columns(HASHABLE, n)
        )
        labels = st.lists(HASHABLE, min_size=2, max_size=2)
        series = st.builds(
            made(lambda v, i, name: pd.Series(v, index=i, name=name, dtype=v.dtype)), column, index, HASHABLE
        )
        frame = st.builds(made(frame_of), st.tuples(column, column), index, labels)
        return series | index | frame

    return st.sampled_from([0, 1, 2, 70]).flatmap(of).filter(lambda value: value is not None)


def frame_of(values: Any, index: Any, labels: Any) -> pd.DataFrame:
    frame = pd.DataFrame({i: pd.Series(v, index=index, dtype=v.dtype) for i, v in enumerate(values)})
    frame.columns = pd.Index(labels, dtype=object, tupleize_cols=False)
    return frame


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(HASHABLE, inner, max_size=3) | st.builds(deque, st.lists(inner, max_size=2))
        | st.builds(OrderedDict, st.dictionaries(HASHABLE, inner, max_size=3)) | st.builds(made(lambda d: defaultdict(list, d)), st.dictionaries(HASHABLE, inner, max_size=2))
        | st.lists(inner, max_size=3).map(lambda values: objects(*values)) | tables(inner)
    )  # fmt: skip


@given(st.recursive(SCALARS, containers, max_leaves=6))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_any_nesting_comes_back_equal(value: Any) -> None:
    """Or is refused with its place, and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = decode(encode(value))
        except NotCarriableError as error:
            refused = error
        else:
            refused = None
    if refused is None:
        assert_same(found, value)
    else:
        assert re.match("(a key of )*result", str(refused))
