"""Shapefile: several files of one name, or a zip of them."""

from __future__ import annotations

import struct
from pathlib import Path

from ellipsis_local.errors import LayerError
from ellipsis_local.formats import Format, register
from ellipsis_local.gdal_errors import reading

# Indexes beside a shapefile (.sbn, .qix) say nothing of its content.
PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


def shapefile_parts(path: Path) -> tuple[Path, ...]:
    """The parts of the shapefile at `path`, `path` first; LayerError where one is missing or cut short."""
    wanted = {path.stem.lower() + suffix for suffix in PARTS[1:]}
    with reading(path):
        beside = [one for one in sorted(path.parent.iterdir()) if one.name.lower() in wanted and one.is_file()]
    if ".shx" not in {one.suffix.lower() for one in beside}:
        raise LayerError.of(
            path, "is a shapefile without its .shx; give all its parts one name in one folder, or zip them"
        )
    for one in (path, *beside):
        check_part(one)
    return (path, *beside)


def check_part(path: Path) -> None:
    """LayerError where a .shp, .shx or .dbf is shorter than its own header says."""
    with reading(path):
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(100)
    need = 0
    if path.suffix.lower() in (".shp", ".shx") and len(head) >= 28:
        need = 2 * int(struct.unpack(">i", head[24:28])[0])
    elif path.suffix.lower() == ".dbf" and len(head) >= 12:
        records, header, length = struct.unpack("<IHH", head[4:12])
        need = header + records * length
    if size < need:
        raise LayerError.of(path, f"is truncated: {need - size:,} bytes are missing at its end")


SHAPEFILE = register(
    Format(
        name="shp", kind="vector", driver="ESRI Shapefile", title="Shapefile (also zipped)", suffixes=(".shp",),
        aliases=("shapefile",), begins=lambda head: head.startswith(b"\0\0\x27\x0a"),
        claims=lambda path: path.suffix.lower() == ".shp", parts=shapefile_parts, options=lambda _: {},
        facts={"lacks": ("list", "binary"), "name_bytes": 10},
    )
)  # fmt: skip
