"""The pixels of a raster layer, on any grid and at any point: the one place where files are laid over each other.

A pixel of a grid is the one of the topmost file that is there (see `validity`) under its centre, band by band. Where
none is there, it is as the topmost file has it, so that colours under a mask stay; where no file lies, it is the
layer's nodata value, or 0. Every face asks here: partitions, exports, tiles, windows, locations and statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.crs import WGS84, transformer
from ellipsis_local.errors import LimitError
from ellipsis_local.raster.dataset_pool import DatasetPool, OpenRaster
from ellipsis_local.raster.grid import TargetGrid
from ellipsis_local.raster.locate import Centres, Located, at_points, shifts
from ellipsis_local.raster.placement import Placement, Rectangle, common, place_exactly
from ellipsis_local.raster.validity import Missing, differs, missing_in
from ellipsis_local.types import RasterFile

BUDGET = 32 * 2**20
"""Bytes of a file's pixels that are read at once, where the grid's pixels can be had piece by piece."""
FEW = 2 * 2**20
"""Bytes that are read as they are, even where an overview of them is there."""
LEAST = 64
"""Side of the smallest window of decimated pixels: for a thinner one GDAL may choose another overview."""
PIECE = 1024
"""Grids of no more pixels are not cut further."""
LARGEST_BLOCK = 1024
"""Points that lie in one block of the file, and no farther apart than this, are read together."""

Pixels = NDArray[Any]
Bools = NDArray[np.bool_]


class Sample(NamedTuple):
    pixels: Pixels
    """(bands, height, width), of the layer's dtype."""
    valid: Bools
    """The same shape: where a file has a value."""


