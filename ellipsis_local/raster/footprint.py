"""Where a raster comes to lie in another CRS: its extent, the grid that it is warped onto, what the CRS cannot hold.

Web Mercator goes round the world at ±180° and ends at ±85.0511°. A raster over the antimeridian keeps together: its
grid goes on beyond 180°, unless it is more than half the world wide; then it lies on both sides. What the CRS cannot
hold is counted.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ellipsis_local import crs as names
from ellipsis_local.errors import LayerError, PartitionError
from ellipsis_local.raster.grid import Grid, TargetGrid, apply, axes_of, corners_extent, inverse
from ellipsis_local.types import Extent, RasterFile

Floats = NDArray[np.float64]

BLOCK = 512
"""The blocks of a warped grid, which has none of its own: cuts are put at their edges where that costs little."""
EDGE, INNER, DENSE = 64, 64, 512
"""Steps along each edge, across the inside, and across the inside of what has holes, at which a raster is sampled."""
SLIVER = 0.01
"""A part of a pixel that needs no pixel of its own."""
GAP = 10.0
"""Degrees of longitude without a sample: less is no gap."""
SLACK = 1e-9


class Footprint(NamedTuple):
    """A raster in another CRS."""

    x: Floats
    """Coordinates of samples, as far as the CRS can hold them; beyond ±180° where the raster goes on there."""
    y: Floats
    extent: Extent
    lost: tuple[str, ...]
    """What of it the CRS cannot hold, in words."""
    whole: bool
    """Whether it is neither lost in part nor over the antimeridian."""


@lru_cache(maxsize=256)
def footprint(file: RasterFile, crs: str) -> Footprint:
    """A raster in a CRS; PartitionError where nothing of it lies in that."""
    if names.same(file.crs, crs):
        x, y = apply(file.transform, *samples(file, INNER))
        return Footprint(x, y, corners_extent(file.transform, file.width, file.height), (), whole=True)
    if not names.same(crs, names.WEB_MERCATOR):
        x, y = transformed(file, crs, *samples(file, INNER))
        known = np.isfinite(x) & np.isfinite(y)
        x, y = x[known], y[known]
        if not x.size:
            raise PartitionError(f"{file.location} lies outside {crs[:40]} altogether; crs='native' keeps its own CRS")
        extent = Extent(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
        return Footprint(x, y, extent, (), whole=False)
    return _in_mercator(file)


def samples(file: RasterFile, steps: int) -> tuple[Floats, Floats]:
    """Columns and rows on the edges and across the inside of a raster."""
    along = np.arange(EDGE + 1) / EDGE
    ends = np.repeat((0.0, 1.0), EDGE + 1)
    both = np.tile(along, 2)
    inner_x, inner_y = (one.ravel() for one in np.meshgrid(*[(np.arange(steps) + 0.5) / steps] * 2))
    x, y = np.concatenate([both, ends, inner_x]), np.concatenate([ends, both, inner_y])
    return x * file.width, y * file.height


def transformed(file: RasterFile, crs: str, columns: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Places of a raster in another CRS; infinite where that has none."""
    x, y = apply(file.transform, columns, rows)
    found = names.transformer(file.crs, crs).transform(x, y)
    return np.asarray(found[0]), np.asarray(found[1])


def limb(file: RasterFile) -> tuple[Floats, Floats]:
    """Columns and rows inside a raster whose corners lie beyond the earth: many, and those at the very edge of it."""
    columns, rows = np.meshgrid(*((np.arange(DENSE) + 0.5) * size / DENSE for size in (file.width, file.height)))
    known = np.isfinite(transformed(file, names.WGS84, columns.ravel(), rows.ravel())[0]).reshape(columns.shape)
    found = [(columns[known], rows[known])]
    for axis in (0, 1):
        change = np.diff(known.astype(np.int8), axis=axis)
        for entering, step in ((1, 0), (-1, 1)):
            at = np.nonzero(change == entering)
            before, after = at, tuple(index + (axis == number) for number, index in enumerate(at))
            good, bad = (after, before) if step == 0 else (before, after)
            found.append(_nearest_known(file, (columns[good], rows[good]), (columns[bad], rows[bad])))
    return np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])


