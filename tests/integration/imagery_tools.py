"""What tests of pixels share: files made and stored, and their pixels found point by point, slowly and surely."""

from __future__ import annotations

import math
import uuid

import numpy as np
import pyproj
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from ellipsis_local.raster.grid import apply as at
from ellipsis_local.types import Extent

WORLD = 2 * math.pi * 6378137
RNG = np.random.default_rng(7)
UTM = "EPSG:32631"
GRIDS = {
    "web mercator": ("EPSG:3857", Affine(10, 0, 500_003, 0, -10, 6_000_007)),
    "utm": (UTM, Affine(10, 0, 600_000, 0, -10, 5_800_020)),
    "degrees": ("EPSG:4326", Affine(0.0003, 0, 4.1, 0, -0.0002, 52.3)),
    "old datum": ("EPSG:28992", Affine(25, 0, 120_000, 0, -25, 480_000)),
    "rotated": (UTM, Affine(8.4, 8.1, 600_000, 5.4, -12.6, 5_800_020)),
    "south up": (UTM, Affine(10, 0, 600_000, 0, 10, 5_790_000)),
    "mirrored": ("EPSG:3857", Affine(-10, 0, 510_000, 0, -10, 6_000_000)),
    "sheared": ("EPSG:3857", Affine(10, 2, 500_000, 3, -10, 6_000_000)),
    "polar": ("EPSG:3413", Affine(500, 0, -200_000, 0, -500, -2_000_000)),
    "no code": ("+proj=laea +lat_0=5 +lon_0=20 +datum=WGS84 +units=m", Affine(1000, 0, -100_000, 0, -1000, 100_000)),
    "grads": ("EPSG:4807", Affine(0.001, 0, 1.5, 0, -0.001, 54.0)),
}

DTYPES = [
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "complex64",
    "complex128",
]  # fmt: skip


def write(path, values, *, crs, transform, nodata=None, mask=None, alpha=False, overviews=None, **options):
    """A GeoTIFF of (bands, height, width)."""
    bands, height, width = values.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": str(values.dtype)}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        if alpha:
            options |= {"photometric": "RGB" if bands == 4 else "MINISBLACK", "alpha": "YES"}
        with rasterio.open(path, "w", **profile, crs=crs, transform=transform, nodata=nodata, **options) as dataset:
            dataset.write(values)
            if mask is not None:
                dataset.write_mask(mask)
        if overviews:
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews(overviews, Resampling.average)
    return path


def stamp(store, *sources, **arguments):
    """The timestamp that holds the sources, the last on top."""
    path_id, timestamp_id = store.add(sources[0], **arguments)
    for source in sources[1:]:
        if isinstance(source, dict):
            source = dict(source)
            values = source.pop("raster")
            source = write(store.home.layers.parent / f"{uuid.uuid4()}.tif", values, **source)
        store.add_file(path_id, timestamp_id, source, name="more.tif")
    return store.timestamp(path_id, timestamp_id)


def tile_extent(z, x, y):
    size = WORLD / 2**z
    return Extent(x * size - WORLD / 2, WORLD / 2 - (y + 1) * size, (x + 1) * size - WORLD / 2, WORLD / 2 - y * size)


def centres(extent, width, height):
    x = extent.x_min + (np.arange(width) + 0.5) * (extent.width / width)
    y = extent.y_max - (np.arange(height) + 0.5) * (extent.height / height)
    return np.meshgrid(x, y)


def stored(file):
    """All pixels of a file and where they are valid."""
    with rasterio.open(file.location) as dataset:
        values = dataset.read()
        if file.nodata is not None:
            good = ~np.isnan(values) if np.isnan(file.nodata) else values != np.array(file.nodata, values.dtype)
        elif any("per_dataset" in str(flags) for flags in dataset.mask_flag_enums):
            good = np.broadcast_to(dataset.dataset_mask() > 0, values.shape)
        else:
            good = np.ones(values.shape, bool)
    return values, good


