"""Coordinate reference systems: one way of writing them, which are the same, and the way from one to another.

Layers that are in EPSG:3857 by that name are recognised without any library; PROJ is imported where it is first needed.
Coordinates are easting or longitude first, whatever a CRS says of its axes.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, Final

from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.types import Extent

WEB_MERCATOR: Final = "EPSG:3857"
WGS84: Final = "EPSG:4326"
LATITUDE_LIMIT: Final = 85.0511287798066
LONGITUDE_LIMIT: Final = 180.0
MERCATOR_LIMIT: Final = 20037508.342789244
"""Half the side of Web Mercator's square, in metres; it is where both limits above lie."""
WORLD: Final = 2 * math.pi * 6378137.0
"""Width of Web Mercator in metres."""


def crs_text(value: Any, source: str) -> str:
    """A CRS as `AUTHORITY:CODE` where that says the same, else as WKT2; LayerError where it has no place on earth."""
    from pyproj.exceptions import CRSError

    if value is None or (isinstance(value, str) and not value.strip()):
        raise LayerError.of(source, "has no CRS; pass epsg=… to say which it is in")
    try:
        # rasterio's CRS speaks WKT, and pyproj's rule for objects would lose its name.
        given = value.to_wkt() if hasattr(value, "to_wkt") else value
        called, text = _known(given) if isinstance(given, str) else _known.__wrapped__(given)
    except (CRSError, TypeError, ValueError) as error:
        raise LayerError.of(source, f"has a CRS that cannot be read: {error}") from error
    if text is None:
        raise LayerError.of(
            source, f"is in the CRS {called!r}, which is tied to no place on a map; pass epsg=… to say its own"
        )
    return text


@lru_cache(maxsize=256)
def _known(given: Any) -> tuple[str, str | None]:
    """Name and text of a CRS, no text where it is tied to no place. Kept: layers share a few, and PROJ is slow."""
    import pyproj

    crs = pyproj.CRS.from_user_input(given)
    if not (crs.is_geographic or crs.is_projected):
        return crs.name, None
    authority = crs.to_authority(min_confidence=70)
    if authority is not None:
        short = ":".join(authority)
        # They differ in the order of axes, which is longitude first here in any case.
        short = WGS84 if short == "OGC:CRS84" else short
        if pyproj.CRS.from_user_input(short).equals(crs, ignore_axis_order=True):
            return crs.name, short
    return crs.name, str(crs.to_wkt())


def epsg_text(epsg: Any) -> str:
    """`EPSG:CODE` of the override; ArgumentError, in the client's wording, where it is no number or no known code."""
    import pyproj
    from pyproj.exceptions import CRSError

    if isinstance(epsg, bool) or not isinstance(epsg, int):
        raise ArgumentError("epsg must be of type int", argument="epsg", value=epsg)
    try:
        return crs_text(pyproj.CRS.from_epsg(int(epsg)), f"EPSG:{epsg}")
    except (CRSError, LayerError) as error:
        reason = error if isinstance(error, LayerError) else f"there is no EPSG code {epsg}"
        raise ArgumentError(f"epsg: {reason}", argument="epsg", value=epsg) from error


@lru_cache(maxsize=256)
def _parsed(crs: str) -> Any:
    from pyproj import CRS

    return CRS.from_user_input(crs)


@lru_cache(maxsize=256)
def name(crs: str) -> str:
    """The CRS as an authority string such as ``EPSG:3857`` where it has one, else as WKT."""
    if re.fullmatch(r"[A-Za-z]+:[0-9]+", crs):
        return crs.upper()
    authority = _parsed(crs).to_authority(min_confidence=100)
    return ":".join(authority) if authority else str(_parsed(crs).to_wkt())


@lru_cache(maxsize=1024)
def same(one: str, other: str) -> bool:
    """Whether two names mean one CRS, the order of its axes aside."""
    if one == other or name(one) == name(other):
        return True
    return bool(_parsed(one).equals(_parsed(other), ignore_axis_order=True))


@lru_cache(maxsize=256)
def is_geographic(crs: str) -> bool:
    """Whether coordinates are degrees of longitude and latitude."""
    return bool(_parsed(crs).is_geographic)


@lru_cache(maxsize=256)
def period(crs: str) -> float | None:
    """How far apart the same meridian lies, for a CRS that goes round the world with straight meridians."""
    if crs == WEB_MERCATOR:
        return WORLD
    if not is_geographic(crs):
        return WORLD if same(crs, WEB_MERCATOR) else None
    return float(2 * math.pi / _parsed(crs).axis_info[0].unit_conversion_factor)


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> Any:
    """pyproj's way from one CRS to another, for any thread, which makes infinite what it cannot express; LayerError."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise LayerError(f"there is no way from the CRS {source[:40]} into {target[:40]}: {error}") from error


def transform_extent(source: str, target: str, extent: Extent) -> Extent | None:
    """The envelope of a rectangle in another CRS, None where that has no room for it; x_min > x_max across ±180°."""
    from pyproj.exceptions import ProjError

    try:
        found = Extent(*transformer(source, target).transform_bounds(*extent, densify_pts=21))
    except (ProjError, LayerError):
        return None
    return found if all(map(math.isfinite, found)) else None


def to_wgs84(crs: str, extent: tuple[float, float, float, float], source: str) -> Any:
    """The envelope of a rectangle as a shapely geometry in EPSG:4326; two boxes where it crosses the antimeridian."""
    import shapely

    found = transform_extent(crs, WGS84, Extent(*extent))
    if found is None:
        raise LayerError.of(source, "lies outside the area that its CRS is made for")
    west, south, east, north = found
    if west > east:
        return shapely.union_all([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])
    return shapely.box(west, south, east, north)
