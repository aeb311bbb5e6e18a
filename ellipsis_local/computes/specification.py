"""What a compute is made of, checked whole before anything starts, and kept as JSON in its record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ellipsis_local import faults
from ellipsis_local.environments import Environments, Interpreter, check_requirements
from ellipsis_local.errors import ArgumentError, EnvironmentWarning
from ellipsis_local.ids import as_uuid
from ellipsis_local.nodes.gpus import visible_gpus
from ellipsis_local.notices import held_back, warn
from ellipsis_local.partitions import Cut, CutRequest, Partitions, Tree
from ellipsis_local.settings import Settings
from ellipsis_local.store import LayerStore
from ellipsis_local.types import Timestamp

__all__ = ["ComputeRequest", "Lacking", "Planning", "Specification", "check_but", "provisional", "specify"]

Lacking = tuple[tuple[str, str | None], ...]
"""Path ids with the id of a timestamp, or None for a file, that are not in the home."""


@dataclass(frozen=True)
class Planning:
    """How the layers of one compute are cut, where it is not as the settings say."""

    features: Literal["once", "intersecting"] = "once"
    cut: Cut = "balanced"
    seed: int = 0
    """Of a random cut."""
    tree: Tree = None
    """These very cells."""


@dataclass(frozen=True)
class ComputeRequest:
    """The arguments of createCompute, of the right types, not yet held against this home and machine."""

    layers: tuple[tuple[str, str], ...]
    """Path id and timestamp id of each, spelled as the caller did: the function's keys are."""
    files: tuple[str, ...] = ()
    nodes: int | None = None
    interpreter: str = "python3.12"
    requirements: tuple[str, ...] = ()
    large_result: bool = False
    enable_gpu: bool = False
    planning: Planning | None = None
    """How to cut; as the settings say where None."""

    def to_dict(self) -> dict[str, Any]:
        """Its share of a record's JSON."""
        return {
            "layers": [{"pathId": path, "timestampId": timestamp} for path, timestamp in self.layers],
            "files": list(self.files),
            "interpreter": self.interpreter,
            "requirements": list(self.requirements),
            "largeResult": self.large_result,
            "enableGpu": self.enable_gpu,
        }


