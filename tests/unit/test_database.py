"""One SQLite file under several threads, processes and forks; files of older and newer releases."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from ellipsis_local import database as database_module
from ellipsis_local.database import VERSION, Database
from ellipsis_local.emulator import SCHEMA as TABLES
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import StoreError
from ellipsis_local.nodes import NodeOutcome
from ellipsis_local.restore import PREFIX
from ellipsis_local.settings import Settings, package_version

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


def test_what_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text.sqlite"
    path.write_text("this is a text, and long enough not to be taken for an empty file" * 20)
    with pytest.raises(StoreError):
        Database(path, SCHEMA)


def test_ctrl_c_is_heard_while_another_writes(database: Database) -> None:
    released = threading.Event()
    other = sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def release() -> None:
        released.set()
        other.rollback()

    # SQLite itself would wait for whichever comes first, this or its own limit.
    last = threading.Timer(20, release)
    last.start()
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    try:
        with pytest.raises(KeyboardInterrupt), database.transaction():
            pytest.fail("the other one still writes")
        assert not released.is_set()
    finally:
        last.cancel()
        last.join()
        interrupt.join()
        other.close()
    with database.transaction() as connection:
        connection.execute("UPDATE counts SET value = 5")
    assert count(database) == 5


# ----- homes of other releases ----------------------------------------------------------------------------------------

ARCHIVE = Path(__file__).parents[1] / "integration" / "data" / "home-format-1.zip"
OLDEST = ("paths", "timestamps", "files", "users", "tokens", "computes", "compute_nodes", "compute_pools")
"""The tables of the first homes of 0.1.0."""


def tables(path: Path) -> dict[str, list[dict[str, object]]]:
    """All rows."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for (name,) in names.fetchall()
        }


def shape(path: Path) -> dict[str, object]:
    """Tables with their columns, indexes with theirs."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        named = connection.execute("SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        return {name: connection.execute(f"PRAGMA {kind}_info({name})").fetchall() for name, kind in named}


def contents(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [str(connection.execute("PRAGMA user_version").fetchone()), *connection.iterdump()]


def home_of_0_1_0(home: Path, days: str) -> Path:
    """A home of the release 0.1.0, whose tables grew without another number."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(home)
    (home / "manifest.json").unlink()
    with contextlib.closing(sqlite3.connect(home / "ellipsis.sqlite")) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE computes SET spec = replace(spec, '{layers}', ?)", (str(home / "layers"),))
        if days == "last":
            connection.execute("ALTER TABLE compute_nodes ADD COLUMN peak_memory INTEGER")
        if days == "first":
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if name not in (*OLDEST, "sqlite_sequence"):
                    connection.execute(f"DROP TABLE {name}")
            for key, text in connection.execute("SELECT id, spec FROM computes").fetchall():
                spec = json.loads(text)
                del spec["sent"], spec["cut"]["cut"], spec["cut"]["seed"]
                connection.execute("UPDATE computes SET spec = ? WHERE id = ?", (json.dumps(spec), key))
    return home


@pytest.fixture
def old_home(tmp_path: Path) -> Path:
    return home_of_0_1_0(tmp_path / "old", "first")


@pytest.mark.parametrize("days", ["first", "middle", "last"])
def test_an_old_home_opens_with_everything_in_it(tmp_path: Path, days: str) -> None:
    home = home_of_0_1_0(tmp_path / "old", days)
    path = home / "ellipsis.sqlite"
    before = tables(path)
    Database(path, TABLES).close()
    after = tables(path)
    for name, rows in before.items():
        kept = [{column: row[column] for column in old} for old, row in zip(rows, after[name], strict=True)]
        for row in [*rows, *kept]:
            row.pop("spec", None)
        assert kept == rows
    Database(tmp_path / "new.sqlite", TABLES).close()
    assert shape(path) == shape(tmp_path / "new.sqlite")
    with Emulator(Settings(home=home)) as emulator:
        assert sorted(path.name for path in emulator.store.list()) == ["ramp", "trees"]
        assert emulator.accounts.known_user(emulator.accounts.log_in("archivist", "a password")) is not None
        records = emulator.computes.records
        found = records.page(None, None)[0]
        large = next(record for record in found if record.spec.request.large_result)
        assert [node.outcome.file is not None for node in records.nodes(large.id) if node.outcome] == [True, True]
        small = next(record for record in found if record is not large)
        assert small.spec.sent == "source" and small.spec.cut is not None and small.spec.cut.cut == "balanced"
        assert (records.history(small.id), records.nodes(small.id)[0].began) == ([], None)
        assert records.begin(small.id, name="f", digest="1") == small.executions + 1
        outcomes = [NodeOutcome(n, "completed", 0.1, peak_memory=12345) for n in range(small.spec.nodes)]
        assert records.finish(small.id, outcomes)
        assert [one.function for one in records.history(small.id)] == ["f"]
        assert {node.outcome.peak_memory for node in records.nodes(small.id) if node.outcome} == {12345}


@pytest.mark.parametrize(("status", "state"), [("available", "ready"), ("errored", "stopped"), ("executing", "queued")])
def test_nodes_of_an_old_home_have_the_states_of_today(old_home: Path, status: str, state: str) -> None:
    path = old_home / "ellipsis.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE computes SET status = ?", (status,))
        connection.execute("UPDATE compute_nodes SET state = 'queued' WHERE node = 1")
    Database(path, TABLES).close()
    assert {row["state"] for row in tables(path)["compute_nodes"] if row["node"] == 1} == {state}
    assert {row["state"] for row in tables(path)["compute_nodes"] if row["node"] == 0} == {"completed"}


