"""Where the pixel centres of a grid lie in the rows and columns of a raster file.

Exact: a pixel of the grid gets the pixel of the file that its centre lies in, as PROJ puts it. PROJ takes half a
microsecond for a centre, more than all the rest, so columns and rows are computed at every 64th centre (or every 16th)
and interpolated between. The error of that is bounded by how much they bend, and centres that come closer to an edge
between two pixels than the error are computed one by one. So the answer does not depend on the part that is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.crs import period, transformer
from ellipsis_local.raster.grid import TargetGrid, apply, corners_extent
from ellipsis_local.types import RasterFile

Floats = NDArray[np.float64]
Pixels = tuple[Floats, Floats]
"""Columns and rows of a file, with fractions."""

SPACINGS = ((64, 0.004), (16, 0.05))
"""Centres from one node to the next, and the error, in pixels of the file, up to which that is taken."""
SMALL = 1024
"""Grids of no more pixels are computed one by one."""
EDGE = 1e-6
"""A centre that lies on an edge, but for float noise, belongs to the pixel right of it, or below."""
SINGLE = 2.0**-22
"""What single precision may be wrong by, as a share of the pixels that a part of the grid spans."""
FARTHEST = 2.0**30
"""Columns and rows farther away than this are not counted in 32 bits."""


def shifts(file: RasterFile) -> tuple[float, ...]:
    """By how much a file is moved along x to lie where PROJ puts its pixels; more than one over the antimeridian.

    PROJ gives longitudes of -180 to 180; a file may go from 170 to 190, or from 0 to 360. The place that the file names
    itself comes first.
    """
    round_the_world = period(file.crs)
    if round_the_world is None:
        return (0.0,)
    west, _, east, _ = corners_extent(file.transform, file.width, file.height)
    half, slack = round_the_world / 2, round_the_world * 1e-9
    moved = (0.0, -round_the_world, round_the_world)
    return tuple(by for by in moved if east + by > -half + slack and west + by < half - slack) or (0.0,)


@dataclass(frozen=True)
class Located:
    """The pixels of a file under the centres of a grid. Rows and columns broadcast to its shape, (height, width)."""

    rows: NDArray[np.int32]
    """(height, width), or (height, 1) where all centres of a row lie in one; any number where not `inside`."""
    columns: NDArray[np.int32]
    """(height, width), or (1, width)."""
    inside: NDArray[np.bool_] | None
    """(height, width); None where all are."""
    shape: tuple[int, int]
    factor: float
    """How many pixels of the file one of the grid is wide (or high, where that is less)."""
    box: tuple[int, int, int, int] | None = None
    """First row, last + 1, first column, last + 1 of the file, between which all lie; None where that is not known."""

    def part(self, rows: slice, columns: slice) -> Located:
        """The same of some rows and columns of the grid."""
        own_rows = self.rows[rows] if self.rows.shape[1] == 1 else self.rows[rows, columns]
        own_columns = self.columns[:, columns] if self.columns.shape[0] == 1 else self.columns[rows, columns]
        inside = None if self.inside is None else self.inside[rows, columns]
        shape = len(range(*rows.indices(self.shape[0]))), len(range(*columns.indices(self.shape[1])))
        return Located(own_rows, own_columns, inside, shape, self.factor)


class Centres:
    """The pixel centres of a part of a grid (first, last + 1), looked for in one file after the other."""

    def __init__(
        self, grid: TargetGrid, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None
    ) -> None:
        self.grid = grid
        (top, bottom), (left, right) = rows or (0, grid.height), columns or (0, grid.width)
        self.top, self.left = top, left
        self.shape = (bottom - top, right - left)
        self._nodes: dict[tuple[str, int], Pixels] = {}

    def find(self, file: RasterFile, shift: float = 0.0) -> Located | None:
        """Where the centres lie in `file`, moved by `shift` along x; None where certainly nowhere."""
        height, width = self.shape
        if height * width > SMALL:
            for spacing, most in SPACINGS:
                x, y = self._at_nodes(file.crs, spacing)
                nodes = pixels(file, x - shift, y)
                if not (np.isfinite(nodes[0]).all() and np.isfinite(nodes[1]).all()):
                    break
                if certainly_outside(file, nodes):
                    return None
                factor = pixel_ratio(nodes, spacing)
                if (np.ptp(nodes[0], axis=0) == 0).all() and (np.ptp(nodes[1], axis=1) == 0).all():
                    return self._separate(file, shift, factor)
                error = sum(bend(along) for along in nodes)
                if error <= most and np.abs(nodes).max() < FARTHEST:
                    return self._between(file, shift, nodes, spacing, error, factor)
        return self._one_by_one(file, shift)

    def _coordinates(self, crs: str, u: Any, v: Any) -> Pixels:
        """Coordinates in a CRS of columns and rows of the grid, with fractions; infinite where PROJ has no answer."""
        x, y = apply(self.grid.transform, u, v)
        if crs != self.grid.crs:
            x, y = transformer(self.grid.crs, crs).transform(x, y)
        return np.asarray(x), np.asarray(y)

    def _at_nodes(self, crs: str, spacing: int) -> Pixels:
        if (crs, spacing) not in self._nodes:
            v, u = (
                start + 0.5 + spacing * np.arange(max(3, (size - 1) // spacing + 2))
                for start, size in zip((self.top, self.left), self.shape, strict=True)
            )
            self._nodes[crs, spacing] = self._coordinates(crs, *np.meshgrid(u, v))
        return self._nodes[crs, spacing]

    def _one_by_one(self, file: RasterFile, shift: float) -> Located | None:
        height, width = self.shape
        u, v = np.meshgrid(self.left + 0.5 + np.arange(width), self.top + 0.5 + np.arange(height))
        x, y = self._coordinates(file.crs, u, v)
        places = pixels(file, x - shift, y)
        return located(file, *places, pixel_ratio(places, 1))

    def _separate(self, file: RasterFile, shift: float, factor: float) -> Located | None:
        """Where columns depend on the grid's columns alone, and rows on its rows: as many centres as there are both."""
        height, width = self.shape
        across, down = self.left + 0.5 + np.arange(width), self.top + 0.5 + np.arange(height)
        x, y = self._coordinates(file.crs, across, np.full(width, self.top + 0.5))
        columns = whole(pixels(file, x - shift, y)[0], file.width)
        x, y = self._coordinates(file.crs, np.full(height, self.left + 0.5), down)
        rows = whole(pixels(file, x - shift, y)[1], file.height)
        return checked(file, rows[:, np.newaxis], columns[np.newaxis], self.shape, factor)

    def _between(
        self, file: RasterFile, shift: float, nodes: Pixels, spacing: int, error: float, factor: float
    ) -> Located | None:
        near = np.zeros(self.shape, bool)
        found, ranges = [], []
        for along in nodes:
            corners = clipped(along, self.shape, spacing)
            low, high = math.floor(corners.min()) - 2, math.ceil(corners.max()) + 2
            margin = 2 * error + 2 * EDGE + SINGLE * (high - low)
            # All are at least 1, so that cutting off the fraction rounds down.
            values = interpolated(along - (low + margin), self.shape, spacing)
            numbers = values.astype(np.int32)
            values += np.float32(2 * margin)
            near |= numbers != values.astype(np.int32)
            numbers += np.int32(low)
            found.append(numbers)
            ranges.append((low, high))
        columns, rows = found
        again = np.flatnonzero(near)
        if again.size:
            v, u = np.divmod(again, self.shape[1])
            x, y = self._coordinates(file.crs, self.left + u + 0.5, self.top + v + 0.5)
            exact = pixels(file, x - shift, y)
            columns.flat[again], rows.flat[again] = whole(exact[0], file.width), whole(exact[1], file.height)
        if ranges[0][0] >= 0 and ranges[0][1] <= file.width and ranges[1][0] >= 0 and ranges[1][1] <= file.height:
            return Located(rows, columns, None, self.shape, factor, (*ranges[1], *ranges[0]))
        return checked(file, rows, columns, self.shape, factor)


