"""Rasters as xarray's DataArrays, as rioxarray has them: in, and out without reading pixels before they are used."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import LayerError
from ellipsis_local.extras import optional_module
from ellipsis_local.raster.dataset_pool import DatasetPool
from ellipsis_local.raster.grid import axes_of
from ellipsis_local.raster.layer import RasterLayer
from ellipsis_local.raster.placement import native_grid
from ellipsis_local.raster.validity import has_masks, missing_in
from ellipsis_local.types import RasterFile

if TYPE_CHECKING:
    from ellipsis_local.raster.grid import TargetGrid


def is_dataarray(value: Any) -> bool:
    """Whether it is one, without importing xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def raster_of(array: Any) -> Mapping[str, Any]:
    """A DataArray (y, x), or with bands before these, as a raster object; MissingExtraError without rioxarray."""
    optional_module("rioxarray", extra="xarray", purpose="adding a DataArray")
    rio = array.rio
    try:
        x, y = rio.x_dim, rio.y_dim
    except Exception as error:
        raise invalid("source", array.dims, f"must have the dimensions y and x, not {array.dims}") from error
    others = [name for name in array.dims if name not in (x, y)]
    if len(others) > 1:
        raise invalid("source", array.dims, f"must have at most one dimension besides {y} and {x}, not {others}")
    if rio.crs is None:
        raise LayerError("the DataArray has no CRS; give it one: dataarray.rio.write_crs('EPSG:…')")
    values = array.transpose(*others, y, x).to_numpy()
    # What rioxarray masked is NaN now, whatever the file had in its place.
    nodata = rio.nodata if rio.encoded_nodata is None else np.nan
    return {"raster": values, "transform": rio.transform(), "crs": rio.crs.to_wkt()} | (
        {} if nodata is None else {"nodata": nodata}
    )


class Pixels:
    """The pixels of a layer, read where an index asks for them; each read opens the files and lets go of them."""

    def __init__(self, files: Sequence[RasterFile]) -> None:
        self.files = tuple(files)
        self.grid, self._placements, covered, _ = native_grid(files)
        self.missing = missing_in(files, has_masks(files), covered)
        self.shape = (files[0].bands, self.grid.height, self.grid.width)
        self.dtype = np.result_type(*{file.dtype for file in files})

    def read(self, key: tuple[Any, ...]) -> Any:
        """What numpy would give of the whole array for a key of numbers and slices."""
        # Forward spans that hold what is asked for; the rest of the key is numpy's then.
        spans, inner = [], []
        for part, size in zip(key, self.shape, strict=True):
            numbers = range(size)[part if isinstance(part, slice) else slice(part, part + 1)]
            first, end = (min(numbers[0], numbers[-1]), max(numbers[0], numbers[-1]) + 1) if numbers else (0, 0)
            spans.append((first, end))
            inner.append([one - first for one in numbers] if isinstance(part, slice) else part - first)
        bands, rows, columns = spans
        if min(end - first for first, end in spans) <= 0:
            return np.empty([len(one) for one in inner if isinstance(one, list)], self.dtype)
        pool = DatasetPool()
        try:
            layer = RasterLayer(pool, self.files, self.missing, self._placements)
            shape = (rows[1] - rows[0], columns[1] - columns[0])
            pixels, valid = layer.read(self.grid, rows, columns) or layer.blank(shape)
            pixels = np.where(valid, pixels, layer.fill)[bands[0] : bands[1]]
        finally:
            pool.close()
        for axis in (2, 1, 0):
            pixels = np.take(pixels, inner[axis], axis=axis)
        return pixels


def open_dataarray(files: Sequence[RasterFile], name: str) -> Any:
    """The files of a raster timestamp as one lazy DataArray (band, y, x); see `layers.open`."""
    optional_module("rioxarray", extra="xarray", purpose="opening a layer as a DataArray")
    import xarray
    from affine import Affine
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Lazy(BackendArray):  # type: ignore[misc, no-any-unimported, unused-ignore]
        def __init__(self, pixels: Pixels) -> None:
            self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype

        def __getitem__(self, key: Any) -> Any:
            support = indexing.IndexingSupport.BASIC
            return indexing.explicit_indexing_adapter(key, self.shape, support, self.pixels.read)

    pixels = Pixels(files)
    grid: TargetGrid = pixels.grid
    axes = axes_of(grid.transform, grid.width, grid.height)
    if axes is None or axes[2]:
        raise LayerError("its pixels are turned against the axes; `layers.export` writes it as a file")
    a, _, c, _, e, f = grid.transform
    first = files[0]
    names = [text or f"band {number}" for number, text in enumerate(first.descriptions or [None] * first.bands, 1)]
    array = xarray.DataArray(
        indexing.LazilyIndexedArray(Lazy(pixels)),
        dims=("band", "y", "x"),
        coords={
            "band": range(1, first.bands + 1),
            "band_name": ("band", names),
            "y": f + e * (np.arange(grid.height) + 0.5),
            "x": c + a * (np.arange(grid.width) + 0.5),
        },
        name=name,
    )
    array = array.rio.write_crs(grid.crs).rio.write_transform(Affine(*grid.transform))
    return array if pixels.missing.nodata is None else array.rio.write_nodata(pixels.missing.nodata)
