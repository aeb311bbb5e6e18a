"""What `add` accepts, every later step reads: it is cut, warped, exported and asked over HTTP; the rest is refused with
a way out.

Rasters: every driver that GDAL can write here, with every dtype. Vectors: every format with every kind of geometry; their
dtypes are in test_one_feature_one_answer.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import warnings
import zipfile

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.shutil
import requests
import shapely
from affine import Affine

from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import LayerError

from .imagery_tools import opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ellipsis_local.LayerWarning", "ignore::ellipsis_local.FidelityWarning"),
]

UTM, GRID = "EPSG:32631", Affine(10, 0, 600_000, 0, -10, 5_800_000)
BANDS = dict.fromkeys(
    ("AAIGrid", "SAGA", "RST", "GS7BG", "GSBG", "GIF", "USGSDEM", "XYZ", "ILWIS", "BMP", "netCDF", "RMF"), 1
) | {"JPEG": 3, "WEBP": 3}  # fmt: skip
DTYPES = (
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "complex64",
    "complex128",
)  # fmt: skip
DRIVERS = {
    "GTiff": ".tif", "COG": ".tif", "HFA": ".img", "ENVI": ".dat", "EHdr": ".bil", "ERS": ".ers", "PCIDSK": ".pix",
    "GPKG": ".gpkg", "VRT": ".vrt", "netCDF": ".nc", "AAIGrid": ".asc", "PNG": ".png", "JPEG": ".jpg", "GIF": ".gif",
    "BMP": ".bmp", "WEBP": ".webp", "JP2OpenJPEG": ".jp2", "SAGA": ".sdat", "RST": ".rst", "RMF": ".rsw",
    "GS7BG": ".grd", "GSBG": ".grd", "RRASTER": ".grd", "ILWIS": ".mpr", "USGSDEM": ".dem", "MFF": ".hdr",
    "NITF": ".ntf", "XYZ": ".xyz", "Zarr": ".zarr", "zip": ".zip",
}  # fmt: skip
"""By GDAL's name. What this build lacks, or does not write, is not asked of it."""
OPTIONS = {"JP2OpenJPEG": {"QUALITY": "100", "REVERSIBLE": "YES"}, "PNG": {"WORLDFILE": "YES"}}
LOSSY = {"JPEG", "WEBP", "GIF", "USGSDEM"}
WAY_OUT = r"gdal_translate|gdalwarp|ogr2ogr|convert|write it|pass |add |rasters: GeoTIFF|real and imaginary|split"


def written(driver, dtype, folder):
    """A file of a driver and dtype; None where GDAL does not write such."""
    folder.mkdir()
    plain, target = folder / "plain.tif", folder / f"layer{DRIVERS[driver]}"
    shape = BANDS.get(driver, 2), 24, 30
    values = (np.arange(np.prod(shape)).reshape(shape) % 120).astype(dtype)
    with rasterio.open(
        plain, "w", driver="GTiff", count=shape[0], height=24, width=30, dtype=dtype, crs=UTM, transform=GRID
    ) as file:
        file.write(values)
    if driver == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            archive.write(plain, "plain.tif")
        return target
    try:
        rasterio.shutil.copy(plain, target, driver=driver, strict=driver not in LOSSY, **OPTIONS.get(driver, {}))
        with rasterio.open(target) as file:
            file.read()
    except (rasterio.errors.RasterioError, rasterio._err.CPLE_BaseError, ValueError, SystemError):
        return None
    return target


