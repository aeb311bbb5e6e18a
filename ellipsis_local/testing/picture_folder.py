"""Where pictures go for which nobody names a place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path


def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="ellipsis_local-invariance-"))


new_folder: ContextVar[Callable[[], Path]] = ContextVar("ellipsis_local_pictures", default=_temporary)
"""Makes a folder that stays when the test is over; the pytest plugin sets one of the run's own."""
