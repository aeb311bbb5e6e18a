"""The mean vegetation index of a scene: every node sums up its part, the caller divides."""

import json
import sys

import ellipsis as el

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("ndvi_map_reduce", "a password")


def f(params):
    import numpy as np

    scene = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]["raster"].astype("float64")
    red, nir = scene[2], scene[3]
    valid = red + nir > 0
    ndvi = (nir[valid] - red[valid]) / (nir[valid] + red[valid])
    return float(np.sum(ndvi)), int(np.sum(valid))


layers = [{"pathId": "1791d90c-86ee-417e-aa04-0e22447f6fd9", "timestampId": "32fc7fae-cbfe-4a76-8267-83b692ece730"}]
computeId = el.compute.createCompute(layers, token, nodes=3, interpreter=f"python3.{sys.version_info[1]}")["id"]
res = el.compute.execute(computeId, f, token)
el.compute.terminateCompute(computeId, token)
print(
    json.dumps(
        {"nodes": len(res), "count": sum(r[1] for r in res), "mean": sum(r[0] for r in res) / sum(r[1] for r in res)}
    )
)
