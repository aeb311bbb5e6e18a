"""The function on one partition again, in the compute's environment and in the foreground, or in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ellipsis_local.computes.fidelity import surroundings
from ellipsis_local.computes.inputs import node_environment
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import ArgumentError, EngineError
from ellipsis_local.inside.ellipsis_node.frames import read_frame
from ellipsis_local.inside.ellipsis_node.memory import MEMORY_EXIT
from ellipsis_local.inside.ellipsis_node.offline import closed_hosts
from ellipsis_local.inside.ellipsis_node.values import decode
from ellipsis_local.nodes import NodeOutcome, describe_function
from ellipsis_local.nodes.engine import SMALL_RESULT_BYTES
from ellipsis_local.nodes.local import HOST, node_environ
from ellipsis_local.processes import available_cores
from ellipsis_local.replay.given import Partition

__all__ = ["described", "run_here", "run_inside", "value_of"]

GRACE_SECONDS = 5
"""So long after its time limit the program may need to say where it was."""
INTERRUPTED = 130
TERMINAL = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES", "INPUTRC")
"""Variables that a debugger needs and a node does not get."""


def described(emulator: Emulator, partition: Partition, f: Any, python: tuple[int, ...]) -> tuple[dict[str, Any], bool]:
    """The function to run, as nodes get it, and whether it returns a memory file; `python` is what will run it.

    Raises
    ------
    ComputeStateError
        Without `f`, where the compute executed nothing.
    ArgumentError, FidelityError
        As `execute`, for `f`.
    """
    if f is None:
        given = partition.executed()
        return given.function, given.large
    spec = partition.spec
    large = partition.given.large if partition.given is not None else bool(spec["largeResult"])
    around = surroundings(spec, emulator.environments, large=large)
    strict = emulator.settings.strict
    return describe_function(f, python, strict=strict, around=around), large


def run_inside(
    emulator: Emulator, partition: Partition, f: Any = None, *, pdb: bool = False
) -> tuple[NodeOutcome, bytes]:
    """Run it by a process of the compute's environment, whose standard streams are this process's.

    Parameters
    ----------
    emulator : Emulator
    partition : Partition
    f : function, optional
        In the place of the one that was executed.
    pdb : bool
        Let a debugger look at the place where the function raises; the time limit does not count then.

    Returns
    -------
    NodeOutcome, bytes
        How it ended, and of a large result its bytes.

    Raises
    ------
    EngineError
        The program could not start.
    KeyboardInterrupt
        Ctrl-C was pressed.
    """
    given = partition.given
    caller = None if given is None else given.executable
    version = sys.version_info[:3] if caller is not None else tuple(partition.spec["python"])
    function, large = described(emulator, partition, f, version)
    if caller is None:
        python = node_environment(partition.spec, emulator.environments, emulator.home, emulator.report).python
    else:
        python = Path(caller if Path(caller).exists() else sys.executable)
    with _scratch(emulator, partition) as folder:
        plan = folder / "plan.json"
        timeout = given.timeout if given is not None else emulator.settings.node_timeout
        text = {
            "program": _config(emulator, partition, folder),
            "execution": partition.record.executions,
            "node": partition.node,
            "function": function,
            "large": large,
            "vectors": partition.vectors,
            "timeout": None if pdb else timeout,
            "pdb": pdb,
            "outcome": str(folder / "outcome"),
        }
        plan.write_text(json.dumps(text), encoding="utf-8")
        environ = node_environ(os.environ, emulator.settings.cores or available_cores())
        environ |= {name: os.environ[name] for name in TERMINAL if name in os.environ}
        seed = given.seed if given is not None else emulator.settings.seed
        if seed is not None:
            # As for nodes: see `nodes/local`.
            environ["PYTHONHASHSEED"] = str(seed % 2**32)
        if caller == sys.executable:
            # The node had this process's own packages, wherever they come from.
            environ |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [str(python), "-s", "-u", str(HOST), "--replay", str(plan)]
        limit = None if pdb or timeout is None else timeout + GRACE_SECONDS
        code = _call(command, environ, folder / "scratch", limit, terminal=pdb)
        return _outcome(partition, folder, code, timeout)


def run_here(emulator: Emulator, partition: Partition, f: Any = None) -> tuple[NodeOutcome, bytes]:
    """Run it in this process, with this process's packages: breakpoints of an editor's debugger hold.

    As `run_inside`, without limits of time and memory; the working directory and the states of `random` and
    `numpy.random` are as before afterwards.
    """
    from ellipsis_local.replay.here import run

    here = sys.version_info[:3]
    function, large = described(emulator, partition, f, here)
    python, given = tuple(partition.spec["python"]), partition.given
    foreign = given is not None and given.executable is None and python[:2] != here[:2]
    if f is None and function["kind"] == "pickle" and foreign:
        raise ArgumentError(
            f"the function was pickled for Python {python[0]}.{python[1]}, and this process has {here[0]}.{here[1]}: "
            "leave out inline=True, or give the function with f=", argument="inline", value=True,
        )  # fmt: skip
    with _scratch(emulator, partition) as folder:
        config = _config(emulator, partition, folder) | {"memory": None, "inline": True}
        header, payload = run(config, partition, function, large=large)
        return _told(partition, header, payload), _large(folder, header)


def value_of(outcome: NodeOutcome, large: bytes) -> Any:
    """What the function returned: the value as `execute` returns it, and a memory file as BytesIO."""
    return decode(outcome.payload) if outcome.file is None else io.BytesIO(large)


@contextlib.contextmanager
def _scratch(emulator: Emulator, partition: Partition) -> Iterator[Path]:
    """A folder of the replay's own, gone afterwards: what the function writes is not the compute's."""
    folder = emulator.home.compute(partition.record.id)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-", dir=folder) as name:
        for part in ("results", "scratch"):
            (Path(name) / part).mkdir()
        yield Path(name)


def _config(emulator: Emulator, partition: Partition, folder: Path) -> dict[str, Any]:
    """What the node program is told of a compute, of which it runs one node."""
    given, spec = partition.given, partition.spec
    parts: list[Any] = [[]] * partition.node
    return {
        "parts": [*parts, partition.received.parts],
        "files": partition.received.files,
        "results": str(folder / "results"),
        "scratch": str(folder / "scratch"),
        "memory": given.memory if given is not None else emulator.settings.node_memory,
        "limit": SMALL_RESULT_BYTES,
        "gpus": spec["gpus"],
        "seed": given.seed if given is not None else emulator.settings.seed,
        "compute": partition.record.id,
        "closed": closed_hosts(),
    }


def _call(command: list[str], environ: dict[str, str], folder: Path, timeout: float | None, *, terminal: bool) -> int:
    """Run a program on this process's standard streams; its exit code. Ctrl-C is the program's to answer.

    With `terminal` it gets the process's own streams, whatever `sys.stdout` is: a prompt is no line to be relayed.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    streams = [_descriptor(stream) for stream in (sys.stdout, sys.stderr)]
    relayed = subprocess.PIPE if None in streams and not terminal else None
    with _interrupts_left_alone():
        try:
            process = subprocess.Popen(
                command,
                env=environ,
                cwd=folder,
                stdout=relayed or streams[0],
                stderr=subprocess.STDOUT if relayed else streams[1],
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise EngineError(f"the replay cannot start {command[0]}: {error}") from error
        timer = threading.Timer(timeout, process.kill) if timeout is not None else None
        try:
            if timer is not None:
                timer.daemon = True
                timer.start()
            if process.stdout is not None:
                _relay(process.stdout)
            return process.wait()
        finally:
            if timer is not None:
                timer.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _descriptor(stream: Any) -> int | None:
    """The stream's own file descriptor; None for one in memory, such as a notebook's."""
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def _relay(stream: IO[str]) -> None:
    """To a `sys.stdout` that is no file, as a notebook's and a test runner's are not."""
    for line in stream:
        sys.stdout.write(line)


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


def _outcome(partition: Partition, folder: Path, code: int, timeout: float | None) -> tuple[NodeOutcome, bytes]:
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    try:
        with (folder / "outcome").open("rb") as file:
            header, payload = read_frame(file)
    except FileNotFoundError:
        header, payload = {"state": "failed", "kind": "died", "text": _end_of_process(code)}, b""
        if code == MEMORY_EXIT:
            header |= {"kind": "memory", "text": "it asked for more than node_memory"}
        elif code == -signal.SIGKILL and timeout is not None:
            header |= {"kind": "timeout", "text": f"it ran longer than node_timeout={timeout:g} s, in code outside of "
                       "Python, or it was ended by SIGKILL"}  # fmt: skip
    return _told(partition, header, payload), _large(folder, header)


def _end_of_process(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def _told(partition: Partition, header: dict[str, Any], payload: bytes) -> NodeOutcome:
    return NodeOutcome(payload=payload, **{"seconds": None, **header, "node": partition.node})


def _large(folder: Path, header: dict[str, Any]) -> bytes:
    return b"" if header.get("file") is None else (folder / "results" / header["file"]).read_bytes()
