"""A small factory of layers for the tests of partitions: real files, described as the store describes them."""

from __future__ import annotations

import hashlib
import io
import json
import math
import uuid
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import rasterio
from affine import Affine

from ellipsis_local.home import Home
from ellipsis_local.partitions import Partitioning, Partitions
from ellipsis_local.types import Extent, RasterFile, StoredFile, Timestamp, VectorFile

WHEN = datetime(2024, 5, 1, tzinfo=UTC)


def content(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def describe_raster(path, **overrides):
    with rasterio.open(path) as src:
        detail = {
            "location": str(path),
            "content": content(path),
            "crs": src.crs.to_string(),
            "transform": tuple(src.transform)[:6],
            "width": src.width,
            "height": src.height,
            "bands": src.count,
            "dtype": src.dtypes[0],
            "nodata": src.nodata,
            "block": src.block_shapes[0],
        }
    return RasterFile(**(detail | overrides))


def describe_vector(path, **overrides):
    path = Path(path)
    if path.suffix == ".parquet":
        frame = read_geoparquet(path)
        detail = {
            "crs": frame.crs.to_string(),
            "features": len(frame),
            "extent": Extent(*frame.total_bounds) if len(frame) else None,
            "fields": tuple(frame.columns),
            "format": "parquet",
        }
    else:
        info = pyogrio.read_info(path, force_total_bounds=True, force_feature_count=True)
        bounds = info["total_bounds"]
        detail = {
            "crs": info["crs"],
            "features": info["features"],
            "extent": Extent(*bounds) if bounds and all(map(math.isfinite, bounds)) else None,
            "fields": tuple(info["fields"]),
        }
    return VectorFile(**({"location": str(path), "content": content(path)} | detail | overrides))


def timestamp(*details, layer_id=None):
    files = tuple(
        StoredFile(
            str(uuid.uuid4()), Path(d.location).name, Path(d.location).parent, Path(d.location).name, 0, "", WHEN, d
        )
        for d in details
    )
    kind = "raster" if all(isinstance(d, RasterFile) for d in details) else "vector"
    return Timestamp(layer_id or str(uuid.uuid4()), str(uuid.uuid4()), kind, "active", None, WHEN, WHEN, files)


def write_raster(path, array, transform, crs="EPSG:3857", **profile):
    """A GeoTIFF of an array (bands, h, w); `transform` is six coefficients."""
    bands, height, width = array.shape
    settings = {"driver": "GTiff", "width": width, "height": height, "count": bands, "dtype": array.dtype, "crs": crs}
    with rasterio.open(path, "w", **settings, transform=Affine(*transform), **profile) as dst:
        dst.write(array)
    return describe_raster(path)


def raster_layer(path, array, transform, crs="EPSG:3857", layer_id=None, **profile):
    return timestamp(write_raster(path, array, transform, crs, **profile), layer_id=layer_id)


def vector_layer(path, frame, layer_id=None):
    if Path(path).suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path, engine="pyogrio")
    return timestamp(describe_vector(path), layer_id=layer_id)


def make_partitions(root, cores=2, cache_size=10**12, here="never"):
    home = Home(Path(root) / "home")
    home.prepare()
    return Partitions(home, cores=cores, cache_size=cache_size, here=here)


def pixels(part):
    """The array of a raster part, read as the program that runs the node does."""
    array = np.load(part.path)
    assert array.shape == part.shape
    assert array.dtype.str == part.dtype
    with Path(part.path).open("rb") as file:
        file.seek(part.offset)
        assert file.read() == array.tobytes()
    a, b, c, d, e, f = part.transform
    extent = part.extent
    assert (b, d) == (0, 0)
    assert (extent["xMin"], extent["yMax"]) == (c, f)
    assert math.isclose(extent["xMax"], c + a * array.shape[2], rel_tol=1e-12, abs_tol=1e-6)
    assert math.isclose(extent["yMin"], f + e * array.shape[1], rel_tol=1e-12, abs_tol=1e-6)
    return array


def read_geoparquet(source):
    """A GeoParquet file as geopandas reads it, but for its way to the CRS: it takes PROJ's ids out, and 16 ms with it."""
    table = pq.read_table(source)
    geo = json.loads(table.schema.metadata[b"geo"])
    systems = {name: column["crs"] for name, column in geo["columns"].items()}
    for column in geo["columns"].values():
        column["crs"] = None
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"geo": json.dumps(geo).encode()}), buffer)
    result = gpd.read_parquet(buffer)
    for name, crs in systems.items():
        result[name] = result[name].set_crs(crs)
    return result


def frame(part):
    result = read_geoparquet(part.path)
    assert len(result) == part.rows
    return result


def assemble(partitioning: Partitioning, layer=0):
    """The whole raster from its parts, and how often each pixel was in one: (array, counts, transform)."""
    parts = [node[layer] for node in partitioning.parts]
    a, _, _, _, e, _ = parts[0].transform
    filled = [p for p in parts if math.prod(p.shape)]
    left, top = min(p.extent["xMin"] for p in filled), max(p.extent["yMax"] for p in filled)
    right, bottom = max(p.extent["xMax"] for p in filled), min(p.extent["yMin"] for p in filled)
    shape = round((bottom - top) / e), round((right - left) / a)
    whole = np.zeros((parts[0].shape[0], *shape), parts[0].dtype)
    counts = np.zeros(shape, int)
    for part in parts:
        array = pixels(part)
        row, col = round((part.transform[5] - top) / e), round((part.transform[2] - left) / a)
        if array.size:
            h, w = array.shape[1:]
            whole[:, row : row + h, col : col + w] = array
            counts[row : row + h, col : col + w] += 1
    return whole, counts, (a, 0, left, 0, e, top)


def union_area(extents):
    """The rectangle around the cells, and what is left of its area when theirs is taken off (0 for a tiling)."""
    x0, y0 = min(e.x_min for e in extents), min(e.y_min for e in extents)
    x1, y1 = max(e.x_max for e in extents), max(e.y_max for e in extents)
    return Extent(x0, y0, x1, y1), (x1 - x0) * (y1 - y0) - sum(e.width * e.height for e in extents)


def assert_tiles(extents):
    """Cells that cover a rectangle without overlap or gap."""
    union, rest = union_area(extents)
    assert abs(rest) <= 1e-6 * union.width * union.height
    assert all(e.width > 0 and e.height > 0 for e in extents)
    for i, one in enumerate(extents):
        assert not any(one.intersects(other) for other in extents[i + 1 :])
    return union
