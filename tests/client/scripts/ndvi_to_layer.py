"""A GeoTIFF of the vegetation index from every node, written to a new layer."""

import json
import sys

import ellipsis as el

el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("ndvi_to_layer", "a password")


def f(params):
    from io import BytesIO

    import numpy as np
    from rasterio.io import MemoryFile

    scene = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]
    red, nir = scene["raster"][2].astype("float32"), scene["raster"][3].astype("float32")
    ndvi = np.where(red + nir > 0, (nir - red) / np.maximum(nir + red, 1), np.nan).astype("float32")
    memory = MemoryFile()
    with memory.open(
        driver="GTiff",
        width=ndvi.shape[1],
        height=ndvi.shape[0],
        count=1,
        dtype="float32",
        crs="EPSG:3857",
        transform=scene["transform"],
        nodata=np.nan,
    ) as file:
        file.write(ndvi, 1)
    memory.seek(0)
    return BytesIO(memory.read())


pathId = el.path.raster.add("ndvi", token)["id"]
timestampId = el.path.raster.timestamp.add(pathId, token)["id"]
layers = [{"pathId": "1791d90c-86ee-417e-aa04-0e22447f6fd9", "timestampId": "32fc7fae-cbfe-4a76-8267-83b692ece730"}]
interpreter = f"python3.{sys.version_info[1]}"
computeId = el.compute.createCompute(layers, token, nodes=2, interpreter=interpreter, largeResult=True)["id"]
el.compute.execute(computeId, f, token, writeToLayer={"pathId": pathId, "timestampId": timestampId})
el.compute.terminateCompute(computeId, token)
el.path.raster.timestamp.activate(pathId, timestampId, token)
bounds = el.path.raster.timestamp.getBounds(pathId, timestampId, token).bounds
print(json.dumps({"pathId": pathId, "timestampId": timestampId, "bounds": bounds}))
