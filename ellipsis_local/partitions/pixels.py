"""Reading the pixels of one raster layer on its grid, and writing a node's part of them. Runs in a helper process.

Raw values throughout: no nodata, mask or alpha is applied to a layer of one file. In a mosaic later files lie on top
where they are valid. Warped files are computed in blocks that are aligned to the grid, whatever is asked for, because
GDAL's approximate transformation depends on the window: so a pixel's value cannot depend on the cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from ellipsis_local.partitions import npy
from ellipsis_local.partitions.grid import pieces
from ellipsis_local.partitions.request import Nodata, RasterPlan, RasterSource, layer_from_json
from ellipsis_local.partitions.warping import BLOCK

__all__ = ["cut"]

Pixels = NDArray[Any]
Rectangle = tuple[int, int, int, int]
"""Of a grid: first row, last row + 1, first column, last column + 1."""

STRIP = 48 * 2**20
"""Bytes of pixels held at a time, where the blocks of the file allow it."""
CACHE = 64 * 2**20
"""Bytes of decoded blocks that GDAL keeps, where a row of blocks is not larger."""
OPEN_FILES = 32


def cut(task: dict[str, Any]) -> dict[str, Any]:
    """Write some rows of a node's window into its `.npy` file, which exists in its full size.

    Raises
    ------
    OSError
        The disk is full.
    rasterio.errors.RasterioError
        A file cannot be read.
    """
    layer = _layer(task["key"], task["layer"])
    _, first_col, height, width = task["window"]
    first_row = task["window"][0]
    row, row_end = task["rows"]
    with Path(task["path"]).open("r+b", buffering=0) as file, _gdal(layer, width):
        for strip in _strips(layer, (row, row_end, first_col, first_col + width)):
            pixels = _read(layer, strip)
            _write(file.fileno(), pixels, (strip[0] - first_row, strip[2] - first_col), (height, width))
    return {}


_layers: dict[str, RasterPlan] = {}


def _layer(key: str, data: dict[str, Any]) -> RasterPlan:
    """The layer of a task, parsed once for all its nodes."""
    if key not in _layers:
        layer = layer_from_json(data)
        assert isinstance(layer, RasterPlan)  # noqa: S101  # the task says so
        _layers[key] = layer
    return _layers[key]


def _gdal(layer: RasterPlan, width: int) -> Any:
    """A GDAL environment whose block cache holds one row of blocks, so that none is decoded twice in a row."""
    row_of_blocks = layer.grid.block[0] * (width + 2 * layer.grid.block[1]) * layer.bands * npy.itemsize(layer.dtype)
    return rasterio.Env(GDAL_CACHEMAX=max(CACHE, min(2 * row_of_blocks, 2**30)), GDAL_DISABLE_READDIR_ON_OPEN="FALSE")


def _strips(layer: RasterPlan, area: Rectangle) -> Iterator[Rectangle]:
    """The rectangle in pieces along edges of blocks: whole rows of blocks, or parts where these are too long."""
    grid, (row, row_end, col, col_end) = layer.grid, area
    pixel = layer.bands * npy.itemsize(layer.dtype)
    height = _fit(grid.block[0], STRIP // max((col_end - col) * pixel, 1))
    width = _fit(grid.block[1], STRIP // (height * pixel)) if height * (col_end - col) * pixel > STRIP else 0
    for top, bottom in pieces(row, row_end, height, grid.block_offset[0]):
        for left, right in pieces(col, col_end, width or col_end, grid.block_offset[1] if width else 0):
            yield top, bottom, left, right


def _fit(block: int, room: int) -> int:
    """As many whole blocks as there is room for; where it is not even for one, one up to a limit, then less."""
    if room >= block:
        return room // block * block
    return block if block <= BLOCK else max(min(block, room), 1)


def _write(handle: int, pixels: Pixels, at: tuple[int, int], shape: tuple[int, int]) -> None:
    """Put pixels (bands, h, w) at a row and column of the file's array, whose rows and columns are `shape`."""
    pixels = np.ascontiguousarray(pixels)
    (row, col), (height, width) = at, shape
    size = pixels.itemsize
    for band, values in enumerate(pixels):
        start = npy.OFFSET + ((band * height + row) * width + col) * size
        if values.shape[1] == width:
            npy.write_all(handle, memoryview(values).cast("B"), start)
        else:
            for i, line in enumerate(values):
                npy.write_all(handle, memoryview(line).cast("B"), start + i * width * size)


