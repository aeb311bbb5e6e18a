"""Processing units that users spend on paths: kept as data, per day, with no effect (our choice)."""

from __future__ import annotations

import contextlib
import math
import threading
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from ellipsis_local.accounts import User
from ellipsis_local.clocks import monotonic
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, StoreError
from ellipsis_local.ids import as_uuid
from ellipsis_local.store import Catalogue

WRITE_SECONDS = 5
"""Records wait for others so long, so that a request does not wait for the disk."""
MOST_WAITING = 5000
NOBODY = ""


class DayUsage(NamedTuple):
    """What was spent on one day, in UTC."""

    date: date
    units: float


class Usage:
    """Counts that are gathered in memory, and written every few seconds, before a query and at the end.

    A process that is killed takes the last seconds of its counts with it.
    """

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str, str], float] = {}
        self._written = monotonic()

    def record(self, user: User | None, path_id: str, units: float = 1) -> None:
        """Add units to what a user, or whoever has no token, spent on a path today."""
        if isinstance(units, bool) or not isinstance(units, int | float) or not 0 <= units < math.inf:
            raise ArgumentError(f"units must be a number from 0, not {units!r:.80}", argument="units", value=units)
        key = (path_id, NOBODY if user is None else user.id, self._database.now().date().isoformat())
        with self._lock:
            self._waiting[key] = self._waiting.get(key, 0) + units
            due = monotonic() - self._written > WRITE_SECONDS or len(self._waiting) > MOST_WAITING
        if due:
            # A full disk is no reason to refuse what was asked for; the counts wait for the next time.
            with contextlib.suppress(StoreError):
                self.write()

    def write(self) -> None:
        """Write what was gathered; StoreError where that cannot be, and nothing is lost then."""
        with self._lock:
            self._written = monotonic()
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            with self._database.transaction() as connection:
                connection.executemany(
                    "INSERT INTO usage SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM paths WHERE id = ?) "
                    "ON CONFLICT (path_id, user, day) DO UPDATE SET units = units + excluded.units",
                    [(*key, units, key[0]) for key, units in waiting.items()],
                )
        except BaseException:
            with self._lock:
                for key, units in waiting.items():
                    self._waiting[key] = self._waiting.get(key, 0) + units
            raise

    def active_users(self, path_id: str) -> list[User]:
        """The users of this home that used a path, in the order of their ids."""
        rows = self._rows(
            "SELECT DISTINCT u.id, u.name FROM usage JOIN users u ON u.id = usage.user WHERE path_id = ? ORDER BY u.id",
            self._catalogue.get_path(path_id).id,
        )
        return [User(row["id"], row["name"]) for row in rows]

    def of_user_on_path(self, path_id: str, user_id: str) -> list[DayUsage]:
        return self._days("path_id = ? AND user = ?", self._catalogue.get_path(path_id).id, as_uuid("userId", user_id))

    def aggregated(self, path_id: str, logged_in: bool) -> list[DayUsage]:
        """What all users, or all who had no token, spent on a path, day by day."""
        test = "path_id = ? AND user <> ?" if logged_in else "path_id = ? AND user = ?"
        return self._days(test, self._catalogue.get_path(path_id).id, NOBODY)

    def of_user(self, user_id: str, when: Any) -> float:
        """What a user spent on all paths on one day; `when` is a date, or a datetime (UTC where it has no zone)."""
        if isinstance(when, datetime):
            when = (when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)).date()
        if not isinstance(when, date):
            raise ArgumentError("date must be of type datetime", argument="date", value=when)
        days = self._days("user = ? AND day = ?", as_uuid("userId", user_id), when.isoformat())
        return sum(day.units for day in days)

    def _days(self, test: str, *values: str) -> list[DayUsage]:
        query = f"SELECT day, sum(units) AS units FROM usage WHERE {test} GROUP BY day ORDER BY day"  # noqa: S608
        return [DayUsage(date.fromisoformat(row["day"]), row["units"]) for row in self._rows(query, *values)]

    def _rows(self, query: str, *values: str) -> list[Any]:
        self.write()
        return self._database.rows(query, values)
