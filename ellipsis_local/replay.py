"""One node of a compute again: what it received, found or made again, and its function run on that.

The function runs in the compute's environment and in the foreground (the program `node_program/ellipsis_node/replay`),
or in this process.
"""

from __future__ import annotations

import bdb
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.computes.inputs import found_inputs, node_environment, node_files, node_parts
from ellipsis_local.computes.records import Record
from ellipsis_local.computes.replay_inputs import ExecutionInputs, NodeInputs, read_execution_inputs, read_node_inputs
from ellipsis_local.emulator import Emulator, current_emulator, working
from ellipsis_local.errors import ArgumentError, ComputeStateError, EllipsisLocalError, EngineError, PartitionError
from ellipsis_local.node_program.ellipsis_node.block_hosts import closed_hosts
from ellipsis_local.node_program.ellipsis_node.memory import MEMORY_EXIT, how_it_ended
from ellipsis_local.node_program.ellipsis_node.params import answer_vector, make_params
from ellipsis_local.node_program.ellipsis_node.records import (
    Command,
    NodeConfig,
    NodeFunction,
    NodeOutcome,
    ReplayPlan,
    read_message,
)
from ellipsis_local.node_program.ellipsis_node.replay import INTERRUPTED
from ellipsis_local.node_program.ellipsis_node.run_node import run_function
from ellipsis_local.nodes import describe_function, node_error, node_value
from ellipsis_local.nodes.inline import given_function, left_as_it_was, running
from ellipsis_local.nodes.local import HOST, node_environ
from ellipsis_local.processes import available_cores
from ellipsis_local.tracebacks import short_traceback

GRACE_SECONDS = 5
"""So long after its time limit the program may need to say where it was."""
TERMINAL = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES", "INPUTRC")
"""Variables that a debugger needs and a node does not get."""


@short_traceback
def replay(
    compute_id: str,
    node: int,
    *,
    f: Callable[[dict[str, Any]], Any] | None = None,
    pdb: bool = False,
    inline: bool = False,
) -> Any:
    """Run one node of the last execution again, on what it received.

    What a failed node received is kept with the compute until its next execution; of any other node it is made again
    from the layers. The record of the compute does not change, and what the function writes to its working directory
    is dropped.

    Parameters
    ----------
    compute_id : str
        Of a compute of the home in use, in whatever state it is.
    node : int
        From 0 on.
    f : function, optional
        In the place of the one that was executed: a mended one, say. Checked as `execute` does.
    pdb : bool
        Where the function raises, open pdb on the terminal, at the innermost line of the function; `node_timeout` does
        not count then. `breakpoint()` in the function works with and without.
    inline : bool
        Run in this process, with its own packages and without limits of time and memory: breakpoints set in an editor
        hold. Otherwise a process of the compute's own environment runs it, on this process's standard streams; an
        environment that was removed is built again.

    Returns
    -------
    object
        What the node returned in `execute`; of a large result its content, as ``io.BytesIO``.

    Raises
    ------
    NodeError
        The node failed again, of the class that `execute` would raise.
    NotFoundError, ArgumentError
        There is no such compute, or it has no such node.
    ComputeStateError
        The compute has not executed a function, and `f` is not given; or it was never started.
    PartitionError
        The layers are gone, and nothing was kept.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> def pixels(params):
    ...     return params['b51d252d-b15a-4b63-9675-9e17ef99ebf5']['raster'].size
    >>> counts = el.compute.execute(compute, pixels, token)
    >>> el.testing.replay(compute, 1, inline=True) == counts[1]
    True
    """
    emulator = current_emulator()
    partition = _partition(compute_id, node)
    if arguments.boolean("inline", inline) and arguments.boolean("pdb", pdb):
        way_out = "start the script with `python -m pdb`, or use the debugger of your editor"
        text = "exclude each other: with inline=True the exception comes out of this very call, so"
        raise ArgumentError(f"pdb and inline {text} {way_out}", argument="pdb", value=pdb)
    if inline:
        outcome, large = run_here(emulator, partition, f)
    else:
        outcome, large = run_inside(emulator, partition, f, pdb=arguments.boolean("pdb", pdb))
    if outcome.state == "failed":
        raise node_error(partition.record.id, outcome)
    return value_of(partition.record.id, outcome, large)


