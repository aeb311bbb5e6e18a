"""Several rasters as one GeoTIFF on the grid of the first, later ones on top where they are valid, window by window."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.errors import LayerError
from ellipsis_local.formats.tiff import missing_bytes
from ellipsis_local.gdal_errors import reading, writing
from ellipsis_local.raster.files import creation_options, opened
from ellipsis_local.types import RasterFile

__all__ = ["Grid", "grid_of", "write"]

# Pixels per side of a window: with float64 bands, 8 MB each.
WINDOW = 1024
# Grids that differ by less than this part of a pixel are one.
SAME = 1e-3


@dataclass(frozen=True)
class Grid:
    """Rows and columns on the ground."""

    crs: str
    transform: Any
    width: int
    height: int


def offset(file: RasterFile, grid: Grid) -> tuple[int, int] | None:
    """Column and row of the file's upper left pixel on the grid, or None where it lies on another grid."""
    if file.crs != grid.crs:
        return None
    inverse = ~grid.transform
    left, top = at(inverse, *at(file.transform, 0, 0))
    column, row = round(left), round(top)
    # All corners: an error in the size of a pixel adds up over the whole file.
    for x, y in ((0, 0), (file.width, 0), (0, file.height), (file.width, file.height)):
        c, r = at(inverse, *at(file.transform, x, y))
        if abs(c - column - x) > SAME or abs(r - row - y) > SAME:
            return None
    return column, row


def at(transform: Sequence[float], column: float, row: float) -> tuple[float, float]:
    """Where a transform (a, b, c, d, e, f, …) takes a column and a row; affine 2 and 3 differ in their operators."""
    a, b, c, d, e, f = transform[:6]
    return a * column + b * row + c, d * column + e * row + f


def grid_of(files: Sequence[RasterFile]) -> Grid:
    """The first file's grid, extended by whole pixels until it holds all files."""
    from affine import Affine

    first = files[0]
    base = Grid(first.crs, Affine(*first.transform), first.width, first.height)
    left, top, right, bottom = 0, 0, first.width, first.height
    for file in files[1:]:
        place = offset(file, base)
        if place is not None:
            box = (place[0], place[1], place[0] + file.width, place[1] + file.height)
        else:
            box = touched(file, base)
        left, top = min(left, box[0]), min(top, box[1])
        right, bottom = max(right, box[2]), max(bottom, box[3])
    a, b, _, d, e, _ = first.transform
    x, y = at(first.transform, left, top)
    return Grid(first.crs, Affine(a, b, x, d, e, y), right - left, bottom - top)


def touched(file: RasterFile, grid: Grid) -> tuple[int, int, int, int]:
    """Left, top, right and bottom, in pixels of the grid, of a file that lies on another grid."""
    from rasterio.warp import transform_bounds

    with reading(file.location, "cannot be brought into the CRS of the first file"):
        west, south, east, north = transform_bounds(file.crs, grid.crs, *extent_of(file), densify_pts=21)
        corners = [at(~grid.transform, x, y) for x in (west, east) for y in (south, north)]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        # A little slack, so that rounding does not add an empty row.
        left, top = math.floor(min(xs) + SAME), math.floor(min(ys) + SAME)
        return left, top, math.ceil(max(xs) - SAME), math.ceil(max(ys) - SAME)


