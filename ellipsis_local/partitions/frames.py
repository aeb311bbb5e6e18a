"""Reading one vector layer in the CRS of a call, and writing each node's features. Runs in a helper process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from ellipsis_local import crs as names
from ellipsis_local.partitions import points
from ellipsis_local.partitions.request import VectorPlan, VectorSource, layer_from_json, tree_from_json
from ellipsis_local.partitions.tree import cells, count_leaves, pad
from ellipsis_local.types import Extent

__all__ = ["bisect", "cut", "forget", "load"]

Bools = NDArray[np.bool_]

_frames: dict[str, tuple[Any, NDArray[np.float64], list[str]]] = {}


def forget() -> None:
    """Let go of the layers that are kept from one task to the next."""
    _frames.clear()


def load(task: dict[str, Any]) -> dict[str, Any]:
    """Read a layer and keep it; write one point per feature to `points`, an array (features, 2), float64.

    Returns
    -------
    dict
        `extent`: of the features in the CRS of the call, None where there are none.
    """
    frame, xy, _ = _frame(task)
    np.save(task["points"], xy)
    return {"extent": _extent(frame)}


def bisect(task: dict[str, Any]) -> dict[str, Any]:
    """The tree that balances the points of all layers within `extent` over `nodes`."""
    xy = np.concatenate([np.load(path) for path in task["points"]])
    return {"tree": points.bisect_points(xy, Extent(*task["extent"]), task["nodes"])}


def cut(task: dict[str, Any]) -> dict[str, Any]:
    """Write one GeoParquet file per node into `folder`.

    Returns
    -------
    dict
        `rows`: features per node; `bytes`: of all files; `extent` as for `load`; `warnings`: what was left out.
    """
    frame, xy, warnings = _frame(task)
    tree = tree_from_json(task["tree"])
    rows = _select(frame, xy, tree, task["features"], task["overlap"])
    paths = [Path(task["folder"]) / f"{node}.parquet" for node in range(len(rows))]

    def write(node: int) -> int:
        part = frame.take(rows[node]).reset_index(drop=True)
        part.to_parquet(paths[node], index=False, compression=None)  # as fast as it gets, read by every pyarrow
        return paths[node].stat().st_size

    with ThreadPoolExecutor(task["threads"]) as pool:  # WKB and Parquet are written without the interpreter's lock
        size = sum(pool.map(write, range(len(rows))))
    _frames.pop(task["key"], None)
    return {"rows": [len(r) for r in rows], "bytes": size, "extent": _extent(frame), "warnings": warnings}


def _select(frame: Any, xy: NDArray[np.float64], tree: Any, features: str, overlap: float) -> list[NDArray[np.int64]]:
    """Row numbers per node, ascending."""
    if features == "once" and not overlap:
        nodes = points.assign(xy, tree)
        order = np.argsort(nodes, kind="stable")
        count = count_leaves(tree)
        return list(np.split(order, np.cumsum(np.bincount(nodes, minlength=count))[:-1]))
    # Beyond the outermost features the outer cells go on for ever; a box needs numbers.
    outer = pad(Extent(*(_extent(frame) or (0, 0, 0, 0)))).buffer(1.0)
    boxes = [cell.buffer(overlap) for cell in cells(tree, outer)]
    if features == "once":
        x, y = xy.T
        return [np.flatnonzero((x >= b.x_min) & (x <= b.x_max) & (y >= b.y_min) & (y <= b.y_max)) for b in boxes]
    index = shapely.STRtree(frame.geometry.array)
    return [np.sort(index.query(shapely.box(*box), predicate="intersects")) for box in boxes]


def _extent(frame: Any) -> list[float] | None:
    bounds = shapely.total_bounds(frame.geometry.array) if len(frame) else np.full(4, np.nan)
    return [float(value) for value in bounds] if np.isfinite(bounds).all() else None


def _frame(task: dict[str, Any]) -> tuple[Any, NDArray[np.float64], list[str]]:
    """The layer in the CRS of the call, a point of each feature, and what was left out; kept until it is cut."""
    key = task["key"]
    if key not in _frames:
        layer = layer_from_json(task["layer"])
        assert isinstance(layer, VectorPlan)  # noqa: S101  # the task says so
        read = [_in_crs(_read(source), layer.crs) for source in layer.sources]
        frame = _concatenate([frame for frame, *_ in read])
        warnings = _note(sum(cut for _, cut, _ in read), sum(dropped for *_, dropped in read))
        _frames[key] = frame, _points(frame.geometry.array), warnings
    return _frames[key]


def _concatenate(frames: list[Any]) -> Any:
    if len(frames) == 1:
        return frames[0].reset_index(drop=True)
    geometry = frames[0].geometry.name
    frames = [f if f.geometry.name == geometry else f.rename_geometry(geometry) for f in frames]
    return pd.concat(frames, ignore_index=True)


def _read(source: VectorSource) -> Any:
    """A file's features that have a geometry, in its effective CRS."""
    if source.format == "parquet":
        frame = gpd.read_parquet(source.location)
        if frame.geometry.name != source.geometry_column and source.geometry_column in frame.columns:
            frame = frame.set_geometry(source.geometry_column)
    else:
        layer = {} if source.layer is None else {"layer": source.layer}
        frame = gpd.read_file(source.location, engine="pyogrio", use_arrow=True, **layer)
    if frame.crs is None or not names.same(frame.crs.to_wkt(), source.crs):
        frame = frame.set_crs(source.crs, allow_override=True)
    geometry = frame.geometry.array
    empty = np.asarray(geometry.isna()) | np.asarray(geometry.is_empty)
    return frame[~empty] if empty.any() else frame


