"""An engine on whose nodes goes wrong what a test has planned for the home; see `faults`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ellipsis_local import faults
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeOutcome
from ellipsis_local.nodes.engine import Capabilities, Engine, OnOutcome, OnStart, Parts, Pool, Program, nobody


class FaultyEngine:
    """Another engine, with the faults of a home around it; without a plan it is as that one."""

    def __init__(self, engine: Engine, root: Path, terminate: Callable[[str], None]) -> None:
        self.engine = engine
        self._root = root
        self._terminate = terminate

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    def start(self, program: Program, parts: Callable[[], Parts]) -> Pool:
        return _FaultyPool(self.engine.start(program, parts), program, self._root, self._terminate)


class _FaultyPool:
    def __init__(self, pool: Pool, program: Program, root: Path, terminate: Callable[[str], None]) -> None:
        self._pool = pool
        self._compute, self._nodes = program.config.compute, program.config.nodes
        self._root = root
        self._terminate = terminate
        self.close = pool.close

    @property
    def alive(self) -> bool:
        return self._pool.alive

    def execute(self, command: Command, on_outcome: OnOutcome, on_start: OnStart = nobody) -> None:
        """See `Pool.execute`; the compute is terminated where a test asks for that at this point."""
        done = 0

        def ended(outcome: NodeOutcome) -> None:
            nonlocal done
            on_outcome(outcome)
            done += 1
            self._break_off(done)

        self._break_off(done)
        function = replace(command.function, faults=faults.of_nodes(self._root, self._nodes))
        self._pool.execute(replace(command, function=function), ended, on_start)

    def _break_off(self, done: int) -> None:
        if faults.terminates(self._root, done):
            self._terminate(self._compute)
