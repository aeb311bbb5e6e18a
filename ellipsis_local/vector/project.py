"""Features brought into another CRS, and cut at the edges of Web Mercator; Z and M stay as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local import crs as names
from ellipsis_local.gdal_errors import reading
from ellipsis_local.vector.wkb import Shapes, from_shapely, to_shapely

Bools = NDArray[np.bool_]
TURN = 360.0


@dataclass
class Projected:
    """Geometries in another CRS."""

    wkb: Any
    """An Arrow array, or chunked array, with a row per row; null where nothing is left."""
    clipped: int = 0
    dropped: int = 0


def transform(wkb: Any, source: str, target: str) -> Any:
    """An Arrow array of WKB in another CRS; what that cannot express gets infinite coordinates."""
    if names.same(source, target):
        return wkb
    change = names.transformer(source, target)

    def move(xy: Any) -> Any:
        with reading("the layer", f"cannot be brought from {source[:40]} into {target[:40]}"):
            return np.column_stack(change.transform(xy[:, 0], xy[:, 1]))

    return Shapes(wkb).moved(move)


def project(column: Any, source: str, target: str, threads: int = 1) -> Projected:
    """A column of WKB in CRS `target`, chunks in parallel.

    Into Web Mercator: longitudes beyond ±180 are those of the other side, a feature across that line is split there,
    and what lies beyond ±85.0511° is cut off.
    """
    import pyarrow as pa

    if names.same(source, target):
        return Projected(column)
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    names.transformer(source, target)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        done = list(pool.map(lambda chunk: _project(chunk, source, target), chunks))
    wkb = pa.chunked_array([one.wkb for one in done], pa.binary() if not done else done[0].wkb.type)
    return Projected(wkb, sum(one.clipped for one in done), sum(one.dropped for one in done))


def _project(chunk: Any, source: str, target: str) -> Projected:
    import pyarrow as pa

    if chunk.type != pa.binary():
        chunk = chunk.cast(pa.binary())
    if not names.same(target, names.WEB_MERCATOR):
        return Projected(transform(chunk, source, target))
    if names.is_geographic(source):
        degrees = _turned(chunk)
        moved = transform(degrees, source, target)
        concerned = ~_within(degrees, names.LONGITUDE_LIMIT, names.LATITUDE_LIMIT)
    else:
        moved = transform(chunk, source, target)
        concerned = ~_within(moved, names.MERCATOR_LIMIT, names.MERCATOR_LIMIT)
        degrees = chunk
    if not concerned.any():
        return Projected(moved)
    rows = pa.array(np.flatnonzero(concerned))
    some = degrees.take(rows)
    if not names.is_geographic(source):
        some = _turned(transform(some, source, names.WGS84))
        source = names.WGS84
    shapes, cut = _clipped(to_shapely(some))
    new = to_shapely(transform(from_shapely(shapes), source, target))
    import shapely

    # Rounding may put what was cut at the edge a nanometre beyond it.
    limit = names.MERCATOR_LIMIT
    new = shapely.transform(new, lambda xy: np.clip(xy, -limit, limit), include_z=bool(shapely.has_z(new).any()))
    gone = np.asarray(shapely.is_empty(new) | shapely.is_missing(new))
    new[gone] = None
    return Projected(_put(moved, concerned, from_shapely(new)), int((cut & ~gone).sum()), int(gone.sum()))


def _put(old: Any, rows: Bools, new: Any) -> Any:
    """An array with the values of some rows replaced."""
    import pyarrow as pa

    order = np.arange(len(old))
    order[rows] = len(old) + np.arange(len(new))
    return pa.concat_arrays([old, new.cast(old.type)]).take(pa.array(order))


def _within(wkb: Any, x: float, y: float) -> Bools:
    """Which stay within ±x, ±y, all of them finite; those without a geometry do."""
    shapes = Shapes(wkb)
    bounds = shapes.bounds()
    with np.errstate(invalid="ignore"):
        inside = (np.abs(bounds[:, ::2]) <= x).all(axis=1) & (np.abs(bounds[:, 1::2]) <= y).all(axis=1)
    return np.asarray(inside)


def _turned(wkb: Any) -> Any:
    """Degrees with every feature that lies wholly beyond ±180 brought back by turns of 360."""
    shapes = Shapes(wkb)
    bounds = shapes.bounds()
    west, east = bounds[:, 0], bounds[:, 2]
    with np.errstate(invalid="ignore"):
        turns = np.where(west >= 180, -np.floor((west + 180) / TURN), 0)
        turns = np.where(east <= -180, np.floor((180 - east) / TURN), turns)
    turns = np.where(np.isfinite(west) & np.isfinite(east), turns, 0)
    if not turns.any():
        return wkb
    rows, _ = shapes.vertices
    return shapes.moved(lambda xy: np.column_stack([xy[:, 0] + TURN * turns[rows], xy[:, 1]]))


def _clipped(shapes: Any) -> tuple[Any, Bools]:
    """Shapes in degrees within the square of Web Mercator, parts beyond ±180 on the other side.

    Also says which lost something to the north or south.
    """
    import shapely

    south, north = -names.LATITUDE_LIMIT, names.LATITUDE_LIMIT
    bounds = shapely.bounds(shapes)
    cut = np.asarray(~((bounds[:, 1] >= south) & (bounds[:, 3] <= north) & np.isfinite(bounds).all(axis=1)))
    found = np.empty(len(shapes), object)
    for row, shape in enumerate(shapes):
        parts = []
        west, east = bounds[row, 0], bounds[row, 2]
        first = np.floor((west + 180) / TURN) if np.isfinite(west) else 0
        last = np.ceil((east + 180) / TURN) - 1 if np.isfinite(east) else 0
        for turn in range(int(max(first, -2)), int(min(max(first, last), 2)) + 1):
            low = -180 + TURN * turn
            part = shapely.clip_by_rect(shape, low, south, low + TURN, north)
            if not shapely.is_empty(part):
                parts.append(_shifted(part, -TURN * turn))
        found[row] = parts[0] if len(parts) == 1 else _together(parts)
    return found, cut


def _shifted(shape: Any, by: float) -> Any:
    import shapely

    def move(xyz: Any) -> Any:
        xyz[:, 0] += by
        return xyz

    return shapely.transform(shape, move, include_z=bool(shapely.has_z(shape))) if by else shape


def _together(parts: list[Any]) -> Any:
    """Parts of one shape as one, without a border where there was none."""
    import shapely

    if not parts:
        return None
    flat = [one for part in parts for one in shapely.get_parts(part)]
    kinds = {one.geom_type for one in flat}
    makers = {"Polygon": shapely.multipolygons, "LineString": shapely.multilinestrings, "Point": shapely.multipoints}
    (kind, *more) = kinds
    return makers[kind](flat) if not more and kind in makers else shapely.geometrycollections(flat)
