"""What a file is: raster or vector, by its content first and its name second."""

from __future__ import annotations

import sqlite3
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.store.foreign import quiet, reading
from ellipsis_local.store.tiff import is_tiff

__all__ = ["FORMATS", "LAYER_SUFFIXES", "SUPPORTED", "Found", "detect", "format_suffix"]

Kind = Literal["raster", "vector"]

SUPPORTED = (
    "rasters: GeoTIFF and whatever else rasterio opens with a georeference; "
    "vectors: GeoPackage, GeoJSON, Shapefile (also zipped), FlatGeobuf, GeoParquet"
)
VECTOR_SUFFIXES = {".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet", ".zip"}
RASTER_SUFFIXES = {
    ".tif", ".tiff", ".gtiff", ".vrt", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".webp", ".asc", ".img", ".bil",
    ".bip", ".bsq", ".dat", ".hgt", ".dem", ".nc",
}  # fmt: skip
LAYER_SUFFIXES = VECTOR_SUFFIXES | RASTER_SUFFIXES
# Inside a zip: what can be opened there.
ZIPPED = {".shp", ".gpkg", ".geojson", ".json", ".fgb", ".tif", ".tiff", ".jp2", ".png", ".jpg", ".asc", ".img"}

# The names that the client's `fileFormat` may have: what they mean here, and the suffix of a file without one.
FORMATS: dict[str, tuple[str, str]] = {
    "tif": ("tif", ".tif"), "tiff": ("tif", ".tif"), "geotiff": ("tif", ".tif"), "gtiff": ("tif", ".tif"),
    "cog": ("tif", ".tif"), "jp2": ("jp2", ".jp2"), "jpeg2000": ("jp2", ".jp2"), "png": ("png", ".png"),
    "jpg": ("jpg", ".jpg"), "jpeg": ("jpg", ".jpg"), "asc": ("asc", ".asc"), "img": ("img", ".img"),
    "webp": ("webp", ".webp"), "vrt": ("vrt", ".vrt"), "nc": ("nc", ".nc"),
    "gpkg": ("gpkg", ".gpkg"), "geopackage": ("gpkg", ".gpkg"), "geojson": ("geojson", ".geojson"),
    "json": ("geojson", ".geojson"), "shp": ("shp", ".shp"), "shapefile": ("shp", ".shp"), "zip": ("zip", ".zip"),
    "fgb": ("fgb", ".fgb"), "flatgeobuf": ("fgb", ".fgb"), "parquet": ("parquet", ".parquet"),
    "geoparquet": ("parquet", ".parquet"),
}  # fmt: skip
DRIVER_FORMATS = {
    "GTiff": "tif", "COG": "tif", "JP2OpenJPEG": "jp2", "PNG": "png", "JPEG": "jpg", "WEBP": "webp", "VRT": "vrt",
    "AAIGrid": "asc", "HFA": "img", "netCDF": "nc", "GPKG": "gpkg",
}  # fmt: skip
# Not those that take any text for a grid (XYZ).
RASTER_DRIVERS = {
    "GTiff", "COG", "JP2OpenJPEG", "PNG", "JPEG", "WEBP", "GIF", "BMP", "VRT", "AAIGrid", "HFA", "ENVI", "EHdr", "ERS",
    "netCDF", "GRIB", "SRTMHGT", "USGSDEM", "GSAG", "GSBG", "GS7BG", "SAGA", "RST", "PCIDSK", "RMF", "RRASTER", "ILWIS",
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What `detect` recognised."""

    kind: Kind
    format: str
    """A value of FORMATS, or the driver's name in lower case."""
    member: str | None = None
    """The layer's main file inside a zip."""


def known_format(name: object) -> str:
    """The format that `fileFormat` names; ArgumentError, listing the known ones, otherwise."""
    if not isinstance(name, str):
        raise ArgumentError("fileFormat must be of type string", argument="fileFormat", value=name)
    try:
        return FORMATS[name.lower().lstrip(".")][0]
    except KeyError:
        raise ArgumentError(
            f"fileFormat must be one of {', '.join(FORMATS)}, not {name!r}", argument="fileFormat", value=name
        ) from None


def suffixes_of(known: str) -> tuple[str, ...]:
    """The suffixes that files of a format may have, the usual one first; none for a format without a usual one."""
    first = tuple(dict.fromkeys(suffix for name, (format_, suffix) in FORMATS.items() if format_ == known))
    return first + tuple(f".{name}" for name, (format_, _) in FORMATS.items() if format_ == known)


def format_suffix(name: object) -> str:
    """The suffix of a file of the format that `fileFormat` names; ArgumentError where it is not known."""
    return suffixes_of(known_format(name))[0]


def detect(path: Path, kind: Kind | None = None, layer: str | None = None) -> Found:
    """What the file at `path` is; `kind` decides for a GeoPackage that holds both.

    LayerError where it is nothing known (naming what is), or not of `kind`.
    """
    with reading(path):
        if path.is_dir():
            raise LayerError(f"{path} is a folder; a layer is a file. {SUPPORTED}", source=str(path))
        if not path.is_file():
            raise LayerError(f"{path} is not there", source=str(path))
        with path.open("rb") as file:
            head = file.read(512)
    found = by_content(path, head, kind, layer)
    if kind is not None and found.kind != kind:
        raise LayerError(f"{path} is a {found.kind} ({found.format}), not a {kind}", source=str(path))
    return found


def by_content(path: Path, head: bytes, kind: Kind | None, layer: str | None) -> Found:
    if not head:
        raise LayerError(f"{path} is empty", source=str(path))
    if is_tiff(head):
        return Found("raster", "tif")
    if head.startswith(b"SQLite format 3\0"):
        return Found(geopackage_kind(path, head, kind), "gpkg")
    if head.startswith(b"fgb\x03fgb"):
        return Found("vector", "fgb")
    if head.startswith(b"PAR1"):
        return Found("vector", "parquet")
    if head.startswith(b"PK"):
        return zipped(path, layer)
    if head.startswith(b"\0\0\x27\x0a") and path.suffix.lower() == ".shp":
        return Found("vector", "shp")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and is_geojson(path):
        return Found("vector", "geojson")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"{", b"<")) and not text.startswith(b"<VRTDataset"):
        # Such a file may send GDAL to the network (WMS, STAC), so it is not even opened.
        raise unknown(path)
    return Found("raster", raster_format(path))


