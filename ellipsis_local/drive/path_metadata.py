"""What is kept of a path as data alone: it changes what `path.get` tells, and nothing else (our choice)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from ellipsis_local.database import Database
from ellipsis_local.errors import NotFoundError

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS path_extras (
        path_id TEXT NOT NULL REFERENCES paths (id) ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (path_id, key)) WITHOUT ROWID""",
)


class PathMetadata:
    """Values of a path by key: names of bands, options of a raster."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def update(self, path_id: str, key: str, values: Mapping[str, Any]) -> None:
        """Change some of the values under a key."""
        try:
            with self._database.transaction() as connection:
                found = connection.execute(
                    "SELECT value FROM path_extras WHERE path_id = ? AND key = ?", (path_id, key)
                ).fetchone()
                merged = (json.loads(found["value"]) if found else {}) | dict(values)
                connection.execute(
                    "INSERT OR REPLACE INTO path_extras VALUES (?, ?, ?)", (path_id, key, json.dumps(merged))
                )
        except sqlite3.IntegrityError as error:
            raise NotFoundError(f"pathId {path_id} was deleted meanwhile", argument="pathId", value=path_id) from error

    def of(self, path_id: str) -> dict[str, Any]:
        rows = self._database.rows("SELECT key, value FROM path_extras WHERE path_id = ?", (path_id,))
        return {row["key"]: json.loads(row["value"]) for row in rows}
