"""An engine on whose nodes goes wrong what a test has planned for the home; see `faults`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ellipsis_local import faults
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeOutcome
from ellipsis_local.nodes.engine import Capabilities, Engine, OnOutcome, OnStart, Parts, Place, Pool, Program, nobody


@dataclass
class FaultyEngine:
    """Another engine, with the faults of a home around it; without a plan it is as that one."""

    engine: Engine
    root: Path
    terminate: Callable[[str], None]

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    def start(self, program: Program, parts: Callable[[], Parts], place: Place) -> Pool:
        count = program.nodes

        def counted() -> Parts:
            nonlocal count
            found = parts()
            count = len(found) or count
            return found

        pool = self.engine.start(program, counted, place)
        return _FaultyPool(pool, program.compute, self.root, self.terminate, count)


@dataclass
class _FaultyPool:
    pool: Pool
    compute: str
    root: Path
    terminate: Callable[[str], None]
    partitions: int

    @property
    def alive(self) -> bool:
        return self.pool.alive

    def close(self) -> None:
        self.pool.close()

    def execute(self, command: Command, on_outcome: OnOutcome, on_start: OnStart = nobody) -> None:
        """See `Pool.execute`; the compute is errored or terminated where a test asks for that at this point."""
        faults.execution(self.root, self.compute)
        done = 0

        def ended(outcome: NodeOutcome) -> None:
            nonlocal done
            on_outcome(outcome)
            done += 1
            self._break_off(done)

        self._break_off(done)
        function = replace(command.function, faults=faults.of_nodes(self.root, self.partitions))
        self.pool.execute(replace(command, function=function), ended, on_start)

    def _break_off(self, done: int) -> None:
        if faults.terminates(self.root, done):
            self.terminate(self.compute)
