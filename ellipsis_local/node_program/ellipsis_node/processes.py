"""Processes that a function starts: the host adopts them, and ends them with the compute."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Dict, Iterator, List, Tuple

KILL_SECONDS = 2.0
"""How long processes are looked for that start others faster than they are ended."""
TRACKER_SECONDS = 3.0
"""How long a resource tracker may take to remove what the others have left."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def end_with_parent() -> None:
    """Have this process killed when its parent ends, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every process below whose own has ended, on Linux: a daemon forks twice to have none."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_below(root: int) -> None:
    """End every process below `root`; resource trackers last, and by themselves.

    Those of multiprocessing and loky remove the semaphores, shared memory and folders of processes that were killed, as
    soon as none of these is left.
    """
    kill_below(root)
    trackers = [pid for pid in _below(root) if _is_tracker(pid)]
    end = time.monotonic() + TRACKER_SECONDS
    while trackers and time.monotonic() < end:
        time.sleep(0.005)
        living = _below(root)
        trackers = [pid for pid in trackers if pid in living]
    for pid in trackers:
        _kill(pid)


def kill_below(root: int) -> None:
    """Kill every process below `root` but resource trackers; what these start meanwhile, too."""
    end = time.monotonic() + KILL_SECONDS
    while time.monotonic() < end:
        found = [pid for pid in _below(root) if not _is_tracker(pid)]
        if not found:
            return
        for pid in found:
            _kill(pid)
        time.sleep(0.001)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _below(root: int) -> List[int]:
    """The living processes below `root`."""
    children: Dict[int, List[int]] = {}
    for pid, parent, state in _all_processes():
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found = list(children.get(root, ()))
    for pid in found:
        found += children.get(pid, ())
    return found


def _all_processes() -> Iterator[Tuple[int, int, str]]:
    """Of every process its id, its parent's, and the letter of its state."""
    if sys.platform != "linux":
        command = ["/bin/ps", "-A", "-o", "pid=,ppid=,state="]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for pid, parent, state in map(str.split, listed.splitlines()):
            yield int(pid), int(parent), state[0]
        return
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The second field is a name in brackets, which may hold anything.
                state, parent, *_ = file.read().rpartition(b")")[2].split()
                yield int(name), int(parent), state.decode()


def _is_tracker(pid: int) -> bool:
    """Whether it is a resource tracker; where that cannot be told, none is spared."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"resource_tracker" in file.read()
    return False
