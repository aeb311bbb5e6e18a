"""Vegetation lost between two Landsat scenes: every node counts its pixels, the caller adds them up."""

import json
import sys

import ellipsis as el

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("landsat_map_reduce", "a password")


def f(params):
    import numpy as np

    def ndvi(scene):
        nir, red = scene[1].astype("float32"), scene[2].astype("float32")
        return (nir - red) / np.maximum(nir + red, 1)

    before = params["85000000-0000-4000-8000-000000000001"]["raster"]
    after = params["20000000-0000-4000-8000-000000000001"]["raster"]
    valid = np.all(before > 0, axis=0) & np.all(after > 0, axis=0)
    lost = ndvi(before)[valid] - ndvi(after)[valid] > 0.3
    return {"valid": int(valid.sum()), "lost": int(lost.sum())}


layers = [
    {"pathId": "85000000-0000-4000-8000-000000000000", "timestampId": "85000000-0000-4000-8000-000000000001"},
    {"pathId": "20000000-0000-4000-8000-000000000000", "timestampId": "20000000-0000-4000-8000-000000000001"},
]
interpreter = f"python3.{sys.version_info[1]}"
shares = []
for nodes in (1, 3):
    computeId = el.compute.createCompute(layers, token, nodes=nodes, interpreter=interpreter)["id"]
    res = el.compute.execute(computeId, f, token)
    el.compute.terminateCompute(computeId, token)
    shares.append([sum(r["valid"] for r in res), sum(r["lost"] for r in res)])
print(json.dumps(shares))
