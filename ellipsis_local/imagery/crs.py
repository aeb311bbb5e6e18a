"""From one CRS to another, and which of them go round the world."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final

__all__ = ["WORLD", "period", "transformer"]

WORLD: Final = 2 * math.pi * 6378137.0
"""Width of Web Mercator in metres."""


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> Any:
    """From one CRS to another, easting or longitude first. Safe to use from several threads (pyproj's promise)."""
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=256)
def period(crs: str) -> float | None:
    """How far apart the same meridian lies, for a CRS that goes round the world with straight meridians."""
    import pyproj

    if crs == "EPSG:3857":
        return WORLD
    known = pyproj.CRS.from_user_input(crs)
    if not known.is_geographic:
        return None
    return float(2 * math.pi / known.axis_info[0].unit_conversion_factor)
