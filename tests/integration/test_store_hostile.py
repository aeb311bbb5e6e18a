"""Files from elsewhere that mean harm: bombs, lies, and files that send their reader to other files or the network.

Each is refused, as an upload and as a file of the user's own, with the name that it came under, soon, and without a
trace; nothing in it is fetched.
"""

import io
import json
import os
import shutil
import socket
import sqlite3
import struct
import zipfile
import zlib
from pathlib import Path

import geopandas
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, LayerWarning, LimitError, StoreError
from ellipsis_local.formats import limits
from ellipsis_local.formats.tiff import missing_bytes
from ellipsis_local.home import Home
from ellipsis_local.imagery import imagery as imagery_module
from ellipsis_local.store import SCHEMA, LayerStore, NewFile, Taken, sandbox
from ellipsis_local.store.staging import Overrides
from ellipsis_local.types import Extent

PLACE = from_origin(500_000, 6_000_000, 10, 10)
GIVEN = "What I call it {}"


@pytest.fixture(scope="module")
def looking():
    """The processes that look at uploads: those of the whole module, because starting one takes a second."""
    shared = sandbox.Inspectors()
    yield shared
    shared.close()


@pytest.fixture
def store(tmp_path, looking):
    home = Home(tmp_path / "home")
    home.prepare()
    made = LayerStore(home, Database(home.database, SCHEMA))
    made.intake.inspectors = looking
    yield made
    made.catalogue.database.close()


@pytest.fixture
def listener():
    """A port where nobody must call, as HOST:PORT."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture(autouse=True, scope="module")
def _one_guard(looking):
    """The processes are there before the guard of the first test counts."""
    looking.warm()


def upload(store, data, name, kind="raster", **arguments):
    """Add bytes the way that the server does; the file's record."""
    path_id = store.add_layer_path(kind, "target")
    timestamp_id = store.add_timestamp(path_id)
    folder = store.home.temporary(store.home.layers)
    try:
        arrived = folder / "tmp1234"
        arrived.write_bytes(data)
        store.add_files(path_id, timestamp_id, [NewFile(Taken(arrived), name, **arguments)])
    finally:
        shutil.rmtree(folder)
    return store.timestamp(path_id, timestamp_id).files[0]


def refused(store, data, suffix, kind, words, errors=(LayerError, LimitError), **arguments):
    """The error of an upload; it is what a path gives as well, and nothing is left of either."""
    name = GIVEN.format(suffix)
    with pytest.raises(errors, match=words or None) as caught:
        upload(store, data, name, kind, **arguments)
    assert name in str(caught.value)
    assert str(store.home.root) not in str(caught.value)
    assert ".new-" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert list(store.home.layers.iterdir()) == []
    assert store.catalogue.file_ids() == set()
    return caught.value


def write_tif(path, size=64, bands=1, **options):
    profile = {"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "uint8"}
    values = np.random.default_rng(0).integers(0, 255, (bands, size, size), dtype="uint8")
    with rasterio.open(path, "w", **(profile | options), crs="EPSG:3857", transform=PLACE) as dataset:
        dataset.write(values)
    return path


def tif(tmp_path, **options):
    return write_tif(tmp_path / "made.tif", **options).read_bytes()


def frame(count=10):
    points = shapely.points(np.arange(count) + 0.5, np.arange(count) * 2.0)
    return geopandas.GeoDataFrame({"a": np.arange(count)}, geometry=points, crs="EPSG:3857")


def vector(tmp_path, suffix, data=None):
    path = tmp_path / f"made{suffix}"
    path.unlink(missing_ok=True)
    (frame() if data is None else data).to_file(path)
    return path.read_bytes()


def zipped(**entries):
    """A zip with entries by name; `__` stands for the dot."""
    return archive({name.replace("__", "."): content for name, content in entries.items()})


def archive(entries):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return target.getvalue()


# ----- rasters that claim too much -----------------------------------------------------------------------------------


def bare_tiff(width, height, rows, *, bands=1, tiled=False):
    """A TIFF of one strip or tile with a few bytes, whatever its directory says."""
    data = zlib.compress(bytes(1000))
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, bands)]
    if tiled:
        tags += [(322, 4, 1, width), (323, 4, 1, rows), (324, 4, 1, 8), (325, 4, 1, len(data))]
    else:
        tags += [(273, 4, 1, 8), (278, 4, 1, rows), (279, 4, 1, len(data))]
    start = 8 + len(data)
    return (
        struct.pack("<2sHI", b"II", 42, start) + data + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags)) + struct.pack("<I", 0)
    )  # fmt: skip


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def looped_directories():
    """Directories of 1000 tags each that lie over each other: 100 kB that are read as 40 MB."""
    # So many bytes apart that what is the end of one directory is an empty tag of others.
    count, tags = 3500, 1000
    body = bytearray(16 + 24 * count + 12 * tags)
    body[:8] = struct.pack("<2sHI", b"II", 42, 8)
    for i in range(count):
        at = 8 + 24 * i
        body[at : at + 2] = struct.pack("<H", tags)
        end = at + 2 + 12 * tags
        body[end : end + 4] = struct.pack("<I", at + 24)
    return bytes(body)


