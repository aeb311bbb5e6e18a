"""A GeoPackage of the buildings of every node, with the area of each, written to a new layer."""

import json
import sys

import ellipsis as el

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("buildings_to_layer", "a password")


def f(params):
    from io import BytesIO

    buildings = params["c208c8ab-1086-45fb-a827-f6bcaedab3ae"]["vector"]
    buildings["area"] = buildings.to_crs("EPSG:32631").area
    memory = BytesIO()
    buildings[["building_id", "area", "geometry"]].to_file(memory, driver="GPKG")
    return memory


pathId = el.path.vector.add("areas", token)["id"]
timestampId = el.path.vector.timestamp.add(pathId, token)["id"]
layers = [{"pathId": "c0b4fea8-68c7-439b-9751-c1505a7a90a2", "timestampId": "c208c8ab-1086-45fb-a827-f6bcaedab3ae"}]
interpreter = f"python3.{sys.version_info[1]}"
computeId = el.compute.createCompute(layers, token, nodes=2, interpreter=interpreter, largeResult=True)["id"]
target = {"pathId": pathId, "timestampId": timestampId, "file": {"format": "gpkg"}}
el.compute.execute(computeId, f, token, writeToLayer=target)
el.compute.terminateCompute(computeId, token)
el.path.vector.timestamp.activate(pathId, timestampId, token)
sh = el.path.vector.timestamp.listFeatures(pathId, timestampId, token)["result"]
print(json.dumps({str(row["building_id"]): row["area"] for i, row in sh.iterrows()}))
