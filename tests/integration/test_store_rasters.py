"""Rasters into the store: real files of every format, and the ones that must be refused."""

import shutil
import subprocess
import sys
import warnings
import zipfile
from io import BytesIO

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin

from ellipsis_local.errors import ArgumentError, LayerError, LayerWarning

RNG = np.random.default_rng(1)
PLACE = from_origin(662020, 6784460, 10, 10)


def write(path, values, *, driver="GTiff", crs="EPSG:3857", transform=PLACE, nodata=None, **options):
    bands, height, width = values.shape
    profile = {"driver": driver, "width": width, "height": height, "count": bands, "dtype": str(values.dtype)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **profile, crs=crs, transform=transform, nodata=nodata, **options) as dataset:
            dataset.write(values)
    return path


def added(store, source, **arguments):
    (file,) = store.timestamp(*store.add(source, **arguments)).files
    return file


def pixels(detail):
    with rasterio.open(detail.location) as dataset:
        return dataset.read()


FORMATS = {
    "a.tif": {"driver": "GTiff"},
    "a.img": {"driver": "HFA"},
    "a.dat": {"driver": "ENVI"},
    "a.png": {"driver": "PNG", "WORLDFILE": "YES"},
    "a.jp2": {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"},
}


@pytest.mark.parametrize(("name", "options"), FORMATS.items(), ids=FORMATS)
def test_formats(store, tmp_path, name, options):
    values = RNG.integers(1, 250, (3, 60, 50), dtype="uint8")
    source = write(tmp_path / name, values, **options)
    file = added(store, source)
    detail = file.detail
    assert (detail.crs, detail.width, detail.height, detail.bands, detail.dtype) == ("EPSG:3857", 50, 60, 3, "uint8")
    assert detail.transform == tuple(PLACE)[:6]
    np.testing.assert_array_equal(pixels(detail), values)
    assert file.main in file.parts
    assert file.location.is_file()


@pytest.mark.parametrize(
    "dtype", ["int8", "uint16", "int32", "int64", "uint64", "float32", "float64", "complex64", "complex128"]
)
def test_dtypes_of_arrays(store, dtype):
    values = (RNG.random((2, 30, 20)) * 100).astype(dtype)
    detail = added(store, {"raster": values, "transform": PLACE, "crs": "EPSG:28992"}).detail
    assert (detail.dtype, detail.crs, detail.bands) == (dtype, "EPSG:28992", 2)
    read = pixels(detail)
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"raster": np.ones((3, 3), bool)}, "bool.*uint8"),
        ({"raster": np.ones((3, 3), "float16")}, "float16.*float32"),
        ({"raster": np.ones((3, 3), object)}, "object"),
        ({"raster": np.ones((3, 3), "U3")}, "no pixel"),
        ({"raster": np.ones((3, 3), np.longdouble)}, "no pixel"),
        ({"raster": np.ones(3)}, "shape"),
        ({"raster": np.ones((1, 1, 3, 3))}, "shape"),
        ({"raster": np.ones((1, 0, 3))}, "shape"),
        ({"raster": [[1]]}, "numpy.ndarray"),
        ({"transform": (1, 2)}, "transform"),
        ({"transform": Affine.identity()}, "nowhere"),
        ({"transform": (0, 0, 1, 0, 0, 1)}, "nowhere"),
        ({"transform": (1, 0, float("nan"), 0, -1, 1)}, "six coefficients"),
        ({"transform": "abcdef"}, "transform"),
        ({"crs": None}, "has no CRS"),
        ({"crs": "nonsense"}, "cannot be read"),
        ({"nodata": 300, "raster": np.ones((3, 3), "uint8")}, "cannot occur"),
        ({"nodata": float("nan"), "raster": np.ones((3, 3), "uint8")}, "cannot occur"),
        ({"nodata": "x"}, "nodata must be of type float"),
        ({"bounds": 3}, "not 'bounds'"),
        ({"raster": np.ma.masked_equal(np.arange(9).reshape(3, 3), 4)}, "masked"),
    ],
)
def test_bad_arrays(store, source, words):
    whole = {"raster": np.ones((3, 3)), "transform": PLACE, "crs": "EPSG:3857"} | source
    with pytest.raises((ArgumentError, LayerError), match=words):
        store.add(whole)
    assert store.list() == ()
    assert list(store.home.layers.iterdir()) == []


