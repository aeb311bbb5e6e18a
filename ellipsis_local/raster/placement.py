"""How raster files come to lie on a grid: as they are where their pixels are the grid's, else by centres.

A file's pixels are a grid's where they lie on them to a hundredth of a pixel everywhere, in any of the eight ways in
which rows and columns can run along the axes. The first file of a layer gives the grid, extended over all files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from ellipsis_local import crs as names
from ellipsis_local.raster.grid import SAME_PIXEL, Grid, TargetGrid, apply, axes_of, inverse
from ellipsis_local.types import RasterFile

Rectangle = tuple[int, int, int, int]
"""Of a grid: first row, last row + 1, first column, last column + 1."""


def common(one: Rectangle, other: Rectangle) -> Rectangle | None:
    """What two rectangles share; None where that is nothing."""
    both = (max(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), min(one[3], other[3]))
    return both if both[0] < both[1] and both[2] < both[3] else None


def around(boxes: Sequence[Rectangle]) -> Rectangle:
    """The smallest rectangle that holds some."""
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    return min(tops), max(bottoms), min(lefts), max(rights)


@dataclass(frozen=True)
class Placement:
    covers: Rectangle | None = None
    """What of the grid it can touch, which may be beyond the grid; anything where None."""
    exact: bool = False
    """Its pixels are the grid's; it covers just `covers` then."""
    transposed: bool = False
    """Of an exact one: its rows run along the grid's columns."""
    flip: tuple[bool, bool] = (False, False)
    """Of an exact one, along the grid's rows and columns: they run the other way."""

    def moved(self, rows: int, columns: int) -> Placement:
        """The same on a grid that begins so many rows and columns earlier."""
        if self.covers is None:
            return self
        top, bottom, left, right = self.covers
        return replace(self, covers=(top + rows, bottom + rows, left + columns, right + columns))

    def own_window(self, area: Rectangle) -> Rectangle:
        """A part of the grid, inside of what an exact file covers, in the file's own rows and columns."""
        assert self.covers is not None  # noqa: S101 - an exact one has them
        top, bottom, left, right = self.covers
        rows = (bottom - area[1], bottom - area[0]) if self.flip[0] else (area[0] - top, area[1] - top)
        columns = (right - area[3], right - area[2]) if self.flip[1] else (area[2] - left, area[3] - left)
        return (*columns, *rows) if self.transposed else (*rows, *columns)

    def turned(self, values: Any) -> Any:
        """Pixels (bands, h, w) of `own_window` as they lie on the grid; a view."""
        values = values.swapaxes(-1, -2) if self.transposed else values
        return values[..., :: -1 if self.flip[0] else 1, :: -1 if self.flip[1] else 1]


def place_exactly(file: RasterFile, grid: TargetGrid) -> Placement | None:
    """Where a file lies on a grid whose pixels are its own; None where it lies on another grid."""
    if not names.same(file.crs, grid.crs):
        return None
    to_grid = inverse(grid.transform)
    origin = apply(to_grid, *apply(file.transform, 0, 0))
    across = (file.width, *apply(to_grid, *apply(file.transform, file.width, 0)))
    down = (file.height, *apply(to_grid, *apply(file.transform, 0, file.height)))
    transposed = abs(across[2] - origin[1]) > abs(across[1] - origin[0])
    along_columns, along_rows = (down, across) if transposed else (across, down)
    columns, rows = along_columns[0], along_rows[0]
    wide, high = along_columns[1] - origin[0], along_rows[2] - origin[1]
    drift = max(
        abs(abs(wide) - columns),
        abs(abs(high) - rows),
        abs(along_columns[2] - origin[1]),
        abs(along_rows[1] - origin[0]),
    )
    left, top = min(origin[0], origin[0] + wide), min(origin[1], origin[1] + high)
    if not max(drift, abs(left - round(left)), abs(top - round(top))) < SAME_PIXEL:
        return None
    covers = (round(top), round(top) + rows, round(left), round(left) + columns)
    return Placement(covers, True, transposed, (high < 0, wide < 0))


def own_grid(file: RasterFile) -> Grid | None:
    """The north-up grid of a file whose rows and columns run along the axes, in any direction; None for others."""
    axes = axes_of(file.transform, file.width, file.height)
    if axes is None:
        return None
    dx, dy, transposed = axes
    columns, rows = (file.height, file.width) if transposed else (file.width, file.height)
    block = file.block[::-1] if transposed else file.block
    c, f = file.transform[2], file.transform[5]
    return Grid(
        left=c if dx > 0 else c + columns * dx,
        top=f if dy < 0 else f + rows * dy,
        dx=abs(dx),
        dy=abs(dy),
        width=columns,
        height=rows,
        block=block,
        # A grid that is turned round begins with what is left of the last block.
        block_offset=(-rows % block[0] if dy > 0 else 0, -columns % block[1] if dx < 0 else 0),
    )


