"""The pixels under single locations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.crs import transformer
from ellipsis_local.errors import LayerError
from ellipsis_local.raster.dataset_pool import Handles, Source
from ellipsis_local.raster.locate import Found, at_points, shifts
from ellipsis_local.raster.sampling import Sample, blank, take
from ellipsis_local.types import RasterFile, Timestamp

__all__ = ["plain", "values_at"]

LARGEST_BLOCK = 1024
"""Points that lie in one block of the file, and no farther apart than this, are read together."""


def values_at(handles: Handles, timestamp: Timestamp, locations: NDArray[np.float64]) -> list[list[Any]]:
    """What `Imagery.locations` answers; `locations` is (n, 2), longitude and latitude."""
    files = timestamp.rasters
    if not files:
        raise LayerError(f"timestamp {timestamp.id} has no files")
    longitude = (locations[:, 0] + 180) % 360 - 180
    sample = blank(files, (files[0].bands, 1, len(locations)))
    for file in reversed(files):
        change = transformer("EPSG:4326", file.crs)
        x, y = (np.asarray(one) for one in change.transform(longitude, locations[:, 1]))
        for shift in shifts(file):
            place = at_points(file, x - shift, y)
            if place.inside.any():
                with handles.lent(file.location) as source:
                    by_block(source, file, place, sample)
    good = sample.covered[:, 0] & ~missing(sample.pixels[:, 0])
    return [
        [plain(value) if there else None for value, there in zip(values, covered, strict=True)]
        for values, covered in zip(sample.pixels[:, 0].T, good.T, strict=True)
    ]


def by_block(source: Source, file: RasterFile, place: Found, sample: Sample) -> None:
    """Take the pixels of one block of the file after the other: no block is read twice, or for nothing."""
    high, wide = (min(size, LARGEST_BLOCK) for size in file.block)
    number = (place.rows[0] // high) * (file.width // wide + 1) + place.columns[0] // wide
    order = np.flatnonzero(place.inside[0])
    order = order[np.argsort(number[order], kind="stable")]
    for points in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        group = Found(place.rows[:, points], place.columns[:, points], place.inside[:, points], 1.0)
        part = Sample(sample.pixels[:, :, points], sample.covered[:, :, points])
        take(source, file, group, part)
        sample.pixels[:, :, points], sample.covered[:, :, points] = part


def missing(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values no JSON can hold: not a number, infinite."""
    if pixels.dtype.kind not in "fc":
        return np.zeros(pixels.shape, dtype=bool)
    finite: NDArray[np.bool_] = np.isfinite(pixels)
    return ~finite


def plain(value: Any) -> Any:
    """A pixel's value as JSON knows it: a complex one is the pair of its parts."""
    number = value.item()
    return [number.real, number.imag] if isinstance(number, complex) else number
