"""The arithmetic and the reading of a pull, without a service."""

from __future__ import annotations

import math
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from ellipsis_local.errors import ArgumentError, UpstreamError
from ellipsis_local.types import Extent
from ellipsis_local.upstream.extents import overlaps, parse_extent
from ellipsis_local.upstream.feature_pages import check_size, widened
from ellipsis_local.upstream.grids import TILE, envelopes, grid_of, touches
from ellipsis_local.upstream.http_client import as_query, origin, readable, seconds
from ellipsis_local.upstream.models import bounds_of, counts, date_range, parse_date, timestamps_of
from ellipsis_local.upstream.mosaics import decode
from ellipsis_local.upstream.partial_downloads import safe_suffix
from ellipsis_local.upstream.tables import Columns

HALF = 20037508.342789244


# --- grids of tiles -----------------------------------------------------------------------------------------------------


def degrees(x: float, y: float) -> tuple[float, float]:
    return x / HALF * 180, math.degrees(math.atan(math.sinh(y / HALF * math.pi)))


@given(
    zoom=st.integers(0, 18), left=st.floats(0, 0.99), top=st.floats(0, 0.99), width=st.integers(1, 5000),
    height=st.integers(1, 5000),
)  # fmt: skip
def test_bounds_of_whole_pixels_give_these_pixels(zoom: int, left: float, top: float, width: int, height: int) -> None:
    most = TILE << zoom
    column, row = int(left * most), int(top * most)
    width, height = min(width, most - column), min(height, most - row)
    size = 2 * HALF / most
    west, north = degrees(column * size - HALF, HALF - row * size)
    east, south = degrees((column + width) * size - HALF, HALF - (row + height) * size)
    grid = grid_of(zoom, Extent(west, south, east, north))
    assert (grid.left, grid.top, grid.width, grid.height) == (column, row, width, height)
    assert grid.transform.almost_equals(Affine(size, 0, column * size - HALF, 0, -size, HALF - row * size), 1e-6)
    assert grid.columns.start * TILE <= column < (grid.columns.start + 1) * TILE
    assert (grid.columns.stop - 1) * TILE < column + width <= grid.columns.stop * TILE


def test_the_whole_world_and_beyond() -> None:
    grid = grid_of(2, Extent(-180, -90, 180, 90))
    assert (grid.left, grid.top, grid.width, grid.height) == (0, 0, 1024, 1024)
    with pytest.raises(ArgumentError, match="beyond ±85.05"):
        grid_of(2, Extent(0, 86, 1, 89))


def test_only_tiles_that_touch_a_part() -> None:
    square = [[0.1, 0.1], [0.1, 10], [10, 10], [0.1, 0.1]]
    far = [[170, -20], [170, -10], [179, -10], [170, -20]]
    parts = envelopes({"type": "MultiPolygon", "coordinates": [[square], [far]]})
    touched = {(row, column) for row in range(4) for column in range(4) if touches(2, (row, column), parts)}
    assert touched == {(1, 2), (2, 3)}
    assert len(envelopes({"type": "Polygon", "coordinates": [square]})) == 1
    assert envelopes({"type": "Point"}) == envelopes(None) == []


# --- tiles --------------------------------------------------------------------------------------------------------------


def write(values: np.ndarray, **options: object) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MemoryFile() as memory:
            shape = {"count": len(values), "height": 256, "width": 256, "dtype": str(values.dtype)}
            with memory.open(driver="GTiff", **shape, **options) as output:
                output.write(values)
            return bytes(memory.getbuffer())


