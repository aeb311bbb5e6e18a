"""What tests ask of processes, which may end between two questions."""

from __future__ import annotations

import psutil


def lives(process: psutil.Process | int) -> bool:
    """Whether a process, or the one with an id, runs; one that has ended and is not waited for does not."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> list[str]:
    """The words that it was started with; none where it has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