def long_chain():
    """More directories than a file has, one after another."""
    step = 6
    body = struct.pack("<2sHI", b"II", 42, 8)
    return body + b"".join(struct.pack("<HI", 0, 8 + step * (i + 1)) for i in range(5000)) + bytes(6)


@pytest.mark.parametrize(
    ("make", "suffix", "words"),
    [
        (lambda: bare_tiff(10**6, 10**6, 10**6), ".tif", "1,000,000 × 1,000,000 pixels .* at most 100,000,000,000"),
        (lambda: bare_tiff(2**31 - 1, 2**31 - 1, 1), ".tif", ""),
        (lambda: bare_tiff(40_000, 40_000, 40_000, tiled=True), ".tif", "1,600,000,000 bytes decoded.*TILED=YES"),
        (lambda: bare_tiff(100, 100, 100, bands=20_000), ".tif", "20,000 bands, and at most 10,000"),
        (lambda: png(32_768, 32_768), ".png", "500,000,000 are taken of the format PNG.*tiled GeoTIFF"),
        (looped_directories, ".tif", "directories lie over each other"),
        (long_chain, ".tif", "more than 4,096 directories"),
        (lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(10), ".tif", "truncated"),
        (lambda: b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + b"\xff" * 60, ".tif", "truncated"),
        (lambda: b"ncols 99999999\nnrows 99999999\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n", ".asc", ""),
    ],
)
def test_rasters_that_claim_too_much(store, make, suffix, words):
    refused(store, make(), suffix, "raster", words)


def test_real_scenes_are_within_the_limits(store, tmp_path):
    """Generous: an empty scene of 200,000 × 200,000 comes in."""
    path = write_tif_sparse(tmp_path / "large.tif", 200_000)
    assert upload(store, path.read_bytes(), "large.tif").detail.width == 200_000
    assert store.add(path)


def test_a_request_decodes_no_more_than_a_part_of_a_layer(store, tmp_path, imagery, monkeypatch):
    """Few pixels may lie in thousands of blocks; with a nearer zoom they do not."""
    with pytest.raises(LimitError, match="blocks of 16,384 × 16,384"):
        store.add(write_tif_sparse(tmp_path / "blocks.tif", 200_000, 16_384))
    monkeypatch.setattr(imagery_module, "MOST_DECODED", 2**27)
    timestamp = store.timestamp(*store.add(write_tif_sparse(tmp_path / "large.tif", 20_000)))
    (file,) = timestamp.rasters
    west, east, south, north = file.transform[2], file.transform[2] + 10.0, file.transform[5] - 10.0, file.transform[5]
    scene = Extent(west, north - 20_000 * file.transform[0], west + 20_000 * file.transform[0], north)
    with pytest.raises(LimitError, match="smaller part, for a nearer zoom, or add files with overviews"):
        imagery.window(timestamp, scene, 512, 512)
    assert imagery.window(timestamp, Extent(west, south, east, north), 256, 256)


def write_tif_sparse(path, size, block=1024):
    profile = {"driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "uint8", "sparse_ok": True}
    tiles = {"tiled": True, "blockxsize": block, "blockysize": block}
    with rasterio.open(path, "w", **profile, **tiles, crs="EPSG:3857", transform=PLACE):
        pass
    return path


def test_a_directory_is_not_read_beyond_the_file(tmp_path):
    """A BigTIFF whose directory has 2⁶⁰ entries, offsets of 2⁶³ in the others: an answer, and no memory."""
    path = tmp_path / "a.tif"
    path.write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**60) + bytes(1000))
    assert missing_bytes(path) > 2**60
    path.write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63))
    assert missing_bytes(path) > 0


# ----- archives ------------------------------------------------------------------------------------------------------


def inflated(data, size):
    """A zip whose directory says that each entry has `size` bytes."""
    data, at = bytearray(data), 0
    while (at := data.find(b"PK\1\2", at)) >= 0:
        data[at + 24 : at + 28] = struct.pack("<I", size)
        at += 4
    return bytes(data)


def with_mode(mode):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        entry = zipfile.ZipInfo("a.tif")
        entry.external_attr = mode << 16
        made.writestr(entry, "/etc/passwd")
    return target.getvalue()


def doubled(tmp_path):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("a.tif", tif(tmp_path))
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("a.tif", "<VRTDataset/>")
    return target.getvalue()


