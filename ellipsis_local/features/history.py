"""What the log tells: the versions of a feature, the changes of a timestamp, and features that are in the trash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ellipsis_local.errors import ArgumentError, NotFoundError
from ellipsis_local.features.geojson import geojson
from ellipsis_local.features.ids import feature_id, feature_ids, stem
from ellipsis_local.features.opening import open_sheet
from ellipsis_local.features.reading import Reading, checked_size, located, missing
from ellipsis_local.features.records import Entry, entry, frozen, thawed, wire_date
from ellipsis_local.features.sheets import Sheet
from ellipsis_local.features.writing import Integers
from ellipsis_local.ids import as_uuid
from ellipsis_local.types import StoredFile, Timestamp

__all__ = ["History"]

ACTIONS = ("add", "edit", "trash", "recover")
PAGE = 1000
COLUMNS = "id, file_id, action, date, user_id, username, numbers"
CRS = b"ellipsis_local:crs"
GEOMETRY = b"ellipsis_local:geometry"


class History(Reading):
    """The part of `Features` that remembers."""

    def versions(self, timestamp: Timestamp, feature_id: Any) -> list[dict[str, Any]]:
        """What a feature has been, the newest first (our choice); also one that is in the trash.

        Returns
        -------
        list of dict
            `feature` (GeoJSON, EPSG:4326), `date` (text, UTC) since when, and `user` (`id`, `username`) by whom it was
            so (seen in the client). For a feature of an uploaded file: when that came, and the path's owner.

        Raises
        ------
        NotFoundError
            For an unknown id.
        """
        wanted = as_uuid("featureId", feature_id)

        def found(files: Sequence[StoredFile]) -> list[dict[str, Any]]:
            ((file, numbers),) = located(files, [wanted])
            names = self.names(timestamp.path_id, files)
            with open_sheet(self.home, file) as sheet:
                rows = sheet.rows_of(numbers)
                if numbers[0] >= sheet.following:
                    raise missing(wanted)
                now = [
                    one for piece, table in sheet.read(rows[rows >= 0]) for one in sheet.features(piece, table, names)
                ]
            return self._versions(timestamp, file, int(numbers[0]), now, names)

        return self._steady(timestamp, found)

    def _versions(
        self, timestamp: Timestamp, file: StoredFile, number: int, now: list[dict[str, Any]], names: Sequence[str]
    ) -> list[dict[str, Any]]:
        owner = self.store.path(timestamp.path_id).owner
        date, user = wire_date(file.created), {"id": owner, "username": None}
        states = []
        for one in self._entries_of(file.id, number, number):
            place = int(np.searchsorted(one.numbers, number))
            if place == len(one.numbers) or one.numbers[place] != number:
                continue
            if one.action in ("edit", "trash"):
                before = self._before(one.id).slice(place, 1)
                states.append(
                    {"feature": thawed_features(before, file.id, [number], names)[0], "date": date, "user": user}
                )
            date, user = wire_date(one.date), one.user
        states += [{"feature": feature, "date": date, "user": user} for feature in now]
        return states[::-1]

    def changes(
        self, timestamp: Timestamp, start: Any = None, size: Any = None, actions: Any = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """The changes of a timestamp's features, one entry for each feature of each, the newest first (our choice).

        Parameters
        ----------
        start : str, optional
            What the former page gave as the next one.
        size : int
            At most so many; 1000 where it is None.
        actions : list of str, optional
            Of 'add', 'edit', 'trash', 'recover' (our words): these only.

        Returns
        -------
        list of dict, str or None
            `id`, `featureId`, `action`, `date` (text, UTC) and `user` (`id`, `username`); and where the next page
            starts. Features of uploaded files have no entry.

        Raises
        ------
        ArgumentError
            For a start, a size or actions that are none.
        """
        left = PAGE if size is None else checked_size(size)
        kinds = checked_actions(actions)
        top, skipped = (None, 0) if start is None else checked_mark(start)
        marks = ", ".join("?" * len(kinds))
        query = (
            f"SELECT {COLUMNS} FROM feature_changes WHERE timestamp_id = ? AND action IN ({marks}) "  # noqa: S608
            f"AND (? IS NULL OR id <= ?) ORDER BY id DESC LIMIT ?"
        )
        found: list[dict[str, Any]] = []
        for row in self.database.rows(query, (timestamp.id, *kinds, top, top, left + 1)):
            one = entry(row)
            numbers = one.numbers[skipped:] if one.id == top else one.numbers
            offset = len(one.numbers) - len(numbers)
            if left == 0:
                return found, f"{one.id}-{offset}"
            for place, feature in enumerate(feature_ids(one.file_id, numbers[:left].tolist()), start=offset):
                found.append(
                    {
                        "id": f"{one.id}-{place}", "featureId": feature, "action": one.action,
                        "date": wire_date(one.date), "user": one.user,
                    }
                )  # fmt: skip
            if len(numbers) > left:
                return found, f"{one.id}-{offset + left}"
            left -= len(numbers)
        return found, None

    # ----- rows as they were -----------------------------------------------------------------------------------------

    def _entries_of(self, file_id: str, low: int, high: int, action: str | None = None) -> list[Entry]:
        """What the log says of some of a file's features, oldest first; it may say it of others only."""
        query = (
            f"SELECT {COLUMNS} FROM feature_changes WHERE file_id = ? AND low <= ? AND high >= ? "  # noqa: S608
            "AND (? IS NULL OR action = ?) ORDER BY id"
        )
        return [entry(row) for row in self.database.rows(query, (file_id, high, low, action, action))]

    def _before(self, entry_id: int) -> Any:
        row = self.database.row("SELECT before FROM feature_changes WHERE id = ?", (entry_id,))
        if row is None or row["before"] is None:
            raise NotFoundError("the log of this timestamp was removed meanwhile", argument="timestampId")
        return thawed(row["before"])

    def _trashed_rows(self, file: StoredFile, numbers: Integers) -> list[tuple[Integers, Any]]:
        """The rows that features had when they were put in the trash: numbers, ascending, and a table, several times.

        NotFoundError for one that never was there.
        """
        import pyarrow as pa

        found = []
        left = numbers
        for one in reversed(self._entries_of(file.id, int(numbers[0]), int(numbers[-1]), "trash")):
            here = np.intersect1d(one.numbers, left, assume_unique=True)
            if len(here):
                table = self._before(one.id).take(pa.array(np.searchsorted(one.numbers, here)))
                found.append((here, table))
                left = np.setdiff1d(left, here, assume_unique=True)
            if not len(left):
                return found
        raise missing(feature_id(stem(file.id), int(left[0])))


def remembered(sheet: Sheet, table: Any) -> bytes:
    """Rows of a sheet for the log, with what is needed to read them."""
    return frozen(table.replace_schema_metadata({CRS: sheet.detail.crs.encode(), GEOMETRY: sheet.geometry.encode()}))


def thawed_features(table: Any, file_id: str, numbers: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    known = table.schema.metadata
    return geojson(table, known[GEOMETRY].decode(), known[CRS].decode(), feature_ids(file_id, numbers), names)


def checked_actions(actions: Any) -> Sequence[str]:
    if actions is None:
        return ACTIONS
    if not isinstance(actions, list | tuple) or not all(one in ACTIONS for one in actions):
        raise ArgumentError(
            f"actions must be a list of {', '.join(map(repr, ACTIONS))}", argument="actions", value=actions
        )
    return actions


def checked_mark(start: Any) -> tuple[int, int]:
    """An entry of the log, and how many of its features were on former pages."""
    parts = start.split("-") if isinstance(start, str) else []
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise ArgumentError(
            f"pageStart {start!r} is no nextPageStart of these changes", argument="pageStart", value=start
        )
    return int(parts[0]), int(parts[1])
