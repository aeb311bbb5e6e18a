"""From what the caller gives (a file, bytes, an array, a GeoDataFrame) to a folder in the home.

source ──parcel()──> Parcel ──stage()──> FileRow + files in a draft folder ──rename──> layers/FILE_ID
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from ellipsis_local import vector
from ellipsis_local.errors import ArgumentError, LayerError, StoreError
from ellipsis_local.gdal_errors import naming, reading, shown_name, writing
from ellipsis_local.home import Home
from ellipsis_local.progress import OnProgress, Progress, silent
from ellipsis_local.raster.files import raster_array
from ellipsis_local.store import formats
from ellipsis_local.store.records import FileRow
from ellipsis_local.store.sandbox import Inspectors
from ellipsis_local.store.staging import (
    CHUNK,
    ArrayParcel,
    FileParcel,
    FrameParcel,
    NewFile,
    Overrides,
    Parcel,
    PlainParcel,
    Taken,
    file_parcel,
)

NO_OVERRIDES = Overrides()


class Intake:
    """Makes parcels of sources and lays them into the home."""

    def __init__(self, home: Home, new_id: Callable[[], str]) -> None:
        self.home = home
        self._new_id = new_id
        self.inspectors = Inspectors()

    def close(self) -> None:
        self.inspectors.close()

    @contextlib.contextmanager
    def parcel(
        self,
        source: Any,
        *,
        kind: formats.Kind | None = None,
        overrides: Overrides = NO_OVERRIDES,
        name: str | None = None,
        format: str | None = None,
    ) -> Iterator[Parcel]:
        """A layer: a path, bytes, a binary file object, a GeoDataFrame, or {'raster', 'transform', 'crs'}."""
        if isinstance(source, Mapping) or is_frame(source):
            made: ArrayParcel | FrameParcel
            if isinstance(source, Mapping):
                made = ArrayParcel(raster_array(source, epsg=overrides.epsg, nodata=overrides.nodata))
            else:
                made = FrameParcel(vector.checked_frame(source, epsg=overrides.epsg))
            if kind is not None and made.kind != kind:
                raise LayerError(f"the object is a {made.kind}, not a {kind}")
            yield made if name is None else replace(made, name=name)
            return
        suffix = formats.format_suffix(format) if format is not None else Path(name or "").suffix
        with self.on_disk(source, suffix) as (path, ours):
            if not ours:
                yield file_parcel(path, ours, kind, overrides, name, format)
                return
            with naming(shown_name(name), self.home.layers, path):
                if isinstance(source, Taken):
                    parcel = self.inspectors.look(path, kind, overrides, name, format)
                else:
                    parcel = file_parcel(path, ours, kind, overrides, name, format)
            yield parcel

    @contextlib.contextmanager
    def parcels(self, files: Iterable[NewFile], kind: formats.Kind) -> Iterator[list[Parcel]]:
        """Layers of one kind in several files."""
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(
                    self.parcel(one.source, kind=kind, overrides=one.overrides, name=one.name, format=one.format)
                )
                for one in files
            ]

    @contextlib.contextmanager
    def plain(self, source: Any, name: str | None) -> Iterator[PlainParcel]:
        with self.on_disk(source, Path(name or "").suffix) as (path, ours):
            if not path.is_file():
                raise LayerError(f"{name if ours else path} is not a file", source=str(path))
            yield PlainParcel(path, name or path.name, ours)

    @contextlib.contextmanager
    def on_disk(self, source: Any, suffix: str) -> Iterator[tuple[Path, bool]]:
        """Where the source lies, and whether it is a temporary file of ours."""
        if isinstance(source, Taken):
            with writing(source.path):
                path = source.path.replace(source.path.with_name(f"data{safe_suffix(suffix)}"))
            yield path, True
            return
        if isinstance(source, str | os.PathLike):
            path = Path(os.path.abspath(Path(os.fspath(source)).expanduser()))  # noqa: PTH100 - symbolic links stay
            checked_path(path, source)
            if not has_log(path):
                yield path, False
                return
        with contextlib.ExitStack() as stack:
            with writing(self.home.layers):
                folder = self.home.temporary(self.home.layers)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            if isinstance(source, str | os.PathLike):
                target = folder / path.name
                snapshot(path, target)
            else:
                target = folder / f"data{safe_suffix(suffix)}"
                spool(source, target)
            yield target, True

    @contextlib.contextmanager
    def staged(
        self,
        parcels: Sequence[Parcel],
        named: Callable[[], set[str]],
        progress: OnProgress = silent,
        file_id: str | None = None,
    ) -> Iterator[list[FileRow]]:
        """Lay parcels into layers/FILE_ID, all or none; at the end those folders go that are not among `named`.

        `file_id`: that of the one parcel; a new one each where None.
        """
        rows: list[FileRow] = []
        try:
            for number, parcel in enumerate(parcels):
                progress(Progress(f"adding {parcel.name}", number, len(parcels) if len(parcels) > 1 else None))
                new_id = file_id or self._new_id()
                with writing(self.home.layers), self.home.publish(self.home.layers / new_id) as draft:
                    file = (draft / parcel.main,) if isinstance(parcel, FileParcel) else ()
                    with naming(shown_name(parcel.name), self.home.layers, *file):
                        row = parcel.stage(draft, new_id)
                    # A folder counts as an orphan by its age; copying may have taken long.
                    os.utime(draft)
                rows.append(row)
            yield rows
        finally:
            try:
                keep = named()
            except StoreError:
                # Unknown whether the rows are there: the sweep finds out later.
                keep = {row.id for row in rows}
            for row in rows:
                if row.id not in keep:
                    shutil.rmtree(self.home.layers / row.id, ignore_errors=True)


def is_frame(source: Any) -> bool:
    """Whether `source` is a GeoDataFrame, without importing geopandas; ArgumentError for its near relatives."""
    geopandas, pandas = sys.modules.get("geopandas"), sys.modules.get("pandas")
    if geopandas is not None and isinstance(source, geopandas.GeoDataFrame):
        return True
    if geopandas is not None and isinstance(source, geopandas.GeoSeries):
        raise ArgumentError("a GeoSeries is no layer; add its .to_frame('geometry')", argument="source")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        raise ArgumentError("a DataFrame without geometry is no layer; make it a GeoDataFrame", argument="source")
    return False


def checked_path(path: Path, given: object) -> None:
    if "://" in str(given):
        raise LayerError.of(given, "is an address; download it first and add the file")
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise LayerError(f"{path!r} has a name that is no valid text; rename it", source=repr(path)) from error
    with reading(path):
        if not path.exists():
            raise LayerError.of(path, "is not there")


def has_log(path: Path) -> bool:
    """Whether a GeoPackage writes ahead (WAL): part of it may lie in a log, and reading it makes files beside it."""
    if path.suffix.lower() != ".gpkg" or not path.is_file():
        return False
    with reading(path), path.open("rb") as file:
        head = file.read(20)
    return head.startswith(b"SQLite format 3\0") and head[18:20] == b"\2\2"


def snapshot(path: Path, target: Path) -> None:
    """A copy of a GeoPackage as it is now, with what still lies in its write-ahead log."""
    with (
        reading(path),
        contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
        writing(target),
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def safe_suffix(suffix: str) -> str:
    return suffix.lower() if len(suffix) <= 16 and suffix.isascii() and suffix[1:].isalnum() else ""


def spool(source: bytes | bytearray | memoryview | BinaryIO, target: Path) -> None:
    if isinstance(source, bytes | bytearray | memoryview):
        with writing(target):
            target.write_bytes(source)
        return
    if not hasattr(source, "read"):
        forms = "a path, bytes, a binary file object, a GeoDataFrame, or a dictionary with raster, transform and crs"
        raise ArgumentError(f"a layer is {forms}; not {type(source).__name__}", argument="source")
    with writing(target), target.open("xb") as output:
        # The position of a BytesIO that a function returns may be anywhere (seen on the service).
        if hasattr(source, "seek") and (not hasattr(source, "seekable") or source.seekable()):
            source.seek(0)
        while data := source.read(CHUNK):
            if not isinstance(data, bytes):
                raise ArgumentError("the file object must be binary, not text", argument="source")
            output.write(data)
