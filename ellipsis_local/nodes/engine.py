"""The engine's interface: what a compute asks of whatever runs its nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ellipsis_local.errors import NodeDiedError, NodeError, NodeMemoryError, NodeTimeoutError, ResultError
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeConfig, NodeFile, NodeOutcome, Part, moved
from ellipsis_local.node_program.ellipsis_node.values import NotReadableError, decode
from ellipsis_local.notebooks import name_cells

OnOutcome = Callable[[NodeOutcome], None]
OnStart = Callable[[int], None]

Parts = tuple[tuple[Part, ...], ...]
"""Per partition its parts of the layers; empty without layers. They are as many as nodes, unless they are shards.

Between engines the files of a part go by name: the key of their content, then a name below it.
"""


@dataclass(frozen=True)
class NodeEnvironment:
    """The Python of the nodes, by what makes an equal one on another machine."""

    interpreter: str = "python3.12"
    requirements: tuple[str, ...] = ()
    """The user's."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """What they were resolved to: name and version of all that is installed."""


@dataclass(frozen=True)
class Place:
    """Where on one machine lies what the nodes of one compute are given."""

    folder: Path
    """The compute's: ``results``, ``scratch`` and ``log.jsonl``."""
    python: Path
    """The environment's interpreter."""
    parts: Path
    """Below it lie the files of parts, by their names."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """By the key of their content."""

    def part(self, name: str) -> str:
        return f"{self.parts}{os.sep}{name}"


@dataclass(frozen=True)
class Program:
    """All that an engine needs to start the nodes of one compute, apart from their parts: the same on every machine."""

    compute: str
    nodes: int
    environment: NodeEnvironment = NodeEnvironment()
    cores: int | None = None
    """How many nodes run at the same time, at most; as many as the engine has where None."""
    vectors: bool = False
    files: tuple[NodeFile, ...] = ()
    """Each by the key of its content."""
    gpus: tuple[str, ...] = ()
    """Ids of the GPUs that nodes are given; of another machine, as many as it has."""
    timeout: float | None = None
    """Seconds that a node may take."""
    memory: int | None = None
    seed: int | None = None
    clock: float | None = None
    closed: tuple[str, ...] = ()
    """This and the three before it: see `NodeConfig`."""

    def config(self, place: Place, parts: Parts = ()) -> NodeConfig:
        """What nodes at a place are told."""
        same = {name: getattr(self, name) for name in ("compute", "nodes", "gpus", "memory", "seed", "clock", "closed")}
        return NodeConfig(
            folder=str(place.folder),
            parts=tuple(tuple(moved(part, place.part) for part in node) for node in parts),
            files=tuple(NodeFile(file.id, str(place.files[file.location])) for file in self.files),
            **same,
        )


@dataclass(frozen=True)
class Capabilities:
    """What an engine offers; asked before anything starts."""

    environments: bool
    """Whether nodes have the interpreter and the packages that were asked for; else those of the calling process."""
    limits: bool
    """Whether `node_timeout` and `node_memory` are kept; else `start` refuses them."""
    beside: bool
    """Whether nodes run beside the calling process, which need not wait for them."""
    gpus: Callable[[], tuple[str, ...]]
    """Ids of the GPUs that can be handed out."""


FAILURES: dict[str, tuple[type[NodeError], str]] = {
    "exception": (NodeError, "failed"),
    "result": (ResultError, "returned what cannot be taken"),
    "memory": (NodeMemoryError, "needed too much memory"),
    "storage": (NodeError, "could not read its partition or store its result"),
    "timeout": (NodeTimeoutError, "took too long"),
    "died": (NodeDiedError, "died before it answered"),
    "engine": (NodeError, "was not run to its end"),
}


def node_error(compute_id: str, outcome: NodeOutcome, unit: str = "node") -> NodeError:
    """A failure as the exception that the caller sees; `unit` is what the function runs on."""
    kind, verb = FAILURES[outcome.kind or "engine"]
    details = name_cells(outcome.text)
    text = f"{unit} {outcome.node} of compute {compute_id} {verb}: {details}"
    return kind(text, compute_id=compute_id, node=outcome.node, details=details)


def node_value(compute_id: str, outcome: NodeOutcome, unit: str = "node") -> Any:
    """What a node's function returned; ResultError where the packages of this process cannot make it."""
    try:
        return decode(outcome.payload)
    except NotReadableError as error:
        refused = replace(outcome, state="failed", kind="result", text=str(error))
        raise node_error(compute_id, refused, unit) from error


def nobody(_: int) -> None:
    """Who need not be told which nodes have begun."""


class Pool(Protocol):
    """The running nodes of one compute."""

    def execute(self, command: Command, on_outcome: OnOutcome, on_start: OnStart = nobody) -> None:
        """Run the function once per partition, those of a node one after the other; EngineError where the pool ended.

        Each may take as long as the program says.
        `on_start` is told every node that has begun and is not over at once, `on_outcome` how it ended, in any order; a
        large result is a file in the compute's `results` by then.
        """

    def close(self) -> None:
        """End every process of the pool, at once; may be called from any thread, and again."""

    @property
    def alive(self) -> bool: ...


class Engine(Protocol):
    """Starts pools."""

    @property
    def capabilities(self) -> Capabilities: ...

    def start(self, program: Program, parts: Callable[[], Parts], place: Place) -> Pool:
        """Start the nodes, and ask for their `parts` meanwhile; what that raises, or an EngineError, leaves nothing.

        `place` is where all that is on the calling machine.
        """
