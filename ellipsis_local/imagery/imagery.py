"""The answers about pixels, with their arguments checked."""

from __future__ import annotations

import math
import numbers
import operator
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ellipsis_local.arguments import invalid
from ellipsis_local.crs import WEB_MERCATOR, WGS84, WORLD, transform_extent
from ellipsis_local.errors import LayerError, LimitError
from ellipsis_local.imagery.default_style import DEFAULT, Range, Style, draw, ranges, shown_bands
from ellipsis_local.raster.dataset_pool import DatasetPool
from ellipsis_local.raster.zoom import DEEPEST, TILE, resolution, zoom
from ellipsis_local.types import Extent, Timestamp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ellipsis_local.raster.layer import RasterLayer, Sample

MOST_PIXELS = 4096 * 4096
MOST_BYTES = 256 * 2**20
"""Of a window, which is in memory three times at the end: as pixels, as a TIFF, and as its bytes."""
MOST_DECODED, MOST_DECODED_OF_TILE = 2**34, 2**32
"""Bytes of a layer's blocks that one request may have decoded: seconds, where a few pixels may lie in many blocks."""
LEAST_METRES = 1e-100
"""Of an extent's sides: the area of a pixel is a number then."""
MOST_LOCATIONS = 100_000
MOST_RANGES = 256
"""Layers of which this process remembers how they are drawn."""
PICTURE = 1024
MOST_LATITUDE = 85.0511
"""Where the square of Web Mercator ends."""
BLOCK = 512
"""A window is computed in squares of this side."""


