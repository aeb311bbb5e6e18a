"""One SQLite file, used by several threads and processes at once.

WAL lets readers go on while one process writes; a commit survives the death of any process. Rooms declare their own
tables and hand them over as `Database(path, schema)`. A schema only grows: new tables and columns (ALTER TABLE …
ADD COLUMN) that former releases do without, so that VERSION stays; a home of a former release gets them when opened.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ellipsis_local.errors import StoreError
from ellipsis_local.identity import Identity

BUSY_SECONDS = 30
VERSION = 1


ADD_COLUMN = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+)")
"""A statement of a schema that brings a table of a former release to this one; skipped where the column is there."""


def _has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    query = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
    return connection.execute(query, (table, column)).fetchone() is not None


DRAWN = "CREATE TABLE IF NOT EXISTS drawn_ids (seed TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID"
"""How many ids were made with each seed."""


class Database:
    """Connections to one file, lent for one operation each, so that threads that end leave none behind.

    Rows get their ids and times here, by `identity`.
    """

    def __init__(self, path: Path, schema: Sequence[str], identity: Identity = Identity()) -> None:  # noqa: B008
        self.path = path
        self.identity = identity
        self._open = threading.local()
        self._idle: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self._closed = False
        self._prepare(schema)

    def _prepare(self, schema: Sequence[str]) -> None:
        row = self.row("PRAGMA user_version")
        version = row[0] if row is not None else 0
        if version > VERSION:
            raise StoreError(
                f"{self.path} was written by a newer ellipsis_local (format {version}, this one reads {VERSION}); "
                "update ellipsis_local, or choose another home"
            )
        with self.transaction() as connection:
            for statement in schema:
                addition = ADD_COLUMN.match(statement)
                if addition is None or not _has_column(connection, *addition.groups()):
                    connection.execute(statement)
            if self.identity.seed is not None:
                connection.execute(DRAWN)
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be opened: {error}") from error
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL: a commit survives any process; only a power cut can take the last ones.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"{self.path} cannot be opened: {error}") from error
        return connection

    @contextlib.contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        if self._pid != os.getpid():
            # A connection must not be used in a forked child, nor closed: that would drop the parent's locks.
            _inherited.extend(self._idle)
            self._pid, self._idle = os.getpid(), []
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        else:
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed when the block ends well, rolled back otherwise.

        Errors of SQLite become StoreErrors, except IntegrityError, which the block's own room understands.
        """
        try:
            with self._lend() as connection:
                connection.execute("BEGIN IMMEDIATE")
                failure = None
                self._open.connection = connection
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException as error:  # noqa: BLE001 - raised below, once the connection is back in order
                    failure = error
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                finally:
                    self._open.connection = None
            if failure is not None:
                raise failure
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be written: {error}") from error

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        try:
            with self._lend() as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} cannot be read: {error}") from error

    def row(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        found = self.rows(query, values)
        return found[0] if found else None

    def now(self) -> datetime:
        """The time for what is stored now."""
        return self.identity.now()

    def seconds(self) -> float:
        """The same, in seconds since 1970."""
        return self.identity.seconds()

    def new_id(self) -> str:
        """An id that nothing in this home has; within a transaction of this thread it is drawn as a part of that."""
        if self.identity.seed is None:
            return self.identity.id(0)
        current: sqlite3.Connection | None = getattr(self._open, "connection", None)
        if current is not None:
            return self._draw(current)
        with self.transaction() as connection:
            return self._draw(connection)

    def _draw(self, connection: sqlite3.Connection) -> str:
        (number,) = connection.execute(
            "INSERT INTO drawn_ids VALUES (?, 1) ON CONFLICT (seed) DO UPDATE SET count = count + 1 RETURNING count",
            (str(self.identity.seed),),
        ).fetchone()
        return self.identity.id(number)

    def close(self) -> None:
        """Close the idle connections; those lent close when they come back."""
        self._closed = True
        if self._pid == os.getpid():
            while self._idle:
                self._idle.pop().close()


_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process: kept from being collected, which would close them."""
