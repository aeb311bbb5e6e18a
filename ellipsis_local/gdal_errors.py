"""Where errors of the libraries that read and write layers become ours, with the original as `__cause__`.

Theirs only: an error of our own code inside such a block is a bug, and stays one.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import re
import sqlite3
import struct
import traceback
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ellipsis_local.errors import EllipsisLocalError, LayerError, StoreError

MOST_SHOWN = 120

# EFBIG is what a limit on the size of a file gives.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# GDAL tells the system's text and drops its number; its vector formats have words of their own.
FULL_TEXTS = (
    "no space left", "disk full", "disk is full", "quota exceeded", "file too large", "disk i/o error", "i/o failure",
    "cannot write feature",
    # libtiff drops the system's text, too.
    "write error at", "error writing",
    # SQLite itself rolled back, which it does where it cannot write, or not even its first tables are there.
    "cannot rollback", "no such table: gpkg_",
)  # fmt: skip


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_full(error: BaseException) -> bool:
    """Whether a full disk, or a limit like one, is behind `error`."""
    return any(
        (isinstance(one, OSError) and one.errno in FULL) or any(text in str(one).lower() for text in FULL_TEXTS)
        for one in chain(error)
    )


def first_line(error: BaseException) -> str:
    """What the innermost error says, which is where GDAL names the reason."""
    texts = [str(one).strip() for one in chain(error) if str(one).strip()]
    return texts[-1].splitlines()[0] if texts else type(error).__name__


LIBRARIES = {"geopandas", "pandas", "pyarrow", "pyogrio", "pyproj", "rasterio", "shapely"}
READERS = LIBRARIES | {"codecs", "encodings", "json", "pathlib", "zipfile"}
"""Whose errors of any kind, such as a ValueError, say something of a file."""
OF_FILES = (
    sqlite3.Error, zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, MemoryError, RecursionError,
)  # fmt: skip


def is_theirs(error: BaseException) -> bool:
    """Whether a library raised it: by its class, or because it is what the last of our functions had called."""
    if isinstance(error, OF_FILES) or any(root(kind.__module__) in LIBRARIES for kind in type(error).__mro__):
        return True
    modules = [root(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    called = list(itertools.takewhile(lambda name: name != root(__name__), reversed(modules)))
    return bool(called) and called[-1] in READERS


def root(module: str) -> str:
    return module.partition(".")[0]


@contextlib.contextmanager
def reading(source: Path | str, doing: str = "cannot be read", *, writes: bool = False) -> Iterator[None]:
    """LayerError, naming `source`, for whatever the libraries raise inside; `writes`: StoreError for a full disk."""
    try:
        yield
    except Exception as error:  # sorted out at once
        if isinstance(error, EllipsisLocalError) or not is_theirs(error):
            raise
        if writes and is_full(error):
            raise StoreError(f"the disk is full: {first_line(error)}") from error
        raise LayerError.of(source, f"{doing}: {first_line(error)}") from error


@contextlib.contextmanager
def writing(target: Path | str) -> Iterator[None]:
    """StoreError, naming `target`, for whatever the libraries raise inside."""
    try:
        yield
    except Exception as error:  # sorted out at once
        if isinstance(error, EllipsisLocalError) or not is_theirs(error):
            raise
        reason = "the disk is full" if is_full(error) else "cannot be written"
        raise StoreError(f"{target}: {reason}: {first_line(error)}") from error


def shown_name(name: object) -> str:
    """What messages call a file that came with a name of its own: that name, where it is short and can be printed."""
    text = str(name or "") or "the file"
    if not text.isprintable():
        text = repr(text)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


@contextlib.contextmanager
def naming(source: str, folder: Path, *files: Path) -> Iterator[None]:
    """Let messages call `source`, the name that the caller gave, what lies in our `folder` or is one of `files`."""
    try:
        yield
    except EllipsisLocalError as error:
        text = str(error)
        for path in files:
            text = text.replace(f"/vsizip/{path}", source).replace(str(path), source)
        # A draft or file's folder, with what is in it.
        ours = re.compile(rf"(?:/vsizip/)?{re.escape(str(folder))}(?:/[^/\s'\"]+)+(?<![,.:;])")
        # A function: the name may look like a reference to a group.
        error.args = (ours.sub(lambda _: source, text), *error.args[1:])
        if isinstance(error, LayerError):
            error.source = source
        raise
