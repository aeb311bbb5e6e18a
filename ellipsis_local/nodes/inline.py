"""The engine without processes: nodes run in the calling process, one after the other, as a worker runs them.

What a process lends to a function and takes back afterwards is its own and not a thread's, so that one function runs at
a time; what other threads of the caller print and log meanwhile goes where it always goes.
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
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ellipsis_local.errors import EngineError
from ellipsis_local.node_program.ellipsis_node.output import Recorder, Source
from ellipsis_local.node_program.ellipsis_node.params import answer_vector
from ellipsis_local.node_program.ellipsis_node.process_state import numpy_random, restored
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeFunction, NodeOutcome
from ellipsis_local.node_program.ellipsis_node.run_node import NODE_MARK, run_function
from ellipsis_local.nodes.engine import Capabilities, OnOutcome, OnStart, Parts, Place, Program, nobody
from ellipsis_local.nodes.local import own_programs

running = threading.RLock()
"""Held while a function runs in this process."""


class InlineEngine:
    """Nodes in the calling process, without limits of time and memory; a function that ends its process ends all."""

    capabilities = Capabilities(environments=False, limits=False, beside=False, gpus=lambda: ())

    def start(self, program: Program, parts: Callable[[], Parts], place: Place) -> InlinePool:
        """See `Engine.start`; EngineError for limits that cannot be kept here."""
        for name, limit in (("node_timeout", program.timeout), ("node_memory", program.memory)):
            if limit is not None:
                raise EngineError(f"{name} cannot be kept by nodes in the calling process; leave it out")
        return InlinePool(program, parts(), place)


class InlinePool:
    """The nodes of one compute in this process; they exist while they run."""

    def __init__(self, program: Program, parts: Parts, place: Place) -> None:
        self._vectors = program.vectors
        self._config = replace(program.config(place, parts), inline=True)
        self._closed = threading.Event()
        self._frames: dict[str, Any] = {}
        self._config.make_folders()

    def execute(self, command: Command, on_outcome: OnOutcome, on_start: OnStart = nobody) -> None:
        """See `Pool.execute`; outcomes come in the order of the nodes. An interruption (Ctrl-C) closes the pool."""
        log = Path(self._config.log)
        try:
            # Without a buffer, so that what processes print that the function forks gets there, too.
            with running, log.open("ab", buffering=0) as file, given_function(command.function):
                recorder, source = Recorder(file, self._config.clock), Source()
                for node in range(self._config.partitions):
                    if self._closed.is_set():
                        raise EngineError("the nodes were ended")
                    on_start(node)
                    on_outcome(self._run(command, node, recorder, source))
        except BaseException:
            self.close()
            raise

    def _run(self, command: Command, node: int, recorder: Recorder, source: Source) -> NodeOutcome:
        recorder.take(source, NODE_MARK + f"{command.execution} {node}\n".encode())
        interrupted, lock = threading.Event(), threading.Lock()

        def take(data: bytes) -> None:
            # The function may have threads.
            with lock:
                recorder.take(source, data)

        with as_node(take, interrupted, vectors=self._vectors):
            outcome = run_function(self._config, command, node, frames=self._frames, interrupted=interrupted.is_set)
        recorder.end(source)
        if interrupted.is_set():
            # The function took it for its own.
            raise KeyboardInterrupt
        return outcome

    def close(self) -> None:
        """No further node begins; one that runs in another thread goes on to its end."""
        self._closed.set()
        self._frames = {}

    @property
    def alive(self) -> bool:
        return not self._closed.is_set()


@contextlib.contextmanager
def _watching(interrupted: threading.Event) -> Iterator[None]:
    """Notice Ctrl-C: a KeyboardInterrupt is the caller's then, and not the function's own."""
    former = signal.getsignal(signal.SIGINT)
    # Only the main thread gets the signal, and only there handlers can be changed.
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
    """Let this process be a node for the block; afterwards it is as it was, but for modules that were imported."""
    # sys._current_frames would know threads of C libraries as well, and waits for itself where the garbage is collected
    # meanwhile (seen on Python 3.11).
    others = {thread.ident for thread in threading.enumerate() if thread.ident} - {threading.get_ident()}
    with _watching(interrupted), left_as_it_was(vectors=vectors):
        warnings.simplefilter("ignore")
        with _streams(take, others):
            _log_to_stderr(others)
            yield


@contextlib.contextmanager
def left_as_it_was(*, vectors: bool) -> Iterator[None]:
    """`restored`, and chance; with this interpreter first on the PATH, and `vectors`: frames answer ``['vector']``."""
    with restored(), _chance(), contextlib.ExitStack() as stack:
        os.environ.update(own_programs(Path(sys.executable), os.environ))
        if vectors:
            stack.callback(answer_vector())
        yield


@contextlib.contextmanager
def given_function(function: NodeFunction) -> Iterator[None]:
    """For the block, tracebacks may show the function's lines where its file is another by now."""
    file = function.filename or ""
    former = linecache.cache.get(file)
    try:
        yield
    finally:
        if linecache.cache.get(file) is not former:
            linecache.cache.pop(file, None)
            if former is not None:
                linecache.cache[file] = former


@contextlib.contextmanager
def _chance() -> Iterator[None]:
    """Numbers drawn at random afterwards are those that the caller would have drawn next."""
    own, numpys = random.getstate(), numpy_random().get_state()
    try:
        yield
    finally:
        random.setstate(own)
        numpy_random().set_state(numpys)


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
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
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


def _log_to_stderr(others: set[int]) -> None:
    """Until the loggers are given back, as a worker has them."""
    root = logging.getLogger()
    root.handlers[:] = [_Handler(list(root.handlers), root.level, others)]
    root.setLevel(logging.INFO)
    logging.disable(logging.NOTSET)
