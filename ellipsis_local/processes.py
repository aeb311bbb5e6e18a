"""Who a process is: its id alone is given to another one after it has ended."""

from __future__ import annotations

import functools
import os
from typing import NamedTuple

import psutil

__all__ = ["ProcessMark", "own_mark"]


class ProcessMark(NamedTuple):
    """A process, for as long as it lives."""

    pid: int
    started: float

    @property
    def alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 0.01 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@functools.cache
def _mark(pid: int) -> ProcessMark:
    return ProcessMark(pid, psutil.Process(pid).create_time())


def own_mark() -> ProcessMark:
    """This process; asked anew after a fork."""
    return _mark(os.getpid())
