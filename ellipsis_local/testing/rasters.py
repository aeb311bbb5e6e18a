"""Rasters of any form, compared pixel by pixel: what differs first, how much, and where."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.raster.grid import apply, corners_extent
from ellipsis_local.types import Extent

MOST_SHOWN = 5
CHECKS = ("dtype", "nodata", "crs", "transform")
MISALIGNED = 1e-3
"""By how much of a pixel two grids may be apart anywhere and still be the same."""
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Raster:
    name: str
    values: NDArray[Any]
    """(bands, height, width)."""
    valid: NDArray[np.bool_]
    """Of the same shape: False where a pixel is nodata or masked."""
    transform: Any
    """An Affine."""
    crs: Any
    """rasterio's CRS, or None where it says none."""

    @property
    def extent(self) -> Extent:
        height, width = self.values.shape[1:]
        return corners_extent(self.transform, width, height)


@dataclass(frozen=True)
class RasterDifference:
    lines: tuple[str, ...]
    pixels: Any = None
    """(height, width): where any band differs; None where the grids cannot be compared."""
    transform: Any = None
    extent: Extent | None = None
    """Around the differing pixels, in units of the CRS."""


def assert_raster_equal(
    actual: Any,
    expected: Any,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    check_dtype: bool = True,
    check_nodata: bool = True,
    check_crs: bool = True,
    check_transform: bool = True,
) -> None:
    """Assert that two rasters hold the same pixels at the same places.

    Parameters
    ----------
    actual, expected : raster
        The path of a file that rasterio reads; its bytes, a `BytesIO` or rasterio's `MemoryFile`; an open rasterio
        dataset; or what a function receives, ``{'raster': ndarray (bands, height, width) or (height, width),
        'transform': Affine}`` with 'crs' and 'nodata' where known.
    rtol, atol : float
        A value may be apart by ``atol + rtol * abs(expected)``. NaN equals NaN.
    check_dtype : bool
        Whether the dtypes have to be the same.
    check_nodata : bool
        Whether the same pixels have to be nodata (by value, mask or alpha). Where a pixel is nodata on both sides, its
        value is not looked at.
    check_crs : bool
        Whether the CRS has to be the same. One that says none agrees with any.
    check_transform : bool
        Whether the pixels have to lie on the same grid, to a thousandth of a pixel.

    Raises
    ------
    AssertionError
        With everything that differs: how many pixels, within which extent, by how much at most, and the first few with
        band, row, column (from 0; bands from 1), x, y and both values.
    ArgumentError
        For something that is no raster, or a tolerance that is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from affine import Affine
    >>> ones = {'raster': np.ones((1, 2, 3)), 'transform': Affine(10, 0, 0, 0, -10, 20)}
    >>> el.testing.assert_raster_equal(ones, ones)
    >>> el.testing.assert_raster_equal(ones, ones | {'raster': np.zeros((1, 2, 3))})
    Traceback (most recent call last):
        ...
    AssertionError: the rasters differ (actual, then expected)
      values: 6 of 6 pixels differ (100.00%), by at most 1 (no tolerance), in band 1
      ...
    """
    one, other = as_raster(actual, "actual"), as_raster(expected, "expected")
    checks = {"dtype": check_dtype, "nodata": check_nodata, "crs": check_crs, "transform": check_transform}
    difference = compare_rasters(one, other, rtol, atol, {name for name, wanted in checks.items() if wanted})
    if difference is not None:
        raise AssertionError("\n  ".join(["the rasters differ (actual, then expected)", *difference.lines]))


def is_raster(value: Any) -> bool:
    """A raster in a form that is nothing else: as functions receive it, or a TIFF in memory."""
    return _is_dict(value) or (bytes_of(value) or b"")[:4] in TIFF


