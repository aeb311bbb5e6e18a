"""Rasters written as GeoTIFF: the one place where a file of pixels is made."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.crs import WGS84, crs_text, epsg_text, transform_extent
from ellipsis_local.errors import LayerError, LayerWarning
from ellipsis_local.formats import check_raster, missing_bytes
from ellipsis_local.gdal_errors import reading, writing
from ellipsis_local.notices import warn
from ellipsis_local.raster.dataset_pool import DatasetPool
from ellipsis_local.raster.files import RasterArray, band_notes, check_dtype, check_georeference, possible, subdataset
from ellipsis_local.raster.grid import TargetGrid, apply, corners_extent, inverse
from ellipsis_local.raster.layer import RasterLayer
from ellipsis_local.raster.opening import opened
from ellipsis_local.raster.placement import native_grid
from ellipsis_local.raster.validity import disagreements, has_masks, mask_kind, masks_of, missing_in
from ellipsis_local.types import Extent, RasterFile

TILE = 256
WINDOW = 1024
"""Pixels per side of what is written at a time: with float64 bands, 8 MB each."""
MOST_PIXELS = 2**40
SLACK = 1e-6
"""Of a pixel: an extent that ends on an edge of pixels does not take the next ones."""


@dataclass(frozen=True)
class Looks:
    """What a raster says of its bands, besides their values."""

    descriptions: Sequence[str | None] = ()
    colors: Sequence[Any] = ()
    """rasterio's ColorInterp per band."""
    colormap: dict[int, tuple[int, int, int, int]] | None = None
    scales: Sequence[float] = ()
    offsets: Sequence[float] = ()
    units: Sequence[str | None] = ()

    def put_on(self, output: Any) -> None:
        """Say it of a dataset that is being written, before its pixels."""
        for band, name in enumerate(self.descriptions, start=1):
            if name:
                output.set_band_description(band, name)
        if self.colors:
            output.colorinterp = tuple(self.colors)
        if self.colormap:
            output.write_colormap(1, self.colormap)
        if self.scales:
            output.scales = tuple(self.scales)
        if self.offsets:
            output.offsets = tuple(self.offsets)
        if self.units:
            output.units = tuple(unit or "" for unit in self.units)


def looks_of(dataset: Any) -> Looks:
    colormap = None
    if dataset.count == 1 and dataset.dtypes[0] in ("uint8", "uint16"):
        with contextlib.suppress(ValueError):
            colormap = dataset.colormap(1)
    return Looks(dataset.descriptions, dataset.colorinterp, colormap, **band_notes(dataset))


def creation_options(dtype: str, width: int, height: int) -> dict[str, Any]:
    """How we write GeoTIFF: tiled, deflate with the predictor of the dtype, BigTIFF where it may be needed."""
    kind = np.dtype(dtype)
    predictor = {"f": 3 if kind.itemsize in (4, 8) else 1, "c": 1}.get(kind.kind, 2)
    options: dict[str, Any] = {"compress": "deflate", "predictor": predictor, "BIGTIFF": "IF_SAFER"}
    if width >= TILE or height >= TILE:
        options |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    return options


def can_be_tagged(nodata: float | None, dtype: str) -> bool:
    """Whether a GeoTIFF can say this nodata value: rasterio writes it as a double, and large ones with an exponent."""
    return nodata is None or np.dtype(dtype).kind not in "iu" or abs(nodata) <= 2**53


@contextlib.contextmanager
def geotiff(
    target: Path, grid: TargetGrid, bands: int, dtype: str, nodata: float | None, looks: Looks | None = None
) -> Iterator[Any]:
    """A GeoTIFF, open for writing pixels and a mask, which lies inside of it; StoreError where the disk is full."""
    import rasterio
    from affine import Affine

    with writing(target):
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False),
            rasterio.open(
                target, "w", driver="GTiff", width=grid.width, height=grid.height, count=bands, dtype=dtype,
                crs=grid.crs, transform=Affine(*grid.transform[:6]), nodata=nodata,
                **creation_options(dtype, grid.width, grid.height),
            ) as output,
        ):  # fmt: skip
            if looks is not None:
                looks.put_on(output)
            yield output
        check_written(target)


def check_written(target: Path) -> None:
    # GDAL flushes while it closes, where a full disk is no exception.
    if missing_bytes(target):
        raise OSError("the file was not written to its end: no space left on device")


