"""The engine without processes: nodes run in the calling process, one after the other, in the order of the partitions.

It runs what a worker runs (`inside/ellipsis_node/running`), on the same files. What it cannot have is what only a
process of one's own has: a time limit, a memory limit, another interpreter, other packages, and an end by a signal; a
function that ends its interpreter for good (`os._exit`, a crash) ends the caller. What C libraries and processes that
the function starts print goes to the caller's own streams.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ellipsis_local.errors import EngineError
from ellipsis_local.inside.ellipsis_node import running as node_program
from ellipsis_local.inside.ellipsis_node.output import END_MARK, Recorder, Source
from ellipsis_local.nodes.calling import Interruption, as_node, given_function, running
from ellipsis_local.nodes.engine import SMALL_RESULT_BYTES, NodeOutcome, Parts, Program

__all__ = ["InlineEngine", "InlinePool"]


class InlineEngine:
    """Nodes in the calling process; see the module."""

    in_process = True

    def start(self, program: Program, parts: Callable[[], Parts]) -> InlinePool:
        """See `Engine.start`; EngineError for limits that cannot be kept here."""
        for name, limit in (("node_timeout", program.timeout), ("node_memory", program.memory)):
            if limit is not None:
                raise EngineError(f"{name} cannot be kept by nodes in the calling process; leave it out")
        return InlinePool(program, parts())


class InlinePool:
    """The nodes of one compute in this process; they exist while they run."""

    def __init__(self, program: Program, parts: Parts) -> None:
        self._program = program
        self._closed = threading.Event()
        self._frames: dict[str, Any] = {}
        for name in ("results", "scratch"):
            (program.folder / name).mkdir(parents=True, exist_ok=True)
        self._inside = node_program.Program(
            {
                "parts": parts,
                "files": program.files,
                "results": str(program.folder / "results"),
                "scratch": str(program.folder / "scratch"),
                "memory": None,
                "limit": SMALL_RESULT_BYTES,
                "gpus": None,
                "seed": program.seed,
                "compute": program.folder.name,
                "inline": True,
            }
        )

    def execute(
        self, execution: int, function: dict[str, Any], *, large: bool, on_outcome: Callable[[NodeOutcome], None]
    ) -> None:
        """See `Pool.execute`; outcomes come in the order of the nodes. An interruption (Ctrl-C) closes the pool."""
        log: Path = self._program.folder / "log.jsonl"
        try:
            # Without a buffer, so that what processes print that the function forks gets there, too.
            with running, log.open("ab", buffering=0) as file, given_function(function):
                recorder, source = Recorder(file, self._program.clock), Source()
                for node in range(self._program.nodes):
                    if self._closed.is_set():
                        raise EngineError("the nodes were ended")
                    header, payload = self._run(execution, node, function, large, recorder, source)
                    on_outcome(NodeOutcome(payload=payload, **header))
        except BaseException:
            self.close()
            raise

    def _run(
        self, execution: int, node: int, function: dict[str, Any], large: bool, recorder: Recorder, source: Source
    ) -> tuple[dict[str, Any], bytes]:
        recorder.take(source, node_program.NODE_MARK + f"{execution} {node}\n".encode())
        interruption, lock = Interruption(), threading.Lock()

        def take(data: bytes) -> None:
            # The function may have threads.
            with lock:
                recorder.take(source, data)

        with as_node(take, interruption, vectors=self._program.vectors):
            started = time.perf_counter()
            header, payload = node_program.run_function(
                self._inside, execution, node, function, large, frames=self._frames, interrupted=interruption
            )
            seconds = time.perf_counter() - started
        recorder.take(source, END_MARK)
        if interruption():
            # The function took it for its own.
            raise KeyboardInterrupt
        return header | {"node": node, "seconds": seconds}, payload

    def close(self) -> None:
        """No further node begins; one that runs in another thread goes on to its end."""
        self._closed.set()
        self._frames = {}

    @property
    def alive(self) -> bool:
        return not self._closed.is_set()