def interpolated(nodes: Floats, shape: tuple[int, int], spacing: int) -> NDArray[np.float32]:
    """Values between nodes that lie `spacing` apart in both directions, linearly, in single precision."""
    height, width = shape
    part = np.arange(spacing) / spacing
    down = nodes[:-1, np.newaxis] + np.diff(nodes, axis=0)[:, np.newaxis] * part[:, np.newaxis]
    down = down.reshape(-1, nodes.shape[1])[:height].astype(np.float32)
    values: Any = np.diff(down, axis=1)[..., np.newaxis] * part.astype(np.float32)
    values += down[:, :-1, np.newaxis]
    inner: NDArray[np.float32] = values.reshape(height, -1)[:, :width]
    return inner


def clipped(nodes: Floats, shape: tuple[int, int], spacing: int) -> Floats:
    """Nodes with the last ones moved to where the last centres are: all values between lie between theirs."""
    for axis in (0, 1):
        last, part = divmod(shape[axis] - 1, spacing)
        inner = np.take(nodes, range(last + 1), axis)
        end = np.take(nodes, [last], axis) * (1 - part / spacing) + np.take(nodes, [last + 1], axis) * (part / spacing)
        nodes = np.concatenate([inner, end], axis)
    return nodes


def bend(nodes: Floats) -> float:
    """Four times the error of interpolating between nodes of a smooth function, in both directions together."""
    return sum(
        float(np.abs(np.diff(nodes, 2, axis=axis)).max(initial=0.0)) / 2 for axis in (0, 1) if nodes.shape[axis] > 2
    )