def windows(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Column, row, width and height of the squares that a raster is written in."""
    for row in range(0, height, WINDOW):
        for column in range(0, width, WINDOW):
            yield column, row, min(WINDOW, width - column), min(WINDOW, height - row)


def write_window(output: Any, column: int, row: int, pixels: NDArray[Any], mask: NDArray[Any] | None) -> None:
    """Pixels (bands, h, w), and which are there (h, w), at a place of a dataset that is being written."""
    from rasterio.windows import Window

    window = Window(column, row, pixels.shape[2], pixels.shape[1])
    output.write(pixels, window=window)
    if mask is not None:
        output.write_mask(mask, window=window)


def convert(source: Path | str, target: Path) -> None:
    """The raster at `source`, of any format, as a GeoTIFF: pixels, CRS, nodata, colours and descriptions kept."""
    import rasterio.shutil

    with reading(source), opened(source) as dataset:
        check_raster(dataset, str(source))
        options = creation_options(check_dtype(dataset, str(source)), dataset.width, dataset.height)
        with writing(target):
            rasterio.shutil.copy(dataset, str(target), driver="GTiff", **options)
            check_written(target)


def to_cog(source: Path, target: Path, dtype: str) -> None:
    """A GeoTIFF of ours as a cloud-optimised one, by GDAL's own driver: pixels, mask and what is said of bands kept."""
    import rasterio.shutil

    # Nearest, as windows and tiles take pixels: an overview holds values of the layer alone.
    predictor = {1: "no", 2: "standard", 3: "floating_point"}[creation_options(dtype, 0, 0)["predictor"]]
    options = {"compress": "deflate", "predictor": predictor, "overview_resampling": "nearest", "bigtiff": "if_safer"}
    with writing(target):
        rasterio.shutil.copy(str(source), str(target), driver="COG", **options)
        check_written(target)


def write_array(target: Path, source: RasterArray) -> None:
    """Write a checked raster object as GeoTIFF at `target`; StoreError where that fails."""
    bands, height, width = source.array.shape
    grid = TargetGrid(source.crs, tuple(source.transform)[:6], width, height)
    dtype = str(source.array.dtype)
    # What cannot be said in the file, its record says.
    nodata = source.nodata if can_be_tagged(source.nodata, dtype) else None
    with geotiff(target, grid, bands, dtype, nodata) as output:
        output.write(source.array)
        if source.mask is not None:
            output.write_mask(source.mask)


def save_array(target: Any, array: NDArray[Any], crs: str, transform: Any) -> None:
    """An array (bands, height, width) as an LZW-compressed GeoTIFF, at a path or in a binary file object.

    As the client writes it (seen in the client); errors are rasterio's own.
    """
    import rasterio

    bands, height, width = array.shape
    with rasterio.open(
        target, "w", driver="GTiff", compress="lzw", height=height, width=width, count=bands, dtype=array.dtype,
        crs=crs, transform=transform,
    ) as output:  # fmt: skip
        output.write(array)


def burned(shapes: Any, shape: tuple[int, int], origin: tuple[int, int], *, touched: bool) -> NDArray[np.uint8]:
    """Which pixels (height, width) of a window that begins at a column and row have their centre in geometries, as 1.

    The geometries are in columns and rows; with `touched` all pixels count that they touch.
    """
    from affine import Affine
    from rasterio.features import rasterize

    place = Affine(1, 0, origin[0], 0, 1, origin[1])
    mask: NDArray[np.uint8] = rasterize(shapes, shape, transform=place, all_touched=touched, dtype="uint8")
    return mask


def tiff_bytes(image: NDArray[Any], extent: Extent, interleave: str) -> bytes:
    """An array (bands, height, width) as an uncompressed GeoTIFF in EPSG:3857."""
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    bands, height, width = image.shape
    dx, dy = extent.width / width, extent.height / height
    with rasterio.Env(), MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=width, height=height, count=bands, dtype=image.dtype, crs="EPSG:3857",
            transform=Affine(dx, 0.0, extent.x_min, 0.0, -dy, extent.y_max), interleave=interleave,
            photometric="MINISBLACK", blockysize=min(height, 2 * TILE),
        ) as dataset:  # fmt: skip
            dataset.write(image)
        return bytes(memory.getbuffer())


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Red, green, blue and opacity (4, height, width) as a PNG."""
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.transform import Affine

    bands, height, width = image.shape
    # A PNG keeps no place, and rasterio warns where it is given none.
    place = Affine.scale(2, -2)
    with rasterio.Env(GDAL_PAM_ENABLED=False), MemoryFile(ext=".png") as memory:
        with memory.open(
            driver="PNG", width=width, height=height, count=bands, dtype="uint8", transform=place
        ) as dataset:
            dataset.write(image)
        return bytes(memory.getbuffer())


def write_mosaic(files: Sequence[RasterFile], target: Path) -> None:
    """Write the layer that `files` (of one dtype and number of bands) make as one GeoTIFF, on the first one's grid.

    Missing pixels are told as `validity` says, by one nodata value or a mask inside the file; a LayerWarning tells in
    what the files do not agree, so that one file cannot say it, and how many pixels it concerns.
    """
    first = files[0]
    grid, placements, covered, _ = native_grid(files)
    if grid.width * grid.height > MOST_PIXELS:
        raise LayerError(f"the mosaic would have {grid.width} x {grid.height} pixels; its files lie too far apart")
    missing = missing_in(files, has_masks(files), covered)
    # An alpha band of all files says what is missing in the mosaic, too.
    tagged = can_be_tagged(missing.nodata, first.dtype)
    masked = not tagged or (missing.mask and not all(mask_kind(file) == "alpha" for file in files))
    per_band = first.bands > 1 and (missing.per_band or not tagged)
    pool = DatasetPool()
    partly = 0
    try:
        with pool.lent(first.location) as source:
            looks = common_looks(looks_of(source.dataset), files, masked=masked)
        layer = RasterLayer(pool, files, missing, placements)
        with geotiff(target, grid, first.bands, first.dtype, missing.nodata if tagged else None, looks) as output:
            for column, row, width, height in windows(grid.width, grid.height):
                pixels, valid = layer.read(grid, (row, row + height), (column, column + width)) or layer.blank(
                    (height, width)
                )
                there = np.asarray(valid.any(axis=0)) if masked else None
                write_window(output, column, row, pixels, there)
                if there is not None and per_band:
                    partly += int((there & ~valid.all(axis=0)).sum())
    finally:
        pool.close()
    for text in disagreements(files):
        warn(text, LayerWarning)
    if partly:
        text = "pixels are missing in some bands only, which the mask of one GeoTIFF cannot say; they count as there"
        warn(f"{partly} {text} in all", LayerWarning)


def common_looks(first: Looks, files: Sequence[RasterFile], *, masked: bool) -> Looks:
    """What all files say of their bands: names of any, the rest where they agree."""
    from rasterio.enums import ColorInterp

    names = next((file.descriptions for file in files if any(file.descriptions)), first.descriptions)
    agreed = {
        name: getattr(first, name) if len({getattr(file, name) for file in files}) == 1 else ()
        for name in ("scales", "offsets", "units")
    }
    # A mask and an alpha band in one file: readers would take the one for the other.
    colors = [ColorInterp.undefined if masked and one == ColorInterp.alpha else one for one in first.colors]
    return Looks(names, colors, first.colormap, **agreed)


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
        window = _window_of(grid, area)
        if window is None:
            return False
        nodata = dataset.nodata if nodata is None else nodata
        told = nodata is not None and possible(nodata, dataset.dtypes[0])
        _copy(dataset, target, grid.moved(*window), window[:2], nodata if told else None)
    return True


def _window_of(grid: TargetGrid, area: Extent) -> tuple[int, int, int, int] | None:
    """Column, row, width and height of the pixels that touch the area; None where none does."""
    own = transform_extent(grid.crs, WGS84, corners_extent(grid.transform, grid.width, grid.height))
    if own is not None and own.x_min <= own.x_max:
        # Within the file's own area, because its CRS may have no place for more. A little wider: edges are curves.
        dx, dy = own.width / 100, own.height / 100
        area = area.common(Extent(own.x_min - dx, own.y_min - dy, own.x_max + dx, own.y_max + dy))
        if area.width <= 0 or area.height <= 0:
            return None
    box = transform_extent(WGS84, grid.crs, area)
    if box is None:
        return None
    to_pixels = inverse(grid.transform)
    own = Extent.around(apply(to_pixels, x, y) for x in (box.x_min, box.x_max) for y in (box.y_min, box.y_max))
    left, right = max(0, math.floor(own.x_min + SLACK)), min(grid.width, math.ceil(own.x_max - SLACK))
    top, bottom = max(0, math.floor(own.y_min + SLACK)), min(grid.height, math.ceil(own.y_max - SLACK))
    return (left, top, right - left, bottom - top) if left < right and top < bottom else None


def _copy(dataset: Any, target: Path, grid: TargetGrid, origin: tuple[int, int], nodata: float | None) -> None:
    """Pixels from a column and row on, mask, and what is said of the bands."""
    from rasterio.windows import Window

    left, top = origin
    masked = masks_of(dataset).kind != "none"
    with geotiff(target, grid, dataset.count, dataset.dtypes[0], nodata, looks_of(dataset)) as output:
        for column, row, wide, high in windows(grid.width, grid.height):
            source = Window(left + column, top + row, wide, high)
            with reading(dataset.name, "cannot be read; it is truncated or damaged"):
                values = dataset.read(window=source)
                mask = dataset.dataset_mask(window=source) if masked else None
            write_window(output, column, row, values, mask)
