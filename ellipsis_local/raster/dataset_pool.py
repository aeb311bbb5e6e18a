"""Open raster files, kept for the next question.

Opening a file costs more than reading a tile of it, and GDAL keeps decoded blocks per open file. A GDAL dataset serves
one thread at a time, so each is lent out; who comes meanwhile opens another. What was given back last is lent first,
because its blocks are the ones still in memory.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellipsis_local.clocks import monotonic
from ellipsis_local.gdal_errors import reading
from ellipsis_local.raster.opening import OPTIONS, open_dataset
from ellipsis_local.raster.validity import Masks, masks_of

MOST_IDLE = 64
"""Open files that wait; the one that waited longest is closed."""
IDLE_SECONDS = 60.0
LOOK_SECONDS = 1.0
"""How often waiting files are looked at: those unused for IDLE_SECONDS, or deleted, are closed."""


@dataclass(frozen=True)
class OpenRaster:
    """An open file with what reading it asks again and again."""

    dataset: Any
    masks: Masks
    overviews: tuple[int, ...]
    """By how much each shrinks the file."""


class DatasetPool:
    """The open files of one process. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Location, file, and when it was given back; the newest last.
        self._idle: list[tuple[str, OpenRaster, float]] = []
        self._looked = 0.0
        self._closed = False

    @contextlib.contextmanager
    def lent(self, location: str) -> Iterator[OpenRaster]:
        """The file at `location`, open, for this thread alone; LayerError where it cannot be opened or read."""
        import rasterio

        with reading(location), rasterio.Env(**OPTIONS):
            source = self._taken(location) or opened(location)
            try:
                yield source
            except BaseException:
                source.dataset.close()
                raise
            self._given_back(location, source)

    def release(self) -> None:
        """Close the files that wait, so that deleted ones are gone from the disk as well."""
        with self._lock:
            waiting, self._idle = self._idle, []
        for _, source, _ in waiting:
            source.dataset.close()

    def close(self) -> None:
        """Close the files that wait, and those that are lent when they come back."""
        self._closed = True
        self.release()

    def _taken(self, location: str) -> OpenRaster | None:
        with self._lock:
            for i in reversed(range(len(self._idle))):
                if self._idle[i][0] == location:
                    return self._idle.pop(i)[1]
        return None

    def _given_back(self, location: str, source: OpenRaster) -> None:
        now = monotonic()
        with self._lock:
            self._idle.append((location, source, now))
            stale = self._stale(now)
        for one in stale:
            one.dataset.close()

    def _stale(self, now: float) -> list[OpenRaster]:
        """Take out what need not stay open."""
        look = now - self._looked > LOOK_SECONDS
        self._looked = now if look else self._looked
        surplus = len(self._idle) - MOST_IDLE
        kept, gone = [], []
        for i, (location, source, since) in enumerate(self._idle):
            unused = look and (now - since > IDLE_SECONDS or not still_there(location))
            if self._closed or i < surplus or unused:
                gone.append(source)
            else:
                kept.append((location, source, since))
        self._idle = kept
        return gone


def still_there(location: str) -> bool:
    """Whether the file is there, or the archive that it lies in; what is no plain path counts as there."""
    path = Path(location.removeprefix("/vsizip"))
    return not path.is_absolute() or path.exists() or any(parent.is_file() for parent in path.parents)


def opened(location: str) -> OpenRaster:
    import rasterio

    # A tile lies in up to four blocks of a file: drivers that can decode them at the same time.
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
        dataset = open_dataset(location, sharing=False)
    try:
        return OpenRaster(dataset, masks_of(dataset), tuple(dataset.overviews(1)))
    except BaseException:
        dataset.close()
        raise
