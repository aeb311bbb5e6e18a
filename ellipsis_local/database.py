"""One SQLite file, used by several threads and processes at once.

Its schema is made of the tables that rooms declare, as they are today; MIGRATIONS bring an older file there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ellipsis_local.errors import StoreError
from ellipsis_local.identity import Identity
from ellipsis_local.settings import package_version

BUSY_SECONDS = 30
DEAF_SECONDS = 0.25
"""For how long a wait of SQLite's may not hear Ctrl-C."""


def _to_format_2(connection: sqlite3.Connection) -> None:
    """From all that 0.1.0 wrote, which grew under one number: its first homes lack a column and keys of computes."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(compute_nodes)")}
    if "peak_memory" not in columns:
        connection.execute("ALTER TABLE compute_nodes ADD COLUMN peak_memory INTEGER")
    first = """SELECT id, spec FROM computes WHERE instr(spec, '"sent"') = 0"""
    for compute_id, text in connection.execute(first).fetchall():
        spec = {"sent": "source"} | json.loads(text)
        spec["cut"] = spec["cut"] and {"cut": "balanced", "seed": 0} | spec["cut"]
        connection.execute("UPDATE computes SET spec = ? WHERE id = ?", (json.dumps(spec), compute_id))
    connection.execute("ALTER TABLE compute_nodes ADD COLUMN began REAL")
    connection.execute(
        "UPDATE compute_nodes SET state = iif(status = 'available', 'ready', 'stopped') FROM computes "
        "WHERE id = compute AND status IN ('available', 'stopped', 'errored') AND state NOT IN ('completed', 'failed')"
    )
    connection.execute("""CREATE TABLE compute_executions (
        compute TEXT NOT NULL REFERENCES computes (id) ON DELETE CASCADE, number INTEGER NOT NULL, function TEXT,
        hash TEXT NOT NULL, started REAL NOT NULL, seconds REAL, outcome TEXT, failed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (compute, number)) WITHOUT ROWID""")


def _to_format_3(connection: sqlite3.Connection) -> None:
    """Files have a status, and vector timestamps are usable without being activated, those of before, too."""
    connection.execute("ALTER TABLE files ADD COLUMN status TEXT NOT NULL DEFAULT 'completed'")
    connection.execute("ALTER TABLE files ADD COLUMN message TEXT")
    connection.execute("ALTER TABLE files ADD COLUMN process TEXT")
    connection.execute(
        "UPDATE timestamps SET status = 'active' FROM paths "
        "WHERE paths.id = path_id AND type = 'vector' AND status = 'created'"
    )


def _to_format_4(connection: sqlite3.Connection) -> None:
    """Nodes may run on other machines."""
    connection.execute("ALTER TABLE compute_nodes ADD COLUMN machine TEXT")


MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {2: _to_format_2, 3: _to_format_3, 4: _to_format_4}
"""By number what leads to that format from the one before, inside a transaction. A step stays as it was released."""
VERSION = max(MIGRATIONS)
"""The format that this release reads and writes; SQLite keeps it as the file's user_version."""


@contextlib.contextmanager
def translated(path: Path, done: str) -> Iterator[None]:
    """SQLite's errors in our words, but for IntegrityError, which is for who writes to understand."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be {done}: {error}") from error


def connect(path: Path, *, check_same_thread: bool = True) -> sqlite3.Connection:
    with translated(path, "opened"):
        return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=check_same_thread)


def check_format(path: Path) -> None:
    """StoreError where a newer release wrote the database, or it is none; nothing is changed."""
    if path.exists():
        with contextlib.closing(connect(path)) as connection, translated(path, "opened"):
            _format(connection, path)


def is_current(path: Path) -> bool:
    """Whether there is a database of today's format, which can be opened without a change."""
    if not path.exists():
        return False
    with contextlib.closing(connect(path)) as connection, translated(path, "opened"):
        return _format(connection, path) == VERSION


def _format(connection: sqlite3.Connection, path: Path) -> int:
    """The format of a database, one that this release can bring to its own; 0 for an empty file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        way = "choose another home (ELLIPSIS_LOCAL_HOME, configure(home=…))"
        raise StoreError(f"{newer(f'the home {path.parent}', version)}, or {way}")
    return version


def newer(what: str, version: int) -> str:
    """What is said of what a newer release wrote."""
    ours = f"this is ellipsis_local {package_version()}, which reads up to format {VERSION}"
    return f"{what} was written by a newer ellipsis_local, in format {version}, and {ours}; update ellipsis_local"


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables that are there to today's format, inside a transaction of the caller's; again is nothing."""
    version = _format(connection, path)
    for number in range(version + 1, VERSION + 1) if version else ():
        MIGRATIONS[number](connection)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _begin(connection: sqlite3.Connection) -> None:
    """Begin to write when others have ended, which is waited for in steps."""
    connection.execute(f"PRAGMA busy_timeout = {int(DEAF_SECONDS * 1000)}")
    try:
        for left in reversed(range(int(BUSY_SECONDS / DEAF_SECONDS))):
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not left or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


DRAWN = "CREATE TABLE IF NOT EXISTS drawn_ids (seed TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID"
"""How many ids were made with each seed."""
DRAW = "INSERT INTO drawn_ids VALUES (?, 1) ON CONFLICT (seed) DO UPDATE SET count = count + 1 RETURNING count"


class Database:
    """Connections to one file, lent for one operation each, so that threads that end leave none behind."""

    def __init__(
        self,
        path: Path,
        schema: Sequence[str],
        identity: Identity = Identity(),  # noqa: B008
        *,
        strict: bool = False,
    ) -> None:
        self.path = path
        self.identity = identity
        self.strict = strict
        self._open = threading.local()
        self._idle: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self._closed = False
        ((version,),) = self.rows("PRAGMA user_version")
        if version != VERSION:
            # Whoever comes second waits, and finds it done. All or nothing, whenever the process is killed.
            with self.transaction() as connection:
                migrate(connection, self.path)
                for statement in (*schema, DRAWN):
                    connection.execute(statement)

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self.path, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        try:
            with translated(self.path, "opened"):
                connection.execute("PRAGMA journal_mode = WAL")
                # NORMAL: a commit survives any process; only a power cut can take the last ones.
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
        except StoreError:
            connection.close()
            raise
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
        """A write transaction; its errors are `translated`."""
        with translated(self.path, "written"), self._lend() as connection:
            _begin(connection)
            self._open.connection = connection
            try:
                with connection:
                    yield connection
            finally:
                self._open.connection = None

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with translated(self.path, "read"), self._lend() as connection:
            return connection.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        found = self.rows(query, values)
        return found[0] if found else None

    def digest(self, query: str, values: Sequence[Any] = ()) -> str:
        """A short text that is another one where the rows are."""
        rows = [tuple(row) for row in self.rows(query, values)]
        return hashlib.sha256(repr(rows).encode("utf-8", "replace")).hexdigest()[:16]

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
            (number,) = connection.execute(DRAW, (str(self.identity.seed),)).fetchone()
            return self.identity.id(number)

    def close(self) -> None:
        """Close the idle connections; those lent close when they come back."""
        self._closed = True
        if self._pid == os.getpid():
            while self._idle:
                self._idle.pop().close()


_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process: kept from being collected, which would close them."""
