"""Processes: who one is (an id alone is given to another after its end), and how many may run side by side."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path
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


STARTED = own_mark().started
"""When this process began, or the one that it was forked from: no module was imported before."""


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: those it is bound to, and no more than the quotas of its control groups give.

    A container with `--cpus 2` sees all cores of its host. `root` is where /proc and /sys lie.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([bound, *(max(1, math.ceil(quota)) for quota in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """The cores' worth of time that each control group above this process may take, where one is limited."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        version_1 = "cpu" in controllers.split(",")
        if controllers and not version_1:
            continue
        place = root / "sys/fs/cgroup" / ("cpu" if version_1 else "")
        own = place / path.lstrip("/")
        # A container may see its own group at the top, and be told its path on the host.
        for group in dict.fromkeys([own, *own.parents, place]):
            if group.is_relative_to(place):
                with contextlib.suppress(OSError, ValueError):
                    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if version_1 else ("cpu.max",)
                    quota, period = (word for name in names for word in (group / name).read_text().split())
                    if float(quota) > 0:
                        yield float(quota) / float(period)
