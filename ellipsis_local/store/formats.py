"""What a file is: raster or vector, by its content first and its name second."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ellipsis_local import formats
from ellipsis_local.arguments import invalid
from ellipsis_local.errors import LayerError
from ellipsis_local.gdal_errors import reading
from ellipsis_local.raster.opening import ALIASES, SUFFIXES
from ellipsis_local.vector import data_types

Kind = Literal["raster", "vector"]

# Vectors that are not read as they are: what ogr2ogr makes GeoPackages of.
CONVERTED = {
    ".kml": "KML", ".kmz": "KMZ", ".csv": "CSV", ".gml": "GML", ".gpx": "GPX", ".geojsonl": "GeoJSON lines",
    ".geojsons": "GeoJSON lines", ".ndjson": "GeoJSON lines", ".jsonl": "GeoJSON lines", ".tab": "MapInfo",
    ".mif": "MapInfo", ".dxf": "DXF", ".gdb": "an Esri File Geodatabase", ".topojson": "TopoJSON", ".dgn": "DGN",
    ".sqlite": "SpatiaLite", ".xlsx": "a spreadsheet",
}  # fmt: skip


def supported() -> str:
    vectors = ", ".join(one.title for one in formats.registered("vector"))
    return f"rasters: GeoTIFF and whatever else rasterio opens with a georeference; vectors: {vectors}"


def vector_suffixes() -> set[str]:
    return {suffix for one in formats.registered("vector") for suffix in one.suffixes} | {".zip"}


def layer_suffixes() -> set[str]:
    """What the names of layers end in."""
    return vector_suffixes() | SUFFIXES


def known_formats() -> dict[str, tuple[str, str]]:
    """What the client's `fileFormat` may be: the format that it means, and the suffix of a file without one."""
    found = dict(ALIASES)
    for one in formats.registered("vector"):
        names = (*(suffix[1:] for suffix in one.suffixes), *one.aliases)
        found |= dict.fromkeys(names, (one.name, one.suffixes[0]))
    return found | {"zip": ("zip", ".zip")}


@dataclass(frozen=True)
class Found:
    """What `detect` recognised."""

    kind: Kind
    format: str
    """What `known_formats` says; empty for a raster that only GDAL can tell."""
    member: str | None = None
    """The layer's main file inside a zip."""


def known_format(name: object) -> str:
    """The format that `fileFormat` names; ArgumentError, listing the known ones, otherwise."""
    if not isinstance(name, str):
        raise invalid("fileFormat", name, "must be of type string")
    known = known_formats()
    if name.lower().lstrip(".") not in known:
        raise invalid("fileFormat", name, f"must be one of {', '.join(known)}, not {name!r}")
    return known[name.lower().lstrip(".")][0]


def suffixes_of(known: str) -> tuple[str, ...]:
    """The suffixes that files of a format may have, the usual one first; none for a format without a usual one."""
    names = {name: suffix for name, (format_, suffix) in known_formats().items() if format_ == known}
    return tuple(dict.fromkeys([*names.values(), *(f".{name}" for name in names)]))


def format_suffix(name: object) -> str:
    return suffixes_of(known_format(name))[0]


def detect(path: Path, kind: Kind | None = None, layer: str | None = None, *, contained: bool = False) -> Found:
    """What the file is; `kind` decides for a GeoPackage with both; `contained`: only formats of one file."""
    with reading(path):
        if path.is_dir() and path.suffix.lower() == ".gdb":
            raise unknown(path, b"")
        if path.is_dir():
            raise LayerError.of(path, f"is a folder; a layer is a file. {supported()}")
        if not path.is_file():
            raise LayerError.of(path, "is not there")
        with path.open("rb") as file:
            head = file.read(512)
    found = by_content(path, head, kind, layer, contained)
    if kind is not None and found.kind != kind:
        what = f"{found.kind} ({found.format})" if found.format else found.kind
        raise LayerError.of(path, f"is a {what}, not a {kind}")
    return found


def vector_format(found: Found) -> formats.Format:
    """The record of a vector's format, that of the member of a zip."""
    if found.member is not None:
        known = formats.of_suffix(PurePosixPath(found.member).suffix, "vector")
        assert known is not None  # noqa: S101 - it was detected by that suffix
        return known
    return next(one for one in formats.registered("vector") if one.name == found.format)