@short_traceback
def inputs(compute_id: str, node: int) -> dict[str, Any]:
    """What a node's function receives: the dictionary `params`, for a notebook.

    Parameters
    ----------
    compute_id : str
        Of a compute of the home in use, in whatever state it is; it need not have executed anything.
    node : int
        From 0 on.

    Returns
    -------
    dict
        Per timestamp id a raster ``{'raster': ndarray (bands, height, width), 'transform': Affine, 'extent': {'xMin',
        'xMax', 'yMin', 'yMax'}, 'crs', 'nodata'}``, with ``'mask'`` (bool, True where a pixel is valid) where its layer
        has one, or a vector's GeoDataFrame, per file's path id a BytesIO. Fresh on each call: nothing that is done to
        it reaches the store, the node, or the next call. In this process a frame answers ``['vector']``, as a node's
        does, until it is garbage.

    Raises
    ------
    NotFoundError, ArgumentError, ComputeStateError, PartitionError
        As `replay`.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> params = el.testing.inputs(compute, 1)
    >>> params['b51d252d-b15a-4b63-9675-9e17ef99ebf5']['raster'].shape
    (1, 229, 121)
    """
    return params_of(_partition(compute_id, node))


def _partition(compute_id: Any, node: Any) -> Partition:
    if isinstance(node, bool) or not isinstance(node, int):
        raise ArgumentError(f"node must be of type int, not {type(node).__name__}", argument="node", value=node)
    return partition_of(current_emulator(), arguments.uuid_text("compute_id", compute_id), node)


@dataclass(frozen=True)
class Partition:
    """One node of a compute, and all that is needed to run a function on its partition again."""

    record: Record
    node: int
    received: NodeInputs
    given: ExecutionInputs
    """What the last execution was given; without one, what the next would be."""

    def executed(self) -> NodeFunction:
        """The function of the last execution; ComputeStateError where there was none, or it was not noted down."""
        if self.given.function is not None:
            return self.given.function
        if self.record.executions == 0:
            text = "has not executed a function yet: execute one, or give replay a function with f="
        else:
            text = "was executed, and its function was not kept (an earlier release, or a full disk): give it with f="
        record = self.record
        raise ComputeStateError(f"compute {record.id} {text}", compute_id=record.id, status=record.status)


def partition_of(emulator: Emulator, compute_id: str, node: int) -> Partition:
    """What a node, counted from 0, of anybody's compute received in the last execution, or would in the next one.

    NotFoundError and ArgumentError where there is no such compute or node, ComputeStateError where it was never
    started, PartitionError where nothing was kept and layers or files are gone from which it could be made again.
    """
    record = emulator.computes.records.get(compute_id)
    count, unit = emulator.computes.records.partitions(record), record.spec.unit
    if not 0 <= node < count:
        text = f"compute {record.id} has the {unit}s 0 to {count - 1}, and no {unit} {node}"
        raise ArgumentError(text, argument="node", value=node)
    if not record.spec.executable:
        why = f"{record.status}: {record.message}" if record.message else record.status
        text = f"compute {record.id} was never started ({why}), so that its nodes received nothing"
        raise ComputeStateError(text, compute_id=record.id, status=record.status)
    folder = emulator.home.compute(record.id)
    received = read_node_inputs(folder, node) or _made_again(emulator, record, node)
    settings, large = emulator.settings, record.spec.request.large_result
    given = read_execution_inputs(folder, record.executions) or ExecutionInputs(
        record.executions, None, large, None, settings.seed, settings.node_memory, settings.node_timeout
    )
    return Partition(record, node, received, given)


