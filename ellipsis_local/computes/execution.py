"""One execution: dispatch → collect → publish."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ellipsis_local.clocks import monotonic
from ellipsis_local.computes.records import Record, Records
from ellipsis_local.computes.replay_inputs import Keeper, replay_command
from ellipsis_local.computes.results import file_url
from ellipsis_local.computes.validate_outputs import add_outputs, places
from ellipsis_local.errors import ArgumentError, ComputeStateError, EllipsisLocalError
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeFunction
from ellipsis_local.nodes import NodeOutcome, Pool, node_error, node_value
from ellipsis_local.notebooks import name_cells
from ellipsis_local.progress import OnProgress, Progress
from ellipsis_local.store import LayerStore

PROGRESS_SECONDS = 0.2
SHOWN_FAILURES = 3
"""How many different failures an error tells of, besides its own."""
FORMATS: dict[str, Literal["raster", "vector"]] = {"tif": "raster", "gpkg": "vector"}


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
            text = f"writeToLayer: file.format must be 'tif' or 'gpkg', not {self.format!r}"
            raise ArgumentError(text, argument="writeToLayer", value=self.format)
        found = store.timestamp(self.path_id, self.timestamp_id).type
        if found != wanted:
            reason = f"is a {found} layer, and format {self.format!r} makes {wanted} files"
            text = f"writeToLayer: layer {self.path_id} {reason}; give a layer of that type, or the other format"
            raise ArgumentError(text, argument="writeToLayer", value=self.path_id)


def name_and_hash(f: Any, function: NodeFunction) -> tuple[str | None, str]:
    """What the history calls a function: the name of its def, None for a pickle that a client sent; and its hash."""
    digest = hashlib.sha256((function.text or function.pickle).encode()).hexdigest()
    return getattr(f, "__name__", function.name), digest


@dataclass
class Execution:
    """The run of one function on the nodes of one compute."""

    records: Records
    store: LayerStore
    home: Home
    record: Record
    number: int
    large: bool
    target: WriteTarget | None
    report: OnProgress
    keeper: Keeper
    strict: bool
    store_change: Callable[[Callable[[], bool]], bool]
    """Makes a change of the records, later where they cannot take it now."""
    failed_status: str = "completed"
    status: str = "completed"
    """What the compute is once this is over."""
    outcomes: dict[int, NodeOutcome] = field(default_factory=dict)
    began: dict[int, float] = field(default_factory=dict)
    """When nodes began to run."""
    stored: set[tuple[int, bool]] = field(default_factory=set)
    """Nodes of which others know that they began, or (True) how they ended."""
    storing: threading.Lock = field(default_factory=threading.Lock)
    over: bool = False
    first: float = field(default_factory=monotonic)
    last: float = field(default_factory=monotonic)

    @property
    def unit(self) -> str:
        return self.record.spec.unit

    @property
    def done(self) -> list[NodeOutcome]:
        """The outcomes so far, in the order of the partitions."""
        return [self.outcomes[node] for node in sorted(self.outcomes)]

    def run(self, use_pool: Callable[[], contextlib.AbstractContextManager[Pool]], function: NodeFunction) -> list[Any]:
        """Carry it out; the values for the caller, in the order of the partitions."""
        try:
            with use_pool() as pool:
                pool.execute(Command(self.number, function, self.large), self._collect, self._started)
            uploads = self._upload()
        except BaseException as error:
            self._interrupted(error)
            raise
        self._finish(uploads=uploads)
        return self._values(uploads)

    def _started(self, node: int) -> None:
        """Note that a node has begun to run; in any thread."""
        self.began[node] = self.records.seconds()

    def _collect(self, outcome: NodeOutcome) -> None:
        """Keep an outcome, and say now and then how many there are."""
        # One that is over at once is not announced.
        self.began.setdefault(outcome.node, self.records.seconds())
        # Whoever reads it later does not know this process's cells.
        outcome = replace(outcome, text=name_cells(outcome.text))
        self.outcomes[outcome.node] = outcome
        self.keeper.keep(outcome)
        if monotonic() - self.last > PROGRESS_SECONDS:
            self.last = monotonic()
            done, total = len(self.outcomes), self.records.partitions(self.record)
            self.report(Progress(f"{done} of {total} {self.unit}s are done", done, total))

    def progress(self) -> None:
        """Store what is new, so that others can follow; whoever watches the pools calls it from time to time."""
        with self.storing:
            # Copied at once: other threads add to them.
            outcomes, began = dict(self.outcomes), dict(self.began)
            ended = [o for node, o in outcomes.items() if (node, True) not in self.stored]
            begun = {node: when for node, when in began.items() if (node, False) not in self.stored}
            if not self.over and (ended or begun):
                self.records.progress(self.record.id, ended, begun)
                self.stored.update((o.node, True) for o in ended)
                self.stored.update((node, False) for node in begun)

    def _upload(self) -> list[str]:
        """Add each node's file to the target layer, all or none, and only where every node has one."""
        if self.target is None or any(o.state == "failed" for o in self.outcomes.values()):
            return []
        folder, place, form = self.home.compute(self.record.id) / "results", places(self.record), self.target.format
        paths = [folder / str(outcome.file) for outcome in self.done]
        nodes = self.records.nodes(self.record.id, results=False)
        outputs = [place(node.node, node.extent, path) for node, path in zip(nodes, paths, strict=True)]
        target = self.target.path_id, self.target.timestamp_id
        added = add_outputs(self.store, *target, [outputs], form, strict=self.strict, report=self.report)
        for path in paths:
            path.unlink(missing_ok=True)
        return list(added)

    def _interrupted(self, error: BaseException) -> None:
        """Leave a record that tells what was not done, and raise what tells the caller why."""
        if isinstance(error, ComputeStateError) and error.status == "errored":
            self.status = "errored"
        text = str(error) if isinstance(error, EllipsisLocalError) else f"interrupted by {type(error).__name__}"
        nodes = range(self.records.partitions(self.record))
        if self.target is not None and len(self.outcomes) == len(nodes):
            lost = [NodeOutcome(n, "failed", self.outcomes[n].seconds, kind="result", text=text) for n in nodes]
        else:
            lost = [NodeOutcome(n, "failed", None, kind="engine", text=text) for n in nodes if n not in self.outcomes]
        self.outcomes |= {outcome.node: outcome for outcome in lost}
        for outcome in lost:
            self.keeper.keep(outcome)
        with contextlib.suppress(ComputeStateError):
            self._finish(text)
            return
        if isinstance(error, EllipsisLocalError):
            raise self._terminated() from error

    def _finish(self, message: str = "", uploads: list[str] | None = None) -> None:
        failed = [o for o in self.done if o.state == "failed"]
        if failed and self.failed_status == "errored":
            # The client raises the message, and looks at no results then.
            self.status, message = "errored", message or str(node_error(self.record.id, failed[0], self.unit))
        if failed and not message:
            message = f"{len(failed)} of {len(self.done)} {self.unit}s failed: {_numbers(failed)}"
        with self.storing:
            self.over = True
        seconds = monotonic() - self.first
        end = self.record.id, self.done, message, uploads or (), self.began, seconds, self.status
        if not self.store_change(lambda: self.records.finish(*end)):
            raise self._terminated()

    def _terminated(self) -> ComputeStateError:
        text = f"compute {self.record.id} was terminated during the execution"
        return ComputeStateError(text, compute_id=self.record.id, status="stopped")

    def _values(self, uploads: list[str]) -> list[Any]:
        failed = [o for o in self.done if o.state == "failed"]
        if failed:
            error = node_error(self.record.id, failed[0], self.unit)
            error.add_note(f"run it again: {replay_command(self.home.root, self.record.id, failed[0].node)}")
            for note in _alike(failed, self.unit):
                error.add_note(note)
            raise error
        if self.target is not None:
            return list(uploads)
        if self.large:
            return [file_url(self.record.id, str(o.file)) for o in self.done]
        return [node_value(self.record.id, o, self.unit) for o in self.done]


