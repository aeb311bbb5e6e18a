"""A file of features written anew with some of its rows replaced, added or left out; and new files, as they come in."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ellipsis_local.features.ids import Integers, footer
from ellipsis_local.features.parquet_cache import carry_over, forget
from ellipsis_local.features.schema_context import Column, fitted
from ellipsis_local.features.table import FeatureTable
from ellipsis_local.gdal_errors import writing
from ellipsis_local.home import Home, idle_seconds
from ellipsis_local.store import FileRow, content_of
from ellipsis_local.types import STAND_IN, StoredFile, VectorFile
from ellipsis_local.vector import Census, GeoParquetWriter, from_shapely, pandas_metadata

MARK = "features"
"""In a file's options: 'added' for features that were added one by one, 'changed' for an upload that was changed."""
FORMER_SECONDS = 3600.0


NOTHING: Integers = np.empty(0, np.int64)


def row_of(
    folder: Path, main: str, file_id: str, name: str, fields: Sequence[str], geometry: str, crs: str, written: Census,
    mark: str,
) -> FileRow:  # fmt: skip
    """What the catalogue is to say of a GeoParquet file that was just written."""
    content = content_of(folder / main)
    detail = VectorFile(
        location=f"{{folder}}/{main}", content=content, crs=crs, features=written.usable, extent=written.extent,
        fields=tuple(fields), geometry_column=geometry, format="parquet",
        without_geometry=written.total - written.usable,
    )  # fmt: skip
    size = (folder / main).stat().st_size
    return FileRow(file_id, name, main, (main,), size, "parquet", content, detail, {MARK: mark})


def rewrite(sheet: FeatureTable, target: Path, schema: Any, *, rows: tuple[Integers, Any], without: Integers) -> Census:
    """Write a sheet to `target`, its rows ordered by their numbers."""
    new, table = rows
    gone = np.union1d(without, new)
    numbers = np.union1d(np.setdiff1d(sheet.numbers, gone, assume_unique=True), new)
    following = max(sheet.following, int(new[-1]) + 1 if len(new) else 0)
    plain = following == len(numbers)
    done = 0
    with GeoParquetWriter(
        target, schema, sheet.geometry, sheet.detail.crs, more={} if plain else footer(numbers, following)
    ) as writer:
        for piece, old in sheet.read(np.arange(sheet.rows)):
            own = sheet.numbers[piece]
            end = int(np.searchsorted(new, own[-1], side="right"))
            writer.write(merged(fitted(old, schema), own, table.slice(done, end - done), new[done:end], gone))
            done = end
        writer.write(table.slice(done))
    return writer.census


def merged(old: Any, own: Integers, table: Any, new: Integers, gone: Integers) -> Any:
    """Rows that stay and new ones, by their numbers."""
    import pyarrow as pa

    keep = ~np.isin(own, gone)
    if keep.all() and not len(new):
        return old
    together = pa.concat_tables([old.filter(pa.array(keep)), table]).unify_dictionaries()
    return together.take(pa.array(np.argsort(np.concatenate([own[keep], new]), kind="stable")))


@dataclass(frozen=True)
class NewFeatures:
    """A parcel of features that were added: what the store's `staged` takes."""

    columns: Sequence[Column]
    geometries: Any = field(repr=False)
    """shapely, in `crs`."""
    geometry: str = "geometry"
    crs: str = "EPSG:4326"
    name: str = "features.parquet"
    kind: Literal["raster", "vector"] = "vector"

    def table(self) -> Any:
        """The features as an Arrow table with what pandas is told of it."""
        import pyarrow as pa

        schema = pa.schema([column.field for column in self.columns])
        schema = schema.append(pa.field(self.geometry, pa.binary()))
        arrays = [*(column.values for column in self.columns), from_shapely(self.geometries)]
        notes = [column.note for column in self.columns if column.note is not None]
        return pa.Table.from_arrays(arrays, schema=schema.with_metadata(pandas_metadata(notes)))

    def content(self) -> str:
        """Features that are added are never the same again: they have ids of their own."""
        return uuid.uuid4().hex

    def stage(self, folder: Path, file_id: str) -> FileRow:
        table = self.table()
        with writing(folder), GeoParquetWriter(folder / self.name, table.schema, self.geometry, self.crs) as writer:
            writer.write(table)
        fields = [column.field.name for column in self.columns]
        return row_of(folder, self.name, file_id, self.name, fields, self.geometry, self.crs, writer.census, "added")


@dataclass(frozen=True)
class Version:
    """A new version of a file, in its folder under a name of its own, that no row names yet."""

    file: StoredFile
    row: FileRow

    @property
    def path(self) -> Path:
        return self.file.folder / self.row.main


def write_version(
    home: Home,
    sheet: FeatureTable,
    schema: Any,
    *,
    rows: tuple[Integers, Any] | None = None,
    without: Integers = NOTHING,
) -> Version:
    """Write a file anew with rows replaced, added or left out; see `rewrite`."""
    rows = (NOTHING, schema.remove_metadata().empty_table()) if rows is None else rows
    file = sheet.file
    path = file.folder / f"features-{uuid.uuid4().hex[:12]}.parquet"
    with writing(path), Home.publish_file(path) as draft:
        written = rewrite(sheet, draft, schema, rows=rows, without=without)
    fields = [one.name for one in schema if one.name != sheet.geometry]
    try:
        row = row_of(
            file.folder, path.name, file.id, f"{Path(file.name).stem}.parquet", fields, sheet.geometry,
            sheet.detail.crs, written, file.options.get(MARK, "changed"),
        )  # fmt: skip
        if file.invented:
            row = replace(row, options=row.options | {STAND_IN: "changed"})
        carry_over(home, sheet, row.content, rows, without)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Version(file, row)


def drop_former(home: Home, version: Version) -> None:
    """Remove what a file's folder holds besides the new version and the one before.

    That one stays until the next change: a compute may be about to read it.
    """
    forget(home, version.file.content)
    kept = {*version.row.parts, *version.file.parts}
    for path in version.file.folder.iterdir():
        with contextlib.suppress(OSError):
            if path.name in version.file.parts:
                os.utime(path)
            elif path.name not in kept:
                path.unlink()


def tidy(files: Sequence[StoredFile]) -> None:
    """Remove former versions that nobody can be reading any more, and the drafts of killed processes."""
    for file in files:
        if MARK not in file.options:
            continue
        with contextlib.suppress(OSError):
            for path in file.folder.iterdir():
                if path.name not in file.parts and idle_seconds(path) > FORMER_SECONDS:
                    path.unlink()