def _nearest_known(file: RasterFile, good: tuple[Floats, Floats], bad: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Between places that have coordinates and others that have none: the last that have some, to a pixel."""
    inside, outside = np.array(good), np.array(bad)
    for _ in range(max(4, math.ceil(math.log2(max(file.width, file.height) / DENSE + 1)) + 4)):
        middle = (inside + outside) / 2
        known = np.isfinite(transformed(file, names.WGS84, middle[0], middle[1])[0])
        inside, outside = np.where(known, middle, inside), np.where(known, outside, middle)
    return inside[0], inside[1]


def _in_mercator(file: RasterFile) -> Footprint:
    columns, rows = samples(file, INNER)
    lon, lat = transformed(file, names.WGS84, columns, rows)
    known = np.isfinite(lon) & np.isfinite(lat)
    inner = slice(4 * (EDGE + 1), None)
    if not known.all():
        more = limb(file)
        columns, rows = np.concatenate([columns, more[0]]), np.concatenate([rows, more[1]])
        lon, lat = transformed(file, names.WGS84, columns, rows)
        known = np.isfinite(lon) & np.isfinite(lat)
    kept = known & (np.abs(lat) <= names.LATITUDE_LIMIT)
    if not kept.any():
        raise outside_mercator(file)
    west, width = longitudes(file, lon[known])
    scale = names.MERCATOR_LIMIT / 180.0
    with np.errstate(invalid="ignore"):
        # Noise must not take the western edge to the eastern end.
        x = (west + (lon - west + 1e-7) % 360.0 - 1e-7) * scale
    y = np.full(x.shape, np.nan)
    y[kept] = names.transformer(names.WGS84, names.WEB_MERCATOR).transform(lon[kept], lat[kept])[1]
    dx, dy = bulge(x), bulge(y)
    poles = [
        bool((side * lat[known] > names.LATITUDE_LIMIT).any()) or holds_pole(file, side * 90.0) for side in (-1, 1)
    ]
    extent = Extent(
        max(west * scale - dx, -names.MERCATOR_LIMIT) if west >= -180.0 else west * scale,
        -names.MERCATOR_LIMIT if poles[0] else float(y[kept].min()) - dy,
        (west + width) * scale + dx,
        names.MERCATOR_LIMIT if poles[1] else float(y[kept].max()) + dy,
    )
    rows_kept = rows_in_mercator(file)
    if rows_kept is not None:
        # The grid is made of whole rows of the file.
        south, north = names.transformer(names.WGS84, names.WEB_MERCATOR).transform([0.0, 0.0], rows_kept.latitudes)[1]
        extent = Extent(west * scale, south, (west + width) * scale, north)
    if width >= 360.0 - SLACK:
        extent = extent._replace(x_min=-names.MERCATOR_LIMIT, x_max=names.MERCATOR_LIMIT)
    lost = lost_pixels(file, rows_kept, kept[inner][: INNER * INNER])
    whole = not lost and not any(poles) and west + width <= 180.0 + SLACK and width < 360.0 - SLACK
    return Footprint(x[kept], y[kept], extent, lost, whole)


def bulge(values: Floats) -> float:
    """By how much the edges of a raster stick out between their samples, at most, along one axis."""
    edges = values[: 4 * (EDGE + 1)].reshape(4, -1)
    with np.errstate(invalid="ignore"):
        bends = np.abs(np.diff(edges, 2, axis=1)) / 8
    bends = bends[np.isfinite(bends)]
    # More than a jump from one side of the world to the other is no bulge.
    return float(bends[bends < names.MERCATOR_LIMIT / 16].max(initial=0.0))


def longitudes(file: RasterFile, lon: Floats) -> tuple[float, float]:
    """Where a raster begins in the west, and how many degrees it is wide: all the world from -180 where it is wide."""
    around = names.period(file.crs)
    if around is not None and names.is_geographic(file.crs):
        # Its own longitudes say it: those of PROJ come back on the other side.
        own = corners_extent(file.transform, file.width, file.height)
        degrees = 360.0 / around
        middle = float(names.transformer(file.crs, names.WGS84).transform(own.x_min, (own.y_min + own.y_max) / 2)[0])
        west, width = middle if math.isfinite(middle) else own.x_min * degrees, own.width * degrees
        if abs((own.x_min * degrees - west + 180.0) % 360.0 - 180.0) < 1e-6:
            west = own.x_min * degrees
    else:
        ordered = np.unique(lon % 360.0)
        gaps = np.diff(ordered, append=ordered[0] + 360.0)
        largest = int(gaps.argmax())
        if gaps[largest] < GAP:
            return -180.0, 360.0
        west, width = float(ordered[(largest + 1) % len(ordered)]), 360.0 - float(gaps[largest])
    west -= 360.0 * math.floor((west + 180.0 + 1e-7) / 360.0)
    if width >= 360.0 - 1e-7 or (west + width > 180.0 + 1e-7 and width > 180.0):
        return -180.0, 360.0
    return west, width


def holds_pole(file: RasterFile, latitude: float) -> bool:
    """Whether a pole lies inside of a raster."""
    x, y = names.transformer(names.WGS84, file.crs).transform(0.0, latitude)
    if not (math.isfinite(x) and math.isfinite(y)) or names.is_geographic(file.crs):
        return False
    column, row = apply(inverse(file.transform), x, y)
    back = names.transformer(file.crs, names.WGS84).transform(x, y)[1]
    # Some projections put a pole somewhere that is no pole on the way back.
    return bool(0 <= column <= file.width and 0 <= row <= file.height and abs(back - latitude) < 1e-6)


class Rows(NamedTuple):
    """The rows of a raster of degrees whose centres are in Web Mercator."""

    number: int
    latitudes: tuple[float, float]
    """Of their edges, south and north, in degrees."""


def rows_in_mercator(file: RasterFile) -> Rows | None:
    """The rows of a raster that runs along longitudes and latitudes; None for any other."""
    axes = axes_of(file.transform, file.width, file.height)
    if axes is None or axes[2] or not names.is_geographic(file.crs):
        return None
    degrees = 360.0 / (names.period(file.crs) or 360.0)
    top, step = file.transform[5] * degrees, axes[1] * degrees
    kept = np.flatnonzero(np.abs(top + step * (np.arange(file.height) + 0.5)) <= names.LATITUDE_LIMIT)
    if not kept.size:
        raise outside_mercator(file)
    low, high = sorted(top + step * place for place in (int(kept[0]), int(kept[-1]) + 1))
    return Rows(len(kept), (max(low, -names.LATITUDE_LIMIT), min(high, names.LATITUDE_LIMIT)))


def outside_mercator(file: RasterFile) -> PartitionError:
    return PartitionError(f"{file.location} lies outside Web Mercator altogether; crs='native' keeps its own CRS")


def lost_pixels(file: RasterFile, rows: Rows | None, kept: NDArray[np.bool_]) -> tuple[str, ...]:
    """What of a raster lies beyond Web Mercator, in words; by samples where its rows are no latitudes."""
    if rows is not None:
        lost = file.height - rows.number
        text = f"{lost} rows, {lost * file.width} pixels"
    else:
        lost = 0 if kept.all() else max(round(file.width * file.height * float((~kept).mean())), 1)
        text = f"about {lost} pixels"
    where = "beyond ±85.0511°, where Web Mercator ends, or beyond the earth, and are left out (crs='native' keeps them)"
    return (f"{text} lie {where}",) if lost else ()


@lru_cache(maxsize=256)
def warped_grid(file: RasterFile, crs: str) -> Grid:
    """The north-up grid in a CRS for a raster that cannot keep its own.

    What GDAL suggests, as far as GDAL can: for rasters that are turned, lie over the antimeridian or are lost in part,
    square pixels of the median size of the raster's own, over its footprint.
    """
    found = footprint(file, crs)
    axes = axes_of(file.transform, file.width, file.height)
    rows = rows_in_mercator(file) if names.same(crs, names.WEB_MERCATOR) else None
    if axes is not None and rows is not None:
        return _from_degrees(file, found, rows, abs(axes[0]))
    if axes is not None and found.whole:
        across, down = (file.height, file.width) if axes[2] else (file.width, file.height)
        own = corners_extent(file.transform, file.width, file.height)
        suggested = _suggested(file.crs, crs, across, down, own)
        if suggested is not None:
            return _holding(suggested, found.extent)
    step = _median_size(file, crs)
    extent = found.extent
    width = max(math.ceil(extent.width / step - 1e-6), 1)
    height = max(math.ceil(extent.height / step - 1e-6), 1)
    return Grid(extent.x_min, extent.y_max, step, step, width, height, (BLOCK, BLOCK))


def _suggested(crs: str, target: str, width: int, height: int, bounds: Extent) -> Grid | None:
    """What GDAL suggests for a window of a north-up raster; None where it has no answer."""
    from rasterio.crs import CRS
    from rasterio.errors import RasterioError
    from rasterio.warp import calculate_default_transform

    try:
        affine, columns, rows = calculate_default_transform(
            CRS.from_user_input(crs), CRS.from_user_input(target), width, height, *bounds
        )
    except RasterioError:
        return None
    return Grid(affine.c, affine.f, affine.a, -affine.e, columns, rows, (BLOCK, BLOCK))


def _holding(grid: Grid, extent: Extent) -> Grid:
    """A grid with the rows and columns more that GDAL leaves out of an extent whose edges bend."""
    left = max(0, math.ceil((grid.left - extent.x_min) / grid.dx - SLIVER))
    top = max(0, math.ceil((extent.y_max - grid.top) / grid.dy - SLIVER))
    right = max(0, math.ceil((extent.x_max - grid.extent.x_max) / grid.dx - SLIVER))
    bottom = max(0, math.ceil((grid.extent.y_min - extent.y_min) / grid.dy - SLIVER))
    return replace(
        grid,
        left=grid.left - left * grid.dx, top=grid.top + top * grid.dy,
        width=grid.width + left + right, height=grid.height + top + bottom,
    )  # fmt: skip


def _from_degrees(file: RasterFile, found: Footprint, rows: Rows, step: float) -> Grid:
    """Of whole rows of a raster of degrees; `step` is the width of its pixels in its own units."""
    degrees = 360.0 / (names.period(file.crs) or 360.0)
    scale = 180.0 / names.MERCATOR_LIMIT
    west, width = found.extent.x_min * scale, found.extent.width * scale
    # Moved to the west of the world, where GDAL sees no antimeridian.
    by = west + 180.0 if west + width > 180.0 + SLACK else 0.0
    bounds = Extent(max(west - by, -180.0), rows.latitudes[0], min(west - by + width, 180.0), rows.latitudes[1])
    grid = _suggested(names.WGS84, names.WEB_MERCATOR, max(1, round(width / (step * degrees))), rows.number, bounds)
    if grid is None:
        raise PartitionError(f"{file.location} cannot be brought into Web Mercator")
    return replace(grid, left=grid.left + by / scale)


def _median_size(file: RasterFile, crs: str) -> float:
    """The side of a square as large as the median pixel of a raster in a CRS."""
    columns, rows = (one[4 * (EDGE + 1) :] for one in samples(file, 16))
    places = [
        apply(file.transform, columns + dx, rows + dy)
        if names.same(file.crs, crs)
        else transformed(file, crs, columns + dx, rows + dy)
        for dx, dy in ((0, 0), (1, 0), (0, 1))
    ]
    (x, y), east, south = places
    with np.errstate(invalid="ignore"):
        areas = np.abs((east[0] - x) * (south[1] - y) - (east[1] - y) * (south[0] - x))
    areas = areas[np.isfinite(areas) & (areas > 0)]
    if not areas.size:
        raise PartitionError(f"{file.location} cannot be brought into {crs[:40]}")
    return math.sqrt(float(np.median(areas)))


def cover(file: RasterFile, grid: TargetGrid) -> tuple[tuple[int, int, int, int], tuple[str, ...]]:
    """The rows and columns of a grid that a file lies on, beyond its edges, too; and what of it lies nowhere.

    First row, last row + 1, first column, last column + 1; a sliver of a pixel needs no pixel.
    """
    try:
        found = footprint(file, grid.crs)
    except LayerError as error:
        raise PartitionError(f"{file.location} cannot be brought into {grid.crs[:40]}: {error}") from error
    x, y = found.x, found.y
    around = names.period(grid.crs)
    if around is not None:
        # To the side of the world where the grid lies.
        middle = apply(grid.transform, grid.width / 2, grid.height / 2)[0]
        x = x + around * round((middle - float((x.min() + x.max()) / 2)) / around)
    corners_x = np.array([found.extent.x_min, found.extent.x_max]) + (x[0] - found.x[0])
    if grid.transform[1] == grid.transform[3] == 0:
        # Where the grid runs along the axes, the extent is all there is to hold.
        x = np.concatenate([x, corners_x])
        y = np.concatenate([y, [found.extent.y_min, found.extent.y_max]])
    columns, rows = apply(inverse(grid.transform), x, y)
    rectangle = (
        math.floor(float(rows.min()) + SLIVER), math.ceil(float(rows.max()) - SLIVER),
        math.floor(float(columns.min()) + SLIVER), math.ceil(float(columns.max()) - SLIVER),
    )  # fmt: skip
    top, bottom, left, right = rectangle
    return (top, max(top, bottom), left, max(left, right)), found.lost