def _alike(failed: Sequence[NodeOutcome], unit: str) -> Iterator[str]:
    """What is told of failures besides the first one: equal ones as one, and of others the line that names them."""
    alike: dict[str, list[NodeOutcome]] = {}
    for outcome in failed:
        alike.setdefault(outcome.text, []).append(outcome)
    first, *others = alike.values()
    if len(first) > 1:
        yield f"{unit}s {_numbers(first)} failed the same way"
    for same in others[:SHOWN_FAILURES]:
        plural = "s" if len(same) > 1 else ""
        yield f"{unit}{plural} {_numbers(same)} failed, too: {same[0].text.rpartition(chr(10))[2]}"
    if rest := sum(map(len, others[SHOWN_FAILURES:])):
        yield f"{rest} more {unit}s failed; getComputeInfo shows all"


def _numbers(outcomes: Sequence[NodeOutcome]) -> str:
    """Their nodes, those in a row as one: '0 to 7, 9'."""
    rows: list[list[int]] = []
    for outcome in outcomes:
        if rows and rows[-1][-1] == outcome.node - 1:
            rows[-1].append(outcome.node)
        else:
            rows.append([outcome.node])
    return ", ".join(f"{row[0]} to {row[-1]}" if len(row) > 2 else ", ".join(map(str, row)) for row in rows)
