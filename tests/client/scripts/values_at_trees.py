"""The reflectance of a scene at single trees: points and pixels of a node belong to the same place."""

import json
import sys

import ellipsis as el

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("values_at_trees", "a password")


def f(params):
    scene = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]
    trees = params["f676af8b-f41f-41bd-b5c8-b13d62de7911"]["vector"]
    height, width = scene["raster"].shape[1:]
    found = []
    for i in range(len(trees)):
        point = trees["geometry"].values[i]
        column, row = ~scene["transform"] * (point.x, point.y)
        if 0 <= int(row) < height and 0 <= int(column) < width:
            value = [int(v) for v in scene["raster"][:, int(row), int(column)]]
            found.append({"x": point.x, "y": point.y, "species": trees["species"].values[i], "value": value})
    return found


layers = [
    {"pathId": "1791d90c-86ee-417e-aa04-0e22447f6fd9", "timestampId": "32fc7fae-cbfe-4a76-8267-83b692ece730"},
    {"pathId": "8ce55c33-b4e5-4753-a51e-a7e883b34bb4", "timestampId": "f676af8b-f41f-41bd-b5c8-b13d62de7911"},
]
computeId = el.compute.createCompute(layers, token, nodes=2, interpreter=f"python3.{sys.version_info[1]}")["id"]
res = el.compute.execute(computeId, f, token)
el.compute.terminateCompute(computeId, token)
print(json.dumps([tree for part in res for tree in part]))