def test_kinds_of_crs_transform_and_shape(store):
    import pyproj

    values = np.arange(12, dtype="float32").reshape(3, 4)
    for crs in ("EPSG:3857", 3857, pyproj.CRS(3857), rasterio.CRS.from_epsg(3857), pyproj.CRS(3857).to_wkt()):
        for transform in (PLACE, tuple(PLACE)[:6], list(PLACE), np.array(PLACE)[:6]):
            detail = added(store, {"raster": values, "transform": transform, "crs": crs, "extent": {}}).detail
            assert (detail.crs, detail.transform, detail.bands) == ("EPSG:3857", tuple(PLACE)[:6], 1)
    big = added(store, {"raster": values.astype(">f4")[:, ::-1], "transform": PLACE, "crs": 3857}).detail
    np.testing.assert_array_equal(pixels(big)[0], values[:, ::-1])
    masked = np.ma.masked_equal(values, 4)
    detail = added(store, {"raster": masked, "transform": PLACE, "crs": 3857, "nodata": -1}).detail
    assert (detail.nodata, pixels(detail)[0, 1, 0]) == (-1, -1)


def test_a_crs_without_a_code_is_kept_whole(store, tmp_path):
    import pyproj

    crs = pyproj.CRS("+proj=laea +lat_0=5 +lon_0=20 +datum=WGS84 +units=m")
    detail = added(store, write(tmp_path / "a.tif", np.ones((1, 5, 5), "uint8"), crs=crs.to_wkt())).detail
    assert pyproj.CRS(detail.crs).equals(crs)


def test_overrides(store, tmp_path):
    values = np.ones((1, 5, 5), "int16")
    bare = write(tmp_path / "a.tif", values, crs=None)
    with pytest.raises(LayerError, match="no CRS; pass epsg"):
        store.add(bare)
    file = added(store, bare, epsg=28992, nodata=-1)
    assert (file.detail.crs, file.detail.nodata) == ("EPSG:28992", -1)
    assert file.options == {"epsg": 28992, "nodata": -1}
    other = added(store, bare, epsg=3857)
    assert other.content != file.content
    for arguments, words in (({"epsg": 1}, "no EPSG code 1"), ({"epsg": "x"}, "type int")):
        with pytest.raises(ArgumentError, match=words):
            store.add(bare, **arguments)
    with pytest.warns(LayerWarning, match=r"noDataValue=0\.5 cannot occur in int16, so no pixel is missing"):
        assert added(store, bare, epsg=3857, nodata=0.5).detail.nodata is None


def test_a_nodata_tag_that_no_pixel_can_have_is_none(store, tmp_path):
    path = write(tmp_path / "a.tif", np.ones((1, 5, 5), "uint8"))
    # GDAL writes it without checking.
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="5"><SRS>EPSG:3857</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>-9999</NoDataValue><SimpleSource>'
        f"<SourceFilename relativeToVRT='1'>{path.name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    assert added(store, vrt).detail.nodata is None


