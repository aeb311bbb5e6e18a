"""The life of a compute: describe → start → execute → terminate, each step durable in `Records`."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ellipsis_local import faults
from ellipsis_local.clocks import monotonic
from ellipsis_local.computes.compute_json import returned
from ellipsis_local.computes.execution import Execution, WriteTarget, name_and_hash
from ellipsis_local.computes.fetch_missing import Fetch, Follower
from ellipsis_local.computes.inputs import found_inputs, named_parts, node_environment
from ellipsis_local.computes.pools import Pools
from ellipsis_local.computes.records import Record, Records
from ellipsis_local.computes.replay_inputs import ExecutionInputs, Keeper
from ellipsis_local.computes.specification import (
    ComputeRequest,
    Specification,
    check_but,
    check_columns,
    find_lacking,
    provisional,
    specify,
)
from ellipsis_local.environments import Commands, Environment, Environments
from ellipsis_local.errors import ComputeStateError, EllipsisLocalError, LayerWarning, PixelWarning, StoreError
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.block_hosts import closed_hosts
from ellipsis_local.node_program.ellipsis_node.records import NodeFile, NodeFunction
from ellipsis_local.nodes import Engine, NodeEnvironment, Place, Pool, Program, Sent, describe_function, describe_sent
from ellipsis_local.notices import Notice, held_back, warn
from ellipsis_local.partitions import CutRequest, Partitioning, Partitions
from ellipsis_local.preflight import Surroundings, check_pixels, is_unsigned, read_source
from ellipsis_local.progress import OnProgress, Progress
from ellipsis_local.settings import Settings
from ellipsis_local.store import LayerStore

TERMINATE_SECONDS = 30
PATIENCE_SECONDS = 0.5
"""How long `create(wait=False)` holds a request against this machine before it goes on behind the answer."""

NOT_READY = {
    "queued": "is still being started; wait until getComputeInfo shows 'available'",
    "starting": "is still being started; wait until getComputeInfo shows 'available'",
    "executing": "is executing; wait until getComputeInfo shows 'completed'",
    "errored": "is errored; its message tells why, and a new createCompute is needed",
    "stopping": "is being terminated; create a new one",
    "stopped": "has been terminated; create a new one",
}


T = TypeVar("T")


def warn_of_pixels(function: NodeFunction, around: Surroundings) -> None:
    """Tell of arithmetic that surprises, where the layers are known to be such that it does."""
    if function.source and any(map(is_unsigned, (around.dtypes or {}).values())):
        source = read_source(function.source, function.filename or "", function.line)
        for finding in check_pixels(source, around):
            warn(str(replace(finding, function=source.name, file=source.file)), PixelWarning)


def _submit(name: str, work: Callable[[], T]) -> Future[T]:
    """Do it in a thread of that name, which nobody has to wait for, not even at the end of the process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - for whoever asks
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


