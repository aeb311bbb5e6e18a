"""Putting what was imported in the place of what a home held: all of it or nothing, whenever the process is killed.

The journal, import.json, decides: once it is written, the draft is the home, and whoever opens that completes it first.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from ellipsis_local.database import Database, connect, translated
from ellipsis_local.errors import StoreError
from ellipsis_local.home import Home

PREFIX = ".new-import-"
DRAFT = re.compile(re.escape(PREFIX) + r"[0-9a-f]{32}")
CHANGED = ("layers", "computes", "settings.toml")
LOCK_SECONDS = 30
IMPORTS = "CREATE TABLE IF NOT EXISTS imports (id TEXT PRIMARY KEY, at REAL NOT NULL)"
"""Which imports are in the rows."""


@contextlib.contextmanager
def exclusive(home: Home) -> Iterator[None]:
    """Hold off other imports and resets of this home; StoreError where one is going on for long."""
    try:
        with home.lock("state", timeout=LOCK_SECONDS):
            yield
    except TimeoutError as error:
        raise StoreError(f"the home {home.root} is being imported or reset by another process; try again") from error


def new_draft(home: Home) -> Path:
    draft = home.root / f"{PREFIX}{uuid.uuid4().hex}"
    draft.mkdir()
    return draft


def begin_import(home: Home, draft: Path, schema: Sequence[str]) -> None:
    """Decide for a draft that is whole, and complete it; the caller holds `exclusive`. `schema`: all of a home."""
    with contextlib.closing(connect(draft / home.database.name)) as connection, connection:
        connection.execute(IMPORTS)
        connection.execute("INSERT INTO imports VALUES (?, ?)", (draft.name, time.time()))
    with home.publish_file(home.journal) as file:
        file.write_text(json.dumps({"draft": draft.name}), encoding="utf-8")
    _complete(home, schema)


def finish_import(home: Home, schema: Sequence[str]) -> None:
    """Complete an import whose process was killed, where there is one."""
    if home.journal.exists():
        with exclusive(home):
            _complete(home, schema)


def _complete(home: Home, schema: Sequence[str]) -> None:
    """Every step can be taken again: it finds out whether it was."""
    try:
        name = json.loads(home.journal.read_bytes())["draft"]
    except FileNotFoundError:  # another process was first
        return
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{home.journal} is damaged ({error}); import the archive again after deleting it") from error
    if not isinstance(name, str) or not DRAFT.fullmatch(name):
        raise StoreError(f"{home.journal} is not of our making; delete it")
    draft = home.root / name
    if draft.is_dir():
        _replace_rows(home.database, draft, schema)
        for part in CHANGED:
            if (draft / part).exists():
                if (home.root / part).exists():
                    (home.root / part).rename(draft / f"former-{part}-{uuid.uuid4().hex}")
                (draft / part).rename(home.root / part)
    home.journal.unlink(missing_ok=True)
    shutil.rmtree(draft, ignore_errors=True)


def _replace_rows(live: Path, draft: Path, schema: Sequence[str]) -> None:
    """Let the home's database hold the rows of the draft's; its file stays, which other processes have open."""
    source = draft / live.name
    # An older release may have begun the import, or written the home.
    for path in (source, live):
        Database(path, schema).close()
    with contextlib.closing(connect(live)) as connection, translated(live, "written"):
        connection.execute("ATTACH ? AS source", (str(source),))
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.execute(IMPORTS)
            # Was it done before the kill? Others may have written to the home since.
            if connection.execute("SELECT 1 FROM main.imports WHERE id = ?", (draft.name,)).fetchone() is None:
                copy_rows(connection)


def copy_rows(connection: sqlite3.Connection) -> None:
    """Let the tables of `main` hold the rows of those in `source`, which is of the same format, and nothing else."""
    empty_tables(connection)
    shared = set(_tables(connection, "main")) & set(_tables(connection, "source"))
    for table in sorted(table for table in shared if not table.startswith("sqlite_")):
        # By name: a table that was changed has its columns in another order.
        columns = connection.execute("SELECT name FROM pragma_table_info(?, 'main')", (table,))
        names = ", ".join(f'"{name}"' for (name,) in columns)
        connection.execute(f'INSERT INTO main."{table}" ({names}) SELECT {names} FROM source."{table}"')  # noqa: S608
    if "sqlite_sequence" in shared:
        connection.execute("DELETE FROM main.sqlite_sequence")
        connection.execute(
            "INSERT INTO main.sqlite_sequence SELECT * FROM source.sqlite_sequence WHERE name IN "
            "(SELECT name FROM main.sqlite_master WHERE type = 'table')"
        )


def empty_tables(connection: sqlite3.Connection) -> None:
    """Delete every row of `main`, and begin its numbers anew; inside a transaction, without foreign keys."""
    for table in _tables(connection, "main"):
        connection.execute(f'DELETE FROM main."{table}"')  # noqa: S608


def _tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    query = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table'"  # noqa: S608
    return [name for (name,) in connection.execute(query)]