@dataclass(frozen=True)
class Specification:
    """A request that can be carried out here."""

    request: ComputeRequest
    nodes: int
    interpreter: Interpreter
    environment: str
    """The environment's key."""
    cut: CutRequest | None
    """None without layers."""
    gpus: tuple[str, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """The record's JSON."""
        return {
            **self.request.to_dict(),
            "nodes": self.nodes,
            "python": list(self.interpreter.version),
            "executable": str(self.interpreter.executable),
            "environment": self.environment,
            "cut": None if self.cut is None else self.cut.to_json(),
            "gpus": None if self.gpus is None else list(self.gpus),
        }


def provisional(request: ComputeRequest, settings: Settings) -> dict[str, Any]:
    """The JSON of a record whose request is still being held against this machine; no node can start from it.

    Raises
    ------
    ArgumentError
        For an impossible number of nodes.
    """
    unknown: dict[str, Any] = {"python": [], "executable": "", "environment": "", "cut": None, "gpus": None}
    return {**request.to_dict(), "nodes": _nodes(request.nodes, settings), **unknown}


def check_but(
    lacking: Lacking, request: ComputeRequest, settings: Settings, store: LayerStore, environments: Environments
) -> None:
    """Hold all of a request against this home and machine but what is lacking, before that is fetched.

    Raises
    ------
    ArgumentError, NotFoundError, InterpreterError
        As `specify` would.
    """
    _nodes(request.nodes, settings)
    _layers(request, store, lacking)
    for path_id in request.files:
        if (as_uuid("files", path_id), None) not in lacking:
            store.get_plain_file(path_id)
    check_requirements(list(request.requirements))
    # `specify` warns where another is taken.
    with held_back():
        environments.choose(request.interpreter)


def specify(
    request: ComputeRequest,
    settings: Settings,
    store: LayerStore,
    environments: Environments,
    partitions: Partitions,
) -> Specification:
    """Hold a request against this home and machine; nothing is started or written.

    Raises
    ------
    ArgumentError, NotFoundError, LayerError, PartitionError, InterpreterError
        For the first argument that cannot be carried out, with the way out.
    """
    nodes = _nodes(request.nodes, settings)
    timestamps = _layers(request, store)
    for path_id in request.files:
        store.get_plain_file(path_id)
    requirements = check_requirements(list(request.requirements))
    interpreter = environments.choose(request.interpreter)
    cut = None
    if timestamps:
        how = request.planning or Planning(settings.features, settings.cut, settings.seed or 0)
        cut = partitions.plan(
            timestamps, nodes, crs=settings.crs, features=how.features, overlap=settings.overlap, cut=how.cut,
            seed=how.seed, tree=how.tree,
        )  # fmt: skip
    return Specification(
        request=request,
        nodes=nodes,
        interpreter=interpreter,
        environment=environments.plan(interpreter, requirements),
        cut=cut,
        gpus=_gpus(own=environments.own) if request.enable_gpu else None,
    )


def _nodes(nodes: int | None, settings: Settings) -> int:
    most = faults.most_nodes(settings.home, settings.max_nodes)
    if nodes is None:
        nodes = most
        if nodes == 0:
            # The client's own words.
            raise ArgumentError(
                "You have no compute nodes in your plan. Please update your subscription "
                "(here: configure(max_nodes=…))",
                argument="nodes",
                value=None,
            )
    if nodes < 1:
        raise ArgumentError(f"nodes must be at least 1, not {nodes}", argument="nodes", value=nodes)
    if nodes > most:
        raise ArgumentError(
            f"nodes must be at most {most}, the nodes of the plan (setting max_nodes), not {nodes}",
            argument="nodes", value=nodes,
        )  # fmt: skip
    return nodes


def _layers(request: ComputeRequest, store: LayerStore, lacking: Lacking = ()) -> list[Timestamp]:
    if not request.layers and not request.files:
        raise ArgumentError(
            "layers must hold at least one {'pathId', 'timestampId'}, unless files are given",
            argument="layers",
            value=[],
        )
    seen: set[str] = set()
    timestamps = []
    for path_id, timestamp_id in request.layers:
        if (canonical := as_uuid("timestampId", timestamp_id)) in seen:
            raise ArgumentError(
                f"layers holds timestamp {timestamp_id} twice; the function gets one value per timestamp: list it once",
                argument="layers", value=timestamp_id,
            )  # fmt: skip
        seen.add(canonical)
        if lacking and (as_uuid("pathId", path_id), canonical) in lacking:
            continue
        timestamp = store.timestamp(path_id, timestamp_id)
        if not timestamp.files:
            raise ArgumentError(
                f"layers: timestamp {timestamp_id} holds no files; add with path.{timestamp.type}.timestamp.file.add",
                argument="layers", value=timestamp_id,
            )  # fmt: skip
        if timestamp.trashed or store.path(path_id).trashed:
            raise ArgumentError(
                f"layers: timestamp {timestamp_id} or its path is in the trash; recover it first",
                argument="layers", value=timestamp_id,
            )  # fmt: skip
        if timestamp.status != "active":
            raise ArgumentError(
                f"layers: timestamp {timestamp_id} is {timestamp.status!r}, and has to be active; activate it with "
                f"path.{timestamp.type}.timestamp.activate",
                argument="layers", value=timestamp_id,
            )  # fmt: skip
        timestamps.append(timestamp)
    if len(set(request.files)) < len(request.files):
        raise ArgumentError("files holds a path twice; list it once", argument="files", value=list(request.files))
    return timestamps


def _gpus(*, own: bool) -> tuple[str, ...]:
    if own:
        warn(
            "enableGpu=True, and nodes in the calling process (inline=True) are given none: they see what it sees",
            EnvironmentWarning,
        )
        return ()
    found = visible_gpus(os.environ)
    if not found:
        warn("enableGpu=True, and this machine shows no GPU: the nodes get none", EnvironmentWarning)
    return found


def timestamp_keys(layers: Sequence[dict[str, str]]) -> dict[str, str]:
    """From a timestamp's canonical id to the spelling that the caller uses as its key."""
    return {as_uuid("timestampId", layer["timestampId"]): layer["timestampId"] for layer in layers}
