"""A node's partition and function in this very process, which is left as it was."""

from __future__ import annotations

import bdb
import contextlib
import os
import random
import sys
import weakref
from collections.abc import Iterator
from typing import Any

from ellipsis_local.errors import PartitionError
from ellipsis_local.inside.ellipsis_node.params import answer_vector, make_params
from ellipsis_local.inside.ellipsis_node.running import Program, run_function
from ellipsis_local.nodes.calling import given_function, running
from ellipsis_local.replay.given import Partition

__all__ = ["params_of", "run"]


def params_of(partition: Partition) -> dict[str, Any]:
    """What the function receives, fresh."""
    received = partition.received
    try:
        params = make_params(list(received.parts), [list(one) for one in received.files], frames={})
    except OSError as error:
        raise PartitionError(
            f"what node {partition.node} of compute {partition.record.id} received cannot be read: {error}"
        ) from error
    for value in params.values():
        if getattr(value, "_answers_vector", False):
            # geopandas is as it was when the last of them is garbage; at the interpreter's end nobody asks.
            weakref.finalize(value, answer_vector()).atexit = False
    return params


def run(
    config: dict[str, Any], partition: Partition, function: dict[str, Any], *, large: bool
) -> tuple[dict[str, Any], bytes]:
    """`run_function` with this process's working directory, random states and geopandas as before afterwards."""
    with running, given_function(function), _left_as_it_was(vectors=partition.vectors):
        return run_function(
            Program(config), partition.record.executions, partition.node, function, large,
            frames={}, interrupted=_is_ours,
        )  # fmt: skip


def _is_ours() -> bool:
    """Whether the exception being handled is for the person before the screen."""
    return isinstance(sys.exc_info()[1], KeyboardInterrupt | bdb.BdbQuit)


@contextlib.contextmanager
def _left_as_it_was(*, vectors: bool) -> Iterator[None]:
    import numpy as np

    end = answer_vector() if vectors else None
    folder = os.getcwd()  # noqa: PTH109 - handed to os.chdir
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        os.chdir(folder)
        random.setstate(states[0])
        np.random.set_state(states[1])
        if end is not None:
            end()
