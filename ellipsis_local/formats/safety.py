"""What is looked at in a JPEG 2000 or a zip before GDAL opens it, so that it is neither kept busy nor sent elsewhere.

What belongs to one format is in its own module; `raster` and `vector` look at what GDAL found.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from ellipsis_local.errors import LayerError
from ellipsis_local.formats import limits
from ellipsis_local.formats.registry import EVERY, Format, of_suffix
from ellipsis_local.formats.tiff import is_tiff
from ellipsis_local.gdal_errors import naming

CHUNK = 4 * 1024**2

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
            raise LayerError.of(source, f"is damaged or truncated: a box at byte {at:,} has no end")
        if kind in BOXES_OF_BOXES:
            ends.append(at + length)
            at += head
        else:
            at += length
        count += 1
        while len(ends) > 1 and at + BOX.size > ends[-1]:
            at = ends.pop()


def starts(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(heads)


def is_grid(head: bytes) -> bool:
    return re.match(rb"\s*(ncols|nrows|xll|yll|cellsize|dx|dy|nodata)", head, re.IGNORECASE) is not None


JP2 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
# How raster files begin, by GDAL's driver: those that hold all of a layer in one file, or may (HFA, netCDF).
HEADS: dict[str, Callable[[bytes], bool]] = {
    "GTiff": is_tiff,
    "GPKG": starts(b"SQLite format 3\0"),
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
}
# Rasters that can be opened in a zip.
MEMBERS = {
    ".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG", ".png": "PNG", ".jpg": "JPEG", ".asc": "AAIGrid",
    ".img": "HFA",
}  # fmt: skip
# Sidecars that GDAL opens as what they are, whatever their name says.
SIDECARS = {".ovr": "GTiff", ".msk": "GTiff", ".aux": "HFA", ".rrd": "HFA"}
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
LINK = 0o12
"""The type of a symbolic link in the mode of an entry."""
MOST_SIDECAR = 16 * 1024**2


def archive_entries(archive: zipfile.ZipFile, source: str) -> list[zipfile.ZipInfo]:
    """The files in a zip without what macOS adds; LayerError or LimitError for names and sizes that are not sound."""
    entries = [one for one in archive.infolist() if not one.is_dir()]
    limits.check_archive(entries, source)
    seen: set[str] = set()
    for one in entries:
        name = one.orig_filename
        known = limits.few([name])
        strange = re.search(r"^/|^[A-Za-z]:|\\", name) or ".." in PurePosixPath(name).parts or not name.isprintable()
        if strange:
            raise LayerError.of(source, f"has an entry {known}, which is no plain name; zip it anew")
        if one.external_attr >> 28 == LINK:
            raise LayerError.of(source, f"has an entry {known}, which is a link; zip the file itself")
        # GDAL looks for sidecars without case.
        if name.casefold() in seen:
            raise LayerError.of(source, f"has several entries named {known}")
        seen.add(name.casefold())
    return [one for one in entries if not one.filename.startswith("__MACOSX")]


def is_member(name: str) -> bool:
    """Whether an entry of a zip can be opened as a layer, by its name."""
    suffix = PurePosixPath(name).suffix.lower()
    found = of_suffix(suffix, "vector")
    return suffix in MEMBERS or (found is not None and found.archived)


def check_member(archive: zipfile.ZipFile, main: zipfile.ZipInfo, entries: list[zipfile.ZipInfo], source: str) -> None:
    """LayerError where the layer in a zip is not what its name says, or something beside it points elsewhere."""
    suffix = PurePosixPath(main.filename).suffix.lower()
    source = f"{source}: {limits.few([main.filename])}"
    vector = None if suffix in MEMBERS else of_suffix(suffix, "vector")
    begins = HEADS[MEMBERS[suffix]] if vector is None else vector.begins
    if not begins(head_of(archive, main, source)):
        raise LayerError.of(source, f"is not what its name says: its content is no {suffix}")
    if vector is not None:
        check_vector(archive, main, vector, source)
        return
    for one in entries:
        check_sidecar(archive, one, source)
    if suffix == ".jp2":
        with archive.open(main) as file:
            check_boxes(file, source)


def check_vector(archive: zipfile.ZipFile, main: zipfile.ZipInfo, format: Format, source: str) -> None:
    if format.check_stream is not None:
        with archive.open(main) as file:
            format.check_stream(file, source)
    elif format.check is not None:
        limits.check_count(
            source, main.file_size, limits.MOST_UNPACKED_DATABASE, "bytes unpacked", "add it without the zip"
        )
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"data{format.suffixes[0]}"
            with archive.open(main) as file, copy.open("xb") as target:
                shutil.copyfileobj(file, target, CHUNK)
            with naming(source, Path(folder), copy):
                format.check(copy, EVERY)


def check_sidecar(archive: zipfile.ZipFile, one: zipfile.ZipInfo, source: str) -> None:
    name = one.filename.lower()
    wanted = SIDECARS.get(PurePosixPath(name).suffix)
    if wanted is not None and not HEADS[wanted](head_of(archive, one, source)):
        raise LayerError.of(source, f"comes with {limits.few([one.filename])}, which is none")
    if name.endswith(".aux.xml"):
        limits.check_count(source, one.file_size, MOST_SIDECAR, "bytes in its .aux.xml", "leave that out")
        if "overview_file" in html.unescape(archive.read(one).decode(errors="replace")).lower():
            raise LayerError.of(source, f"comes with {limits.few([one.filename])}, which points elsewhere")


def head_of(archive: zipfile.ZipFile, one: zipfile.ZipInfo, source: str) -> bytes:
    """The first bytes of an entry; LayerError where it is encrypted or packed in a way that not all readers know."""
    if one.flag_bits & 1:
        raise LayerError.of(source, "is in a zip with a password; add it without one")
    if one.compress_type not in METHODS:
        raise LayerError.of(source, "is packed in a rare way; zip it with deflate")
    with archive.open(one) as file:
        head: bytes = file.read(512)
    return head
