"""An archive into a home: everything is laid out and verified beside, then put in the place of what was there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ellipsis_local.database import VERSION, Database, connect, migrate, newer
from ellipsis_local.emulator import SCHEMA
from ellipsis_local.errors import SettingsError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.progress import BAR, Progress
from ellipsis_local.restore import copy_rows, new_draft
from ellipsis_local.settings import read_settings
from ellipsis_local.state.archive_manifest import CHUNK, DATABASE, SETTINGS, Entry, Manifest, read_manifest, refused
from ellipsis_local.state.homes import TABLES, placed, read_only

ARCHIVED = "archived.sqlite"
RESERVE = 16 * 1024**2


class Archive:
    """An archive that was opened, and whose table of contents is in order."""

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self.path = path
        self._file = file
        self.manifest: Manifest = read_manifest(path, file)
        if self.manifest.database > VERSION:
            raise refused(path, newer("its home", self.manifest.database))

    def unpack(self, entry: Entry, target: Path) -> None:
        """Write one file, its hash verified."""
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with self._file.open(entry.name) as source, target.open("xb") as out:
            while data := source.read(CHUNK):
                size += len(data)
                if size > entry.size:
                    break
                digest.update(data)
                out.write(data)
        if size != entry.size or digest.hexdigest() != entry.sha256:
            raise refused(self.path, f"{entry.name} is damaged: it is not what was archived; export again")


@contextlib.contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """An archive of ours; ArgumentError for what is none, or is damaged, also in the block."""
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(path, file)
    except (FileNotFoundError, PermissionError) as error:
        # In the block other files may be missing; that is not this one.
        if error.filename != str(path):
            raise
        missing = isinstance(error, FileNotFoundError)
        raise refused(path, "there is no such file" if missing else "it may not be read") from error
    except IsADirectoryError as error:
        raise refused(path, "it is a folder") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
        raise refused(path, f"it is no whole archive of `state export` ({error})") from error


@contextlib.contextmanager
def laid_out(archive: Archive, home: Home) -> Iterator[Path]:
    """A draft in the home with all that the archive holds, verified; it vanishes with the block unless taken over."""
    size = archive.manifest.size + next(e.size for e in archive.manifest.entries if e.name == DATABASE)
    try:
        free = shutil.disk_usage(home.root).free
        if size + RESERVE > free:
            raise StoreError(f"the archive needs {size:,} bytes, and {home.root} has {free:,} left")
        draft = new_draft(home)
    except OSError as error:
        raise StoreError(f"the home {home.root} cannot be written: {error.strerror}") from error
    try:
        try:
            for name in ("layers", "computes"):
                (draft / name).mkdir()
            for number, entry in enumerate(archive.manifest.entries):
                BAR.tell(Progress("importing", number, len(archive.manifest.entries), "files"))
                archive.unpack(entry, draft / (ARCHIVED if entry.name == DATABASE else entry.name))
            _check_settings(archive, draft, home)
            _build_database(archive, draft, home)
        except OSError as error:
            raise StoreError(f"the home {home.root} cannot be written: {error.strerror or error}") from error
        yield draft
    finally:
        if not home.journal.exists():
            shutil.rmtree(draft, ignore_errors=True)


def _check_settings(archive: Archive, draft: Path, home: Home) -> None:
    """Those that the home has stay: they are of this machine. The archive's come along where it has none."""
    if (home.root / SETTINGS).exists():
        (draft / SETTINGS).unlink(missing_ok=True)
    if (draft / SETTINGS).exists():
        try:
            read_settings({"home": draft}, {})
        except SettingsError as error:
            raise refused(archive.path, f"its settings are not understood here: {error}") from error


def _build_database(archive: Archive, draft: Path, home: Home) -> None:
    """The home's database to be, of this release's schema, with the archive's rows."""
    source = draft / ARCHIVED
    try:
        _check_database(archive, source)
        with contextlib.closing(connect(source)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("BEGIN")
            with connection:
                migrate(connection, source)
        Database(draft / DATABASE, SCHEMA).close()
        with contextlib.closing(sqlite3.connect(draft / DATABASE, isolation_level=None, uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("ATTACH ? AS source", (f"{source.absolute().as_uri()}?mode=ro&immutable=1",))
            connection.execute("BEGIN")
            with connection:
                copy_rows(connection)
                specs = connection.execute("SELECT id, spec FROM main.computes").fetchall()
                connection.executemany(
                    "UPDATE main.computes SET spec = ? WHERE id = ?", [(placed(spec, home), key) for key, spec in specs]
                )
            connection.execute("DETACH source")
            if lost := connection.execute("PRAGMA foreign_key_check").fetchone():
                raise refused(archive.path, f"a row of {lost[0]} refers to one that is not there")
            files = connection.execute(
                "SELECT id, main, parts, detail FROM files WHERE status = 'completed'"
            ).fetchall()
    except (sqlite3.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, StoreError) or getattr(error, "argument", None) == "file":
            raise
        raise refused(archive.path, f"its database is damaged: {error}") from error
    source.unlink()
    _check_files(archive, files)


def _check_database(archive: Archive, source: Path) -> None:
    with read_only(source, immutable=True) as connection:
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise refused(archive.path, "its database is damaged")
        found = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for kind, name, _ in found if kind == "table"}
    # Ours are plain; others could run something of their own where they are read.
    odd = [name for kind, name, sql in found if kind not in ("table", "index") or sql.upper().startswith("CREATE VIR")]
    if odd or not tables >= TABLES or version != archive.manifest.database:
        raise refused(archive.path, "its database is none of a home")


def _check_files(archive: Archive, rows: Sequence[tuple[str, str, str, str | None]]) -> None:
    """Hold the rows of files against the files: each has all of its own, and names none elsewhere."""
    there = {entry.name for entry in archive.manifest.entries}
    for file_id, main, parts, detail in rows:
        try:
            names = {main, *json.loads(parts)}
            location = "{folder}" if detail is None else json.loads(detail)["location"]
            missing = [name for name in sorted(names) if f"layers/{file_id}/{name}" not in there]
            outside = "{folder}" not in location or ".." in location.partition("{folder}")[2].split("/")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise refused(archive.path, f"the row of file {file_id} is damaged") from error
        if missing or outside:
            raise refused(archive.path, f"file {file_id} of a layer misses {missing[0] if missing else location!r}")
