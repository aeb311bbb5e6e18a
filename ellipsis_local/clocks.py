"""The clocks that tests cannot stop: for waits, deadlines and the ages of files; what is stored goes by `identity`."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType


def monotonic() -> float:
    """Seconds, as `time.monotonic` gives them."""
    # freezegun replaces that one and perf_counter wherever they are held; time-machine replaces the calendar only.
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def is_stopped() -> bool:
    """Whether a test has put its own clock in the place of `time`'s, by which other libraries wait."""
    return not isinstance(time.time, types.BuiltinFunctionType)


def file_time(folder: Path) -> float:
    """The time that a file gets which is written in `folder` now, as `st_mtime` has it; OSError where none can be."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def stand_ins() -> dict[int, tuple[ModuleType, str]]:
    """What stands in the place of functions and classes of `time` and `datetime`, by its id: which one that is."""
    return {
        id(value): (module, name)
        for module in (time, datetime)
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) != module.__name__
    }


@contextlib.contextmanager
def real_dates() -> Iterator[None]:
    """Let what is imported in the block find the classes of `datetime`, not those of a frozen clock.

    No class with a metaclass can inherit from freezegun's, and pydantic has such.
    """
    held = {name: getattr(datetime, name) for name in ("date", "datetime")}
    for name, kind in held.items():
        setattr(datetime, name, next(one for one in kind.__mro__ if one.__module__ == "datetime"))
    try:
        yield
    finally:
        for name, kind in held.items():
            setattr(datetime, name, kind)


def import_pandas() -> None:
    """Under a clock that a test has stopped, before anything else does: pandas' classes would inherit from freezegun's.

    The next collection of garbage would end this process then (seen with pandas 3.0 and freezegun 1.5).
    """
    if is_stopped() and "pandas" not in sys.modules:
        with real_dates():
            import_module("pandas")
