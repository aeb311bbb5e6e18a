"""Features as they are sent, GeoJSON in EPSG:4326: checked, each error with the feature's position."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import LimitError
from ellipsis_local.features.columns import finite, refused
from ellipsis_local.features.geojson import RESERVED, SLACK, knows_height

MOST_FEATURES = 3000
"""The client sends as many in one call."""
COLLECTION = "GeometryCollection"
RINGS = "of closed rings of at least four positions"
SHAPES = {
    "Point": (0, "a position"),
    "MultiPoint": (1, "a list of positions"),
    "LineString": (1, "a list of at least two positions"),
    "MultiLineString": (2, "a list of lists of at least two positions"),
    "Polygon": (2, f"a list {RINGS}"),
    "MultiPolygon": (3, f"a list of lists {RINGS}"),
}
"""How deep the positions lie, and what that is called."""
SHORTEST = {"LineString": 2, "MultiLineString": 2, "Polygon": 4, "MultiPolygon": 4}


@dataclass(frozen=True)
class Incoming:
    """Features as they were sent, checked."""

    geometries: NDArray[Any]
    """shapely, EPSG:4326, longitude first; object array."""
    properties: tuple[Mapping[str, Any], ...]


def checked_list(argument: str, value: Any, rule: str = "must be of type list", of: str = "features") -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise invalid(argument, value, rule)
    if len(value) > MOST_FEATURES:
        raise LimitError(f"{argument} holds {len(value):,} {of}; one call takes {MOST_FEATURES:,}: split them")
    return value


def place_of(position: int) -> str:
    return f"features[{position}]"


def checked_features(features: Any) -> Incoming:
    """A list of GeoJSON features, EPSG:4326."""
    found, properties = [], []
    for position, feature in enumerate(checked_list("features", features)):
        place = place_of(position)
        if not isinstance(feature, Mapping) or feature.get("type", "Feature") != "Feature":
            raise refused(f"{place} is no GeoJSON feature", feature)
        properties.append(checked_properties(place, feature.get("properties")))
        found.append(feature.get("geometry"))
    return Incoming(geometries_of(found, place_of), tuple(properties))


def checked_properties(place: str, value: Any) -> dict[str, Any]:
    """The properties of a feature, without its id."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refused(f"the properties of {place} must be of type dict", value)
    for name in value:
        if not isinstance(name, str):
            raise refused(f"{place} has a property named {name!r}; names are text")
    return {name: one for name, one in value.items() if name != RESERVED}


def checked_geometry(place: str, value: Any) -> Any:
    """One GeoJSON geometry, EPSG:4326, as shapely."""
    return geometries_of([value], lambda _: place)[0]


def geometries_of(values: Sequence[Any], place: Callable[[int], str]) -> NDArray[Any]:
    for position, value in enumerate(values):
        check_geometry(value, place(position))
    geometries = np.empty(len(values), object)
    geometries[:] = parsed(values)
    check_limits(geometries, place)
    return geometries


def check_geometry(value: Any, place: str, *, inside: bool = False) -> None:
    """ArgumentError for what is no GeoJSON geometry; it is looked at here, because releases of GEOS differ in that."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    if isinstance(kind, str) and kind == COLLECTION and not inside:
        members = value.get("geometries")
        if not isinstance(members, list | tuple) or not members:
            raise refused(f"{place} has a {COLLECTION} without geometries", value)
        for one in members:
            check_geometry(one, place, inside=True)
        return
    if not isinstance(kind, str) or kind not in SHAPES:
        what = "no geometry" if value is None else reprlib.repr(value)
        if kind is not None:
            what = f"a geometry of type {reprlib.repr(kind)}"
        forms = f"a geometry is a GeoJSON {', '.join(SHAPES)}, or a {COLLECTION} of these"
        raise refused(f"{place} has {what[:80]}; {forms}", value)
    depth, form = SHAPES[kind]
    sizes: set[int] = set()
    if not is_shape(value.get("coordinates"), depth, kind, sizes) or len(sizes) > 1:
        position = "a position is [x, y] or [x, y, z], finite numbers, and all of one geometry have as many"
        raise refused(f"{place}: the coordinates of a {kind} are {form}; {position}", value.get("coordinates"))


def is_shape(value: Any, depth: int, kind: str, sizes: set[int]) -> bool:
    """Whether coordinates are nested as they should be; `sizes` gets the lengths of the positions."""
    if not isinstance(value, list | tuple) or not value:
        return False
    if depth == 0:
        sizes.add(len(value))
        return len(value) in (2, 3) and all(map(finite, value))
    if depth == 1 and len(value) < SHORTEST.get(kind, 1):
        return False
    if not all(is_shape(one, depth - 1, kind, sizes) for one in value):
        return False
    return depth > 1 or not kind.endswith("Polygon") or list(value[0]) == list(value[-1])


def parsed(values: Sequence[Any]) -> Any:
    import shapely

    if not knows_height():
        return [shapely.geometry.shape(value) for value in values]
    # Nothing but its own keys: a foreign "crs" must not be believed.
    return shapely.from_geojson([json.dumps(own_keys(value)) for value in values])


def own_keys(value: Mapping[str, Any]) -> dict[str, Any]:
    if value["type"] == COLLECTION:
        return {"type": COLLECTION, "geometries": [own_keys(one) for one in value["geometries"]]}
    return {"type": value["type"], "coordinates": value["coordinates"]}


def check_limits(geometries: NDArray[Any], place: Callable[[int], str]) -> None:
    """ArgumentError for a coordinate that is no longitude and latitude."""
    import shapely

    coordinates, index = shapely.get_coordinates(geometries, return_index=True)
    limits = np.array([180, 90]) + SLACK
    for row in np.flatnonzero((np.abs(coordinates) > limits).any(axis=1)):
        x, y = coordinates[row]
        limit = "which is no longitude and latitude (EPSG:4326, within ±180 and ±90)"
        raise refused(f"{place(int(index[row]))} has the coordinate ({x:g}, {y:g}), {limit}", (float(x), float(y)))
