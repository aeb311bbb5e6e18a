"""The limit `node_memory`."""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import threading
from typing import Iterator

__all__ = ["MEMORY_EXIT", "memory_limit"]

MEMORY_EXIT = 77
"""Exit code of a worker that its own watch ended."""


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
    import resource

    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        return
    # Elsewhere the kernel does not keep to such a limit: a thread watches, and ends the process.
    stop = threading.Event()
    unit = 1 if sys.platform == "darwin" else 1024
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def watch() -> None:
        while not stop.wait(0.05):
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit > start + limit:
                os._exit(MEMORY_EXIT)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
