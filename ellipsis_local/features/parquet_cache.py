"""What is kept in the cache of vector files, under the hash of their content: copies and bounds.

GeoParquet in groups of a fair size is read as it lies in the store. Everything else is copied into such a file once, in
batches: no other format gives the features from the 900,000th on without reading those before. Bounds are in
EPSG:4326: a feature whose bounds in degrees meet an extent may lie, in a CRS that is turned against it, beside the
extent's outline there.
"""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local import vector
from ellipsis_local.errors import LayerError
from ellipsis_local.features.geojson import in_wgs84
from ellipsis_local.features.ids import Integers
from ellipsis_local.features.table import FeatureTable
from ellipsis_local.gdal_errors import writing
from ellipsis_local.home import Home, idle_seconds
from ellipsis_local.types import Extent, StoredFile, VectorFile

FORMAT = 2
"""Part of the names: raised when a copy of the same file would hold something else."""
DRAFT_SECONDS = 3600.0
THREADS = min(4, os.cpu_count() or 1)

Floats = NDArray[np.float64]


def open_table(home: Home, file: StoredFile) -> FeatureTable:
    """The rows of a stored file; LayerError where it is gone or damaged."""
    detail = file.detail
    if not isinstance(detail, VectorFile):
        raise LayerError.of(file.name, "is no vector file")
    if detail.format == "parquet":
        own = FeatureTable(Path(detail.location), file, detail)
        if own.direct:
            return own
        own.close()
    return FeatureTable(copy_of(home, file), file, detail)


def copy_of(home: Home, file: StoredFile) -> Path:
    """The copy of a file; one process makes it, others wait for it."""
    target = cache_file(home, file.content, ".parquet")
    if target.exists():
        return target
    with home.lock(f"features-{file.content[:32]}"):
        if not target.exists():
            assert isinstance(file.detail, VectorFile)  # noqa: S101 - the caller looked
            with home.publish_file(target) as draft:
                vector.copy(file.detail, file.name, draft)
    return target


def folder(home: Home) -> Path:
    return home.cache / "features"


def cache_file(home: Home, content: str, suffix: str) -> Path:
    """Where what is kept about content lies; the folder is there then."""
    place = folder(home)
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    return place / f"{content}-{FORMAT}{suffix}"


def tidy(home: Home, contents: set[str]) -> None:
    """Remove what belongs to none of these contents, and the drafts of killed processes."""
    for path in folder(home).glob("*"):
        with contextlib.suppress(OSError):
            if path.name.startswith(".new-"):
                if idle_seconds(path) > DRAFT_SECONDS:
                    path.unlink()
            elif path.name.partition("-")[0] not in contents:
                path.unlink()


def forget(home: Home, content: str) -> None:
    """Remove what is kept about content; whoever still asks for it makes it again."""
    for path in folder(home).glob(f"{content}-*"):
        with contextlib.suppress(OSError):
            path.unlink()


def bounds_of(home: Home, sheet: FeatureTable) -> Floats:
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


def measured(sheet: FeatureTable) -> Floats:
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


def bounds_in(sheet: FeatureTable, table: Any) -> Floats:
    import shapely

    geometries, _ = in_wgs84(table[sheet.geometry], sheet.detail.crs)
    return np.asarray(shapely.bounds(geometries))


def carry_over(home: Home, sheet: FeatureTable, content: str, rows: tuple[Integers, Any], without: Integers) -> None:
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