class Imagery:
    """Tiles, windows, point values and statistics of raster timestamps.

    It only reads, and is safe to use from several threads. Files stay open for the next request: `release` closes those
    that wait, `close` all.

    A pixel is the one that its centre lies in (nearest neighbour), so every value is one that the files hold; see
    `ellipsis_local.raster.layer` and `validity` for what lies on top, and what is missing. Pictures whose pixels are
    two or more of the layer's wide may be made of overviews.

    The mask is the last band: the highest value of an integer dtype, 1 for floats and complex numbers (seen in the
    client for uint8, uint16, int16, float32; else our choice) where some band has a value, 0 elsewhere. Where it is 0
    all bands are 0; where only some bands have a value, the others hold the nodata value.
    """

    def __init__(self) -> None:
        self._pool = DatasetPool()
        self._looking = threading.Lock()
        self._ranges: dict[tuple[Any, ...], tuple[Range, ...]] = {}

    def release(self) -> None:
        """Close the files that no request is reading."""
        self._pool.release()

    def close(self) -> None:
        """Close all files; those that a request is reading, when it is done."""
        self._pool.close()

    def zoom(self, timestamp: Timestamp) -> int | None:
        """The native zoom; see `ellipsis_local.raster.zoom.zoom`."""
        return zoom(timestamp)

    def tile(self, timestamp: Timestamp, z: int, x: int, y: int, *, styled: bool | Style = False) -> bytes | None:
        """A tile of Web Mercator in OpenStreetMap's numbering (documented), as a TIFF; None where nothing is.

        (bands + 1, 256, 256) of the layer's dtype, the mask last (seen in the client). Above `zoom` pixels repeat.
        `styled`: a PNG of red, green, blue and opacity (seen in the R client), as `default_style` has it. LayerError
        for complex pixels, which have no picture.
        """
        z = whole("z", z, 0, DEEPEST)
        x, y = whole("x", x, 0, 2**z - 1), whole("y", y, 0, 2**z - 1)
        if not timestamp.rasters:
            return None
        size = WORLD / 2**z
        extent = Extent(x * size - WORLD / 2, WORLD / 2 - (y + 1) * size, (x + 1) * size - WORLD / 2,
                        WORLD / 2 - y * size)  # fmt: skip
        image = self._paint(self._layer(timestamp, MOST_DECODED_OF_TILE), timestamp, extent, TILE, TILE)
        return None if image is None else self._written(timestamp, image, extent, "band", styled=styled)

    def window(self, timestamp: Timestamp, extent: Extent, width: int, height: int, *, styled: bool = False) -> bytes:
        """Any part of EPSG:3857 as a TIFF (height, width, bands + 1), the mask as the last band (seen in the client).

        At most 4096 × 4096 pixels and 256 MiB (our choice). `styled`: a PNG, as of `tile`.
        """
        import numpy as np

        extent = checked_extent(extent)
        width, height = whole("width", width, 1), whole("height", height, 1)
        rasters = with_files(timestamp)
        check_size(width, height, (rasters[0].bands + 1) * np.dtype(rasters[0].dtype).itemsize)
        image = np.zeros((rasters[0].bands + 1, height, width), dtype=rasters[0].dtype)
        dx, dy = extent.width / width, extent.height / height
        layer = self._layer(timestamp, MOST_DECODED)
        for rows in pieces(height):
            for columns in pieces(width):
                part = Extent(
                    extent.x_min + columns.start * dx, extent.y_max - rows.stop * dy,
                    extent.x_min + columns.stop * dx, extent.y_max - rows.start * dy,
                )  # fmt: skip
                painted = self._paint(layer, timestamp, part, columns.stop - columns.start, rows.stop - rows.start)
                if painted is not None:
                    image[:, rows, columns] = painted
        return self._written(timestamp, image, extent, "pixel", styled=styled)

    def picture(self, timestamp: Timestamp, area: Extent) -> tuple[bytes, Extent]:
        """A timestamp in `area` (EPSG:4326), drawn in EPSG:3857 as a PNG of up to 1024 pixels a side, and the part of
        the area that this has a place for."""
        area = area.common(Extent(-180, -MOST_LATITUDE, 180, MOST_LATITUDE))
        box = transform_extent(WGS84, WEB_MERCATOR, area)
        if box is None:
            raise LayerError(f"timestamp {timestamp.id} has no place in {WEB_MERCATOR}, which web maps are in")
        pixel = max(box.width, box.height) / PICTURE
        width, height = (max(1, round(side / pixel)) for side in (box.width, box.height))
        return self.window(timestamp, box, width, height, styled=True), area

    def locations(self, timestamp: Timestamp, locations: Sequence[Sequence[float]]) -> list[list[Any]]:
        """Per (longitude, latitude) one value per band (seen in scripts); at most 100,000 places (our choice).

        None where there is no valid or no finite value, or no file. Complex values are [real, imaginary] (our choice).
        """
        import numpy as np

        places = checked_locations(locations)
        if not timestamp.rasters:
            raise LayerError(f"timestamp {timestamp.id} has no files")
        pixels, valid = self._layer(timestamp, MOST_DECODED).at(places[:, 0], places[:, 1])
        if pixels.dtype.kind in "fc":
            # JSON has no infinity.
            valid = valid & np.isfinite(pixels)
        return [
            [plain(value) if there else None for value, there in zip(values, known, strict=True)]
            for values, known in zip(pixels[:, 0].T, valid[:, 0].T, strict=True)
        ]

    def analyse(
        self,
        timestamps: Sequence[Timestamp],
        geometry: Mapping[str, Any],
        approximate: bool = True,
        want: Collection[str] = (),
    ) -> list[dict[str, Any]]:
        """Statistics of the pixels inside a GeoJSON geometry in EPSG:4326, on the layer's own grid, per timestamp.

        Pixels count whose centre lies in a polygon, that a line touches, that a point lies in (our choice).
        `approximate`: in polygons of more than 2**22 pixels every n-th row and column stand for the others. `want`:
        'percentiles' and 'histogram' give these alone. The shape is that seen in scripts::

            {'timestamp': {'id'}, 'hasData': bool, 'approximate': bool,
             'result': [{'band': {'number', 'name'}, 'statistics': {
                 'min', 'max', 'mean', 'median', 'deviation', 'sum', 'count',
                 'percentiles': 101 numbers, for 0 to 100 %, 'histogram': [{'bin', 'count'}, …]}}, …]}

        Numbers are None, and lists empty, where a band has no valid pixel. `deviation` is the population's. Up to 256
        values have a bin each; more are counted in 256 bins of one width, named by their lower edge. Percentiles and
        median are exact for 8 and 16 bits, and for others up to 2**24 values; beyond they are read from 65,536 bins.
        """
        from ellipsis_local.imagery.zonal_statistics import analysed, checked_geometry, checked_want

        if not isinstance(approximate, bool):
            raise invalid("approximate", approximate, "must be of type bool")
        wanted, shape = checked_want(want), checked_geometry(geometry)
        for timestamp in timestamps:
            if any("complex" in file.dtype for file in with_files(timestamp)):
                raise LayerError(f"timestamp {timestamp.id} has complex pixels, which have no order and no statistics")
        return [analysed(self._pool, timestamp, shape, approximate, wanted) for timestamp in timestamps]

    def _written(
        self, timestamp: Timestamp, image: NDArray[np.generic], extent: Extent, interleave: str, *, styled: bool | Style
    ) -> bytes:
        """The bands and the mask as a TIFF, or drawn as a PNG."""
        from ellipsis_local.raster.write import png_bytes, tiff_bytes

        if not styled:
            return tiff_bytes(image, extent, interleave)
        style = styled if isinstance(styled, Style) else DEFAULT
        bands = [*shown_bands(timestamp, style), -1]
        return png_bytes(draw(image[bands], self.ranges(timestamp, style)))

    def ranges(self, timestamp: Timestamp, style: Style = DEFAULT) -> tuple[Range, ...]:
        """Per band that is shown the values that are black and white, the same for all pictures of a timestamp."""
        key = (style, *(file.content for file in timestamp.rasters))
        # A map asks for many tiles at once: one of them looks, the others wait.
        with self._looking:
            shown = self._ranges.get(key)
            if shown is None:
                if len(self._ranges) >= MOST_RANGES:
                    self._ranges.clear()
                self._ranges[key] = shown = ranges(timestamp, self._layer(timestamp, MOST_DECODED_OF_TILE), style)
        return shown

    def _layer(self, timestamp: Timestamp, most: int) -> RasterLayer:
        """For one request, for which so many bytes may be decoded."""
        from ellipsis_local.raster.layer import RasterLayer, Work

        return RasterLayer.of(self._pool, timestamp.rasters, Work(most))

    def _paint(
        self, layer: RasterLayer, timestamp: Timestamp, extent: Extent, width: int, height: int
    ) -> NDArray[np.generic] | None:
        """The bands and the mask; see `masked`."""
        from ellipsis_local.raster.grid import TargetGrid

        dx, dy = extent.width / width, extent.height / height
        grid = TargetGrid(WEB_MERCATOR, (dx, 0.0, extent.x_min, 0.0, -dy, extent.y_max), width, height)
        coarse = min(dx, dy) >= 2 * (resolution(timestamp) or math.inf)
        sample = layer.read(grid, coarse=coarse)
        return None if sample is None else masked(sample)


