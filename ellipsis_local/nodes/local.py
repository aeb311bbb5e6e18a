"""The engine for one machine: a host process inside the environment, which forks the workers (see `node_program/`)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from ellipsis_local.errors import EngineError
from ellipsis_local.node_program.ellipsis_node import records
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeConfig, NodeOutcome
from ellipsis_local.nodes.engine import Capabilities, OnOutcome, OnStart, Parts, Place, Program, nobody
from ellipsis_local.processes import available_cores, is_plain_variable, run, wait

HOST = Path(__file__).parent.parent / "node_program" / "ellipsis_node"
START_SECONDS = 300
LEAST_SHARE = 2**30
"""Bytes of memory for a node where the machine has little: what is free then may be free again soon."""
END_SECONDS = 8
"""The host needs milliseconds, or some seconds where what a function started has to tidy up."""


class LocalEngine:
    """Starts a host process per compute, with the environment variables of this moment."""

    def __init__(self) -> None:
        self._environ = dict(os.environ)
        self.capabilities = Capabilities(
            environments=True, limits=True, beside=True, gpus=lambda: visible_gpus(os.environ)
        )

    def start(self, program: Program, parts: Callable[[], Parts], place: Place) -> LocalPool:
        return LocalPool(program, parts, place, self._environ)


def own_programs(python: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by which `python`, `pip` and other programs are those that lie beside an interpreter."""
    folder = python.parent
    found = {"PATH": os.pathsep.join([str(folder), environ.get("PATH") or os.defpath])}
    return found | ({"VIRTUAL_ENV": str(folder.parent)} if (folder.parent / "pyvenv.cfg").exists() else {})


