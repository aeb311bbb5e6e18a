"""What is looked at in a file before GDAL opens it, so that nothing in it sends GDAL elsewhere or keeps it busy.

    GeoPackage   damaged, or with views and computed columns in the place of tables: SQL runs whenever they are read
    GeoJSON      a CRS by link, which GDAL fetches; a pipeline of GDAL's own
    JPEG 2000    boxes without an end, in which GDAL stays
    zip          names that leave the archive, entries that say one thing and are another, sidecars that point elsewhere
    Parquet      metadata that speak of too much

Where a format can name other files all the same, `rasters.opened` and `vectors.inspect` look at what GDAL found.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shutil
import sqlite3
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from ellipsis_local.errors import LayerError, LimitError
from ellipsis_local.formats import limits
from ellipsis_local.formats.tiff import is_tiff
from ellipsis_local.gdal_errors import naming, reading

__all__ = [
    "HEADS",
    "MEMBERS",
    "SQLITE",
    "archive_entries",
    "check_boxes",
    "check_geojson",
    "check_geopackage",
    "check_member",
    "check_parquet",
]

SQLITE = b"SQLite format 3\0"
CHUNK = 4 * 1024**2

# ----- GeoPackage ----------------------------------------------------------------------------------------------------

STEPS = 100_000
"""Of SQLite's machine between two looks at the clock."""
MOST_VALUE = 64 * 1024**2
"""Bytes of one value that is looked at; geometries and tiles are not."""
SECONDS, BYTES_PER_SECOND = 30.0, 10_000_000
"""What looking at the tables may take; one core does 500 MB a second."""
REGISTERED = """
    SELECT name, type, sql FROM sqlite_master
    WHERE type IN ('table', 'view') AND (
        lower(name) IN (SELECT lower(table_name) FROM gpkg_contents)
        OR lower(name) GLOB 'gpkg_*' OR lower(name) GLOB 'rtree_*'
    )
"""


