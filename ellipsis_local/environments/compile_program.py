"""Compile the bytecode of an environment; run by path under that environment's own Python, 3.9 and later.

    ENV/bin/python -I compile_program.py [--background] SITE_PACKAGES READY_FILE

It may be killed at any time: each file comes into view whole, and a missing one is compiled when it is imported.
It ends by itself when READY_FILE is gone, which is how the removal of an environment begins.
"""

from __future__ import annotations

import compileall
import os
import re
import signal
import sys
import time
from pathlib import Path

# The tests of pandas, numpy and others are two thirds of all files, and no script imports them.
LEFT_OUT = re.compile(r"[/\\]tests[/\\]")
TIME_LIMIT = 300

# Without this pause the worker that starts right after the build takes 0.3 s longer to import numpy.
PAUSE = 1.5


def order(path: Path) -> tuple[bool, str]:
    """What a worker imports last comes first: the worker starts now, and compiles numpy by itself."""
    return path.name == "numpy", path.name


def main(arguments: list[str]) -> None:
    """Compile package by package, for as long as the environment is there."""
    if "--background" in arguments:
        arguments.remove("--background")
        os.nice(19)
        signal.alarm(TIME_LIMIT)
        time.sleep(PAUSE)
    site, ready = arguments
    for path in sorted(Path(site).iterdir(), key=order):
        if not Path(ready).exists():
            return
        if path.suffix == ".py":
            compileall.compile_file(path, quiet=2)
        elif path.is_dir() and not path.name.endswith((".dist-info", ".libs", "__pycache__")):
            compileall.compile_dir(path, quiet=2, rx=LEFT_OUT)


if __name__ == "__main__":
    main(sys.argv[1:])
