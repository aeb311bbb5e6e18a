"""Files of features as they come into the store: a new one, and a new version of one that is there."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ellipsis_local.features.bounds import carry_over
from ellipsis_local.features.copies import forget
from ellipsis_local.features.rewriting import NOTHING, rewrite
from ellipsis_local.features.schemas import Column, pandas_metadata
from ellipsis_local.features.sheets import Sheet
from ellipsis_local.features.writing import Integers, LayerWriter, Written
from ellipsis_local.gdal_errors import writing
from ellipsis_local.home import Home
from ellipsis_local.store.formats import Kind
from ellipsis_local.store.parcels import combined, hashed_copy
from ellipsis_local.store.records import FileRow
from ellipsis_local.types import StoredFile, VectorFile

__all__ = ["MARK", "NewFeatures", "Version", "drop_former", "tidy", "write_version"]

MARK = "features"
"""In a file's options: 'added' for features that were added one by one, 'changed' for an upload that was changed."""
FORMER_SECONDS = 3600.0


def row_of(
    folder: Path, main: str, file_id: str, name: str, fields: Sequence[str], geometry: str, crs: str, written: Written,
    mark: str,
) -> FileRow:  # fmt: skip
    """What the catalogue is to say of a GeoParquet file that was just written."""
    content = combined("vector", {".parquet": hashed_copy(folder / main, None)}, {})
    detail = VectorFile(
        location=f"{{folder}}/{main}", content=content, crs=crs, features=written.features, extent=written.extent,
        fields=tuple(fields), geometry_column=geometry, format="parquet",
    )  # fmt: skip
    size = (folder / main).stat().st_size
    return FileRow(file_id, name, main, (main,), size, "parquet", content, detail, {MARK: mark})


@dataclass(frozen=True)
class NewFeatures:
    """A parcel of features that were added: see `ellipsis_local.store.parcels`."""

    columns: Sequence[Column]
    geometries: Any = field(repr=False)
    """shapely, in `crs`."""
    geometry: str = "geometry"
    crs: str = "EPSG:4326"
    name: str = "features.parquet"
    kind: Kind = "vector"

    def table(self) -> Any:
        """The features as an Arrow table with what pandas is told of it."""
        import pyarrow as pa
        import shapely

        schema = pa.schema([column.field for column in self.columns])
        schema = schema.append(pa.field(self.geometry, pa.binary()))
        arrays = [*(column.values for column in self.columns), pa.array(shapely.to_wkb(self.geometries), pa.binary())]
        notes = [column.note for column in self.columns if column.note is not None]
        return pa.Table.from_arrays(arrays, schema=schema.with_metadata(pandas_metadata(notes)))

    def content(self) -> str:
        """Features that are added are never the same again: they have ids of their own."""
        return uuid.uuid4().hex

    def stage(self, folder: Path, file_id: str) -> FileRow:
        table = self.table()
        with writing(folder), LayerWriter(folder / self.name, table.schema, self.geometry, self.crs) as writer:
            writer.write(table, self.geometries)
        fields = [column.field.name for column in self.columns]
        return row_of(folder, self.name, file_id, self.name, fields, self.geometry, self.crs, writer.written, "added")


@dataclass(frozen=True)
class Version:
    """A new version of a file, in its folder under a name of its own, that no row names yet."""

    file: StoredFile
    row: FileRow

    @property
    def path(self) -> Path:
        return self.file.folder / self.row.main


def write_version(
    home: Home, sheet: Sheet, schema: Any, *, rows: tuple[Integers, Any] | None = None, without: Integers = NOTHING
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
                if path.name not in file.parts and time.time() - path.stat().st_mtime > FORMER_SECONDS:
                    path.unlink()
