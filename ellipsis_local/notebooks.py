"""Notebooks: which cell a line stands in, and a line below a cell that tells how far it is."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from typing import Any

FRAME = re.compile(r'File "([^"\n]+)", line')


def find_shell() -> Any:
    """IPython's shell of this process; None where there is none."""
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


def name_cells(text: str) -> str:
    """A traceback with the cells of this notebook as they are numbered there, in the place of the names of files."""
    # Other kernels have a shell, too, which need not be as much like IPython's.
    name_of = getattr(getattr(find_shell(), "compile", None), "format_code_name", None)
    if name_of is None:
        return text

    def named(match: re.Match[str]) -> str:
        cell = name_of(match[1])
        return match[0] if cell is None else "{} {}, line".format(*cell)

    return FRAME.sub(named, text)


class StatusLine:
    """One line below the running cell, which the next one replaces; gone when the work is done. Nothing elsewhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works = 0
        self._shown: Any = None

    @contextlib.contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Show it, and what `show` is told meanwhile, by any thread."""
        with self._lock:
            self._works += 1
        self.show(text)
        try:
            yield
        finally:
            with self._lock:
                self._works -= 1
                if not self._works and self._shown is not None:
                    # The empty HTML takes no room in the page, as an empty text would.
                    self._shown.update({"text/plain": "", "text/html": ""}, raw=True)
                    self._shown = None

    def show(self, text: str) -> None:
        """Replace the line, as long as there is somebody who waits."""
        if getattr(find_shell(), "kernel", None) is None:
            return
        display = import_module("IPython.display").display

        with self._lock:
            line = {"text/plain": f"ellipsis_local: {text}"}
            if self._works and self._shown is None:
                self._shown = display(line, raw=True, display_id=True)
            elif self._works:
                self._shown.update(line, raw=True)