def node_environ(python: Path, environ: Mapping[str, str], threads: int, seed: int | None) -> dict[str, str]:
    """The environment variables of a node that computes with so many threads."""
    # A function does not see those of the machine that sent it (our reading of the service); GDAL_DATA, PROJ_DATA or
    # PYTHONPATH of the caller would break the environment's own libraries.
    kept = {name: value for name, value in environ.items() if is_plain_variable(name)}
    kept |= own_programs(python, kept)
    # Nodes run side by side; threads of theirs beyond the machine's cores would only slow each other down.
    kept |= {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    # Without it macOS ends processes that fork after its frameworks were loaded.
    kept["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
    if seed is not None:
        # The order of a set of texts would be another in every process.
        kept["PYTHONHASHSEED"] = str(seed % 2**32)
    return kept


def visible_gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Ids of the visible GPUs: those of CUDA_VISIBLE_DEVICES where it is set, else what nvidia-smi lists."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        ids = [item.strip() for item in environ["CUDA_VISIBLE_DEVICES"].split(",")]
        # As CUDA reads it: an id that is not valid hides itself and all after it.
        return tuple(ids[: next((i for i, item in enumerate(ids) if not item or item.startswith("-")), len(ids))])
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if program is None:
        return ()
    try:
        listed = run([program, "-L"], 10, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8")
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(re.findall(r"^GPU (\d+):", listed.stdout, re.MULTILINE))


def worker_count(nodes: int, cores: int, gpus: int) -> int:
    """How many workers: nodes go to them in turn, and with GPUs every worker must keep to one GPU."""
    if gpus:
        return nodes if nodes <= gpus else gpus * max(1, min(nodes, cores) // gpus)
    return min(nodes, cores)


class LocalPool:
    """A host process and its workers; one execution at a time."""

    def __init__(self, program: Program, parts: Callable[[], Parts], place: Place, environ: Mapping[str, str]) -> None:
        self._program = program
        self._python = place.python
        self._closed = threading.Event()
        config = program.config(place)
        config.make_folders()
        self._stderr = place.folder / "host.log"
        cores = program.cores or available_cores()
        workers = worker_count(config.nodes, cores, len(config.gpus))
        threads = max(1, cores // workers)
        try:
            with self._stderr.open("ab") as stderr:
                self._process = subprocess.Popen(
                    [str(place.python), "-s", "-u", str(HOST), *(["--vectors"] if program.vectors else [])],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=node_environ(place.python, environ, threads, config.seed),
                    cwd=config.scratch,
                    # Ctrl-C in a terminal goes to the caller alone, and the pool can be ended as one group.
                    start_new_session=True,
                )
        except OSError as error:
            # The compute may be terminated, and its folder cleared, at this very moment.
            raise EngineError(f"the node program {place.python} cannot be started: {error}") from error
        try:
            # While it imports what it needs, the layers may still have to be cut.
            config = replace(program.config(place, parts()), workers=workers)
            if config.memory is None:
                share = max(LEAST_SHARE, psutil.virtual_memory().available // workers)
                config = replace(config, memory=share, memory_is_share=True)
            self._start(config)
        except BaseException:
            self.close()
            raise

    def _start(self, config: NodeConfig) -> None:
        alarm = threading.Timer(START_SECONDS, self.close)
        alarm.daemon = True
        alarm.start()
        try:
            self._send(config.to_json())
            ready, _ = self._receive()
        finally:
            alarm.cancel()
        if ready.get("event") != "ready":
            raise EngineError(f"the node program answered {ready!r} instead of being ready")
        self.workers: tuple[int, ...] = tuple(ready["pids"])

    def execute(self, command: Command, on_outcome: OnOutcome, on_start: OnStart = nobody) -> None:
        """See `Pool.execute`; an interruption (Ctrl-C) closes the pool."""
        try:
            self.send(command)
            while (event := self.receive()) is not None:
                if isinstance(event, NodeOutcome):
                    on_outcome(event)
                else:
                    on_start(event)
        except BaseException:
            self.close()
            raise

    def send(self, command: Command) -> None:
        """Have nodes run; what becomes of them is for `receive`."""
        self._send(replace(command, timeout=self._program.timeout).to_json())

    def send_more(self, runs: Sequence[tuple[int, int]]) -> None:
        """Have more nodes of the same execution run; see `Command.runs`."""
        self._send({"runs": runs})

    def receive(self) -> NodeOutcome | int | None:
        """What comes next: how a node ended, the number of one that has begun, or None where none is left to run."""
        header, payload = self._receive()
        event = header.pop("event")
        if event == "done":
            return None
        return header["node"] if event == "started" else NodeOutcome.from_json(header, payload)

    def _send(self, message: dict[str, Any]) -> None:
        with self._translated():
            records.write_message(self._process.stdin, message)  # type: ignore[arg-type]

    def _receive(self) -> tuple[dict[str, Any], bytes]:
        with self._translated():
            return records.read_message(self._process.stdout)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, ValueError) as error:
            raise self._gone() from error

    def _gone(self) -> EngineError:
        if self._closed.is_set():
            return EngineError("the nodes were ended")
        wait(self._process, 5)
        try:
            evidence = self._stderr.read_text(encoding="utf-8", errors="replace")[-4000:].strip()
        except OSError as error:
            # Whoever removed the compute's folder took it along.
            evidence = f"{self._stderr.name} cannot be read ({error.strerror})"
        text = f"the node program {self._python} ended with exit code {self._process.returncode}"
        return EngineError(f"{text}:\n{evidence}" if evidence else text)

    @property
    def alive(self) -> bool:
        return not self._closed.is_set() and self._process.poll() is None

    def _end_left_behind(self) -> None:
        """What is left of a host that was killed itself; its id may be another's by now, who has another PATH."""
        programs = str(self._python.parent)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError, KeyError):
                if os.getsid(process.pid) == self._process.pid and process.environ()["PATH"].startswith(programs):
                    process.kill()

    def close(self) -> None:
        """Have the host end all processes below it, and itself."""
        again = self._closed.is_set()
        self._closed.set()
        if self._process.poll() is None:
            self._process.terminate()
            wait(self._process, END_SECONDS)
            self._process.kill()
            self._process.wait()
        elif not again:
            self._end_left_behind()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.close()
