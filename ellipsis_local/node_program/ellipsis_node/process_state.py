"""What a function may change of the process that it runs in, and what is given back after each node.

So no node sees what another one did before on the same worker, and a result cannot depend on how many workers there
are. Modules stay imported, and what a function changes inside of them stays.
"""

from __future__ import annotations

import contextlib
import decimal
import gc
import io
import locale
import logging
import os
import random
import shutil
import signal
import socket
import stat
import sys
import threading
import time
import warnings
from importlib import import_module
from typing import Any, Callable, Dict, Iterator, List, Set

GiveBack = Callable[[], None]
SIGNALS = sorted(int(number) for number in signal.valid_signals() if number < 32)
"""But those of real time."""
IO_BASE = io.FileIO.__mro__[-2]
"""What files, buffers and texts inherit from in C."""
_handler_of: Callable[[int], Any] = import_module("_signal").getsignal
"""That of `signal` makes an enum of each, which takes ten times as long."""


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Give the process's state back at the end."""
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        for remember in REMEMBERED:
            stack.callback(remember())
        yield


def _environ() -> GiveBack:
    # Its own table: every other way to it decodes each name and value.
    table: Dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]
    before = dict(table)

    def give_back() -> None:
        if table == before:
            return
        wanted, zone = {os.fsdecode(name): os.fsdecode(value) for name, value in before.items()}, os.environ.get("TZ")
        for name in os.environ.keys() - wanted.keys():
            del os.environ[name]
        os.environ.update({name: value for name, value in wanted.items() if os.environ.get(name) != value})
        if zone != wanted.get("TZ") and hasattr(time, "tzset"):
            time.tzset()

    return give_back


def _interpreter() -> GiveBack:
    """Where modules are looked for, the main one, the standard streams, hooks and limits of the interpreter."""
    path, main = list(sys.path), sys.modules["__main__"]
    values = {name: getattr(sys, name) for name in ("argv", "stdin", "stdout", "stderr", "displayhook", "excepthook")}
    recursion, collecting, context = sys.getrecursionlimit(), gc.isenabled(), decimal.getcontext().copy()
    patience, mask = socket.getdefaulttimeout(), os.umask(0o077)
    os.umask(mask)

    def give_back() -> None:
        sys.path[:] = path
        sys.modules["__main__"] = main
        for name, value in values.items():
            setattr(sys, name, value)
        sys.setrecursionlimit(recursion)
        (gc.enable if collecting else gc.disable)()
        decimal.setcontext(context)
        socket.setdefaulttimeout(patience)
        os.umask(mask)

    return give_back


def _locale() -> GiveBack:
    before = locale.setlocale(locale.LC_ALL)

    def give_back() -> None:
        if locale.setlocale(locale.LC_ALL) != before:
            locale.setlocale(locale.LC_ALL, before)

    return give_back


def _signals() -> GiveBack:
    """Handlers, and an alarm that was set; only a main thread can change them."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = [(number, _handler_of(number)) for number in SIGNALS]
    # Windows has no alarms.
    ringing = not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_REAL)[0] > 0

    def give_back() -> None:
        if not ringing:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            # None was installed by C code.
            if handler is not None and _handler_of(number) is not handler:
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, handler)

    return give_back


def draw_anew() -> None:
    """Let numbers drawn at random begin anywhere, and not where a former node or this process's parent left off."""
    random.seed()
    # Of an integer, because that takes a tenth of the time.
    numpy_random().seed(random.getrandbits(32))


def numpy_random() -> Any:
    import numpy.random

    return numpy.random


def _numpy() -> GiveBack:
    import numpy

    errors, call, printing = numpy.geterr(), numpy.geterrcall(), numpy.get_printoptions()

    def give_back() -> None:
        numpy.seterr(**errors)
        numpy.seterrcall(call)
        if numpy.get_printoptions() != printing:
            numpy.set_printoptions(**printing)

    return give_back


def _pandas() -> GiveBack:
    """Its options; the defaults where the function is the first that imports it."""
    before = _pandas_options()

    def give_back() -> None:
        after = _pandas_options()
        if after is None:
            return
        if before is None:
            options = import_module("pandas._config.config")._registered_options
            wanted = {name: option.defval for name, option in options.items()}
        else:
            wanted = before
        for name, value in after.items():
            if name in wanted and value is not wanted[name] and value != wanted[name]:
                sys.modules["pandas"].set_option(name, wanted[name])

    return give_back


def _pandas_options() -> Dict[str, Any] | None:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return None
    found: Dict[str, Any] = {}
    groups = [("", vars(pandas.options)["d"])]
    for prefix, group in groups:
        for name, value in group.items():
            if isinstance(value, dict):
                groups.append((f"{prefix}{name}.", value))
            else:
                found[prefix + name] = value
    return found


