"""Processes: who one is (an id alone is given to another after its end), and how many may run side by side."""

from __future__ import annotations

import functools
import os
from typing import NamedTuple

import psutil


class ProcessMark(NamedTuple):
    """A process, for as long as it lives."""

    pid: int
    started: float

    @property
    def alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 0.01
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@functools.cache
def _mark(pid: int) -> ProcessMark:
    return ProcessMark(pid, psutil.Process(pid).create_time())


def own_mark() -> ProcessMark:
    """This process; asked anew after a fork."""
    return _mark(os.getpid())


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
