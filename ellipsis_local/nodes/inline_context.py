"""The calling process in the place of a node: what it lends to a function, and takes back afterwards.

Everything here is the process's own and not a thread's, so that one function runs at a time (`running`). What other
threads of the caller print and log meanwhile goes where it always goes.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import logging
import os
import random
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from ellipsis_local.node_program.ellipsis_node import functions
from ellipsis_local.node_program.ellipsis_node.params import answer_vector
from ellipsis_local.node_program.ellipsis_node.records import NodeFunction

running = threading.RLock()
"""Held while a function runs in this process."""
FORMAT = "%(levelname)s %(name)s: %(message)s"
"""Of logged records; as on nodes."""


@contextlib.contextmanager
def _watching(interrupted: threading.Event) -> Iterator[None]:
    """Notice Ctrl-C: a KeyboardInterrupt is the caller's then, and not the function's own.

    Only the main thread gets the signal, and only there handlers can be changed.
    """
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(former):
        yield
        return

    def handler(number: int, frame: types.FrameType | None) -> Any:
        interrupted.set()
        return former(number, frame)

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


@contextlib.contextmanager
def as_node(take: Callable[[bytes], None], interrupted: threading.Event, *, vectors: bool) -> Iterator[None]:
    """Let this process be a node for the block; afterwards it is as it was.

    Working directory, `os.environ`, `sys.path`, standard streams, the root logger, filters of warnings, and the state
    of `random` and `numpy.random` come back. Modules that were imported stay, and what the function changed in them.

    `take` receives what is printed and logged; `interrupted` is set when Ctrl-C is pressed; with `vectors`, frames
    answer ``['vector']``.
    """
    # sys._current_frames would know threads of C libraries as well, and waits for itself where the garbage is collected
    # meanwhile (seen on Python 3.11).
    others = {thread.ident for thread in threading.enumerate() if thread.ident} - {threading.get_ident()}
    with _watching(interrupted), left_as_it_was(vectors=vectors), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _streams(take, others), _logging(others):
            yield


@contextlib.contextmanager
def left_as_it_was(*, vectors: bool) -> Iterator[None]:
    """Give working directory, `os.environ`, `sys.path`, and the state of `random` and `numpy.random` back at the end.

    With `vectors`, frames answer ``['vector']`` meanwhile.
    """
    with _place(), _chance(), contextlib.ExitStack() as stack:
        if vectors:
            stack.callback(answer_vector())
        yield


@contextlib.contextmanager
def given_function(function: NodeFunction) -> Iterator[None]:
    """Have the function made anew for the block; nothing of it stays, nor of the lines that tracebacks were to show.

    The lines of the user's file are known to this process, and `inspect` reads them.
    """
    file = function.filename
    former = linecache.cache.get(file) if file is not None else None
    functions.forget()
    try:
        yield
    finally:
        functions.forget()
        if file is not None:
            linecache.cache.pop(file, None)
            if former is not None:
                linecache.cache[file] = former


@contextlib.contextmanager
def _place() -> Iterator[None]:
    """Working directory, environment variables and places of modules."""
    folder, environ, path = os.open(".", os.O_RDONLY), dict(os.environ), list(sys.path)
    try:
        yield
    finally:
        os.fchdir(folder)
        os.close(folder)
        sys.path[:] = path
        for name in os.environ.keys() - environ.keys():
            del os.environ[name]
        for name, value in environ.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


@contextlib.contextmanager
def _chance() -> Iterator[None]:
    """Numbers drawn at random are not those that the caller would have drawn next."""
    own = random.getstate()
    numpy_random: Any = sys.modules.get("numpy.random")
    numpys = None if numpy_random is None else numpy_random.get_state()
    random.seed()
    if numpy_random is not None:
        numpy_random.seed()
    try:
        yield
    finally:
        random.setstate(own)
        if numpy_random is not None:
            numpy_random.set_state(numpys)
        elif "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()


# --- what is printed and logged -------------------------------------------------------------------------------------


class _Taken(io.RawIOBase):
    """A file of bytes that hands them on."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._take(bytes(data))
        return len(data)


class _Stream(io.TextIOWrapper):
    """Standard output or error of the function; of other threads, the one that was there."""

    def __init__(self, take: Callable[[bytes], None], former: TextIO | None, others: set[int]) -> None:
        # The encoding, and when lines are passed on, are those of a worker.
        super().__init__(_Taken(take), encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[arg-type]
        self._former = former
        self._others = others
        self._over = False

    def write(self, text: str) -> int:
        if not self._over and threading.get_ident() not in self._others:
            return super().write(text)
        return len(text) if self._former is None else self._former.write(text)

    def end(self) -> None:
        """What still writes here, a handler that the function has left behind, say, writes where the caller does."""
        # The function may have closed it.
        with contextlib.suppress(ValueError):
            self.flush()
        self._over = True


@contextlib.contextmanager
def _streams(take: Callable[[bytes], None], others: set[int]) -> Iterator[None]:
    former = sys.stdin, sys.stdout, sys.stderr
    streams = [_Stream(take, one, others) for one in former[1:]]
    with open(os.devnull, encoding="utf-8") as nothing:  # noqa: PTH123
        sys.stdin, (sys.stdout, sys.stderr) = nothing, streams
        try:
            yield
        finally:
            sys.stdin, sys.stdout, sys.stderr = former
            for stream in streams:
                stream.end()


class _Handler(logging.StreamHandler[TextIO]):
    """Records of the function go where its prints go; those of other threads to the handlers that were there."""

    def __init__(self, former: list[logging.Handler], level: int, others: set[int]) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter(FORMAT))
        self._former = former
        self._level = level
        self._others = others

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() not in self._others:
            super().emit(record)
        elif record.levelno >= self._level:
            for handler in self._former:
                if record.levelno >= handler.level:
                    handler.handle(record)


@contextlib.contextmanager
def _logging(others: set[int]) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable
    root.handlers[:] = [_Handler(handlers, level, others)]
    root.setLevel(logging.INFO)
    logging.disable(logging.NOTSET)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)
