"""What a test leaves behind: processes, threads and open files that were not there before it."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Hashable

import psutil

from ellipsis_local.clocks import monotonic

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


Held = dict[Hashable, str]
"""What is there: what tells one from another, and a line about it."""


def _processes() -> Held:
    found: Held = {}
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.status() != psutil.STATUS_ZOMBIE:
                command = " ".join(child.cmdline())[:200]
                found[child.pid, child.create_time()] = f"process {child.pid}: {command}"
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


def _held() -> Held:
    threads = (thread for thread in threading.enumerate() if not thread.name.startswith(TOOLS))
    return {
        **_processes(),
        **{thread: f"thread {thread.name!r}" for thread in threads},
        **{file: f"open file {file[1]} (descriptor {file[0]})" for file in _files().items()},
    }


class Leaks:
    """Made before a test; `left` tells afterwards what is there that was not."""

    def __init__(self) -> None:
        self._before = _held()

    def left(self) -> list[str]:
        """A line for each process, thread and open file that is left, after a short patience."""
        end = monotonic() + PATIENCE_SECONDS
        found = self._found()
        if found:
            gc.collect()
        while found and monotonic() < end:
            time.sleep(STEP_SECONDS)
            found = self._found()
        return found

    def _found(self) -> list[str]:
        return [line for key, line in _held().items() if key not in self._before]
