"""Where layers would be cut, without cutting them: arithmetic on metadata, and the features of small vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path

from ellipsis_local.partitions.cut_patterns import lay_on_extent, pattern_of
from ellipsis_local.partitions.request import Cells, CutRequest
from ellipsis_local.partitions.shards import Shards
from ellipsis_local.partitions.tasks import SMALL_BYTES, raster_windows
from ellipsis_local.partitions.tree import cells, pad
from ellipsis_local.types import Extent
from ellipsis_local.vector import LayerTable, read_table


@dataclass(frozen=True)
class Preview:
    """What partitions a cut would have; None is what only cutting would tell."""

    extents: tuple[Extent, ...]
    pixels: tuple[int, ...] | None
    """Per partition, of all rasters together, each pixel counted once whatever its bands."""
    features: tuple[int, ...] | None


def preview(request: CutRequest) -> Preview | None:
    """The partitions of a request that `plan` made; None where many features decide, which are read to be cut."""
    tables = _small_tables(request)
    where = request.tree
    if isinstance(where, Shards):
        if where.covered is None:
            return None
    elif not request.settled:
        if tables is None:
            return None
        where = _tree_of(request, tables)
    extents = _extents(request, where, tables or [])
    windows = [raster_windows(request, plan, where) for plan in request.rasters]
    pixels = tuple(sum(window.pixels for window in node) for node in zip(*windows, strict=True)) if windows else None
    features = _features(request, where, tables) if tables else None
    return None if extents is None else Preview(extents, pixels, features)


def _small_tables(request: CutRequest) -> list[LayerTable] | None:
    """The vectors, where they are read faster than a person asks again."""
    sources = [source for plan in request.vectors for source in plan.sources]
    # A location may lie within an archive, and is of no size then.
    files = [Path(source.location) for source in sources]
    if sum(file.stat().st_size if file.is_file() else SMALL_BYTES for file in files) > SMALL_BYTES:
        return None
    return [read_table(plan.sources, plan.crs) for plan in request.vectors]


def _root(request: CutRequest, tables: Sequence[LayerTable]) -> Extent | None:
    found = [plan.grid.extent for plan in request.rasters]
    found += [table.extent for table in tables if table.extent is not None]
    return reduce(Extent.union, found) if found else None


def _tree_of(request: CutRequest, tables: Sequence[LayerTable]) -> Cells:
    import numpy as np

    from ellipsis_local.partitions.balance_points import bisect_points

    root = pad(_root(request, tables))
    if request.cut in ("balanced", "medians"):
        return bisect_points(np.concatenate([table.first_vertices() for table in tables]), root, request.nodes)
    return lay_on_extent(pattern_of(request.cut, request.nodes, request.seed), root)


def _extents(request: CutRequest, where: Cells, tables: Sequence[LayerTable]) -> tuple[Extent, ...] | None:
    if isinstance(where, Shards):
        return tuple(where.extent(place, core=True) for place in where.places)
    root = _root(request, tables)
    if root is None:
        return None
    return tuple(cells(where, root if request.rasters else pad(root)))


def _features(request: CutRequest, where: Cells, tables: Sequence[LayerTable]) -> tuple[int, ...]:
    from shapely import STRtree

    from ellipsis_local.partitions.frames import select

    chosen = []
    for table in tables:
        index = partial(STRtree, table.shapes())
        chosen.append(select(table, table.first_vertices(), where, request.features, request.overlap, index))
    return tuple(sum(len(rows) for rows in node) for node in zip(*chosen, strict=True))
