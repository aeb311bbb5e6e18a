"""The engine's interface: what a compute asks of whatever runs its nodes.

There is one implementation, `ellipsis_local.nodes.local`. An implementation for several machines would take the same
`Program`, whose paths it would have to bring to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ellipsis_local.errors import NodeDiedError, NodeError, NodeMemoryError, NodeTimeoutError, ResultError
from ellipsis_local.node_program.ellipsis_node.records import (
    NodeConfig,
    NodeFunction,
    NodeOutcome,
    Part,
)

Parts = tuple[tuple[Part, ...], ...]
"""Per node its parts of the layers; empty without layers."""


@dataclass(frozen=True)
class Program:
    """All that an engine needs to start the nodes of one compute, apart from their parts of the layers."""

    python: Path
    """The environment's interpreter."""
    cores: int
    """How many nodes run at the same time, at most."""
    vectors: bool
    """Whether there are vectors among the layers."""
    timeout: float | None
    config: NodeConfig
    """What the nodes are told, without what only the engine knows."""


FAILURES: dict[str, tuple[type[NodeError], str]] = {
    "exception": (NodeError, "failed"),
    "result": (ResultError, "returned what cannot be taken"),
    "memory": (NodeMemoryError, "needed too much memory"),
    "storage": (NodeError, "could not read its partition or store its result"),
    "timeout": (NodeTimeoutError, "took too long"),
    "died": (NodeDiedError, "died before it answered"),
    "engine": (NodeError, "was not run to its end"),
}


def node_error(compute_id: str, outcome: NodeOutcome) -> NodeError:
    """A failure as the exception that the caller sees."""
    kind, verb = FAILURES[outcome.kind or "engine"]
    return kind(
        f"node {outcome.node} of compute {compute_id} {verb}: {outcome.text}",
        compute_id=compute_id, node=outcome.node, details=outcome.text,
    )  # fmt: skip


class Pool(Protocol):
    """The running nodes of one compute."""

    def execute(
        self,
        execution: int,
        function: NodeFunction,
        *,
        large: bool,
        on_outcome: Callable[[NodeOutcome], None],
    ) -> None:
        """Run the function once per node; returns when every node's outcome was handed over, in any order.

        Raises EngineError where the pool was closed or died meanwhile.
        """

    def close(self) -> None:
        """End every process of the pool, at once; may be called from any thread, and again."""

    @property
    def alive(self) -> bool: ...


class Engine(Protocol):
    """Starts pools.

    One whose attribute `in_process` is true runs nodes in the calling process: with its packages, so that no
    environment is built for them, and with its interpreter, whatever was asked for.
    """

    def start(self, program: Program, parts: Callable[[], Parts]) -> Pool:
        """Start the nodes; returns when they are ready.

        `parts` is called once, while the nodes start, and may take its time. EngineError, with the evidence, where they
        cannot start; what `parts` raises passes through, and nothing is left running then.
        """
