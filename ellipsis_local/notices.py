"""Warnings that point at the caller's own line, however deep in here they arise."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path

__all__ = ["warn"]

OURS = (str(Path(__file__).parent), contextlib.__file__)


def warn(text: str, category: type[Warning]) -> None:
    """Warn as if the first line outside of this package had."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
