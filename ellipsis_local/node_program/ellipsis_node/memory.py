"""A node's memory: the limit `node_memory`, the peak that it reached, and how a process ended that had no more."""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import signal
import sys
import threading
from typing import Callable, Iterator

MEMORY_EXIT = 77
"""Exit code of a worker that its own watch ended."""
HIGH_WATER = b"VmHWM:"


def how_it_ended(code: int | None) -> str:
    """The end of a node's process, in words."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def _data_bytes() -> int:
    """Bytes of private, writable memory: what RLIMIT_DATA counts."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[5]) * mmap.PAGESIZE
    except OSError:
        return 0


@contextlib.contextmanager
def memory_limit(limit: int | None) -> Iterator[None]:
    """Let this process allocate so many bytes more than it holds now; MemoryError, or its end, beyond."""
    if limit is None:
        yield
        return
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        return
    # Elsewhere the kernel does not keep to such a limit: a thread watches, and ends the process.
    stop = threading.Event()
    start = _life()

    def watch() -> None:
        while not stop.wait(0.05):
            if _life() > start + limit:
                os._exit(MEMORY_EXIT)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def watch_peak() -> Callable[[], int | None]:
    """Begin to watch; what is returned tells the most physical memory that this process held since, in bytes.

    The process's and not the function's, shared pages too, without its children. On Linux the kernel's mark (VmHWM) is
    set back when a node begins. Where that is forbidden, and on macOS, the mark is of the process's whole life: it is
    told where this node moved it, else None.
    """
    if _set_back():
        return _mark
    before = _life()

    def grown() -> int | None:
        after = _life()
        return after if after > before else None

    return grown


def _set_back() -> bool:
    if sys.platform != "linux":
        return False
    try:
        with open("/proc/self/clear_refs", "wb") as file:
            file.write(b"5")
    except OSError:
        return False
    return _has_mark()


@functools.lru_cache(maxsize=None)
def _has_mark() -> bool:
    return _mark() is not None


def _mark() -> int | None:
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(HIGH_WATER):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _life() -> int:
    """The most physical memory that this process ever held, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
