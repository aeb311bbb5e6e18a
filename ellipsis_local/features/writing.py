"""Writing features as GeoParquet, piece by piece: no more than one group of rows is held.

A file that was changed says in its own footer which number each of its rows has, so that ids stay and no column shows
up in computes.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.features.ids import NUMBERS
from ellipsis_local.types import Extent
from ellipsis_local.vector.files import Census

__all__ = ["GROUP_BYTES", "GROUP_ROWS", "Integers", "LayerWriter", "Written", "numbers_in", "packed", "unpacked"]

GROUP_ROWS = 65_536
GROUP_BYTES = 16 * 1024**2
KEY = b"ellipsis_local:numbers"

Integers = NDArray[np.int64]


def packed(numbers: Integers) -> bytes:
    """Ascending numbers as few bytes: neighbours are mostly one apart."""
    return zlib.compress(np.diff(numbers, prepend=0).astype("<i8").tobytes())


def unpacked(data: bytes, most: int | None = None) -> Integers:
    """What `packed` was given; ValueError for more than `most` numbers, before they are held."""
    size = 0 if most is None else 8 * most + 1
    plain = zlib.decompressobj().decompress(data, size)
    if most is not None and len(plain) >= size:
        raise ValueError("there are more numbers than rows")
    return np.cumsum(np.frombuffer(plain, "<i8").astype(np.int64))


def numbers_in(schema: Any, rows: int) -> tuple[Integers | None, int]:
    """The numbers of a file's rows, None where they are 0, 1, 2 …, and the next one that is free."""
    text = (schema.metadata or {}).get(KEY)
    if text is None:
        return None, rows
    try:
        known = json.loads(text)
        numbers = unpacked(base64.b64decode(known["rows"]), rows)
        following = int(known["next"])
    except (ValueError, KeyError, TypeError, OverflowError, zlib.error):
        return None, rows
    # Anybody may upload a file that says so.
    fits = len(numbers) == rows and (rows == 0 or (numbers[0] >= 0 and (np.diff(numbers) > 0).all()))
    if not fits or not (numbers[-1] if rows else -1) < following <= NUMBERS - rows:
        return None, rows
    return numbers, following


@dataclass(frozen=True)
class Written:
    """What was written."""

    rows: int
    features: int
    """Rows with a geometry."""
    extent: Extent | None
    """In the CRS of the file."""


class LayerWriter:
    """Writes tables of one schema to `path`; a context manager, after which `written` says what is there.

    Parameters
    ----------
    schema : pyarrow.Schema
        The column `geometry` holds WKB; its metadata may hold what pandas noted of the columns.
    crs : str
        An authority code or WKT.
    numbers, following : array of int64, ascending; int
        The number of each row to come, and the next free one. None: 0, 1, 2 … as they come.
    """

    def __init__(
        self,
        path: Path,
        schema: Any,
        geometry: str,
        crs: str,
        *,
        numbers: Integers | None = None,
        following: int = 0,
        compression: str = "zstd",
    ) -> None:
        import pyarrow.parquet

        metadata = {b"geo": json.dumps(geo_metadata(geometry, crs)).encode()}
        if (pandas := (schema.metadata or {}).get(b"pandas")) is not None:
            metadata[b"pandas"] = pandas
        if numbers is not None:
            known = {"rows": base64.b64encode(packed(numbers)).decode(), "next": following}
            metadata[KEY] = json.dumps(known).encode()
        self.schema = schema.with_metadata(metadata)
        self.geometry = geometry
        self.census = Census()
        self.written = Written(0, 0, None)
        self._pending: list[Any] = []
        self._rows = self._bytes = 0
        self._file = pyarrow.parquet.ParquetWriter(path, self.schema, compression=compression)

    def write(self, table: Any, geometries: Any = None) -> None:
        """Append a table of the schema; `geometries` are those of its geometry column, where they are known."""
        import shapely

        if not len(table):
            return
        if geometries is None:
            geometries = shapely.from_wkb(table[self.geometry].to_numpy())
        self.census.add(geometries)
        self._pending.append(table.replace_schema_metadata(self.schema.metadata))
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._pending:
            table = pa.concat_tables(self._pending).unify_dictionaries()
            self._file.write_table(table, row_group_size=max(1, len(table)))
            self._pending, self._rows, self._bytes = [], 0, 0

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._file.close()
        self.written = Written(self.census.total, self.census.usable, self.census.extent)


def geo_metadata(geometry: str, crs: str) -> dict[str, Any]:
    """What GeoParquet 1.1 wants to know of the file."""
    import pyproj

    about = {"encoding": "WKB", "geometry_types": [], "crs": pyproj.CRS.from_user_input(crs).to_json_dict()}
    return {"version": "1.1.0", "primary_column": geometry, "columns": {geometry: about}}