def by_content(path: Path, head: bytes, kind: Kind | None, layer: str | None, contained: bool) -> Found:
    if not head:
        raise LayerError.of(path, "is empty")
    if formats.is_tiff(head):
        formats.check_whole(path)
        return Found("raster", "tif")
    if head.startswith(b"PK"):
        return zipped(path, layer)
    if head.startswith(b"SQLite") and path.suffix.lower() in CONVERTED:
        raise unknown(path, b"")
    for one in formats.registered("vector"):
        if one.begins(head) and (one.claims is None or one.claims(path)):
            if one.check is not None:
                one.check(path, layer)
            return Found(geopackage_kind(path, kind) if one.name == "gpkg" else "vector", one.name)
    if formats.HEADS["JP2OpenJPEG"](head):
        with reading(path), path.open("rb") as file:
            formats.check_boxes(file, str(path))
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<VRTDataset") and contained:
        raise LayerError(f"{path}: a VRT refers to files elsewhere; add it by its path", source=str(path))
    if convertible(path, text) or (text.startswith((b"{", b"<")) and not text.startswith(b"<VRTDataset")):
        # Such a file may send GDAL to the network (WMS, STAC), so it is not even opened.
        raise unknown(path, text)
    if contained and is_hdf5(path):
        what = "is HDF5, as netCDF-4 is, which may take its pixels from other files; convert it to GeoTIFF"
        raise LayerError.of(path, what)
    return Found("raster", "")


def geopackage_kind(path: Path, kind: Kind | None) -> Kind:
    """Raster or vector, by the table that every GeoPackage has; LayerError where it holds both and `kind` is None."""
    types = data_types(path)
    raster, vector = bool(types & {"tiles", "2d-gridded-coverage"}), "features" in types
    if raster and vector and kind is None:
        raise LayerError.of(path, "holds rasters and vectors; pass type='raster' or type='vector'")
    if not raster and not vector:
        raise LayerError.of(path, "has no geometry: it is a plain table")
    if raster and (kind == "raster" or not vector):
        return "raster"
    return "vector"


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


def convertible(path: Path, text: bytes) -> str | None:
    """What a vector is that ogr2ogr can convert, by its name or its beginning."""
    named = CONVERTED.get(path.suffix.lower())
    if path.name.lower().endswith(".gdb.zip"):
        named = CONVERTED[".gdb"]
    for mark, name in ((b"<kml", "KML"), (b"<gpx", "GPX"), (b"opengis.net/gml", "GML")):
        named = named or (name if mark in text else None)
    if named is None and text.startswith(b"\x1e{"):
        named = "GeoJSON lines"
    if named is None and text.startswith(b"{") and re.match(rb'\{\s*"type"\s*:\s*"Feature"', text):
        named = "GeoJSON lines"
    return named or ("TopoJSON" if re.match(rb'\{\s*"type"\s*:\s*"Topology"', text) else None)


def unknown(path: Path, text: bytes) -> LayerError:
    named, what = convertible(path, text), "no layer that is known here"
    if named is not None:
        way_out = f"convert it (ogr2ogr -f GPKG {path.stem}.gpkg {path.name}) and add that"
        what = f"{named}, which is not read as it is; {way_out}"
    return LayerError.of(path, f"is {what}. Supported are {supported()}")


def zipped(path: Path, layer: str | None) -> Found:
    """The one layer in a zip, or the one whose file is called `layer`."""
    with reading(path, "is no readable zip"), zipfile.ZipFile(path) as archive:
        entries = formats.archive_entries(archive, str(path))
        if any(".gdb" in PurePosixPath(one.filename).parent.suffix.lower() for one in entries):
            raise unknown(path.with_suffix(".gdb.zip"), b"")
        mains = [one for one in entries if formats.is_member(one.filename)]
        if len(mains) > 1 and layer is not None:
            mains = [one for one in mains if PurePosixPath(one.filename).stem == layer]
        if not mains:
            named = next((one.filename for one in entries if convertible(Path(one.filename), b"")), None)
            if named is not None or path.suffix.lower() == ".kmz":
                raise unknown(path if named is None else path.with_name(PurePosixPath(named).name), b"")
            text = "contains no layer that is known here (a zip in a zip is not opened)"
            raise LayerError.of(path, f"{text}. Supported are {supported()}")
        if len(mains) > 1:
            stems = formats.few(PurePosixPath(one.filename).stem for one in mains)
            raise LayerError.of(path, f"contains {len(mains)} layers; pass layer= with one of {stems}")
        formats.check_member(archive, mains[0], entries, str(path))
    name = mains[0].filename
    vector = formats.of_suffix(PurePosixPath(name).suffix, "vector")
    return Found("raster" if vector is None else "vector", "zip", name)