class Buffer:
    """One piece of memory for all strips: fresh pages for each would cost more than the copying."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def view(self, dtype: str, shape: tuple[int, ...]) -> Pixels:
        size = int(np.prod(shape)) * npy.itemsize(dtype)
        if size > self._memory.nbytes:
            self._memory = np.empty(size, np.uint8)
        return self._memory[:size].view(dtype).reshape(shape)


_buffer = Buffer()


def _read(layer: RasterPlan, area: Rectangle) -> Pixels:
    """The layer's pixels in a rectangle of its grid: (bands, h, w); valid until the next call."""
    row, row_end, col, col_end = area
    out = _buffer.view(layer.dtype, (layer.bands, row_end - row, col_end - col))
    if len(layer.sources) == 1 and layer.sources[0].exact:
        return _exact(layer.sources[0], area, out)
    out[...] = _fill(layer)
    for source in layer.sources:
        touched = _common(area, source.covers)
        if touched is None:
            continue
        if source.exact:
            pixels, valid = _exact(source, touched, np.empty((layer.bands, *_shape(touched)), layer.dtype)), None
            if len(layer.sources) > 1:
                valid = _valid(source, touched, pixels)
            _paste(out, area, touched, pixels, valid)
        else:
            for block in _blocks(touched):
                pixels, inside = _warped(layer, source, block)
                if len(layer.sources) > 1 and source.nodata is not None:
                    inside = inside & _differs(pixels, source.nodata)
                _paste(out, area, block, pixels, inside)
    return out


def _common(one: Rectangle, other: Rectangle) -> Rectangle | None:
    both = (max(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), min(one[3], other[3]))
    return both if both[0] < both[1] and both[2] < both[3] else None


def _shape(area: Rectangle) -> tuple[int, int]:
    return area[1] - area[0], area[3] - area[2]


def _paste(out: Pixels, area: Rectangle, place: Rectangle, pixels: Pixels, where: NDArray[np.bool_] | None) -> None:
    """Copy what `place` and `area` share, where it is valid."""
    both = _common(area, place)
    if both is None:
        return
    inner = (slice(None), slice(both[0] - place[0], both[1] - place[0]), slice(both[2] - place[2], both[3] - place[2]))
    outer = (slice(None), slice(both[0] - area[0], both[1] - area[0]), slice(both[2] - area[2], both[3] - area[2]))
    np.copyto(out[outer], pixels[inner], casting="same_kind", where=True if where is None else where[inner])


def _fill(layer: RasterPlan) -> Any:
    """What lies outside every file: nodata where the dtype can hold it, else 0."""
    if layer.nodata is None:
        return 0
    dtype, nodata = np.dtype(layer.dtype), float(layer.nodata)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return int(nodata) if nodata.is_integer() and limits.min <= nodata <= limits.max else 0
    return nodata


# The datasets stay open from one task to the next; the oldest are closed.
_open: dict[str, Any] = {}
_stack: dict[str, ExitStack] = {}


def close_datasets() -> None:
    """Close what is kept open from one task to the next."""
    _open.clear()
    while _stack:
        _stack.popitem()[1].close()


def _dataset(location: str) -> Any:
    if location not in _open:
        while len(_open) >= OPEN_FILES:
            oldest = next(iter(_open))
            del _open[oldest]
            _stack.pop(oldest).close()
        stack = ExitStack()
        _open[location] = stack.enter_context(rasterio.open(location))
        _stack[location] = stack
    else:
        _open[location] = _open.pop(location)
    return _open[location]


def _own_window(source: RasterSource, area: Rectangle) -> Any:
    """The rectangle of the grid in the file's own rows and columns."""
    first_row, row_limit, first_col, col_limit = source.covers
    row, row_end, col, col_end = area
    top = row_limit - row_end if source.flip[0] else row - first_row
    left = col_limit - col_end if source.flip[1] else col - first_col
    return RasterioWindow(left, top, col_end - col, row_end - row)


def _exact(source: RasterSource, area: Rectangle, out: Pixels) -> Pixels:
    """A file's pixels as they are, turned to north-up; `area` lies inside the file."""
    if out.size:
        _dataset(source.location).read(window=_own_window(source, area), out=out)
    return _turn(source, out)


def _turn(source: RasterSource, pixels: Pixels) -> Pixels:
    return pixels[..., :: -1 if source.flip[0] else 1, :: -1 if source.flip[1] else 1]


def _valid(source: RasterSource, area: Rectangle, pixels: Pixels) -> NDArray[np.bool_] | None:
    """Which pixels of a file of a mosaic count, per band by nodata, else by its mask or alpha; None for all."""
    if source.nodata is not None:
        return _differs(pixels, source.nodata)
    dataset = _dataset(source.location)
    if _has_mask(dataset):
        mask = _turn(source, dataset.dataset_mask(window=_own_window(source, area))) > 0
        return np.broadcast_to(mask, pixels.shape)
    return None


