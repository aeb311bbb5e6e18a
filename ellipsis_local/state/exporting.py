"""A home into an archive: a snapshot of the database, then the files that it names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from ellipsis_local.arguments import invalid
from ellipsis_local.computes import Records
from ellipsis_local.database import VERSION, Database
from ellipsis_local.emulator import SCHEMA
from ellipsis_local.errors import ArgumentError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.progress import BAR, Progress
from ellipsis_local.settings import package_version
from ellipsis_local.state.archive_manifest import CHUNK, DATABASE, FORMAT, MANIFEST, SETTINGS, Entry, Manifest
from ellipsis_local.state.homes import RUNNING, read_only, relative

PLACE = re.compile(r"^[ \t]*environments[ \t]*=.*\n?", re.MULTILINE)
LEFT_OUT = ("scratch", "kept")
"""Of a compute's folder: what is made again. A failed node's inputs are cut from the layers when they are asked for."""
THERE = "is there already; choose another name, or overwrite=True (--overwrite)"
ATTEMPTS = 5
SAMPLE = 128 * 1024
WORTH_PACKING = 0.9
MOMENT = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: the manifest tells when the archive was made."""


def write_archive(home: Home, target: Path, *, overwrite: bool, created: datetime) -> Manifest:
    """Write the archive, whole or not at all; see `ellipsis_local.state.export_home`."""
    if target.is_dir():
        raise _refused(target, "is a folder; give the name of a file")
    if home.root.resolve() in target.resolve().parents:
        raise _refused(target, f"lies in the home that is exported; choose a place outside of {home.root}")
    if target.exists() and not overwrite:
        raise _refused(target, THERE)
    try:
        draft = Home.temporary(target.parent)
    except OSError as error:
        raise _refused(target, f"cannot be written: {error.strerror}") from error
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                manifest = _write(home, draft, created)
                break
            except FileNotFoundError as error:
                # Removed between the snapshot and the copy: a new snapshot does not name it.
                if attempt == ATTEMPTS:
                    raise StoreError(
                        f"{error.filename} is missing in the home: remove its layer, or, where others are changing the "
                        "home all the time, export later"
                    ) from error
        _publish(draft / "home.zip", target, overwrite=overwrite)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _refused(target: Path, why: str) -> ArgumentError:
    return invalid("file", str(target), f"{target} {why}")


def _publish(draft: Path, target: Path, *, overwrite: bool) -> None:
    if not overwrite:
        try:
            os.link(draft, target)  # fails where another process was first
            return
        except FileExistsError as error:
            raise _refused(target, THERE) from error
        except OSError:  # a file system without links
            if target.exists():
                raise _refused(target, THERE) from None
    draft.replace(target)


def _write(home: Home, draft: Path, created: datetime) -> Manifest:
    database = draft / DATABASE
    _snapshot(home, database)
    entries = []
    # The folder is for its owner alone, and so is the file once it is out of there: it holds hashes of passwords.
    descriptor = os.open(draft / "home.zip", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        files = list(_files(home, database))
        for number, (name, path) in enumerate(files):
            BAR.tell(Progress("writing the archive", number, len(files), "files"))
            entries.append(_add(archive, name, path))
        manifest = Manifest(FORMAT, package_version(), VERSION, created.isoformat(), tuple(entries))
        archive.writestr(_info(MANIFEST, zipfile.ZIP_DEFLATED), manifest.to_json())
    return manifest


def _snapshot(home: Home, copy: Path) -> None:
    """The database as one moment saw it, as it is when the processes that use it are gone, without the home's place."""
    copy.unlink(missing_ok=True)
    try:
        with read_only(home.database) as connection:
            # Leaves out what was deleted, too, which a copy of the pages would carry along.
            connection.execute("VACUUM INTO ?", (str(copy),))
        with contextlib.closing(Database(copy, SCHEMA)) as database:
            with database.transaction() as connection:
                connection.execute("DELETE FROM compute_pools")
                # No process has this id: whoever opens the copy sees these as what a killed process left.
                marks = ",".join("?" * len(RUNNING))
                connection.execute(f"UPDATE computes SET pid = 0, started = 0 WHERE status IN ({marks})", RUNNING)  # noqa: S608
                specs = connection.execute("SELECT id, spec FROM computes").fetchall()
                connection.executemany(
                    "UPDATE computes SET spec = ? WHERE id = ?", [(relative(spec, home), key) for key, spec in specs]
                )
            records = Records(database)
            for row in database.rows(f"SELECT id FROM computes WHERE status IN ({marks})", RUNNING):  # noqa: S608
                records.get(row["id"])
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StoreError(f"the database of {home.root} cannot be copied: {error}") from error


def _files(home: Home, database: Path) -> Iterator[tuple[str, Path]]:
    """What goes into the archive: name and place."""
    with read_only(database, immutable=True) as connection:
        query = "SELECT id, main, parts FROM files WHERE status = 'completed' ORDER BY rowid"
        layers = connection.execute(query).fetchall()
        computes = connection.execute("SELECT id FROM computes ORDER BY number").fetchall()
    yield DATABASE, database
    settings = _settings(home.root / SETTINGS) if (home.root / SETTINGS).is_file() else ""
    if settings.strip():
        (database.parent / SETTINGS).write_text(settings, encoding="utf-8")
        yield SETTINGS, database.parent / SETTINGS
    for file_id, main, parts in layers:
        for part in sorted({main, *json.loads(parts)}):
            yield f"layers/{file_id}/{part}", home.layers / file_id / part
    for (compute_id,) in computes:
        folder = home.compute(compute_id)
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            draft = any(part.startswith(".new-") or part.endswith(".new") for part in inside.parts)
            if inside.parts[0] not in LEFT_OUT and not draft and path.is_file() and not path.is_symlink():
                yield f"computes/{compute_id}/{inside.as_posix()}", path


def _settings(path: Path) -> str:
    """The home's settings but for `environments`, a place of this machine."""
    text = path.read_text(encoding="utf-8")
    without = PLACE.sub("", text)
    with contextlib.suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(without) == {k: v for k, v in tomllib.loads(text).items() if k != "environments"}:
            return without
    return text


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> Entry:
    """One file, by pieces; of a log that is being written the lines that are whole."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if path.suffix == ".jsonl":
            size = _whole_lines(file, size)
            file.seek(0)
        packed = zlib.compress(file.read(min(SAMPLE, size)), 1)
        worth = len(packed) < WORTH_PACKING * min(SAMPLE, size)
        file.seek(0)
        info = _info(name, zipfile.ZIP_DEFLATED if worth else zipfile.ZIP_STORED)
        info.file_size = size
        digest, left = hashlib.sha256(), size
        with archive.open(info, "w") as out:
            while left and (data := file.read(min(CHUNK, left))):
                left -= len(data)
                digest.update(data)
                out.write(data)
    return Entry(name, size - left, digest.hexdigest())


def _info(name: str, packing: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, MOMENT)
    info.compress_type = packing
    info.external_attr = 0o100600 << 16
    info._compresslevel = 1  # type: ignore[attr-defined]  # the public name is of Python 3.13
    return info


def _whole_lines(file: BinaryIO, size: int) -> int:
    """How many of the first `size` bytes end with a line."""
    end = size
    while end:
        start = max(0, end - CHUNK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
