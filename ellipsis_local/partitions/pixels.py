"""Writing a node's part of one raster layer. Runs in a helper process; `raster` says what the pixels are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.partitions import npy
from ellipsis_local.partitions.request import RasterPlan, layer_from_json
from ellipsis_local.raster.dataset_pool import DatasetPool
from ellipsis_local.raster.files import sized
from ellipsis_local.raster.grid import pieces
from ellipsis_local.raster.layer import RasterLayer
from ellipsis_local.raster.opening import block_cache
from ellipsis_local.raster.placement import Rectangle

Pixels = NDArray[Any]

STRIP = 48 * 2**20
"""Bytes of pixels held at a time, where the blocks of the file allow it."""
CACHE = 64 * 2**20
"""Bytes of decoded blocks that GDAL keeps, where a row of blocks is not larger."""
HIGHEST_BLOCK = 512
WIDEST = 1024
"""Columns of warped pixels that are looked for at a time."""

_pool = DatasetPool()
_layers: dict[str, tuple[RasterPlan, RasterLayer]] = {}


def cut(task: dict[str, Any]) -> dict[str, Any]:
    """Write some rows of a node's window into its `.npy` file, and the mask's, which exist in their full size."""
    plan, layer = _layer(task["key"], task["layer"])
    first_row, first_col, height, width = task["window"]
    shape = (height, width)
    with block_cache(_bytes_of_blocks(plan, width)), Path(task["path"]).open("r+b", buffering=0) as file:
        for strip in _strips(plan, (*task["rows"], first_col, first_col + width)):
            at = (strip[0] - first_row, strip[2] - first_col)
            found = _read(plan, layer, strip)
            if found is None:
                continue
            pixels, valid = found
            _write(file.fileno(), pixels, at, shape)
            if task["mask"] is not None:
                valid = valid if plan.mask == "bands" else valid.any(axis=0, keepdims=True)
                with Path(task["mask"]).open("r+b", buffering=0) as mask:
                    _write(mask.fileno(), valid, at, shape)
    return {}


def forget() -> None:
    """Let go of what is kept from one task to the next; a file that is open would be read on when it is another."""
    _layers.clear()
    _pool.release()


def _layer(key: str, data: dict[str, Any]) -> tuple[RasterPlan, RasterLayer]:
    """The layer of a task, parsed once for all its nodes."""
    if key not in _layers:
        plan = layer_from_json(data)
        assert isinstance(plan, RasterPlan)  # noqa: S101  # the task says so
        files = [sized(source.file) for source in plan.sources]
        placements = [source.placement for source in plan.sources]
        _layers[key] = plan, RasterLayer(_pool, files, plan.missing, placements)
    return _layers[key]


def _bytes_of_blocks(plan: RasterPlan, width: int) -> int:
    """What GDAL is to keep so that no block of a row of blocks is decoded twice in a row."""
    row_of_blocks = plan.grid.block[0] * (width + 2 * plan.grid.block[1]) * plan.pixel_bytes
    return max(CACHE, min(2 * row_of_blocks, 2**30))


def _strips(plan: RasterPlan, area: Rectangle) -> Iterator[Rectangle]:
    """The rectangle in pieces along edges of blocks: whole rows of blocks, or parts where these are too long."""
    grid, (row, row_end, col, col_end) = plan.grid, area
    pixel = plan.pixel_bytes
    height = _fit(grid.block[0], STRIP // max((col_end - col) * pixel, 1))
    width = _fit(grid.block[1], STRIP // (height * pixel)) if height * (col_end - col) * pixel > STRIP else 0
    if not all(source.placement.exact for source in plan.sources):
        height, width = min(height, HIGHEST_BLOCK), min(width or WIDEST, WIDEST)
    for top, bottom in pieces(row, row_end, height, grid.block_offset[0]):
        for left, right in pieces(col, col_end, width or col_end, grid.block_offset[1] if width else 0):
            yield top, bottom, left, right


def _fit(block: int, room: int) -> int:
    """As many whole blocks as there is room for; where it is not even for one, one up to a limit, then less."""
    if room >= block:
        return room // block * block
    return block if block <= HIGHEST_BLOCK else max(min(block, room), 1)


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


def _read(plan: RasterPlan, layer: RasterLayer, area: Rectangle) -> tuple[Pixels, Any] | None:
    """The pixels in a rectangle of the grid, (bands, h, w), and which are there; valid until the next call.

    None where none is there and all are 0, as the files are already.
    """
    out = _buffer.view(plan.dtype, (plan.bands, area[1] - area[0], area[3] - area[2]))
    sample = layer.read(plan.grid.target(plan.crs), area[:2], area[2:], out=out, mask=plan.mask != "none")
    if sample is None and not layer.fill:
        return None
    if sample is None:
        out[...] = layer.fill
        return out, np.zeros(out.shape, bool)
    return sample