def plain(value: Any) -> Any:
    """A pixel's value as JSON knows it: a complex one is the pair of its parts."""
    number = value.item()
    return [number.real, number.imag] if isinstance(number, complex) else number


def with_files(timestamp: Timestamp) -> Any:
    if not timestamp.rasters:
        raise LayerError(f"timestamp {timestamp.id} has no raster files; add a file to it first")
    return timestamp.rasters


def pieces(size: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK))


def masked(sample: Sample) -> NDArray[np.generic] | None:
    """The bands and the mask, (bands + 1, height, width); None where nothing is valid."""
    import numpy as np

    pixels, valid = sample
    there = valid.any(axis=0)
    if not there.any():
        return None
    image = np.empty((len(pixels) + 1, *there.shape), dtype=pixels.dtype)
    image[:-1] = pixels
    if not there.all():
        image[:-1, ~there] = 0
    image[-1] = np.where(there, opaque(pixels.dtype), pixels.dtype.type(0))
    return image


def opaque(dtype: np.dtype[Any]) -> Any:
    """What the mask is where a pixel is valid."""
    import numpy as np

    return np.iinfo(dtype).max if dtype.kind in "iu" else 1


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """An integer of a range; ArgumentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise invalid(name, value, "must be of type int")
    result = operator.index(value)
    if result < least or (most is not None and result > most):
        bounds = f"from {least} to {most}" if most is not None else f"at least {least}"
        raise invalid(name, value, f"must be {bounds}, not {result}")
    return result


def check_size(width: int, height: int, pixel: int) -> None:
    if width * height > MOST_PIXELS or width * height * pixel > MOST_BYTES:
        most = min(MOST_PIXELS, MOST_BYTES // pixel)
        # Python does not write integers of more than 4300 digits.
        size = f"{width} x {height} = {width * height:,}" if max(width, height) < 10**18 else "more than 10**18"
        way_out = f"at most {most:,} of this layer are given at once: ask for several smaller extents"
        raise LimitError(f"width x height is {size} pixels; {way_out}")


def checked_extent(extent: Extent) -> Extent:
    for name, value in extent._asdict().items():
        if not math.isfinite(number(value)):
            raise invalid("extent", value, f"must be of finite numbers, {name} is {value!r}")
    if min(extent.width, extent.height) < LEAST_METRES:
        sides = f"xMin {extent.x_min} to xMax {extent.x_max}, yMin {extent.y_min} to yMax {extent.y_max}"
        raise invalid("extent", extent, f"has no area: {sides}")
    return extent


def number(value: Any) -> float:
    """A number as a float; not a number for anything else, and for what no float can hold."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan


def checked_locations(locations: Any) -> NDArray[np.float64]:
    """Longitudes and latitudes as (n, 2)."""
    import numpy as np

    if isinstance(locations, str | bytes | Mapping) or not isinstance(locations, Sequence):
        raise invalid("locations", locations, "must be a list of [longitude, latitude]")
    if len(locations) > MOST_LOCATIONS:
        raise LimitError(f"{len(locations):,} locations; at most {MOST_LOCATIONS:,} are looked up at once")
    for one in locations:
        if not isinstance(one, list | tuple) or len(one) != 2:
            raise invalid("locations", one, f"must be pairs [longitude, latitude], not {one!r}")
        if not (math.isfinite(number(one[0])) and abs(number(one[1])) <= 90):
            raise invalid("locations", one, f"must be degrees, longitude then latitude of -90 to 90, not {one!r}")
    return np.array(locations, dtype=np.float64).reshape(-1, 2)
