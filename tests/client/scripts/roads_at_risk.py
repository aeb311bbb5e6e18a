"""How low the roads lie: the lines of each node burned into the grid of its elevation."""

import json
import sys

import ellipsis as el

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("roads_at_risk", "a password")


def f(params):
    import numpy as np
    from rasterio.features import rasterize

    risk = params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]
    roads = params["0383ca27-9e34-4c1a-bdfc-1ae0e7dbc648"]["vector"]
    if len(roads) == 0:
        return {"roads": 0, "pixels": 0, "sum": 0.0}
    shape = risk["raster"].shape[1:]
    burned = rasterize(list(roads["geometry"]), out_shape=shape, transform=risk["transform"], all_touched=True)
    heights = risk["raster"][0][burned == 1]
    return {"roads": len(roads), "pixels": int(np.sum(burned)), "sum": float(np.sum(heights, dtype="float64"))}


layers = [
    {"pathId": "559bf6e4-ef58-478a-a305-b0fa9db68ba7", "timestampId": "b51d252d-b15a-4b63-9675-9e17ef99ebf5"},
    {"pathId": "065f6d42-abe2-456d-a17d-b4911bf2b6d3", "timestampId": "0383ca27-9e34-4c1a-bdfc-1ae0e7dbc648"},
]
computeId = el.compute.createCompute(layers, token, nodes=2, interpreter=f"python3.{sys.version_info[1]}")["id"]
res = el.compute.execute(computeId, f, token)
el.compute.terminateCompute(computeId, token)
print(json.dumps(res))
