"""The tree of paths, their timestamps and the files of these, as rows: metadata only, no file is touched here."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from ellipsis_local.arguments import invalid
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, EllipsisLocalError, LayerError, NotFoundError, StoreError
from ellipsis_local.ids import as_uuid, date_range, from_text, optional_uuid, to_text
from ellipsis_local.processes import ProcessMark, own_mark
from ellipsis_local.service_columns import LENGTHS, check_length
from ellipsis_local.store.records import FILE_COLUMNS, FileRow, as_json, checked_name, path_record, stored_file
from ellipsis_local.types import PathRecord, PathType, StoredFile, Timestamp

T = TypeVar("T")
KEEP: Any = object()
"""Stands for an argument that was not given, where None has a meaning."""
MOST_MESSAGE = LENGTHS["the message of a raster file"], LENGTHS["the message of a vector file"]


class Catalogue:
    """Reads and writes of the rows. `folder` is the home's folder of layers, where FILE_ID/main lies."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self._open = threading.local()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction; inside another one of the same thread, a part of that."""
        current: sqlite3.Connection | None = getattr(self._open, "connection", None)
        if current is not None:
            yield current
            return
        try:
            with self.database.transaction() as connection:
                self._open.connection = connection
                try:
                    yield connection
                finally:
                    self._open.connection = None
        except sqlite3.IntegrityError as error:
            if "FOREIGN KEY" in str(error):
                raise NotFoundError("the path was deleted meanwhile", argument="pathId") from error
            raise StoreError(f"the catalogue refuses a row: {error}") from error

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        current: sqlite3.Connection | None = getattr(self._open, "connection", None)
        if current is None:
            return self.database.rows(query, values)
        # Only its own connection sees what an open transaction has written.
        return current.execute(query, values).fetchall()

    def _row(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        found = self._rows(query, values)
        return found[0] if found else None

    def add_path(
        self,
        type: PathType,
        name: str,
        *,
        path_id: str | None = None,
        parent_id: str | None = None,
        owner: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        public_access: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a path and return its id; ArgumentError where the id is taken or the parent is no folder."""
        self._check_lengths(name=name, metadata=metadata)
        path_id = self.database.new_id() if path_id is None else as_uuid("pathId", path_id)
        parent_id = optional_uuid("parentId", parent_id)
        values = {
            "id": path_id, "type": type, "name": checked_name(name), "parent_id": parent_id, "owner": owner,
            "created": to_text(self.database.now()), "metadata": as_json("metadata", metadata),
            "public_access": as_json("publicAccess", public_access),
        }  # fmt: skip
        with self.transaction():
            self._check_parent(parent_id)
            if self.find_path(path_id) is not None:
                raise invalid("pathId", path_id, f"{path_id} exists already")
            self._insert("paths", values)
        return path_id

    def _check_lengths(self, *, name: Any = None, metadata: Mapping[str, Any] | None = None) -> None:
        check_length("the name of a path", "name", name, strict=self.database.strict)
        text = metadata.get("description") if isinstance(metadata, Mapping) else None
        check_length("the description of a path", "metadata.description", text, strict=self.database.strict)

    def _insert(self, table: str, values: Mapping[str, Any]) -> None:
        marks = ", ".join("?" * len(values))
        query = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608 - own text only
        with self.transaction() as connection:
            connection.execute(query, list(values.values()))

    def _update(self, table: str, id: str, **values: Any) -> None:
        query = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?"  # noqa: S608 - own text
        with self.transaction() as connection:
            connection.execute(query, [*values.values(), id])

    def _check_parent(self, parent_id: str | None) -> None:
        if parent_id is not None and self.get_path(parent_id, argument="parentId").type != "folder":
            raise invalid("parentId", parent_id, f"{parent_id} is not a folder")

    def find_path(self, path_id: str) -> PathRecord | None:
        row = self._row("SELECT * FROM paths WHERE id = ?", (path_id,))
        return None if row is None else path_record(row)

    def get_path(self, path_id: str, *, argument: str = "pathId") -> PathRecord:
        """The path; ArgumentError for a malformed id, NotFoundError for an unknown one."""
        path_id = as_uuid(argument, path_id)
        found = self.find_path(path_id)
        if found is None:
            raise NotFoundError(f"{argument} {path_id} does not exist here", argument=argument, value=path_id)
        return found

    def list_paths(
        self,
        *,
        types: Sequence[PathType] | None = None,
        parent_id: str | None = KEEP,
        owner: str | None = KEEP,
        trashed: bool | None = False,
    ) -> list[PathRecord]:
        """Paths, oldest first. `parent_id=None` asks for those without a parent, `trashed=None` for both kinds."""
        tests: list[str] = ["1"]
        values: list[Any] = []
        if types is not None:
            tests.append(f"type IN ({', '.join('?' * len(types))})")
            values += list(types)
        for column, value in (("parent_id", parent_id), ("owner", owner)):
            if value is not KEEP:
                tests.append(f"{column} IS ?")
                values.append(value)
        if trashed is not None:
            tests.append("trashed = ?")
            values.append(int(trashed))
        query = f"SELECT * FROM paths WHERE {' AND '.join(tests)} ORDER BY created, rowid"  # noqa: S608 - own text only
        return [path_record(row) for row in self._rows(query, values)]

    def rename(self, path_id: str, name: str) -> None:
        self._check_lengths(name=name)
        self._edit_path(path_id, name=checked_name(name))

    def trash(self, path_id: str, trashed: bool = True) -> None:
        self._edit_path(path_id, trashed=int(trashed))

    def set_metadata(self, path_id: str, metadata: Mapping[str, Any]) -> None:
        self._check_lengths(metadata=metadata)
        self._edit_path(path_id, metadata=as_json("metadata", metadata))

    def set_public_access(self, path_id: str, public_access: Mapping[str, Any]) -> None:
        self._edit_path(path_id, public_access=as_json("publicAccess", public_access))

    def state(self) -> str:
        """A text that is another one as soon as any path, timestamp or file changed."""
        return self.database.digest(
            "SELECT id, name, parent_id, trashed FROM paths "
            "UNION ALL SELECT id, status, date_from, trashed FROM timestamps "
            "UNION ALL SELECT id, status, name, trashed FROM files"
        )

    def still_here(self, records: Iterable[PathRecord], shape: Callable[[PathRecord], T]) -> list[T]:
        """`shape` of each of these paths, without those that are removed meanwhile."""
        shaped = []
        for record in records:
            try:
                value = shape(record)
            except EllipsisLocalError:
                if self.find_path(record.id) is not None:
                    raise
                continue
            # After it, too: what was read while a path was removed is not all of it.
            if self.find_path(record.id) is not None:
                shaped.append(value)
        return shaped

    def move(self, path_ids: Sequence[str], parent_id: str | None) -> None:
        """Move paths into a folder, or to the root; ArgumentError for a folder into itself."""
        parent_id = optional_uuid("parentId", parent_id)
        with self.transaction():
            self._check_parent(parent_id)
            for path_id in path_ids:
                if parent_id is not None and parent_id in self.subtree(path_id):
                    text = f"{path_id} cannot be moved into itself or below"
                    raise ArgumentError(text, argument="parentId", value=parent_id)
                self._edit_path(path_id, parent_id=parent_id)

    def _edit_path(self, path_id: str, **values: Any) -> None:
        with self.transaction():
            self._update("paths", self.get_path(path_id).id, **values)

    def subtree(self, path_id: str) -> list[str]:
        """The path and all below it."""
        path_id = self.get_path(path_id).id
        query = """
            WITH RECURSIVE below (id) AS (
                VALUES (?) UNION SELECT paths.id FROM paths JOIN below ON paths.parent_id = below.id
            )
            SELECT id FROM below
        """
        return [str(row["id"]) for row in self._rows(query, (path_id,))]

    def delete_path(self, path_id: str) -> list[str]:
        """Delete a path and all below it; the ids of the files whose folders may go now."""
        with self.transaction() as connection:
            ids = self.subtree(path_id)
            marks = ", ".join("?" * len(ids))
            query = f"SELECT id FROM files WHERE path_id IN ({marks})"  # noqa: S608 - question marks only
            files = [str(row["id"]) for row in self._rows(query, ids)]
            connection.execute("DELETE FROM paths WHERE id = ?", (ids[0],))
        return files

    def add_timestamp(
        self, path_id: str, *, timestamp_id: str | None = None, date: Any = None, description: str | None = None
    ) -> str:
        """Add a timestamp and return its id; those of vectors are usable at once (inferred from scripts)."""
        timestamp_id = self.database.new_id() if timestamp_id is None else as_uuid("timestampId", timestamp_id)
        start, end = date_range(date, self.database.now())
        if description is not None and not isinstance(description, str):
            raise invalid("description", description, "must be of type string")
        self._check_description(description)
        with self.transaction():
            path = self.get_path(path_id)
            if path.type not in ("raster", "vector"):
                raise invalid("pathId", path.id, f"{path.id} is a {path.type}, which has no timestamps")
            if self.find_timestamp(timestamp_id) is not None:
                raise invalid("timestampId", timestamp_id, f"{timestamp_id} exists already")
            status = "active" if path.type == "vector" else "created"
            values = {"id": timestamp_id, "path_id": path.id, "status": status, "description": description}
            self._insert("timestamps", values | {"date_from": to_text(start), "date_to": to_text(end)})
        return timestamp_id

    def find_timestamp(self, timestamp_id: str) -> Timestamp | None:
        found = self._timestamps("timestamps.id = ?", (timestamp_id,))
        return found[0] if found else None

    def get_timestamp(self, path_id: str, timestamp_id: str) -> Timestamp:
        """A timestamp of a path, trashed or not; NotFoundError where the path has no such timestamp."""
        path = self.get_path(path_id)
        timestamp_id = as_uuid("timestampId", timestamp_id)
        found = self.find_timestamp(timestamp_id)
        if found is None or found.path_id != path.id:
            text = f"timestampId {timestamp_id} does not exist in path {path.id}"
            raise NotFoundError(text, argument="timestampId", value=timestamp_id)
        return found

    def timestamps_of(self, path_id: str) -> list[Timestamp]:
        """The timestamps of a path that are not in the trash, in the order in which they were added."""
        return self._timestamps("timestamps.path_id = ? AND NOT timestamps.trashed", (self.get_path(path_id).id,))

    def _timestamps(self, test: str, values: Sequence[Any]) -> list[Timestamp]:
        query = (
            "SELECT timestamps.*, paths.type FROM timestamps JOIN paths ON paths.id = timestamps.path_id "  # noqa: S608
            f"WHERE {test} ORDER BY timestamps.position"
        )
        return [self._timestamp(row) for row in self._rows(query, values)]

    def _timestamp(self, row: sqlite3.Row) -> Timestamp:
        files = [file for file in self.files_of(row["id"]) if not file.trashed]
        return Timestamp(
            **{name: row[name] for name in ("id", "path_id", "type", "status", "description")},
            date_from=from_text(row["date_from"]),
            date_to=from_text(row["date_to"]),
            files=tuple(file for file in files if file.status == "completed"),
            trashed=bool(row["trashed"]),
            unfinished=tuple(file for file in files if file.status != "completed"),
        )

    def _check_description(self, text: Any) -> None:
        check_length("the description of a timestamp", "description", text, strict=self.database.strict)

    def edit_timestamp(self, path_id: str, timestamp_id: str, *, description: Any = KEEP, date: Any = KEEP) -> None:
        with self.transaction():
            found = self.get_timestamp(path_id, timestamp_id)
            if description is not KEEP:
                self._check_description(description)
                self._update("timestamps", found.id, description=description)
            if date is not KEEP:
                start, end = map(to_text, date_range(date, self.database.now()))
                self._update("timestamps", found.id, date_from=start, date_to=end)

    def set_status(self, path_id: str, timestamp_id: str, status: Literal["created", "active", "passive"]) -> None:
        with self.transaction():
            self._update("timestamps", self.get_timestamp(path_id, timestamp_id).id, status=status)

    def trash_timestamp(self, path_id: str, timestamp_id: str, trashed: bool = True) -> None:
        with self.transaction():
            self._update("timestamps", self.get_timestamp(path_id, timestamp_id).id, trashed=int(trashed))

    def delete_timestamp(self, path_id: str, timestamp_id: str) -> list[str]:
        """Delete a timestamp; the ids of the files whose folders may go now."""
        with self.transaction() as connection:
            found = self.get_timestamp(path_id, timestamp_id)
            files = [file.id for file in self.files_of(found.id)]
            connection.execute("DELETE FROM timestamps WHERE id = ?", (found.id,))
        return files

    def add_files(
        self, path_id: str, timestamp_id: str | None, rows: Sequence[FileRow], *, beneath: bool = False
    ) -> None:
        """Make files known, the later ones on top, or all of them beneath what is there."""
        query = "SELECT min(position), max(position) FROM files WHERE timestamp_id IS ?"
        with self.transaction():
            (low, high) = self._rows(query, (timestamp_id,))[0]
            start = (low or 0) - len(rows) if beneath else (high if high is not None else -1) + 1
            # That of a plain file is its path's.
            column = None if timestamp_id is None else f"the name of a {self.get_path(path_id).type} file"
            for position, row in enumerate(rows, start=start):
                if column is not None:
                    check_length(column, "name", row.name, strict=self.database.strict)
                place = {"id": row.id, "path_id": path_id, "timestamp_id": timestamp_id, "position": position}
                known = dict(zip(FILE_COLUMNS, row.values(), strict=True))
                process = json.dumps(own_mark()) if row.status == "pending" else None
                self._insert("files", place | known | {"created": to_text(self.database.now()), "process": process})

    def files_of(self, timestamp_id: str) -> list[StoredFile]:
        """The files of a timestamp, trashed and unfinished ones too, from the bottom to the top."""
        query = "SELECT * FROM files WHERE timestamp_id = ? ORDER BY position"
        rows = self._rows(query, (timestamp_id,))
        pending = [row for row in rows if row["status"] == "pending"]
        if lost := [row["id"] for row in pending if not ProcessMark(*json.loads(row["process"])).alive]:
            self.fail_files(lost, "the process that looked at it ended before it was done; upload it again")
            rows = self._rows(query, (timestamp_id,))
        return [stored_file(row, self.folder) for row in rows]

    def plain_file(self, path_id: str) -> StoredFile:
        path = self.get_path(path_id)
        row = self._row("SELECT * FROM files WHERE path_id = ? AND timestamp_id IS NULL", (path.id,))
        if path.type != "file" or row is None:
            raise NotFoundError(f"pathId {path.id} is a {path.type}, not a file", argument="pathId", value=path.id)
        return stored_file(row, self.folder)

    def get_file(self, path_id: str, timestamp_id: str, file_id: str, *, completed: bool = False) -> StoredFile:
        """A file of a timestamp, trashed or not; NotFoundError where the timestamp has no such file.

        With `completed` a LayerError where there is nothing to read in it.
        """
        timestamp = self.get_timestamp(path_id, timestamp_id)
        file_id = as_uuid("fileId", file_id)
        for file in self.files_of(timestamp.id):
            if file.id == file_id:
                if completed and file.status != "completed":
                    why = f"is {file.status}{f': {file.message}' if file.message else ''}"
                    raise LayerError(f"fileId {file_id} {why}; there is nothing to download")
                return file
        text = f"fileId {file_id} does not exist in timestamp {timestamp.id}"
        raise NotFoundError(text, argument="fileId", value=file_id)

    def trash_file(self, path_id: str, timestamp_id: str, file_id: str, trashed: bool = True) -> None:
        with self.transaction():
            self._update("files", self.get_file(path_id, timestamp_id, file_id).id, trashed=int(trashed))

    def replace_file(self, row: FileRow, former: str) -> bool:
        """Let a file of the same id be another one; False where it is gone, or its content is not `former` any more."""
        columns = ", ".join(f"{name} = ?" for name in FILE_COLUMNS)
        query = f"UPDATE files SET {columns} WHERE id = ? AND content = ?"  # noqa: S608 - own text only
        with self.transaction() as connection:
            return connection.execute(query, (*row.values(), row.id, former)).rowcount == 1

    def fail_files(self, file_ids: Sequence[str], message: str) -> None:
        """Let pending files be errored, with a message of the length that the type of their layer has."""
        query = (
            "UPDATE files SET status = 'errored', message = substr(?, 1, iif(type = 'raster', ?, ?)) FROM paths "
            "WHERE paths.id = path_id AND files.id = ? AND status = 'pending'"
        )
        with self.transaction() as connection:
            connection.executemany(query, [(message, *MOST_MESSAGE, file_id) for file_id in file_ids])

    def delete_files(self, file_ids: Sequence[str]) -> None:
        with self.transaction() as connection:
            connection.executemany("DELETE FROM files WHERE id = ?", [(file_id,) for file_id in file_ids])

    def all_files(self) -> list[StoredFile]:
        """The completed files of all timestamps, trashed ones too."""
        rows = self._rows("SELECT * FROM files WHERE timestamp_id IS NOT NULL AND status = 'completed'")
        return [stored_file(row, self.folder) for row in rows]

    def file_ids(self) -> set[str]:
        """Of the files that have a folder."""
        return {str(row["id"]) for row in self._rows("SELECT id FROM files WHERE status = 'completed'")}
