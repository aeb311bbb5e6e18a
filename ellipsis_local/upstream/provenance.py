"""What has been pulled from where: by this, the same pull again is nothing to do."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from ellipsis_local.database import Database

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS pulled (
        id TEXT PRIMARY KEY, path_id TEXT NOT NULL REFERENCES paths (id) ON DELETE CASCADE, origin TEXT NOT NULL,
        contents TEXT NOT NULL, at REAL NOT NULL)""",
)


@dataclass(frozen=True)
class Provenance:
    """How something was pulled."""

    url: str
    how: str
    """'files', 'tiles' or 'features'; 'file' for a path of type file."""
    extent: tuple[float, float, float, float] | None
    record: str
    """Hash of what the service told of it."""

    def same(self, other: Provenance) -> bool:
        """Whether both brought the same; files have ids of their own, wherever they come from."""
        return self == other or (self.how == "files" and replace(self, url=other.url) == other)

    def text(self) -> str:
        return json.dumps([self.url, self.how, self.extent, self.record])


class Provenances:
    """Rows by the id of the timestamp, or of the path of a file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, id: str, path_id: str, provenance: Provenance, contents: list[str]) -> None:
        """Remember where these contents are from."""
        values: tuple[Any, ...] = (id, path_id, provenance.text(), json.dumps(contents), self._database.seconds())
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO pulled VALUES (?, ?, ?, ?, ?)", values)

    def get(self, id: str, contents: list[str]) -> Provenance | None:
        """Where these contents are from; None where they were not pulled, or have changed since."""
        row = self._database.row("SELECT origin, contents FROM pulled WHERE id = ?", (id,))
        if row is None or json.loads(row["contents"]) != contents:
            return None
        url, how, extent, record = json.loads(row["origin"])
        return Provenance(url, how, None if extent is None else tuple(extent), record)
