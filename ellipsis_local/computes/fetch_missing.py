"""Layers and files that a compute asks for and the home lacks: fetched before the compute is specified."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ellipsis_local.computes.records import Records
from ellipsis_local.errors import ComputeStateError
from ellipsis_local.progress import OnProgress, Progress

Fetch = Callable[[str, str | None, OnProgress, Callable[[], None]], None]
"""Brings a path (None), or one of its timestamps, into the home; its third argument is told how far it is, its fourth
is called often, and what both raise ends it."""


@dataclass
class Follower:
    """Who wants to know how far a fetch is: the record of the compute, once there is one, and the caller."""

    records: Records
    report: OnProgress
    closed: threading.Event
    compute_id: str | None = None
    last: str = ""

    def follow(self, compute_id: str) -> str:
        """From now on also tell this record, beginning with what was told last; its id."""
        self.compute_id = compute_id
        if self.last:
            self.records.say(compute_id, self.last)
        return compute_id

    def tell(self, step: Progress) -> None:
        """Say it in the record, and to whoever follows this process."""
        self.check()
        self.last = str(step)
        if self.compute_id is not None:
            self.records.say(self.compute_id, self.last)
        self.report(step)

    def check(self) -> None:
        """ComputeStateError where nobody waits for the layers any more."""
        if self.closed.is_set():
            text = "the emulator was closed while layers were being pulled; what was fetched is kept"
            raise ComputeStateError(text, compute_id=self.compute_id, status="queued")
        if self.compute_id is None:
            return
        status = self.records.statuses([self.compute_id]).get(self.compute_id)
        if status != "queued":
            text = f"compute {self.compute_id} was terminated while its layers were being pulled"
            raise ComputeStateError(text, compute_id=self.compute_id, status=status or "stopped")