def encrypted(tmp_path):
    data = bytearray(archive({"a.tif": tif(tmp_path)}))
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.find(signature) + flags] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: inflated(archive({"a.tif": tif(p)}), 2**32 - 2), "unpacks to 4,294,967,294 bytes, .* times its size"),
        (lambda p: inflated(archive({f"{i}.tif": "x" * 10 for i in range(70)}), 2**32 - 2), "at most 274,877,906,944"),
        (lambda p: archive({str(i): "" for i in range(10_001)}), "10,001 entries, and at most 10,000"),
        (lambda p: archive({"inner.zip": archive({"a.tif": tif(p)})}), "a zip in a zip is not opened"),
        (lambda p: archive({"a.tif": archive({"a.tif": tif(p)})}), "'a.tif' is not what its name says"),
        (lambda p: archive({"../../a.tif": tif(p)}), r"an entry '\.\./\.\./a\.tif', which is no plain name"),
        (lambda p: archive({"/etc/a.tif": tif(p)}), "no plain name"),
        (lambda p: archive({"a\\b.tif": tif(p)}), "no plain name"),
        (lambda p: archive({"C:a.tif": tif(p)}), "no plain name"),
        (lambda p: archive({"a\n.tif": tif(p)}), "no plain name"),
        (lambda p: archive({"bXtif.tif": tif(p)}).replace(b"bXtif", b"b\0tif"), "no plain name"),
        (lambda p: archive({"x" * 2000 + ".tif": tif(p)}), "name is longer than 1,024 bytes"),
        (lambda p: with_mode(0o120777), "which is a link"),
        (doubled, "several entries named 'a.tif'"),
        (lambda p: archive({"a.tif": tif(p), "A.TIF": "x"}), "several entries named"),
        (encrypted, "with a password"),
        (lambda p: archive({f"{i}.tif": "x" for i in range(3000)}), "contains 3000 layers.* and 2,980 more"),
        (lambda p: archive({"a.tif": tif(p)})[:-30], "no readable zip|no layer"),
        (lambda p: b"PK\3\4" + bytes(100), "no readable zip"),
    ],
)  # fmt: skip
def test_archives(store, tmp_path, make, words):
    data = make(tmp_path)
    refused(store, data, ".zip", "raster", words)
    # The same for a file of the user's own: one rule.
    path = tmp_path / "mine.zip"
    path.write_bytes(data)
    with pytest.raises((LayerError, LimitError), match=words):
        store.add(path)


def test_names_that_say_another_format(store, tmp_path):
    data = archive({"a.tif": tif(tmp_path)})
    refused(store, data, ".tif", "raster", "is zip, and not tif; give its own fileFormat", format="tif")
    refused(store, tif(tmp_path), ".zip", "raster", "is tif, and not zip; give its own fileFormat", format="zip")
    refused(store, vector(tmp_path, ".gpkg"), ".tif", "raster", "is a vector")
    refused(store, b"no layer at all", ".tif", "raster", "no layer that is known here")


# ----- files that point elsewhere ------------------------------------------------------------------------------------


def vrt(target, size=64):
    return (
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{target}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def pam(target):
    return f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="{target[0]}">{target[1]}</MDI></Metadata></PAMDataset>'


def with_overview(tmp_path, target, key="OVERVIEW_FILE"):
    path = write_tif(tmp_path / "tagged.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", **{key: target})
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "suffix", "words"),
    [
        (lambda p, w: with_overview(p, f"/vsicurl/http://{w}/x.tif"), ".tif", "names a file of overviews"),
        (lambda p, w: with_overview(p, f"http://{w}/x.tif", "overview_file"), ".tif", "names a file of overviews"),
        (lambda p, w: with_overview(p, f"WMS:http://{w}/"), ".tif", "names a file of overviews"),
        (lambda p, w: with_overview(p, "/etc/passwd"), ".tif", "names a file of overviews"),
        (lambda p, w: with_overview(p, ":::BASE:::other.tif"), ".tif", "names a file of overviews"),
        (lambda p, w: vrt(f"/vsicurl/http://{w}/x.tif").encode(), ".vrt", "VRT refers to files elsewhere"),
        (lambda p, w: vrt("/etc/passwd").encode(), ".tif", "VRT refers to files elsewhere"),
        (lambda p, w: f"<GDAL_WMS><Service><ServerUrl>http://{w}/</ServerUrl></Service></GDAL_WMS>".encode(),
         ".tif", "no layer that is known here"),
        (lambda p, w: f"<WCS_GDAL><ServiceURL>http://{w}/</ServiceURL></WCS_GDAL>".encode(), ".tif", "no layer"),
        (lambda p, w: b'DatasetHeader Begin\nVersion = "6.0"\nDataFile = "/etc/passwd"\nDatasetHeader End\n',
         ".ers", "no layer that is known here"),
        (lambda p, w: b"\x89HDF\r\n\x1a\n" + bytes(600), ".nc", "HDF5, as netCDF-4 is"),
        (lambda p, w: bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(600), ".nc", "HDF5, as netCDF-4 is"),
        (lambda p, w: zipped(a__tif=vrt(f"/vsicurl/http://{w}/x.tif")), ".zip", "'a.tif' is not what its name says"),
        (lambda p, w: zipped(a__vrt=vrt(f"/vsicurl/http://{w}/x.tif")), ".zip", "contains no layer"),
        (lambda p, w: archive({"a.tif": tif(p), "a.tif.ovr": vrt(f"/vsicurl/http://{w}/x.tif", 32)}), ".zip",
         "comes with 'a.tif.ovr', which is none"),
        (lambda p, w: archive({"a.tif": tif(p), "A.TIF.MSK": vrt("/etc/passwd")}), ".zip", "which is none"),
        (lambda p, w: archive({"a.tif": tif(p), "a.tif.aux.xml": pam(("OVERVIEW_FILE", f"http://{w}/x"))}), ".zip",
         "points elsewhere"),
        (lambda p, w: archive({"a.tif": tif(p), "a.tif.aux.xml": pam(("&#79;verview_file", f"http://{w}/x"))}), ".zip",
         "points elsewhere"),
        (lambda p, w: archive({"a.tif": with_overview(p, f"http://{w}/x.tif")}), ".zip", "names a file of overviews"),
    ],
)  # fmt: skip
def test_rasters_that_point_elsewhere(store, tmp_path, listener, make, suffix, words):
    data = make(tmp_path, listener)
    refused(store, data, suffix, "raster", words)
    # Bytes, as computes give them, are looked at in this process; the rule is the same.
    with pytest.raises((LayerError, LimitError), match=words or None):
        store.add_files(*empty(store), [NewFile(data, f"x{suffix}")])


