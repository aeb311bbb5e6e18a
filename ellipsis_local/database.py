"""One SQLite file, used by several threads and processes at once; its schema is made of the tables that rooms declare.

A schema only grows, by tables and columns that former releases do without, so that VERSION stays.
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


def connect(path: Path, *, check_same_thread: bool = True) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=check_same_thread)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}") from error


DRAWN = "CREATE TABLE IF NOT EXISTS drawn_ids (seed TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID"
"""How many ids were made with each seed."""


class Database:
    """Connections to one file, lent for one operation each, so that threads that end leave none behind."""

    def __init__(self, path: Path, schema: Sequence[str], identity: Identity = Identity()) -> None:  # noqa: B008
        self.path = path
        self.identity = identity
        self._open = threading.local()
        self._idle: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self._closed = False
        self._prepare(schema)

    def _prepare(self, schema: Sequence[str]) -> None:
        ((version,),) = self.rows("PRAGMA user_version")
        if version > VERSION:
            raise StoreError(
                f"{self.path} was written by a newer ellipsis_local (format {version}, this one reads {VERSION}); "
                "update ellipsis_local, or choose another home"
            )
        with self.transaction() as connection:
            column = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
            for statement in schema:
                addition = ADD_COLUMN.match(statement)
                if addition is None or not connection.execute(column, addition.groups()).fetchone():
                    connection.execute(statement)
            if self.identity.seed is not None:
                connection.execute(DRAWN)
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self.path, check_same_thread=False)
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
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction; SQLite's errors become ours, but for IntegrityError, which the block understands."""
        try:
            with self._lend() as connection:
                connection.execute("BEGIN IMMEDIATE")
                self._open.connection = connection
                try:
                    with connection:
                        yield connection
                finally:
                    self._open.connection = None
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
        with self.transaction() if current is None else contextlib.nullcontext(current) as connection:
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
