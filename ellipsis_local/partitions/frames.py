"""One vector layer in the CRS of a call, and each node's features as a file. Runs in a helper process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local import vector
from ellipsis_local.crs import WORLD
from ellipsis_local.partitions import balance_points
from ellipsis_local.partitions.request import Cells, VectorPlan, cells_from_json, layer_from_json
from ellipsis_local.partitions.shards import MOST_LOOKED_AT, Shards
from ellipsis_local.partitions.tree import cells, count_leaves, pad
from ellipsis_local.types import Extent
from ellipsis_local.vector import LayerTable

_layers: dict[str, tuple[LayerTable, NDArray[np.float64]]] = {}
_indexes: dict[str, Any] = {}


def forget() -> None:
    _layers.clear()
    _indexes.clear()


def load(task: dict[str, Any]) -> dict[str, Any]:
    """Read a layer and keep it; write the first vertex of each feature to `points`, (features, 2), float64."""
    layer, xy = _layer(task)
    np.save(task["points"], xy)
    return {"extent": layer.extent}


def bisect(task: dict[str, Any]) -> dict[str, Any]:
    """The tree that balances the points of all layers within `extent` over `nodes`."""
    xy = np.concatenate([np.load(path) for path in task["points"]])
    return {"tree": balance_points.bisect_points(xy, Extent(*task["extent"]), task["nodes"])}


def touched(task: dict[str, Any]) -> dict[str, Any]:
    """The places of the shards whose core some feature touches."""
    import shapely

    layer, _ = _layer(task)
    shards = Shards.from_json(task["shards"])
    index = _indexed(task["key"], layer)
    boxes = shapely.bounds(index.geometries)
    half, pixel = WORLD / 2, shards.pixel
    # Rows and columns of pixels, and one more on each side: whether a core is touched is asked of the shapes then.
    edges = np.column_stack([half - boxes[:, 3], half - boxes[:, 1], boxes[:, 0] + half, boxes[:, 2] + half]) / pixel
    pixels = np.floor(edges).astype(np.int64) + np.array([-1, 2, -1, 2])
    # Most features lie in the same few cores.
    boxes = np.unique(pixels // shards.core_size, axis=0) * shards.core_size + np.array([0, 1, 0, 1])
    near = list(shards.touching(map(tuple, boxes.tolist()), MOST_LOOKED_AT))
    cores = np.array([shards.extent(place, core=True) for place in near]).reshape(-1, 4)
    found, _ = index.query(shapely.box(*cores.T), predicate="intersects")
    return {"places": [near[number] for number in np.unique(found)]}


def cut(task: dict[str, Any]) -> dict[str, Any]:
    """Write one GeoParquet file per partition into `folder`; the features in each, and what was left out."""
    layer, xy = _layer(task)
    where = cells_from_json(task["cells"])
    rows = select(layer, xy, where, task["features"], task["overlap"], partial(_indexed, task["key"], layer))
    shards = isinstance(where, Shards)
    table = layer.table if shards else vector.for_frames(layer.table)
    paths = [Path(task["folder"]) / f"{number}.parquet" for number in range(len(rows))]

    def write(number: int) -> int:
        part = layer.take(table, rows[number])
        if shards:
            # Of a whole number some shards have every value, and others do not.
            part = vector.for_frames(vector.as_features(part, layer.geometry))
        return vector.write_partition(paths[number], part, layer.geometry, layer.crs)

    with ThreadPoolExecutor(task["threads"]) as pool:  # Arrow works without the interpreter's lock
        size = sum(pool.map(write, range(len(rows))))
    _layers.pop(task["key"], None)
    _indexes.pop(task["key"], None)
    return {"rows": [len(r) for r in rows], "bytes": size, "extent": layer.extent, "warnings": _note(layer)}


def select(
    layer: LayerTable, xy: NDArray[np.float64], where: Cells, features: str, overlap: float, index: Callable[[], Any]
) -> list[NDArray[np.int64]]:
    """Row numbers per partition, ascending; `index` gives an STRtree of the shapes, where one is needed."""
    if isinstance(where, Shards):
        return _intersecting([where.extent(place) for place in where.places], index())
    if features == "once" and not overlap:
        nodes = balance_points.assign(xy, where)
        order = np.argsort(nodes, kind="stable")
        count = count_leaves(where)
        return list(np.split(order, np.cumsum(np.bincount(nodes, minlength=count))[:-1]))
    # Beyond the outermost features the outer cells go on for ever; a box needs numbers.
    outer = pad(layer.extent or Extent(0, 0, 0, 0)).buffer(1.0)
    boxes = [cell.buffer(overlap) for cell in cells(where, outer)]
    if features == "once":
        x, y = xy.T
        return [np.flatnonzero((x >= b.x_min) & (x <= b.x_max) & (y >= b.y_min) & (y <= b.y_max)) for b in boxes]
    return _intersecting(boxes, index())


def _intersecting(boxes: list[Extent], index: Any) -> list[NDArray[np.int64]]:
    """Row numbers of the features that touch each box."""
    import shapely

    return [np.sort(index.query(shapely.box(*box), predicate="intersects")) for box in boxes]


def _indexed(key: str, layer: LayerTable) -> Any:
    """The layer's shapes as an STRtree; kept as long as the layer is."""
    import shapely

    if key not in _indexes:
        _indexes[key] = shapely.STRtree(layer.shapes())
    return _indexes[key]


def _layer(task: dict[str, Any]) -> tuple[LayerTable, NDArray[np.float64]]:
    """The layer in the CRS of the call and the first vertex of each feature; kept until it is cut."""
    key = task["key"]
    if key not in _layers:
        plan = layer_from_json(task["layer"])
        assert isinstance(plan, VectorPlan)  # noqa: S101  # the task says so
        layer = vector.read_table(plan.sources, plan.crs, task["threads"])
        _layers[key] = layer, layer.first_vertices()
    return _layers[key]


def _note(layer: LayerTable) -> list[str]:
    if not layer.clipped and not layer.dropped:
        return []
    where = "at ±85.0511°, where Web Mercator ends (crs='native' keeps them)"
    return [f"{layer.clipped} features were cut off and {layer.dropped} dropped {where}"]