def empty(store, kind="raster"):
    path_id = store.add_layer_path(kind, "target")
    return path_id, store.add_timestamp(path_id)


@pytest.mark.parametrize(
    ("make", "suffix", "words"),
    [
        (lambda w: {"crs": {"type": "link", "properties": {"href": f"http://{w}/crs"}}}, ".geojson", "only an address"),
        (lambda w: {"CRS": {"Type": "URL", "properties": {"url": f"http://{w}/crs"}}}, ".geojson", "only an address"),
        (lambda w: {"x": " " * 5_000_000, "crs": {"properties": {"href": f"http://{w}/crs"}, "type": "link"}},
         ".geojson", "only an address"),
        (lambda w: {"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read /vsicurl/http://{w}/x"},
         ".json", "a pipeline of GDAL"),
    ],
)  # fmt: skip
def test_geojson_that_points_elsewhere(store, listener, make, suffix, words):
    data = json.dumps(
        {"type": "FeatureCollection"} | make(listener) | {"features": json.loads(frame().to_json())["features"]}
    )
    refused(store, data.encode(), suffix, "vector", words)
    refused(store, archive({f"a{suffix}": data}), ".zip", "vector", words)


@pytest.mark.parametrize(
    "crs",
    [
        r'"\u0063r\u0053":{"type":"link","properties":{"href":"http://WHERE/crs"}}',
        "\"crs\"  \n : " + " " * 70_000 + '{"type":"link","properties":{"href":"http://WHERE/crs"}}',
        "\"crs\"" + " " * 70_000 + ':{"type":"link","properties":{"href":"http://WHERE/crs"}}',
        "\"crs\"/* */:{\"type\":\"link\",\"properties\":{\"href\":\"http://WHERE/crs\"}}",
        "'crs':{'type':'link','properties':{'href':'http://WHERE/crs'}}",
        '"crs":{"type":"name","Type":"link","properties":{"href":"http://WHERE/crs"}}',
    ],
)  # fmt: skip
def test_a_crs_by_link_in_disguise(store, listener, crs):
    feature = '{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}'
    text = '{"type":"FeatureCollection",' + crs.replace("WHERE", listener) + ',"features":[' + feature + "]}"
    refused(store, text.encode(), ".geojson", "vector", "only an address|no plain JSON")


def test_boxes_of_jpeg_2000(store, tmp_path):
    """A box without a length, within another, keeps GDAL for ever."""
    write_tif(tmp_path / "a.jp2", driver="JP2OpenJPEG")
    data = (tmp_path / "a.jp2").read_bytes()
    at = data.index(b"ihdr") - 4
    for length in (0, 7, 2**31, 1):
        lying = data[:at] + struct.pack(">I", length) + data[at + 4 :]
        refused(store, lying, ".jp2", "raster", "a box at byte .* has no end")
        refused(store, archive({"a.jp2": lying}), ".zip", "raster", "a box at byte .* has no end")
    stream = data[data.index(b"\xff\x4f\xff\x51") :]
    refused(store, stream, ".j2k", "raster", "no georeference")
    at = data.index(b"jp2c") - 4
    assert upload(store, data[:at] + bytes(4) + data[at + 4 :], "a.jp2").detail.width == 64


