"""The functions that the demo sends to its nodes, by the rules of the service: they import what they use in their body.

The ids in them are those of the shipped fixture layers.
"""

from typing import Any


def summary(params: "dict[str, Any]") -> "dict[str, Any]":
    """What one partition holds, in numbers that can be added up over the partitions."""
    import numpy as np

    scene = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]
    buildings = params["c208c8ab-1086-45fb-a827-f6bcaedab3ae"]
    trees = params["f676af8b-f41f-41bd-b5c8-b13d62de7911"]
    parcels = params["6e54cd24-9e35-4caa-9a98-825b9119b3f8"]
    dem = params["b51d252d-b15a-4b63-9675-9e17ef99ebf5"]
    landcover = params["115d1335-b958-42d1-aa01-46ccdd710cf3"]

    bands = scene["raster"].astype("float64")
    valid = (bands != scene["nodata"]).all(axis=0)
    red, infrared = bands[2][valid], bands[3][valid]
    ndvi = (infrared - red) / (infrared + red)
    height = dem["raster"][dem["raster"] != dem["nodata"]]
    cover = landcover["raster"][landcover["raster"] != landcover["nodata"]]

    print(f"{valid.sum()} pixels, {len(buildings)} buildings, {len(trees)} trees, {len(parcels)} parcels")  # noqa: T201
    return {
        "shape": scene["raster"].shape,
        "pixels": int(valid.sum()),
        "ndvi_sum": float(ndvi.sum()),
        "lowest": float(height.min()) if height.size else None,
        "highest": float(height.max()) if height.size else None,
        "forest": int(np.count_nonzero(cover == 3)),
        "cover": int(cover.size),
        "buildings": len(buildings),
        "trees": len(trees),
        "parcels": len(parcels),
    }


def ndvi_picture(params: "dict[str, Any]") -> "Any":
    """The NDVI of one partition as a GeoTIFF in memory."""
    from io import BytesIO

    import numpy as np
    import rasterio

    scene = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]
    bands = scene["raster"].astype("float32")
    valid = (bands != scene["nodata"]).all(axis=0)
    total = np.where(valid, bands[3] + bands[2], 1)
    ndvi = np.where(valid, (bands[3] - bands[2]) / total, np.nan).astype("float32")

    file = BytesIO()
    with rasterio.open(
        file, "w", driver="GTiff", width=ndvi.shape[1], height=ndvi.shape[0], count=1, dtype="float32", nodata=np.nan,
        crs=scene["crs"], transform=scene["transform"], compress="deflate",
    ) as target:  # fmt: skip
        target.write(ndvi, 1)
    print(f"NDVI {np.nanmin(ndvi):.2f} to {np.nanmax(ndvi):.2f}")  # noqa: T201
    return file
