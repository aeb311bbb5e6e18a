"""What each node of a compute is given: its parts of the layers, the files, and an environment."""

from __future__ import annotations

import os
from dataclasses import replace

from ellipsis_local import faults
from ellipsis_local.computes.specification import Specification
from ellipsis_local.environments import Commands, Environment, Environments, choose_interpreter, find_interpreters
from ellipsis_local.home import Home
from ellipsis_local.ids import as_uuid
from ellipsis_local.node_program.ellipsis_node.records import NodeFile, moved
from ellipsis_local.nodes import Parts
from ellipsis_local.partitions import Partitioning, Partitions
from ellipsis_local.progress import OnProgress
from ellipsis_local.store import LayerStore


def node_parts(spec: Specification, partitioning: Partitioning | None) -> Parts:
    """Per node its parts, under the keys that the function finds them by; empty without layers."""
    if partitioning is None:
        return ()
    # Ids are spelled as the caller spelled them.
    keys = {as_uuid("timestampId", timestamp_id): timestamp_id for _, timestamp_id in spec.request.layers}
    return tuple(tuple(replace(part, id=keys[part.id]) for part in node) for node in partitioning.parts)


def named_parts(spec: Specification, partitioning: Partitioning | None, home: Home) -> Parts:
    """As `node_parts`, each file by its name in the folder of cuts, which begins with the key of its content."""
    below = f"{home.cuts}{os.sep}"
    found = node_parts(spec, partitioning)
    return tuple(tuple(moved(part, lambda path: path.removeprefix(below)) for part in node) for node in found)


def node_files(spec: Specification, store: LayerStore) -> tuple[NodeFile, ...]:
    """The files that every node receives; NotFoundError where one is gone."""
    return tuple(NodeFile(path_id, str(store.get_plain_file(path_id).location)) for path_id in spec.request.files)


def found_inputs(
    spec: Specification, partitions: Partitions, store: LayerStore
) -> tuple[Parts, tuple[NodeFile, ...]] | None:
    """Parts and files as they are now; None where the cut would have to be made first."""
    cut = None if spec.cut is None else partitions.find(spec.cut)
    if cut is None and spec.cut is not None:
        return None
    return node_parts(spec, cut), node_files(spec, store)


def node_environment(
    spec: Specification, environments: Environments, home: Home, report: OnProgress, commands: Commands | None = None
) -> Environment:
    """The environment that the compute was made with, built where it is not there (any more), until `commands` end."""
    faults.build(home.root, spec.request.requirements)
    found = environments.use(spec.environment)
    if found is None:
        # Where its interpreter is gone, the one that the name gives today.
        same = (one for one in find_interpreters(home, commands=commands) if str(one.executable) == spec.executable)
        interpreter = next(same, None) or choose_interpreter(spec.request.interpreter, home, commands=commands)
        return environments.ensure(interpreter, spec.request.requirements, report, commands)
    return found
