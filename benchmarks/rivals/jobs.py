"""The jobs as a user of plain libraries would write them, and the loop that times a rival.

    python with_RIVAL.py JOB NODES REPEAT LAYER

A rival is a class with `start`, `prepare(job, nodes, layer)` → a callable that does the job once, and `close`. `first`
is `prepare` and the first call, on processes that run and have answered; `again` are the calls after it.
"""

import json
import sys
import time
from itertools import pairwise

WORKERS = 2


def empty(_):
    return 1


def windows(layer, nodes):
    """Strips of whole rows of tiles: first row, first column, height, width."""
    import rasterio

    with rasterio.open(layer) as file:
        block = file.block_shapes[0][0]
        edges = [min(round(i * file.height / nodes / block) * block, file.height) for i in range(nodes + 1)]
        edges[-1] = file.height
        return [(top, 0, bottom - top, file.width) for top, bottom in pairwise(edges)]


def read_raster(layer, window):
    import rasterio
    from rasterio.windows import Window

    row, col, height, width = window
    with rasterio.open(layer) as file:
        return file.read(window=Window(col, row, width, height))


def ndvi_max(raster):
    red, nir = raster[2].astype("f4"), raster[3].astype("f4")
    return float(((nir - red) / (nir + red)).max())


def facts(layer):
    """Number of features and extent: of GeoParquet from its metadata, of other files from pyogrio."""
    if layer.endswith(".parquet"):
        from pyarrow.parquet import read_metadata

        metadata = read_metadata(layer)
        geo = json.loads(metadata.metadata[b"geo"])
        return metadata.num_rows, geo["columns"][geo["primary_column"]]["bbox"]
    import pyogrio

    info = pyogrio.read_info(layer, force_total_bounds=True)
    return info["features"], info["total_bounds"]


def boxes(layer, nodes):
    """Strips of equal height: y from and to."""
    _, (_, bottom, _, top) = facts(layer)
    edges = [bottom + i * (top - bottom) / nodes for i in range(nodes)] + [float("inf")]
    return [(edges[i] if i else float("-inf"), edges[i + 1]) for i in range(nodes)]


def read_polygons(layer, box):
    """The features whose centroid lies in the strip, so that each counts once."""
    import geopandas

    low, high = max(box[0], -3e7), min(box[1], 3e7)
    if layer.endswith(".parquet"):
        frame = geopandas.read_parquet(layer)  # as geopandas writes it, it has nothing to look places up by
    else:
        frame = geopandas.read_file(layer, bbox=(-3e7, low, 3e7, high), engine="pyogrio", use_arrow=True)
    y = frame.geometry.centroid.y
    return frame[(y >= box[0]) & (y < box[1])]


def area_and_count(frame):
    return [float(frame.geometry.area.sum()), len(frame)]


def read_and_ndvi(task):
    return ndvi_max(read_raster(*task))


def read_and_area(task):
    return area_and_count(read_polygons(*task))


def tasks_of(job, nodes, layer):
    if job == "empty":
        return list(range(nodes))
    cut = windows if job == "ndvi" else boxes
    return [(layer, place) for place in cut(layer, nodes)]


def check(job, nodes, layer, results):
    assert len(results) == nodes, results
    if job == "ndvi":
        assert 0 < max(results) <= 1, results
    if job == "polygons":
        assert sum(count for _, count in results) == facts(layer)[0], results


def main(rival):
    job, nodes, repeat, layer = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    clock = time.perf_counter
    began = clock()
    rival.start()
    rival.prepare("empty", WORKERS, layer)()
    times = {"start": [clock() - began], "first": [], "again": []}
    began = clock()
    run = rival.prepare(job, nodes, layer)
    results = run()
    times["first"].append(clock() - began)
    check(job, nodes, layer, results)
    for _ in range(repeat):
        began = clock()
        results = run()
        times["again"].append(clock() - began)
        check(job, nodes, layer, results)
    rival.close()
    print(json.dumps(times), flush=True)
