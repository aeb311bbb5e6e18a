"""Faults on purpose, for the time of a `with` block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ellipsis_local import faults as room
from ellipsis_local.emulator import current_emulator


@contextlib.contextmanager
def faults(
    *,
    requirements: str | None = None,
    starting_polls: int | None = None,
    killed: Iterable[int] | None = None,
    slow: Mapping[int, float] | None = None,
    out_of_memory: Iterable[int] | None = None,
    raising: Mapping[int, BaseException | type[BaseException] | str] | None = None,
    oversized: Iterable[int] | None = None,
    errored: str | None = None,
    terminated_after: int | None = None,
    no_nodes: bool | None = None,
    vanished: Iterable[str] | None = None,
    dropped: int | str | Mapping[str, int] | None = None,
    dropped_after: int | str | Mapping[str, int] | None = None,
    **unknown: Any,
) -> Iterator[room.Plan]:
    """Let things go wrong in the home in use, until the block ends.

    They go wrong the way that they really would, with the same errors, messages and states in `getComputeInfo`, for the
    emulators of this process on that home: the public functions', and a server's (`ellipsis_local.serve`). Nothing
    depends on time. Blocks nest; where two name the same, the inner one counts.

    Parameters
    ----------
    requirements : str
        Environments cannot be built, not even found; this is what the installer says. Computes become `errored`.
    starting_polls : int
        A compute made with awaitTillStarted=False, or over a server, is shown as `queued` or `starting` so many times,
        by getComputeInfo, listComputes or GET /compute, and by the next one as what became of it. A createCompute that
        waits asks by itself, and takes no longer. When the block ends, computes start without further polls.
    killed : list of int
        Nodes whose process is ended by SIGKILL before the function begins.
    slow : dict
        Seconds by which nodes take longer; the setting `node_timeout` counts them.
    out_of_memory : list of int
        Nodes that get a MemoryError as soon as the function begins.
    raising : dict
        Per node an exception, or the text of a RuntimeError, that the first line of the function raises. Of a class
        that the environment lacks, one of the same name is raised.
    oversized : list of int
        Nodes whose small result is larger than the 2 MB that it may have. Of a compute with largeResult nothing is.
    errored : str
        An execution ends with its compute `errored` and this message, as the service's can (seen in the client); none
        of its nodes begins. The compute is over: see the setting `failed_status`.
    terminated_after : int
        An execution's compute is terminated, as another process would do it, when so many nodes are done.
    no_nodes : bool
        The account's plan has no nodes: `maxComputeNodes` is 0.
    vanished : list of str
        Ids of timestamps that createCompute finds, and whose files are gone when the nodes need them: the compute
        becomes `errored`, and an execution that has to start its nodes again fails. Nodes that run have theirs.
    dropped, dropped_after : int, str or dict
        Over a server: the connection of the next requests is cut without an answer, before anything is done, or so
        that the work is done nevertheless. A number of requests; or which one, with ``*`` for any text:
        ``'POST /compute'``, ``'/compute/*/execute'``; or a dictionary from such texts to numbers. Paths are without
        /v3.

    Yields
    ------
    ellipsis_local.faults.Plan
        `happened` is a tuple of texts: what went wrong so far. It is empty where nothing met its fault.

    Raises
    ------
    ArgumentError
        For an unknown fault, an impossible value, or a node that is to end in two ways; nothing goes wrong then.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> compute = el.compute.createCompute([dem], token, nodes=2)['id']
    >>> def f(params):
    ...     return 1
    >>> with el.testing.faults(raising={1: 'the disk is full'}) as plan:
    ...     el.compute.execute(compute, f, token)
    Traceback (most recent call last):
        ...
    ellipsis_local.errors.NodeError: node 1 of compute ... failed: ...
    >>> plan.happened
    ('node 1: raise',)
    """
    given = {name: value for name, value in locals().items() if name != "unknown"}
    plan = room.Plan(given | unknown)
    with room.active(current_emulator().home.root, plan):
        yield plan