def test_vrt_becomes_a_geotiff_that_stands_alone(store, tmp_path):
    values = RNG.integers(0, 1000, (1, 40, 30), dtype="uint16")
    tiles = tmp_path / "data" / "tiles"
    tiles.mkdir(parents=True)
    write(tiles / "a.tif", values, nodata=0)
    (tmp_path / "data" / "all.vrt").write_text(
        '<VRTDataset rasterXSize="30" rasterYSize="40"><SRS>EPSG:3857</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        '<VRTRasterBand dataType="UInt16" band="1"><NoDataValue>0</NoDataValue><SimpleSource>'
        "<SourceFilename relativeToVRT='1'>tiles/a.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    file = added(store, tmp_path / "data" / "all.vrt")
    shutil.rmtree(tmp_path / "data")
    assert (file.format, file.main) == ("tif", "all.tif")
    np.testing.assert_array_equal(pixels(file.detail), values)


def test_sidecars_come_along(store, tmp_path):
    path = write(tmp_path / "a.tif", RNG.integers(0, 255, (1, 300, 300), dtype="uint8"), TFW="YES")
    with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><Metadata><MDI key='k'>v</MDI></Metadata></PAMDataset>")
    file = added(store, path)
    assert {"a.tif", "a.tif.ovr", "a.tif.aux.xml"} <= set(file.parts)
    with rasterio.open(file.detail.location) as dataset:
        assert dataset.overviews(1) == [2]
        assert dataset.tags()["k"] == "v"


REFUSED = {
    "identity": (lambda path: write(path, np.ones((1, 5, 5), "uint8"), transform=Affine.identity()), "no georeference"),
    "text": (lambda path: path.write_text("hello") and path, "tif"),
    "empty": (lambda path: path.touch() or path, "is empty"),
    "folder": (lambda path: path.mkdir() or path, "is a folder"),
    "nothing": (lambda path: path, "is not there"),
    "local crs": (
        lambda path: write(
            path, np.ones((1, 5, 5), "uint8"), crs='LOCAL_CS["x",UNIT["metre",1],AXIS["E",EAST],AXIS["N",NORTH]]'
        ),
        "no place on a map",
    ),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(store, tmp_path, make, words):
    source = make(tmp_path / "a.tif")
    with pytest.raises(LayerError, match=words) as caught:
        store.add(source)
    assert "a.tif" in str(caught.value)
    assert store.list() == ()
    assert list(store.home.layers.iterdir()) == []


def test_control_points_only(store, tmp_path):
    corners = [(0, 0, 5, 52), (0, 5, 6, 52), (5, 0, 5, 51), (5, 5, 6, 51)]
    gcps = [GroundControlPoint(row, col, x, y) for row, col, x, y in corners]
    profile = {"driver": "GTiff", "width": 5, "height": 5, "count": 1, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(tmp_path / "a.tif", "w", **profile, gcps=gcps, crs="EPSG:4326") as dataset:
            dataset.write(np.ones((1, 5, 5), "uint8"))
    with pytest.raises(LayerError, match="warp it first"):
        store.add(tmp_path / "a.tif", epsg=4326)


@pytest.mark.parametrize("part", [0.02, 0.5, 0.97])
@pytest.mark.parametrize(("name", "options"), FORMATS.items(), ids=FORMATS)
def test_truncated(store, tmp_path, name, options, part):
    path = write(tmp_path / name, RNG.integers(1, 250, (3, 300, 300), dtype="uint8"), **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(LayerError, match="a\\."):
        store.add(path)


def test_bands_of_several_dtypes(store, tmp_path):
    write(tmp_path / "a.tif", np.ones((1, 5, 5), "uint8"))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{i}"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i, kind in enumerate(("Byte", "Float32"), start=1)
    )
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="5" rasterYSize="5"><SRS>EPSG:3857</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        f"{bands}</VRTDataset>"
    )
    with pytest.raises(LayerError, match="several dtypes"):
        store.add(tmp_path / "a.vrt")


def test_zipped_and_from_memory(store, tmp_path):
    values = RNG.integers(0, 255, (2, 20, 20), dtype="uint8")
    path = write(tmp_path / "a.tif", values)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(path, "inner/a.tif")
    file = added(store, tmp_path / "b.zip")
    assert (file.format, file.main) == ("zip", "b.zip")
    np.testing.assert_array_equal(pixels(file.detail), values)
    memory = BytesIO(path.read_bytes())
    memory.seek(100)
    np.testing.assert_array_equal(pixels(added(store, memory).detail), values)


def test_geopackage_with_both_kinds(store, tmp_path):
    import geopandas
    import shapely

    path = tmp_path / "both.gpkg"
    write(path, RNG.integers(0, 255, (3, 256, 256), dtype="uint8"), driver="GPKG", RASTER_TABLE="image")
    frame = geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(1, 2)], crs=4326)
    frame.to_file(path, layer="points", mode="a")
    with pytest.raises(LayerError, match="type='raster' or type='vector'"):
        store.add(path)
    raster = store.add(path, type="raster")
    assert store.timestamp(*raster).rasters[0].width == 256
    assert store.timestamp(*store.add(path, type="vector")).vectors[0].features == 1


def test_nothing_is_printed(tmp_path):
    """GDAL, rasterio and pyogrio stay silent, also on the file descriptors below Python's streams."""
    write(tmp_path / "whole.tif", np.ones((1, 300, 300), "uint8"))
    data = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) // 2])
    write(tmp_path / "bare.tif", np.ones((1, 5, 5), "uint8"), transform=Affine.identity())
    (tmp_path / "bad.geojson").write_text('{"type": "FeatureCollection", "features": [{"type": "Fea')
    (tmp_path / "bad.gpkg").write_bytes(b"SQLite format 3\0" + bytes(4000))
    program = """
import sys
from pathlib import Path
from ellipsis_local.database import Database
from ellipsis_local.errors import LayerError
from ellipsis_local.home import Home
from ellipsis_local.store import SCHEMA, LayerStore
root = Path(sys.argv[1])
home = Home(root / "home")
home.prepare()
store = LayerStore(home, Database(home.database, SCHEMA))
path_id, timestamp_id = store.add(root / "whole.tif")
store.export(path_id, timestamp_id, root / "out.tif")
for name in ("cut.tif", "bare.tif", "bad.geojson", "bad.gpkg"):
    try:
        store.add(root / name)
    except LayerError:
        continue
    sys.exit(name)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
