"""GeoJSON: one object in one file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import IO

from ellipsis_local.errors import LayerError
from ellipsis_local.formats import Format, register
from ellipsis_local.gdal_errors import reading
from ellipsis_local.vector.reader import file_info

CHUNK = 4 * 1024**2
COLLECTION = re.compile(rb'\s*\{\s*"type"\s*:\s*"FeatureCollection"')


def begins(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def is_geojson(path: Path) -> bool:
    """Whether JSON is GeoJSON: it says so at once, or GDAL does, which is asked once the file is known to be safe."""
    with reading(path), path.open("rb") as file:
        if COLLECTION.match(file.read(512).removeprefix(b"\xef\xbb\xbf")):
            return True
        file.seek(0)
        check_geojson(file, str(path))
    try:
        return str(file_info(path)["driver"]) == "GeoJSON"
    except LayerError:
        # Broken JSON with the right name gets the parser's own message later.
        return path.suffix.lower() == ".geojson"


def check_file(path: Path, _: str | None = None) -> None:
    """`check_geojson` of a file."""
    with reading(path), path.open("rb") as file:
        check_geojson(file, str(path))


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
            raise LayerError.of(source, "is a pipeline of GDAL and no data; add what it makes")
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
        raise LayerError.of(source, "is no plain JSON: something stands behind the name 'crs'")
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
            raise LayerError.of(
                source,
                "has a CRS that is only an address, and those are not fetched; write it as a name "
                "(urn:ogc:def:crs:EPSG::…), or leave it out and pass epsg=…",
            )


GEOJSON = register(
    Format(
        name="geojson", kind="vector", driver="GeoJSON", title="GeoJSON", suffixes=(".geojson", ".json"),
        begins=begins, claims=is_geojson, check=check_file, check_stream=check_geojson, options=lambda _: {},
    )
)  # fmt: skip
