"""What one node of a compute received, found or made again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ellipsis_local.computes.inputs import found_inputs, node_files, node_parts
from ellipsis_local.computes.kept import Given, Received, read_given, read_kept
from ellipsis_local.computes.records import Record
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import ArgumentError, ComputeStateError, EllipsisLocalError, PartitionError
from ellipsis_local.partitions import CutRequest

__all__ = ["Partition", "partition_of"]


@dataclass(frozen=True)
class Partition:
    """One node of a compute, and all that is needed to run a function on its partition again."""

    record: Record
    node: int
    received: Received
    given: Given | None
    """What the last execution was given; None where there was none."""

    @property
    def spec(self) -> dict[str, Any]:
        """The compute's specification."""
        return self.record.spec

    @property
    def vectors(self) -> bool:
        return any(part["type"] == "vector" for part in self.received.parts)

    def executed(self) -> Given:
        """What the last execution was given; ComputeStateError where there was none, or it was not noted down."""
        if self.given is not None:
            return self.given
        if self.record.executions == 0:
            text = "has not executed a function yet: execute one, or give replay a function with f="
        else:
            text = "was executed, and its function was not kept (an earlier release, or a full disk): give it with f="
        raise ComputeStateError(
            f"compute {self.record.id} {text}", compute_id=self.record.id, status=self.record.status
        )


def partition_of(emulator: Emulator, compute_id: str, node: int) -> Partition:
    """What a node received in the last execution, or would receive in the next one.

    Parameters
    ----------
    emulator : Emulator
    compute_id : str
        Of any user's compute of the home.
    node : int
        From 0 on.

    Raises
    ------
    NotFoundError
        There is no such compute.
    ArgumentError
        The compute has no such node.
    ComputeStateError
        The compute was never started.
    PartitionError
        It was not kept, and layers or files are gone from which it could be made again.
    """
    record = emulator.computes.records.get(compute_id)
    nodes = record.spec["nodes"]
    if not 0 <= node < nodes:
        raise ArgumentError(
            f"compute {record.id} has the nodes 0 to {nodes - 1}, and no node {node}", argument="node", value=node
        )
    if not record.spec["executable"]:
        why = f": {record.message}" if record.message else ""
        raise ComputeStateError(
            f"compute {record.id} was never started ({record.status}{why}), so that its nodes received nothing",
            compute_id=record.id, status=record.status,
        )  # fmt: skip
    folder = emulator.home.compute(record.id)
    received = read_kept(folder, node) or _made_again(emulator, record, node)
    return Partition(record, node, received, read_given(folder, record.executions))


def _made_again(emulator: Emulator, record: Record, node: int) -> Received:
    """From the cut, which is made where it is not there any more."""
    spec = record.spec
    try:
        found = found_inputs(spec, emulator.partitions, emulator.store)
        if found is None:
            partitioning = emulator.partitions.ensure(CutRequest.from_json(spec["cut"]), emulator.report)
            found = node_parts(spec, partitioning), node_files(spec, emulator.store)
    except EllipsisLocalError as error:
        raise PartitionError(
            f"what node {node} of compute {record.id} received was not kept, and cannot be made again: {error}"
        ) from error
    parts, files = found
    received = Received(parts=parts[node] if parts else (), files=files)
    outcome = emulator.computes.records.nodes(record.id, results=False)[node].outcome
    return received if outcome is None else replace(received, kind=outcome.kind, text=outcome.text)
