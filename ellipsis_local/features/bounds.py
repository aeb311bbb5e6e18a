"""The bounds of every feature of a file in EPSG:4326, kept in the cache under the hash of its content.

Bounds in the file's own CRS would not do: a feature whose bounds in degrees meet an extent may lie, in a CRS that is
turned against it, beside the extent's outline there.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.features.copies import cache_file
from ellipsis_local.features.geojson import in_wgs84
from ellipsis_local.features.sheets import Sheet
from ellipsis_local.features.writing import Integers
from ellipsis_local.gdal_errors import writing
from ellipsis_local.home import Home
from ellipsis_local.types import Extent

__all__ = ["bounds_of", "carry_over", "meeting"]

Floats = NDArray[np.float64]
THREADS = min(4, os.cpu_count() or 1)


def bounds_of(home: Home, sheet: Sheet) -> Floats:
    """West, south, east and north of each row, (rows, 4), degrees; NaN where there is no geometry. Mapped, not read."""
    if sheet.rows == 0:
        # An empty file cannot be mapped.
        return np.empty((0, 4))
    target = cache_file(home, sheet.file.content, ".npy")
    found: Floats
    while True:
        try:
            found = np.load(target, mmap_mode="r")
            return found
        except FileNotFoundError:
            # Not yet there, or removed because the file was changed.
            with home.lock(f"features-{sheet.file.content[:32]}"):
                if not target.exists():
                    save(target, measured(sheet))


def measured(sheet: Sheet) -> Floats:
    """The bounds of all rows; transforming is most of the work, and done in several threads."""
    found = np.full((sheet.rows, 4), np.nan)
    pieces = sheet.read(np.arange(sheet.rows), [sheet.geometry])
    with ThreadPoolExecutor(THREADS, thread_name_prefix="ellipsis_local-bounds") as pool:
        # A few at a time: a file may be larger than memory.
        while some := list(islice(pieces, THREADS)):
            tables = [table for _, table in some]
            for (rows, _), bounds in zip(some, pool.map(lambda table: bounds_in(sheet, table), tables), strict=True):
                found[rows] = bounds
    return found


def bounds_in(sheet: Sheet, table: Any) -> Floats:
    import shapely

    geometries, _ = in_wgs84(table[sheet.geometry], sheet.detail.crs)
    return np.asarray(shapely.bounds(geometries))


def carry_over(home: Home, sheet: Sheet, content: str, rows: tuple[Integers, Any], without: Integers) -> None:
    """Keep the bounds of a new version of a sheet's file, where those of the sheet are known; see `rewrite`."""
    former = cache_file(home, sheet.file.content, ".npy")
    if not former.exists() or sheet.rows == 0:
        return
    new, table = rows
    kept = ~np.isin(sheet.numbers, np.union1d(new, without))
    numbers = np.concatenate([sheet.numbers[kept], new])
    bounds = np.concatenate([np.load(former, mmap_mode="r")[kept], bounds_in(sheet, table)])
    save(cache_file(home, content, ".npy"), bounds[np.argsort(numbers, kind="stable")])


def save(target: Path, bounds: Floats) -> None:
    with writing(target), Home.publish_file(target) as draft, draft.open("wb") as file:
        np.save(file, bounds)


def meeting(bounds: Floats, extent: Extent) -> Any:
    """The rows whose bounds meet an extent; touching counts. int64, ascending."""
    west, south, east, north = bounds.T
    return np.flatnonzero(
        (west <= extent.x_max) & (east >= extent.x_min) & (south <= extent.y_max) & (north >= extent.y_min)
    )
