"""One execution: dispatch → collect → publish."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ellipsis_local import faults
from ellipsis_local.computes.kept import Keeper, replay_command
from ellipsis_local.computes.outputs import check_outputs, places
from ellipsis_local.computes.records import Record, Records
from ellipsis_local.errors import ArgumentError, ComputeStateError, EllipsisLocalError, NodeError
from ellipsis_local.home import Home
from ellipsis_local.inside.ellipsis_node.values import decode
from ellipsis_local.nodes import NodeOutcome, Pool
from ellipsis_local.store import LayerStore, NewFile

__all__ = ["Execution", "WriteTarget", "file_url"]

PROGRESS_SECONDS = 0.2
FORMATS: dict[str, Literal["raster", "vector"]] = {"tif": "raster", "gpkg": "vector"}


def file_url(compute_id: str, file_id: str) -> str:
    """How `execute` names one node's large result (seen in the client)."""
    return f"/compute/{compute_id}/file/{file_id}"


@dataclass(frozen=True)
class WriteTarget:
    """Where `writeToLayer` puts each node's file."""

    path_id: str
    timestamp_id: str
    format: str = "tif"

    def check(self, store: LayerStore) -> None:
        """ArgumentError where the layer does not exist or is not of the format's type."""
        wanted = FORMATS.get(self.format)
        if wanted is None:
            raise ArgumentError(
                f"writeToLayer: file.format must be 'tif' or 'gpkg', not {self.format!r}",
                argument="writeToLayer",
                value=self.format,
            )
        timestamp = store.timestamp(self.path_id, self.timestamp_id)
        if timestamp.type != wanted:
            raise ArgumentError(
                f"writeToLayer: layer {self.path_id} is a {timestamp.type} layer, and format {self.format!r} makes "
                f"{wanted} files; give a layer of that type, or the other format",
                argument="writeToLayer", value=self.path_id,
            )  # fmt: skip


class Execution:
    """The run of one function on the nodes of one compute."""

    def __init__(
        self,
        records: Records,
        store: LayerStore,
        home: Home,
        record: Record,
        number: int,
        target: WriteTarget | None,
        report: Callable[[str], None],
        keeper: Keeper,
        terminate: Callable[[], None],
        strict: bool = False,
    ) -> None:
        self._records = records
        self._store = store
        self._root = home.root
        self._keeper = keeper
        self._terminate = terminate
        self._strict = strict
        self._folder = home.compute(record.id)
        self._record = record
        self._number = number
        self._target = target
        self._report = report
        self._outcomes: dict[int, NodeOutcome] = {}
        self._stored: set[int] = set()
        self._last = time.monotonic()

    def run(
        self, use_pool: Callable[[], contextlib.AbstractContextManager[Pool]], function: dict[str, Any]
    ) -> list[Any]:
        """Carry it out; the values for the caller, in the order of the partitions."""
        large = self._record.spec["largeResult"] or self._target is not None
        try:
            with use_pool() as pool:
                self._break_off()
                pool.execute(self._number, function, large=large, on_outcome=self._collect)
            uploads = self._upload()
        except BaseException as error:
            self._interrupted(error)
            raise
        self._finish(uploads=uploads)
        return self._values(uploads)

    def _collect(self, outcome: NodeOutcome) -> None:
        """Keep an outcome; store those so far now and then, so that others can follow."""
        self._outcomes[outcome.node] = outcome
        self._keeper.keep(outcome)
        self._break_off()
        if time.monotonic() - self._last > PROGRESS_SECONDS:
            waiting = [o for node, o in self._outcomes.items() if node not in self._stored]
            self._records.progress(self._record.id, waiting)
            self._stored.update(o.node for o in waiting)
            self._last = time.monotonic()
            self._report(f"{len(self._outcomes)} of {self._record.spec['nodes']} nodes are done")

    def _break_off(self) -> None:
        """Terminate the compute where a test asks for that at this point."""
        if faults.terminates(self._root, len(self._outcomes)):
            self._terminate()

    def _upload(self) -> list[str]:
        """Add each node's file to the target layer, all or none, and only where every node has one."""
        if self._target is None or any(o.state == "failed" for o in self._outcomes.values()):
            return []
        files = [self._outcomes[node].file for node in sorted(self._outcomes)]
        nodes = self._records.nodes(self._record.id, results=False)
        place = places(self._record)
        outputs = [
            place(node.node, node.extent, self._folder / "results" / str(name))
            for node, name in zip(nodes, files, strict=True)
        ]
        check_outputs(outputs, FORMATS[self._target.format], strict=self._strict)
        added = self._store.add_files(
            self._target.path_id,
            self._target.timestamp_id,
            [
                NewFile(self._folder / "results" / str(name), f"{name}.{self._target.format}", self._target.format)
                for name in files
            ],
        )
        for name in files:
            (self._folder / "results" / str(name)).unlink(missing_ok=True)
        return list(added)

    def _interrupted(self, error: BaseException) -> None:
        """Leave a record that tells what was not done, and raise what tells the caller why."""
        text = str(error) if isinstance(error, EllipsisLocalError) else f"interrupted by {type(error).__name__}"
        nodes = range(self._record.spec["nodes"])
        if self._target is not None and len(self._outcomes) == len(nodes):
            lost = [NodeOutcome(n, "failed", self._outcomes[n].seconds, kind="result", text=text) for n in nodes]
        else:
            lost = [NodeOutcome(n, "failed", None, kind="engine", text=text) for n in nodes if n not in self._outcomes]
        self._outcomes |= {outcome.node: outcome for outcome in lost}
        for outcome in lost:
            self._keeper.keep(outcome)
        with contextlib.suppress(ComputeStateError):
            self._finish(text)
            return
        if isinstance(error, EllipsisLocalError):
            raise self._terminated() from error

    def _finish(self, message: str = "", uploads: list[str] | None = None) -> None:
        done = [self._outcomes[node] for node in sorted(self._outcomes)]
        failed = [o.node for o in done if o.state == "failed"]
        if failed and not message:
            message = f"{len(failed)} of {len(done)} nodes failed: {', '.join(map(str, failed))}"
        if not self._records.finish(self._record.id, done, message, uploads or ()):
            raise self._terminated()

    def _terminated(self) -> ComputeStateError:
        return ComputeStateError(
            f"compute {self._record.id} was terminated during the execution",
            compute_id=self._record.id,
            status="stopped",
        )

    def _values(self, uploads: list[str]) -> list[Any]:
        done = [self._outcomes[node] for node in sorted(self._outcomes)]
        errors: list[NodeError] = [o.error(self._record.id) for o in done if o.state == "failed"]
        if errors:
            failed = next(o.node for o in done if o.state == "failed")
            errors[0].add_note(f"run it again: {replay_command(self._root, self._record.id, failed)}")
            for other in errors[1:]:
                errors[0].add_note(f"node {other.node} failed, too; getComputeInfo shows all")
            raise errors[0]
        if self._target is not None:
            return list(uploads)
        if self._record.spec["largeResult"]:
            return [file_url(self._record.id, str(o.file)) for o in done]
        return [decode(o.payload) for o in done]
