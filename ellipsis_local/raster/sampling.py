"""The pixels of any grid, out of the files of a timestamp: nearest neighbour by pixel centre, later files on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.raster.dataset_pool import Handles, Source
from ellipsis_local.raster.locate import Found, Places, shifts
from ellipsis_local.raster.mosaic import Grid, valid
from ellipsis_local.types import RasterFile

__all__ = ["Sample", "paint", "take"]

BUDGET = 32 * 2**20
"""Bytes of a file's pixels that are read at once, where the grid's pixels can be had piece by piece."""
LEAST = 64
"""Side of the smallest window of decimated pixels: for a thinner one GDAL may choose another overview."""
PIECE = 1024
"""Grids of no more pixels are not cut further."""


class Sample(NamedTuple):
    """The pixels of a grid."""

    pixels: NDArray[Any]
    """(bands, height, width), of the layer's dtype."""
    covered: NDArray[np.bool_]
    """The same shape: where a file has a value. Others hold the first nodata value that a file has, or 0."""


def paint(handles: Handles, files: Sequence[RasterFile], grid: Grid, *, wrap: bool = False) -> Sample | None:
    """The pixels of `grid`, each the one of the topmost file that is valid under its centre; None where there is none.

    As the store's mosaic: bands are covered on their own, nodata values and masks are not painted. Where a pixel of
    the grid is two or more of the file wide, the file's overviews are used; without overviews every n-th pixel, unless
    what is needed fits into BUDGET.

    Parameters
    ----------
    wrap : bool
        The grid covers the world from antimeridian to antimeridian, or a part of it: files that cross it are found on
        both sides.
    """
    places = Places(grid)
    first = files[0]
    sample: Sample | None = None
    for file in reversed(files):
        for shift in shifts(file) if wrap else (0.0,):
            place = places.find(file, shift)
            if place is None or not place.inside.any():
                continue
            if sample is None:
                sample = blank(files, (first.bands, grid.height, grid.width))
            with handles.lent(file.location) as source:
                take(source, file, place, sample)
        if sample is not None and sample.covered.all():
            break
    return sample if sample is not None and sample.covered.any() else None


def blank(files: Sequence[RasterFile], shape: tuple[int, int, int]) -> Sample:
    nodata = next((file.nodata for file in files if file.nodata is not None), None)
    pixels = np.full(shape, 0 if nodata is None else nodata, dtype=files[0].dtype)
    return Sample(pixels, np.zeros(shape, dtype=bool))


def take(source: Source, file: RasterFile, place: Found, sample: Sample) -> None:
    """Copy into `sample` what one file has under the centres and nothing covers yet."""
    if not place.inside.any():
        return
    rows, columns = place.rows[place.inside], place.columns[place.inside]
    box = (int(np.min(rows)), int(np.max(rows)) + 1, int(np.min(columns)), int(np.max(columns)) + 1)
    step = decimation(source, file, box, place.factor)
    if weight(file, box) > BUDGET * step * step and place.inside.size > PIECE:
        for part in quarters(place.inside.shape):
            pieces = Sample(sample.pixels[:, *part], sample.covered[:, *part])
            take(source, file, place.part(*part), pieces)
        return
    values, good = read(source, file, box, step)
    row, column = shrink(place.rows, file.height, step), shrink(place.columns, file.width, step)
    top, left = shrink(box[0], file.height, step), shrink(box[2], file.width, step)
    index = np.where(place.inside, (row - top) * values.shape[2] + (column - left), 0)
    under = values.reshape(file.bands, -1).take(index, axis=1)
    new = np.broadcast_to(place.inside, under.shape)
    if good is not None:
        new = new & good.reshape(good.shape[0], -1).take(index, axis=1)
    fresh = new & ~sample.covered
    np.copyto(sample.pixels, under, where=fresh)
    sample.covered[...] |= fresh


def quarters(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    halves = [(slice(0, -(-size // 2)), slice(-(-size // 2), size)) for size in shape]
    return [(rows, columns) for rows in halves[0] for columns in halves[1]]


def weight(file: RasterFile, box: tuple[int, int, int, int]) -> int:
    """Bytes of a window of the file."""
    return (box[1] - box[0]) * (box[3] - box[2]) * file.bands * np.dtype(file.dtype).itemsize


def decimation(source: Source, file: RasterFile, box: tuple[int, int, int, int], factor: float) -> int:
    """Every how many rows and columns are read: 1 where a pixel of the grid is less than two of the file."""
    # A little more, so that a grid of just the size of an overview gets it.
    most = max(1, int(factor * 1.001))
    step = max((one for one in source.overviews if one <= most), default=1)
    return step if weight(file, box) <= BUDGET * step * step else most


def shrink(position: Any, size: int, step: int) -> Any:
    """Where a row or column lies among those that are left of `size` when only every `step`-th is."""
    if step == 1:
        return position
    return (2 * position + 1) * -(-size // step) // (2 * size)


def read(
    source: Source, file: RasterFile, box: tuple[int, int, int, int], step: int
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """A window of the file (bands, h, w) beginning at the box's decimated corner, and which pixels are valid.

    Validity is of (bands, h, w), of (1, h, w) where it holds for all bands, or None for all.
    """
    from rasterio.windows import Window

    bands = list(range(1, file.bands + 1))
    top, height, row = some(box[0], box[1], file.height, step)
    left, width, column = some(box[2], box[3], file.width, step)
    dy, dx = file.height / -(-file.height // step), file.width / -(-file.width // step)
    window = Window(left * dx, top * dy, width * dx, height * dy)
    values = source.dataset.read(bands, window=window, out_shape=(len(bands), height, width))[:, row:, column:]
    if file.nodata is not None:
        return values, valid(values, file.nodata)
    if source.mask_band is not None:
        masks = source.dataset.read_masks(source.mask_band, window=window, out_shape=(height, width))
        return values, masks[np.newaxis, row:, column:] > 0
    return values, None


def some(start: int, end: int, size: int, step: int) -> tuple[int, int, int]:
    """First and number of the decimated rows or columns to read, and how many of them come before `start`."""
    all_of_them = -(-size // step)
    first, last = shrink(start, size, step), shrink(end - 1, size, step) + 1
    count = last - first if step == 1 else min(all_of_them, max(last - first, LEAST))
    begin = min(first, all_of_them - count)
    return begin, count, first - begin
