"""The part of a raster file within an extent, on the file's own grid, as a GeoTIFF: copied window by window."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ellipsis_local.crs import WGS84, crs_text, epsg_text, transform_extent
from ellipsis_local.gdal_errors import reading
from ellipsis_local.raster.files import check_georeference, subdataset
from ellipsis_local.raster.grid import TargetGrid, apply, corners_extent, inverse
from ellipsis_local.raster.opening import opened
from ellipsis_local.raster.validity import masks_of
from ellipsis_local.raster.write import geotiff, looks_of, windows
from ellipsis_local.types import Extent

SLACK = 1e-6
"""Of a pixel: an extent that ends on an edge of pixels does not take the next ones."""


def clip(
    source: Path,
    target: Path,
    area: Extent,
    *,
    member: str | None = None,
    epsg: int | None = None,
    nodata: float | None = None,
    layer: str | None = None,
) -> bool:
    """Write the pixels of `source` that touch `area` (EPSG:4326); False, and nothing written, where there are none.

    `member`: the raster in an archive; `epsg`, `nodata`, `layer`: what is said of the file and not by it.
    """
    location = str(source) if member is None else f"/vsizip/{source}/{member}"
    if member is None:
        with reading(source), opened(source, contained=True) as dataset:
            location = subdataset(dataset, location, source.name, layer)
    with reading(source), opened(location, contained=True) as dataset:
        check_georeference(dataset, source.name)
        crs = epsg_text(epsg) if epsg is not None else crs_text(dataset.crs, source.name)
        grid = TargetGrid(crs, tuple(dataset.transform)[:6], dataset.width, dataset.height)
        window = window_of(grid, area)
        if window is None:
            return False
        copy(dataset, target, grid, window, dataset.nodata if nodata is None else nodata)
    return True


def window_of(grid: TargetGrid, area: Extent) -> tuple[int, int, int, int] | None:
    """Column, row, width and height of the pixels that touch the area; None where none does."""
    own = transform_extent(grid.crs, WGS84, corners_extent(grid.transform, grid.width, grid.height))
    if own is not None and own.x_min <= own.x_max:
        # Within the file's own area, because its CRS may have no place for more. A little wider: edges are curves.
        dx, dy = own.width / 100, own.height / 100
        area = Extent(
            max(area.x_min, own.x_min - dx),
            max(area.y_min, own.y_min - dy),
            min(area.x_max, own.x_max + dx),
            min(area.y_max, own.y_max + dy),
        )
        if area.width <= 0 or area.height <= 0:
            return None
    box = transform_extent(WGS84, grid.crs, area)
    if box is None:
        return None
    to_pixels = inverse(grid.transform)
    corners = [apply(to_pixels, x, y) for x in (box.x_min, box.x_max) for y in (box.y_min, box.y_max)]
    columns, rows = zip(*corners, strict=True)
    left, right = max(0, math.floor(min(columns) + SLACK)), min(grid.width, math.ceil(max(columns) - SLACK))
    top, bottom = max(0, math.floor(min(rows) + SLACK)), min(grid.height, math.ceil(max(rows) - SLACK))
    return (left, top, right - left, bottom - top) if left < right and top < bottom else None


def copy(dataset: Any, target: Path, grid: TargetGrid, window: tuple[int, int, int, int], nodata: float | None) -> None:
    """Pixels, mask, and what is said of the bands."""
    from rasterio.windows import Window

    left, top, width, height = window
    masked = masks_of(dataset).kind != "none"
    part = grid.moved(left, top, width, height)
    with geotiff(target, part, dataset.count, dataset.dtypes[0], nodata, looks_of(dataset)) as output:
        for column, row, wide, high in windows(width, height):
            source, place = Window(left + column, top + row, wide, high), Window(column, row, wide, high)
            with reading(dataset.name, "cannot be read; it is truncated or damaged"):
                values = dataset.read(window=source)
                mask = dataset.dataset_mask(window=source) if masked else None
            output.write(values, window=place)
            if mask is not None:
                output.write_mask(mask, window=place)