def test_an_image_that_keeps_its_pixels_elsewhere(store, tmp_path):
    """ERDAS names the file of the pixels; together with it in a zip, it is whole."""
    secret = tmp_path / "secret.ige"
    # As long as the path that is to take its place.
    stem = "a" * (len(str(secret)) - 4)
    write_tif(tmp_path / f"{stem}.img", driver="HFA", USE_SPILL="YES")
    (tmp_path / f"{stem}.ige").rename(secret)
    image = (tmp_path / f"{stem}.img").read_bytes()
    refused(store, image, ".img", "raster", "")
    assert f"{stem}.ige".encode() in image
    elsewhere = image.replace(f"{stem}.ige".encode(), str(secret).encode())
    refused(store, elsewhere, ".img", "raster", "")
    refused(store, archive({f"{stem}.img": elsewhere}), ".zip", "raster", "")
    both = archive({f"{stem}.img": image, f"{stem}.ige": secret.read_bytes()})
    assert upload(store, both, "a.zip").detail.bands == 1


def test_geojson_with_crs_in_its_values(store):
    """What only looks like a CRS by link comes in."""
    data = json.loads(frame(2).to_json())
    data["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    data["features"][0]["properties"] = {"crs": "EPSG:4326", "a": "crs", "type": "link", "href": "http://localhost/"}
    data["features"][1]["properties"] = {"crs": None, "list": ["crs", {"crs": 3}]}
    assert upload(store, json.dumps(data).encode(), "a.geojson", "vector").detail.crs == "EPSG:3857"


def test_geojson_of_depth(store):
    nested = "[" * 100_000 + "]" * 100_000
    text = '{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Point","coordinates":%s}}]}'
    refused(store, (text % nested).encode(), ".geojson", "vector", "Too many nested")


def test_vector_containers_of_other_drivers(store, listener):
    ogr = f'<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/vsicurl/http://{listener}/a.shp</SrcDataSource>'
    ogr += "</OGRVRTLayer></OGRVRTDataSource>"
    refused(store, ogr.encode(), ".geojson", "vector", "no layer that is known here")
    for name in ("a.geojson", "a.shp", "a.gpkg", "a.fgb"):
        refused(store, archive({name: ogr}), ".zip", "vector", "is not what its name says")


# ----- GeoPackages that compute --------------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT i AS fid, x'00' AS geom FROM r"
VIEW = f"""
    CREATE VIEW evil AS {ENDLESS};
    INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES ('EVIL', 'features', 'evil', 3857);
    INSERT INTO gpkg_geometry_columns VALUES ('evil', 'geom', 'POINT', 3857, 0, 0);
    UPDATE gpkg_contents SET data_type = 'attributes' WHERE table_name = 'made';
"""
CONTENTS = """
    ALTER TABLE gpkg_contents RENAME TO kept;
    CREATE VIEW gpkg_contents AS WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r)
        SELECT 'made' AS table_name, 'features' AS data_type, 3857 AS srs_id FROM r;
"""
COLUMNS = "ALTER TABLE gpkg_geometry_columns RENAME TO kept; CREATE VIEW gpkg_geometry_columns AS SELECT * FROM kept;"
COMPUTED = "ALTER TABLE made ADD COLUMN b TEXT GENERATED ALWAYS AS (hex(zeroblob(100000000))) VIRTUAL;"
INDEX = f"DROP TABLE rtree_made_geom; CREATE VIEW rtree_made_geom AS {ENDLESS};"
VIRTUAL = """
    CREATE VIRTUAL TABLE evil USING fts4(geom);
    INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES ('evil', 'features', 'evil', 3857);
"""
MANY = f"""
    WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < {limits.MOST_LAYERS})
    INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id)
    SELECT 't' || i, 'features', 't' || i, 3857 FROM r;
"""


def changed(tmp_path, script):
    vector(tmp_path, ".gpkg")
    connection = sqlite3.connect(tmp_path / "made.gpkg")
    try:
        connection.execute("PRAGMA legacy_alter_table = ON")
        for name in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name[0]}"')
        connection.executescript(script)
        connection.commit()
    finally:
        connection.close()
    return (tmp_path / "made.gpkg").read_bytes()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (VIEW, "'evil' is a view, which is computed whenever it is read"),
        (CONTENTS, "'gpkg_contents' is a view"),
        (COLUMNS, "'gpkg_geometry_columns' is a view"),
        (COMPUTED, "'made' is a table with computed columns"),
        (INDEX, "'rtree_made_geom' is a view"),
        (MANY, "10,001 layers, and at most 10,000"),
    ],
)
def test_geopackages_that_compute(store, tmp_path, script, words):
    data = changed(tmp_path, script)
    refused(store, data, ".gpkg", "vector", words)
    refused(store, archive({"a.gpkg": data}), ".zip", "vector", words)
    with pytest.raises((LayerError, LimitError), match=words):
        store.add(tmp_path / "made.gpkg")