def pixels(file: RasterFile, x: Floats, y: Floats) -> Pixels:
    """Columns and rows, with fractions, of coordinates in the file's CRS."""
    a, b, c, d, e, f = file.transform
    # From the corner first: the inverse transform would subtract large numbers.
    dx, dy = x - c, y - f
    area = a * e - b * d
    with np.errstate(invalid="ignore"):
        return (e * dx - b * dy) / area, (a * dy - d * dx) / area


def whole(values: Floats, size: int) -> NDArray[np.int32]:
    """The number of the row or column, of `size`, that a place lies in; -1 or `size` outside of the file."""
    known = np.where(np.isfinite(values), values, -1.0)
    return np.floor(np.clip(known + EDGE, -1, size)).astype(np.int32)


def certainly_outside(file: RasterFile, nodes: Pixels) -> bool:
    """Whether the file has none of the pixels between nodes, nor what sticks out between these a little."""
    for along, size in zip(nodes, (file.width, file.height), strict=True):
        low, high = float(along.min()), float(along.max())
        room = 0.1 * (high - low) + 2 * bend(along) + 1
        if high + room < 0 or low - room > size:
            return True
    return False


def pixel_ratio(places: Pixels, spacing: int) -> float:
    """How many pixels of the file a pixel of the grid is wide, or high where that is less; 1 where it is not known."""
    lengths = []
    for axis in (1, 0):
        if places[0].shape[axis] > 1:
            with np.errstate(invalid="ignore"):
                apart = np.hypot(*(np.diff(along, axis=axis) for along in places)) / spacing
            apart = apart[np.isfinite(apart)]
            lengths += [float(np.median(apart))] if apart.size else []
    return min(lengths, default=1.0)


def located(file: RasterFile, columns: Floats, rows: Floats, factor: float) -> Located | None:
    shape = (columns.shape[0], columns.shape[1])
    return checked(file, whole(rows, file.height), whole(columns, file.width), shape, factor)


def checked(
    file: RasterFile, rows: NDArray[np.int32], columns: NDArray[np.int32], shape: tuple[int, int], factor: float
) -> Located | None:
    """Rows and columns with which of them the file has; None where it has none."""
    parts = list(outside(rows, file.height)) + list(outside(columns, file.width))
    if not parts:
        return Located(rows, columns, None, shape, factor)
    inside = np.ones(shape, bool)
    for part in parts:
        inside &= ~part
    return Located(rows, columns, inside, shape, factor) if inside.any() else None


def outside(numbers: NDArray[np.int32], size: int) -> Iterator[NDArray[np.bool_]]:
    """Which are no number of a row or column; nothing where all are."""
    if numbers.size and (numbers.min() < 0 or numbers.max() >= size):
        yield (numbers < 0) | (numbers >= size)


def at_points(file: RasterFile, x: Floats, y: Floats) -> Located | None:
    """The pixels of a file under single points of its CRS, as a grid of one row; None where it has none."""
    columns, rows = pixels(file, np.atleast_2d(x), np.atleast_2d(y))
    return located(file, columns, rows, 1.0)
