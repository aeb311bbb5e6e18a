"""What a file is: raster or vector, by its content first and its name second."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.formats.limits import few
from ellipsis_local.formats.safety import (
    HEADS,
    MEMBERS,
    SQLITE,
    archive_entries,
    check_boxes,
    check_geojson,
    check_geopackage,
    check_member,
    check_parquet,
)
from ellipsis_local.formats.tiff import check_whole, is_tiff
from ellipsis_local.gdal_errors import reading
from ellipsis_local.raster.formats import ALIASES, SUFFIXES

__all__ = ["FORMATS", "LAYER_SUFFIXES", "SUPPORTED", "Found", "detect", "format_suffix", "unknown"]

Kind = Literal["raster", "vector"]

SUPPORTED = (
    "rasters: GeoTIFF and whatever else rasterio opens with a georeference; "
    "vectors: GeoPackage, GeoJSON, Shapefile (also zipped), FlatGeobuf, GeoParquet"
)
VECTOR_SUFFIXES = {".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet", ".zip"}
LAYER_SUFFIXES = VECTOR_SUFFIXES | SUFFIXES
# The names that the client's `fileFormat` may have: what they mean here, and the suffix of a file without one.
FORMATS: dict[str, tuple[str, str]] = {
    **ALIASES,
    "gpkg": ("gpkg", ".gpkg"), "geopackage": ("gpkg", ".gpkg"), "geojson": ("geojson", ".geojson"),
    "json": ("geojson", ".geojson"), "shp": ("shp", ".shp"), "shapefile": ("shp", ".shp"), "zip": ("zip", ".zip"),
    "fgb": ("fgb", ".fgb"), "flatgeobuf": ("fgb", ".fgb"), "parquet": ("parquet", ".parquet"),
    "geoparquet": ("parquet", ".parquet"),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What `detect` recognised."""

    kind: Kind
    format: str
    """A value of FORMATS; empty for a raster that only GDAL can tell."""
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


def detect(path: Path, kind: Kind | None = None, layer: str | None = None, *, contained: bool = False) -> Found:
    """What the file at `path` is; `kind` decides for a GeoPackage that holds both.

    Parameters
    ----------
    contained : bool
        Only formats that hold all of a layer in one file, as of a file that came without its surroundings.

    Raises
    ------
    LayerError
        Nothing known (naming what is), not of `kind`, damaged, or with parts that are fetched or computed.
    LimitError
        More than is taken; see `ellipsis_local.formats.limits`.
    """
    with reading(path):
        if path.is_dir():
            raise LayerError(f"{path} is a folder; a layer is a file. {SUPPORTED}", source=str(path))
        if not path.is_file():
            raise LayerError(f"{path} is not there", source=str(path))
        with path.open("rb") as file:
            head = file.read(512)
    found = by_content(path, head, kind, layer, contained)
    if kind is not None and found.kind != kind:
        what = f"{found.kind} ({found.format})" if found.format else found.kind
        raise LayerError(f"{path} is a {what}, not a {kind}", source=str(path))
    return found


def by_content(path: Path, head: bytes, kind: Kind | None, layer: str | None, contained: bool) -> Found:
    if not head:
        raise LayerError(f"{path} is empty", source=str(path))
    if is_tiff(head):
        check_whole(path)
        return Found("raster", "tif")
    if head.startswith(SQLITE):
        return Found(geopackage_kind(path, kind), "gpkg")
    if head.startswith(b"fgb\x03fgb"):
        return Found("vector", "fgb")
    if head.startswith(b"PAR1"):
        check_parquet(path)
        return Found("vector", "parquet")
    if head.startswith(b"PK"):
        return zipped(path, layer)
    if head.startswith(b"\0\0\x27\x0a") and path.suffix.lower() == ".shp":
        return Found("vector", "shp")
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and is_geojson(path):
        return Found("vector", "geojson")
    if HEADS["JP2OpenJPEG"](head):
        with reading(path), path.open("rb") as file:
            check_boxes(file, str(path))
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<VRTDataset") and contained:
        raise LayerError(f"{path}: a VRT refers to files elsewhere; add it by its path", source=str(path))
    if text.startswith((b"{", b"<")) and not text.startswith(b"<VRTDataset"):
        # Such a file may send GDAL to the network (WMS, STAC), so it is not even opened.
        raise unknown(path)
    if contained and is_hdf5(path):
        raise LayerError(
            f"{path} is HDF5, as netCDF-4 is, which may take its pixels from other files; convert it to GeoTIFF",
            source=str(path),
        )
    return Found("raster", "")


def geopackage_kind(path: Path, kind: Kind | None) -> Kind:
    """Raster or vector, by the table that every GeoPackage has; LayerError where it holds both and `kind` is None."""
    types = check_geopackage(path)
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

    with reading(path), path.open("rb") as file:
        check_geojson(file, str(path))
    with reading(path):
        try:
            return str(pyogrio.read_info(path)["driver"]) == "GeoJSON"
        except (DataSourceError, DataLayerError):
            # Broken JSON with the right name gets the parser's own message later.
            return path.suffix.lower() == ".geojson"


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5: its signature stands at the beginning, or behind a block of the user's own."""
    with reading(path), path.open("rb") as file:
        offset, size = 0, path.stat().st_size
        while offset < size:
            file.seek(offset)
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                return True
            offset = 2 * offset or 512
    return False


def unknown(path: Path) -> LayerError:
    return LayerError(f"{path} is no layer that is known here. Supported are {SUPPORTED}", source=str(path))


def zipped(path: Path, layer: str | None) -> Found:
    """The one layer in a zip, or the one whose file is called `layer`."""
    with reading(path, "is no readable zip"), zipfile.ZipFile(path) as archive:
        entries = archive_entries(archive, str(path))
        mains = [one for one in entries if PurePosixPath(one.filename).suffix.lower() in MEMBERS]
        if len(mains) > 1 and layer is not None:
            mains = [one for one in mains if PurePosixPath(one.filename).stem == layer]
        if not mains:
            raise LayerError(
                f"{path} contains no layer that is known here (a zip in a zip is not opened). Supported are "
                f"{SUPPORTED}",
                source=str(path),
            )
        if len(mains) > 1:
            stems = few(PurePosixPath(one.filename).stem for one in mains)
            raise LayerError(f"{path} contains {len(mains)} layers; pass layer= with one of {stems}", source=str(path))
        check_member(archive, mains[0], entries, str(path))
    name = mains[0].filename
    vector = PurePosixPath(name).suffix.lower() in VECTOR_SUFFIXES
    return Found("vector" if vector else "raster", "zip", name)
