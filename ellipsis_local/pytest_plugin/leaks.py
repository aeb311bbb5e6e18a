"""What a test leaves behind: processes, threads and open files that were not there before it."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from typing import NamedTuple

import psutil

PATIENCE_SECONDS = 2.0
"""What a test ended may take a moment to be gone; what it forgot stays."""
STEP_SECONDS = 0.01
TOOLS = ("pydevd", "tqdm", "execnet", "pytest")
"""Beginnings of the names of threads that tools start at some moment and keep."""
LIBRARIES = (
    *(f"{prefix.rstrip(os.sep)}{os.sep}" for prefix in {sys.prefix, sys.base_prefix}),
    "/dev/",
    "/proc/",
    "/sys/",
)
"""Folders whose files libraries keep open, such as PROJ its database, and what the system shows as files."""


class _Held(NamedTuple):
    processes: dict[tuple[int, float], str]
    """By id and start time: the command."""
    threads: set[threading.Thread]
    files: dict[int, str]
    """By descriptor: the file."""


def _processes() -> dict[tuple[int, float], str]:
    found = {}
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.status() != psutil.STATUS_ZOMBIE:
                found[child.pid, child.create_time()] = " ".join(child.cmdline())[:200]
    return found


def _files() -> dict[int, str]:
    if sys.platform == "linux":
        found = {}
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a Path per descriptor takes longer than all the rest
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
                # Pipes and sockets have no paths.
                if target.startswith("/") and not target.startswith(("/memfd:", *LIBRARIES)):
                    found[int(name)] = target
        return found
    opened = psutil.Process().open_files()
    return {file.fd: file.path for file in opened if not file.path.startswith(LIBRARIES)}


def _held() -> _Held:
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith(TOOLS)}
    return _Held(_processes(), threads, _files())


class Leaks:
    """Made before a test; `left` tells afterwards what is there that was not."""

    def __init__(self) -> None:
        self._before = _held()

    def left(self) -> list[str]:
        """A line for each process, thread and open file that is left, after a short patience."""
        end = time.monotonic() + PATIENCE_SECONDS
        found = self._found()
        if found:
            gc.collect()
        while found and time.monotonic() < end:
            time.sleep(STEP_SECONDS)
            found = self._found()
        return found

    def _found(self) -> list[str]:
        now, before = _held(), self._before
        return [
            *(f"process {key[0]}: {command}" for key, command in now.processes.items() if key not in before.processes),
            *(f"thread {thread.name!r}" for thread in now.threads - before.threads if thread.is_alive()),
            *(
                f"open file {path} (descriptor {descriptor})"
                for descriptor, path in now.files.items()
                if before.files.get(descriptor) != path
            ),
        ]