def _in_crs(frame: Any, target: str) -> tuple[Any, int, int]:
    """The frame in CRS `target`, with how many features were cut and how many dropped at the edge of Web Mercator."""
    own = frame.crs.to_wkt() if frame.crs else target
    if names.same(own, target):
        return frame.set_crs(target, allow_override=True), 0, 0
    if not names.same(target, names.WEB_MERCATOR):
        return frame.to_crs(target), 0, 0
    geographic = bool(frame.crs.is_geographic)
    if geographic:
        # Longitudes beyond 180 would come back on the other side, so they are looked for before.
        concerned = _outside(frame.geometry.array, names.LONGITUDE_LIMIT, names.LATITUDE_LIMIT)
        inside = frame.geometry.to_crs(target) if not concerned.any() else frame.geometry[~concerned].to_crs(target)
    else:
        inside = frame.geometry.to_crs(target)
        concerned = _outside(inside.array, names.MERCATOR_LIMIT, names.MERCATOR_LIMIT)
        inside = inside[~concerned]
    if not concerned.any():
        return frame.set_geometry(inside), 0, 0
    return _clip(frame, concerned, inside, target)


def _outside(geometry: Any, x: float, y: float) -> Bools:
    """Which geometries leave ±x, ±y, or are not finite."""
    bounds = shapely.bounds(np.asarray(geometry))
    inside: Bools = (np.abs(bounds[:, ::2]) <= x).all(axis=1) & (np.abs(bounds[:, 1::2]) <= y).all(axis=1)
    return ~inside


def _clip(frame: Any, concerned: Bools, inside: Any, target: str) -> tuple[Any, int, int]:
    """Clip the concerned features in degrees, bring them into Web Mercator, and put all back in their order."""
    degrees = frame.geometry[concerned]
    if not frame.crs.is_geographic:
        degrees = degrees.to_crs("EPSG:4326")
    west, south = -names.LONGITUDE_LIMIT, -names.LATITUDE_LIMIT
    clipped = degrees.clip_by_rect(west, south, -west, -south)
    limit = names.MERCATOR_LIMIT
    # Rounding may put what was cut at the edge a nanometre beyond it.
    clipped = clipped.to_crs(target)
    clipped[:] = shapely.transform(clipped.to_numpy(), lambda xy: np.clip(xy, -limit, limit))
    geometry = np.empty(len(frame), object)
    geometry[~concerned], geometry[concerned] = inside.to_numpy(), clipped.to_numpy()
    frame = frame.set_geometry(gpd.GeoSeries(geometry, index=frame.index, crs=target))
    dropped = shapely.is_empty(geometry) | shapely.is_missing(geometry)
    return frame[~dropped], int(concerned.sum() - dropped.sum()), int(dropped.sum())


def _note(cut: int, dropped: int) -> list[str]:
    if not cut and not dropped:
        return []
    where = "at ±85.0511° and ±180°, where Web Mercator ends (crs='native' keeps them)"
    return [f"{cut} features were cut off and {dropped} dropped {where}"]


def _points(geometry: Any) -> NDArray[np.float64]:
    """A point of each feature, (features, 2): on the surface of a polygon, on a line, one of several points."""
    values = np.asarray(geometry)
    inside = shapely.point_on_surface(values)
    xy = np.column_stack([shapely.get_x(inside), shapely.get_y(inside)])
    bad = ~np.isfinite(xy).all(axis=1)
    if bad.any():  # degenerate: the first of its coordinates
        coordinates, index = shapely.get_coordinates(values[bad], return_index=True)
        which, first = np.unique(index, return_index=True)
        xy[np.flatnonzero(bad)[which]] = coordinates[first]
    return xy
