"""Rasters that hurt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from ellipsis_local import layers

__all__ = [
    "all_nodata",
    "bands_31",
    "gap_between_files",
    "nan_raster",
    "negative_extent",
    "nodata_is_zero",
    "one_pixel",
    "one_row",
    "rotated",
    "uint8_bright",
    "zero_is_valid",
]

LEFT, TOP, PIXEL = 500_000.0, 6_000_000.0, 10.0
ROWS, COLS = 24, 32


def _add(
    name: str, values: NDArray[Any], transform: Affine | None = None, nodata: float | None = None, **given: Any
) -> dict[str, str]:
    source = {"raster": values, "transform": transform or _grid(), "crs": "EPSG:3857", "nodata": nodata}
    return layers.add(source, name=name, **given)


def _grid(left: float = LEFT, top: float = TOP) -> Affine:
    return Affine(PIXEL, 0, left, 0, -PIXEL, top)


def _ramp(dtype: str = "float32") -> NDArray[Any]:
    """Values from 1 that grow to the east and to the south, so that every partition has another mean."""
    rows, cols = np.mgrid[:ROWS, :COLS]
    return np.asarray(1 + rows * 2 + cols, dtype)


def all_nodata() -> dict[str, str]:
    """Two float bands, nodata -9999, and no valid pixel. Catches means and ratios of nothing (NaN, division by zero),
    -9999 taken for a value, and reduce steps that expect a number from every node.
    """
    return _add("all nodata", np.full((2, ROWS, COLS), -9999, "float32"), nodata=-9999)


def nan_raster() -> dict[str, str]:
    """Floats of which the western third is NaN, and no nodata value is declared. Catches sums, minima and comparisons
    that one NaN spoils (use numpy's nan functions), and masks made from the nodata value alone.
    """
    values = _ramp()
    values[:, : COLS // 3] = np.nan
    return _add("NaN", values)


def nodata_is_zero() -> dict[str, str]:
    """Unsigned 16-bit values of at least 1; the eastern half is 0, which is nodata. Catches means and minima that count
    nodata, and partitions of nothing else.
    """
    values = _ramp("uint16")
    values[:, COLS // 2 :] = 0
    return _add("nodata is zero", values, nodata=0)


def zero_is_valid() -> dict[str, str]:
    """Bytes of which a third is 0, a value like any other; nodata is 255, in the last column. Catches `values > 0` and
    truth values in place of a look at the nodata value.
    """
    values = (np.mgrid[:ROWS, :COLS].sum(axis=0) % 3 * 10).astype("uint8")
    values[:, -1] = 255
    return _add("zero is valid", values, nodata=255)


def uint8_bright() -> dict[str, str]:
    """Two bands of bytes from 150 to 250. Catches sums and differences of bands that overflow (200 + 200 is 144, 150 -
    200 is 206 in bytes): convert to float before any arithmetic.
    """
    ramp = _ramp()
    first = 150 + ramp
    return _add("bright bytes", np.stack([first, 250 - ramp]).astype("uint8"))


def one_pixel() -> dict[str, str]:
    """One pixel. Catches squeezed arrays that lose their axes, gradients and windows that need neighbours, statistics
    that need two values, and more nodes than there are pixels, which createCompute refuses.
    """
    return _add("one pixel", np.array([[7.0]], "float32"))


def one_row() -> dict[str, str]:
    """One row of 40 pixels. Catches vertical neighbourhoods and gradients, and `squeeze`, which drops that axis."""
    return _add("one row", np.arange(40, dtype="float32")[np.newaxis])


def bands_31() -> dict[str, str]:
    """31 bands, each of its own number. Catches band numbers that were written for three or four bands, and arrays
    taken for (height, width, bands).
    """
    return _add("31 bands", np.arange(1, 32, dtype="uint8")[:, np.newaxis, np.newaxis] * np.ones((1, 6, 8), "uint8"))


def negative_extent() -> dict[str, str]:
    """A ramp in the south-west of the world, where x and y are below zero. Catches rows and columns computed with
    `int`, which rounds towards zero, `abs` of coordinates, and extents that are filled up from 0.
    """
    return _add("negative extent", _ramp(), _grid(-7_000_005.0, -4_000_005.0))


def rotated() -> dict[str, str]:
    """A ramp on a grid that is turned by 30 degrees, nodata 0: the nodes receive it warped to north-up, with nodata in
    the corners. Catches pixel counts and means that take the corners for data, and code that expects the file's own
    grid.
    """
    angle = math.radians(30)
    across, down = PIXEL * math.cos(angle), PIXEL * math.sin(angle)
    return _add("rotated", _ramp(), Affine(across, -down, LEFT, -down, -across, TOP), nodata=0)


def gap_between_files() -> dict[str, str]:
    """A timestamp of two files with a gap of 8 columns between them, and no nodata value. Catches means that count the
    gap, which comes as zeros, and code that takes a timestamp for one file.
    """
    from ellipsis_local.emulator import current_emulator

    ramp = _ramp()
    layer = _add("gap between files", ramp[:, :12])
    east = {"raster": ramp[:, 20:], "transform": _grid(LEFT + 20 * PIXEL), "crs": "EPSG:3857"}
    current_emulator().store.add_files(layer["pathId"], layer["timestampId"], [(east, "east.tif")])
    return layer
