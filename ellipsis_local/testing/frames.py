"""Frames of features compared by content: which rows are only here, only there, and which changed how."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ellipsis_local.errors import ArgumentError
from ellipsis_local.testing.frame_diff import compare_frames
from ellipsis_local.testing.rasters import bytes_of
from ellipsis_local.vector import recognised

__all__ = ["as_frame", "assert_frame_equal", "is_frame"]

FORMS = "a GeoDataFrame or DataFrame, the path or the bytes of a GeoPackage, GeoJSON or GeoParquet, or GeoJSON"


def assert_frame_equal(
    actual: Any,
    expected: Any,
    *,
    tolerance: float = 0.0,
    rtol: float = 0.0,
    atol: float = 0.0,
    check_order: bool = False,
    check_column_order: bool = False,
    check_dtype: bool = False,
    check_crs: bool = True,
    check_geometry_type: bool = True,
    ignore: Collection[str] = (),
) -> None:
    """Assert that two frames hold the same features, in any order.

    Parameters
    ----------
    actual, expected : frame
        A GeoDataFrame or DataFrame; the path of a file that geopandas reads; bytes or a `BytesIO` of a GeoPackage,
        GeoJSON or GeoParquet; or a GeoJSON dictionary.
    tolerance : float
        By how much each coordinate may be apart, in units of the CRS. Where a ring starts, which way round it runs and
        the order of the parts do not matter.
    rtol, atol : float
        Other numbers may be apart by ``atol + rtol * abs(expected)``.
    check_order : bool
        Whether the rows have to come in the same order. The index is never looked at.
    check_column_order : bool
        Whether the columns have to.
    check_dtype : bool
        Whether the columns' dtypes have to be the same: files keep few of them.
    check_crs : bool
        Whether the CRS has to be the same. A frame without one agrees with any.
    check_geometry_type : bool
        Whether a polygon differs from a multipolygon of that one polygon (GeoPackages often hold the latter).
    ignore : collection of str
        Columns that are not looked at.

    Raises
    ------
    AssertionError
        With everything that differs: columns, CRS, rows only here, rows only there, and values that changed.
    ArgumentError
        For something that is no frame, or a tolerance that is negative or not finite.
    """
    difference = compare_frames(
        as_frame(actual, "actual"), as_frame(expected, "expected"), tolerance=tolerance, rtol=rtol, atol=atol,
        check_order=check_order, check_column_order=check_column_order, check_dtype=check_dtype, check_crs=check_crs,
        check_geometry_type=check_geometry_type, ignore=ignore,
    )  # fmt: skip
    if difference is not None:
        raise AssertionError("\n  ".join(["the frames differ (actual, then expected)", *difference.lines]))


def is_frame(value: Any) -> bool:
    """Whether it is a pandas or geopandas frame; neither is imported for that."""
    return any(kind.__name__ == "DataFrame" and kind.__module__.startswith("pandas") for kind in type(value).__mro__)


def as_frame(value: Any, name: str) -> Any:
    """Any frame as a (Geo)DataFrame; ArgumentError where it is none."""
    if is_frame(value):
        return value
    if isinstance(value, Mapping) and value.get("type") in ("FeatureCollection", "Feature"):
        return _read(json.dumps(value).encode(), name)
    data = bytes_of(value)
    if data is None and isinstance(value, str | os.PathLike):
        path = Path(value)
        if not path.is_file():
            raise ArgumentError(f"{name} is no file: {os.fspath(value)!r}", argument=name, value=value)
        return _read(path, name)
    if data is not None:
        return _read(data, name)
    raise ArgumentError(f"{name} must be {FORMS}, not {type(value).__name__}", argument=name, value=value)


def _read(source: bytes | Path, name: str) -> Any:
    try:
        return recognised(source)
    except Exception as error:
        shown = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
        raise ArgumentError(f"{name} cannot be read as features ({shown}): {error}", argument=name) from error
