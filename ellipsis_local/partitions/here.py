"""Small cuts in the calling process: the same tasks, done by the same functions as in a helper process.

A helper costs the import of its libraries, most of a second; a small layer is cut in milliseconds.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Literal

from ellipsis_local.partitions.helper import perform
from ellipsis_local.partitions.helpers import Task, unwrap
from ellipsis_local.partitions.request import CutRequest
from ellipsis_local.partitions.tasks import is_small

Place = Literal["never", "rasters", "all"]
"""What may be cut here: rasters where this process has their library loaded, or whatever is small."""

KEEPERS = ("frames", "pixels")
"""Modules that keep something from one task to the next; a helper takes it along when it ends."""

_turn = threading.Lock()


def is_for_here(request: CutRequest, place: Place) -> bool:
    """Whether a request is to be cut in this process.

    Features are, on `rasters`, not: pandas has options that belong to the caller, and change what is read.
    """
    if place == "rasters" and (request.vectors or "rasterio" not in sys.modules):
        return False
    return place != "never" and is_small(request)


class Here:
    """In the place of `Helpers`. Tasks take turns in a process, because what they keep is kept by modules."""

    def __enter__(self) -> Here:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What this takes from another thread, that one reads again.
        with _turn:
            for name in KEEPERS:
                module = sys.modules.get(f"ellipsis_local.partitions.{name}")
                if module is not None:
                    module.forget()

    def run(self, tasks: Sequence[Task]) -> list[Task]:
        """See `Helpers.run`; tasks and answers are what JSON makes of them here, too."""
        import numpy as np

        # What the caller makes of NaN is not asked.
        with _turn, np.errstate(all="ignore"):
            return [json.loads(json.dumps(unwrap(perform(json.loads(json.dumps(task))), task))) for task in tasks]