@dataclass(eq=False)
class Computes:
    """All computes of one home, seen from one process."""

    _home: Home
    _settings: Settings
    records: Records
    _store: LayerStore
    _environments: Environments
    _partitions: Partitions
    _engine: Engine
    _report: OnProgress
    _fetch: Fetch | None = None

    def __post_init__(self) -> None:
        self._closed = threading.Event()
        self._pools = Pools(self.records)

    def create(self, request: ComputeRequest, owner: str, *, wait: bool) -> str:
        """Make a compute; its id, when it is `available`, or without `wait` within a second; the record tells on."""
        check_columns(request, self._settings)
        follower = Follower(self.records, self._report, self._closed)
        if wait:
            specification = self._specify(request, follower)
            compute_id = self.records.create(owner, specification)
            self._start(compute_id, specification)
            return compute_id
        outline = provisional(request, self._settings)

        def specify_beside() -> tuple[Specification, list[Notice]]:
            with held_back() as notices:
                return self._specify(request, follower), notices

        found = _submit("ellipsis_local-specify", specify_beside)
        if wait_for((found,), PATIENCE_SECONDS).done:
            specification, notices = found.result()
            for text, category in notices:
                warn(text, category)
            compute_id = self.records.create(owner, specification)
            faults.hold(self._home.root, compute_id, owner, self)
            self._in_background(lambda: self._start(compute_id, specification))
        else:
            compute_id = follower.follow(self.records.create(owner, outline))
            faults.hold(self._home.root, compute_id, owner, self)
            self._in_background(lambda: self._start_once(compute_id, found), long=True)
        return compute_id

    def _specify(self, request: ComputeRequest, follower: Follower) -> Specification:
        """`specify`, with what the home lacks fetched before, where there is somewhere to fetch it from."""
        missing = find_lacking(request, self._store) if self._fetch is not None else ()
        if self._fetch is not None and missing:
            check_but(missing, request, self._settings, self._store, self._environments)
            for path_id, timestamp_id in missing:
                self._fetch(path_id, timestamp_id, follower.tell, follower.check)
        offers = self._engine.capabilities
        return specify(request, self._settings, self._store, self._environments, self._partitions, offers)

    def _start_once(self, compute_id: str, found: Future[tuple[Specification, list[Notice]]]) -> None:
        """Start a compute whose record was made before its specification was known."""
        try:
            specification, _ = found.result()
            self.records.specify(compute_id, specification)
        except BaseException as error:
            self._failed(compute_id, error)
            raise
        self._start(compute_id, specification)

    def _start(self, compute_id: str, specification: Specification) -> None:
        if not self.records.change(compute_id, {"queued"}, "starting", "preparing the environment and the partitions"):
            raise self._ended(compute_id)
        tell = self._progress(compute_id)
        try:
            environment, cut = self._prepare(compute_id, specification)

            def parts() -> Partitioning | None:
                partitioning = cut()
                if partitioning is not None:
                    self.records.set_extents(compute_id, [extent.to_dict() for extent in partitioning.extents])
                    for text in partitioning.warnings:
                        warn(text, LayerWarning)
                tell(Progress(f"starting {specification.nodes} node{'' if specification.nodes == 1 else 's'}"))
                return partitioning

            record = self.records.get(compute_id)
            with self._pools.use(compute_id, lambda: self._pool(record, environment, parts)):
                pass
        except BaseException as error:
            self._pools.close(compute_id)
            self._failed(compute_id, error)
            raise

        def finish() -> bool:
            done = self.records.change(compute_id, {"starting"}, "available")
            if not done:
                self._pools.close(compute_id)
            return done

        if not faults.arrived(self._home.root, compute_id, finish) and not finish():
            raise self._ended(compute_id)

    def _failed(self, compute_id: str, error: BaseException) -> None:
        message = str(error) if isinstance(error, EllipsisLocalError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(StoreError):
            self._pools.store(lambda: self.records.change(compute_id, {"queued", "starting"}, "errored", message))
        faults.release(self._home.root, compute_id)

    def _ended(self, compute_id: str) -> ComputeStateError:
        text = f"compute {compute_id} was terminated while it was being started"
        return ComputeStateError(text, compute_id=compute_id, status=self.records.get(compute_id).status)

    def _check_wanted(self, compute_id: str) -> None:
        """ComputeStateError where nobody waits for the compute's partitions any more."""
        if self._closed.is_set():
            text = "the emulator was closed while layers were being cut"
            raise ComputeStateError(text, compute_id=compute_id, status="starting")
        if self.records.statuses((compute_id,)).get(compute_id) not in ("starting", "executing"):
            raise self._ended(compute_id)

    def _cut(self, compute_id: str, cut: CutRequest) -> Partitioning:
        check = functools.partial(self._check_wanted, compute_id)
        return self._partitions.ensure(cut, self._progress(compute_id), check)

    def _prepare(
        self, compute_id: str, specification: Specification
    ) -> tuple[Environment, Callable[[], Partitioning | None]]:
        """The environment, and how to come by the partitions."""
        cut, report = specification.cut, self._progress(compute_id)
        arguments = specification, self._environments, self._home, report
        if cut is None:
            return node_environment(*arguments), lambda: None
        if self._environments.get(specification.environment) is not None:
            # The cut is left for the time in which the nodes start.
            return node_environment(*arguments), lambda: self._cut(compute_id, cut)
        # One waits for the network, the other for the disk. Where the cut fails, the build goes on for the next one.
        commands = Commands()
        building = _submit("ellipsis_local-environment", lambda: node_environment(*arguments, commands))
        try:
            partitioning = self._cut(compute_id, cut)
            if not building.done():
                report(Progress("waiting for the environment"))
            return building.result(), lambda: partitioning
        except BaseException as error:
            if not isinstance(error, Exception):
                commands.end()
                wait_for((building,), PATIENCE_SECONDS)
            raise

    def _pool(self, record: Record, environment: Environment, cut: Callable[[], Partitioning | None]) -> Pool:
        spec, settings = record.spec, self._settings
        files = {path_id: self._store.get_plain_file(path_id) for path_id in spec.request.files}
        made = NodeEnvironment(environment.interpreter.name, environment.requirements, environment.packages)
        program = Program(
            compute=record.id,
            nodes=spec.nodes,
            environment=made,
            cores=settings.cores,
            vectors=spec.vectors,
            files=tuple(NodeFile(path_id, file.content) for path_id, file in files.items()),
            gpus=spec.gpus or (),
            timeout=settings.node_timeout,
            memory=settings.node_memory,
            seed=settings.seed,
            clock=None if settings.clock is None else settings.clock.timestamp(),
            closed=closed_hosts(),
        )
        where = {file.content: file.location for file in files.values()}
        place = Place(self._home.compute(record.id), environment.python, self._home.cuts, where)
        return self._engine.start(program, lambda: named_parts(spec, cut(), self._home), place)

    def _restart(self, record: Record) -> Pool:
        """Workers for a compute that another process made, or whose workers ended."""
        cut, tell = record.spec.cut, self._progress(record.id)
        environment = node_environment(record.spec, self._environments, self._home, tell)
        return self._pool(record, environment, lambda: None if cut is None else self._cut(record.id, cut))

    def execute(
        self, compute_id: str, f: Any, owner: str, *, wait: bool, target: WriteTarget | None = None
    ) -> list[Any] | None:
        """Run a function, or what came of one, on every node; the results in their order, or None without `wait`."""
        record = self.records.get(compute_id, owner)
        self._check_ready(record)
        if target is not None:
            target.check(self._store)
        own = not self._engine.capabilities.environments
        python = sys.version_info[:3] if own else record.spec.python
        large = target is not None or record.spec.request.large_result
        if isinstance(f, Sent):
            function = describe_sent(f.file, python)
        else:
            around = record.spec.surroundings(self._environments, large=large)
            function = describe_function(f, python, strict=bool(self._settings.strict), around=around)
            warn_of_pixels(function, around)
        # The former results are gone from here on: the client polls at once.
        number = self.records.begin(compute_id, function.kind, *name_and_hash(f, function))
        if number is None:
            self._check_ready(self.records.get(compute_id, owner))
            text = f"compute {compute_id} changed its state at this very moment; try again"
            raise ComputeStateError(text, compute_id=compute_id, status=record.status)
        folder, now = self._home.compute(compute_id), self._settings
        keeper = Keeper(folder, lambda: found_inputs(record.spec, self._partitions, self._store))
        caller = sys.executable if own else None
        keeper.begin(ExecutionInputs(number, function, large, caller, now.seed, now.node_memory, now.node_timeout))
        tell = self._progress(compute_id)
        execution = Execution(
            self.records, self._store, self._home, record, number, large, target, tell, keeper, bool(now.strict),
            self._pools.store, now.failed_status,
        )  # fmt: skip

        def run() -> list[Any]:
            use = functools.partial(self._pools.use, compute_id, lambda: self._restart(record), execution.progress)
            try:
                return execution.run(use, function)
            finally:
                if execution.status == "errored" or any(outcome.kind == "storage" for outcome in execution.done):
                    # What is missed of the cut is made again for the next one; an errored compute has none.
                    self._pools.close(compute_id)

        if not wait:
            self._in_background(run)
            return None
        results = run()
        if large or isinstance(f, Sent):
            return results
        return returned(f, function, record, execution.done, results, self._settings.strict)

    @staticmethod
    def _check_ready(record: Record) -> None:
        if record.status in NOT_READY:
            text = f"compute {record.id} {NOT_READY[record.status]}"
            if record.status == "errored":
                text += f": {record.message}"
            raise ComputeStateError(text, compute_id=record.id, status=record.status)

    def terminate(self, compute_id: str, owner: str | None, *, wait: bool) -> None:
        """End a compute in any state; results that were returned stay readable."""
        record = self.records.get(compute_id, owner)
        if record.status == "stopped":
            return
        before = {"queued", "starting", "available", "executing", "completed", "errored"}
        self.records.change(compute_id, before, "stopping", record.message)
        if wait:
            self._stop(compute_id)
        else:
            self._in_background(lambda: self._stop(compute_id))

    def _stop(self, compute_id: str) -> None:
        """End this process's workers of the compute, wait until no other process holds any, then tidy up."""
        self._pools.close(compute_id)
        end = monotonic() + TERMINATE_SECONDS
        while (others := self.records.other_pools(compute_id)) and monotonic() < end:
            time.sleep(0.02)
        if others:
            reason = f"process {others[0].pid} still holds its workers and does not react"
            text = f"compute {compute_id} is not terminated: {reason}; end that process, then terminate again"
            raise ComputeStateError(text, compute_id=compute_id, status="stopping")
        shutil.rmtree(self._home.compute(compute_id) / "scratch", ignore_errors=True)
        message = self.records.get(compute_id).message
        self._pools.store(lambda: self.records.change(compute_id, {"stopping"}, "stopped", message))

    def delete(self, compute_id: str) -> None:
        """Forget a compute that is over, and remove its logs and results."""
        self.records.delete(compute_id)
        shutil.rmtree(self._home.compute(compute_id), ignore_errors=True)

    def _progress(self, compute_id: str) -> OnProgress:
        def tell(step: Progress) -> None:
            self.records.say(compute_id, str(step))
            self._report(step)

        return tell

    def _in_background(self, work: Callable[[], Any], *, long: bool = False) -> None:
        """Do it in a thread; at once, unless it is `long`, where nodes run in this process: in the thread that asks."""

        def run() -> None:
            # The record tells how it ended; there is nobody to raise to, or to warn.
            with contextlib.suppress(EllipsisLocalError), held_back():
                work()

        if not self._engine.capabilities.beside and not long:
            run()
        else:
            threading.Thread(target=run, name="ellipsis_local-compute").start()

    def tidy(self) -> None:
        """Drop the least recently used cuts beyond the cache's size, those of living computes excepted."""
        self._partitions.prune(self._used_cuts)

    def prune_cuts(self, unused_for: float) -> int:
        """Drop all cuts that nobody used for so many seconds, those of living computes excepted; the bytes freed."""
        return self._partitions.prune(self._used_cuts, unused_for)

    def _used_cuts(self) -> list[str]:
        return [spec.cut.key for spec in self.records.living_specs() if spec.cut is not None]

    def close(self) -> None:
        """End the workers of this process; the computes stay."""
        self._closed.set()
        faults.let_go(self)
        self._pools.close_all()
