"""From a `CutRequest` to files: those of rasters are made in full size here and filled by helper processes.

Vectors are read by a helper, which tells how many features went where.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

from ellipsis_local.errors import StoreError
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.records import VectorPart
from ellipsis_local.partitions import npy, tasks
from ellipsis_local.partitions.cache import CutCache
from ellipsis_local.partitions.cut_patterns import lay_on_extent, pattern_of
from ellipsis_local.partitions.cut_workers import Helpers, Here, Place, is_for_here
from ellipsis_local.partitions.request import (
    Cells,
    CutRequest,
    RasterPlan,
    VectorPlan,
    cells_to_json,
    content,
    tree_from_json,
)
from ellipsis_local.partitions.shards import DEEPEST, Shards
from ellipsis_local.partitions.tree import Tree, cells, pad
from ellipsis_local.progress import OnProgress, Progress, Reporter
from ellipsis_local.types import Extent

Json = dict[str, Any]


@dataclass
class Making:
    """One request on its way to files."""

    request: CutRequest
    cores: int
    report: OnProgress
    helpers: Helpers | Here
    cells: Cells = None
    keys: list[str] = field(default_factory=list)
    cuts: dict[str, Json] = field(default_factory=dict)
    """By key: what is in `cut.json`, of layers that were there and of those made."""
    drafts: dict[str, Path] = field(default_factory=dict)
    """By key: the folders of those that are missing."""


def make(
    home: Home,
    cache: CutCache,
    request: CutRequest,
    cores: int,
    report: OnProgress,
    check: Callable[[], None],
    *,
    here: Place,
) -> Json:
    """Cut what is not cut yet, in this process what is little and `here` allows; the index of the request (`cache`)."""
    helpers: Helpers | Here
    if is_for_here(request, here):
        helpers = Here()
    else:
        helpers = Helpers(tasks.count_helpers(request, cores), home.bytecode, check)
    # Left in this order: helpers end first, whatever happened, then drafts are published or vanish, then locks go.
    try:
        with ExitStack() as drafts, closing(helpers):
            making = Making(request, cores, report, helpers, request.tree)
            if isinstance(request.tree, Shards):
                making.cells = _shards_of_features(making, request.tree)
            elif not request.settled:
                making.cells = _tree_of_features(home, making)
            making.keys = [tasks.layer_key(request, plan, making.cells) for plan in request.layers]
            _lock_missing(home, cache, making, drafts)
            _cut_missing(making)
    except OSError as error:
        raise StoreError(f"the partitions cannot be written to {home.cuts}: {error}") from error
    return _index(making)


def _vector_tasks(making: Making, do: str) -> list[tasks.Task]:
    """A task for each different vector layer, in the process that keeps it."""
    different = {content(plan): plan for plan in making.request.vectors}
    threads = max(making.cores // max(len(different), 1), 1)
    return [tasks.vector_task(plan, number, threads) | {"do": do} for number, plan in enumerate(different.values())]


def _shards_of_features(making: Making, shards: Shards) -> Shards:
    """With the shards whose core some feature touches.

    Without rasters at the first zoom at which that are as many as there are nodes, or else the most (our choice).
    """

    def touched(shards: Shards) -> Shards:
        found = making.helpers.run([task | {"shards": shards.to_json()} for task in todo])
        return shards.at({*shards.places, *(tuple(place) for answer in found for place in answer["places"])})

    todo = _vector_tasks(making, "touched")
    if shards.zoom is not None:
        return touched(shards) if todo else shards
    best = replace(shards, zoom=0, places=((0, 0),))
    for zoom in range(DEEPEST + 1):
        found = touched(replace(shards, zoom=zoom))
        if len(found.places) > len(best.places) or (zoom == 0 and found.places):
            best = found
        if len(best.places) >= making.request.nodes:
            break
    return best


def _tree_of_features(home: Home, making: Making) -> Tree:
    """Read the vector layers, each kept by its helper for the cutting, and cut by their features or their extent."""
    request = making.request
    folder = home.temporary(home.cuts)
    try:
        loads = [
            task | {"points": str(folder / f"{number}.npy")}
            for number, task in enumerate(_vector_tasks(making, "load"))
        ]
        for task in loads:
            making.report(Progress(f"reading layer {task['id']}"))
        extents = [answer["extent"] for answer in making.helpers.run(loads)]
        root = pad(_union(iter([*extents, *(plan.grid.extent for plan in request.rasters)])))
        if request.cut not in ("balanced", "medians"):
            return lay_on_extent(pattern_of(request.cut, request.nodes, request.seed), root)
        points = [task["points"] for task in loads]
        task = {"do": "bisect", "id": loads[0]["id"], "points": points, "extent": root, "nodes": request.nodes}
        (answer,) = making.helpers.run([task])
        return tree_from_json(answer["tree"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _union(extents: Iterator[Sequence[float] | None]) -> Extent | None:
    found = [Extent(*extent) for extent in extents if extent is not None]
    return reduce(Extent.union, found) if found else None


def _lock_missing(home: Home, cache: CutCache, making: Making, stack: ExitStack) -> None:
    """A draft folder for each layer that no process has cut or is cutting."""
    for key in sorted(set(making.keys)):  # in one order everywhere, so that two processes cannot wait for each other
        found = cache.layer(key)
        if found is None:
            stack.enter_context(home.lock(f"cut-{key}"))
            found = cache.layer(key)
        if found is None:
            making.drafts[key] = stack.enter_context(home.publish(cache.folder / key))
        else:
            making.cuts[key] = found


def _cut_missing(making: Making) -> None:
    request, layers = making.request, dict(zip(making.keys, making.request.layers, strict=True))
    vectors = [key for key in making.drafts if isinstance(layers[key], VectorPlan)]
    numbers = {content(plan): number for number, plan in enumerate(request.vectors)}
    found = making.cells
    parts = f"{len(found.places)} shards" if isinstance(found, Shards) else f"{request.nodes} partitions"
    todo: list[tasks.Task] = []
    for key in sorted(making.drafts, key=lambda key: key not in vectors):  # features first: their tasks are the longest
        plan, folder = layers[key], making.drafts[key]
        making.report(Progress(f"cutting layer {plan.id} into {parts}"))
        if isinstance(plan, RasterPlan):
            todo += _prepare_raster(making, plan, key, folder)
        else:
            todo.append(
                tasks.vector_task(plan, list(numbers).index(content(plan)), max(making.cores // len(numbers), 1))
                | {"do": "features", "cut": key, "folder": str(folder), "cells": cells_to_json(making.cells)}
                | {"features": request.features, "overlap": request.overlap}
            )
    reporter = Reporter(making.report)

    def count(done: int) -> None:
        if done < len(todo):
            reporter.count(f"cutting layers into {parts}", done, len(todo), "steps")

    for task, answer in zip(todo, making.helpers.run(todo, count), strict=True):
        if task["do"] == "features":
            files = [VectorPart(f"{i}.parquet", rows).to_json() for i, rows in enumerate(answer["rows"])]
            making.cuts[task["cut"]] = {key: answer[key] for key in ("bytes", "extent", "warnings")} | {"parts": files}
    for key, folder in making.drafts.items():
        (folder / "cut.json").write_text(json.dumps(making.cuts[key]), encoding="utf-8")


def _prepare_raster(making: Making, plan: RasterPlan, key: str, folder: Path) -> list[tasks.Task]:
    """Files of the right size, and the tasks that fill them."""
    windows = tasks.raster_windows(making.request, plan, making.cells)
    extents = tasks.raster_extents(plan, windows, making.cells)
    parts = [tasks.raster_part(plan, i, *one) for i, one in enumerate(zip(windows, extents, strict=True))]
    size = sum(npy.create(folder / part.path, part.dtype, part.shape) for part in parts)
    masks = [part for part in parts if part.mask is not None]
    size += sum(npy.create(folder / str(part.mask), npy.MASK, part.mask_shape or ()) for part in masks)
    making.cuts[key] = {"bytes": size, "extent": plan.grid.extent, "warnings": plan.warnings}
    making.cuts[key]["parts"] = [part.to_json() for part in parts]
    return tasks.raster_tasks(plan, windows, folder, making.cores)


def _index(making: Making) -> Json:
    layers = [{"key": key} | {name: making.cuts[key][name] for name in ("warnings", "parts")} for key in making.keys]
    if isinstance(making.cells, Shards):
        return {"extents": [making.cells.extent(one, core=True) for one in making.cells.places], "layers": layers}
    root = _union(making.cuts[key]["extent"] for key in making.keys)
    if not making.request.rasters:
        root = pad(root)
    return {"extents": list(cells(making.cells, root)) if root is not None else [], "layers": layers}
