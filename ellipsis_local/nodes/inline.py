"""The engine without processes: nodes run in the calling process, one after the other, in the order of the partitions.

It runs what a worker runs (`node_program/ellipsis_node/run_node`), on the same files. What it cannot have is what only
a process of one's own has: a time limit, a memory limit, another interpreter, other packages, and an end by a signal; a
function that ends its interpreter for good (`os._exit`, a crash) ends the caller. What C libraries and processes that
the function starts print goes to the caller's own streams.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ellipsis_local.errors import EngineError
from ellipsis_local.node_program.ellipsis_node.output import END_MARK, Recorder, Source
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeFunction, NodeOutcome
from ellipsis_local.node_program.ellipsis_node.run_node import NODE_MARK, run_function
from ellipsis_local.nodes.engine import Parts, Program
from ellipsis_local.nodes.inline_context import as_node, given_function, running


class InlineEngine:
    """Nodes in the calling process; see the module."""

    in_process = True

    def start(self, program: Program, parts: Callable[[], Parts]) -> InlinePool:
        """See `Engine.start`; EngineError for limits that cannot be kept here."""
        for name, limit in (("node_timeout", program.timeout), ("node_memory", program.config.memory)):
            if limit is not None:
                raise EngineError(f"{name} cannot be kept by nodes in the calling process; leave it out")
        return InlinePool(program, parts())


class InlinePool:
    """The nodes of one compute in this process; they exist while they run."""

    def __init__(self, program: Program, parts: Parts) -> None:
        self._vectors = program.vectors
        self._config = replace(program.config, parts=parts, inline=True)
        self._closed = threading.Event()
        self._frames: dict[str, Any] = {}
        self._config.make_folders()

    def execute(
        self, execution: int, function: NodeFunction, *, large: bool, on_outcome: Callable[[NodeOutcome], None]
    ) -> None:
        """See `Pool.execute`; outcomes come in the order of the nodes. An interruption (Ctrl-C) closes the pool."""
        log, command = Path(self._config.log), Command(execution, function, large)
        try:
            # Without a buffer, so that what processes print that the function forks gets there, too.
            with running, log.open("ab", buffering=0) as file, given_function(function):
                recorder, source = Recorder(file, self._config.clock), Source()
                for node in range(self._config.nodes):
                    if self._closed.is_set():
                        raise EngineError("the nodes were ended")
                    on_outcome(self._run(command, node, recorder, source))
        except BaseException:
            self.close()
            raise

    def _run(self, command: Command, node: int, recorder: Recorder, source: Source) -> NodeOutcome:
        recorder.take(source, NODE_MARK + f"{command.execution} {node}\n".encode())
        interrupted, lock = threading.Event(), threading.Lock()

        def take(data: bytes) -> None:
            # The function may have threads.
            with lock:
                recorder.take(source, data)

        with as_node(take, interrupted, vectors=self._vectors):
            outcome = run_function(self._config, command, node, frames=self._frames, interrupted=interrupted.is_set)
        recorder.take(source, END_MARK)
        if interrupted.is_set():
            # The function took it for its own.
            raise KeyboardInterrupt
        return outcome

    def close(self) -> None:
        """No further node begins; one that runs in another thread goes on to its end."""
        self._closed.set()
        self._frames = {}

    @property
    def alive(self) -> bool:
        return not self._closed.is_set()
