"""Adding to the store: files first, then the rows that name them, in one transaction."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ellipsis_local import ids
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.home import Home
from ellipsis_local.store.catalogue import Catalogue
from ellipsis_local.store.formats import Kind
from ellipsis_local.store.intake import Intake, Progress, Staged
from ellipsis_local.store.parcels import Overrides, Parcel
from ellipsis_local.store.records import FileRow
from ellipsis_local.store.target import NewFile, Target
from ellipsis_local.types import PathRecord, RasterFile, Timestamp, VectorFile

__all__ = ["Adding"]

PRIORITIES = (None, "newest", "oldest")
Check = Callable[[Sequence[RasterFile | VectorFile]], None] | None
LAYER_KINDS: tuple[Kind, ...] = ("raster", "vector")


class Adding:
    """The half of `LayerStore` that takes layers in."""

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self.catalogue = Catalogue(database, home.layers)
        self.intake = Intake(home, database.new_id)

    def close(self) -> None:
        """End the processes that look at uploads; the store may be used again."""
        self.intake.close()

    def add(
        self,
        source: Any,
        *,
        path_id: str | None = None,
        timestamp_id: str | None = None,
        name: str | None = None,
        type: str | None = None,
        date: Any = None,
        description: str | None = None,
        epsg: int | None = None,
        nodata: float | None = None,
        layer: str | None = None,
        replace: bool = False,
        owner: str | None = None,
        progress: Progress = None,
    ) -> tuple[str, str]:
        """Add a raster or vector with one active timestamp, and return (path id, timestamp id).

        Our own function: the service has an upload in three steps instead. The same content under the same ids is a
        no-op, so a script may begin with it.

        Parameters
        ----------
        source : path, GeoDataFrame, or {'raster': ndarray, 'transform': Affine, 'crs': …, 'nodata'?: …}
            `raster` is (bands, height, width) or (height, width).
        path_id, timestamp_id : str, optional
            UUIDs, kept; made where absent. Without `timestamp_id`, every call adds a new timestamp.
        date : datetime or {'from', 'to'}, optional
            Now where absent. A time without a zone is UTC.
        epsg, nodata : optional
            What the file says wrong, or not at all.
        layer : str, optional
            The one in a file that holds several.
        replace : bool
            Put the new content in the place of another under the same `timestamp_id`.

        Raises
        ------
        LayerError
            A source that is no usable layer, or other content than what is there under `timestamp_id`.
        ArgumentError
            Malformed ids, a path of the other type, a timestamp of another path.
        StoreError
            A full disk; nothing is left of the layer then.
        """
        path_id = ids.optional_uuid("pathId", path_id)
        timestamp_id = ids.optional_uuid("timestampId", timestamp_id)
        ids.date_range(date, self.catalogue.database.now())
        known = self.catalogue.find_path(path_id) if path_id is not None else None
        kind = checked_kind(type) or layer_kind(known)
        with self.intake.parcel(source, kind=kind, overrides=Overrides(epsg, nodata, layer)) as parcel:
            target = Target(
                path_id or self._path_of(timestamp_id) or self.catalogue.database.new_id(),
                timestamp_id or self.catalogue.database.new_id(),
                parcel.kind or "raster",
                name or Path(parcel.name).stem,
                date,
                description,
                owner,
            )
            self.put(target, [parcel], replace=replace, progress=progress)
        return target.path_id, target.timestamp_id

    def _path_of(self, timestamp_id: str | None) -> str | None:
        found = self.catalogue.find_timestamp(timestamp_id) if timestamp_id is not None else None
        return None if found is None else found.path_id

    def put(
        self, target: Target, parcels: Sequence[Parcel], *, replace: bool = False, progress: Progress = None
    ) -> bool:
        """Make `parcels` the files of a timestamp; False where they are it already."""
        existing = self._existing(target)
        if existing is not None and existing.files:
            if same_content(existing, [parcel.content() for parcel in parcels]):
                return False
            if not replace:
                raise different(existing)
        with self.intake.staged(parcels, self.catalogue.file_ids, progress) as staged:
            check_agreement([row.detail for row in staged.rows], parcels)
            with self.catalogue.transaction():
                old = self._commit(target, staged, replace)
            self._drop_folders(old)
        return True

    def _commit(self, target: Target, staged: Staged, replace: bool) -> Sequence[str]:
        """Write the rows, in a transaction; the ids of the files that they replace."""
        # Looked at again: another process may have been first.
        existing = self._existing(target)
        old: list[str] = []
        if existing is not None and existing.files:
            if same_content(existing, [row.content for row in staged.rows]):
                return []
            if not replace:
                raise different(existing)
            old = [file.id for file in self.catalogue.files_of(existing.id)]
            self.catalogue.delete_files(old)
        if self.catalogue.find_path(target.path_id) is None:
            self.catalogue.add_path(
                target.kind,
                target.name,
                path_id=target.path_id,
                parent_id=target.parent_id,
                owner=target.owner,
                metadata=target.metadata,
            )
        if existing is None:
            self.catalogue.add_timestamp(
                target.path_id, timestamp_id=target.timestamp_id, date=target.date, description=target.description
            )
        self.catalogue.add_files(target.path_id, target.timestamp_id, staged.rows)
        self.catalogue.set_status(target.path_id, target.timestamp_id, target.status)
        return old

    def _existing(self, target: Target) -> Timestamp | None:
        """The timestamp, if it is there; an error where the ids stand for something else or lie in the trash."""
        path = self.catalogue.find_path(target.path_id)
        timestamp = self.catalogue.find_timestamp(target.timestamp_id)
        if path is not None and path.type != target.kind:
            raise ArgumentError(
                f"pathId {path.id} is a {path.type}, and this is a {target.kind}", argument="pathId", value=path.id
            )
        if timestamp is not None and timestamp.path_id != target.path_id:
            raise ArgumentError(
                f"timestampId {timestamp.id} belongs to path {timestamp.path_id}",
                argument="timestampId",
                value=timestamp.id,
            )
        if (path is not None and path.trashed) or (timestamp is not None and timestamp.trashed):
            raise LayerError(f"path {target.path_id} or its timestamp is in the trash; recover it first")
        return timestamp

    # ----- adding files to a timestamp -------------------------------------------------------------------------------

    def add_file(
        self,
        path_id: str,
        timestamp_id: str,
        source: Any,
        *,
        name: str | None = None,
        format: str | None = None,
        epsg: int | None = None,
        nodata: float | None = None,
        mosaic_priority: str | None = None,
        layer: str | None = None,
        progress: Progress = None,
    ) -> str:
        """Add one file to a timestamp and return its id; see `add_files`."""
        file = NewFile(source, name, format, epsg, nodata, layer)
        return self.add_files(path_id, timestamp_id, [file], mosaic_priority=mosaic_priority, progress=progress)[0]

    def add_files(
        self,
        path_id: str,
        timestamp_id: str,
        files: Sequence[NewFile | tuple[Any, str]],
        *,
        format: str | None = None,
        mosaic_priority: str | None = None,
        progress: Progress = None,
        check: Check = None,
    ) -> tuple[str, ...]:
        """Add files to a timestamp, all or none, and return their ids.

        The status stays; a timestamp of the service is activated by a call of its own.

        Parameters
        ----------
        files : sequence of NewFile or of (source, name)
        format : str, optional
            The format of those that do not say it themselves.
        mosaic_priority : None, 'newest' or 'oldest'
            'oldest' lays the files beneath those that are there (the client passes it on, its values are our reading).
        check : callable, optional
            Called with what was found in the files, in their order, before any is added; may raise.

        Raises
        ------
        LayerError
            Content of the other type, or with another number of bands or dtype than the files there.
        ArgumentError
            Unknown ids, an unknown format.
        """
        timestamp = self.catalogue.get_timestamp(path_id, timestamp_id)
        if mosaic_priority not in PRIORITIES:
            raise ArgumentError(
                "mosaicPriority must be one of 'newest', 'oldest'", argument="mosaicPriority", value=mosaic_priority
            )
        with contextlib.ExitStack() as stack:
            parcels = [
                stack.enter_context(
                    self.intake.parcel(
                        file.source,
                        kind=timestamp.type,
                        overrides=Overrides(file.epsg, file.nodata, file.layer),
                        name=file.name,
                        format=file.format or format,
                    )
                )
                for file in (one if isinstance(one, NewFile) else NewFile(*one) for one in files)
            ]
            staged = stack.enter_context(self.intake.staged(parcels, self.catalogue.file_ids, progress))
            if check is not None:
                check([row.detail for row in staged.rows if row.detail is not None])
            with self.catalogue.transaction():
                # Read again: files may have come meanwhile.
                there = self.catalogue.get_timestamp(path_id, timestamp_id)
                known = [file.detail for file in there.files[:1]]
                check_agreement([*known, *(row.detail for row in staged.rows)], parcels)
                rows = [with_priority(row, mosaic_priority) for row in staged.rows]
                self.catalogue.add_files(there.path_id, there.id, rows, beneath=mosaic_priority == "oldest")
        return tuple(row.id for row in rows)

    def add_plain_file(
        self,
        source: Any,
        *,
        name: str | None = None,
        path_id: str | None = None,
        parent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        public_access: Mapping[str, Any] | None = None,
        owner: str | None = None,
        replace: bool = False,
        progress: Progress = None,
    ) -> str:
        """Add a path of type file (any content: a path, bytes, a binary file object) and return its id.

        The same content under the same `path_id` is a no-op; other content is a LayerError, or takes its place with
        `replace`. ArgumentError where bytes have no name (seen in the client).
        """
        path_id = ids.optional_uuid("pathId", path_id) or self.catalogue.database.new_id()
        if name is None and not isinstance(source, str | os.PathLike):
            raise ArgumentError("Parameter name is required when using a memory file", argument="name")
        with self.intake.plain(source, name) as parcel:
            # Not before it is known that there is something to compare with: hashing gigabytes takes seconds.
            known = self.catalogue.find_path(path_id) is not None
            if known and self._has_plain(path_id, parcel.content(), replace):
                return path_id
            with self.intake.staged([parcel], self.catalogue.file_ids, progress) as staged:
                gone: tuple[str, ...] = ()
                with self.catalogue.transaction():
                    # Looked at again: another process may have been first.
                    if self._has_plain(path_id, staged.rows[0].content, replace):
                        return path_id
                    if self.catalogue.find_path(path_id) is None:
                        self.catalogue.add_path(
                            "file", parcel.name, path_id=path_id, parent_id=parent_id, owner=owner, metadata=metadata,
                            public_access=public_access,
                        )  # fmt: skip
                    else:
                        gone = (self.catalogue.plain_file(path_id).id,)
                        self.catalogue.delete_files(gone)
                    self.catalogue.add_files(path_id, None, staged.rows)
                self._drop_folders(gone)
        return path_id

    def _has_plain(self, path_id: str, content: str, replace: bool) -> bool:
        """Whether the path holds this content; an error where it holds other content that is not to be replaced."""
        path = self.catalogue.find_path(path_id)
        if path is None:
            return False
        if path.type != "file":
            raise ArgumentError(f"pathId {path_id} is a {path.type}, not a file", argument="pathId", value=path_id)
        same = self.catalogue.plain_file(path_id).content == content
        if not same and not replace:
            raise LayerError(f"path {path_id} holds a file of other content; replace=True replaces it")
        return same

    def _drop_folders(self, file_ids: Sequence[str]) -> None:
        for file_id in file_ids:
            shutil.rmtree(self.home.layers / file_id, ignore_errors=True)


def checked_kind(kind: Any) -> Kind | None:
    if kind is None:
        return None
    for known in LAYER_KINDS:
        if kind == known:
            return known
    raise ArgumentError(f"type must be 'raster' or 'vector', not {kind!r}", argument="type", value=kind)


def layer_kind(path: PathRecord | None) -> Kind | None:
    return path.type if path is not None and path.type in ("raster", "vector") else None


def same_content(timestamp: Timestamp, contents: Sequence[str]) -> bool:
    return [file.content for file in timestamp.files] == list(contents)


def different(timestamp: Timestamp) -> LayerError:
    return LayerError(
        f"timestamp {timestamp.id} of path {timestamp.path_id} holds other content; replace=True replaces it, "
        f"path.{timestamp.type}.timestamp.file.add adds to it as a mosaic"
    )


def check_agreement(details: Sequence[Any], parcels: Sequence[Parcel]) -> None:
    """The rasters of one timestamp have one dtype and number of bands; LayerError naming the one that differs."""
    rasters = [detail for detail in details if isinstance(detail, RasterFile)]
    for raster, parcel in zip(rasters[::-1], parcels[::-1], strict=False):
        first = rasters[0]
        if (raster.bands, raster.dtype) != (first.bands, first.dtype):
            raise LayerError(
                f"{parcel.name} has {raster.bands} bands of {raster.dtype}; the other files of its timestamp have "
                f"{first.bands} bands of {first.dtype}",
                source=parcel.name,
            )


def with_priority(row: FileRow, priority: str | None) -> FileRow:
    return row if priority is None else replace(row, options=row.options | {"mosaic_priority": priority})