def test_what_computes_and_is_not_asked_for_is_let_be(store, tmp_path):
    extra = f"""
        CREATE VIEW endless AS {ENDLESS};
        INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id)
            VALUES ('endless', 'features', 'endless', 3857);
        INSERT INTO gpkg_geometry_columns VALUES ('endless', 'geom', 'POINT', 3857, 0, 0);
    """
    changed(tmp_path, VIRTUAL + extra)
    for layer in (None, "made"):
        store.add(tmp_path / "made.gpkg", layer=layer)
    for layer, words in (("evil", "'evil' is a virtual table"), ("endless", "'endless' is a view")):
        with pytest.raises(LayerError, match=words):
            store.add(tmp_path / "made.gpkg", layer=layer)
    with pytest.raises(LayerError, match="computed whenever"):
        store.add(io.BytesIO(archive({"a.gpkg": (tmp_path / "made.gpkg").read_bytes()})))


def test_a_geopackage_whose_rows_share_their_pages(store, tmp_path):
    """A chain of pages that every row claims is read once for each."""
    connection = sqlite3.connect(tmp_path / "a.gpkg")
    connection.executescript("CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT); CREATE TABLE t (a BLOB);")
    connection.execute("INSERT INTO gpkg_contents VALUES ('t', 'features')")
    connection.executemany("INSERT INTO t VALUES (?)", [(bytes([i]) * 50_000,) for i in range(1, 3)])
    connection.commit()
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    data = bytearray((tmp_path / "a.gpkg").read_bytes())
    # Where the values leave their rows: the number of the page that they go on in.
    (first, second) = [row_end(data, value, size) for value in (1, 2)]
    assert first != second
    data[first : first + 4] = data[second : second + 4]
    refused(store, bytes(data), ".gpkg", "vector", "is damaged: .*reference to page")


def row_end(data, value, size):
    """Where the part of a value that lies in its row ends."""
    at = data.find(bytes([value]) * 100)
    while data[at] == value:
        at += 1
    assert 0 < int.from_bytes(data[at : at + 4], "big") <= len(data) // size
    return at


def test_a_database_that_is_no_geopackage(store, tmp_path):
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.executescript("CREATE TABLE t (a); CREATE VIRTUAL TABLE v USING fts4(a);")
    connection.close()
    refused(store, (tmp_path / "a.db").read_bytes(), ".gpkg", "vector", "no readable GeoPackage")


def test_a_geopackage_in_wal_mode(store, tmp_path):
    """Its log was left behind; what is in the file itself comes in, and reading it leaves nothing beside it."""
    data = bytearray(vector(tmp_path, ".gpkg"))
    data[18:20] = b"\2\2"
    file = upload(store, bytes(data), "a.gpkg", "vector")
    assert file.detail.features == 10
    path_id = store.list()[0].id
    store.export(path_id, store.catalogue.timestamps_of(path_id)[0].id, tmp_path / "out.fgb")
    assert [one.name for one in file.folder.iterdir()] == ["data.gpkg"]


# ----- tables that lie -----------------------------------------------------------------------------------------------


