"""Layers and files that a compute asks for and the home lacks: fetched before the compute is specified."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ellipsis_local.computes.records import Records
from ellipsis_local.computes.specification import ComputeRequest, Lacking
from ellipsis_local.errors import ComputeStateError
from ellipsis_local.ids import as_uuid
from ellipsis_local.store import LayerStore

Fetch = Callable[[str, str | None, Callable[[str, bool], None], Callable[[], None]], None]
"""Brings a path (None), or one of its timestamps, into the home; its third argument takes a text on how far it is, and
whether the next one replaces that; its fourth is called often, and what both raise ends it."""


def lacking(request: ComputeRequest, store: LayerStore) -> Lacking:
    """What of a request is not in the home, in the order in which it is asked for, each once."""
    found: dict[tuple[str, str | None], None] = {}
    for path_id, timestamp_id in request.layers:
        path = store.catalogue.find_path(as_uuid("pathId", path_id))
        # A path that has no timestamps at all cannot be given one: that is for `specify` to say.
        layered = path is None or path.type in ("raster", "vector")
        if layered and store.catalogue.find_timestamp(as_uuid("timestampId", timestamp_id)) is None:
            found[as_uuid("pathId", path_id), as_uuid("timestampId", timestamp_id)] = None
    for path_id in request.files:
        canonical = as_uuid("files", path_id)
        if store.catalogue.find_path(canonical) is None:
            found[canonical, None] = None
    return tuple(found)


@dataclass
class Follower:
    """Who wants to know how far a fetch is: the record of the compute, once there is one, and the caller."""

    records: Records
    report: Callable[[str], None]
    closed: threading.Event
    compute_id: str | None = None
    last: str = ""

    def follow(self, compute_id: str) -> str:
        """From now on also tell this record, beginning with what was told last; its id."""
        self.compute_id = compute_id
        if self.last:
            self.records.say(compute_id, self.last)
        return compute_id

    def tell(self, text: str, passing: bool) -> None:
        """Say it in the record; steps, and not numbers, also go to whoever follows this process."""
        self.check()
        self.last = text
        if self.compute_id is not None:
            self.records.say(self.compute_id, text)
        if not passing:
            self.report(text)

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
