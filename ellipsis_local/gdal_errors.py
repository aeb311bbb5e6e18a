"""Where errors of other libraries become ours, with the original as `__cause__`, and where those are kept silent."""

from __future__ import annotations

import contextlib
import errno
import re
import sqlite3
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ellipsis_local.errors import EllipsisLocalError, LayerError, StoreError

__all__ = ["is_full", "naming", "quiet", "reading", "shown_name", "writing"]

MOST_SHOWN = 120

# EFBIG is what a limit on the size of a file gives.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# GDAL tells the system's text and drops its number; its vector formats have words of their own.
FULL_TEXTS = (
    "no space left", "disk full", "disk is full", "quota exceeded", "file too large", "disk i/o error", "i/o failure",
    "cannot write feature",
)  # fmt: skip


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_full(error: BaseException) -> bool:
    """Whether a full disk, or a limit like one, is behind `error`."""
    for one in chain(error):
        if isinstance(one, OSError) and one.errno in FULL:
            return True
        if any(text in str(one).lower() for text in FULL_TEXTS):
            return True
    return False


def first_line(error: BaseException) -> str:
    """What the innermost error says, which is where GDAL names the reason."""
    texts = [str(one).strip() for one in chain(error) if str(one).strip()]
    return texts[-1].splitlines()[0] if texts else type(error).__name__


class _Quiet:
    """How many blocks of how many threads want silence; the filters of warnings belong to the whole process.

    Threads that each kept and put back the filters themselves would leave the process silent for ever.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.kept = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            if self.depth == 0:
                self.kept = warnings.catch_warnings()
                self.kept.__enter__()
                warnings.simplefilter("ignore")
            self.depth += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.kept.__exit__(None, None, None)


_quiet = _Quiet()


def quiet() -> contextlib.AbstractContextManager[None]:
    """No warning of GDAL, rasterio, pyogrio, numpy or shapely reaches the caller."""
    return _quiet


def foreign() -> tuple[type[BaseException], ...]:
    """What the libraries that read and write layers raise; they are imported by then, or raise nothing."""
    import pyarrow
    import pyogrio.errors
    import pyproj.exceptions
    import rasterio.errors
    import shapely.errors

    return (
        rasterio.errors.RasterioError,
        rasterio._err.CPLE_BaseError,
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.CRSError,
        pyogrio.errors.FeatureError,
        pyogrio.errors.GeometryError,
        pyogrio.errors.FieldError,
        pyproj.exceptions.ProjError,
        pyarrow.ArrowException,
        shapely.errors.ShapelyError,
        sqlite3.Error,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        UnboundLocalError,  # pyogrio, of a CRS that it cannot decode
        RecursionError,
        NotImplementedError,
        MemoryError,
    )


@contextlib.contextmanager
def reading(source: Path | str, doing: str = "cannot be read", *, writes: bool = False) -> Iterator[None]:
    """LayerError, naming `source`, for whatever the libraries raise inside; `writes`: StoreError for a full disk."""
    try:
        with quiet():
            yield
    except EllipsisLocalError:
        raise
    except Exception as error:  # sorted out at once
        if not isinstance(error, foreign()):
            raise
        if writes and is_full(error):
            raise StoreError(f"the disk is full: {first_line(error)}") from error
        raise LayerError(f"{source} {doing}: {first_line(error)}", source=str(source)) from error


@contextlib.contextmanager
def writing(target: Path | str, *, hush: bool = True) -> Iterator[None]:
    """StoreError, naming `target`, for whatever the libraries raise inside. `hush=False` lets our warnings through."""
    try:
        with quiet() if hush else contextlib.nullcontext():
            yield
    except EllipsisLocalError:
        raise
    except Exception as error:  # sorted out at once
        if not isinstance(error, foreign()):
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
    """Let messages call `source` what lies in our `folder`, at any depth, or is one of `files`.

    The caller knows the file by the name that it was given; where it lies meanwhile is nobody's business.
    """
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
