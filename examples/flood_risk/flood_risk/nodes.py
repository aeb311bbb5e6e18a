"""What runs on the nodes: each function gets one partition, and is sent as text, so that it names all that it needs."""


def water_area(params):
    """Pixels of the partition below the water level of 12 m, and their area in square metres of the map."""
    height = params["7a5f7f40-62a8-4c3a-b1a8-6d2c1c3f8e11"]
    below = (height["raster"][0] < 12) & (height["raster"][0] != height["nodata"])
    transform = height["transform"]
    return {"pixels": int(below.sum()), "area": float(below.sum() * abs(transform.a * transform.e))}


def ground_under_buildings(params):
    """Per building the sum and the number of the pixels under it, as far as they lie in this partition."""
    from rasterio.features import rasterize

    height = params["7a5f7f40-62a8-4c3a-b1a8-6d2c1c3f8e11"]
    buildings = params["c4b0ab6f-6e0c-4d52-8c88-53e6f1a7f2d3"]
    raster = height["raster"][0]
    if raster.size == 0:
        return []
    rows = []
    for number, geometry in zip(buildings["building_id"], buildings.geometry, strict=True):
        under = rasterize([geometry], out_shape=raster.shape, transform=height["transform"], all_touched=True) == 1
        under &= raster != height["nodata"]
        if under.any():
            rows.append({"building": int(number), "sum": float(raster[under].sum()), "pixels": int(under.sum())})
    return rows


def depth_map(params):
    """The depth of the water at a level of 12 m, as a GeoTIFF of the partition; dry ground is nodata."""
    from io import BytesIO

    import numpy as np
    import rasterio

    height = params["7a5f7f40-62a8-4c3a-b1a8-6d2c1c3f8e11"]
    ground = height["raster"][0]
    depth = np.where((ground < 12) & (ground != height["nodata"]), 12 - ground, -1).astype("float32")
    file = BytesIO()
    with rasterio.open(
        file,
        "w",
        driver="GTiff",
        dtype="float32",
        nodata=-1,
        count=1,
        height=depth.shape[0],
        width=depth.shape[1],
        crs=height["crs"],
        transform=height["transform"],
    ) as target:
        target.write(depth, 1)
    return file