def test_vectors_of_an_old_home_are_usable_and_files_completed(old_home: Path) -> None:
    path = old_home / "ellipsis.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE timestamps SET status = 'created'")
    Database(path, TABLES).close()
    types = {row["id"]: row["type"] for row in tables(path)["paths"]}
    found = [(types[row["path_id"]], row["status"]) for row in tables(path)["timestamps"]]
    assert sorted(found) == [("raster", "created"), ("vector", "active")]
    assert {(row["status"], row["message"]) for row in tables(path)["files"]} == {("completed", None)}


def test_what_is_current_is_not_changed_by_opening_it(old_home: Path) -> None:
    path = old_home / "ellipsis.sqlite"
    Database(path, TABLES).close()
    before = contents(path)
    assert before[0] == str((VERSION,))
    Database(path, TABLES).close()
    assert contents(path) == before


def test_a_migration_that_is_killed_leaves_the_home_as_it_was(old_home: Path, tmp_path: Path) -> None:
    """At each statement that it executes."""
    path = tmp_path / "copies" / "ellipsis.sqlite"
    path.parent.mkdir()
    before = contents(old_home / "ellipsis.sqlite")
    statement, killed = 0, True
    while killed:
        statement += 1
        for file in old_home.glob("ellipsis.sqlite*"):
            shutil.copy(file, path.parent)
        child = os.fork()
        if child == 0:
            try:
                _open_and_die(path, statement)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        killed = os.WIFSIGNALED(status)
        if killed:
            assert contents(path) == before
            Database(path, TABLES).close()
        else:
            assert os.WEXITSTATUS(status) == 0
        assert contents(path)[0] == str((VERSION,))
    assert statement > len(TABLES)


def _open_and_die(path: Path, last: int) -> None:
    count, connect = 0, database_module.connect

    def trace(_: str) -> None:
        nonlocal count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(*args: object, **named: object) -> sqlite3.Connection:
        connection = connect(*args, **named)
        connection.set_trace_callback(trace)
        return connection

    database_module.connect = traced
    Database(path, TABLES)
    os._exit(0)


OPENS = """
import sys, time
from pathlib import Path
from ellipsis_local import database
from ellipsis_local.emulator import Emulator
from ellipsis_local.settings import Settings

home, place, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
step = database.MIGRATIONS[database.VERSION]

def migrate(connection):
    (place / f"migrates-{name}").touch()
    # So that the other process comes in the middle.
    end = time.monotonic() + 60
    while len(list(place.glob("opens-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    step(connection)

database.MIGRATIONS = {**database.MIGRATIONS, database.VERSION: migrate}
(place / f"opens-{name}").touch()
with Emulator(Settings(home=home)) as emulator:
    records, _ = emulator.computes.records.page(None, None)
    print(sorted(record.id for record in records), [path.name for path in emulator.store.list()])
"""


def test_of_two_processes_one_migrates_and_both_work(old_home: Path, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(old_home), str(tmp_path / "place"), name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in "ab"
    ]  # fmt: skip
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert answers[0][0] == answers[1][0] and "ramp" in answers[0][0]
    assert len(list((tmp_path / "place").glob("migrates-*"))) == 1


def test_a_newer_home_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Emulator(Settings(home=home)):
        pass
    with contextlib.closing(sqlite3.connect(home / "ellipsis.sqlite")) as connection, connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 7}")
    shutil.rmtree(home / "locks")
    (home / "import.json").write_text("{}")

    def files() -> dict[Path, bytes | None]:
        return {path: path.read_bytes() if path.is_file() else None for path in home.rglob("*")}

    before = files()
    with pytest.raises(StoreError) as caught:
        Emulator(Settings(home=home))
    assert {path: data for path, data in files().items() if not path.name.endswith(("-shm", "-wal"))} == before
    said = str(caught.value)
    for word in (
        str(home),
        f"format {VERSION + 7}",
        f"{package_version()}",
        f"format {VERSION};",
        "update",
        "configure",
    ):
        assert word in said


@pytest.mark.parametrize("live", ["none", "old", "current"])
def test_an_import_that_an_older_release_began_is_completed(old_home: Path, tmp_path: Path, live: str) -> None:
    home = tmp_path / "home"
    if live == "old":
        home_of_0_1_0(home, "last")
    elif live == "current":
        Emulator(Settings(home=home)).close()
    draft = home / f"{PREFIX}{'0' * 32}"
    shutil.copytree(old_home, draft)
    with contextlib.closing(sqlite3.connect(draft / "ellipsis.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE imports (id TEXT PRIMARY KEY, at REAL NOT NULL)")
        connection.execute("INSERT INTO imports VALUES (?, 0)", (draft.name,))
    (home / "locks").mkdir(exist_ok=True)
    (home / "import.json").write_text(json.dumps({"draft": draft.name}))
    with Emulator(Settings(home=home)) as emulator:
        assert sorted(path.name for path in emulator.store.list()) == ["ramp", "trees"]
        found = emulator.computes.records.page(None, None)[0]
        assert [record.spec.sent for record in found] == ["source", "source"]
        assert emulator.database.rows("SELECT count(*) FROM memberships")[0][0] == 0
    assert tables(home / "ellipsis.sqlite")["compute_nodes"][0]["peak_memory"] is None