def ask(server, path, token, **query):
    with requests.Session() as session:
        session.trust_env = False
        query = {name: json.dumps(value) if not isinstance(value, int) else value for name, value in query.items()}
        answer = session.get(
            f"{server.url}{path}", params=query, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
    assert answer.status_code == 200, answer.text
    return answer


def parts(el, token, layers, crs, nodes):
    """Per timestamp the arrays or frames that nodes receive, of one compute for all: it may have any mixture of them."""
    el.configure(crs=crs)
    interpreter = f"python3.{sys.version_info[1]}"
    compute_id = el.compute.createCompute(layers, token, nodes=nodes, interpreter=interpreter)["id"]
    found = el.compute.execute(compute_id, received, token)
    el.compute.terminateCompute(compute_id, token)
    return {layer["timestampId"]: [part[layer["timestampId"]] for part in found] for layer in layers}


def received(params):
    return {key: value["raster"] if "raster" in value else value["vector"] for key, value in params.items()}


@pytest.mark.parametrize("driver", DRIVERS)
def test_rasters_of_every_driver_and_dtype(el, token, server, tmp_path, driver) -> None:
    el.configure(inline=True)
    made, refused, layers = 0, [], []
    for dtype in DTYPES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = written(driver, dtype, tmp_path / dtype)
        if source is None:
            continue
        made += 1
        try:
            layer = el.layers.add(source, epsg=None if driver in ("GTiff", "COG", "zip") else 32631)
        except LayerError as error:
            refused.append(str(error))
            continue
        with rasterio.open(f"/vsizip/{source}/plain.tif" if driver == "zip" else source) as file:
            values, nodata = file.read(), file.nodata
        target = tmp_path / dtype / "exported.tif"
        el.layers.export(layer["pathId"], layer["timestampId"], target)
        with rasterio.open(target) as file:
            np.testing.assert_array_equal(file.read(), values)
        layers.append((layer, values, {0 if nodata is None else nodata}))
        place = f"/path/{layer['pathId']}/raster/timestamp/{layer['timestampId']}"
        bounds = current_emulator().store.bounds(layer["pathId"], layer["timestampId"]).bounds
        middle = [(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2]
        (answer,) = ask(server, f"{place}/location", token, locations=[middle]).json()
        assert len(answer) == len(values)
        extent = dict(zip(("xMin", "xMax", "yMin", "yMax"), mercator(bounds), strict=True))
        image = opened(ask(server, f"{place}/rasterByExtent", token, extent=extent, width=9, height=7).content)
        assert sorted(image.shape) == sorted((len(values) + 1, 7, 9))
    if not made:
        pytest.skip(f"this GDAL does not write {driver}")
    for crs in ("native", "EPSG:3857") if layers else ():
        of_nodes = parts(el, token, [layer for layer, *_ in layers], crs, nodes=3)
        for layer, values, outside in layers:
            arrays = of_nodes[layer["timestampId"]]
            assert {array.dtype for array in arrays} == {values.dtype}
            assert set().union(*(array.ravel().tolist() for array in arrays)) <= set(values.ravel().tolist()) | outside
            if crs == "native":
                assert sum(array.size for array in arrays) == values.size
    for text in refused:
        assert re.search(WAY_OUT, text), text


def mercator(bounds):
    shape = gpd.GeoSeries([shapely.box(*bounds)], crs=4326).to_crs(3857)
    x_min, y_min, x_max, y_max = shape.total_bounds
    return x_min, x_max, y_min, y_max


# ----- vectors --------------------------------------------------------------------------------------------------------

KINDS = {
    "Point": "POINT{0} (600010 5799990{1})",
    "LineString": "LINESTRING{0} (600010 5799990{1}, 600090 5799900{1})",
    "Polygon": "POLYGON{0} ((600010 5799990{1}, 600090 5799990{1}, 600090 5799900{1}, 600010 5799990{1}))",
    "MultiPoint": "MULTIPOINT{0} ((600010 5799990{1}), (600020 5799980{1}))",
    "MultiLineString": "MULTILINESTRING{0} ((600010 5799990{1}, 600090 5799900{1}), (600010 5799900{1}, 600090 5799990{1}))",
    "MultiPolygon": "MULTIPOLYGON{0} (((600010 5799990{1}, 600090 5799990{1}, 600090 5799900{1}, 600010 5799990{1})))",
    "GeometryCollection": "GEOMETRYCOLLECTION{0} (POINT{0} (600010 5799990{1}))",
}
FORMATS = {
    ".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile", ".parquet": None,
}  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_vectors_of_every_format_and_geometry(el, token, server, tmp_path, suffix) -> None:
    el.configure(inline=True)
    layers = {}
    # Every kind with every dimension: test_one_feature_one_answer, which does not ask over HTTP.
    for kind, dimensions in zip(KINDS, itertools.cycle(("", " Z")), strict=False):
        # A shapefile holds no collections, and does not tell one part from several.
        if suffix != ".shp" or kind != "GeometryCollection":
            like = {kind, f"Multi{kind}", kind.removeprefix("Multi")} if suffix == ".shp" else {kind}
            folder = tmp_path / f"{kind}{dimensions}"
            folder.mkdir()
            layer = check_vector(el, token, server, folder, suffix, kind, dimensions, like)
            layers[layer["timestampId"]] = layer, dimensions, like
    for crs in ("native", "EPSG:3857"):
        for key, frames in parts(el, token, [layer for layer, *_ in layers.values()], crs, nodes=2).items():
            whole, (_, dimensions, like) = pd.concat(frames), layers[key]
            assert len(whole) == 4
            assert set(whole.geometry.geom_type) <= like
            assert whole.geometry.has_z.all() == bool(dimensions)
            if suffix != ".shp":
                assert sorted(map(str, whole["number"])) == sorted(["9007199254740993", "<NA>", "-3", "4"])


def check_vector(el, token, server, folder, suffix, kind, dimensions, like):
    """Write, add, export and ask over HTTP; the layer."""
    shape = shapely.from_wkt(KINDS[kind].format(dimensions, " 7" if dimensions else ""))
    numbers = [2**53 + 1, None, -3, 4]
    frame = gpd.GeoDataFrame(
        {
            "number": pd.array(numbers, dtype="Int64"), "share": [0.5, None, 1e12, -0.25],
            "text": ["a", None, "ü", ""], "day": pd.to_datetime(["2020-02-29", None, "1969-12-31", "2100-01-01"]),
        },
        geometry=[shape] * 4, crs=UTM,
    )  # fmt: skip
    source = folder / f"layer{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(source)
    else:
        frame.to_file(source, driver=FORMATS[suffix])
    layer = el.layers.add(source, epsg=32631)
    target = folder / "exported.gpkg"
    el.layers.export(layer["pathId"], layer["timestampId"], target)
    exported = gpd.read_file(target, use_arrow=True)
    assert set(exported.geometry.geom_type) <= like
    assert exported.geometry.has_z.all() == bool(dimensions)
    place = f"/path/{layer['pathId']}/vector/timestamp/{layer['timestampId']}"
    features = ask(server, f"{place}/listFeatures", token).json()["result"]["features"]
    assert {one["geometry"]["type"] for one in features} <= like
    received = [one["properties"] for one in features]
    if suffix != ".shp":
        assert [one.get("number") for one in received] == numbers
    assert [one.get("share") for one in received] == [0.5, None, 1e12, -0.25]
    assert [one.get("text", "") for one in received] == ["a", "", "ü", ""]
    # A .dbf has no type for times; pyogrio writes them as text.
    received = [one | {"day": str(one.get("day", "")).replace("/", "-")} for one in received]
    assert [one["day"][:10] for one in received] == ["2020-02-29", "", "1969-12-31", "2100-01-01"]
    return layer
