"""Processes: who one is (an id alone is given to another after its end), how many may run, and waits for an end."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from ellipsis_local.clocks import monotonic

LOOK_SECONDS = 0.01
WATCH_SECONDS = 0.1
MOST_LOOKS = 50
KEPT_VARIABLES = ("HOME", "USER", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE")
KEPT_PREFIXES = ("LC_", "LD_", "DYLD_", "SSL_CERT", "NIX_SSL", "REQUESTS_CA", "CURL_CA", "OPENBLAS_", "MKL_", "NVIDIA_")
KEPT_SUFFIXES = ("_PROXY",)


def is_plain_variable(name: str) -> bool:
    """Whether code that is not the user's own may see a variable of this name: it says nothing of who they are."""
    return name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES) or name.upper().endswith(KEPT_SUFFIXES)


class ProcessMark(NamedTuple):
    """A process, for as long as it lives."""

    pid: int
    started: float
    """No other process of that id has the same; see `_started`."""

    @property
    def alive(self) -> bool:
        try:
            return _started(self.pid) == self.started and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False


def _started(pid: int) -> float:
    """When a process began, so told that setting the clock changes nothing of it.

    Linux counts ticks since the system's start, which has an id. Elsewhere the system notes the time of the moment.
    """
    if sys.platform != "linux":
        return psutil.Process(pid).create_time()
    # The name of a program may hold spaces and brackets.
    ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return float(_boot() << 36 | ticks)


@functools.cache
def _boot() -> int:
    """Some bits of the id of the system's start, so many that a float holds them with the ticks of 20 years."""
    return int(Path("/proc/sys/kernel/random/boot_id").read_text()[:4], 16)


@functools.cache
def _mark(pid: int) -> ProcessMark:
    return ProcessMark(pid, _started(pid))


def own_mark() -> ProcessMark:
    """This process; asked anew after a fork."""
    return _mark(os.getpid())


def descendants() -> list[psutil.Process]:
    """All processes below this one."""
    # Linux tells at once that there are none; to look through all processes of the machine takes milliseconds.
    direct = [*Path("/proc/self/task").glob("*/children")]
    with contextlib.suppress(OSError):
        if direct and not any(file.read_bytes() for file in direct):
            return []
    return psutil.Process().children(recursive=True)


STARTED = psutil.Process().create_time()
"""When this process began, or the one that it was forked from: no module was imported before."""


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process is bound to, and no more than the quotas of its control groups (a container's) give."""
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


def run(
    command: Sequence[str],
    seconds: float = math.inf,
    text: Any = None,
    *,
    over: Callable[[], bool] = lambda: False,
    around: Callable[[int], AbstractContextManager[None]] = lambda _: contextlib.nullcontext(),
    heard: Callable[[bytes], None] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run`: it ends what the program started, too, and its timeout passes under a frozen clock.

    The program is ended when `over` says so; `around` is entered with its id, which is also that of its group; `heard`
    gets its standard output (bytes, and the only pipe) as it comes.
    """
    groups: list[int] = []
    running: list[subprocess.Popen[Any]] = []
    future: Future[subprocess.CompletedProcess[Any]] = Future()
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())

    def work() -> None:
        try:
            # A group of its own: what it started holds the pipe as well, and goes on where only itself is ended.
            with subprocess.Popen(command, start_new_session=True, **options) as process, around(process.pid):
                groups.append(process.pid)
                running.append(process)
                output, errors = process.communicate(text) if heard is None else (_listen(process, heard), None)
                # What it started and did not wait for, because it was killed, for instance.
                _kill(groups)
            future.set_result(subprocess.CompletedProcess(command, process.returncode, output, errors))
        except BaseException as error:  # noqa: BLE001 - for the caller
            future.set_exception(error)

    left = seconds
    # Ctrl-C comes to the main thread only: no process can be lost between its start and its handle.
    try:
        threading.Thread(target=work, name="ellipsis_local-command", daemon=True).start()
        while not done.wait(WATCH_SECONDS):
            left -= WATCH_SECONDS
            # Whoever holds the pipes of a program that is gone would be waited for without end.
            if left <= 0 or over() or any(process.poll() is not None for process in running):
                _kill(groups)
    except BaseException:
        # The thread may be about to start it, or not have begun at all.
        for _ in range(MOST_LOOKS):
            _kill(groups)
            if done.wait(LOOK_SECONDS):
                break
        raise
    if left <= 0:
        raise subprocess.TimeoutExpired(command, seconds)
    return future.result()


def _listen(process: subprocess.Popen[bytes], heard: Callable[[bytes], None]) -> bytes:
    """All of its standard output, which may be told of before its end."""
    said = []
    assert process.stdout is not None  # noqa: S101 - the caller piped it
    while piece := os.read(process.stdout.fileno(), 65536):
        said.append(piece)
        heard(piece)
    return b"".join(said)


def _kill(groups: Sequence[int]) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def wait(process: subprocess.Popen[Any], seconds: float) -> None:
    """Until it has ended, or so long; the timeout of `Popen.wait` does not pass under a frozen clock."""
    end = monotonic() + seconds
    while process.poll() is None and monotonic() < end:
        time.sleep(LOOK_SECONDS)
