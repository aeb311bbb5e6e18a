"""GeoParquet as rows that can be read from anywhere in it, and copies of other formats as such files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.gdal_errors import writing
from ellipsis_local.types import VectorFile
from ellipsis_local.vector.reader import calls, each, open_layer
from ellipsis_local.vector.schema import index_columns, plain
from ellipsis_local.vector.writer import GeoParquetWriter

BATCH = 2048
MOST_ROWS = 131_072
MOST_BYTES = 64 * 1024**2
"""Of a group of rows that may be held."""

Integers = NDArray[np.int64]


class Rows:
    """An open GeoParquet file, whose `schema` has the attributes and `geometry`, WKB in the CRS of the file."""

    def __init__(self, path: Path, detail: VectorFile, source: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self.source = source
        with calls(source):
            self._parquet = pyarrow.parquet.ParquetFile(path)
        own = self._parquet.schema_arrow
        self.rows = int(self._parquet.metadata.num_rows)
        self.geometry = detail.geometry_column
        names = {*detail.fields, self.geometry} - index_columns(own)
        self.schema = pa.schema([field for field in own if field.name in names], own.metadata)
        self._groups = [self._parquet.metadata.row_group(i) for i in range(self._parquet.num_row_groups)]
        self._starts = np.cumsum([0, *(one.num_rows for one in self._groups)], dtype=np.int64)

    @property
    def direct(self) -> bool:
        """Whether the file holds what the room gives of it, in groups that may be held."""
        small = all(one.num_rows <= MOST_ROWS and one.total_byte_size <= MOST_BYTES for one in self._groups)
        kinds = ("binary", "large_binary")
        return small and all(
            str(field.type) in kinds if field.name == self.geometry else plain(field).type == field.type
            for field in self.schema
        )

    @property
    def fields(self) -> list[Any]:
        """The attributes."""
        return [field for field in self.schema if field.name != self.geometry]

    def read(self, rows: Integers | range, columns: Sequence[str] | None = None) -> Iterator[tuple[Integers, Any]]:
        """Some rows, ascending, in pieces of up to 2048: their row numbers and a table of the columns."""
        import pyarrow as pa

        wanted = np.asarray(rows, dtype=np.int64)
        names = self.schema.names if columns is None else list(columns)
        bounds = np.searchsorted(wanted, self._starts)
        for group in np.flatnonzero(np.diff(bounds)).tolist():
            inside = wanted[bounds[group] : bounds[group + 1]] - self._starts[group]
            done = start = 0
            for batch in each(self.source, self._parquet.iter_batches, BATCH, row_groups=[group], columns=names):
                end = int(np.searchsorted(inside, start + batch.num_rows))
                if end > done:
                    local = inside[done:end]
                    table = pa.Table.from_batches([batch]).select(names)
                    if len(local) < batch.num_rows:
                        table = table.take(pa.array(local - start))
                    yield local + self._starts[group], table.replace_schema_metadata(None)
                    done = end
                if done == len(inside):
                    break
                start += batch.num_rows

    def table(self, rows: Integers, columns: Sequence[str] | None = None) -> Any:
        """Some rows, ascending, as one table."""
        import pyarrow as pa

        pieces = [table for _, table in self.read(rows, columns)]
        wanted = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        return pa.concat_tables([wanted.remove_metadata().empty_table(), *pieces])

    def close(self) -> None:
        self._parquet.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def copy(detail: VectorFile, source: str, target: Path) -> None:
    """A stored file as GeoParquet in groups of a fair size, under the names that the record has; never held whole."""
    with open_layer(
        detail.location, format=detail.format, layer=detail.layer, geometry=detail.geometry_column, source=source,
        batch=BATCH * 8,
    ) as opened:  # fmt: skip
        schema = opened.settle()
        with writing(target), GeoParquetWriter(
            target, schema, opened.geometry, detail.crs, compression="lz4"
        ) as writer:  # fmt: skip
            for batch in opened.batches():
                writer.write(batch)
