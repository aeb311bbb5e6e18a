"""Where a raster in another CRS, or a rotated one, comes to lie: grid, footprint, and what Web Mercator cannot hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from statistics import median

from ellipsis_local import crs as names
from ellipsis_local.errors import PartitionError
from ellipsis_local.partitions.grid import Grid
from ellipsis_local.types import Extent, RasterFile

__all__ = ["BLOCK", "footprint", "target_grid"]

BLOCK = 512
"""Side of the blocks, aligned to the target grid, in which warped pixels are always computed."""
EDGE, INNER = 64, 16
"""Steps along each edge, and across the inside, at which a footprint is sampled."""


@lru_cache(maxsize=256)
def target_grid(file: RasterFile, target: str) -> tuple[Grid, tuple[str, ...]]:
    """The north-up grid in CRS `target` for a raster that cannot keep its own, and what it leaves out.

    Raises
    ------
    PartitionError
        Where no pixel lies inside the target CRS.
    """
    mercator = names.same(target, names.WEB_MERCATOR) and not names.same(file.crs, target)
    rotated = file.transform[1] != 0 or file.transform[3] != 0
    if mercator and names.is_geographic(file.crs) and not rotated:
        return _from_degrees(file, target)
    lost = _lost(file) if mercator else 0
    if rotated or lost:
        return _sampled_grid(file, target), _note(lost, "about ")
    a, _, c, _, e, f = file.transform
    bounds = _sorted(c, f, c + a * file.width, f + e * file.height)
    return _suggested_grid(file.crs, target, file.width, file.height, bounds), ()


def _sorted(x: float, y: float, other_x: float, other_y: float) -> Extent:
    return Extent(min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y))


def _suggested_grid(crs: str, target: str, width: int, height: int, bounds: Extent) -> Grid:
    """What GDAL suggests for a window of a north-up source."""
    from rasterio.crs import CRS
    from rasterio.warp import calculate_default_transform

    affine, columns, rows = calculate_default_transform(
        CRS.from_user_input(crs), CRS.from_user_input(target), width, height, *bounds
    )
    return Grid(affine.c, affine.f, affine.a, -affine.e, columns, rows, (BLOCK, BLOCK))


def _from_degrees(file: RasterFile, target: str) -> tuple[Grid, tuple[str, ...]]:
    """Whole rows and columns whose centres are in Web Mercator; the others are counted."""
    a, _, c, _, e, f = file.transform
    col, col_end = _inside(c, a, file.width, names.LONGITUDE_LIMIT)
    row, row_end = _inside(f, e, file.height, names.LATITUDE_LIMIT)
    width, height = col_end - col, row_end - row
    if width <= 0 or height <= 0:
        raise PartitionError(f"{file.location} lies outside Web Mercator altogether; crs='native' keeps its own CRS")
    bounds = _sorted(c + a * col, f + e * row, c + a * col_end, f + e * row_end)
    bounds = Extent(
        max(bounds.x_min, -names.LONGITUDE_LIMIT),
        max(bounds.y_min, -names.LATITUDE_LIMIT),
        min(bounds.x_max, names.LONGITUDE_LIMIT),
        min(bounds.y_max, names.LATITUDE_LIMIT),
    )
    lost = file.width * file.height - width * height
    what = [f"{n} {word}" for n, word in ((file.height - height, "rows"), (file.width - width, "columns")) if n]
    return _suggested_grid(file.crs, target, width, height, bounds), _note(lost, " and ".join(what) + ", ")


def _inside(origin: float, step: float, count: int, limit: float) -> tuple[int, int]:
    """First and last + 1 of the pixels along an axis whose centre is within ±limit."""
    one, other = sorted(((-limit - origin) / step - 0.5, (limit - origin) / step - 0.5))
    return min(max(math.ceil(one), 0), count), max(min(math.floor(other) + 1, count), 0)


def _note(lost: int, before: str) -> tuple[str, ...]:
    if not lost:
        return ()
    where = "beyond ±85.0511° or ±180°, where Web Mercator ends, and are left out (crs='native' keeps them)"
    return (f"{before}{lost} pixels lie {where}",)


def _positions(file: RasterFile) -> Iterator[tuple[float, float]]:
    """Columns and rows on the edges and across the inside of a raster."""
    for i in range(EDGE + 1):
        x, y = file.width * i / EDGE, file.height * i / EDGE
        yield from ((x, 0.0), (x, float(file.height)), (0.0, y), (float(file.width), y))
    for i in range(1, INNER):
        for j in range(1, INNER):
            yield file.width * i / INNER, file.height * j / INNER


def _at(file: RasterFile, positions: list[tuple[float, float]], target: str) -> list[tuple[float, float]]:
    a, b, c, d, e, f = file.transform
    xs = [a * col + b * row + c for col, row in positions]
    ys = [d * col + e * row + f for col, row in positions]
    return (
        list(zip(xs, ys, strict=True))
        if names.same(file.crs, target)
        else list(zip(*names.transformer(file.crs, target).transform(xs, ys), strict=True))
    )


def inside_mercator(lon: float, lat: float) -> bool:
    """Whether a place in degrees is in Web Mercator's square; False where it is not finite."""
    return math.isfinite(lon) and abs(lon) <= names.LONGITUDE_LIMIT and abs(lat) <= names.LATITUDE_LIMIT


