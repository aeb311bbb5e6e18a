"""FlatGeobuf."""

from __future__ import annotations

import struct
from pathlib import Path

from ellipsis_local.formats import Format, register

COUNT = 8
"""Which field of the header is the number of features."""


def rows(path: Path) -> int | None:
    """The number of features that the header tells; None where it does not."""
    with path.open("rb") as file:
        head = file.read(12)
        size = int.from_bytes(head[8:12], "little")
        header = file.read(min(size, 1 << 24))
    try:
        (table,) = struct.unpack_from("<I", header, 0)
        (back,) = struct.unpack_from("<i", header, table)
        (known,) = struct.unpack_from("<H", header, table - back)
        place = 4 + 2 * COUNT
        (at,) = struct.unpack_from("<H", header, table - back + place) if place < known else (0,)
        return int(struct.unpack_from("<Q", header, table + at)[0]) if at else None
    except struct.error:
        return None


FLATGEOBUF = register(
    Format(
        name="fgb", kind="vector", driver="FlatGeobuf", title="FlatGeobuf", suffixes=(".fgb",), aliases=("flatgeobuf",),
        begins=lambda head: head.startswith(b"fgb\x03fgb"), rows=rows, options=lambda _: {},
        facts={"lacks": ("list",), "flat_where_mixed": True},
    )
)  # fmt: skip