def _made_again(emulator: Emulator, record: Record, node: int) -> NodeInputs:
    """From the cut, which is made where it is not there any more."""
    spec = record.spec
    try:
        found = found_inputs(spec, emulator.partitions, emulator.store)
        if found is None and spec.cut is not None:
            with working("cutting layers"):
                partitioning = emulator.partitions.ensure(spec.cut, emulator.report)
            found = node_parts(spec, partitioning), node_files(spec, emulator.store)
    except EllipsisLocalError as error:
        what = f"what node {node} of compute {record.id} received"
        raise PartitionError(f"{what} was not kept, and cannot be made again: {error}") from error
    parts, files = found or ((), ())
    received = NodeInputs(parts=parts[node] if parts else (), files=files)
    outcome = emulator.computes.records.nodes(record.id, results=False)[node].outcome
    return received if outcome is None else replace(received, kind=outcome.kind, text=outcome.text)


def described(emulator: Emulator, partition: Partition, f: Any, python: tuple[int, ...]) -> NodeFunction:
    """The function to run, as nodes get it; `python` is what will run it.

    ComputeStateError without `f`, where the compute executed nothing; ArgumentError, FidelityError as `execute`.
    """
    if f is None:
        return partition.executed()
    around = partition.record.spec.surroundings(emulator.environments, large=partition.given.large)
    return describe_function(f, python, strict=bool(emulator.settings.strict), around=around)


def run_inside(
    emulator: Emulator, partition: Partition, f: Any = None, *, pdb: bool = False
) -> tuple[NodeOutcome, bytes]:
    """Run it by a process of the compute's environment, whose standard streams are this process's.

    How it ended, and of a large result its bytes. EngineError where the program cannot start; KeyboardInterrupt after
    Ctrl-C.
    """
    record, given, settings = partition.record, partition.given, emulator.settings
    function = described(emulator, partition, f, sys.version_info[:3] if given.executable else record.spec.python)
    if given.executable is None:
        with working("looking for the environment"):
            python = node_environment(record.spec, emulator.environments, emulator.home, emulator.report).python
    else:
        python = Path(given.executable if Path(given.executable).exists() else sys.executable)
    timeout = None if pdb else given.timeout
    with _config(emulator, partition) as config:
        plan = ReplayPlan(config, Command(record.executions, function, given.large, timeout), partition.node, pdb)
        path = Path(config.folder) / "plan.json"
        path.write_text(json.dumps(plan.to_json()), encoding="utf-8")
        environ = node_environ(python, os.environ, settings.cores or available_cores(), given.seed)
        environ |= {name: os.environ[name] for name in TERMINAL if name in os.environ}
        if given.executable == sys.executable:
            # The node had this process's own packages, wherever they come from.
            environ |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [str(python), "-s", "-u", str(HOST), "--replay", str(path)]
        limit = None if timeout is None else timeout + GRACE_SECONDS
        code = _call(command, environ, config.scratch, limit, terminal=pdb)
        outcome = _outcome(plan, code)
        return outcome, _large(config, outcome)


def run_here(emulator: Emulator, partition: Partition, f: Any = None) -> tuple[NodeOutcome, bytes]:
    """Run it in this process, with this process's packages: breakpoints of an editor's debugger hold.

    As `run_inside`, without limits of time and memory; what `left_as_it_was` names is as before afterwards.
    """
    here, python, given = sys.version_info[:3], partition.record.spec.python, partition.given
    function = described(emulator, partition, f, here)
    if f is None and function.kind == "pickle" and given.executable is None and python[:2] != here[:2]:
        text = f"pickled for Python {python[0]}.{python[1]}, and this process has {here[0]}.{here[1]}"
        text = f"the function was {text}: leave out inline=True, or give the function with f="
        raise ArgumentError(text, argument="inline", value=True)
    command = Command(partition.record.executions, function, given.large)
    with _config(emulator, partition) as found:
        config = replace(found, memory=None, inline=True)
        with running, given_function(function), left_as_it_was(vectors=config.vectors):
            outcome = run_function(config, command, partition.node, frames={}, interrupted=_is_for_the_person)
        return outcome, _large(config, outcome)


def _is_for_the_person() -> bool:
    """Whether the exception being handled is for the person before the screen."""
    return isinstance(sys.exc_info()[1], KeyboardInterrupt | bdb.BdbQuit)


