"""The running workers of this process: a cache, kept in step with the records that other processes change."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeVar

from ellipsis_local.computes.records import Records
from ellipsis_local.errors import EllipsisLocalError, EngineError, StoreError
from ellipsis_local.nodes import Pool

T = TypeVar("T")

MOST_POOLS = 8
"""Of computes that wait; one more ends the workers of the one that has waited longest."""
WATCH_SECONDS = 0.2


class Pools:
    """At most one pool per compute in this process; other processes may hold their own."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._pools: OrderedDict[str, Pool] = OrderedDict()
        self._busy: dict[str, Callable[[], None]] = {}
        """Of computes that are in use what stores how far they are."""
        self._lock = threading.Lock()
        self._starting: dict[str, threading.Lock] = {}
        self._end = threading.Event()
        self._watcher: threading.Thread | None = None
        self._later: list[Callable[[], object]] = []
        """What could not be stored."""

    @contextlib.contextmanager
    def use(
        self, compute_id: str, start: Callable[[], Pool], progress: Callable[[], None] = lambda: None
    ) -> Iterator[Pool]:
        """The compute's pool, started where this process has none; it is not closed for room while in use.

        Meanwhile `progress` is called every WATCH_SECONDS, in a thread that serves all pools.
        """
        with self._lock:
            starting = self._starting.setdefault(compute_id, threading.Lock())
        with starting:
            pool = self._living(compute_id)
            if pool is None:
                pool = self._start(compute_id, start)
            with self._lock:
                self._busy[compute_id] = progress
        try:
            yield pool
        finally:
            with self._lock:
                self._busy.pop(compute_id, None)

    def _living(self, compute_id: str) -> Pool | None:
        with self._lock:
            pool = self._pools.get(compute_id)
            if pool is not None and pool.alive:
                self._pools.move_to_end(compute_id)
                return pool
        self.close(compute_id)
        return None

    def _start(self, compute_id: str, start: Callable[[], Pool]) -> Pool:
        self._check_open(compute_id)
        pool = start()
        try:
            self._records.add_pool(compute_id)
            with self._lock:
                self._check_open(compute_id)
                self._pools[compute_id] = pool
                idle = [key for key in self._pools if key not in self._busy and key != compute_id]
                self._start_watching()
        except BaseException:
            pool.close()
            with contextlib.suppress(EllipsisLocalError):
                self._records.remove_pool(compute_id)
            raise
        for key in idle[: max(0, len(self._pools) - MOST_POOLS)]:
            self.close(key)
        return pool

    def _start_watching(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="ellipsis_local-pools", daemon=True)
            self._watcher.start()

    def store(self, change: Callable[[], T]) -> T:
        """Make a change of the records; where they cannot take it (a full disk), also as soon as they can."""
        try:
            return change()
        except StoreError as error:
            with self._lock:
                self._later.append(change)
                self._start_watching()
            raise StoreError(f"{error}; what has come about is stored as soon as that is possible") from error

    def _store_later(self) -> None:
        """What could not be stored before, in its order."""
        while self._later:
            self._later[0]()
            del self._later[0]

    def _check_open(self, compute_id: str) -> None:
        if self._end.is_set():
            raise EngineError(f"the nodes of compute {compute_id} are not started: the emulator was closed meanwhile")

    def close(self, compute_id: str) -> None:
        """End this process's workers of the compute, if it has any."""
        with self._lock:
            pool = self._pools.pop(compute_id, None)
        if pool is not None:
            pool.close()
            self._records.remove_pool(compute_id)

    def _watch(self) -> None:
        """Store how far executions are, and end the workers of computes that another process ended."""
        while not self._end.wait(WATCH_SECONDS):
            # As long as there is no room.
            with contextlib.suppress(EllipsisLocalError):
                self._store_later()
            with self._lock:
                held, busy = list(self._pools), list(self._busy.values())
            for progress in busy:
                # Where nothing can be stored, the end of the execution says so.
                with contextlib.suppress(EllipsisLocalError):
                    progress()
            if not held:
                continue
            # The home may be deleted under a process that is about to end; its next call will say so.
            with contextlib.suppress(EllipsisLocalError):
                statuses = self._records.statuses(held)
                for compute_id in held:
                    if statuses.get(compute_id, "stopped") in ("stopping", "stopped", "errored"):
                        self.close(compute_id)

    def close_all(self) -> None:
        """End all workers of this process; the computes stay and can be used again."""
        with self._lock:
            self._end.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
        with contextlib.suppress(EllipsisLocalError):
            self._store_later()
        for compute_id in list(self._pools):
            with contextlib.suppress(EllipsisLocalError):
                self.close(compute_id)
