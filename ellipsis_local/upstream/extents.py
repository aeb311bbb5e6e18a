"""The extent of a pull: checked, and brought into the CRS where it is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ellipsis_local.arguments import invalid
from ellipsis_local.crs import transform_extent
from ellipsis_local.errors import ArgumentError
from ellipsis_local.types import Extent
from ellipsis_local.upstream.models import parse_number

KEYS = ("xMin", "yMin", "xMax", "yMax")


def parse_extent(extent: Any, epsg: int | None) -> Extent | None:
    """An extent ``{'xMin', 'yMin', 'xMax', 'yMax'}`` in EPSG:4326, longitude first; ArgumentError where it is none."""
    if extent is None:
        return None
    keyed = isinstance(extent, Mapping) and set(extent) == set(KEYS)
    if not keyed or any(parse_number(extent[key]) is None for key in KEYS):
        # The client's wording.
        keys = ", ".join(KEYS)
        text = f"must be a dictionary with keys {keys} whose values must be of type float, not {extent!r}"
        raise invalid("extent", extent, text)
    given = Extent(*(float(extent[key]) for key in KEYS))
    for axis, side in (("x", given.width), ("y", given.height)):
        if side <= 0:
            text = f"extent: {axis}Max must be strictly larger than {axis}Min"
            raise ArgumentError(text, argument="extent", value=extent)
    found = given if epsg in (None, 4326) else transformed(f"EPSG:{epsg}", "EPSG:4326", given, extent)
    world = Extent(-180.0, -90.0, 180.0, 90.0)
    if not found.intersects(world):
        text = f"lies outside of the earth: {tuple(found)} in EPSG:4326; pass epsg=… where it is in another CRS"
        raise invalid("extent", extent, text)
    return found.common(world)


def transformed(source: str, target: str, extent: Extent, given: Any) -> Extent:
    """The envelope of a rectangle in another CRS; ArgumentError where that has no room for it."""
    found = transform_extent(source, target, extent)
    if found is None or found.x_min > found.x_max:
        raise invalid("extent", given, f"{tuple(extent)} of {source} lies outside the area that {target} is made for")
    return found


def in_crs(area: Extent, crs: str) -> Extent:
    """An area of EPSG:4326 in another CRS, x first."""
    return transformed("EPSG:4326", crs, area, tuple(area))


def overlaps(area: Extent, bounds: Sequence[float] | None) -> bool:
    """Whether an area touches bounds of the same CRS; unknown bounds may."""
    return bounds is None or (
        area.x_min <= bounds[2] and bounds[0] <= area.x_max and area.y_min <= bounds[3] and bounds[1] <= area.y_max
    )
