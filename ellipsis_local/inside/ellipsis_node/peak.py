"""The peak memory of a node."""

from __future__ import annotations

import sys
from typing import Callable, Optional

__all__ = ["watch_peak"]

HIGH_WATER = b"VmHWM:"


def watch_peak() -> Callable[[], Optional[int]]:
    """Begin to watch; what is returned tells the most physical memory that this process held since, in bytes.

    The process and not the function: the interpreter, imported libraries and the partition count, as far as they are in
    memory, also where processes share the pages. Processes that the function starts do not count.

    On Linux the kernel's mark (VmHWM) is set back when a node begins. Where that is forbidden, and on macOS, there is
    only the mark of the process's whole life: it is told where this node moved it, and None where an earlier one of the
    same worker had gone higher.
    """
    if _set_back():
        return _mark
    before = _life()

    def grown() -> Optional[int]:
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
    return _mark() is not None


def _mark() -> Optional[int]:
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(HIGH_WATER):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _life() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
