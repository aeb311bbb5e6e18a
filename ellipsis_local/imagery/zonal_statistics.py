"""Statistics of a timestamp's pixels inside a geometry, window by window."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError, LimitError
from ellipsis_local.imagery.rasterize_geometry import Inside, on_grid
from ellipsis_local.imagery.statistics import Tally
from ellipsis_local.raster.dataset_pool import DatasetPool
from ellipsis_local.raster.layer import RasterLayer
from ellipsis_local.types import Timestamp

APPROXIMATE_ABOVE = 2**22
"""Pixels inside polygons."""
MOST_PIXELS = 2**33
"""Inside polygons, where every pixel is to be read."""
WANTED = {
    "all": None, "statistics": None, "percentiles": ("percentiles",), "histogram": ("histogram",),
}  # fmt: skip


def analysed(
    pool: DatasetPool, timestamp: Timestamp, shape: Any, approximate: bool, wanted: tuple[str, ...] | None
) -> dict[str, Any]:
    """One element of what `Imagery.analyse` answers."""
    files = timestamp.rasters
    inside = on_grid(timestamp, shape)
    area = float(shapely.area(inside.polygons).sum())
    if not approximate and area > MOST_PIXELS:
        way_out = f"at most {MOST_PIXELS:,} are read one by one: pass approximate=True, or smaller geometries"
        raise LimitError(f"geometry holds about {area:,.0f} pixels of timestamp {timestamp.id}; {way_out}")
    step = max(1, math.ceil(math.sqrt(area / APPROXIMATE_ABOVE))) if approximate else 1
    if step > 1:
        inside = inside.coarser(step)
    dtype, count = np.dtype(files[0].dtype), files[0].bands
    tallies = [Tally(dtype, count, weight=step * step) for _ in range(count)]
    for again in (False, True):
        # A second time where there were too many values to keep.
        due = [tally for tally in tallies if not again or tally.overflowed]
        if due:
            for values, good in pixels_of(RasterLayer.of(pool, files), inside, coarse=step > 1):
                for tally, band, there in zip(tallies, values, good, strict=True):
                    if tally in due:
                        (tally.add_again if again else tally.add)(band[there])
    names = files[-1].descriptions or (None,) * files[-1].bands
    bands = [
        {"band": {"number": i, "name": name or f"band {i}"}, "statistics": kept(tally.answer(), wanted)}
        for i, (tally, name) in enumerate(zip(tallies, names, strict=True), start=1)
    ]
    has_data = any(tally.count for tally in tallies)
    return {"timestamp": {"id": timestamp.id}, "hasData": has_data, "approximate": step > 1, "result": bands}


def pixels_of(layer: RasterLayer, inside: Inside, *, coarse: bool) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Pixels (bands, h, w) of one window after the other, and which of them count."""
    for column, row, mask in inside.windows():
        height, width = mask.shape
        sample = layer.read(inside.grid, (row, row + height), (column, column + width), wrap=False, coarse=coarse)
        if sample is not None:
            good = sample.valid & mask
            if sample.pixels.dtype.kind == "f":
                good &= np.isfinite(sample.pixels)
            yield sample.pixels, good


def kept(statistics: dict[str, Any], wanted: tuple[str, ...] | None) -> dict[str, Any]:
    return statistics if wanted is None else {name: statistics[name] for name in wanted}


def checked_want(want: Collection[str]) -> tuple[str, ...] | None:
    """The keys of the statistics that are asked for; None for all."""
    if isinstance(want, str) or not isinstance(want, Collection):
        raise invalid("want", want, "must be a set of words")
    for one in want:
        if one not in WANTED:
            raise invalid("returnType", one, f"must be one of {', '.join(WANTED)}, not {one!r}")
    if not want or any(WANTED[one] is None for one in want):
        return None
    return tuple(name for one in sorted(want) for name in WANTED[one] or ())


def checked_geometry(geometry: Any) -> Any:
    """GeoJSON as a shapely geometry without heights; ArgumentError where it is none on earth."""

    def error(text: str) -> ArgumentError:
        return invalid("geometry", geometry, text)

    if isinstance(geometry, Mapping) and geometry.get("type") == "Feature":
        geometry = geometry.get("geometry")
    if not isinstance(geometry, Mapping) or "type" not in geometry:
        raise error("must be a GeoJSON geometry: a dictionary with type and coordinates")
    try:
        shape = shapely.force_2d(shapely.geometry.shape(geometry))
    except Exception as problem:
        raise error(f"is no GeoJSON geometry: {problem}") from problem
    if shape.is_empty:
        raise error("is empty")
    corners = shapely.get_coordinates(shape)
    if not np.isfinite(corners).all() or np.abs(corners[:, 0]).max() > 540 or np.abs(corners[:, 1]).max() > 90:
        raise error("must be in degrees (EPSG:4326), longitude then latitude; bring it into EPSG:4326 first")
    return shape