def _has_mask(dataset: Any) -> bool:
    """Whether a mask band or an alpha band says what is valid (and not the nodata value alone)."""
    flags = {flag for band in dataset.mask_flag_enums for flag in band}
    return bool(flags & {MaskFlags.alpha, MaskFlags.per_dataset}) and MaskFlags.nodata not in flags


def _differs(pixels: Pixels, nodata: Nodata) -> NDArray[np.bool_]:
    nodata = float(nodata)
    return ~np.isnan(pixels) if np.isnan(nodata) else np.asarray(pixels != nodata)


def _blocks(area: Rectangle) -> Iterator[Rectangle]:
    """The aligned blocks that touch a rectangle, whole."""
    for row in range(area[0] // BLOCK * BLOCK, area[1], BLOCK):
        for col in range(area[2] // BLOCK * BLOCK, area[3], BLOCK):
            yield row, row + BLOCK, col, col + BLOCK


def _warped(layer: RasterPlan, source: RasterSource, block: Rectangle) -> tuple[Pixels, NDArray[np.bool_]]:
    """One block of a warped file, cut off at the grid's end, and where the file has pixels at all."""
    row, row_end, col, col_end = block
    window = RasterioWindow(col, row, min(col_end, layer.grid.width) - col, min(row_end, layer.grid.height) - row)
    if _dataset(source.location).dtypes[0] in ("int64", "uint64"):
        return _gathered(layer, source, window)
    vrt, alpha = _vrt(layer, source)
    pixels = vrt.read(indexes=list(range(1, layer.bands + 1)), window=window)
    inside = vrt.read(alpha, window=window) != 0
    return pixels, np.broadcast_to(inside, pixels.shape)


def _gathered(layer: RasterPlan, source: RasterSource, window: Any) -> tuple[Pixels, NDArray[np.bool_]]:
    """As `_warped`, pixel by pixel: GDAL's warper carries values as float64, which 64-bit integers do not survive."""
    from pyproj import Transformer

    grid, dataset = layer.grid, _dataset(source.location)
    rows, cols = np.mgrid[: window.height, : window.width]
    x = grid.left + (cols + window.col_off + 0.5) * grid.dx
    y = grid.top - (rows + window.row_off + 0.5) * grid.dy
    x, y = Transformer.from_crs(layer.crs, source.crs, always_xy=True).transform(x, y)
    a, b, c, d, e, f = tuple(~Affine(*source.transform))[:6]
    col, row = np.floor(a * x + b * y + c), np.floor(d * x + e * y + f)
    inside = (col >= 0) & (col < dataset.width) & (row >= 0) & (row < dataset.height)
    pixels = np.zeros((layer.bands, *inside.shape), dataset.dtypes[0])
    if inside.any():
        row, col = row[inside].astype(np.int64), col[inside].astype(np.int64)
        top, left = int(row.min()), int(col.min())
        needed = RasterioWindow(left, top, int(col.max()) - left + 1, int(row.max()) - top + 1)
        pixels[:, inside] = dataset.read(window=needed)[:, row - top, col - left]
    return pixels, np.broadcast_to(inside, pixels.shape)


def _vrt(layer: RasterPlan, source: RasterSource) -> tuple[Any, int]:
    """The file as GDAL warps it onto the grid, and the number of the band that says where it has pixels.

    GDAL is told of no nodata value: it would replace valid pixels that happen to equal it.
    """
    key = f"{source.content} {source.covers} {layer.grid} {source.location}"
    if key not in _open:
        dataset = _dataset(source.location)
        own_alpha = next((i for i, c in enumerate(dataset.colorinterp, 1) if c.name == "alpha"), None)
        grid = layer.grid
        stack = ExitStack()
        vrt = stack.enter_context(
            WarpedVRT(
                dataset,
                src_crs=CRS.from_user_input(source.crs),
                src_transform=Affine(*source.transform),
                src_nodata=None,
                crs=CRS.from_user_input(layer.crs),
                transform=Affine(grid.dx, 0, grid.left, 0, -grid.dy, grid.top),
                width=grid.width,
                height=grid.height,
                nodata=None,
                resampling=Resampling.nearest,
                add_alpha=own_alpha is None,
            )
        )
        _open[key], _stack[key] = (vrt, own_alpha or dataset.count + 1), stack
    held: tuple[Any, int] = _open[key]
    return held
