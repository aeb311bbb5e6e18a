"""Where the pixel centres of a grid lie in the rows and columns of a raster file.

Exact: a pixel of the grid gets the pixel of the file that its centre lies in. PROJ takes 10 ms for the 65,536 centres
of a tile, more than all the rest of it, so columns and rows are computed at every eighth centre and interpolated
between. The error of that is measured, and centres that come closer to an edge between two pixels than the error are
computed one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.crs import period, transformer
from ellipsis_local.raster.mosaic import Grid, extent_of
from ellipsis_local.types import Extent, RasterFile

__all__ = ["Found", "Places", "at_points", "shifts"]

Floats = NDArray[np.float64]

SPACING = 8
SMALL = 1024
"""Grids of no more pixels are computed one by one."""
WORST = 0.125
"""An error of interpolation, in pixels of the file, above which all are computed one by one."""
EDGE = 1e-6
"""A centre that lies on an edge, but for float noise, belongs to the pixel right of it, or below."""


def shifts(file: RasterFile) -> tuple[float, ...]:
    """By how much a file is moved along x to lie where PROJ puts its pixels; more than one over the antimeridian.

    PROJ gives longitudes of -180 to 180; a file may go from 170 to 190, or from 0 to 360. The place that the file names
    itself comes first.
    """
    round_the_world = period(file.crs)
    if round_the_world is None:
        return (0.0,)
    west, _, east, _ = extent_of(file)
    half, slack = round_the_world / 2, round_the_world * 1e-9
    moved = (0.0, -round_the_world, round_the_world)
    return tuple(by for by in moved if east + by > -half + slack and west + by < half - slack) or (0.0,)


@dataclass(frozen=True)
class Found:
    """The pixels of a file under the centres of a grid."""

    rows: NDArray[np.intp]
    """(height, width) of the grid; any number where not `inside`, as `columns`."""
    columns: NDArray[np.intp]
    inside: NDArray[np.bool_]
    factor: float
    """How many pixels of the file one of the grid is wide (or high, where that is less)."""

    def part(self, rows: slice, columns: slice) -> Found:
        where = (rows, columns)
        return Found(self.rows[where], self.columns[where], self.inside[where], self.factor)


@dataclass(frozen=True)
class Nodes:
    """Coordinates, in some CRS, of centres of the grid: all, or every eighth in both directions."""

    x: Floats
    y: Floats
    box: Extent | None
    """What they span, with some room; None where PROJ has no answer for some."""


class Places:
    """The pixel centres of one grid, looked for in one file after the other."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.shape = (grid.height, grid.width)
        few = grid.width * grid.height <= SMALL
        self._across = np.arange(grid.width) + 0.5 if few else nodes_along(grid.width)
        self._down = np.arange(grid.height) + 0.5 if few else nodes_along(grid.height)
        self._few = few
        self._known: dict[str, Nodes] = {}
        self._all: dict[str, tuple[Floats, Floats]] = {}

    def find(self, file: RasterFile, shift: float = 0.0) -> Found | None:
        """Where the grid lies in `file`, moved by `shift` along x; None where certainly nowhere."""
        nodes = self._nodes(file.crs)
        if nodes.box is not None:
            west, south, east, north = extent_of(file)
            if not nodes.box.intersects(Extent(west + shift, south, east + shift, north)):
                return None
        columns, rows = pixels(file, nodes.x - shift, nodes.y)
        factor = self._factor(columns, rows)
        if not self._few:
            error = max(bend(columns), bend(rows)) if nodes.box is not None else np.inf
            if error <= WORST:
                columns, rows = self._between(columns), self._between(rows)
                self._correct(file, shift, columns, rows, 2 * error + 2 * EDGE)
            else:
                x, y = self._every(file.crs)
                columns, rows = pixels(file, x - shift, y)
        return found(file, columns, rows, factor)

    def _coordinates(self, crs: str, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Columns and rows of the grid in a CRS; infinite where PROJ has no answer."""
        a, b, c, d, e, f = tuple(self.grid.transform)[:6]
        x, y = a * u + b * v + c, d * u + e * v + f
        if crs != self.grid.crs:
            x, y = transformer(self.grid.crs, crs).transform(x, y)
        return np.asarray(x), np.asarray(y)

    def _nodes(self, crs: str) -> Nodes:
        if crs not in self._known:
            x, y = self._coordinates(crs, *np.meshgrid(self._across, self._down))
            box = None
            if np.isfinite(x).all() and np.isfinite(y).all():
                box = Extent(float(np.min(x)), float(np.min(y)), float(np.max(x)), float(np.max(y)))
                # What lies between the nodes may stick out a little.
                box = box.buffer(0.1 * max(box.width, box.height) + 1e-9)
            self._known[crs] = Nodes(x, y, box)
        return self._known[crs]

    def _every(self, crs: str) -> tuple[Floats, Floats]:
        if crs not in self._all:
            u, v = np.meshgrid(np.arange(self.grid.width) + 0.5, np.arange(self.grid.height) + 0.5)
            self._all[crs] = self._coordinates(crs, u, v)
        return self._all[crs]

    def _between(self, values: Floats) -> Floats:
        """Linear in both directions; no matrix product, whose threads would fight with those of the server."""
        height, width = self.shape
        at, part = between(width)
        steps = values[:, at] + np.diff(values, axis=1)[:, at] * part
        at, part = between(height)
        inner: Floats = steps[at] + np.diff(steps, axis=0)[at] * part[:, None]
        return inner

    def _correct(self, file: RasterFile, shift: float, columns: Floats, rows: Floats, error: float) -> None:
        """Compute one by one what lies closer to an edge than `error`."""
        near = np.flatnonzero((np.abs(columns - np.rint(columns)) < error) | (np.abs(rows - np.rint(rows)) < error))
        if near.size:
            v, u = np.divmod(near, self.grid.width)
            x, y = self._coordinates(file.crs, u + 0.5, v + 0.5)
            columns.flat[near], rows.flat[near] = pixels(file, x - shift, y)

    def _factor(self, columns: Floats, rows: Floats) -> float:
        steps = []
        for axis, along in ((1, self._across), (0, self._down)):
            if len(along) > 1:
                apart = along[1] - along[0]
                length = np.hypot(np.diff(columns, axis=axis), np.diff(rows, axis=axis)) / apart
                length = length[np.isfinite(length)]
                if length.size:
                    steps.append(float(np.median(length)))
        return min(steps, default=1.0)


def nodes_along(count: int) -> Floats:
    """Every eighth pixel centre or a little less, both ends among them; an even number of steps."""
    steps = 2 * -(-(count - 1) // (2 * SPACING)) or 2
    return 0.5 + (count - 1) * np.arange(steps + 1) / steps


@lru_cache(maxsize=64)
def between(count: int) -> tuple[NDArray[np.intp], Floats]:
    """For each pixel centre along an axis the node before it, and how far it lies towards the next, from 0 to 1."""
    nodes = nodes_along(count)
    place = (np.arange(count) + 0.5 - nodes[0]) / ((nodes[1] - nodes[0]) or 1.0)
    before = np.minimum(place.astype(np.intp), len(nodes) - 2)
    return before, place - before


def bend(values: Floats) -> float:
    """How far, at most, a node lies off the middle of its neighbours: over four times the error between nodes."""
    across = np.abs(values[:, 1:-1:2] - (values[:, :-2:2] + values[:, 2::2]) / 2).max()
    down = np.abs(values[1:-1:2, :] - (values[:-2:2, :] + values[2::2, :]) / 2).max()
    return float(across + down)


def pixels(file: RasterFile, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Columns and rows, with fractions, of coordinates in the file's CRS."""
    a, b, c, d, e, f = file.transform
    # From the corner first: the inverse transform would subtract large numbers.
    dx, dy = x - c, y - f
    area = a * e - b * d
    with np.errstate(invalid="ignore"):
        return (e * dx - b * dy) / area, (a * dy - d * dx) / area


def found(file: RasterFile, columns: Floats, rows: Floats, factor: float) -> Found:
    """Whole columns and rows, and which of them the file has."""
    known = np.isfinite(columns) & np.isfinite(rows)
    if not known.all():
        columns, rows = np.where(known, columns, -1.0), np.where(known, rows, -1.0)
    column = np.floor(np.clip(columns + EDGE, -1, file.width)).astype(np.intp)
    row = np.floor(np.clip(rows + EDGE, -1, file.height)).astype(np.intp)
    inside = (column >= 0) & (column < file.width) & (row >= 0) & (row < file.height)
    return Found(row, column, inside, factor)


def at_points(file: RasterFile, x: Floats, y: Floats) -> Found:
    """The pixels of a file under single points of its CRS, as a grid of one row."""
    columns, rows = pixels(file, np.atleast_2d(x), np.atleast_2d(y))
    return found(file, columns, rows, 1.0)
