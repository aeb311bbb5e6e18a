"""The tables of the catalogue, and how their rows become the records of `ellipsis_local.types` and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellipsis_local.arguments import invalid
from ellipsis_local.ids import from_text
from ellipsis_local.types import FileStatus, PathRecord, RasterFile, StoredFile, VectorFile

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE IF NOT EXISTS paths (
        id TEXT PRIMARY KEY,
        type TEXT NOT NULL CHECK (type IN ('folder', 'raster', 'vector', 'file')),
        name TEXT NOT NULL,
        parent_id TEXT REFERENCES paths (id) ON DELETE CASCADE,
        owner TEXT,
        created TEXT NOT NULL,
        trashed INTEGER NOT NULL DEFAULT 0,
        metadata TEXT NOT NULL DEFAULT '{}',
        public_access TEXT NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX IF NOT EXISTS paths_parent ON paths (parent_id)",
    """
    CREATE TABLE IF NOT EXISTS timestamps (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        path_id TEXT NOT NULL REFERENCES paths (id) ON DELETE CASCADE,
        status TEXT NOT NULL,
        description TEXT,
        date_from TEXT NOT NULL,
        date_to TEXT NOT NULL,
        trashed INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX IF NOT EXISTS timestamps_path ON timestamps (path_id)",
    # position: order of lying on top of each other; detail: the fields of RasterFile or VectorFile as JSON, their
    # location with {folder} in it, so that a home can be moved; process: who looks at it while its status is pending.
    """
    CREATE TABLE IF NOT EXISTS files (
        id TEXT PRIMARY KEY,
        path_id TEXT NOT NULL REFERENCES paths (id) ON DELETE CASCADE,
        timestamp_id TEXT REFERENCES timestamps (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        main TEXT NOT NULL,
        parts TEXT NOT NULL,
        size INTEGER NOT NULL,
        format TEXT NOT NULL,
        content TEXT NOT NULL,
        created TEXT NOT NULL,
        trashed INTEGER NOT NULL DEFAULT 0,
        detail TEXT,
        options TEXT NOT NULL DEFAULT '{}',
        status TEXT NOT NULL DEFAULT 'completed',
        message TEXT,
        process TEXT
    )
    """,
    "CREATE INDEX IF NOT EXISTS files_timestamp ON files (timestamp_id)",
    "CREATE INDEX IF NOT EXISTS files_path ON files (path_id)",
)


PENDING_CONTENT = ""
"""Of a file that was not looked at yet, and of one that turned out to be no layer."""
FILE_COLUMNS = ("name", "main", "parts", "size", "format", "content", "detail", "options", "status", "message")
"""What a row of `files` says of a file, in the order of `FileRow.values`."""


@dataclass(frozen=True)
class FileRow:
    """A file that lies in its folder and is to be made known."""

    id: str
    name: str
    main: str
    parts: tuple[str, ...]
    size: int
    format: str
    content: str
    detail: RasterFile | VectorFile | None
    options: dict[str, Any]
    status: FileStatus = "completed"
    message: str | None = None

    def values(self) -> tuple[Any, ...]:
        """For FILE_COLUMNS."""
        detail = None if self.detail is None else json.dumps(self.detail.to_json())
        parts, options = json.dumps(self.parts), json.dumps(self.options)
        known = self.name, self.main, parts, self.size, self.format, self.content, detail, options
        return *known, self.status, self.message


def stored_file(row: sqlite3.Row, layers: Path) -> StoredFile:
    """A row of `files`; its folder lies below `layers`."""
    folder = layers / row["id"]
    return StoredFile(
        **{name: row[name] for name in ("id", "name", "main", "size", "format", "content", "status", "message")},
        folder=folder,
        created=from_text(row["created"]),
        detail=None if row["detail"] is None else detail_of(json.loads(row["detail"]), folder),
        options=json.loads(row["options"]),
        parts=tuple(json.loads(row["parts"])),
        trashed=bool(row["trashed"]),
    )


def detail_of(values: dict[str, Any], folder: Path | None) -> RasterFile | VectorFile:
    """The record that `to_json` made; its location as it is where `folder` is None."""
    if folder is not None:
        # Once: what follows may be the name of an entry of an archive.
        values["location"] = values["location"].replace("{folder}", str(folder), 1)
    return RasterFile.from_json(values) if "transform" in values else VectorFile.from_json(values)


def path_record(row: sqlite3.Row) -> PathRecord:
    return PathRecord(
        **{name: row[name] for name in ("id", "type", "name", "parent_id", "owner")},
        created=from_text(row["created"]),
        trashed=bool(row["trashed"]),
        metadata=json.loads(row["metadata"]),
        public_access=json.loads(row["public_access"]),
    )


def checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise invalid("name", name, "must be of type string")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise invalid("name", name, f"{name!r} is no valid text") from error
    return name


def as_json(argument: str, value: Any) -> str:
    if value is None:
        return "{}"
    if not isinstance(value, Mapping):
        raise invalid(argument, value, "must be of type dict")
    try:
        return json.dumps(dict(value))
    except (TypeError, ValueError) as error:
        raise invalid(argument, value, f"must be of JSON values: {error}") from error