def geopackage_kind(path: Path, head: bytes, kind: Kind | None) -> Kind:
    """Raster or vector, by the table that every GeoPackage has; LayerError where it holds both and `kind` is None."""
    page = int.from_bytes(head[16:18], "big")
    size = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
    with reading(path, "is no readable GeoPackage"):
        if path.stat().st_size < size:
            raise LayerError(
                f"{path} is truncated: {size - path.stat().st_size:,} bytes are missing at its end", source=str(path)
            )
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            types = {row[0] for row in connection.execute("SELECT data_type FROM gpkg_contents")}
        finally:
            connection.close()
    raster, vector = bool(types & {"tiles", "2d-gridded-coverage"}), "features" in types
    if raster and vector and kind is None:
        raise LayerError(f"{path} holds rasters and vectors; pass type='raster' or type='vector'", source=str(path))
    if not raster and not vector:
        raise LayerError(f"{path} has no geometry: it is a plain table", source=str(path))
    if raster and (kind == "raster" or not vector):
        return "raster"
    return "vector"


def is_geojson(path: Path) -> bool:
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        with quiet():
            return str(pyogrio.read_info(path)["driver"]) == "GeoJSON"
    except (DataSourceError, DataLayerError):
        # Broken JSON with the right name gets the parser's own message later.
        return path.suffix.lower() == ".geojson"


def raster_format(path: Path) -> str:
    from ellipsis_local.store.rasters import opened

    try:
        with reading(path), opened(path) as dataset:
            driver = str(dataset.driver)
    except LayerError as error:
        if path.suffix.lower() in RASTER_SUFFIXES:
            raise
        raise unknown(path) from error
    if driver not in RASTER_DRIVERS:
        raise unknown(path)
    return DRIVER_FORMATS.get(driver, driver.lower())


def unknown(path: Path) -> LayerError:
    return LayerError(f"{path} is no layer that is known here. Supported are {SUPPORTED}", source=str(path))


def zipped(path: Path, layer: str | None) -> Found:
    """The one layer in a zip, or the one whose file is called `layer`."""
    with reading(path, "is no readable zip"), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.startswith("__MACOSX") and not name.endswith("/")]
    mains = [name for name in names if PurePosixPath(name).suffix.lower() in ZIPPED]
    if len(mains) > 1 and layer is not None:
        mains = [name for name in mains if PurePosixPath(name).stem == layer]
    if not mains:
        raise LayerError(f"{path} contains no layer that is known here. Supported are {SUPPORTED}", source=str(path))
    if len(mains) > 1:
        stems = ", ".join(repr(PurePosixPath(name).stem) for name in mains)
        raise LayerError(f"{path} contains {len(mains)} layers; pass layer= with one of {stems}", source=str(path))
    vector = PurePosixPath(mains[0]).suffix.lower() in VECTOR_SUFFIXES
    return Found("vector" if vector else "raster", "zip", mains[0])