def check_geopackage(path: Path) -> set[str]:
    """The data types ('features', 'tiles', …) that a GeoPackage says it holds.

    Raises
    ------
    LayerError
        Truncated or damaged, or with a view, a virtual table or a computed column in the place of a table.
    LimitError
        With too many layers, or tables that take too long to look at.
    """
    with path.open("rb") as file:
        head = file.read(100)
    page, size = int.from_bytes(head[16:18], "big"), path.stat().st_size
    missing = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big") - size
    if missing > 0:
        raise LayerError(f"{path} is truncated: {missing:,} bytes are missing at its end", source=str(path))
    with (
        reading(path, "is no readable GeoPackage"),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database,
        within(database, path, SECONDS + size / BYTES_PER_SECOND),
    ):
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE)
        # Functions with effects, and CHECKs, are not run for what a file's own text says.
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA ignore_check_constraints = ON")
        check_tables(database, path)
        types = {str(row[0]) for row in database.execute("SELECT DISTINCT data_type FROM gpkg_contents")}
        # Pages that several rows share would be read again for each of them.
        ((verdict,),) = database.execute("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise LayerError(f"{path} is damaged: {str(verdict).splitlines()[-1]}", source=str(path))
    return types


@contextlib.contextmanager
def within(database: sqlite3.Connection, path: Path, seconds: float) -> Iterator[None]:
    """LimitError where statements on `database` take longer than so many seconds."""
    end = time.monotonic() + seconds
    database.set_progress_handler(lambda: time.monotonic() > end, STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise LimitError(f"{path} has tables that take more than {seconds:.0f} s to look at") from error
        raise


def check_tables(database: sqlite3.Connection, path: Path) -> None:
    """LayerError where SQL runs whenever a layer, or a table that GDAL asks about layers, is read."""
    kinds = dict(database.execute("SELECT lower(name), type FROM sqlite_master WHERE lower(name) = 'gpkg_contents'"))
    if kinds.get("gpkg_contents") == "view":
        raise computed(path, "gpkg_contents", "a view")
    ((layers,),) = database.execute("SELECT count(*) FROM gpkg_contents")
    limits.check_count(str(path), layers, limits.MOST_LAYERS, "layers", "split it into several files")
    for name, kind, sql in database.execute(REGISTERED).fetchall():
        if kind == "view":
            raise computed(path, name, "a view")
        if re.match(r"\s*CREATE\s+VIRTUAL\b", sql or "", re.IGNORECASE):
            if re.match(r'\s*CREATE\s+VIRTUAL\s+TABLE\s+("(?:[^"]|"")*"|\S+)\s+USING\s+rtree\b', sql, re.IGNORECASE):
                continue
            raise computed(path, name, "a virtual table")
        quoted = name.replace('"', '""')
        if any(column[6] in (2, 3) for column in database.execute(f'PRAGMA table_xinfo("{quoted}")')):
            raise computed(path, name, "a table with computed columns")


def computed(path: Path, name: str, what: str) -> LayerError:
    return LayerError(
        f"{path}: {limits.few([name])} is {what}, which is computed whenever it is read; write it as a plain table "
        "(ogr2ogr does) and add that",
        source=str(path),
    )


# ----- GeoJSON -------------------------------------------------------------------------------------------------------

# GDAL compares the names of members without case, and JSON may write their letters as numbers.
CRS = re.compile(rb"""["'](?:[cC]|\\u00[46]3)(?:[rR]|\\u00[57]2)(?:[sS]|\\u00[57]3)["']\s*""")
PIPELINE = b"gdal_streamed_alg"
MOST_CRS = 65536
"""Characters of a CRS in GeoJSON."""


def check_geojson(file: IO[bytes], source: str) -> None:
    """LayerError where a GeoJSON file has a CRS that GDAL would fetch, or is a pipeline for GDAL to run."""
    data, last = b"", False
    while not last:
        more = file.read(CHUNK)
        last = not more
        data += more
        if PIPELINE in data:
            raise LayerError(f"{source} is a pipeline of GDAL and no data; add what it makes", source=source)
        # A CRS that begins near the end is looked at with what follows.
        edge = len(data) if last else max(0, len(data) - MOST_CRS)
        for found in CRS.finditer(data):
            if found.start() >= edge:
                break
            check_named(data[found.end() : found.end() + MOST_CRS], source)
        data = data[edge:]


def check_named(text: bytes, source: str) -> None:
    """LayerError unless what follows a text 'crs' is no value of it, or a value that names the CRS."""
    if text[:1] != b":":
        if text[:1] in (b",", b"}", b"]"):
            return
        raise LayerError(f"{source} is no plain JSON: something stands behind the name 'crs'", source=source)
    text = text[1:].lstrip()
    if text and text[:1] not in b"{/":
        return
    try:
        value, _ = json.JSONDecoder(object_pairs_hook=list).raw_decode(text.decode(errors="replace"))
    except (ValueError, RecursionError):
        # GDAL may understand what is no plain JSON.
        value = [("type", "link")]
    pairs = [pair for pair in value if isinstance(pair, tuple)] if isinstance(value, list) else []
    for key, kind in pairs:
        if key.casefold() == "type" and str(kind).casefold() in ("link", "url"):
            raise LayerError(
                f"{source} has a CRS that is only an address, and those are not fetched; write it as a name "
                "(urn:ogc:def:crs:EPSG::…), or leave it out and pass epsg=…",
                source=source,
            )


# ----- JPEG 2000 -----------------------------------------------------------------------------------------------------

BOX = struct.Struct(">I4s")
BOXES_OF_BOXES = {b"jp2h", b"asoc", b"res ", b"uinf"}
MOST_BOXES = 10_000


def check_boxes(file: IO[bytes], source: str) -> None:
    """LayerError where the boxes of a JP2 file are not one after another: GDAL does not leave one without an end."""
    file.seek(0)
    if not file.read(len(JP2[0])).startswith(JP2[0]):
        return  # a codestream without boxes
    size = file.seek(0, os.SEEK_END)
    # The ends of the boxes that we are in; only the last box of the file may say "to the end".
    ends, at, count = [size], 0, 0
    while at + BOX.size <= ends[-1] and count < MOST_BOXES:
        file.seek(at)
        length, kind = BOX.unpack(file.read(BOX.size))
        head = BOX.size
        if length == 1:
            length, head = int.from_bytes(file.read(8), "big"), 16
        elif length == 0 and len(ends) == 1:
            return
        if length < head or at + length > ends[-1]:
            raise LayerError(f"{source} is damaged or truncated: a box at byte {at:,} has no end", source=source)
        if kind in BOXES_OF_BOXES:
            ends.append(at + length)
            at += head
        else:
            at += length
        count += 1
        while len(ends) > 1 and at + BOX.size > ends[-1]:
            at = ends.pop()


# ----- Parquet -------------------------------------------------------------------------------------------------------


def check_parquet(path: Path) -> None:
    """LimitError where a Parquet file speaks of too many rows, columns or bytes; LayerError where it cannot be read."""
    import pyarrow.parquet

    with reading(path):
        limits.check_table(pyarrow.parquet.read_metadata(path), str(path))


# ----- zip -----------------------------------------------------------------------------------------------------------


def starts(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(heads)


def is_json(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def is_grid(head: bytes) -> bool:
    return re.match(rb"\s*(ncols|nrows|xll|yll|cellsize|dx|dy|nodata)", head, re.IGNORECASE) is not None


JP2 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
# How files begin, by GDAL's driver for them: those that hold all of a layer in one file, or may (HFA, netCDF, shp).
HEADS: dict[str, Callable[[bytes], bool]] = {
    "GTiff": is_tiff,
    "GPKG": starts(SQLITE),
    "JP2OpenJPEG": starts(*JP2),
    "PNG": starts(b"\x89PNG\r\n\x1a\n"),
    "JPEG": starts(b"\xff\xd8\xff"),
    "WEBP": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    "GIF": starts(b"GIF87a", b"GIF89a"),
    "BMP": lambda head: head[:2] == b"BM" and head[6:10] == bytes(4),
    "AAIGrid": is_grid,
    "HFA": starts(b"EHFA_HEADER_TAG"),
    "GRIB": starts(b"GRIB"),
    # Not HDF5, as netCDF-4 is: that may take its values from other files.
    "netCDF": starts(b"CDF\1", b"CDF\2", b"CDF\5"),
    "ESRI Shapefile": starts(b"\0\0\x27\x0a"),
    "FlatGeobuf": starts(b"fgb\x03fgb"),
    "GeoJSON": is_json,
}
# What can be opened in a zip.
MEMBERS = {
    ".shp": "ESRI Shapefile", ".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON", ".fgb": "FlatGeobuf",
    ".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG", ".png": "PNG", ".jpg": "JPEG", ".asc": "AAIGrid",
    ".img": "HFA",
}  # fmt: skip
RASTERS = {".tif", ".tiff", ".jp2", ".png", ".jpg", ".asc", ".img"}
# Sidecars that GDAL opens as what they are, whatever their name says.
SIDECARS = {".ovr": "GTiff", ".msk": "GTiff", ".aux": "HFA", ".rrd": "HFA"}
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
LINK = 0o12
"""The type of a symbolic link in the mode of an entry."""
MOST_SIDECAR = 16 * 1024**2


def archive_entries(archive: zipfile.ZipFile, source: str) -> list[zipfile.ZipInfo]:
    """The files in a zip, without what macOS adds.

    LayerError for names that leave it, occur twice or are links; LimitError for too many, or where it unpacks to too
    much. Nothing is unpacked.
    """
    entries = [one for one in archive.infolist() if not one.is_dir()]
    limits.check_archive(entries, source)
    seen: set[str] = set()
    for one in entries:
        name = one.orig_filename
        known = limits.few([name])
        strange = re.search(r"^/|^[A-Za-z]:|\\", name) or ".." in PurePosixPath(name).parts or not name.isprintable()
        if strange:
            raise LayerError(f"{source} has an entry {known}, which is no plain name; zip it anew", source=source)
        if one.external_attr >> 28 == LINK:
            raise LayerError(f"{source} has an entry {known}, which is a link; zip the file itself", source=source)
        # GDAL looks for sidecars without case.
        if name.casefold() in seen:
            raise LayerError(f"{source} has several entries named {known}", source=source)
        seen.add(name.casefold())
    return [one for one in entries if not one.filename.startswith("__MACOSX")]


def check_member(archive: zipfile.ZipFile, main: zipfile.ZipInfo, entries: list[zipfile.ZipInfo], source: str) -> None:
    """LayerError where the layer in a zip is not what its name says, or something beside it points elsewhere."""
    suffix = PurePosixPath(main.filename).suffix.lower()
    source = f"{source}: {limits.few([main.filename])}"
    if not HEADS[MEMBERS[suffix]](head_of(archive, main, source)):
        raise LayerError(f"{source} is not what its name says: its content is no {suffix}", source=source)
    if suffix in RASTERS:
        for one in entries:
            check_sidecar(archive, one, source)
    if suffix in (".geojson", ".json"):
        with archive.open(main) as file:
            check_geojson(file, source)
    if suffix == ".jp2":
        with archive.open(main) as file:
            check_boxes(file, source)
    if suffix == ".gpkg":
        limits.check_count(
            source, main.file_size, limits.MOST_UNPACKED_DATABASE, "bytes unpacked", "add it without the zip"
        )
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "data.gpkg"
            with archive.open(main) as file, copy.open("xb") as target:
                shutil.copyfileobj(file, target, CHUNK)
            with naming(source, Path(folder), copy):
                check_geopackage(copy)


def check_sidecar(archive: zipfile.ZipFile, one: zipfile.ZipInfo, source: str) -> None:
    name = one.filename.lower()
    wanted = SIDECARS.get(PurePosixPath(name).suffix)
    if wanted is not None and not HEADS[wanted](head_of(archive, one, source)):
        raise LayerError(f"{source} comes with {limits.few([one.filename])}, which is none", source=source)
    if name.endswith(".aux.xml"):
        limits.check_count(source, one.file_size, MOST_SIDECAR, "bytes in its .aux.xml", "leave that out")
        if "overview_file" in html.unescape(archive.read(one).decode(errors="replace")).lower():
            raise LayerError(f"{source} comes with {limits.few([one.filename])}, which points elsewhere", source=source)


def head_of(archive: zipfile.ZipFile, one: zipfile.ZipInfo, source: str) -> bytes:
    """The first bytes of an entry; LayerError where it is encrypted or packed in a way that not all readers know."""
    if one.flag_bits & 1:
        raise LayerError(f"{source} is in a zip with a password; add it without one", source=source)
    if one.compress_type not in METHODS:
        raise LayerError(f"{source} is packed in a rare way; zip it with deflate", source=source)
    with archive.open(one) as file:
        head: bytes = file.read(512)
    return head
