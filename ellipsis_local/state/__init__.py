"""A home as one file: `ellipsis_local.state` exports it, imports it elsewhere, and resets it.

The functions work on the home in force: that of `ellipsis_local.configure`, of the environment variable
ELLIPSIS_LOCAL_HOME, or of the emulator in use. An archive holds everything that was stored, hashes of passwords and of
tokens and the `upstream_token` of settings.toml among it: keep it like a password, and import only what you trust.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.emulator import SCHEMA, Emulator, current_settings, opened_emulator, working
from ellipsis_local.errors import ArgumentError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.identity import Identity
from ellipsis_local.tracebacks import short_traceback

__all__ = ["HomeArchive", "export_home", "import_home", "reset_home"]


@dataclass(frozen=True)
class HomeArchive:
    """What an archive holds."""

    file: Path
    format: int
    version: str
    """Of the ellipsis_local that wrote it."""
    created: str
    """ISO 8601, UTC."""
    files: int
    size: int
    """Bytes of all files, unpacked."""


@short_traceback
@working("writing the archive")
def export_home(file: str | os.PathLike[str], *, overwrite: bool = False, home: Any = None) -> HomeArchive:
    """Write everything that the home holds to one file: layers, computes with results and logs, users, settings.

    Environments, cut layers, kept inputs of nodes and other caches are left out; what needs them makes them anew.
    Others may go on using the home: the archive holds it as it was at one moment. A compute that was executing or
    starting then is in it as a killed process leaves it: its open nodes failed, or the compute `errored`. An export
    that is killed leaves a folder `.new-…` beside the file, and nothing else.

    Parameters
    ----------
    file : path
        A zip; readable for its owner alone (mode 0600). It appears whole or not at all.
    overwrite : bool
        Replace a file that is there.
    home : path, optional
        Another home than the one in force.

    Raises
    ------
    ArgumentError
        A file that is there already, lies in the home or cannot be written.
    StoreError
        A folder that is no home of ours, or one of whose files is missing.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> el.state.export_home('valley.zip').file.name
    'valley.zip'
    """
    from ellipsis_local.restore import finish_import
    from ellipsis_local.state.exporting import write_archive
    from ellipsis_local.state.homes import check_home

    target = _file("file", file)
    overwrite = arguments.boolean("overwrite", overwrite)
    place, emulator = _home(home)
    if not check_home(place):
        raise StoreError(f"there is no home in {place.root}; nothing to export")
    finish_import(place, SCHEMA)
    if emulator is not None:
        emulator.sharing.usage.write()
    now = Identity(clock=(current_settings() if emulator is None else emulator.settings).clock).now()
    return _told(target, write_archive(place, target, overwrite=overwrite, created=now))


@short_traceback
@working("importing")
def import_home(file: str | os.PathLike[str], *, replace: bool = False, home: Any = None) -> HomeArchive:
    """Make the home what an archive of `export_home` holds.

    The archive is verified whole before anything changes, and a kill at any moment leaves the former home or the new
    one. Environments stay, and so does a `settings.toml` that is there; the archive's comes along where there is none.
    Computes can be executed at once: what this home lacks of their environments and partitions is made anew.

    Parameters
    ----------
    file : path
        Written by this or an older release.
    replace : bool
        Put it in the place of what a home of ours holds. Without it the home has to be empty, or not there yet.
    home : path, optional
        Another home than the one in force.

    Raises
    ------
    ArgumentError
        An archive that is damaged, of another kind or of a newer release; a home that holds something, without
        `replace`.
    StoreError
        A folder that is no home of ours; a home in use: nodes of a compute run or wait in some process; a full disk.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> _ = el.state.export_home('valley.zip')
    >>> el.layers.remove(dem['pathId'])
    >>> _ = el.state.import_home('valley.zip', replace=True)
    >>> [layer['name'] for layer in el.layers.list()]
    ['dem']
    """
    from ellipsis_local.restore import begin_import, exclusive
    from ellipsis_local.state.importing import laid_out, opened_archive

    source = _file("file", file)
    replace = arguments.boolean("replace", replace)
    place, emulator = _home(home)
    with opened_archive(source) as archive:
        _check_free(place, replace=replace, own_pools=False)
        with _made(place), laid_out(archive, place) as draft, _closed(emulator), exclusive(place):
            # Looked at again: now nobody can come between.
            _check_free(place, replace=replace, own_pools=True)
            begin_import(place, draft, SCHEMA)
        return _told(source, archive.manifest)


@short_traceback
def reset_home(*, force: bool = False, home: Any = None) -> None:
    """Empty the home: layers, computes, users, tokens and cut layers go; environments and settings.toml stay.

    Parameters
    ----------
    force : bool
        Also while nodes of a compute run or wait in some process; they end, and their executions fail.
    home : path, optional
        Another home than the one in force.

    Raises
    ------
    StoreError
        A folder that is no home of ours; without `force`, a home in use.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> el.state.reset_home()
    >>> el.layers.list()
    []
    """
    from ellipsis_local.restore import exclusive, finish_import
    from ellipsis_local.state.homes import check_home, check_unused

    force = arguments.boolean("force", force)
    place, emulator = _home(home)
    if not check_home(place):
        return
    place.locks.mkdir(exist_ok=True)
    finish_import(place, SCHEMA)
    if not force:
        check_unused(place, own_pools=False)
    with _closed(emulator), exclusive(place):
        if not force:
            check_unused(place, own_pools=True)
        _empty(place)


def _empty(home: Home) -> None:
    """The rows in one transaction, then the files that nobody knows any more."""
    from ellipsis_local.restore import empty_tables

    try:
        with contextlib.closing(sqlite3.connect(home.database, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                empty_tables(connection)
    except sqlite3.Error as error:
        raise StoreError(f"{home.database} cannot be written: {error}") from error
    for folder in (home.layers, home.computes, home.cuts, home.cache / "features", home.cache / "pulls"):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _check_free(home: Home, *, replace: bool, own_pools: bool) -> None:
    """Whether an archive may come into the home: it holds nothing, or may be replaced, and nobody uses it."""
    from ellipsis_local.state.homes import check_home, check_unused, is_empty

    if check_home(home):
        if not replace and not is_empty(home):
            text = f"the home {home.root} holds something already"
            way_out = "replace=True (--replace) puts the archive in its place"
            raise ArgumentError(f"{text}; {way_out}", argument="replace", value=False)
        check_unused(home, own_pools=own_pools)


def _file(name: str, value: Any) -> Path:
    text = arguments.path_text(name, value)
    if not text:
        raise arguments.invalid(name, value, f"must be the path of a file, not {value!r}")
    return Path(text).expanduser().absolute()


def _home(home: Any) -> tuple[Home, Emulator | None]:
    """The home that is meant, and this process's emulator where it works on that one."""
    emulator = opened_emulator()
    root = _file("home", home) if home is not None else (emulator.settings if emulator else current_settings()).home
    if emulator is not None and emulator.home.root.resolve() == root.resolve():
        return emulator.home, emulator
    return Home(root), None


@contextlib.contextmanager
def _made(home: Home) -> Iterator[None]:
    """The folders that an import needs, gone again where it fails."""
    new = [folder for folder in (home.root, home.locks) if not folder.exists()]
    try:
        home.locks.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the home {home.root} cannot be written: {error.strerror}") from error
    try:
        yield
    except BaseException:
        if home.locks in new and not home.database.exists() and not home.journal.exists():
            shutil.rmtree(home.locks, ignore_errors=True)
            if home.root in new:
                with contextlib.suppress(OSError):
                    home.root.rmdir()
        raise


@contextlib.contextmanager
def _closed(emulator: Emulator | None) -> Iterator[None]:
    """Close this process's emulator, and its nodes, while the home changes; then open it, by `configure` of then."""
    configured = emulator is not None and emulator.settings == current_settings()
    if emulator is not None:
        emulator.close(tidy=False)
    try:
        yield
    finally:
        if emulator is not None:
            emulator.reopen(current_settings() if configured else None)


def _told(file: Path, manifest: Any) -> HomeArchive:
    return HomeArchive(file, manifest.format, manifest.version, manifest.created, len(manifest.entries), manifest.size)
