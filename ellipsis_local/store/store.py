"""The store of layers: the catalogue's rows and the files under them, always together.

Files come first, then the rows that name them, in one transaction.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ellipsis_local import ids
from ellipsis_local.arguments import invalid
from ellipsis_local.crs import epsg_text
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, LimitError, NotFoundError
from ellipsis_local.home import Home, idle_seconds
from ellipsis_local.progress import OnProgress, silent
from ellipsis_local.store import formats
from ellipsis_local.store.catalog_toml import load
from ellipsis_local.store.catalogue import Catalogue
from ellipsis_local.store.export import copy_file, export, footprint
from ellipsis_local.store.ingest import Intake
from ellipsis_local.store.records import PENDING_CONTENT, FileRow
from ellipsis_local.store.staging import FileParcel, NewFile, Overrides, Parcel, Target
from ellipsis_local.types import STAND_IN, PathRecord, PathType, RasterFile, StoredFile, Timestamp, VectorFile

ORPHAN_SECONDS = 3600.0
PRIORITIES = (None, "newest", "oldest")
Check = Callable[[Sequence[RasterFile | VectorFile]], None] | None


class LayerStore:
    """Layers of one home. Safe to use from several threads, and from several processes on one home."""

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
        progress: OnProgress = silent,
    ) -> tuple[str, str]:
        """Add a raster or vector with one active timestamp; (path id, timestamp id), as `layers.add`."""
        path_id = ids.optional_uuid("pathId", path_id)
        timestamp_id = ids.optional_uuid("timestampId", timestamp_id)
        ids.date_range(date, self.catalogue.database.now())
        if type not in (None, "raster", "vector"):
            raise invalid("type", type, f"must be 'raster' or 'vector', not {type!r}")
        known = self.catalogue.find_path(path_id) if path_id is not None else None
        kind: Any = type or (known.type if known is not None and known.type in ("raster", "vector") else None)
        with self.intake.parcel(source, kind=kind, overrides=Overrides(epsg, nodata, layer)) as parcel:
            found = self.catalogue.find_timestamp(timestamp_id) if timestamp_id is not None else None
            target = Target(
                path_id or (found.path_id if found is not None else self.catalogue.database.new_id()),
                timestamp_id or self.catalogue.database.new_id(),
                parcel.kind or "raster",
                name or Path(parcel.name).stem,
                date,
                description,
                owner,
            )
            self.put(target, [parcel], replace=replace, progress=progress)
        return target.path_id, target.timestamp_id

    def put(
        self, target: Target, parcels: Sequence[Parcel], *, replace: bool = False, progress: OnProgress = silent
    ) -> bool:
        """Make `parcels` the files of a timestamp; False where they are it already."""
        if self._existing(target, (parcel.content() for parcel in parcels), replace)[1]:
            return False
        with self.intake.staged(parcels, self.catalogue.file_ids, progress) as staged:
            check_agreement([row.detail for row in staged], parcels)
            with self.catalogue.transaction():
                old = self._commit(target, [marked(row, target) for row in staged], replace)
            self._drop_folders(old)
        return True

    def _commit(self, target: Target, rows: Sequence[FileRow], replace: bool) -> Sequence[str]:
        """Write the rows, in a transaction; the ids of the files that they replace."""
        # Looked at again: another process may have been first.
        existing, same = self._existing(target, (row.content for row in rows), replace)
        if same:
            return ()
        replaced = self.catalogue.files_of(existing.id) if existing is not None and existing.files else ()
        # Of a stand-in, only what was invented: in the trash may lie real files.
        replacing = existing is not None and existing.stand_in
        old = [file.id for file in replaced if file.invented or not replacing]
        self.catalogue.delete_files(old)
        if self.catalogue.find_path(target.path_id) is None:
            about: dict[str, Any] = {"owner": target.owner, "metadata": target.metadata}
            self.catalogue.add_path(
                target.kind, target.name, path_id=target.path_id, parent_id=target.parent_id, **about
            )
        if existing is None:
            self.catalogue.add_timestamp(
                target.path_id, timestamp_id=target.timestamp_id, date=target.date, description=target.description
            )
        elif replacing and target.stand_in is None:
            self._rename(target)
        self.catalogue.add_files(target.path_id, target.timestamp_id, rows)
        self.catalogue.set_status(target.path_id, target.timestamp_id, target.status)
        return old

    def _rename(self, target: Target) -> None:
        """Let path and timestamp be called as the layer is that takes the place of a stand-in."""
        path = self.catalogue.get_path(target.path_id)
        if STAND_IN in path.metadata:
            self.catalogue.rename(path.id, target.name)
            self.catalogue.set_metadata(path.id, target.metadata or {})
            if target.parent_id is not None:
                self.catalogue.move([path.id], target.parent_id)
        self.catalogue.edit_timestamp(path.id, target.timestamp_id, description=target.description, date=target.date)

    def _existing(self, target: Target, contents: Iterable[str], replace: bool) -> tuple[Timestamp | None, bool]:
        """The timestamp, if there, and whether it holds these contents; an error where it has others that must stay."""
        path = self.catalogue.find_path(target.path_id)
        timestamp = self.catalogue.find_timestamp(target.timestamp_id)
        if path is not None and path.type != target.kind:
            raise invalid("pathId", path.id, f"{path.id} is a {path.type}, and this is a {target.kind}")
        if timestamp is not None and timestamp.path_id != target.path_id:
            raise invalid("timestampId", timestamp.id, f"{timestamp.id} belongs to path {timestamp.path_id}")
        if (path is not None and path.trashed) or (timestamp is not None and timestamp.trashed):
            raise LayerError(f"path {target.path_id} or its timestamp is in the trash; recover it first")
        if timestamp is None or not timestamp.files:
            return timestamp, False
        invented = target.stand_in is not None
        if invented and not timestamp.stand_in:
            raise LayerError(
                f"timestamp {timestamp.id} of path {timestamp.path_id} holds a layer, whose place no stand-in takes; "
                "layers.remove removes it"
            )
        if timestamp.stand_in and not invented:
            return timestamp, False
        same = [file.content for file in timestamp.files] == list(contents)
        if not same and not replace and not invented:
            raise LayerError(
                f"timestamp {timestamp.id} of path {timestamp.path_id} holds other content; replace=True replaces it, "
                f"path.{timestamp.type}.timestamp.file.add adds to it as a mosaic"
            )
        return timestamp, same

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
        progress: OnProgress = silent,
    ) -> str:
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
        progress: OnProgress = silent,
        check: Check = None,
        activate: bool = False,
        pending: str | None = None,
    ) -> tuple[str, ...]:
        """Add files (NewFile, or source and name) to a timestamp, all or none, and return their ids.

        A stand-in goes when the first file comes. The status stays unless `activate` makes it active; a raster
        timestamp of the service is activated by a call of its own. `format`: of those that do not say it;
        `mosaic_priority`: 'oldest' lays them beneath those that are there (the client passes it on, its values are our
        reading). `check` is called with what was found in the files, in their order, before any is added. `pending`:
        the id under which the one file is known already.
        """
        timestamp = self.catalogue.get_timestamp(path_id, timestamp_id)
        checked_priority(mosaic_priority)
        given = [one if isinstance(one, NewFile) else NewFile(*one) for one in files]
        given = [replace(one, format=one.format or format) for one in given]
        with (
            self.intake.parcels(given, timestamp.type) as parcels,
            self.intake.staged(parcels, self.catalogue.file_ids, progress, pending) as staged,
        ):
            if check is not None:
                check([row.detail for row in staged if row.detail is not None])
            with self.catalogue.transaction():
                # Read again: files may have come meanwhile.
                there = self.catalogue.get_timestamp(path_id, timestamp_id)
                gone = [file.id for file in there.files] if there.stand_in else []
                known = [] if gone else [file.detail for file in there.files[:1]]
                check_agreement([*known, *(row.detail for row in staged)], parcels)
                rows = [with_priority(row, mosaic_priority) for row in staged]
                self.catalogue.delete_files(gone)
                if pending is None:
                    self.catalogue.add_files(there.path_id, there.id, rows, beneath=mosaic_priority == "oldest")
                elif not self.catalogue.replace_file(rows[0], PENDING_CONTENT):
                    text = f"fileId {pending} was deleted while it was looked at"
                    raise NotFoundError(text, argument="fileId", value=pending)
                if activate:
                    self.catalogue.set_status(there.path_id, there.id, "active")
            self._drop_folders(gone)
        return tuple(row.id for row in rows)

    def add_upload(
        self, path_id: str, timestamp_id: str, file: NewFile, size: int, *, mosaic_priority: str | None = None
    ) -> str:
        """Add a file whose bytes are here, and return its id: it is pending until it has been looked at.

        Then it is completed, or errored with the reason (seen in scripts, which wait for that). A bad argument is an
        ArgumentError, and an obstacle of this machine a StoreError; nothing is added then.
        """
        checked_priority(mosaic_priority)
        wanted = formats.known_format(file.format or "")
        if file.epsg is not None:
            epsg_text(file.epsg)
        file_id = self.catalogue.database.new_id()
        row = FileRow(
            file_id, file.name or "", "", (), size, wanted, PENDING_CONTENT, None, file.overrides.given(), "pending"
        )
        row = with_priority(row, mosaic_priority)
        self.catalogue.add_files(path_id, timestamp_id, [row], beneath=mosaic_priority == "oldest")
        try:
            self.add_files(path_id, timestamp_id, [file], mosaic_priority=mosaic_priority, pending=file_id)
        except BaseException as error:
            # NotFoundError, an ArgumentError, too: it was deleted meanwhile, or its timestamp was.
            if isinstance(error, NotFoundError) or not isinstance(error, LayerError | LimitError | ArgumentError):
                self.catalogue.delete_files([file_id])
                raise
            self.catalogue.fail_files([file_id], str(error))
        return file_id

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
        progress: OnProgress = silent,
    ) -> str:
        """Add a path of type file; other content under its id is a LayerError, or replaced with `replace`."""
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
                    if self._has_plain(path_id, staged[0].content, replace):
                        return path_id
                    if self.catalogue.find_path(path_id) is None:
                        self.catalogue.add_path(
                            "file", parcel.name, path_id=path_id, parent_id=parent_id, owner=owner, metadata=metadata,
                            public_access=public_access,
                        )  # fmt: skip
                    else:
                        gone = (self.catalogue.plain_file(path_id).id,)
                        self.catalogue.delete_files(gone)
                    self.catalogue.add_files(path_id, None, staged)
                self._drop_folders(gone)
        return path_id

    def _has_plain(self, path_id: str, content: str, replace: bool) -> bool:
        """Whether the path holds this content; an error where it holds other content that is not to be replaced."""
        path = self.catalogue.find_path(path_id)
        if path is None:
            return False
        if path.type != "file":
            raise invalid("pathId", path_id, f"{path_id} is a {path.type}, not a file")
        same = self.catalogue.plain_file(path_id).content == content
        if not same and not replace:
            raise LayerError(f"path {path_id} holds a file of other content; replace=True replaces it")
        return same

    def _drop_folders(self, file_ids: Sequence[str]) -> None:
        for file_id in file_ids:
            shutil.rmtree(self.home.layers / file_id, ignore_errors=True)

    def add_layer_path(
        self,
        type: PathType,
        name: str,
        *,
        path_id: str | None = None,
        parent_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        public_access: Mapping[str, Any] | None = None,
        owner: str | None = None,
    ) -> str:
        """Add an empty raster, vector or folder and return its id."""
        if type not in ("raster", "vector", "folder"):
            raise invalid("type", type, "must be one of raster, vector, folder")
        about = {"path_id": path_id, "parent_id": parent_id, "owner": owner}
        return self.catalogue.add_path(type, name, metadata=metadata, public_access=public_access, **about)

    def add_timestamp(
        self, path_id: str, *, date: Any = None, description: str | None = None, timestamp_id: str | None = None
    ) -> str:
        """Add a timestamp without files, of status 'created', or 'active' in a vector, and return its id."""
        return self.catalogue.add_timestamp(path_id, date=date, description=description, timestamp_id=timestamp_id)

    def activate(self, path_id: str, timestamp_id: str) -> None:
        """Make a timestamp usable in computes; LayerError for a raster without files."""
        with self.catalogue.transaction():
            timestamp = self.catalogue.get_timestamp(path_id, timestamp_id)
            if not timestamp.files and timestamp.type == "raster":
                text = f"timestamp {timestamp.id} has no files and cannot be activated; add a file to it first"
                raise LayerError(text)
            self.catalogue.set_status(path_id, timestamp_id, "active")

    def deactivate(self, path_id: str, timestamp_id: str) -> None:
        """Take a timestamp out of use (status 'passive', our choice of word)."""
        self.catalogue.set_status(path_id, timestamp_id, "passive")

    def look(self, source: Any) -> RasterFile | VectorFile:
        """What a file on the disk is, without adding it."""
        with self.intake.parcel(source) as parcel:
            assert isinstance(parcel, FileParcel)  # noqa: S101 - the caller has a path
            return parcel.seen or parcel.inspect(parcel.path.parent, parcel.path.name, "")

    def list(self) -> Sequence[PathRecord]:
        """All paths that are not in the trash, oldest first."""
        return tuple(self.catalogue.list_paths())

    def path(self, path_id: str) -> PathRecord:
        """A path, trashed or not; NotFoundError where it is not here."""
        return self.catalogue.get_path(path_id)

    def timestamp(self, path_id: str, timestamp_id: str) -> Timestamp:
        """A timestamp of a path, trashed or not; NotFoundError where it is not here."""
        return self.catalogue.get_timestamp(path_id, timestamp_id)

    def remove(self, path_id: str, timestamp_id: str | None = None) -> None:
        """Delete a path with all below it, or one timestamp, with the files."""
        if timestamp_id is None:
            self._drop_folders(self.catalogue.delete_path(path_id))
        else:
            self._drop_folders(self.catalogue.delete_timestamp(path_id, timestamp_id))

    def remove_file(self, path_id: str, timestamp_id: str, file_id: str) -> None:
        found = self.catalogue.get_file(path_id, timestamp_id, file_id)
        self.catalogue.delete_files([found.id])
        self._drop_folders([found.id])

    def get_plain_file(self, path_id: str) -> StoredFile:
        """The file of a path of type file; NotFoundError where there is none."""
        return self.catalogue.plain_file(path_id)

    def files(self, path_id: str, timestamp_id: str) -> tuple[StoredFile, ...]:
        """The files of a timestamp, trashed ones too, from the bottom of the mosaic to its top."""
        return tuple(self.catalogue.files_of(self.catalogue.get_timestamp(path_id, timestamp_id).id))

    def bounds(self, path_id: str, timestamp_id: str) -> Any:
        """The bounds of a timestamp as a shapely geometry in EPSG:4326, longitude first; empty where it has nothing."""
        return footprint(self.catalogue.get_timestamp(path_id, timestamp_id))

    def download(self, path_id: str, timestamp_id: str, file_id: str, target: Any) -> Path:
        """Copy one file, as it was given, to `target`; its sidecars beside it."""
        return copy_file(self.catalogue.get_file(path_id, timestamp_id, file_id, completed=True), target)

    def download_plain_file(self, path_id: str, target: Any) -> Path:
        return copy_file(self.catalogue.plain_file(path_id), target)

    def export(self, path_id: str, timestamp_id: str, target: Any, *, cog: bool = False) -> Path:
        return export(self.catalogue.get_timestamp(path_id, timestamp_id), target, cog=cog)

    def load(
        self,
        folder: Any = None,
        *,
        replace: bool = False,
        owner: str | None = None,
        progress: OnProgress = silent,
        names: Collection[str] | None = None,
    ) -> dict[str, Any]:
        return dict(load(self, folder, replace, owner, progress, names))

    def sweep(self, age: float = ORPHAN_SECONDS) -> int:
        """Remove what killed processes left: folders that no row names and that nobody wrote to for `age` seconds."""
        named = self.catalogue.file_ids()
        removed = 0
        for folder in list(self.home.layers.iterdir()) if self.home.layers.is_dir() else []:
            with contextlib.suppress(OSError):
                if folder.name not in named and idle_seconds(folder) >= age:
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
        return removed


def check_agreement(details: Sequence[Any], parcels: Sequence[Parcel]) -> None:
    """The rasters of one timestamp have one dtype and number of bands; LayerError naming the one that differs."""
    rasters = [detail for detail in details if isinstance(detail, RasterFile)]
    for raster, parcel in zip(rasters[::-1], parcels[::-1], strict=False):
        first = rasters[0]
        if (raster.bands, raster.dtype) != (first.bands, first.dtype):
            others = f"the other files of its timestamp have {first.bands} bands of {first.dtype}"
            raise LayerError.of(parcel.name, f"has {raster.bands} bands of {raster.dtype}; {others}")


def marked(row: FileRow, target: Target) -> FileRow:
    return row if target.stand_in is None else replace(row, options=row.options | {STAND_IN: dict(target.stand_in)})


def checked_priority(priority: str | None) -> None:
    if priority not in PRIORITIES:
        raise invalid("mosaicPriority", priority, "must be one of 'newest', 'oldest'")


def with_priority(row: FileRow, priority: str | None) -> FileRow:
    return row if priority is None else replace(row, options=row.options | {"mosaic_priority": priority})
