"""One vector layer in the CRS of a call, and each node's features as a file. Runs in a helper process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local import vector
from ellipsis_local.partitions import balance_points
from ellipsis_local.partitions.request import VectorPlan, layer_from_json, tree_from_json
from ellipsis_local.partitions.tree import cells, count_leaves, pad
from ellipsis_local.types import Extent
from ellipsis_local.vector import LayerTable

_layers: dict[str, tuple[LayerTable, NDArray[np.float64]]] = {}


def forget() -> None:
    _layers.clear()


def load(task: dict[str, Any]) -> dict[str, Any]:
    """Read a layer and keep it; write the first vertex of each feature to `points`, (features, 2), float64."""
    layer, xy = _layer(task)
    np.save(task["points"], xy)
    return {"extent": layer.extent}


def bisect(task: dict[str, Any]) -> dict[str, Any]:
    """The tree that balances the points of all layers within `extent` over `nodes`."""
    xy = np.concatenate([np.load(path) for path in task["points"]])
    return {"tree": balance_points.bisect_points(xy, Extent(*task["extent"]), task["nodes"])}


def cut(task: dict[str, Any]) -> dict[str, Any]:
    """Write one GeoParquet file per node into `folder`; how many features are in each, and what was left out."""
    layer, xy = _layer(task)
    rows = _select(layer, xy, tree_from_json(task["tree"]), task["features"], task["overlap"])
    table = vector.for_frames(layer.table)
    paths = [Path(task["folder"]) / f"{node}.parquet" for node in range(len(rows))]

    def write(node: int) -> int:
        return vector.write_partition(paths[node], layer.take(table, rows[node]), layer.geometry, layer.crs)

    with ThreadPoolExecutor(task["threads"]) as pool:  # Arrow works without the interpreter's lock
        size = sum(pool.map(write, range(len(rows))))
    _layers.pop(task["key"], None)
    return {"rows": [len(r) for r in rows], "bytes": size, "extent": layer.extent, "warnings": _note(layer)}


def _select(
    layer: LayerTable, xy: NDArray[np.float64], tree: Any, features: str, overlap: float
) -> list[NDArray[np.int64]]:
    """Row numbers per node, ascending."""
    if features == "once" and not overlap:
        nodes = balance_points.assign(xy, tree)
        order = np.argsort(nodes, kind="stable")
        count = count_leaves(tree)
        return list(np.split(order, np.cumsum(np.bincount(nodes, minlength=count))[:-1]))
    # Beyond the outermost features the outer cells go on for ever; a box needs numbers.
    outer = pad(layer.extent or Extent(0, 0, 0, 0)).buffer(1.0)
    boxes = [cell.buffer(overlap) for cell in cells(tree, outer)]
    if features == "once":
        x, y = xy.T
        return [np.flatnonzero((x >= b.x_min) & (x <= b.x_max) & (y >= b.y_min) & (y <= b.y_max)) for b in boxes]
    import shapely

    index = shapely.STRtree(layer.shapes())
    return [np.sort(index.query(shapely.box(*box), predicate="intersects")) for box in boxes]


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