def _matplotlib() -> GiveBack:
    """Its settings, and no figure that the function has left; the defaults where it is the first that imports it."""
    before, figures = _settings_of_matplotlib(), _figures()

    def give_back() -> None:
        after = _settings_of_matplotlib()
        if after is None:
            return
        wanted = before if before is not None else dict.copy(sys.modules["matplotlib"].rcParamsOrig)
        changed = {name: value for name, value in wanted.items() if name != "backend" and value != after.get(name)}
        dict.update(sys.modules["matplotlib"].rcParams, changed)
        for number in _figures() - figures:
            sys.modules["matplotlib.pyplot"].close(number)

    return give_back


def _settings_of_matplotlib() -> Dict[str, Any] | None:
    matplotlib = sys.modules.get("matplotlib")
    # Its own copy would choose a backend.
    return None if matplotlib is None else dict.copy(matplotlib.rcParams)


def _figures() -> Set[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set() if pyplot is None else set(pyplot.get_fignums())


def _loggers() -> GiveBack:
    """Handlers, filters and levels of all loggers; new ones have none, unless they are those of an imported module."""
    manager = logging.root.manager
    before = {logger: _logger_state(logger) for logger in _known_loggers()}
    disabled = manager.disable

    def give_back() -> None:
        manager.disable = disabled
        for logger in _known_loggers():
            wanted = before.get(logger, ([], [], logging.NOTSET, True, False))
            library = logger not in before and logger.name.partition(".")[0] in sys.modules
            if not library and _logger_state(logger) != wanted:
                logger.handlers[:], logger.filters[:], level, logger.propagate, logger.disabled = wanted
                logger.setLevel(level)

    return give_back


def _known_loggers() -> List[logging.Logger]:
    named = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(logger for logger in named if isinstance(logger, logging.Logger))]


def _logger_state(logger: logging.Logger) -> tuple[Any, ...]:
    return [*logger.handlers], [*logger.filters], logger.level, logger.propagate, logger.disabled


REMEMBERED: List[Callable[[], GiveBack]] = [
    _environ, _interpreter, _locale, _signals, _numpy, _pandas, _matplotlib, _loggers,
]  # fmt: skip


@contextlib.contextmanager
def working_folder(path: str, spare: str) -> Iterator[Callable[[], None]]:
    """A fresh working directory for the block; what is yielded has it emptied at the end, and kept as `spare`.

    Some file systems need milliseconds to remove a folder.
    """
    try:
        os.rename(spare, path)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
    mode, former, before, over = stat.S_IMODE(os.stat(path).st_mode), _where(), _descriptors(), []
    try:
        os.chdir(path)
        yield lambda: over.append(True)
    finally:
        if former is not None:
            os.fchdir(former)
        _close_left_open(_descriptors() - before, path)
        if former is not None:
            os.close(former)
        if over:
            try:
                os.chmod(path, mode)
                _empty(path)
                os.rename(path, spare)
            except OSError:
                # Not as it was: it can be nobody's next.
                shutil.rmtree(path, ignore_errors=True)


def _where() -> int | None:
    """The working directory, open; None where it is gone."""
    try:
        return os.open(".", os.O_RDONLY)
    except OSError:
        return None


def _empty(folder: str) -> None:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _descriptors() -> Set[int]:
    try:
        return set(map(int, os.listdir("/dev/fd")))
    except OSError:
        return set()


def _close_left_open(new: Set[int], folder: str) -> None:
    """Close the files that a function has left open in its folder, and let go of all others that it only forgot."""
    if not any(map(_is_file, new)):
        return
    with warnings.catch_warnings():
        # That it was not closed.
        warnings.simplefilter("ignore")
        gc.collect()
    inside = os.path.realpath(folder) + os.sep
    left = {descriptor for descriptor in new if _is_file(descriptor) and _path_of(descriptor).startswith(inside)}
    if not left:
        return
    # By type: `isinstance` would ask an abstract class, and proxies what they stand for.
    files: List[Any] = [found for found in gc.get_objects() if issubclass(type(found), IO_BASE)]
    # A text or a buffer writes what it holds before the file below it is closed.
    for kind in (io.TextIOBase, io.BufferedIOBase, io.RawIOBase):
        for file in files:
            if isinstance(file, kind):
                with contextlib.suppress(Exception):
                    if file.fileno() in left:
                        file.close()
    for descriptor in left:
        if _is_file(descriptor):
            os.close(descriptor)


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _path_of(descriptor: int) -> str:
    """Where an open file lies; empty where that cannot be told."""
    try:
        if sys.platform == "darwin":
            import fcntl

            return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
