"""A stored vector file as rows that can be read from anywhere in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np

from ellipsis_local.features.geojson import geojson
from ellipsis_local.features.ids import feature_ids
from ellipsis_local.features.writing import Integers, numbers_in
from ellipsis_local.gdal_errors import reading
from ellipsis_local.types import StoredFile, VectorFile

__all__ = ["Sheet", "index_of"]

BATCH = 2048


class Sheet:
    """The rows of one file, features without geometry among them. A context manager.

    Attributes
    ----------
    file, detail : StoredFile, VectorFile
    schema : pyarrow.Schema
        Of the columns that are given: the attributes and `geometry`, WKB in the CRS of the file.
    numbers : array (rows,), int64, ascending
        The number of each row, which its id holds.
    following : int
        The next number that is free.
    """

    def __init__(self, parquet: Any, file: StoredFile, detail: VectorFile) -> None:
        import pyarrow as pa

        self.file, self.detail = file, detail
        self._parquet = parquet
        own = parquet.schema_arrow
        self.rows = int(self._parquet.metadata.num_rows)
        self.geometry = self.detail.geometry_column
        names = {*self.detail.fields, self.geometry} - index_of(own)
        self.schema = pa.schema([field for field in own if field.name in names], own.metadata)
        sizes = [self._parquet.metadata.row_group(i).num_rows for i in range(self._parquet.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        self._numbers, self.following = numbers_in(own, self.rows)

    @cached_property
    def numbers(self) -> Integers:
        return np.arange(self.rows, dtype=np.int64) if self._numbers is None else self._numbers

    @property
    def fields(self) -> list[Any]:
        """The attributes."""
        return [field for field in self.schema if field.name != self.geometry]

    def ids(self, rows: Integers) -> list[str]:
        """The ids of the features in some rows."""
        return feature_ids(self.file.id, self.numbers[rows].tolist())

    def features(self, rows: Integers, table: Any, names: Sequence[str]) -> list[dict[str, Any]]:
        """Some rows, with their table, as GeoJSON features; see `geojson`."""
        return geojson(table, self.geometry, self.detail.crs, self.ids(rows), names)

    def row_from(self, number: int) -> int:
        """The first row whose number is `number` or more; the number of rows where there is none."""
        if self._numbers is None:
            return min(number, self.rows)
        return int(np.searchsorted(self._numbers, number))

    def rows_of(self, numbers: Integers) -> Integers:
        """The row of each number, -1 where it is not there."""
        rows = np.searchsorted(self.numbers, numbers)
        there = rows < self.rows
        there[there] = self.numbers[rows[there]] == numbers[there]
        return np.where(there, rows, -1)

    def read(self, rows: Integers | range, columns: Sequence[str] | None = None) -> Iterator[tuple[Integers, Any]]:
        """Some rows, ascending, in pieces of up to 2048: their row numbers and a table of the columns.

        One group of rows is decoded at a time; what comes before the first row in its group is skipped.
        """
        import pyarrow as pa

        wanted = np.asarray(rows, dtype=np.int64)
        names = self.schema.names if columns is None else list(columns)
        bounds = np.searchsorted(wanted, self._starts)
        for group in np.flatnonzero(np.diff(bounds)).tolist():
            inside = wanted[bounds[group] : bounds[group + 1]] - self._starts[group]
            done = start = 0
            for batch in self._batches(group, names):
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

    def _batches(self, group: int, names: Sequence[str]) -> Iterator[Any]:
        with reading(self.file.name, "cannot be read to its end; it is truncated or damaged"):
            batches = self._parquet.iter_batches(BATCH, row_groups=[group], columns=list(names))
        while True:
            # Not held while the caller works with a batch: `reading` keeps the whole process quiet.
            with reading(self.file.name, "cannot be read to its end; it is truncated or damaged"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def table(self, rows: Integers, columns: Sequence[str] | None = None) -> Any:
        """Some rows, ascending, as one table."""
        import pyarrow as pa

        pieces = [table for _, table in self.read(rows, columns)]
        wanted = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        return pa.concat_tables([wanted.remove_metadata().empty_table(), *pieces])

    def largest(self, name: str) -> int | None:
        """The largest absolute value of an integer column, from the statistics; None where they do not say."""
        found = 0
        for group in range(self._parquet.num_row_groups):
            about = self._parquet.metadata.row_group(group)
            for index in range(about.num_columns):
                column = about.column(index)
                if column.path_in_schema == name:
                    statistics = column.statistics
                    if statistics is None:
                        return None
                    if statistics.has_min_max:
                        found = max(found, abs(int(statistics.min)), abs(int(statistics.max)))
        return found

    def close(self) -> None:
        self._parquet.close()

    def __enter__(self) -> Sheet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def index_of(schema: Any) -> set[str]:
    """The columns that are the index of a frame, which computes do not see either."""
    try:
        names = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        return {name for name in names if isinstance(name, str)}
    except (KeyError, ValueError, TypeError):
        return set()
