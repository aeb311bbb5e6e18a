"""A GeoDataFrame from every node, put together by the caller, as scripts for clients before 3.3 did."""

import json
import sys

import ellipsis as el
import pandas as pd

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("frames", "a password")


def f(params):
    trees = params["f676af8b-f41f-41bd-b5c8-b13d62de7911"]["vector"]
    return trees[trees["height"] > 4]


layers = [{"pathId": "8ce55c33-b4e5-4753-a51e-a7e883b34bb4", "timestampId": "f676af8b-f41f-41bd-b5c8-b13d62de7911"}]
computeId = el.compute.createCompute(layers, token, nodes=2, interpreter=f"python3.{sys.version_info[1]}")["id"]
res = pd.concat(el.compute.execute(computeId, f, token))
el.compute.terminateCompute(computeId, token)
print(json.dumps({"type": type(res).__name__, "epsg": res.crs.to_epsg(), "heights": sorted(res["height"])}))
