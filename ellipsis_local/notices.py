"""Warnings that point at the caller's own line, however deep in here they arise, or are held back for a caller."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from ellipsis_local.progress import BAR

OURS = (str(Path(__file__).parent), contextlib.__file__)

Notice = tuple[str, type[Warning]]
"""Text and category."""

_held: ContextVar[list[Notice] | None] = ContextVar("ellipsis_local_notices", default=None)


def warn(text: str, category: type[Warning]) -> None:
    """Warn as if the first line outside of this package had."""
    held = _held.get()
    if held is not None:
        held.append((text, category))
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame, level = frame.f_back, level + 1
    with BAR.hidden():
        warnings.warn(text, category, stacklevel=level)


@contextlib.contextmanager
def held_back() -> Iterator[list[Notice]]:
    """Collect what this thread alone would warn of: in the background there is no caller's line to point at."""
    notices: list[Notice] = []
    token = _held.set(notices)
    try:
        yield notices
    finally:
        _held.reset(token)
