"""The jobs: they rent nodes, run a function on each, and reduce the results. Written for the service."""

import ellipsis
import pandas as pd

from flood_risk.nodes import depth_map, ground_under_buildings, water_area

HEIGHT = {"pathId": "f1f0cf4b-7e0f-4d35-9a49-93a5a0f04a52", "timestampId": "7a5f7f40-62a8-4c3a-b1a8-6d2c1c3f8e11"}
BUILDINGS = {"pathId": "0d2f8a6e-34c7-4f0a-8f55-0a4b7f0a9d4e", "timestampId": "c4b0ab6f-6e0c-4d52-8c88-53e6f1a7f2d3"}
LEVEL = 12
REQUIREMENTS = ["numpy", "rasterio", "geopandas"]


def run(function, layers, token, nodes, **options):
    """One compute for one function; it is terminated whatever happens, because it costs money."""
    compute = ellipsis.compute.createCompute(
        layers=layers, token=token, nodes=nodes, requirements=REQUIREMENTS, **options
    )["id"]
    try:
        return ellipsis.compute.execute(compute, function, token)
    finally:
        ellipsis.compute.terminateCompute(compute, token)


def total(parts):
    """Reduce `water_area`."""
    return {key: sum(part[key] for part in parts) for key in ("pixels", "area")}


def flooded(parts):
    """Reduce `ground_under_buildings`: the buildings whose mean ground lies below the water, with its depth."""
    rows = pd.DataFrame([row for part in parts for row in part], columns=["building", "sum", "pixels"])
    sums = rows.groupby("building").sum()
    depth = LEVEL - sums["sum"] / sums["pixels"]
    return depth[depth > 0].round(3).to_dict()


def flooded_area(token, nodes=4):
    """The area under water."""
    return total(run(water_area, [HEIGHT], token, nodes))


def flooded_buildings(token, nodes=4):
    """Depth of the water in metres per flooded building."""
    return flooded(run(ground_under_buildings, [HEIGHT, BUILDINGS], token, nodes))


def publish_depth(token, nodes=4):
    """Write the depth of the water to a new raster layer; its path id and timestamp id."""
    path = ellipsis.path.raster.add("water depth", token)["id"]
    timestamp = ellipsis.path.raster.timestamp.add(path, token)["id"]
    compute = ellipsis.compute.createCompute([HEIGHT], token, nodes=nodes, requirements=REQUIREMENTS, largeResult=True)
    try:
        results = ellipsis.compute.execute(compute["id"], depth_map, token)
        ellipsis.compute.addToLayer(results, path, timestamp, token)
    finally:
        ellipsis.compute.terminateCompute(compute["id"], token)
    return path, timestamp
