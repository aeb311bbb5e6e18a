"""Rasters compared: what counts as equal, and what is said where they are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.io import MemoryFile

from ellipsis_local.errors import ArgumentError
from ellipsis_local.testing import assert_raster_equal
from ellipsis_local.testing.rasters import as_raster
from ellipsis_local.testing.values import join_rasters

GRID = Affine(10, 0, 500_000, 0, -10, 6_000_000)


def raster(values=None, **changed):
    values = np.arange(24, dtype="int16").reshape(1, 4, 6) if values is None else values
    return {"raster": values, "transform": GRID, "crs": "EPSG:3857", "nodata": None} | changed


def geotiff(source, **profile) -> bytes:
    values = source["raster"]
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=values.shape[0], height=values.shape[1], width=values.shape[2], dtype=values.dtype,
            crs=source["crs"], transform=source["transform"], nodata=source["nodata"], **profile,
        ) as target:  # fmt: skip
            target.write(values)
        return bytes(memory.getbuffer())


def difference(actual, expected, **options) -> str:
    with pytest.raises(AssertionError) as found:
        assert_raster_equal(actual, expected, **options)
    return str(found.value)


def test_every_form_is_the_same_raster(tmp_path) -> None:
    source = raster()
    data = geotiff(source)
    path = tmp_path / "one.tif"
    path.write_bytes(data)
    read_to_its_end = io.BytesIO(data)
    read_to_its_end.read()
    with rasterio.open(path) as dataset, MemoryFile(data) as memory:
        forms = [source, data, read_to_its_end, path, str(path), dataset, memory, raster(source["raster"][0])]
        for form in forms:
            assert_raster_equal(form, source)
            assert_raster_equal(source, form)
    assert read_to_its_end.tell() == len(data)


def test_the_first_pixels_that_differ_are_told_with_their_places() -> None:
    values = np.arange(24, dtype="int16").reshape(1, 4, 6)
    values[0, 1:3, 2:4] += 7
    text = difference(raster(values), raster())
    assert "values: 4 of 24 pixels differ (16.67%), by at most 7 (no tolerance), in band 1" in text
    assert "within x 500020 to 500040, y 5999970 to 5999990 (EPSG:3857): rows 1 to 2, columns 2 to 3" in text
    assert "band 1, row 1, column 2 (x 500025, y 5999985): 15, expected 8" in text
    many = np.zeros((9, 4, 6), "int16")
    text = difference(raster(many + 1), raster(many))
    assert "in bands 1, 2, 3, 4, 5, 6, 7, 8 and 1 more" in text
    assert "and 211 more" in text


def test_tolerances_and_nan() -> None:
    values = np.linspace(0, 100, 24, dtype="float64").reshape(1, 4, 6)
    values[0, 0, 0] = np.nan
    assert_raster_equal(raster(values + 1e-9), raster(values), atol=1e-8)
    assert_raster_equal(raster(values * (1 + 1e-9)), raster(values), rtol=1e-8)
    assert_raster_equal(raster(values), raster(values))
    assert "by at most 1e-05" in difference(raster(values + 1e-5), raster(values), atol=1e-8)
    without = np.nan_to_num(values)
    assert "1 of 24 pixels differ (4.17%), none by a finite number" in difference(raster(without), raster(values))
    # Large whole numbers are not rounded on the way.
    large = np.full((1, 2, 2), 2**62, "int64")
    assert "by at most" in difference(raster(large + 1), raster(large))
    bytes_ = np.array([[[255]]], "uint8")
    assert "by at most 255" in difference(raster(bytes_ * 0), raster(bytes_))


def test_nodata_is_compared_as_a_mask() -> None:
    values = np.arange(24, dtype="float32").reshape(1, 4, 6)
    other = values.copy()
    other[0, 0, 0] = -9999
    values[0, 0, 0] = -1
    # Another value stands for the same: nodata.
    assert_raster_equal(raster(values, nodata=-1), raster(other, nodata=-9999))
    text = difference(raster(values), raster(other, nodata=-9999))
    assert "nodata: 1 values are valid and expected to be nodata, 0 are nodata and expected to be valid" in text
    assert "-1.0, expected nodata (-9999.0)" in text
    assert "values: 1 of 24" in difference(raster(values), raster(other, nodata=-9999), check_nodata=False)
    with_nan = np.where(values < 0, np.nan, values)
    assert_raster_equal(raster(with_nan, nodata=float("nan")), raster(values, nodata=-1))
    masked = geotiff(raster(other, nodata=-9999))
    assert_raster_equal(masked, raster(values, nodata=-1))


def test_metadata_that_differ_are_all_told() -> None:
    other = raster(
        np.arange(24, dtype="float32").reshape(1, 4, 6), crs="EPSG:32631", transform=Affine(10, 0, 0, 0, -10, 0)
    )
    text = difference(raster(), other)
    assert "dtype: int16, expected float32" in text
    assert "CRS: EPSG:3857, expected EPSG:32631" in text
    assert "transform: (10, 0, 500000, 0, -10, 6000000), expected (10, 0, 0, 0, -10, 0)" in text
    assert_raster_equal(raster(), other, check_dtype=False, check_crs=False, check_transform=False)
    assert "shape (bands, height, width): (1, 4, 6), expected (2, 4, 6)" in difference(
        raster(), raster(np.zeros((2, 4, 6), "int16"))
    )
    nearly = raster(transform=Affine(10, 0, 500_000 + 1e-6, 0, -10, 6_000_000))
    assert_raster_equal(raster(), nearly)
    assert "transform" in difference(raster(), raster(transform=Affine(10, 0, 500_001, 0, -10, 6_000_000)))
    assert_raster_equal(raster(crs=None), raster())


def test_what_is_no_raster(tmp_path) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(b"II*\0rubbish")
    for wrong, words in (
        (broken, "actual cannot be read as a raster .*broken.tif"),
        (tmp_path / "none.tif", "actual cannot be read as a raster"),
        (b"text", r"cannot be read as a raster \(4 bytes\)"),
        (7, "actual must be a raster: a path, .* not int"),
        (np.zeros((2, 2)), "not ndarray"),
        (raster(np.zeros(3)), "must have 2 or 3 dimensions"),
        (raster(transform=5), "must be an Affine"),
        (raster(crs="nowhere"), "must be a CRS, not 'nowhere'"),
    ):
        with pytest.raises(ArgumentError, match=words):
            assert_raster_equal(wrong, raster())
    for name in ("rtol", "atol"):
        for value in (-1, float("nan"), float("inf"), "1", True):
            with pytest.raises(ArgumentError, match=f"{name} must be a number, 0 or more"):
                assert_raster_equal(raster(), raster(), **{name: value})


def part(left, top, values, **changed):
    return as_raster(raster(values, transform=Affine(10, 0, left, 0, -10, top), **changed), f"part at {left}")


def test_mosaics() -> None:
    values = np.arange(24, dtype="int16").reshape(1, 4, 6)
    parts = [
        part(500_030, 6_000_000, values[:, :, 3:]), part(500_000, 5_999_980, values[:, 2:, :3]),
        part(500_000, 6_000_000, values[:, :2, :3]), part(0, 0, values[:, :0]),
    ]  # fmt: skip
    assert_raster_equal(join_rasters(parts, "all"), raster(values))
    low, high = np.full((1, 4, 6), 1, "int16"), np.full((1, 4, 6), 2, "int16")
    high[0, 0] = -1
    top = join_rasters([part(0, 0, low), part(0, 0, high, nodata=-1)], "all")
    assert top.values[0, :, 0].tolist() == [1, 2, 2, 2]
    alone = join_rasters([part(0, 0, high, nodata=-1)], "all")
    assert alone.values[0, :, 0].tolist() == [-1, 2, 2, 2]
    assert not alone.valid[0, 0].any()
    gap = join_rasters([part(0, 0, low), part(80, 0, low)], "all")
    assert gap.valid[0, 0].tolist() == [True] * 6 + [False] * 2 + [True] * 6
    for other, words in (
        (part(5, 0, low), "lies on another grid"),
        (part(60, 0, low.astype("int32")), "dtype of part at 60 is int32, and of part at 0 int16"),
        (part(60, 0, low, crs="EPSG:4326"), "CRS of part"),
    ):
        with pytest.raises(ValueError, match=words):
            join_rasters([part(0, 0, low), other], "all")
