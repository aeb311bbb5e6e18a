"""Tiles put together: where there are no pixels, there is a nodata value that no pixel has, or a mask inside the file.

Floats get NaN. Integers get the first of 0, their largest and their smallest value that no valid pixel has; where all
three occur, a mask says what is missing. (Our choice: functions see `nodata`, and no mask.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.crs import WEB_MERCATOR
from ellipsis_local.errors import LayerError, UpstreamError
from ellipsis_local.raster.grid import TargetGrid
from ellipsis_local.raster.opening import read_pages
from ellipsis_local.raster.write import Looks, geotiff, windows, write_window
from ellipsis_local.upstream.grids import TILE, TileGrid, place
from ellipsis_local.upstream.models import real_name

KEPT = 64
"""Decoded tiles: more than lie under one window."""

Tile = tuple[NDArray[Any], NDArray[np.bool_]]


class _Kind(NamedTuple):
    """What all tiles have in common: bands, without the mask, and dtype."""

    bands: int
    dtype: np.dtype[Any]


def decode(data: bytes, what: str) -> Tile:
    """Pixels (bands, 256, 256), and where they are valid (256, 256); UpstreamError where it is no tile."""
    try:
        values = read_pages(data, (TILE, TILE))
    except LayerError as error:
        raise UpstreamError(f"{what} is not as it should be: {error}") from error
    if len(values) < 2 or values.dtype.kind not in "iufc":
        raise UpstreamError(
            f"{what} is not as it should be: {len(values)} bands of {values.dtype}; the last one should be the mask"
        )
    return values[:-1], values[-1].real > 0


class _Tiles:
    """The tiles of a draft folder, decoded when they are needed."""

    def __init__(self, folder: Path, dtype: np.dtype[Any] | None) -> None:
        self._folder = folder
        self._dtype = dtype
        self._kind: _Kind | None = None
        self._decoded = lru_cache(KEPT)(self._decode)

    def _decode(self, row: int, column: int) -> Tile | None:
        path = place(self._folder, row, column)
        data = path.read_bytes() if path.is_file() else b""
        if not data:
            return None
        what = f"the tile in column {column} and row {row}"
        values, valid = decode(data, what)
        if self._dtype is not None:
            # As the client does: the layer's dtype counts, and not the tile's.
            values = values.astype(self._dtype, copy=False)
        kind = _Kind(len(values), values.dtype)
        if self._kind is None:
            self._kind = kind
        if kind != self._kind:
            others = f"{self._kind.bands} of {self._kind.dtype}"
            raise UpstreamError(f"{what} has {kind.bands} bands of {kind.dtype}, and others have {others}")
        return values, valid

    def kind(self, grid: TileGrid) -> _Kind | None:
        """That of the first tile that holds something; None where none does."""
        for row in grid.rows:
            for column in grid.columns:
                if self._kind is None:
                    self._decoded(row, column)
        return self._kind

    def parts(self, grid: TileGrid, column: int, row: int, width: int, height: int) -> Iterator[tuple[Any, Tile]]:
        """The tiles under a window of the grid: where their pixels belong in it, and these."""
        left, top = grid.left + column, grid.top + row
        window = TileGrid(grid.zoom, left, top, width, height)
        for y in window.rows:
            for x in window.columns:
                tile = self._decoded(y, x)
                if tile is None:
                    continue
                x0, x1 = max(left, x * TILE), min(left + width, (x + 1) * TILE)
                y0, y1 = max(top, y * TILE), min(top + height, (y + 1) * TILE)
                inside = slice(y0 - y * TILE, y1 - y * TILE), slice(x0 - x * TILE, x1 - x * TILE)
                where = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
                yield where, (tile[0][:, *inside], tile[1][inside])


def survey(tiles: _Tiles, grid: TileGrid, dtype: np.dtype[Any]) -> tuple[bool, float | int | None]:
    """Whether anything is missing, and the nodata value that can say so; None where only a mask can."""
    missing = False
    candidates: list[float | int] = [float("nan")]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        candidates = list(dict.fromkeys([0, int(limits.max), int(limits.min)]))
    for window in windows(grid.width, grid.height):
        covered = 0
        for _, (values, valid) in tiles.parts(grid, *window):
            covered += int(valid.sum())
            if dtype.kind in "iu" and candidates:
                present = values[:, valid]
                candidates = [one for one in candidates if not (present == one).any()]
        missing |= covered < window[2] * window[3]
    if not missing or dtype.kind == "c":
        return missing, None
    return True, next(iter(candidates), None)


def write(target: Path, folder: Path, grid: TileGrid, *, bands: Sequence[str | None], dtype: str | None) -> None:
    """The GeoTIFF of the tiles in `folder`."""
    tiles = _Tiles(folder, known_dtype(dtype))
    kind = tiles.kind(grid)
    if kind is None:
        raise UpstreamError("none of the tiles holds anything")
    if bands and len(bands) not in (kind.bands, kind.bands + 1):
        raise UpstreamError(
            f"the tiles have {kind.bands} bands and a mask, and the service tells of {len(bands)} bands"
        )
    missing, nodata = survey(tiles, grid, kind.dtype)
    looks = Looks([real_name(text) for text in bands[: kind.bands]])
    place = TargetGrid(WEB_MERCATOR, tuple(grid.transform)[:6], grid.width, grid.height)
    with geotiff(target, place, kind.bands, kind.dtype.name, nodata, looks) as output:
        for column, row, width, height in windows(grid.width, grid.height):
            pixels = np.full((kind.bands, height, width), 0 if nodata is None else nodata, kind.dtype)
            covered = np.zeros((height, width), bool)
            for where, (values, valid) in tiles.parts(grid, column, row, width, height):
                pixels[:, *where][:, valid] = values[:, valid]
                covered[where] = valid
            mask = covered if missing and nodata is None else None
            write_window(output, column, row, pixels, mask)


def known_dtype(name: str | None) -> np.dtype[Any] | None:
    """What the service calls the format of a raster, where it is a dtype of pixels."""
    try:
        found = None if name is None else np.dtype(name)
    except TypeError:
        return None
    return found if found is not None and found.kind in "iuf" and found.itemsize <= 8 else None
