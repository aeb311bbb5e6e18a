"""Partitions on the map: their outlines in degrees, or in their own CRS where they have no place there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ellipsis_local import crs as names
from ellipsis_local.errors import LayerError

STEPS = 8
"""Points per side of an outline: straight in one CRS is bent in another."""


def outlines(extents: Iterable[Mapping[str, float] | None], crs: str | None) -> tuple[list[Any], bool]:
    """Per extent the ring of its outline, [x, y] each, or None where there is none; and whether x, y are degrees."""
    given = [None if extent is None else _ring(extent) for extent in extents]
    if crs is not None:
        moved = [None if ring is None else _degrees(ring, crs) for ring in given]
        if [] not in moved:
            return moved, True
    return given, False


def _ring(extent: Mapping[str, float]) -> list[tuple[float, float]]:
    x = [extent["xMin"], extent["xMax"], extent["xMax"], extent["xMin"], extent["xMin"]]
    y = [extent["yMin"], extent["yMin"], extent["yMax"], extent["yMax"], extent["yMin"]]
    points = [
        (x[side] + (x[side + 1] - x[side]) * step / STEPS, y[side] + (y[side + 1] - y[side]) * step / STEPS)
        for side in range(4)
        for step in range(STEPS)
    ]
    return [*points, points[0]]


def _degrees(ring: list[tuple[float, float]], crs: str) -> list[tuple[float, float]]:
    """Empty where any point has no place on the globe."""
    try:
        longitudes, latitudes = names.transformer(crs, "EPSG:4326").transform(*zip(*ring, strict=True))
    except LayerError:
        return []
    points = [(round(x, 7), round(y, 7)) for x, y in zip(longitudes, latitudes, strict=True)]
    return points if all(math.isfinite(x) and math.isfinite(y) for x, y in points) else []
