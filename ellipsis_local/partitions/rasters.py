"""Raster files to one grid per layer: metadata only, no pixel is read.

A file in the CRS of the call whose rows and columns run along the axes keeps its pixels. Any other is warped, nearest
neighbour, onto the north-up grid that GDAL suggests. The first file of a mosaic gives the grid, extended over them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ellipsis_local import crs as names
from ellipsis_local.errors import PartitionError
from ellipsis_local.partitions import warping
from ellipsis_local.partitions.grid import Grid
from ellipsis_local.partitions.request import Nodata, RasterPlan, RasterSource
from ellipsis_local.types import Extent, RasterFile, Timestamp

__all__ = ["plan_raster"]

DTYPES = {
    "uint8": "|u1",
    "int8": "|i1",
    "uint16": "<u2",
    "int16": "<i2",
    "uint32": "<u4",
    "int32": "<i4",
    "uint64": "<u8",
    "int64": "<i8",
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
    "complex64": "<c8",
    "complex128": "<c16",
    "complex_int16": "<c8",
}
SAME_PIXEL = 0.01
"""Grids that differ by less than this share of a pixel, anywhere, are one grid."""


@dataclass(frozen=True)
class Placed:
    """A file with its place on the first file's grid, rows and columns, which may be negative or beyond."""

    file: RasterFile
    exact: bool
    rows: tuple[int, int]
    cols: tuple[int, int]


def plan_raster(timestamp: Timestamp, target: str) -> RasterPlan:
    """The grid of a raster layer in the CRS `target`, and how each file comes onto it.

    Raises
    ------
    PartitionError
        No files, files with different numbers of bands, or nothing inside the target CRS.
    """
    files = timestamp.rasters
    if not files:
        raise PartitionError(f"layer {timestamp.id} has no raster files to cut; add one first")
    bands = {file.bands for file in files}
    if len(bands) > 1:
        counts = ", ".join(f"{file.location}: {file.bands}" for file in files)
        raise PartitionError(f"the files of layer {timestamp.id} have different numbers of bands ({counts})")
    if any(file.dtype not in DTYPES for file in files):
        raise PartitionError(f"layer {timestamp.id} has pixels of type {files[0].dtype}, which numpy does not have")
    try:
        base, placed = _place_all(files, target)
        notes = [note for file in files if not _is_exact(file, target) for note in warping.target_grid(file, target)[1]]
    except PartitionError as error:
        raise PartitionError(f"layer {timestamp.id}: {error}") from error
    grid, row, col = _extend(base, placed)
    return RasterPlan(
        id=timestamp.id,
        crs=target,
        grid=grid,
        bands=files[0].bands,
        dtype=_promote([DTYPES[file.dtype] for file in files]),
        nodata=next((_nodata(file) for file in files if file.nodata is not None), None),
        sources=tuple(_source(each, row, col) for each in placed),
        warnings=tuple(notes),
    )


def _is_exact(file: RasterFile, target: str) -> bool:
    return file.transform[1] == file.transform[3] == 0 and names.same(file.crs, target)


def _own_grid(file: RasterFile) -> Grid:
    """The north-up grid of a file whose rows and columns run along the axes, in whichever direction."""
    a, _, c, _, e, f = file.transform
    return Grid(
        left=c if a > 0 else c + file.width * a,
        top=f if e < 0 else f + file.height * e,
        dx=abs(a),
        dy=abs(e),
        width=file.width,
        height=file.height,
        block=file.block,
        # A grid that is turned round begins with what is left of the last block.
        block_offset=(-file.height % file.block[0] if e > 0 else 0, -file.width % file.block[1] if a < 0 else 0),
    )


def _place_all(files: Sequence[RasterFile], target: str) -> tuple[Grid, list[Placed]]:
    """The first file's grid, and every file's place on it."""
    first = files[0]
    if _is_exact(first, target):
        base = _own_grid(first)
        return base, [_place(file, base, target) for file in files]
    base, _ = warping.target_grid(first, target)
    whole = Placed(first, False, (0, base.height), (0, base.width))
    return base, [whole, *(_place(file, base, target) for file in files[1:])]


def _place(file: RasterFile, base: Grid, target: str) -> Placed:
    if _is_exact(file, target):
        own = _own_grid(file)
        row, col = round((base.top - own.top) / base.dy), round((own.left - base.left) / base.dx)
        drift = max(
            abs((base.top - own.top) / base.dy - row),
            abs((own.left - base.left) / base.dx - col),
            abs(own.dx / base.dx - 1) * own.width,
            abs(own.dy / base.dy - 1) * own.height,
        )
        if drift < SAME_PIXEL:
            return Placed(file, True, (row, row + file.height), (col, col + file.width))
        extent = own.extent
    else:
        extent = warping.footprint(file, target)
    return Placed(file, False, *_cover(base, extent))


def _cover(base: Grid, extent: Extent) -> tuple[tuple[int, int], tuple[int, int]]:
    """The rows and columns that hold an extent; a sliver of a pixel needs no pixel."""
    rows = (
        math.floor((base.top - extent.y_max) / base.dy + SAME_PIXEL),
        math.ceil((base.top - extent.y_min) / base.dy - SAME_PIXEL),
    )
    cols = (
        math.floor((extent.x_min - base.left) / base.dx + SAME_PIXEL),
        math.ceil((extent.x_max - base.left) / base.dx - SAME_PIXEL),
    )
    return (rows[0], max(rows)), (cols[0], max(cols))


def _extend(base: Grid, placed: Sequence[Placed]) -> tuple[Grid, int, int]:
    """The base grid over all files, with how many rows and columns came before it."""
    if len(placed) == 1:
        return base, 0, 0
    row, row_end = min(0, *(p.rows[0] for p in placed)), max(base.height, *(p.rows[1] for p in placed))
    col, col_end = min(0, *(p.cols[0] for p in placed)), max(base.width, *(p.cols[1] for p in placed))
    offset = (row + base.block_offset[0]) % base.block[0], (col + base.block_offset[1]) % base.block[1]
    grid = replace(
        base,
        left=base.left + col * base.dx,
        top=base.top - row * base.dy,
        width=col_end - col,
        height=row_end - row,
        block_offset=offset,
    )
    return grid, -row, -col


def _source(placed: Placed, row: int, col: int) -> RasterSource:
    file = placed.file
    return RasterSource(
        location=file.location,
        content=file.content,
        crs=file.crs,
        transform=file.transform,
        nodata=_nodata(file),
        covers=(placed.rows[0] + row, placed.rows[1] + row, placed.cols[0] + col, placed.cols[1] + col),
        exact=placed.exact,
        flip=(file.transform[4] > 0, file.transform[0] < 0) if placed.exact else (False, False),
    )


def _nodata(file: RasterFile) -> Nodata | None:
    return "nan" if file.nodata is not None and math.isnan(file.nodata) else file.nodata


def _promote(dtypes: Sequence[str]) -> str:
    if all(one == other for one, other in pairwise(dtypes)):
        return dtypes[0]
    import numpy as np

    return np.result_type(*dtypes).str
