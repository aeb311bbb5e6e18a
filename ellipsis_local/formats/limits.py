"""What is more than a layer may be: our choice, well above real layers, the same for every way in.

A few kilobytes must not make this machine decode, list or count without end.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

from ellipsis_local.errors import LimitError

MOST_PIXELS = 10**11
"""Of one band: a scene of 300,000 × 300,000. A compute cuts every pixel of a layer, an empty one as well."""
MOST_SAMPLES = 10**12
"""Pixels times bands."""
MOST_BANDS = 10_000
"""A year of hours; each band is an object with a test of its own in several libraries."""
MOST_PIXELS_IN_ORDER = 5 * 10**8
"""Of a format that is decoded from its beginning for every window (PNG, JPEG, ASCII grids, …): seconds, not minutes."""
MOST_BLOCK_BYTES, MOST_BLOCK_PIXELS = 2**29, 2**26
"""Of one block decoded, all bands of it where they are interleaved: a window of one pixel needs it whole in memory."""
IN_ORDER = {"PNG", "JPEG", "WEBP", "GIF", "BIGGIF", "BMP", "AAIGrid", "GSAG", "USGSDEM"}

MOST_FEATURES = 200_000_000
"""Several times the buildings of the United States; a node's part of a layer is one frame in memory."""
MOST_FIELDS = 10_000
MOST_LAYERS = 10_000
"""In one GeoPackage."""
MOST_TABLE_BYTES = 2**38
"""Of the columns of one table decoded, as Parquet counts them."""
MOST_ROW_GROUPS = 1_000_000

MOST_ENTRIES = 10_000
"""Of an archive."""
MOST_UNPACKED = 2**38
"""Bytes of all entries of an archive unpacked: they are read in place, and from the beginning for every step back."""
RATIO, FREE_OF_RATIO = 250, 2**30
"""Bytes unpacked per byte packed, where it is more than FREE_OF_RATIO: deflate reaches 1032 on zeros, tables 50."""
MOST_UNPACKED_DATABASE = 2**32
"""Of a GeoPackage in an archive, which is unpacked to look at its tables."""
MOST_NAME = 1024
"""Bytes of the name of an entry, folders included."""

MOST_DIRECTORIES = 4096
"""Of one TIFF: bands, overviews and masks have one each."""
MOST_TAGS = 1024
"""Of one of them; the specifications know some 200."""


def check_raster(dataset: Any, source: str) -> None:
    """LimitError where an open rasterio dataset has too many pixels or bands, or blocks too large to decode."""
    width, height, bands = dataset.width, dataset.height, dataset.count
    size = f"{source} has {width:,} × {height:,} pixels"
    check_count(source, bands, MOST_BANDS, "bands", "split it")
    if width * height > MOST_PIXELS or width * height * bands > MOST_SAMPLES:
        raise LimitError(
            f"{size} (bands: {bands:,}), and at most {MOST_PIXELS:,} pixels of a band and {MOST_SAMPLES:,} in all "
            "are taken; split it into several files of one timestamp"
        )
    if dataset.driver in IN_ORDER and width * height > MOST_PIXELS_IN_ORDER:
        raise LimitError(
            f"{size}, and at most {MOST_PIXELS_IN_ORDER:,} are taken of the format {dataset.driver}, which is decoded "
            "from its beginning for every window; rewrite it as a tiled GeoTIFF (gdal_translate -co TILED=YES)"
        )
    interleaved = str(getattr(dataset.interleaving, "value", "") or "").lower() == "pixel"
    for (rows, columns), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        block = rows * columns * bytes_of(dtype) * (bands if interleaved else 1)
        if block > MOST_BLOCK_BYTES or rows * columns > MOST_BLOCK_PIXELS:
            raise LimitError(
                f"{source} has blocks of {rows:,} × {columns:,} pixels, {block:,} bytes decoded, and at most "
                f"{MOST_BLOCK_PIXELS:,} pixels and {MOST_BLOCK_BYTES:,} bytes are taken; rewrite it in smaller tiles "
                "(gdal_translate -co TILED=YES)"
            )


def bytes_of(dtype: str) -> int:
    """Bytes of a pixel of a dtype as rasterio names it; the most there are for one that numpy does not know."""
    import numpy as np

    try:
        return np.dtype(dtype).itemsize
    except TypeError:
        return 16


def check_count(source: str, number: int, most: int, what: str, way_out: str) -> None:
    """LimitError, with the way out, where there are more than `most`."""
    if number > most:
        raise LimitError(f"{source} has {number:,} {what}, and at most {most:,} are taken; {way_out}")


def check_table(metadata: Any, source: str) -> None:
    """LimitError where the metadata of a Parquet file (pyarrow's FileMetaData) speak of too much."""
    check_count(source, metadata.num_columns, MOST_FIELDS, "columns", "leave some out")
    check_count(source, metadata.num_rows, MOST_FEATURES, "rows", "split it into several files of one timestamp")
    check_count(source, metadata.num_row_groups, MOST_ROW_GROUPS, "row groups", "write it with larger ones")
    unpacked = sum(max(0, metadata.row_group(i).total_byte_size) for i in range(metadata.num_row_groups))
    check_count(source, unpacked, MOST_TABLE_BYTES, "bytes decoded", "split it into several files of one timestamp")


def check_archive(entries: Sequence[zipfile.ZipInfo], source: str) -> None:
    """LimitError where an archive has too many entries, or unpacks to too much."""
    check_count(source, len(entries), MOST_ENTRIES, "entries", "leave out what is not part of the layer")
    packed, unpacked = sum(one.compress_size for one in entries), sum(one.file_size for one in entries)
    too_much = unpacked > MOST_UNPACKED
    if too_much or (unpacked > FREE_OF_RATIO and unpacked > RATIO * packed):
        times = f"{unpacked // max(1, packed):,} times its size, and at most {RATIO} times are taken"
        most = f"and at most {MOST_UNPACKED:,} are taken" if too_much else times
        raise LimitError(f"{source} unpacks to {unpacked:,} bytes, {most}; add what is in it instead, unzipped")
    for one in entries:
        if len(one.filename.encode(errors="replace")) > MOST_NAME:
            raise LimitError(f"{source} has an entry whose name is longer than {MOST_NAME:,} bytes")


def few(names: Iterable[str], most: int = 20, length: int = 80) -> str:
    """Names for a message: a few of them, none too long."""
    listed = [repr(name if len(name) <= length else name[: length - 1] + "…") for name in names]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most:,} more" if len(listed) > most else "")
