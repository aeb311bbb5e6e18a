"""Coordinate reference systems by name: which are the same, and where Web Mercator ends.

Layers that are in EPSG:3857 by that name are recognised without any library; everything heavier is imported where it
is first needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

__all__ = ["LATITUDE_LIMIT", "LONGITUDE_LIMIT", "MERCATOR_LIMIT", "WEB_MERCATOR", "is_geographic", "name", "same"]

WEB_MERCATOR = "EPSG:3857"
LATITUDE_LIMIT = 85.0511287798066
LONGITUDE_LIMIT = 180.0
MERCATOR_LIMIT = 20037508.342789244
"""Half the side of Web Mercator's square, in metres; it is where both limits above lie."""


def _parse(crs: str) -> Any:
    from pyproj import CRS

    return CRS.from_user_input(crs)


@lru_cache(maxsize=256)
def name(crs: str) -> str:
    """The CRS as an authority string such as ``EPSG:3857`` where it has one, else as WKT."""
    if re.fullmatch(r"[A-Za-z]+:[0-9]+", crs):
        return crs.upper()
    parsed = _parse(crs)
    authority = parsed.to_authority(min_confidence=100)
    return ":".join(authority) if authority else str(parsed.to_wkt())


@lru_cache(maxsize=1024)
def same(one: str, other: str) -> bool:
    """Whether two names mean one CRS, the order of its axes aside (coordinates here are always x, y)."""
    if one == other or name(one) == name(other):
        return True
    return bool(_parse(one).equals(_parse(other), ignore_axis_order=True))


@lru_cache(maxsize=256)
def is_geographic(crs: str) -> bool:
    """Whether coordinates are degrees of longitude and latitude."""
    return bool(_parse(crs).is_geographic)


def transform(source: str, target: str, x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    """Points in another CRS; what cannot be transformed is not finite."""
    from rasterio.crs import CRS
    from rasterio.warp import transform as warp

    xs, ys = warp(CRS.from_user_input(source), CRS.from_user_input(target), list(x), list(y))
    return list(zip(xs, ys, strict=True))


def inside_mercator(lon: float, lat: float) -> bool:
    """Whether a place in degrees is in Web Mercator's square; False where it is not finite."""
    return math.isfinite(lon) and abs(lon) <= LONGITUDE_LIMIT and abs(lat) <= LATITUDE_LIMIT
