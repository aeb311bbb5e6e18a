"""Whether a folder is a home of ours, what it holds, and who uses it at the moment."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ellipsis_local.computes.specification import Specification
from ellipsis_local.database import check_format
from ellipsis_local.errors import StoreError
from ellipsis_local.home import Home
from ellipsis_local.processes import ProcessMark, own_mark

OURS = re.compile(
    r"settings\.toml|ellipsis\.sqlite(-wal|-shm|-journal)?|layers|computes|environments|cache|locks|import\.json|"
    r"\.new-.*|\.DS_Store|lost\+found"
)
TABLES = {"paths", "timestamps", "files", "users", "computes", "compute_nodes", "compute_pools"}
RUNNING = ("queued", "starting", "executing", "stopping")
LAYERS = "{layers}"
STORED = re.compile(r"/[^{}]*?/layers/(?=[0-9a-f-]{36}/)")


@contextlib.contextmanager
def read_only(path: Path, *, immutable: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, nor run what a foreign schema brings along."""
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection


def check_home(home: Home) -> bool:
    """Whether the folder holds a home, or (False) nothing yet; StoreError where it is not ours."""
    root, database = home.root, home.database
    try:
        names = sorted(path.name for path in root.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"the home {root} cannot be read: {error.strerror}") from error
    no_home = f"{root} is no home of ellipsis_local"
    if foreign := [name for name in names if not OURS.fullmatch(name)]:
        raise StoreError(f"{no_home}: it holds {foreign[0]!r}; choose another folder")
    if not database.exists():
        for folder in (home.layers, home.computes):
            if folder.is_dir() and any(folder.iterdir()):
                raise StoreError(f"{no_home}: it holds {folder.name}, and no database")
        return False
    try:
        with read_only(database) as connection:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise StoreError(f"{no_home}: {database.name} cannot be read ({error})") from error
    if not found >= TABLES:
        raise StoreError(f"{no_home}: {database.name} is another database")
    check_format(database)
    return True


def is_empty(home: Home) -> bool:
    """Whether a home has neither paths nor users nor computes."""
    with read_only(home.database) as connection:
        return not any(
            connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608
            for table in ("paths", "users", "computes")
        )


def check_unused(home: Home, *, own_pools: bool) -> None:
    """StoreError where nodes of a compute run or wait; `own_pools`: those of this process that wait count, too."""
    with read_only(home.database) as connection:
        marks = ",".join("?" * len(RUNNING))
        busy = connection.execute(f"SELECT id, pid, started FROM computes WHERE status IN ({marks})", RUNNING)  # noqa: S608
        pools = connection.execute("SELECT compute, pid, started FROM compute_pools")
        users = [(compute, ProcessMark(*mark), "is at work") for compute, *mark in busy]
        waiting = [(compute, ProcessMark(*mark), "has nodes waiting") for compute, *mark in pools]
    users += [user for user in waiting if own_pools or user[1] != own_mark()]
    for compute, mark, doing in users:
        if mark.alive:
            raise StoreError(
                f"the home {home.root} is in use: compute {compute} {doing} in process {mark.pid}; terminate it "
                "(`ellipsis-local computes terminate --all`), or end that process"
            )


def relative(spec: str, home: Home) -> str:
    """A compute's specification without the home's place: its layers' locations begin with {layers}."""
    own = f"{home.layers}/"

    def change(location: str) -> str:
        if own in location:
            return location.replace(own, f"{LAYERS}/", 1)
        # Of a home that was moved since.
        return STORED.sub(f"{LAYERS}/", location, count=1)

    return _relocated(spec, change)


def placed(spec: str, home: Home) -> str:
    """The way back from `relative`, into this home."""
    return _relocated(spec, lambda location: location.replace(LAYERS, str(home.layers), 1))


def _relocated(spec: str, change: Callable[[str], str]) -> str:
    found = Specification.from_json(json.loads(spec))
    cut = None if found.cut is None else found.cut.moved(change)
    return json.dumps(replace(found, cut=cut).to_json())
