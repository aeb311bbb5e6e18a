"""The engine's interface: what a compute asks of whatever runs its nodes.

There is one implementation, `ellipsis_local.nodes.local`. An implementation for several machines would take the same
`Program`, whose paths it would have to bring to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ellipsis_local.errors import NodeDiedError, NodeError, NodeMemoryError, NodeTimeoutError, ResultError

__all__ = ["SMALL_RESULT_BYTES", "Engine", "NodeOutcome", "Parts", "Pool", "Program"]

SMALL_RESULT_BYTES = 2_000_000
"""What one node may return without largeResult: "2mb" in the documentation, of our encoding (our choice)."""

Parts = tuple[tuple[dict[str, Any], ...], ...]
"""Per node its parts of the layers, as `ellipsis_local.partitions` describes them; empty without layers."""

FailureKind = Literal["exception", "result", "memory", "storage", "timeout", "died", "engine"]


@dataclass(frozen=True)
class Program:
    """All that the nodes of one compute need, apart from their parts of the layers and the function."""

    python: Path
    """The environment's interpreter."""
    folder: Path
    """The compute's folder: its log, results and scratch."""
    nodes: int
    cores: int
    """How many nodes run at the same time, at most."""
    vectors: bool
    """Whether there are vectors among the layers."""
    files: tuple[tuple[str, str], ...]
    """Path id and location of the files that every node receives."""
    gpus: tuple[str, ...] | None
    """Ids of the GPUs that are handed out; None or empty: nodes see none."""
    timeout: float | None
    memory: int | None
    seed: int | None = None
    """Where it is given, `random` and numpy.random of a node, and the names of its result files, follow from it."""
    clock: float | None = None
    """Where it is given, the time of all lines of the log, in seconds since 1970."""


@dataclass(frozen=True)
class NodeOutcome:
    """How one node's run ended."""

    node: int
    state: Literal["completed", "failed"]
    seconds: float | None
    size: int = 0
    """Bytes of the result."""
    payload: bytes = b""
    """A small result, encoded."""
    file: str | None = None
    """A large result: the name of its file in the compute's `results`."""
    kind: FailureKind | None = None
    text: str = ""
    peak_memory: int | None = None
    """The most bytes of physical memory that the node's process held while it ran: see `inside`'s `peak`. None where
    the node did not answer, runs in the calling process, or its system does not tell."""

    def error(self, compute_id: str) -> NodeError:
        """The failure as the exception that the caller sees."""
        kind, verb = FAILURES[self.kind or "engine"]
        return kind(
            f"node {self.node} of compute {compute_id} {verb}: {self.text}",
            compute_id=compute_id, node=self.node, details=self.text,
        )  # fmt: skip


FAILURES: dict[FailureKind, tuple[type[NodeError], str]] = {
    "exception": (NodeError, "failed"),
    "result": (ResultError, "returned what cannot be taken"),
    "memory": (NodeMemoryError, "needed too much memory"),
    "storage": (NodeError, "could not read its partition or store its result"),
    "timeout": (NodeTimeoutError, "took too long"),
    "died": (NodeDiedError, "died before it answered"),
    "engine": (NodeError, "was not run to its end"),
}


class Pool(Protocol):
    """The running nodes of one compute."""

    def execute(
        self,
        execution: int,
        function: dict[str, Any],
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
