"""A geometry of longitudes and latitudes in the columns and rows of a layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ellipsis_local.crs import period, transformer
from ellipsis_local.errors import LayerError
from ellipsis_local.gdal_errors import reading
from ellipsis_local.raster.grid import TargetGrid, apply, inverse
from ellipsis_local.raster.placement import native_grid
from ellipsis_local.raster.write import burned
from ellipsis_local.store import footprint
from ellipsis_local.types import Timestamp

WINDOW = 512
CHORD = 0.1
"""Degrees between corners where a pixel is one degree wide; less in proportion to the root of that."""
MOST_CHORDS = 200_000
# shapely's numbers of types: above are the containers.
MULTI = 3

Shapes = NDArray[np.object_]
"""One dimension of shapely geometries."""


@dataclass(frozen=True)
class Inside:
    grid: TargetGrid
    polygons: Shapes
    others: Shapes
    """Points and lines: the pixels that they touch."""

    def coarser(self, step: int) -> Inside:
        """On every `step`-th row and column."""
        a, b, c, d, e, f = self.grid.transform
        transform = (a * step, b * step, c, d * step, e * step, f)
        grid = TargetGrid(self.grid.crs, transform, -(-self.grid.width // step), -(-self.grid.height // step))
        polygons, others = (shapely.transform(one, lambda xy: xy / step) for one in (self.polygons, self.others))
        return Inside(grid, polygons, others)

    def windows(self) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        """Column, row and mask (height, width) of the parts of the grid that hold all of the geometry."""
        shapes = np.concatenate([self.polygons, self.others])
        if not shapes.size:
            return
        boxes = shapely.bounds(shapes)
        left, top = (max(0, math.floor(one)) for one in boxes[:, :2].min(axis=0))
        right, bottom = (
            min(size, math.floor(one) + 1)
            for one, size in zip(boxes[:, 2:].max(axis=0), (self.grid.width, self.grid.height), strict=True)
        )
        for row in range(top, bottom, WINDOW):
            for column in range(left, right, WINDOW):
                found = self.part(column, row, min(column + WINDOW, right), min(row + WINDOW, bottom))
                if found is not None:
                    yield found

    def part(self, left: int, top: int, right: int, bottom: int) -> tuple[int, int, NDArray[np.bool_]] | None:
        """What of a window is inside, cut to the rows and columns that hold it."""
        mask = np.zeros((bottom - top, right - left), dtype=np.uint8)
        for shapes, touched in ((self.polygons, False), (self.others, True)):
            # Cut first: every corner of a shape becomes Python objects.
            cut = shapely.clip_by_rect(shapes, left - 2, top - 2, right + 2, bottom + 2)
            cut = cut[~shapely.is_empty(cut)]
            if cut.size:
                mask |= burned(cut, mask.shape, (left, top), touched=touched)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return None
        held = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(bool)
        return left + int(columns[0]), top + int(rows[0]), held


def on_grid(timestamp: Timestamp, shape: Any) -> Inside:
    """A geometry of EPSG:4326 in the columns and rows of the timestamp's mosaic."""
    grid = native_grid(timestamp.rasters).grid
    parts = split(shape)
    with reading("the geometry", f"cannot be brought into the CRS of timestamp {timestamp.id}"):
        ground = shapely.intersection(
            shapely.union_all(on_one_world(split(footprint(timestamp)), room=0.05)), reachable(grid.crs)
        )
        # By dimension: where a polygon only touches another, it leaves a line that is not meant.
        polygons, lines, points = (placed(kept_of(parts, d), ground, grid) for d in (2, 1, 0))
        # The same ground may be there twice, and would count twice.
        merged = kept_of(split(shapely.union_all(polygons)), 2)
    return Inside(grid, merged, np.concatenate([lines, points]))