def expected(timestamp, extent, width, height, period=0.0):
    """The image with its mask, computed point by point; and where a centre lies on an edge, so that two are right."""
    xs, ys = centres(extent, width, height)
    files = timestamp.rasters
    pixels = np.zeros((files[0].bands, height, width), files[0].dtype)
    covered, edge = np.zeros(pixels.shape, bool), np.zeros((height, width), bool)
    fill = next((file.nodata for file in files if file.nodata is not None), 0)
    for file in files:
        x, y = pyproj.Transformer.from_crs(3857, file.crs, always_xy=True).transform(xs, ys)
        values, good = stored(file)
        for shift in (-period, period, 0.0) if period else (0.0,):
            with np.errstate(invalid="ignore"):
                column, row = at(~Affine(*file.transform), x - shift, y)
                inside = (column >= 0) & (column < file.width) & (row >= 0) & (row < file.height)
                for place in (column, row):
                    edge |= np.isfinite(place) & (np.abs(place - np.rint(place)) < 1e-5)
            r, c = np.floor(row[inside]).astype(int), np.floor(column[inside]).astype(int)
            new = np.zeros(covered.shape, bool)
            new[:, inside] = good[:, r, c]
            under = np.zeros(pixels.shape, pixels.dtype)
            under[:, inside] = values[:, r, c]
            pixels[new] = under[new]
            covered |= new
    pixels[~covered] = fill
    if pixels.dtype.kind in "fc":
        covered &= ~np.isnan(pixels)
    there = covered.any(axis=0)
    pixels[:, ~there] = 0
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1
    return np.concatenate([pixels, np.where(there, full, 0).astype(pixels.dtype)[np.newaxis]]), edge


def opened(data):
    """What any reader of TIFF gives, always bands first."""
    with rasterio.MemoryFile(data) as memory, memory.open() as dataset:
        return dataset.read()


def tiles_of(timestamp, z):
    """The tiles at a zoom that a timestamp touches."""
    found = set()
    for file in timestamp.rasters:
        change = pyproj.Transformer.from_crs(file.crs, 3857, always_xy=True)
        steps = np.linspace(0.001, 0.999, 41)
        u, v = np.meshgrid(steps * file.width, steps * file.height)
        x, y = change.transform(*at(file.transform, u, v))
        keep = np.isfinite(x) & np.isfinite(y)
        size = WORLD / 2**z
        for one in zip((x[keep] + WORLD / 2) // size, (WORLD / 2 - y[keep]) // size, strict=True):
            if min(one) >= 0 and max(one) < 2**z:
                found.add((int(one[0]), int(one[1])))
    return sorted(found)


def check_tiles(imagery, timestamp, z, most=3, period=0.0):
    """Tiles spread over the timestamp are what is stored; how many held anything."""
    tiles = tiles_of(timestamp, z)
    filled = 0
    for x, y in tiles[:: max(1, len(tiles) // most)]:
        answer = imagery.tile(timestamp, z, x, y)
        image, edge = expected(timestamp, tile_extent(z, x, y), 256, 256, period)
        if answer is None:
            assert not image[-1, ~edge].any()
            continue
        made = opened(answer)
        assert (made.shape, made.dtype) == (image.shape, image.dtype)
        assert edge.mean() < 0.5
        np.testing.assert_array_equal(made[:, ~edge], image[:, ~edge])
        filled += 1
    return filled


def raster(values, left=500_000, top=6_000_000, **more):
    """Values on a grid of 10 m in Web Mercator."""
    return {"raster": values, "transform": Affine(10, 0, left, 0, -10, top), "crs": "EPSG:3857"} | more


def on_own_grid(imagery, timestamp):
    """The pixels of the mosaic's own extent, one to one; only for files on one grid in Web Mercator."""
    files = timestamp.rasters
    left, top = min(f.transform[2] for f in files), max(f.transform[5] for f in files)
    right = max(f.transform[2] + f.transform[0] * f.width for f in files)
    bottom = min(f.transform[5] + f.transform[4] * f.height for f in files)
    width, height = round((right - left) / 10), round((top - bottom) / 10)
    return opened(imagery.window(timestamp, Extent(left, bottom, right, top), width, height))


def lonlat(x, y, crs="EPSG:3857"):
    return pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)


def big(tmp_path, overviews=None, mask=None, bands=2, **options):
    """1504 × 1296 pixels of 10 m, upper left corner on a corner of tiles at zoom 14 to 9."""
    values = RNG.integers(1, 60_000, (bands, 1296, 1504)).astype("uint16")
    step = WORLD / 2**14 / 256
    place = Affine(step, 0, WORLD / 2**14 * 512, 0, -step, WORLD / 2**14 * 1024)
    path = write(tmp_path / f"{uuid.uuid4()}.tif", values, crs="EPSG:3857", transform=place,
                 overviews=overviews, mask=mask, tiled=True, **options)  # fmt: skip
    return path, values


def box(west, south, east, north):
    return {"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]]}  # fmt: skip


def around_mercator(file):
    corners = [at(file.transform, c, r) for c in (0, file.width) for r in (0, file.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
