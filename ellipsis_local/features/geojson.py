"""Geometries between files and GeoJSON: in another CRS, and as features of an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.crs import WGS84
from ellipsis_local.features.columns import json_values
from ellipsis_local.vector import Shapes, from_shapely, to_shapely, transform, without_geometry

SLACK = 1e-6
"""Degrees by which rounding may put a coordinate elsewhere."""
RESERVED = "id"
"""In answers it is the feature's own id (seen in the client), which takes it out of what it sends."""

Bools = NDArray[np.bool_]


@cache
def knows_height() -> bool:
    """Whether this GEOS reads and writes GeoJSON with three coordinates; older ones refuse or drop the third."""
    import shapely

    try:
        read = shapely.from_geojson('{"type":"Point","coordinates":[1,2,3]}')
    except shapely.errors.ShapelyError:
        return False
    return bool(shapely.has_z(read)) and "3" in str(shapely.to_geojson(shapely.Point(1, 2, 3)))


def in_wgs84(wkb: Any, crs: str) -> tuple[NDArray[Any], Bools]:
    """A column of WKB as geometries in EPSG:4326, and which of them are there.

    None in the place of those that EPSG:4326 cannot express; not there are features without geometry.
    """
    there = ~np.concatenate([np.empty(0, bool), *(Shapes(chunk).without() for chunk in wkb.chunks)])
    geometries = np.concatenate(
        [np.empty(0, object), *(to_shapely(transform(chunk, crs, WGS84)) for chunk in wkb.chunks)]
    )
    geometries[~there] = None
    geometries[there & without_geometry(geometries)] = None
    return geometries, there


def from_wgs84(geometries: NDArray[Any], crs: str) -> tuple[NDArray[Any], Bools]:
    """Geometries of EPSG:4326 in `crs`, and which of them it can express and give back."""
    import shapely

    changed = transform(from_shapely(geometries), WGS84, crs)
    back = to_shapely(transform(changed, crs, WGS84))
    moved = to_shapely(changed)
    fits = ~without_geometry(moved) & ~without_geometry(back)
    far = np.abs(shapely.bounds(back) - shapely.bounds(geometries))
    return moved, fits & (far < SLACK).all(axis=1)


def geojson(table: Any, geometry: str, crs: str, ids: Sequence[str], names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a table as GeoJSON features; those without geometry are left out.

    `names` are the properties that they may get; a feature comes without those that it does not have (seen in the
    service's schema: a feature is stored as its own properties), and null is the same as none. `id` is beside them and
    among them (seen in the client); a column of that name is covered by it.
    """
    geometries, there = in_wgs84(table[geometry], crs)
    own = {field.name: field for field in table.schema if field.name != geometry}
    keys = [name for name in names if name != RESERVED and name in own]
    columns = [json_values(own[name], table[name]) for name in keys]
    rows = zip(*columns, strict=True) if columns else [()] * len(table)
    shapes = geometry_json(geometries)
    return [
        {"type": "Feature", "id": one, "geometry": shape, "properties": {RESERVED: one, **present(keys, values)}}
        for one, shape, values, kept in zip(ids, shapes, rows, there.tolist(), strict=True)
        if kept
    ]


def present(keys: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """The properties that a feature has."""
    return {key: value for key, value in zip(keys, values, strict=True) if value is not None}


def geometry_json(geometries: NDArray[Any]) -> list[Any]:
    import shapely

    flat = np.where(lacks_height(geometries), shapely.force_2d(geometries), geometries)
    if not knows_height():
        return [None if one is None else json.loads(json.dumps(shapely.geometry.mapping(one))) for one in flat]
    texts = shapely.to_geojson(flat)
    return list(json.loads("[" + ",".join("null" if one is None else one for one in texts) + "]"))


def lacks_height(geometries: NDArray[Any]) -> Bools:
    """Which have a third coordinate that is no number, for which JSON has no word."""
    import shapely

    lacking = np.zeros(len(geometries), bool)
    high = shapely.has_z(geometries)
    if high.any():
        coordinates, index = shapely.get_coordinates(geometries, include_z=True, return_index=True)
        lacking[index[~np.isfinite(coordinates[:, 2])]] = True
    return np.asarray(lacking & high)
