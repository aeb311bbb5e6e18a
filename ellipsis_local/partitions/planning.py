"""From layers and options to a `CutRequest`: metadata and arithmetic, no pixel and no feature is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal

from ellipsis_local import crs as names
from ellipsis_local.arguments import invalid
from ellipsis_local.errors import PartitionError
from ellipsis_local.partitions import npy
from ellipsis_local.partitions.balance_rasters import bisect_rasters
from ellipsis_local.partitions.cut_patterns import lay_on_rasters, pattern_of
from ellipsis_local.partitions.request import CutRequest, LayerPlan, RasterPlan, RasterSource, VectorPlan
from ellipsis_local.partitions.shards import Shards
from ellipsis_local.partitions.tree import Cut, Tree, count_leaves
from ellipsis_local.raster.placement import Rectangle, around, north_up_grid, world_grid
from ellipsis_local.raster.validity import disagreements, has_masks, missing_in
from ellipsis_local.raster.zoom import zoom as native_zoom
from ellipsis_local.raster.zoom import zoom_of
from ellipsis_local.types import Timestamp, VectorSource


def plan(
    layers: Sequence[Timestamp],
    nodes: int,
    *,
    crs: Literal["EPSG:3857", "native"] = "EPSG:3857",
    features: Literal["once", "intersecting"] = "once",
    overlap: float = 0.0,
    cut: Cut = "balanced",
    seed: int = 0,
    tree: Tree = None,
    shards: Shards | None = None,
) -> CutRequest:
    """Decide the cut from metadata alone; ArgumentError or PartitionError where it is impossible."""
    if nodes < 1:
        raise invalid("nodes", nodes, f"must be at least 1, not {nodes}")
    if not (math.isfinite(overlap) and overlap >= 0):
        raise invalid("overlap", overlap, f"must be 0 or more, and finite, not {overlap}")
    if not layers:
        return CutRequest(None, nodes, features, float(overlap), (), None)
    if tree is not None and count_leaves(tree) != nodes:
        raise invalid("tree", tree, f"has {count_leaves(tree)} cells, and nodes is {nodes}")
    if shards is not None:
        return _plan_shards(layers, nodes, shards)
    target = names.WEB_MERCATOR if crs == "EPSG:3857" else _shared_crs(layers)
    plans = tuple((plan_raster if one.type == "raster" else _plan_vector)(one, target) for one in layers)
    tree = tree or _tree(plans, nodes, cut, seed)
    return CutRequest(target, nodes, features, float(overlap), plans, tree, cut, seed)


def _plan_shards(layers: Sequence[Timestamp], nodes: int, shards: Shards) -> CutRequest:
    """The shards that rasters lie on, each raster on the pixels of its own zoom; features may add others."""
    zooms = {one.id: native_zoom(one) or 0 for one in layers if one.type == "raster"}
    if zooms:
        shards = replace(shards, zoom=max(zooms.values()))
    finest = shards.zoom or 0
    zooms = {key: max(zoom, finest - shards.deepest_fit) for key, zoom in zooms.items()}
    plans: list[LayerPlan] = []
    boxes: list[Rectangle] = []
    for layer in layers:
        if layer.type == "vector":
            plans.append(_plan_vector(layer, names.WEB_MERCATOR))
            continue
        plan = plan_raster(layer, names.WEB_MERCATOR, zooms[layer.id])
        scale = 1 << (finest - zooms[layer.id])
        covers = (source.placement.covers for source in plan.sources)
        boxes += [tuple(edge * scale for edge in box) for box in covers if box is not None]  # type: ignore[misc]
        plans.append(plan)
    if boxes:
        places = tuple(shards.touching(boxes))
        if not places:
            raise PartitionError(f"the rasters {', '.join(zooms)} hold no pixel inside of Web Mercator")
        shards = replace(shards, places=places, covered=_whole(around(boxes), finest - min(zooms.values())))
        plans = [_cropped(one, shards) if isinstance(one, RasterPlan) else one for one in plans]
    overlap = shards.buffer * shards.pixel if boxes else 0.0
    return CutRequest(names.WEB_MERCATOR, nodes, "intersecting", overlap, tuple(plans), shards, "shards")


def _whole(box: Rectangle, zooms: int) -> Rectangle:
    """A rectangle of pixels widened to whole ones of so many zooms further up."""
    scale = 1 << zooms
    top, left = (edge // scale * scale for edge in box[::2])
    bottom, right = (-(-edge // scale) * scale for edge in box[1::2])
    return top, bottom, left, right


def _cropped(plan: RasterPlan, shards: Shards) -> RasterPlan:
    """A plan on the pixels of the whole world on those of its shards alone."""
    grid = shards.grid_of(zoom_of(plan.grid.dx))
    rows, columns = round((grid.top - plan.grid.top) / grid.dy), round((plan.grid.left - grid.left) / grid.dx)
    sources = tuple(replace(one, placement=one.placement.moved(rows, columns)) for one in plan.sources)
    return replace(plan, grid=grid, sources=sources)


def plan_raster(timestamp: Timestamp, target: str, zoom: int | None = None) -> RasterPlan:
    """The grid of a raster layer in `target`, how each file comes onto it, and what nodes cannot see of it.

    With a `zoom` the grid is that of all the world's tiles.
    """
    files = timestamp.rasters
    if not files:
        raise PartitionError(f"layer {timestamp.id} has no raster files to cut; add one first")
    if len({file.bands for file in files}) > 1:
        counts = ", ".join(f"{file.location}: {file.bands}" for file in files)
        raise PartitionError(f"the files of layer {timestamp.id} have different numbers of bands ({counts})")
    if any(file.dtype not in npy.DTYPES for file in files):
        raise PartitionError(f"layer {timestamp.id} has pixels of type {files[0].dtype}, which numpy does not have")
    try:
        found = north_up_grid(files, target) if zoom is None else world_grid(files, zoom)
    except PartitionError as error:
        raise PartitionError(f"layer {timestamp.id}: {error}") from error
    grid, placements, covered, notes = found
    missing = missing_in(files, has_masks(files), covered)
    nan = missing.nodata is not None and math.isnan(missing.nodata)
    return RasterPlan(
        id=timestamp.id,
        crs=target,
        grid=grid,
        bands=files[0].bands,
        dtype=npy.promoted([file.dtype for file in files]),
        nodata="nan" if nan else missing.nodata,
        sources=tuple(RasterSource(file, one) for file, one in zip(files, placements, strict=True)),
        warnings=(*notes, *disagreements(files)),
        mask="none" if not missing.mask else "bands" if missing.per_band else "all",
    )


def _tree(plans: Sequence[LayerPlan], nodes: int, cut: Cut, seed: int) -> Tree:
    """The cells, where rasters decide them; None where the features do, which have to be read first."""
    grids = [layer.grid for layer in plans if not isinstance(layer, VectorPlan)]
    if not grids or (cut == "medians" and len(grids) < len(plans)):
        return None
    if cut == "balanced":
        return bisect_rasters(grids, nodes)
    return lay_on_rasters(pattern_of(cut, nodes, seed), grids)


def _shared_crs(layers: Sequence[Timestamp]) -> str:
    files = [(layer.id, file) for layer in layers for file in layer.files]
    found = [(layer, file.detail.crs) for layer, file in files if file.detail is not None]
    if not found:
        return names.WEB_MERCATOR
    shared = found[0][1]
    if not all(names.same(shared, crs) for _, crs in found):
        listing = ", ".join(dict.fromkeys(f"{layer}: {_short(crs)}" for layer, crs in found))
        raise PartitionError(
            f"crs='native' needs layers in one CRS, and these are in several ({listing}); "
            "use crs='EPSG:3857', which brings them all into Web Mercator, or add the layers in one CRS"
        )
    return names.name(shared)


def _short(crs: str) -> str:
    name = names.name(crs)
    return name if name.partition(":")[2].isdigit() else name.split('"')[1] if '"' in name else name


def _plan_vector(timestamp: Timestamp, target: str) -> VectorPlan:
    if not timestamp.vectors:
        raise PartitionError(f"layer {timestamp.id} has no vector files to cut; add one first")
    known = [field.name for field in fields(VectorSource)]
    sources = tuple(VectorSource(**{name: getattr(file, name) for name in known}) for file in timestamp.vectors)
    return VectorPlan(timestamp.id, target, sources)
