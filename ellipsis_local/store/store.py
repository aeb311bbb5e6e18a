"""The store of layers: the catalogue's rows and the files under them, always together."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ellipsis_local.errors import ArgumentError, LayerError
from ellipsis_local.store.adding import Adding
from ellipsis_local.store.intake import Progress
from ellipsis_local.types import PathRecord, PathType, StoredFile, Timestamp

__all__ = ["LayerStore"]

ORPHAN_SECONDS = 3600.0


class LayerStore(Adding):
    """Layers of one home. Safe to use from several threads, and from several processes on one home."""

    # ----- paths and timestamps --------------------------------------------------------------------------------------

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
            raise ArgumentError("type must be one of raster, vector, folder", argument="type", value=type)
        return self.catalogue.add_path(
            type,
            name,
            path_id=path_id,
            parent_id=parent_id,
            metadata=metadata,
            public_access=public_access,
            owner=owner,
        )

    def add_timestamp(
        self, path_id: str, *, date: Any = None, description: str | None = None, timestamp_id: str | None = None
    ) -> str:
        """Add a timestamp of status 'created', without files, and return its id."""
        return self.catalogue.add_timestamp(path_id, date=date, description=description, timestamp_id=timestamp_id)

    def activate(self, path_id: str, timestamp_id: str) -> None:
        """Make a timestamp usable in computes; LayerError where it has no files."""
        with self.catalogue.transaction():
            timestamp = self.catalogue.get_timestamp(path_id, timestamp_id)
            if not timestamp.files:
                raise LayerError(
                    f"timestamp {timestamp.id} has no files and cannot be activated; add a file to it first"
                )
            self.catalogue.set_status(path_id, timestamp_id, "active")

    def deactivate(self, path_id: str, timestamp_id: str) -> None:
        """Take a timestamp out of use (status 'passive', our choice of word)."""
        self.catalogue.set_status(path_id, timestamp_id, "passive")

    def list(self) -> Sequence[PathRecord]:
        """All paths that are not in the trash, oldest first."""
        return tuple(self.catalogue.list_paths())

    def get(self, path_id: str, timestamp_id: str | None = None) -> PathRecord | Timestamp:
        """A path, or one of its timestamps; NotFoundError where it is not here."""
        return self.path(path_id) if timestamp_id is None else self.timestamp(path_id, timestamp_id)

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
        """Delete one file of a timestamp."""
        found = self.catalogue.get_file(path_id, timestamp_id, file_id)
        self.catalogue.delete_files([found.id])
        self._drop_folders([found.id])

    # ----- reading ---------------------------------------------------------------------------------------------------

    def get_plain_file(self, path_id: str) -> StoredFile:
        """The file of a path of type file; NotFoundError where there is none."""
        return self.catalogue.plain_file(path_id)

    def files(self, path_id: str, timestamp_id: str) -> tuple[StoredFile, ...]:
        """The files of a timestamp, trashed ones too, from the bottom of the mosaic to its top."""
        return tuple(self.catalogue.files_of(self.catalogue.get_timestamp(path_id, timestamp_id).id))

    def bounds(self, path_id: str, timestamp_id: str) -> Any:
        """The bounds of a timestamp as a shapely geometry in EPSG:4326, longitude first; empty where it has nothing."""
        from ellipsis_local.store.export import footprint

        return footprint(self.catalogue.get_timestamp(path_id, timestamp_id))

    def download(self, path_id: str, timestamp_id: str, file_id: str, target: Any) -> Path:
        """Copy one file, as it was given, to `target`; its sidecars beside it."""
        from ellipsis_local.store.export import copy_file

        return copy_file(self.catalogue.get_file(path_id, timestamp_id, file_id), target)

    def download_plain_file(self, path_id: str, target: Any) -> Path:
        """Copy the file of a path of type file to `target`."""
        from ellipsis_local.store.export import copy_file

        return copy_file(self.catalogue.plain_file(path_id), target)

    def export(self, path_id: str, timestamp_id: str, target: Any) -> Path:
        """Write a timestamp to one file, by the suffix of `target`; see `ellipsis_local.store.export.export`."""
        from ellipsis_local.store.export import export

        return export(self.catalogue.get_timestamp(path_id, timestamp_id), target)

    # ----- fixtures and housekeeping ---------------------------------------------------------------------------------

    def load(
        self, folder: Any, *, replace: bool = False, owner: str | None = None, progress: Progress = None
    ) -> dict[str, Any]:
        """Add a folder of fixtures; see `ellipsis_local.store.fixtures.load`."""
        from ellipsis_local.store.fixtures import load

        return dict(load(self, folder, replace=replace, owner=owner, progress=progress))

    def sweep(self, age: float = ORPHAN_SECONDS) -> int:
        """Remove what killed processes left: folders that no row names and that nobody wrote to for `age` seconds."""
        named = self.catalogue.file_ids()
        removed = 0
        for folder in list(self.home.layers.iterdir()) if self.home.layers.is_dir() else []:
            if folder.name not in named and time.time() - newest(folder) > age:
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        return removed


def newest(folder: Path) -> float:
    """The last time that something in `folder` was written."""
    times = [time.time()]
    for one in (folder, *folder.rglob("*")):
        try:
            times.append(one.lstat().st_mtime)
        except OSError:
            # Gone meanwhile: somebody is at work here.
            return time.time()
    return max(times[1:])