def pages(values: np.ndarray) -> bytes:
    """A TIFF with a page of one band for each band, uncompressed."""
    data, directories, offset = b"", [], 8
    for page in values:
        entries = [
            (256, 4, 256), (257, 4, 256), (258, 3, page.dtype.itemsize * 8), (259, 3, 1), (262, 3, 1),
            (273, 4, offset), (277, 3, 1), (278, 4, 256), (279, 4, page.nbytes),
            (339, 3, {"u": 1, "i": 2, "f": 3}[page.dtype.kind]),
        ]  # fmt: skip
        data += page.tobytes()
        offset += page.nbytes
        directories.append(entries)
    tail, place = b"", offset
    for number, entries in enumerate(directories):
        length = 2 + 12 * len(entries) + 4
        following = place + length if number + 1 < len(directories) else 0
        tail += struct.pack("<H", len(entries))
        tail += b"".join(struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in entries)
        tail += struct.pack("<I", following)
        place += length
    return b"II*\0" + struct.pack("<I", offset) + data + tail


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    "encode",
    [write, lambda values: write(values, interleave="pixel", compress="lzw"), pages],
    ids=["bands", "pixels", "pages"],
)
def test_tiles_in_every_layout(dtype: str, encode) -> None:
    values = np.random.default_rng(0).integers(0, 100, (4, 256, 256)).astype(dtype)
    values[-1] = (values[-1] > 50) * (255 if dtype == "uint8" else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, valid = decode(encode(values), "a tile")
    np.testing.assert_array_equal(found, values[:-1])
    np.testing.assert_array_equal(valid, values[-1] > 0)
    assert found.dtype == dtype


# --- columns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "values", "type_", "expected"),
    [
        (None, [1, 2], "int64", [1, 2]),
        (None, [1, 2.5], "double", [1.0, 2.5]),
        ("float", [1, 2], "double", [1.0, 2.0]),
        ("integer", [1, 2.5], "double", [1.0, 2.5]),
        (None, [True, None], "bool", [True, None]),
        (None, [True, 1], "string", ["true", "1"]),
        (None, ["a", 1], "string", ["a", "1"]),
        (None, [None, None], "string", [None, None]),
        ("boolean", [None], "bool", [None]),
        ("integer", [], "int64", []),
        ("date", [None], "timestamp[us, tz=UTC]", [None]),
        ("date", ["soon"], "string", ["soon"]),
        (None, ["2024-01-01"], "string", ["2024-01-01"]),
        (None, [{"a": 1}, [1]], "string", ['{"a": 1}', "[1]"]),
        (None, [2**63], "string", [str(2**63)]),
    ],
)
def test_types_of_columns(told: str | None, values: list, type_: str, expected: list) -> None:
    columns = Columns({"x": told})
    for value in values:
        columns.look({"x": value})
    [array] = columns.arrays({"x": value} for value in values)
    assert str(array.type) == type_
    assert array.to_pylist() == expected


def test_dates_are_times_in_utc() -> None:
    columns = Columns({"x": "datetime"})
    texts = ["2024-01-01T12:00:00Z", "2024-01-01T13:00:00+01:00", "2024-01-01T12:00:00"]
    for text in texts:
        columns.look({"x": text})
    [array] = columns.arrays({"x": text} for text in texts)
    assert {moment.isoformat() for moment in array.to_pylist()} == {"2024-01-01T12:00:00+00:00"}


def test_names_of_columns() -> None:
    columns = Columns({"b": None})
    columns.look({"a": 1})
    columns.look({"c": None, "a": 2, "geometry": 1})
    assert columns.names == ["b", "a", "c", "geometry"]
    assert columns.free_name("geometry") == "geometry_"
    with pytest.raises(UpstreamError, match="no text"):
        columns.look({"\ud800": 1})


# --- what the service tells ---------------------------------------------------------------------------------------------


def test_bounds() -> None:
    ring = [[4.0, 51], [4, 52, 7], [5, 52]]
    assert bounds_of({"type": "Polygon", "coordinates": [ring]}) == (4, 51, 5, 52)
    assert bounds_of({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}) == (1, 2, 1, 2)
    for wrong in (None, {}, {"coordinates": []}, {"coordinates": "x"}, {"coordinates": [[[None, 1]]]}, 7):
        assert bounds_of(wrong) is None
    assert overlaps(Extent(0, 0, 1, 1), (1, 1, 2, 2)) and not overlaps(Extent(0, 0, 1, 1), (1.1, 0, 2, 2))