def _kept(file: RasterFile, positions: list[tuple[float, float]], target: str) -> list[bool]:
    """Which positions can be shown in the target CRS."""
    if names.same(target, names.WEB_MERCATOR) and not names.same(file.crs, target):
        return [inside_mercator(*place) for place in _at(file, positions, "EPSG:4326")]
    return [math.isfinite(x) and math.isfinite(y) for x, y in _at(file, positions, target)]


def _lost(file: RasterFile) -> int:
    """About how many pixels are beyond Web Mercator, from a sample of their places."""
    positions = list(_positions(file))
    kept = _kept(file, positions, names.WEB_MERCATOR)
    if all(kept):
        return 0
    inner = kept[4 * (EDGE + 1) :]
    return max(round(file.width * file.height * (1 - sum(inner) / len(inner))), 1)


def footprint(file: RasterFile, target: str) -> Extent:
    """The extent of a raster in another CRS, as far as it can be shown there.

    Raises
    ------
    PartitionError
        Where no place of it can.
    """
    positions = list(_positions(file))
    kept = _kept(file, positions, target)
    places = [place for place, keep in zip(_at(file, positions, target), kept, strict=True) if keep]
    if not places:
        raise PartitionError(f"{file.location} lies outside {target} altogether; crs='native' keeps its own CRS")
    extent = Extent(
        min(x for x, _ in places), min(y for _, y in places), max(x for x, _ in places), max(y for _, y in places)
    )
    if not all(kept) and names.same(target, names.WEB_MERCATOR):
        return _to_the_edge(file, extent)
    return extent


def _to_the_edge(file: RasterFile, extent: Extent) -> Extent:
    """Between the last sample inside and the first outside lies the edge of Web Mercator: take all of it."""
    limit = names.MERCATOR_LIMIT
    degrees = _at(file, list(_positions(file)), "EPSG:4326")
    north = any(lat > names.LATITUDE_LIMIT for _, lat in degrees)
    south = any(lat < -names.LATITUDE_LIMIT for _, lat in degrees)
    return extent._replace(y_max=limit if north else extent.y_max, y_min=-limit if south else extent.y_min)


def _sampled_grid(file: RasterFile, target: str) -> Grid:
    """Square pixels of the median size of the source's, over the footprint."""
    extent = footprint(file, target)
    inner = [(file.width * i / INNER, file.height * j / INNER) for i in range(1, INNER) for j in range(1, INNER)]
    inner = [place for place, keep in zip(inner, _kept(file, inner, target), strict=True) if keep]
    here = _at(file, inner, target)
    east = _at(file, [(col + 1, row) for col, row in inner], target)
    south = _at(file, [(col, row + 1) for col, row in inner], target)
    areas = [
        abs((e[0] - o[0]) * (s[1] - o[1]) - (e[1] - o[1]) * (s[0] - o[0]))
        for o, e, s in zip(here, east, south, strict=True)
    ]
    areas = [area for area in areas if math.isfinite(area) and area > 0]
    if not areas:
        raise PartitionError(f"{file.location} cannot be brought into {target}")
    step = math.sqrt(median(areas))
    width = max(math.ceil(extent.width / step - 1e-6), 1)
    height = max(math.ceil(extent.height / step - 1e-6), 1)
    return Grid(extent.x_min, extent.y_max, step, step, width, height, (BLOCK, BLOCK))
