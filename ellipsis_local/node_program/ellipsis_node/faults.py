"""Faults on purpose, as `ellipsis_local.testing.faults` asks for them: what a node does besides, or for, the function.

They come with the function (`NodeFunction.faults`), per node a list. What follows from them is what follows
from the real thing: nothing else in this program knows of them.
"""

from __future__ import annotations

import builtins
import os
import signal
import time
from typing import Any, Callable

from .records import NodeFunction


class NodeEndedError(Exception):
    """In the place of a signal that would end this process, where the process is the caller's own; the text says so."""


def faulty(
    call: Callable[[Any], Any], function: NodeFunction, node: int, limit: int | None, own_process: bool
) -> Callable[[Any], Any]:
    """The function as it is to run on this node: `call` itself, where nothing is asked for; a slow node is slow here.

    `limit` is how many bytes a small result may take, None for a large one; `own_process` whether the node may end its
    process.
    """
    for fault in function.faults.get(str(node), ()):
        if fault["do"] == "sleep":
            time.sleep(fault["seconds"])
        elif fault["do"] == "kill":
            call = _killed(own_process)
        elif fault["do"] == "memory":
            call = _raising(MemoryError("a fault on purpose: no memory is left"), function)
        elif fault["do"] == "raise":
            call = _raising(_exception(fault), function)
        elif limit is not None:
            call = _oversized(call, limit)
    return call


def _killed(own_process: bool) -> Callable[[Any], Any]:
    def killed(_: Any) -> Any:
        if not own_process:
            raise NodeEndedError("its process was ended by SIGKILL")
        os.kill(os.getpid(), signal.SIGKILL)

    return killed


def _oversized(call: Callable[[Any], Any], limit: int) -> Callable[[Any], Any]:
    def oversized(params: Any) -> Any:
        call(params)
        return "x" * (limit + 1)

    return oversized


def _raising(error: BaseException, function: NodeFunction) -> Callable[[Any], Any]:
    """A function that raises, as if the first line of the user's own did."""
    scope: dict[str, Any] = {"error": error}
    text = "\n" * (function.line - 1) + "def f(params): raise error"
    code = compile(text, function.filename or "<function>", "exec", dont_inherit=True)
    exec(code, scope)  # noqa: S102 - our own line
    made: Callable[[Any], Any] = scope["f"]
    return made


def _exception(fault: dict[str, Any]) -> BaseException:
    """The exception asked for; of a class that this Python does not have by itself one of the same name."""
    found = getattr(builtins, fault["name"], None) if fault["module"] == "builtins" else None
    if isinstance(found, type) and issubclass(found, BaseException) and fault["args"] is not None:
        return found(*fault["args"])
    made = type(fault["name"].rpartition(".")[2], (Exception,), {"__module__": fault["module"]})
    error: BaseException = made(fault["text"])
    return error
