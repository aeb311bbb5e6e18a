"""The part of a raster file within an extent, on the file's own grid, as a GeoTIFF: copied window by window."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ellipsis_local.crs import crs_text, epsg_text
from ellipsis_local.formats.tiff import missing_bytes
from ellipsis_local.gdal_errors import reading, writing
from ellipsis_local.raster.files import check_georeference, creation_options, opened, subdataset
from ellipsis_local.store.formats import detect
from ellipsis_local.types import Extent
from ellipsis_local.upstream.areas import in_crs

__all__ = ["clip"]

WINDOW = 1024
SLACK = 1e-6
"""Of a pixel: an extent that ends on an edge of pixels does not take the next ones."""


def clip(
    source: Path, target: Path, area: Extent, *, epsg: int | None, nodata: float | None, layer: str | None
) -> bool:
    """Write the pixels of `source` that touch `area`; False, and nothing written, where there are none.

    Parameters
    ----------
    area : Extent
        In EPSG:4326, longitude first.
    epsg, nodata, layer
        What is said of the file and not by it.

    Raises
    ------
    LayerError
        Where the file is no usable raster.
    """
    found = detect(source, "raster", layer, contained=True)
    if found.member is not None:
        location = f"/vsizip/{source}/{found.member}"
    else:
        location = subdataset(source, layer, contained=True)
    with reading(source), opened(location, contained=True) as dataset:
        check_georeference(dataset, source.name)
        crs = epsg_text(epsg) if epsg is not None else crs_text(dataset.crs, source.name)
        window = window_of(dataset, crs, area)
        if window is None:
            return False
        copy(dataset, target, window, crs, dataset.nodata if nodata is None else nodata)
    return True


def window_of(dataset: Any, crs: str, area: Extent) -> Any:
    """The window of the pixels that touch the area; None where none does."""
    import pyproj
    from rasterio.windows import Window

    whole = dataset.bounds
    own = Extent(min(whole[0], whole[2]), min(whole[1], whole[3]), max(whole[0], whole[2]), max(whole[1], whole[3]))
    change = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south, east, north = change.transform_bounds(*own, densify_pts=21)
    if west <= east and all(map(math.isfinite, (west, south, east, north))):
        # Within the file's own area, because its CRS may have no place for more. A little wider: edges are curves.
        dx, dy = (east - west) / 100, (north - south) / 100
        area = Extent(
            max(area.x_min, west - dx),
            max(area.y_min, south - dy),
            min(area.x_max, east + dx),
            min(area.y_max, north + dy),
        )
        if area.width <= 0 or area.height <= 0:
            return None
    box = in_crs(area, crs)
    a, b, c, d, e, f = tuple(~dataset.transform)[:6]
    corners = [(x, y) for x in (box.x_min, box.x_max) for y in (box.y_min, box.y_max)]
    columns = [a * x + b * y + c for x, y in corners]
    rows = [d * x + e * y + f for x, y in corners]
    left, right = max(0, math.floor(min(columns) + SLACK)), min(dataset.width, math.ceil(max(columns) - SLACK))
    top, bottom = max(0, math.floor(min(rows) + SLACK)), min(dataset.height, math.ceil(max(rows) - SLACK))
    return Window(left, top, right - left, bottom - top) if left < right and top < bottom else None


def copy(dataset: Any, target: Path, window: Any, crs: str, nodata: float | None) -> None:
    """Pixels, mask, names and palette of a window."""
    import rasterio
    from rasterio.enums import MaskFlags
    from rasterio.windows import Window

    width, height, dtype = int(window.width), int(window.height), dataset.dtypes[0]
    masked = any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in dataset.mask_flag_enums)
    options = {
        "driver": "GTiff", "width": width, "height": height, "count": dataset.count, "dtype": dtype, "crs": crs,
        "transform": dataset.window_transform(window), "nodata": nodata, **creation_options(dtype, width, height),
    }  # fmt: skip
    with (
        writing(target),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False),
        rasterio.open(target, "w", **options) as output,
    ):
        keep_looks(dataset, output)
        for row in range(0, height, WINDOW):
            for column in range(0, width, WINDOW):
                part = Window(column, row, min(WINDOW, width - column), min(WINDOW, height - row))
                source = Window(window.col_off + column, window.row_off + row, part.width, part.height)
                with reading(dataset.name, "cannot be read; it is truncated or damaged"):
                    values = dataset.read(window=source)
                    mask = dataset.dataset_mask(window=source) if masked else None
                output.write(values, window=part)
                if mask is not None:
                    output.write_mask(mask, window=part)
    if missing_bytes(target):
        with writing(target):
            raise OSError("the file was not written to its end: no space left on device")


def keep_looks(dataset: Any, output: Any) -> None:
    import contextlib

    for band, name in enumerate(dataset.descriptions, start=1):
        if name:
            output.set_band_description(band, name)
    output.colorinterp = dataset.colorinterp
    if dataset.count == 1 and dataset.dtypes[0] in ("uint8", "uint16"):
        with contextlib.suppress(ValueError):
            output.write_colormap(1, dataset.colormap(1))
