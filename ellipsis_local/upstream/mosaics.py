"""Tiles put together: where there are no pixels, there is a nodata value that no pixel has, or a mask inside the file.

Floats get NaN. Integers get the first of 0, their largest and their smallest value that no valid pixel has; where all
three occur, a mask says what is missing. (Our choice: functions see `nodata`, and no mask.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.errors import UpstreamError
from ellipsis_local.formats.tiff import missing_bytes
from ellipsis_local.gdal_errors import quiet, writing
from ellipsis_local.raster.files import creation_options
from ellipsis_local.upstream.grids import TILE, TileGrid, place
from ellipsis_local.upstream.told import real_name

__all__ = ["write"]

WINDOW = 1024
KEPT = 64
"""Decoded tiles: more than lie under one window."""

Tile = tuple[NDArray[Any], NDArray[np.bool_]]


@dataclass(frozen=True)
class _Kind:
    """What all tiles have in common."""

    bands: int
    """Without the mask."""
    dtype: np.dtype[Any]


def decode(data: bytes, what: str) -> Tile:
    """Pixels (bands, 256, 256), and where they are valid (256, 256); UpstreamError where it is no tile."""
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    def wrong(text: str) -> UpstreamError:
        return UpstreamError(f"{what} is not as it should be: {text}")

    try:
        # No other driver: what is no TIFF must not be read as something that refers to other files.
        with quiet(), MemoryFile(data, ext=".tif") as memory, memory.open(driver="GTiff") as dataset:
            if dataset.shape != (TILE, TILE):
                raise wrong(f"{dataset.height} × {dataset.width} pixels instead of {TILE} × {TILE}")
            pages = [name for name in dataset.subdatasets if name.startswith("GTIFF_DIR:")]
            if pages and dataset.count == 1:
                # Some writers make a page of every band.
                with contextlib.ExitStack() as stack:
                    opened = [stack.enter_context(rasterio.open(name)) for name in pages]
                    if any(page.shape != (TILE, TILE) or page.count != 1 for page in opened):
                        raise wrong("its pages differ in size")
                    values = np.stack([page.read(1) for page in opened])
            else:
                values = dataset.read()
    except RasterioError as error:
        raise wrong(f"it cannot be read as a TIFF ({error})") from error
    if len(values) < 2 or values.dtype.kind not in "iufc":
        raise wrong(f"{len(values)} bands of {values.dtype}; the last one should be the mask")
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
            raise UpstreamError(
                f"{what} has {kind.bands} bands of {kind.dtype}, and others have {self._kind.bands} of "
                f"{self._kind.dtype}"
            )
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


def windows(grid: TileGrid) -> Iterator[tuple[int, int, int, int]]:
    for row in range(0, grid.height, WINDOW):
        for column in range(0, grid.width, WINDOW):
            yield column, row, min(WINDOW, grid.width - column), min(WINDOW, grid.height - row)


def survey(tiles: _Tiles, grid: TileGrid, dtype: np.dtype[Any]) -> tuple[bool, float | int | None]:
    """Whether anything is missing, and the nodata value that can say so; None where only a mask can."""
    missing = False
    candidates: list[float | int] = [float("nan")]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        candidates = list(dict.fromkeys([0, int(limits.max), int(limits.min)]))
    for window in windows(grid):
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
    """The GeoTIFF of the tiles in `folder`.

    Parameters
    ----------
    bands, dtype
        As the service tells them; the mask may be counted among the bands (seen in the client).

    Raises
    ------
    UpstreamError
        Where no tile holds anything, or they have another number of bands than the service tells.
    """
    import rasterio
    from rasterio.windows import Window

    tiles = _Tiles(folder, known_dtype(dtype))
    kind = tiles.kind(grid)
    if kind is None:
        raise UpstreamError("none of the tiles holds anything")
    if bands and len(bands) not in (kind.bands, kind.bands + 1):
        raise UpstreamError(
            f"the tiles have {kind.bands} bands and a mask, and the service tells of {len(bands)} bands"
        )
    missing, nodata = survey(tiles, grid, kind.dtype)
    name = kind.dtype.name
    options = {
        "driver": "GTiff", "width": grid.width, "height": grid.height, "count": kind.bands, "dtype": name,
        "crs": "EPSG:3857", "transform": grid.transform, "nodata": nodata,
        **creation_options(name, grid.width, grid.height),
    }  # fmt: skip
    with (
        writing(target),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False),
        rasterio.open(target, "w", **options) as output,
    ):
        for number, text in enumerate(bands[: kind.bands], start=1):
            if (name_ := real_name(text)) is not None:
                output.set_band_description(number, name_)
        for column, row, width, height in windows(grid):
            pixels = np.full((kind.bands, height, width), 0 if nodata is None else nodata, kind.dtype)
            covered = np.zeros((height, width), bool)
            for where, (values, valid) in tiles.parts(grid, column, row, width, height):
                pixels[:, *where][:, valid] = values[:, valid]
                covered[where] = valid
            window = Window(column, row, width, height)
            output.write(pixels, window=window)
            if missing and nodata is None:
                output.write_mask(covered, window=window)
    if missing_bytes(target):
        with writing(target):
            raise OSError("the file was not written to its end: no space left on device")


def known_dtype(name: str | None) -> np.dtype[Any] | None:
    """What the service calls the format of a raster, where it is a dtype of pixels."""
    try:
        found = None if name is None else np.dtype(name)
    except TypeError:
        return None
    return found if found is not None and found.kind in "iuf" and found.itemsize <= 8 else None