def _is_dict(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and "raster" in value and "transform" in value


def bytes_of(value: Any) -> bytes | None:
    """The bytes of a memory file, wherever it is read to by now; None for anything else."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, io.BytesIO):
        return value.getvalue()
    if type(value).__name__ == "MemoryFile" and hasattr(value, "getbuffer"):
        return bytes(value.getbuffer())
    return None


def as_raster(value: Any, name: str) -> Raster:
    from ellipsis_local.raster.opening import any_raster, is_dataset

    if isinstance(value, Raster):
        return value
    if _is_dict(value):
        return _of_dict(value, name)
    data = bytes_of(value)
    try:
        if is_dataset(value):
            return _of_dataset(value, name)
        if data is not None or _is_path(value):
            with any_raster(value if data is None else data) as source:
                return _of_dataset(source, name)
    except LayerError as error:
        shown = f"{len(data)} bytes" if data is not None else repr(os.fspath(value)) if _is_path(value) else repr(value)
        raise ArgumentError(f"{name} cannot be read as a raster ({shown}): {error}", argument=name) from error
    forms = "a path, bytes or BytesIO of a GeoTIFF, an open rasterio dataset, or {'raster', 'transform', 'crs'}"
    raise invalid(name, value, f"must be a raster: {forms}, not {type(value).__name__}")


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _of_dataset(source: Any, name: str) -> Raster:
    return Raster(name, source.read(), source.read_masks() != 0, source.transform, source.crs)


def _of_dict(value: Mapping[str, Any], name: str) -> Raster:
    from ellipsis_local.raster.opening import crs_of

    array = np.asarray(value["raster"])
    array = array[np.newaxis] if array.ndim == 2 else array
    if array.ndim != 3:
        text = f"{name}['raster'] must have 2 or 3 dimensions (bands, height, width), not shape {array.shape}"
        raise ArgumentError(text, argument=name)
    try:
        transform = Affine(*tuple(value["transform"])[:6])
    except (TypeError, ValueError):
        text = f"{name}['transform'] must be an Affine, not {value['transform']!r}"
        raise ArgumentError(text, argument=name) from None
    nodata, mask = value.get("nodata"), value.get("mask")
    valid = np.ones(array.shape, bool)
    if nodata is not None:
        valid = ~np.isnan(array) if nodata != nodata else array != nodata  # NaN is not itself
    if mask is not None:
        valid = valid & mask
    try:
        crs = None if value.get("crs") is None else crs_of(value["crs"])
    except LayerError:
        raise ArgumentError(f"{name}['crs'] must be a CRS, not {value['crs']!r}", argument=name) from None
    return Raster(name, array, valid, transform, crs)


def check_tolerance(name: str, value: Any) -> float:
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not good or not 0 <= value < float("inf"):
        raise invalid(name, value, f"must be a number, 0 or more, not {value!r}")
    return float(value)


def compare_rasters(
    actual: Raster, expected: Raster, rtol: float, atol: float, checks: Collection[str] = CHECKS
) -> RasterDifference | None:
    rtol, atol = check_tolerance("rtol", rtol), check_tolerance("atol", atol)
    lines = []
    if actual.values.shape != expected.values.shape:
        lines.append(f"shape (bands, height, width): {actual.values.shape}, expected {expected.values.shape}")
    if "dtype" in checks and actual.values.dtype != expected.values.dtype:
        lines.append(f"dtype: {actual.values.dtype}, expected {expected.values.dtype}")
    if "crs" in checks and None not in (actual.crs, expected.crs) and actual.crs != expected.crs:
        lines.append(f"CRS: {actual.crs.to_string()}, expected {expected.crs.to_string()}")
    if "transform" in checks and not _same_grid(actual, expected):
        lines.append(f"transform: {show_transform(actual.transform)}, expected {show_transform(expected.transform)}")
    if actual.values.shape != expected.values.shape:
        lines.append(f"extent: {show_extent(actual.extent)}, expected {show_extent(expected.extent)}")
        return RasterDifference(tuple(lines))
    values = _apart(actual.values, expected.values, rtol, atol)
    masks = np.zeros(values.shape, bool)
    if "nodata" in checks:
        masks = actual.valid != expected.valid
        values &= actual.valid & expected.valid
    lines += _describe_masks(actual, expected, masks)
    lines += _describe_values(actual, expected, values, rtol, atol)
    pixels = (masks | values).any(axis=0)
    extent = _around(pixels, expected.transform) if pixels.any() else None
    return RasterDifference(tuple(lines), pixels, expected.transform, extent) if lines else None


def _same_grid(one: Raster, other: Raster) -> bool:
    height, width = one.values.shape[1:]
    pixel = min(abs(one.transform.a) + abs(one.transform.b), abs(one.transform.d) + abs(one.transform.e))
    corners = ((0, 0), (width, 0), (0, height), (width, height))
    apart = [np.subtract(apply(one.transform, *corner), apply(other.transform, *corner)) for corner in corners]
    return not (np.abs(apart) > MISALIGNED * pixel).any()


def _apart(a: NDArray[Any], b: NDArray[Any], rtol: float, atol: float) -> Any:
    if rtol or atol:
        return ~np.isclose(*_wide(a, b), rtol=rtol, atol=atol, equal_nan=True)
    apart = a != b
    if a.dtype.kind in "fc" and b.dtype.kind in "fc":
        apart &= ~(np.isnan(a) & np.isnan(b))
    return apart


def _wide(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both in a type that holds their difference."""
    kind = complex if "c" in (a.dtype.kind, b.dtype.kind) else float
    return a.astype(kind), b.astype(kind)


def _describe_masks(actual: Raster, expected: Raster, wrong: Any) -> Iterator[str]:
    if wrong.any():
        here, there = int((wrong & actual.valid).sum()), int((wrong & expected.valid).sum())
        extent = _around(wrong.any(axis=0), expected.transform)
        yield (
            f"nodata: {here} values are valid and expected to be nodata, {there} are nodata and expected to be valid; "
            f"within {show_extent(extent, expected.crs)}"
        )
        yield from _first(actual, expected, wrong)


def _describe_values(actual: Raster, expected: Raster, wrong: Any, rtol: float, atol: float) -> Iterator[str]:
    if not wrong.any():
        return
    pixels = wrong.any(axis=0)
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.subtract(*_wide(actual.values[wrong], expected.values[wrong])))
    finite = apart[np.isfinite(apart)]
    most = f"by at most {finite.max():.6g}" if len(finite) else "none by a finite number"
    bands = (np.flatnonzero(wrong.any(axis=(1, 2))) + 1).tolist()
    listed = ", ".join(map(str, bands[:8])) + (f" and {len(bands) - 8} more" if len(bands) > 8 else "")
    allowed = f"rtol {rtol:g}, atol {atol:g}" if rtol or atol else "no tolerance"
    yield (
        f"values: {int(pixels.sum())} of {pixels.size} pixels differ ({pixels.mean():.2%}), {most} ({allowed}), "
        f"in {'band' if len(bands) == 1 else 'bands'} {listed}"
    )
    rows, cols = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    extent = _around(pixels, expected.transform)
    yield f"within {show_extent(extent, expected.crs)}: rows {rows[0]} to {rows[-1]}, columns {cols[0]} to {cols[-1]}"
    yield from _first(actual, expected, wrong)


