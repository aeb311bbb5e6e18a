"""One SQLite file under several threads, processes and forks."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from ellipsis_local.database import VERSION, Database
from ellipsis_local.errors import StoreError

SCHEMA = ("CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",)


@pytest.fixture
def database(tmp_path: Path):
    found = Database(tmp_path / "test.sqlite", SCHEMA)
    with found.transaction() as connection:
        connection.execute("INSERT INTO counts VALUES ('a', 0)")
    yield found
    found.close()


def count(database: Database) -> int:
    row = database.row("SELECT value FROM counts WHERE name = 'a'")
    assert row is not None
    return row["value"]


def test_concurrent_writers_lose_nothing(database: Database) -> None:
    def add() -> None:
        for _ in range(50):
            with database.transaction() as connection:
                (value,) = connection.execute("SELECT value FROM counts").fetchone()
                connection.execute("UPDATE counts SET value = ?", (value + 1,))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 200


def test_a_failed_block_changes_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute("UPDATE counts SET value = 5")
        raise ZeroDivisionError
    assert count(database) == 0
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as connection:
        connection.execute("INSERT INTO counts VALUES ('a', 1)")
    with pytest.raises(StoreError, match="cannot be written"), database.transaction() as connection:
        connection.execute("INSERT INTO nothing VALUES (1)")
    with pytest.raises(StoreError, match="cannot be read"):
        database.rows("SELECT * FROM nothing")
    with database.transaction() as connection:
        connection.execute("UPDATE counts SET value = 1")
    assert count(database) == 1


def test_a_forked_child_uses_a_connection_of_its_own(database: Database) -> None:
    assert count(database) == 0
    child = os.fork()
    if child == 0:
        with database.transaction() as connection:
            connection.execute("UPDATE counts SET value = value + 1")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert count(database) == 1


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer ellipsis_local"):
        Database(path, SCHEMA)


def test_what_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text.sqlite"
    path.write_text("this is a text, and long enough not to be taken for an empty file" * 20)
    with pytest.raises(StoreError):
        Database(path, SCHEMA)