def placed(parts: Shapes, ground: Any, grid: TargetGrid) -> Shapes:
    """Shapes of one dimension from degrees to columns and rows, cut to what the grid has."""
    if not parts.size:
        return parts
    dimension = int(shapely.get_dimensions(parts[0]))
    near = kept_of(split(shapely.intersection(on_one_world(parts), ground)), dimension)
    change, to_grid, around = transformer("EPSG:4326", grid.crs), inverse(grid.transform), period(grid.crs)
    there = shapely.transform(bendable(near, grid), lambda xy: np.column_stack(change.transform(*xy.T)))
    if not np.isfinite(shapely.get_coordinates(there)).all():
        raise LayerError("the geometry reaches beyond where the CRS of the layer has coordinates; cut it off before")
    sides = (0.0,) if around is None else (-around, 0.0, around)
    shapes = np.concatenate([moved(there, by) for by in sides])
    shapes = shapely.transform(shapes, lambda xy: np.column_stack(apply(to_grid, *xy.T)))
    frame = shapely.box(0, 0, grid.width, grid.height)
    return kept_of(split(shapely.intersection(valid_ones(shapes), frame)), dimension)


def reachable(crs: str) -> Any:
    """The world without the poles that have no coordinates in a CRS (Web Mercator)."""
    change = transformer("EPSG:4326", crs)
    south, north = (
        latitude if all(map(math.isfinite, change.transform(0, latitude))) else latitude * 0.9999
        for latitude in (-90, 90)
    )
    return shapely.box(-180, south, 180, north)


def on_one_world(parts: Shapes, room: float = 0.0) -> Shapes:
    """Shapes of longitudes and latitudes, all of them moved to -180 to 180.

    `room` is added around each, as a part of its size, and a kilometre: what lies elsewhere may have no coordinates in
    the layer's CRS, but the bounds of a layer are not exact.
    """
    parts = valid_ones(parts)
    if room:
        west, south, east, north = shapely.bounds(parts).T
        parts = shapely.buffer(parts, 0.01 + room * np.maximum(east - west, north - south), join_style="mitre")
    dimension = int(shapely.get_dimensions(parts).max(initial=0))
    world = shapely.box(-180, -90, 180, 90)
    copies = [shapely.intersection(moved(parts, by), world) for by in (-360, 0, 360)]
    return kept_of(split(np.concatenate(copies)), dimension)


def moved(shapes: Shapes, by: float) -> Shapes:
    apart: Shapes = shapes if by == 0 else shapely.transform(shapes, lambda xy: xy + np.array([by, 0.0]))
    return apart


def bendable(shapes: Shapes, grid: TargetGrid) -> Shapes:
    """The same shapes with more corners, so that lines, straight in degrees, can follow those of the grid's CRS.

    How far a line of d degrees bends away is about d² / 460 degrees: less than a thousandth of a pixel here.
    """
    if grid.crs == "EPSG:4326" or not shapes.size:
        return shapes
    middle = [(grid.width / 2 + dx, grid.height / 2 + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))]
    back = transformer(grid.crs, "EPSG:4326")
    here, east, south = (back.transform(*apply(grid.transform, *place)) for place in middle)
    pixel = min(math.dist(here, east), math.dist(here, south))
    chord = CHORD * math.sqrt(pixel) if math.isfinite(pixel) else 0.0
    bent: Shapes = shapely.segmentize(shapes, max(chord, float(shapely.length(shapes).sum()) / MOST_CHORDS, 1e-9))
    return bent


def valid_ones(shapes: Shapes) -> Shapes:
    """The same, invalid ones mended; a mended polygon may be several parts, and lines beside them."""
    wrong = ~shapely.is_valid(shapes)
    if wrong.any():
        shapes = shapes.copy()
        shapes[wrong] = shapely.make_valid(shapes[wrong])
    return shapes


def split(shapes: Any) -> Shapes:
    """Polygons, lines and points without a container around them, and without empty ones."""
    parts: Shapes = shapely.get_parts(shapes)
    while (shapely.get_type_id(parts) > MULTI).any():
        parts = shapely.get_parts(parts)
    there: Shapes = parts[~shapely.is_empty(parts)]
    return there


def kept_of(shapes: Shapes, dimension: int) -> Shapes:
    found: Shapes = shapes[shapely.get_dimensions(shapes) == dimension]
    return found