def _first(actual: Raster, expected: Raster, wrong: Any) -> Iterator[str]:
    places = np.argwhere(wrong)
    for band, row, col in places[:MOST_SHOWN].tolist():
        x, y = apply(expected.transform, col + 0.5, row + 0.5)
        yield (
            f"  band {band + 1}, row {row}, column {col} (x {x:.10g}, y {y:.10g}): "
            f"{_value(actual, band, row, col)}, expected {_value(expected, band, row, col)}"
        )
    if len(places) > MOST_SHOWN:
        yield f"  and {len(places) - MOST_SHOWN} more"


def _value(raster: Raster, band: int, row: int, col: int) -> str:
    value = str(raster.values[band, row, col])
    return value if raster.valid[band, row, col] else f"nodata ({value})"


def _around(pixels: Any, transform: Any) -> Extent:
    rows, cols = np.flatnonzero(pixels.any(axis=1)).tolist(), np.flatnonzero(pixels.any(axis=0)).tolist()
    return Extent.around(apply(transform, x, y) for x in (cols[0], cols[-1] + 1) for y in (rows[0], rows[-1] + 1))


def show_transform(transform: Any) -> str:
    return "(" + ", ".join(f"{value:.10g}" for value in tuple(transform)[:6]) + ")"


def show_extent(extent: Extent, crs: Any = None) -> str:
    where = f" ({crs if isinstance(crs, str) else crs.to_string()})" if crs else ""
    return f"x {extent.x_min:.10g} to {extent.x_max:.10g}, y {extent.y_min:.10g} to {extent.y_max:.10g}{where}"
