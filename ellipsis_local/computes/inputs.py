"""What each node of a compute is given: its parts of the layers, the files, and an environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ellipsis_local.computes.specification import timestamp_keys
from ellipsis_local.environments import Environment, Environments, Interpreter, choose_interpreter, find_interpreters
from ellipsis_local.home import Home
from ellipsis_local.nodes import Parts
from ellipsis_local.partitions import CutRequest, Partitioning, Partitions
from ellipsis_local.store import LayerStore

__all__ = ["found_inputs", "node_environment", "node_files", "node_parts"]


def node_parts(spec: dict[str, Any], partitioning: Partitioning | None) -> Parts:
    """Per node its parts, under the keys that the function finds them by; empty without layers."""
    if partitioning is None:
        return ()
    keys, crs = timestamp_keys(spec["layers"]), partitioning.crs
    return tuple(tuple({**part, "id": keys[part["id"]], "crs": crs} for part in node) for node in partitioning.parts)


def node_files(spec: dict[str, Any], store: LayerStore) -> tuple[tuple[str, str], ...]:
    """Path id and location of the files that every node receives; NotFoundError where one is gone."""
    return tuple((path_id, str(store.get_plain_file(path_id).location)) for path_id in spec["files"])


def found_inputs(
    spec: dict[str, Any], partitions: Partitions, store: LayerStore
) -> tuple[Parts, tuple[tuple[str, str], ...]] | None:
    """Parts and files as they are now; None where the cut would have to be made first."""
    cut = None if spec["cut"] is None else partitions.find(CutRequest.from_json(spec["cut"]))
    if cut is None and spec["cut"] is not None:
        return None
    return node_parts(spec, cut), node_files(spec, store)


def node_environment(
    spec: dict[str, Any], environments: Environments, home: Home, report: Callable[[str], None]
) -> Environment:
    """The environment that the compute was made with, built again where it was removed.

    Raises
    ------
    InterpreterError, EnvironmentBuildError
        Where that cannot be done any more.
    """
    found = environments.get(spec["environment"])
    return found or environments.ensure(_interpreter(spec, home), tuple(spec["requirements"]), report)


def _interpreter(spec: dict[str, Any], home: Home) -> Interpreter:
    """The interpreter that the compute was made with, or, where that is gone, the one that its name gives today."""
    for interpreter in find_interpreters(home):
        if str(interpreter.executable) == spec["executable"]:
            return interpreter
    return choose_interpreter(spec["interpreter"], home)
