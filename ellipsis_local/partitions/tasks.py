"""From a request to keys, parts and tasks of helper processes: plain data, nothing is read or written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ellipsis_local.node_program.ellipsis_node.records import RasterPart
from ellipsis_local.partitions import npy
from ellipsis_local.partitions.request import (
    Cells,
    CutRequest,
    LayerPlan,
    RasterPlan,
    VectorPlan,
    cells_to_json,
    content,
    digest,
)
from ellipsis_local.partitions.shards import Shards
from ellipsis_local.partitions.tree import EVERYWHERE, cells
from ellipsis_local.raster.grid import Window, pieces
from ellipsis_local.types import Extent

Task = dict[str, Any]

TASK_BYTES = 64 * 2**20
"""At most about how many bytes of pixels make one task."""
SMALL_TASK_BYTES = 8 * 2**20
"""Fewer are not divided any further."""
HELPER_BYTES = 16 * 2**20
"""Bytes of pixels that are worth the start of one more process."""

SMALL_BYTES = 16 * 2**20
"""Bytes of pixels and features that are cut faster than a process starts."""
VECTOR_FACTOR = 4
"""Features take longer than pixels."""


def layer_key(request: CutRequest, plan: LayerPlan, where: Cells) -> str:
    """Equal where the files would be equal: what is in the layer, and where it is cut."""
    if isinstance(plan, RasterPlan):
        return digest("raster", content(plan), raster_windows(request, plan, where))
    return digest("vector", content(plan), cells_to_json(where), request.overlap, request.features)


def raster_windows(request: CutRequest, plan: RasterPlan, where: Cells) -> list[Window]:
    """The pixels of each partition. The outermost cells go on for ever, so other layers' extents do not matter."""
    if isinstance(where, Shards):
        return [where.window(plan.grid, place) for place in where.places]
    return [plan.grid.window(cell, request.overlap) for cell in cells(where, EVERYWHERE)]


def raster_extents(plan: RasterPlan, windows: Sequence[Window], where: Cells) -> list[Extent]:
    """What each partition covers: of shards the same for all layers, to the last bit."""
    if isinstance(where, Shards):
        return [where.extent(place) for place in where.places]
    return [plan.grid.extent_of(window) for window in windows]


def raster_part(plan: RasterPlan, node: int, window: Window, extent: Extent) -> RasterPart:
    """A partition's part of a raster; its path is within the layer's folder."""
    rows_and_columns = (window.height, window.width)
    masks = {"none": None, "all": rows_and_columns, "bands": (plan.bands, *rows_and_columns)}
    return RasterPart(
        path=f"{node}.npy",
        dtype=plan.dtype,
        shape=(plan.bands, *rows_and_columns),
        offset=npy.OFFSET,
        transform=(plan.grid.dx, 0.0, extent.x_min, 0.0, -plan.grid.dy, extent.y_max),
        extent=extent.to_dict(),
        crs=plan.crs,
        nodata=plan.nodata,
        mask=None if plan.mask == "none" else f"{node}.mask.npy",
        scales=plan.agreed("scales"),
        offsets=plan.agreed("offsets"),
        units=plan.agreed("units"),
        mask_shape=masks[plan.mask],
    )


def raster_tasks(plan: RasterPlan, windows: Sequence[Window], folder: Path, cores: int) -> list[Task]:
    """Pieces of the nodes' windows, whole rows of blocks; by turns, so that two processes seldom write to one file."""
    total = sum(window.pixels for window in windows) * plan.pixel_bytes
    size = min(TASK_BYTES, max(total // (4 * cores), SMALL_TASK_BYTES))
    common = {"do": "pixels", "id": plan.id, "key": content(plan), "layer": plan.to_json()}
    turns = [
        (turn, node, rows) for node, window in enumerate(windows) for turn, rows in enumerate(_rows(plan, window, size))
    ]
    return [
        {
            **common,
            "path": str(folder / f"{node}.npy"),
            "mask": None if plan.mask == "none" else str(folder / f"{node}.mask.npy"),
            "window": windows[node],
            "rows": rows,
        }
        for _, node, rows in sorted(turns)
    ]


def _rows(plan: RasterPlan, window: Window, size: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 rows of each piece of a window, with about `size` bytes."""
    if not window.pixels:
        return
    block, offset = plan.grid.block[0], plan.grid.block_offset[0]
    fit = size // (window.width * plan.pixel_bytes)
    yield from pieces(window.row, window.row + window.height, max(fit // block, 1) * block, offset)


def vector_task(plan: VectorPlan, number: int, threads: int) -> Task:
    """What every task about a vector layer says; layers with the same number share a process."""
    return {"id": plan.id, "key": content(plan), "layer": plan.to_json(), "stay": number, "threads": threads}


def count_helpers(request: CutRequest, cores: int) -> int:
    """Processes that are worth their start: one per layer of features, one per some bytes of pixels."""
    worth = len({content(plan) for plan in request.vectors})
    pixels = sum(plan.grid.pixels * plan.pixel_bytes for plan in request.rasters)
    return max(1, min(cores, worth + math.ceil(pixels / HELPER_BYTES)))


def is_small(request: CutRequest) -> bool:
    """Whether the layers are so small that one process cuts them faster than another one starts."""
    size = sum(plan.grid.pixels * plan.pixel_bytes for plan in request.rasters)
    for plan in request.vectors:
        for source in plan.sources:
            # A location may lie within an archive: as large as that is, at least.
            with suppress(OSError):
                size += VECTOR_FACTOR * Path(source.location).stat().st_size
    return size <= SMALL_BYTES