@dataclass
class Work:
    """What one request may still have decoded; a thousand pixels may lie in a thousand blocks."""

    left: int

    def spend(self, source: OpenRaster, file: RasterFile, box: Rectangle, step: int) -> None:
        """LimitError where the blocks that hold a part of the file are too much."""
        level = max((one for one in source.overviews if one <= step), default=1)
        blocks = 1
        for (first, end), side in zip((box[:2], box[2:]), file.block, strict=True):
            there = (end - 1) // (side * level) - first // (side * level) + 1
            # Of a thinned part each row and column lies in one.
            blocks *= min(there, -(-(end - first) // step))
        high, wide = (min(one, size) for one, size in zip(file.block, (file.height, file.width), strict=True))
        self.left -= blocks * high * wide * file.bands * np.dtype(file.dtype).itemsize
        if self.left < 0:
            text = "more of the layer's files has to be decoded for this than one request may take: ask for a smaller"
            raise LimitError(f"{text} part, for a nearer zoom, or add files with overviews (gdaladdo)")


NOTHING: Bools = np.zeros((0, 0, 0), bool)


@dataclass
class Canvas:
    """What has been painted so far, from the top file down."""

    pixels: Pixels
    valid: Bools | None
    """None where nobody asks, and one file is painted once."""
    touched: Bools | None
    """(height, width): where some file lies; None where nobody asks what a missing pixel looks like."""

    def part(self, rows: slice, columns: slice) -> Canvas:
        """A view of some rows and columns."""
        valid = None if self.valid is None else self.valid[:, rows, columns]
        touched = None if self.touched is None else self.touched[rows, columns]
        return Canvas(self.pixels[:, rows, columns], valid, touched)

    def paint(self, values: Pixels, there: Bools | None, inside: Bools | None, blank: Any) -> None:
        """Lay one file's pixels (bands, h, w) beneath what is painted.

        `there` (bands or 1, h, w): which are there; `inside` (h, w): which are the file's at all; all where None.
        `blank`: what those that are not there become; as they are where None.
        """
        if self.valid is None:
            np.copyto(self.pixels, values, where=True if inside is None else inside)
            return
        fresh = ~self.valid
        if inside is not None:
            fresh &= inside
        good = fresh if there is None else fresh & there
        np.copyto(self.pixels, values, where=good)
        if self.touched is not None:
            if there is not None:
                np.copyto(self.pixels, values if blank is None else blank, where=fresh & ~there & ~self.touched)
            self.touched |= True if inside is None else inside
        self.valid |= good


class RasterLayer:
    """The files of a raster timestamp as one raster: of one number of bands and one dtype, later ones on top.

    `placements`: where each lies on the grid that `read` is asked for, where that is known already.
    """

    def __init__(
        self,
        pool: DatasetPool,
        files: Sequence[RasterFile],
        missing: Missing,
        placements: Sequence[Placement] | None = None,
        work: Work | None = None,
    ) -> None:
        self.files = tuple(files)
        self.missing = missing
        self.dtype = np.result_type(*{file.dtype for file in files})
        self._pool = pool
        self._placements = placements
        self._work = work

    def blank(self, shape: tuple[int, int]) -> Sample:
        """Pixels where no file lies."""
        return Sample(np.full((self.files[0].bands, *shape), self.fill), np.zeros((self.files[0].bands, *shape), bool))

    @classmethod
    def of(cls, pool: DatasetPool, files: Sequence[RasterFile], work: Work | None = None) -> RasterLayer:
        """A layer whose pixels come with which of them are there, so that nothing else has to tell it."""
        return cls(pool, files, missing_in(files, masked=False, covered=True), work=work)

    @property
    def fill(self) -> Any:
        """What a pixel is that no file has: the layer's nodata value, or 0."""
        nodata = 0 if self.missing.nodata is None else self.missing.nodata
        return np.asarray(nodata).astype(self.dtype)

    def read(
        self,
        grid: TargetGrid,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
        *,
        wrap: bool = True,
        coarse: bool = False,
        out: Pixels | None = None,
        mask: bool = True,
    ) -> Sample | None:
        """The pixels of a grid, or of some of its rows and columns (first, last + 1); None where no file lies there.

        They do not depend on what is asked for together. `wrap`: files across the antimeridian are found on both sides.
        `coarse`, for pictures: where a pixel of the grid is two or more of a file wide, overviews or every n-th pixel
        do. Without `mask`, where all files agree on what is missing, that is not looked at; `valid` says nothing then.
        """
        area: Rectangle = (*(rows or (0, grid.height)), *(columns or (0, grid.width)))
        if not mask and len(self.files) == 1:
            plain = self._plain(grid, area, out)
            if plain is not None:
                return plain
        canvas: Canvas | None = None
        centres = Centres(grid, area[:2], area[2:])
        for file, placement in zip(reversed(self.files), reversed(self._placed(grid)), strict=True):
            if placement.covers is not None and common(area, placement.covers) is None:
                continue
            if placement.exact:
                canvas = canvas or self._canvas(shape_of(area), out, touched=not coarse)
                self._copy(file, placement, area, canvas)
            else:
                for shift in shifts(file) if wrap else (0.0,):
                    located = centres.find(file, shift)
                    if located is not None:
                        canvas = canvas or self._canvas(shape_of(area), out, touched=not coarse)
                        with self._pool.lent(file.location) as source:
                            self._take(source, file, located, canvas, coarse=coarse)
            if canvas is not None and canvas.valid is not None and canvas.valid.all():
                break
        return None if canvas is None or canvas.valid is None else Sample(canvas.pixels, canvas.valid)

    def _plain(self, grid: TargetGrid, area: Rectangle, out: Pixels | None) -> Sample | None:
        """What `read` gives of a single file without a look at what is there; None where it takes that look."""
        (file,), (placement,) = self.files, self._placed(grid)
        if placement.exact:
            if placement.covers is None or common(area, placement.covers) != area:
                return None
            turned = placement.transposed or any(placement.flip)
            with self._pool.lent(file.location) as source:
                window = window_of(placement.own_window(area))
                values = source.dataset.read(window=window, out=None if turned else out)
            return Sample(placement.turned(values), NOTHING)
        moved = shifts(file)
        located = Centres(grid, area[:2], area[2:]).find(file, moved[0]) if len(moved) == 1 else None
        if located is None:
            return None
        canvas = Canvas(np.empty((file.bands, *shape_of(area)), self.dtype) if out is None else out, None, None)
        if located.inside is not None:
            canvas.pixels[...] = self.fill
        with self._pool.lent(file.location) as source:
            self._take(source, file, located, canvas, coarse=False)
        return Sample(canvas.pixels, NOTHING)

    def at(self, longitude: Any, latitude: Any) -> Sample:
        """The pixels at single points of EPSG:4326, (bands, 1, points); not valid where no file has a value."""
        longitude = (np.asarray(longitude) + 180) % 360 - 180
        canvas = self._canvas((1, len(longitude)), None, touched=False)
        for file in reversed(self.files):
            x, y = (np.asarray(one) for one in transformer(WGS84, file.crs).transform(longitude, latitude))
            for shift in shifts(file):
                place = at_points(file, x - shift, y)
                if place is not None:
                    with self._pool.lent(file.location) as source:
                        by_block(source, file, place, canvas, self._work)
        assert canvas.valid is not None  # noqa: S101 - it was asked for
        return Sample(canvas.pixels, canvas.valid)

    def _canvas(self, shape: tuple[int, int], out: Pixels | None, *, touched: bool) -> Canvas:
        first = self.files[0]
        pixels = np.empty((first.bands, *shape), self.dtype) if out is None else out
        pixels[...] = self.fill
        return Canvas(pixels, np.zeros(pixels.shape, bool), np.zeros(shape, bool) if touched else None)

    def _placed(self, grid: TargetGrid) -> Sequence[Placement]:
        if self._placements is not None:
            return self._placements
        return [place_exactly(file, grid) or Placement() for file in self.files]

    @property
    def _blank(self) -> Any:
        """What missing pixels become in a layer of several files with a nodata value; else they stay as they are."""
        return None if self.missing.nodata is None or len(self.files) == 1 else self.fill

    def _copy(self, file: RasterFile, placement: Placement, area: Rectangle, canvas: Canvas) -> None:
        """Paint a file whose pixels are those of the grid."""
        assert placement.covers is not None  # noqa: S101 - an exact one has them
        both = common(area, placement.covers)
        if both is None:
            return
        part = canvas.part(slice(both[0] - area[0], both[1] - area[0]), slice(both[2] - area[2], both[3] - area[2]))
        window = window_of(placement.own_window(both))
        with self._pool.lent(file.location) as source:
            values = source.dataset.read(window=window)
            there = there_in(source, file, values, window)
        there = None if there is None else placement.turned(there)
        part.paint(placement.turned(values), there, None, self._blank)

    def _take(self, source: OpenRaster, file: RasterFile, place: Located, canvas: Canvas, *, coarse: bool) -> None:
        """Paint what a file has under the centres of a grid, piece by piece where that is much."""
        box = box_of(place)
        step = decimation(source, file, box, place.factor) if coarse else 1
        if weight(file, box) > BUDGET * step * step and place.shape[0] * place.shape[1] > PIECE:
            for rows, columns in quarters(place.shape):
                part = place.part(rows, columns)
                if part.inside is None or part.inside.any():
                    self._take(source, file, part, canvas.part(rows, columns), coarse=coarse)
            return
        if self._work is not None:
            self._work.spend(source, file, box, step)
        values, there = read_decimated(source, file, box, step, masks=canvas.valid is not None)
        row, column = shrink(place.rows, file.height, step), shrink(place.columns, file.width, step)
        top, left = shrink(box[0], file.height, step), shrink(box[2], file.width, step)
        index = (row - top).astype(np.intp)
        index *= values.shape[2]
        index = np.broadcast_to(index + (column - left), place.shape)
        flat = values.reshape(file.bands, -1)
        if place.inside is not None:
            index = np.where(place.inside, index, 0)
        elif canvas.valid is None and flat.dtype == canvas.pixels.dtype:
            # Nothing is painted twice: without a copy in between.
            np.take(flat, index, axis=1, out=canvas.pixels, mode="clip")
            return
        under = flat.take(index, axis=1)
        good = None if there is None else there.reshape(there.shape[0], -1).take(index, axis=1)
        canvas.paint(under, good, place.inside, self._blank)


def shape_of(area: Rectangle) -> tuple[int, int]:
    return area[1] - area[0], area[3] - area[2]


def by_block(source: OpenRaster, file: RasterFile, place: Located, canvas: Canvas, work: Work | None) -> None:
    """Take the pixels of one block of the file after the other: no block is read twice, or for nothing."""
    rows, columns = np.broadcast_to(place.rows, place.shape)[0], np.broadcast_to(place.columns, place.shape)[0]
    high, wide = (min(size, LARGEST_BLOCK) for size in file.block)
    number = (rows // high).astype(np.int64) * (file.width // wide + 1) + columns // wide
    order = np.arange(len(rows)) if place.inside is None else np.flatnonzero(place.inside[0])
    if not order.size:
        return
    order = order[np.argsort(number[order], kind="stable")]
    for points in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        top, left = int(rows[points].min()), int(columns[points].min())
        box = (top, int(rows[points].max()) + 1, left, int(columns[points].max()) + 1)
        if work is not None:
            work.spend(source, file, box, 1)
        values, there = read_decimated(source, file, box, 1)
        where = (slice(None), rows[points] - top, columns[points] - left)
        assert canvas.valid is not None  # noqa: S101 - points are asked with it
        part = Canvas(canvas.pixels[:, :, points], canvas.valid[:, :, points], None)
        good = None if there is None else there[where][:, np.newaxis]
        part.paint(values[where][:, np.newaxis], good, None, None)
        canvas.pixels[:, :, points], canvas.valid[:, :, points] = part.pixels, part.valid


def quarters(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    halves = [(slice(0, -(-size // 2)), slice(-(-size // 2), size)) for size in shape]
    return [(rows, columns) for rows in halves[0] for columns in halves[1]]


def box_of(place: Located) -> Rectangle:
    """The rows and columns of the file that hold all that is inside."""
    if place.box is not None:
        return place.box
    if place.inside is None:
        rows, columns = place.rows, place.columns
    else:
        rows = np.broadcast_to(place.rows, place.shape)[place.inside]
        columns = np.broadcast_to(place.columns, place.shape)[place.inside]
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def weight(file: RasterFile, box: Rectangle) -> int:
    """Bytes of a window of the file."""
    return (box[1] - box[0]) * (box[3] - box[2]) * file.bands * np.dtype(file.dtype).itemsize


def decimation(source: OpenRaster, file: RasterFile, box: Rectangle, factor: float) -> int:
    """Every how many rows and columns are read: 1 where a pixel of the grid is less than two of the file."""
    if weight(file, box) <= FEW:
        return 1
    # A little more, so that a grid of just the size of an overview gets it.
    most = max(1, int(factor * 1.001))
    step = max((one for one in source.overviews if one <= most), default=1)
    return step if weight(file, box) <= BUDGET * step * step else most


def shrink(position: Any, size: int, step: int) -> Any:
    """Where a row or column lies among those that are left of `size` when only every `step`-th is."""
    if step == 1:
        return position
    position = np.asarray(position, np.int64)
    return (2 * position + 1) * -(-size // step) // (2 * size)


def window_of(area: Rectangle) -> Any:
    """rasterio's window of rows and columns of a file."""
    from rasterio.windows import Window

    top, bottom, left, right = area
    return Window(left, top, right - left, bottom - top)


def there_in(source: OpenRaster, file: RasterFile, values: Pixels, window: Any) -> Bools | None:
    """Which pixels of rasterio's window are there, (bands or 1, h, w), at the resolution of `values`; None for all."""
    there = differs(values, file.nodata)
    masks = source.masks
    if masks.alpha is not None and masks.kind == "none" and file.nodata is None:
        opaque = values[masks.alpha : masks.alpha + 1].real > 0
        there = opaque if there is None else there & opaque
    if masks.kind != "none":
        bands = list(range(1, len(values) + 1)) if masks.kind == "band" else [1]
        shape = (len(bands), *values.shape[1:])
        mask = source.dataset.read_masks(bands, window=window, out_shape=shape) > 0
        there = mask if there is None else there & mask
    return there


def read_decimated(
    source: OpenRaster, file: RasterFile, box: Rectangle, step: int, *, masks: bool = True
) -> tuple[Pixels, Bools | None]:
    """A window of the file (bands, h, w) beginning at the box's decimated corner, and which pixels are there."""
    from rasterio.windows import Window

    top, height, row = some(box[0], box[1], file.height, step)
    left, width, column = some(box[2], box[3], file.width, step)
    dy, dx = file.height / -(-file.height // step), file.width / -(-file.width // step)
    window = Window(left * dx, top * dy, width * dx, height * dy)
    values = source.dataset.read(window=window, out_shape=(file.bands, height, width))
    there = there_in(source, file, values, window) if masks else None
    return values[:, row:, column:], None if there is None else there[:, row:, column:]


def some(start: int, end: int, size: int, step: int) -> tuple[int, int, int]:
    """First and number of the decimated rows or columns to read, and how many of them come before `start`."""
    all_of_them = -(-size // step)
    first, last = int(shrink(start, size, step)), int(shrink(end - 1, size, step)) + 1
    count = last - first if step == 1 else min(all_of_them, max(last - first, LEAST))
    begin = min(first, all_of_them - count)
    return begin, count, first - begin
