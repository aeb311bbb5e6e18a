"""What is known of an execution, node by node."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from ellipsis_local.errors import EllipsisLocalError
from ellipsis_local.log_lines import count_lines
from ellipsis_local.partitions import CutRequest, Shards
from ellipsis_local.processes import available_cores

if TYPE_CHECKING:
    from ellipsis_local.computes.records import NodeRecord, Record
    from ellipsis_local.emulator import Emulator
    from ellipsis_local.partitions import Part


@dataclass(frozen=True)
class NodeFacts:
    """One node in the last execution; None is what is not known."""

    node: int
    state: str
    """queued, ready, waiting, executing, completed, failed or stopped."""
    extent: dict[str, float] | None
    """xMin, xMax, yMin, yMax in the compute's CRS, without the overlap."""
    seconds: float | None
    peak_memory: int | None
    """Bytes; see `NodeOutcome.peak_memory`."""
    result_size: int | None
    """Bytes."""
    log_lines: int
    pixels: int | None
    """Of all raster layers together, each counted once whatever its bands."""
    features: int | None
    failure: str | None = None
    """exception, result, memory, storage, timeout, died or engine."""
    text: str = ""
    """Of a failure."""
    upload: bool = False
    """Whether its result was added to a layer."""
    machine: str | None = None
    """Where it ran; None for this one."""


@dataclass(frozen=True)
class ShardFacts:
    """How the service would cut the layers, as far as rasters tell it."""

    count: int
    size: int
    """Pixels along each side, the buffer included."""
    buffer: int
    """Pixels on each side that the neighbours have as well."""
    overlap: float
    """Metres on each side of a seam that both shards have."""
    seams: tuple[tuple[float, ...], tuple[float, ...]]
    """x, then y of the lines at which the cores of shards meet."""

    @classmethod
    def of(cls, cut: CutRequest) -> ShardFacts | None:
        """Of a cut into shards; None where features alone decide."""
        shards = cut.tree
        if not isinstance(shards, Shards) or shards.covered is None:
            return None
        cores = [shards.extent(place, core=True) for place in shards.places]
        seams = sorted({core.x_min for core in cores})[1:], sorted({core.y_max for core in cores})[:-1]
        return cls(len(cores), shards.size, shards.buffer, cut.overlap, (tuple(seams[0]), tuple(seams[1])))


@dataclass(frozen=True)
class Facts:
    id: str
    status: str
    message: str
    execution: int
    """The number of the last one; 0 before the first."""
    crs: str | None
    large: bool
    layers: bool
    """Whether there are layers; without them every node gets the same."""
    most_nodes: int
    cores: int
    """Nodes that run at the same time, at most."""
    memory: int
    """Of the machine, in bytes."""
    nodes: tuple[NodeFacts, ...]
    """One per partition."""
    asked: int
    """The number of nodes that createCompute was given."""
    unit: str = "node"
    """What the function runs on: node, or shard, of which a node may have several."""
    shards: ShardFacts | None = None

    @property
    def completed(self) -> tuple[NodeFacts, ...]:
        return tuple(node for node in self.nodes if node.state == "completed")

    @property
    def failed(self) -> tuple[NodeFacts, ...]:
        return tuple(node for node in self.nodes if node.state == "failed")

    @property
    def seconds(self) -> list[float]:
        return [node.seconds for node in self.completed if node.seconds is not None]


def imbalance(values: Sequence[float | None]) -> float | None:
    """The largest over the mean; None where one is not known, or there is nothing to compare."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < len(values) or len(known) < 2 or sum(known) <= 0:
        return None
    return max(known) * len(known) / sum(known)


def read_facts(emulator: Emulator, record: Record) -> Facts:
    spec, settings = record.spec, emulator.settings
    # Where the cut is still there.
    found = None if spec.cut is None else emulator.partitions.find(spec.cut)
    parts = () if found is None else found.parts
    lines = count_lines(emulator.home.compute(record.id) / "log.jsonl", record.executions)
    nodes = emulator.computes.records.nodes(record.id)
    return Facts(
        id=record.id,
        status=record.status,
        message=record.message,
        execution=record.executions,
        crs=None if spec.cut is None else spec.cut.crs,
        large=spec.request.large_result,
        layers=bool(spec.request.layers),
        most_nodes=settings.max_nodes,
        cores=1 if settings.inline else settings.cores or available_cores(),
        memory=psutil.virtual_memory().total,
        nodes=tuple(_node(node, lines[node.node], parts[node.node] if parts else None) for node in nodes),
        asked=spec.nodes,
        unit=spec.unit,
        shards=_shards(emulator, record),
    )


def _shards(emulator: Emulator, record: Record) -> ShardFacts | None:
    spec, settings = record.spec, emulator.settings
    if spec.cut is None or spec.cut.cut == "shards":
        return None if spec.cut is None else ShardFacts.of(spec.cut)
    # Layers may be gone by now.
    with contextlib.suppress(EllipsisLocalError):
        found = [emulator.store.timestamp(*layer) for layer in spec.request.layers]
        shards = Shards(settings.shard_size, settings.shard_buffer)
        return ShardFacts.of(emulator.partitions.plan(found, spec.nodes, cut="shards", shards=shards))
    return None


def _node(node: NodeRecord, lines: int, parts: Sequence[Part] | None) -> NodeFacts:
    outcome = node.outcome
    rasters = [part.shape for part in parts or () if part.type == "raster"]
    vectors = [part.rows for part in parts or () if part.type == "vector"]
    failed = outcome is not None and outcome.state == "failed"
    return NodeFacts(
        node=node.node,
        state=node.state,
        extent=node.extent,
        seconds=outcome.seconds if outcome else None,
        peak_memory=outcome.peak_memory if outcome else None,
        result_size=outcome.size if outcome is not None and not failed else None,
        log_lines=lines,
        pixels=sum(math.prod(shape[-2:]) for shape in rasters) if rasters else None,
        features=sum(vectors) if vectors else None,
        failure=(outcome.kind or "engine") if outcome is not None and failed else None,
        text=outcome.text if outcome is not None and failed else "",
        upload=node.upload is not None,
        machine=outcome.machine if outcome else None,
    )