def params_of(partition: Partition) -> dict[str, Any]:
    """What the function receives, fresh."""
    received = partition.received
    try:
        params = make_params(received.parts, received.files, frames={})
    except OSError as error:
        what = f"what node {partition.node} of compute {partition.record.id} received"
        raise PartitionError(f"{what} cannot be read: {error}") from error
    for value in params.values():
        if getattr(value, "_answers_vector", False):
            # geopandas is as it was when the last of them is garbage; at the interpreter's end nobody asks.
            weakref.finalize(value, answer_vector()).atexit = False
    return params


def value_of(compute_id: str, outcome: NodeOutcome, large: bytes) -> Any:
    """What the function returned: the value as `execute` returns it, and a memory file as BytesIO."""
    return node_value(compute_id, outcome) if outcome.file is None else io.BytesIO(large)


@contextlib.contextmanager
def _config(emulator: Emulator, partition: Partition) -> Iterator[NodeConfig]:
    """The configuration of a node program that runs one node of a compute.

    Its folder is the replay's own, and gone afterwards: what the function writes is not the compute's.
    """
    home = emulator.home.compute(partition.record.id)
    home.mkdir(parents=True, exist_ok=True)
    spec, given, received = partition.record.spec, partition.given, partition.received
    with tempfile.TemporaryDirectory(prefix="replay-", dir=home) as folder:
        config = NodeConfig(
            compute=partition.record.id, folder=folder, nodes=spec.nodes, gpus=spec.gpus or (), memory=given.memory,
            parts=(*[()] * partition.node, received.parts), files=received.files, seed=given.seed,
            closed=closed_hosts(),
        )  # fmt: skip
        config.make_folders()
        yield config


def _call(command: list[str], environ: dict[str, str], folder: str, timeout: float | None, *, terminal: bool) -> int:
    """Run a program on this process's standard streams; its exit code. Ctrl-C is the program's to answer.

    With `terminal` it gets the process's own streams, whatever `sys.stdout` is: a prompt is no line to be relayed.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    output, errors = _descriptor(sys.stdout), _descriptor(sys.stderr)
    if not terminal and (output is None or errors is None):
        output, errors = subprocess.PIPE, subprocess.STDOUT
    with _interrupts_left_alone():
        try:
            process = subprocess.Popen(
                command, env=environ, cwd=folder, stdout=output, stderr=errors, encoding="utf-8", errors="replace"
            )
        except OSError as error:
            raise EngineError(f"the replay cannot start {command[0]}: {error}") from error
        timer = threading.Timer(timeout or 0, process.kill)
        timer.daemon = True
        with process:
            try:
                if timeout is not None:
                    timer.start()
                for line in process.stdout or ():
                    # A notebook's sys.stdout is no file, and a test runner's neither.
                    sys.stdout.write(line)
                return process.wait()
            finally:
                timer.cancel()
                process.kill()


def _descriptor(stream: Any) -> int | None:
    """The stream's own file descriptor; None for one in memory, such as a notebook's."""
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


@contextlib.contextmanager
def _interrupts_left_alone() -> Iterator[None]:
    """The terminal sends Ctrl-C to both processes, and only the replayed function has something to say about it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _outcome(plan: ReplayPlan, code: int) -> NodeOutcome:
    timeout = plan.command.timeout
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    try:
        with Path(plan.outcome).open("rb") as file:
            return NodeOutcome.from_json(*read_message(file))
    except FileNotFoundError:
        kind, text = "died", how_it_ended(code)
    if code == MEMORY_EXIT:
        kind, text = "memory", "it asked for more than node_memory"
    elif code == -signal.SIGKILL and timeout is not None:
        kind = "timeout"
        text = f"it ran longer than node_timeout={timeout:g} s, in code outside of Python, or it was ended by SIGKILL"
    return NodeOutcome(plan.node, "failed", None, kind=kind, text=text)


def _large(config: NodeConfig, outcome: NodeOutcome) -> bytes:
    return b"" if outcome.file is None else (Path(config.results) / outcome.file).read_bytes()
