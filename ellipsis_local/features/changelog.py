"""The log of changes: its entries, and rows as they were before."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import numpy as np

from ellipsis_local.arguments import invalid
from ellipsis_local.features.geojson import geojson
from ellipsis_local.features.ids import Integers, feature_ids, packed, unpacked
from ellipsis_local.features.table import FeatureTable
from ellipsis_local.ids import from_text, to_text

ACTIONS = ("add", "edit", "trash", "recover")
PAGE = 1000
COLUMNS = "id, file_id, action, date, user_id, username, numbers"
CRS = b"ellipsis_local:crs"
GEOMETRY = b"ellipsis_local:geometry"


Action = Literal["add", "edit", "trash", "recover"]


class Author(Protocol):
    """Whoever changes something."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """One change of some features of one file."""

    id: int
    file_id: str
    action: Action
    date: datetime
    user: dict[str, str | None]
    """`id` and `username`."""
    numbers: Integers
    """Ascending."""


def entry(row: sqlite3.Row) -> Entry:
    user = {"id": row["user_id"], "username": row["username"]}
    return Entry(row["id"], row["file_id"], row["action"], from_text(row["date"]), user, unpacked(row["numbers"]))


def insert_entry(
    connection: sqlite3.Connection,
    timestamp_id: str,
    file_id: str,
    action: Action,
    numbers: Integers,
    before: bytes | None,
    user: Author | None,
    now: datetime,
) -> None:
    connection.execute(
        "INSERT INTO feature_changes (timestamp_id, file_id, action, date, user_id, username, low, high, numbers, "
        "before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            timestamp_id, file_id, action, to_text(now),
            None if user is None else user.id, None if user is None else user.name,
            int(numbers[0]), int(numbers[-1]), packed(np.asarray(numbers, np.int64)), before,
        ),
    )  # fmt: skip


def remembered(sheet: FeatureTable, table: Any) -> bytes:
    """Rows of a sheet for the log as an Arrow stream, with what is needed to read them."""
    import pyarrow as pa

    table = table.replace_schema_metadata({CRS: sheet.detail.crs.encode(), GEOMETRY: sheet.geometry.encode()})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd", unify_dictionaries=True)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def thawed(data: bytes) -> Any:
    import pyarrow as pa

    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()


def thawed_features(table: Any, file_id: str, numbers: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    known = table.schema.metadata
    return geojson(table, known[GEOMETRY].decode(), known[CRS].decode(), feature_ids(file_id, numbers), names)


def checked_actions(actions: Any) -> Sequence[str]:
    if actions is None:
        return ACTIONS
    if not isinstance(actions, list | tuple) or not all(one in ACTIONS for one in actions):
        raise invalid("actions", actions, f"must be a list of {', '.join(map(repr, ACTIONS))}")
    return actions


def checked_mark(start: Any) -> tuple[int, int]:
    """An entry of the log, and how many of its features were on former pages."""
    parts = start.split("-") if isinstance(start, str) else []
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise invalid("pageStart", start, f"{start!r} is no nextPageStart of these changes")
    return int(parts[0]), int(parts[1])
