"""How rasters are drawn: one style for all of them, our choice, because styles are not emulated.

The first three bands are red, green and blue; of fewer the first one is grey. Three of bytes are shown as they are,
others are stretched from the 2nd to the 98th percentile of the layer, so that tiles fit together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ellipsis_local.errors import LayerError
from ellipsis_local.raster.grid import TargetGrid
from ellipsis_local.types import Timestamp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ellipsis_local.raster.layer import RasterLayer, Sample

COLOURS = 3
MOST_PIECES = 36
"""Of a layer that its percentiles are taken from."""
SIDE = 64
"""Pixels per side of each of them; files of not many more are looked at as a whole."""
PERCENTILES = (2, 98)

Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """How a picture is drawn, where it is not as all are."""

    bands: tuple[int, ...] = ()
    """Three, red, green and blue, or a single one; they count from 0. Empty: those that are drawn by default."""
    range: Range | None = None
    """The values that are black and white, of all bands."""


DEFAULT = Style()


def shown_bands(timestamp: Timestamp, style: Style = DEFAULT) -> tuple[int, ...]:
    if style.bands:
        return style.bands
    return tuple(range(COLOURS if timestamp.rasters[0].bands >= COLOURS else 1))


def ranges(timestamp: Timestamp, layer: RasterLayer, style: Style = DEFAULT) -> tuple[Range, ...]:
    """Per band that is shown the values that are black and white; LayerError for pixels that have no order."""
    import numpy as np

    if layer.dtype.kind == "c":
        text = "has complex pixels, which cannot be drawn: ask for its tiles with applyStyle=false, which are TIFFs"
        raise LayerError(f"timestamp {timestamp.id} {text}")
    shown = shown_bands(timestamp, style)
    if style.range is not None:
        return (style.range,) * len(shown)
    if len(shown) == COLOURS and layer.dtype == np.uint8:
        return ((0.0, 255.0),) * COLOURS
    found: list[list[Any]] = [[] for _ in shown]
    for pixels, valid in samples(timestamp, layer):
        for band, values in zip(shown, found, strict=True):
            there = pixels[band][valid[band]]
            values.append(there[np.isfinite(there)].astype(float))
    return tuple(stretch(np.concatenate(values or [np.empty(0)])) for values in found)


def samples(timestamp: Timestamp, layer: RasterLayer) -> Iterator[Sample]:
    """Pieces that lie evenly over the layer: all of it would have to be unpacked for every n-th pixel."""
    files = timestamp.rasters[:: math.ceil(len(timestamp.rasters) / MOST_PIECES)]
    count = max(1, round(math.sqrt(MOST_PIECES / len(files))))
    for file in files:
        grid = TargetGrid(file.crs, file.transform[:6], file.width, file.height)
        for rows in spans(file.height, count):
            for columns in spans(file.width, count):
                sample = layer.read(grid, rows, columns)
                if sample is not None:
                    yield sample


def spans(size: int, count: int) -> list[tuple[int, int]]:
    """So many stretches of SIDE pixels of `size`, or all of it where these are as much."""
    if size <= count * SIDE:
        return [(0, size)]
    starts = [(2 * i + 1) * size // (2 * count) - SIDE // 2 for i in range(count)]
    return [(start, start + SIDE) for start in starts]


def stretch(values: NDArray[Any]) -> Range:
    import numpy as np

    if not values.size:
        return 0.0, 1.0
    low, high = map(float, np.percentile(values, PERCENTILES))
    return low, high if high > low else low + 1


def draw(image: NDArray[Any], shown: tuple[Range, ...]) -> NDArray[np.uint8]:
    """Bands with their mask as the last one, (bands + 1, height, width), as red, green, blue and opacity."""
    import numpy as np

    drawn = np.empty((COLOURS + 1, *image.shape[1:]), np.uint8)
    for band, (low, high) in enumerate(shown):
        with np.errstate(over="ignore", invalid="ignore"):
            grey = (image[band].astype(float) - low) * (255 / (high - low))
        drawn[band] = np.rint(np.nan_to_num(grey, nan=0.0).clip(0, 255))
    drawn[len(shown) : COLOURS] = drawn[0]
    drawn[COLOURS] = np.where(image[-1] != 0, 255, 0)
    return drawn