def extent_of(file: RasterFile) -> tuple[float, float, float, float]:
    """x_min, y_min, x_max, y_max of a raster in its CRS, of its corners where it is turned."""
    corners = [at(file.transform, c, r) for c in (0, file.width) for r in (0, file.height)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def valid(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Which values are not nodata."""
    if nodata is None:
        return np.ones(values.shape, dtype=bool)
    if np.isnan(nodata):
        missing: NDArray[np.bool_] = np.isnan(values)
        return ~missing
    # Compared in the dtype of the pixels: a float32 of -3.4e38 is no such double.
    different: NDArray[np.bool_] = values != np.asarray(nodata).astype(values.dtype)
    return different


class Layer:
    """One open file, which gives the pixels of a window of the grid with where they are valid."""

    def __init__(self, dataset: Any, file: RasterFile, grid: Grid, stack: contextlib.ExitStack) -> None:
        from rasterio.enums import MaskFlags, Resampling
        from rasterio.vrt import WarpedVRT

        self.file = file
        self.place = offset(file, grid)
        self.bands = list(range(1, file.bands + 1))
        flags = [set(one) for one in dataset.mask_flag_enums]
        masked = file.nodata is None and any(MaskFlags.per_dataset in one for one in flags)
        self.mask = "dataset" if masked else None
        # An own alpha band is valid for all bands at once, itself among them.
        colors = [one.name for one in dataset.colorinterp[: file.bands]]
        self.alpha = colors.index("alpha") if file.nodata is None and "alpha" in colors else None
        if self.place is not None:
            self.dataset = dataset
            return
        options: dict[str, Any] = {"src_nodata": file.nodata, "nodata": file.nodata}
        if file.nodata is None:
            has_alpha = any(MaskFlags.alpha in one for one in flags)
            options = {"add_alpha": not has_alpha}
            self.mask = "dataset" if has_alpha else "alpha"
        self.dataset = stack.enter_context(
            WarpedVRT(
                dataset, src_crs=file.crs, crs=grid.crs, transform=grid.transform, width=grid.width, height=grid.height,
                resampling=Resampling.nearest, **options,
            )
        )  # fmt: skip

    def read(
        self, column: int, row: int, width: int, height: int
    ) -> tuple[NDArray[Any], NDArray[np.bool_], Any] | None:
        """Pixels (bands, h, w), validity of the same shape, and the slices of the window that they are; or None."""
        from rasterio.windows import Window

        if self.place is None:
            window = Window(column, row, width, height)
            where = (slice(None), slice(0, height), slice(0, width))
        else:
            dx, dy = self.place
            left, top = max(column, dx), max(row, dy)
            right, bottom = min(column + width, dx + self.file.width), min(row + height, dy + self.file.height)
            if left >= right or top >= bottom:
                return None
            window = Window(left - dx, top - dy, right - left, bottom - top)
            where = (slice(None), slice(top - row, bottom - row), slice(left - column, right - column))
        values = self.dataset.read(self.bands, window=window)
        found = valid(values, self.file.nodata)
        if self.mask == "alpha":
            found &= self.dataset.read(self.dataset.count, window=window) > 0
        elif self.mask == "dataset":
            found &= self.dataset.read_masks(self.bands, window=window) > 0
        if self.alpha is not None:
            found &= values[self.alpha] > 0
        return values, found, where


@contextlib.contextmanager
def layers(files: Sequence[RasterFile], grid: Grid) -> Iterator[list[Layer]]:
    with contextlib.ExitStack() as stack:
        open_layers = []
        for file in files:
            with reading(file.location):
                dataset = stack.enter_context(opened(file.location))
                open_layers.append(Layer(dataset, file, grid, stack))
        yield open_layers


def write(files: Sequence[RasterFile], target: Path) -> None:
    """Write the mosaic of `files` (of one dtype and number of bands) as a GeoTIFF.

    Where no file is valid, pixels have the first nodata value that a file has; where none has one, they are 0 and a
    mask inside the file says so. Files on the first one's grid are copied exactly; others are warped (nearest).
    """
    import rasterio

    grid = grid_of(files)
    first = files[0]
    nodata = next((file.nodata for file in files if file.nodata is not None), None)
    if grid.width * grid.height > 2**40:
        raise LayerError(f"the mosaic would have {grid.width} x {grid.height} pixels; its files lie too far apart")
    options = {
        "driver": "GTiff", "width": grid.width, "height": grid.height, "count": first.bands, "dtype": first.dtype,
        "crs": grid.crs, "transform": grid.transform, "nodata": nodata,
        **creation_options(first.dtype, grid.width, grid.height),
    }  # fmt: skip
    with writing(target):
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            layers(files, grid) as open_layers,
            rasterio.open(target, "w", **options) as output,
        ):
            paint(output, open_layers, nodata)
            keep_looks(output, open_layers[0].dataset, first)
        if missing_bytes(target):
            raise OSError("the file was not written to its end: no space left on device")


def paint(output: Any, open_layers: list[Layer], nodata: float | None) -> None:
    from rasterio.windows import Window

    for row in range(0, output.height, WINDOW):
        for column in range(0, output.width, WINDOW):
            width, height = min(WINDOW, output.width - column), min(WINDOW, output.height - row)
            shape = (output.count, height, width)
            pixels = np.full(shape, 0 if nodata is None else nodata, dtype=output.dtypes[0])
            covered = np.zeros(shape, dtype=bool)
            for layer in open_layers:
                with reading(layer.file.location):
                    found = layer.read(column, row, width, height)
                if found is not None:
                    values, good, where = found
                    # What is under an alpha of 0 is kept where nothing else is.
                    np.copyto(pixels[where], values, where=good if layer.alpha is None else good | ~covered[where])
                    covered[where] |= good
            window = Window(column, row, width, height)
            output.write(pixels, window=window)
            if nodata is None and (not covered.all() or len(open_layers) > 1):
                output.write_mask(covered.any(axis=0), window=window)


def keep_looks(output: Any, dataset: Any, first: RasterFile) -> None:
    """Names, palette and colour meaning of the first file's bands."""
    for band in range(1, first.bands + 1):
        name = first.descriptions[band - 1] if first.descriptions else None
        if name:
            output.set_band_description(band, name)
    if first.bands == 1 and first.dtype in ("uint8", "uint16"):
        with contextlib.suppress(ValueError):
            output.write_colormap(1, dataset.colormap(1))
