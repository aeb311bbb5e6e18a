"""`ellipsis_local.testing.replay` and `inputs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import ArgumentError
from ellipsis_local.nodes import node_error
from ellipsis_local.replay.rerun import Partition, params_of, partition_of, run_here, run_inside, value_of


def replay(
    compute_id: str,
    node: int,
    *,
    f: Callable[[dict[str, Any]], Any] | None = None,
    pdb: bool = False,
    inline: bool = False,
) -> Any:
    """Run one node of the last execution again, on what it received.

    What a failed node received is kept with the compute until its next execution; of any other node it is made again
    from the layers. The record of the compute does not change, and what the function writes to its working directory
    is dropped.

    Parameters
    ----------
    compute_id : str
        Of a compute of the home in use, in whatever state it is.
    node : int
        From 0 on.
    f : function, optional
        In the place of the one that was executed: a mended one, say. Checked as `execute` does.
    pdb : bool
        Where the function raises, open pdb on the terminal, at the innermost line of the function; `node_timeout` does
        not count then. `breakpoint()` in the function works with and without.
    inline : bool
        Run in this process, with its own packages and without limits of time and memory: breakpoints set in an editor
        hold. Otherwise a process of the compute's own environment runs it, on this process's standard streams; an
        environment that was removed is built again.

    Returns
    -------
    object
        What the node returned in `execute`; of a large result its content, as ``io.BytesIO``.

    Raises
    ------
    NodeError
        The node failed again, of the class that `execute` would raise.
    NotFoundError, ArgumentError
        There is no such compute, or it has no such node.
    ComputeStateError
        The compute has not executed a function, and `f` is not given; or it was never started.
    PartitionError
        The layers are gone, and nothing was kept.
    """
    emulator = current_emulator()
    partition = _partition(compute_id, node)
    if arguments.boolean("inline", inline) and arguments.boolean("pdb", pdb):
        raise ArgumentError(
            "pdb and inline exclude each other: with inline=True the exception comes out of this very call, so start "
            "the script with `python -m pdb`, or use the debugger of your editor", argument="pdb", value=pdb,
        )  # fmt: skip
    if inline:
        outcome, large = run_here(emulator, partition, f)
    else:
        outcome, large = run_inside(emulator, partition, f, pdb=arguments.boolean("pdb", pdb))
    if outcome.state == "failed":
        raise node_error(partition.record.id, outcome)
    return value_of(partition.record.id, outcome, large)


def inputs(compute_id: str, node: int) -> dict[str, Any]:
    """What a node's function receives: the dictionary `params`, for a notebook.

    Parameters
    ----------
    compute_id : str
        Of a compute of the home in use, in whatever state it is; it need not have executed anything.
    node : int
        From 0 on.

    Returns
    -------
    dict
        Per timestamp id a raster ``{'raster': ndarray (bands, height, width), 'transform': Affine, 'extent': {'xMin',
        'xMax', 'yMin', 'yMax'}, 'crs', 'nodata'}``, with ``'mask'`` (bool, True where a pixel is valid) where its layer
        has one, or a vector's GeoDataFrame, per file's path id a BytesIO. Fresh on each call: nothing that is done to
        it reaches the store, the node, or the next call. In this process a frame answers ``['vector']``, as a node's
        does, until it is garbage.

    Raises
    ------
    NotFoundError, ArgumentError, ComputeStateError, PartitionError
        As `replay`.
    """
    return params_of(_partition(compute_id, node))


def _partition(compute_id: Any, node: Any) -> Partition:
    if isinstance(node, bool) or not isinstance(node, int):
        raise ArgumentError(f"node must be of type int, not {type(node).__name__}", argument="node", value=node)
    return partition_of(current_emulator(), arguments.uuid_text("compute_id", compute_id), node)
