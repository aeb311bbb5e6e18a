"""Runs scripts, each in a process of its own, after importing the client once: that takes longer than most scripts.

The arguments are folders, each with a `script.py`; what it prints goes to `printed` beside it. Three run at a time, and the
return code is the number of those that failed.
"""

import os
import runpy
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import ellipsis  # noqa: F401 - so that the scripts find it imported

AT_ONCE = 3


def start(folder: str) -> int:
    """Run one script in a child; its process id."""
    if child := os.fork():
        return child
    code = 1
    try:
        os.chdir(folder)
        sys.argv = ["script.py"]
        with Path("printed").open("w", buffering=1) as printed, redirect_stdout(printed), redirect_stderr(printed):
            try:
                runpy.run_path("script.py", run_name="__main__")
                code = 0
            except BaseException:  # noqa: BLE001 - whatever a script raises is printed, as Python does it
                traceback.print_exc()
    finally:
        os._exit(code)


waiting, running, failed = sys.argv[1:], set(), 0
while waiting or running:
    while waiting and len(running) < AT_ONCE:
        running.add(start(waiting.pop(0)))
    ended, status = os.wait()
    running.discard(ended)
    failed += status != 0
sys.exit(failed)