class LayerGrid(NamedTuple):
    """The grid of a layer, and how each file comes onto it."""

    grid: Any
    """`Grid` of a north-up one, else `TargetGrid`."""
    placements: tuple[Placement, ...]
    covered: bool
    """Whether pixels of files lie under all of it."""
    notes: tuple[str, ...] = ()
    """What of the files lies outside of the CRS."""


def north_up_grid(files: Sequence[RasterFile], crs: str) -> LayerGrid:
    """The north-up grid of a layer in a CRS: the first file's own where it is that, else the one it is warped onto."""
    first = own_grid(files[0]) if names.same(files[0].crs, crs) else None
    base = first or _warped_grid(files[0], crs)
    target = base.target(crs)
    placements: list[Placement] = []
    notes: list[str] = []
    for number, file in enumerate(files):
        place = place_exactly(file, target) if number or first else None
        if place is None:
            rectangle, lost = _cover(file, target)
            # What it was made for holds the first file.
            place = Placement(rectangle if number else None)
            notes += lost
        placements.append(place)
    box, moved = _extended((0, base.height, 0, base.width), placements)
    offset = (box[0] + base.block_offset[0]) % base.block[0], (box[2] + base.block_offset[1]) % base.block[1]
    grid = replace(
        base,
        left=base.left + box[2] * base.dx, top=base.top - box[0] * base.dy,
        width=box[3] - box[2], height=box[1] - box[0], block_offset=offset,
    )  # fmt: skip
    return LayerGrid(grid, moved, _is_covered((0, grid.height, 0, grid.width), moved), tuple(notes))


def world_grid(files: Sequence[RasterFile], zoom: int) -> LayerGrid:
    """The pixels of all tiles of a zoom of Web Mercator, and how each file comes onto them, beyond ±180°, too."""
    from ellipsis_local.raster.zoom import TILE, pixel_size

    side = TILE << zoom
    grid = Grid(-names.WORLD / 2, names.WORLD / 2, pixel_size(zoom), pixel_size(zoom), side, side)
    target = grid.target(names.WEB_MERCATOR)
    placements: list[Placement] = []
    notes: list[str] = []
    for file in files:
        place = place_exactly(file, target)
        if place is None:
            rectangle, lost = _cover(file, target)
            place = Placement(rectangle)
            notes += lost
        placements.append(place)
    return LayerGrid(grid, tuple(placements), covered=False, notes=tuple(notes))


def native_grid(files: Sequence[RasterFile]) -> LayerGrid:
    """The first file's own grid, turned or not, extended by whole pixels until it holds all files."""
    first = files[0]
    base = TargetGrid(first.crs, first.transform, first.width, first.height)
    placements = [place_exactly(file, base) or Placement(_cover(file, base)[0]) for file in files]
    box, moved = _extended((0, base.height, 0, base.width), placements)
    grid = base.moved(box[2], box[0], box[3] - box[2], box[1] - box[0])
    return LayerGrid(grid, moved, _is_covered((0, grid.height, 0, grid.width), moved))


def _warped_grid(file: RasterFile, crs: str) -> Grid:
    # Not before it is needed: numpy takes longer than all the rest.
    from ellipsis_local.raster.footprint import warped_grid

    return warped_grid(file, crs)


def _cover(file: RasterFile, grid: TargetGrid) -> tuple[Rectangle, tuple[str, ...]]:
    from ellipsis_local.raster.footprint import cover

    return cover(file, grid)


def _extended(base: Rectangle, placements: Sequence[Placement]) -> tuple[Rectangle, tuple[Placement, ...]]:
    """The rectangle around a grid and all files, and where these lie in it."""
    boxes = [base, *(one.covers for one in placements if one.covers is not None)]
    box = around(boxes)
    return box, tuple(one.moved(-box[0], -box[2]) for one in placements)


def _is_covered(area: Rectangle, placements: Sequence[Placement]) -> bool:
    """Whether exact files lie under all of a rectangle."""
    boxes = [common(area, one.covers) for one in placements if one.exact and one.covers is not None]
    known = [box for box in boxes if box is not None]
    rows = sorted({area[0], area[1], *(edge for box in known for edge in box[:2])})
    columns = sorted({area[2], area[3], *(edge for box in known for edge in box[2:])})
    if len(rows) * len(columns) * len(known) > 10**7:
        # Thousands of scattered files: nobody would call their union a rectangle.
        return False
    return all(
        any(box[0] <= top and bottom <= box[1] and box[2] <= left and right <= box[3] for box in known)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    )