def test_dates() -> None:
    assert str(parse_date("2024-07-01T10:30:00.000Z")) == "2024-07-01 10:30:00+00:00"
    assert str(parse_date("2024-07-01 10:30:00.123456")) == "2024-07-01 10:30:00.123456+00:00"
    assert parse_date("never") is parse_date(None) is parse_date(7) is None
    assert date_range({"from": "2024-07-02", "to": "2024-07-01"}) is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, True),
        ({"trashed": False, "status": "completed"}, True),
        ({"trashed": True}, False),
        ({"reverted": True}, False),
        ({"status": "failed"}, False),
        ({"status": "errored"}, False),
        ({"status": "pending"}, False),
        ({"state": "Error"}, False),
    ],
)
def test_which_files_count(entry: dict, expected: bool) -> None:
    assert counts(entry) is expected


@pytest.mark.parametrize(("kind", "status"), [("raster", "created"), ("vector", "active")])
def test_a_vector_that_a_server_of_before_calls_created_is_active(kind: str, status: str) -> None:
    about = {"timestamps": [{"id": "11111111-2222-4333-8444-555555555555", "status": "created"}]}
    assert [one.status for one in timestamps_of("http://x", "a layer", about, kind)] == [status]


@pytest.mark.parametrize("size", [0, 99, 101, 3999])
def test_sizes_that_are_no_number_of_features(size: int) -> None:
    with pytest.raises(UpstreamError):
        check_size("https://example.com", "page 1", size, 100)


@pytest.mark.parametrize(("size", "count"), [(100, 100), (4000, 100), (None, 1), ("5", 1), (True, 1), (40, 0), (0, 0)])
def test_sizes_that_say_nothing_or_agree(size: object, count: int) -> None:
    check_size("https://example.com", "page 1", size, count)


# --- small things -------------------------------------------------------------------------------------------------------


def test_queries_are_as_the_client_sends_them() -> None:
    query = {"a": "text", "b": True, "c": None, "d": {"x": 1}, "e": [1], "f": 2}
    assert as_query(query) == {"a": "text", "b": "true", "d": '{"x": 1}', "e": "[1]", "f": "2"}


def test_origins() -> None:
    assert origin("https://example.com/v3") == origin("https://EXAMPLE.com:443/other")
    assert origin("https://example.com") != origin("http://example.com:443")
    assert origin("https://example.com:port") != origin("https://example.com")
    assert (seconds("7"), seconds("Wed, 21 Oct 2026"), seconds(None), seconds("-1")) == (7, None, None, None)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.TIF", ".tif"), ("../../a.shp.zip", ".zip"), ("a", ""), ("a.", ""), ("..", ""), ("a.b/c", ""), ("x.t/../f", ""),
        ("a.tif\0", ""), ("a." + "x" * 20, ""), ("C:\\dir.x\\file.gpkg", ".gpkg"), ("a.ti f", ""), (".tif", ""),
    ],
)  # fmt: skip
def test_only_harmless_suffixes_reach_the_disk(name: str, suffix: str) -> None:
    assert safe_suffix(name) == suffix
    assert Path(f"x{safe_suffix(name)}").name == f"x{suffix}"


def test_texts_of_the_service_are_made_readable() -> None:
    assert readable("a\n\tb\x1b[31m secret c", "secret") == "a b [31m … c"
    assert len(readable("x" * 1000, None)) == 300


def test_areas() -> None:
    assert parse_extent(None, None) is None
    assert parse_extent({"xMin": -200, "yMin": -100, "xMax": 0, "yMax": 1}, 4326) == Extent(-180, -90, 0, 1)
    metres = {"xMin": 500_000, "yMin": 6_000_000, "xMax": 500_010, "yMax": 6_000_010}
    found = parse_extent(metres, 3857)
    assert found is not None
    assert found.x_min == pytest.approx(4.4915764) and found.y_max == pytest.approx(47.3537, abs=1e-3)
    with pytest.raises(ArgumentError, match="extent"):
        parse_extent(metres, 999_999)
    assert widened(Extent(1, 1, 2, 2), None) == Extent(1, 1, 2, 2)
    assert widened(Extent(1, 1, 2, 2), 0) == Extent(-179, -85, 180, 85)