def varint(number):
    number, out = number * 2, bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def lying_parquet(tmp_path, rows):
    """Parquet whose footer speaks of `rows` rows."""
    count = 70_001
    path = tmp_path / "a.parquet"
    frame(count).to_parquet(path)
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8]
    assert varint(count) in footer
    footer = footer.replace(varint(count), varint(rows))
    return data[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize("rows", [2**60, 10**9, 100_000])
def test_parquet_that_lies(store, tmp_path, rows):
    words = "rows, and at most 200,000,000" if rows > limits.MOST_FEATURES else "damaged"
    refused(store, lying_parquet(tmp_path, rows), ".parquet", "vector", words)


@pytest.mark.parametrize(
    "geo",
    [
        "[" * 100_000, "{}", "[]", "null", '"x"', '{"primary_column":["a"],"columns":{}}',
        '{"primary_column":"geometry","columns":"geometry"}', '{"primary_column":"geometry","columns":{"geometry":1}}',
        '{"primary_column":"geometry","columns":{"geometry":{"covering":1,"crs":[]}}}',
        '{"primary_column":"geometry","columns":{"geometry":{"encoding":["WKB"],"covering":{"bbox":{"x":[[]]}}}}}',
    ],
)  # fmt: skip
def test_parquet_with_strange_metadata(store, tmp_path, geo):
    table = pyarrow.table({"geometry": [shapely.to_wkb(shapely.Point(1, 2))]}).replace_schema_metadata({"geo": geo})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    refused(store, (tmp_path / "a.parquet").read_bytes(), ".parquet", "vector", "")


def test_flatgeobuf_that_lies(store, tmp_path):
    """The number of features in its header, and the length of a feature."""
    data = vector(tmp_path, ".fgb")
    at = data.find((10).to_bytes(8, "little"), 12)
    assert at > 0
    refused(store, data[:at] + (2**60).to_bytes(8, "little") + data[at + 8 :], ".fgb", "vector", "")
    length = int.from_bytes(data[8:12], "little")
    # Behind the index: ten leaves and a root of 40 bytes.
    at = 12 + length + 11 * 40
    refused(store, data[:at] + struct.pack("<I", 2**32 - 8) + data[at + 4 :], ".fgb", "vector", "")


def truncations(tmp_path):
    shp = tmp_path / "shp"
    shp.mkdir()
    frame(500).to_file(shp / "a.shp")
    frame(500).to_parquet(tmp_path / "a.parquet")
    write_tif(tmp_path / "a.jp2", 128, driver="JP2OpenJPEG")
    write_tif(tmp_path / "a.img", 128, driver="HFA")
    write_tif(tmp_path / "r.gpkg", 128, driver="GPKG")
    parts = {one.name: one.read_bytes() for one in shp.iterdir()}
    return {
        ("raster", ".tif"): tif(tmp_path, size=200, compress="deflate"),
        ("raster", ".jp2"): (tmp_path / "a.jp2").read_bytes(),
        ("raster", ".img"): (tmp_path / "a.img").read_bytes(),
        ("raster", ".gpkg"): (tmp_path / "r.gpkg").read_bytes(),
        ("raster", ".zip"): archive({"a.tif": tif(tmp_path, size=200)}),
        ("vector", ".gpkg"): vector(tmp_path, ".gpkg", frame(500)),
        ("vector", ".geojson"): vector(tmp_path, ".geojson", frame(500)),
        ("vector", ".fgb"): vector(tmp_path, ".fgb", frame(500)),
        ("vector", ".parquet"): (tmp_path / "a.parquet").read_bytes(),
        ("vector", ".zip"): archive(parts),
    }


def test_truncated(store, tmp_path):
    """Whole, each comes in; cut in the middle or near its end, none does."""
    for (kind, suffix), data in truncations(tmp_path).items():
        for part in (0.1, 0.5, 0.9):
            refused(store, data[: int(len(data) * part)], suffix, kind, "")
        assert upload(store, data, f"a{suffix}", kind).detail is not None
        for path in store.list():
            store.remove(path.id)


# ----- names ---------------------------------------------------------------------------------------------------------

NAMES = [
    "../../../evil.tif", "/etc/evil.tif", "..", ".", "", "a\0b.tif", "a\nb.tif", "x" * 5000 + ".tif", "PG:dbname=x.tif",
    "/vsicurl/http://localhost/x.tif", "/vsizip/x.zip/a.tif", "WMS:http://localhost/", "a.vrt", "a.gti.gpkg", "{folder}",
    "%s%n.tif", "\u202efit.tif", "NUL", "a.tif/", "scene.TIF.aux.xml", "é" * 300,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_never_reach_the_disk(store, tmp_path, name):
    before = set(outside(store, tmp_path))
    file = upload(store, tif(tmp_path), name)
    assert file.name == (name or "data")
    assert file.main.startswith("data") and file.main.endswith((".tif", ".TIF"))
    assert [one.name for one in file.folder.iterdir()] == [file.main]
    with rasterio.open(file.detail.location) as dataset:
        assert dataset.width == 64
    # Refused, it is called so, in a line that can be read.
    with pytest.raises(LayerError) as caught:
        upload(store, b"rubbish", name)
    text = str(caught.value)
    assert str(store.home.root) not in text and "\n" not in text and "\0" not in text and len(text) < 1000
    plain = store.get_plain_file(store.add_plain_file(b"content", name=name or "x"))
    assert plain.location.parent.parent == store.home.layers and plain.main.startswith("data")
    assert set(outside(store, tmp_path)) - before <= {tmp_path / "made.tif"}


def outside(store, tmp_path):
    """All files but those of layers."""
    return [one for one in tmp_path.rglob("*") if store.home.layers not in one.parents]


def test_a_member_named_like_our_placeholder(store, tmp_path):
    file = upload(store, archive({"{folder}/{folder}.tif": tif(tmp_path)}), "a.zip")
    with rasterio.open(file.detail.location) as dataset:
        assert dataset.width == 64


# ----- the processes that look ---------------------------------------------------------------------------------------


def test_an_upload_is_what_its_bytes_are(store, tmp_path):
    """The process that looks sees what this one sees, for every format; the file is moved as it is."""
    for (kind, suffix), data in truncations(tmp_path).items():
        taken = upload(store, data, f"a{suffix}", kind)
        ids = empty(store, kind)
        store.add_files(*ids, [NewFile(data, f"a{suffix}")])
        (given,) = store.timestamp(*ids).files
        assert str(taken.detail).replace(taken.id, "") == str(given.detail).replace(given.id, "")
        assert (taken.format, taken.content, taken.main, taken.parts) == (
            given.format, given.content, given.main, given.parts,
        )  # fmt: skip
        assert taken.location.read_bytes() == data


def test_warnings_and_arguments_come_through(store, tmp_path):
    rows = frame(3)
    rows.loc[0, "geometry"] = None
    with pytest.warns(LayerWarning, match=r"^1 of 3 features of a\.geojson have no geometry"):
        upload(store, vector(tmp_path, ".geojson", rows), "a.geojson", "vector")
    assert upload(store, tif(tmp_path), "a.tif", epsg=32631, nodata=7).detail.nodata == 7
    with pytest.raises(ArgumentError, match="there is no EPSG code 1") as caught:
        upload(store, tif(tmp_path), "a.tif", epsg=1)
    assert caught.value.argument == "epsg"
    for impossible in (-1, 1.5, float("inf")):
        with pytest.warns(LayerWarning, match=rf"^a\.tif: noDataValue={impossible} cannot occur in u?int\d+, so"):
            assert upload(store, tif(tmp_path), "a.tif", nodata=impossible).detail.nodata is None


@pytest.fixture
def own():
    """Makes processes of a test's own."""
    made = []

    def make(**arguments):
        made.append(sandbox.Inspectors(**arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def look(looking, tmp_path):
    path = write_tif(tmp_path / "a.tif")
    return looking.look(path, None, Overrides(), "a.tif", None)


@pytest.mark.parametrize(
    ("instead", "error", "words"),
    [
        ("os.abort()", LayerError, "reading it ended the reader"),
        ("os.kill(os.getpid(), 11)", LayerError, "reading it ended the reader"),
        ("bytearray(10**12)", LimitError, "more than 4,294,967,296 bytes of memory"),
        ("[0 for _ in iter(int, 1)]", LimitError, "more than 0 s to look at"),
        ("1 / 0", LayerError, "ZeroDivisionError"),
    ],
)
def test_a_file_that_ends_its_reader(own, tmp_path, monkeypatch, instead, error, words):
    """The next file has another process."""
    harmful = f"import os; import ellipsis_local.store.sandbox as i; i.look = lambda question: {instead}; i.main()"
    looking = own(seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "PROGRAM", "import sys; sys.path[:] = sys.argv[1:]; " + harmful)
        # The limit of the system, not the clock.
        patch.setattr(sandbox, "PATIENCE", 10**6)
        with pytest.raises(error, match=words):
            look(looking, tmp_path)
    looking.close()
    looking.seconds = sandbox.SECONDS
    assert look(looking, tmp_path).seen.width == 64


def test_the_clock_ends_what_only_waits(own, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "PATIENCE", 0)
    with pytest.raises(LimitError, match="to look at"):
        look(own(), tmp_path)


def test_the_limit_on_memory_is_real(own, tmp_path):
    """A tile of 512 MB in a process that may take 100 MB more than it has."""
    path = tmp_path / "tile.tif"
    profile = {"driver": "GTiff", "width": 8192, "height": 8192, "count": 1, "dtype": "float64", "compress": "zstd"}
    tiles = {"tiled": True, "blockxsize": 8192, "blockysize": 8192}
    with rasterio.open(path, "w", **profile, **tiles, crs="EPSG:3857", transform=PLACE) as dataset:
        dataset.write(np.zeros((1, 100, 100)), window=((0, 100), (0, 100)))
    assert path.stat().st_size < 100_000
    with pytest.raises((LimitError, LayerError), match="memory|allocat"):
        own(memory=100 * 1024**2).look(path, None, Overrides(), "a.tif", None)
    assert own().look(path, None, Overrides(), "a.tif", None).seen.width == 8192


def test_a_process_that_waited_too_long(own, tmp_path):
    """Ended while nobody asked, it is replaced."""
    looking = own()
    look(looking, tmp_path)
    (idle,) = looking._idle
    idle.process.kill()
    idle.process.wait()
    assert look(looking, tmp_path).seen.width == 64


def test_a_process_that_does_not_start(own, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "PROGRAM", "pass")
    with pytest.raises(StoreError, match="ends at once"):
        look(own(), tmp_path)


def test_the_processes_are_kept_and_ended(own, tmp_path):
    looking = own()
    first = look(looking, tmp_path)
    pid = looking._idle[0].process.pid
    assert look(looking, tmp_path) == first
    assert looking._idle[0].process.pid == pid
    looking.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_lies_in_the_folder_of_an_upload_is_no_sidecar(store, tmp_path):
    """Other parts of the same form lie there, too."""
    folder = store.home.temporary(store.home.layers)
    (folder / "data.tif.ovr").write_text(vrt("/etc/passwd", 32))
    (folder / "data.tif.aux.xml").write_text(pam(("OVERVIEW_FILE", "/etc/passwd")))
    write_tif(folder / "arrived")
    ids = empty(store)
    store.add_files(*ids, [NewFile(Taken(folder / "arrived"), "a.tif")])
    shutil.rmtree(folder)
    (file,) = store.timestamp(*ids).files
    assert [one.name for one in Path(file.folder).iterdir()] == ["data.tif"]
