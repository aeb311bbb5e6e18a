"""One worker process: it owns some nodes of a compute, gives each its partition and runs the function on it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
import signal
import sys
import threading
from dataclasses import replace

from .block_hosts import close_hosts
from .memory import watch_peak
from .records import Command, NodeConfig, NodeOutcome
from .run_node import NODE_MARK, run_function

_config: NodeConfig
_handler: _Stderr


def begin(config: NodeConfig, slot: int, output: int, close: list[int]) -> None:
    """Make a freshly forked process a worker: its own standard streams, GPU, seed, and an end with its host's."""
    global _config
    _config = config
    if sys.platform == "linux":
        # A host that is killed takes its workers along, whatever they are doing.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    # The pool's own handler runs between two steps of Python; a process of the function that waits for a lock in C when
    # the signal comes would wait for ever, and the function for it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in [nothing, output, *close]:
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    _log_to_stderr()
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # forked workers would all draw the same numbers
    close_hosts(config.closed)
    os.environ["CUDA_VISIBLE_DEVICES"] = config.gpus[slot % len(config.gpus)] if config.gpus else ""
    import multiprocessing

    # Pool workers are daemonic, which would forbid the function to start processes of its own.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes records where prints go, and tells when a marked one has come through."""

    mark = "ellipsis_node.mark"

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.settled = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == self.mark:
            self.settled.set()
        else:
            super().emit(record)


def _log_to_stderr() -> None:
    """Records of the function's own loggers join its prints; those of processes that it forks come whole, too."""
    global _handler
    _handler = handler = _Stderr()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)

    def before_fork() -> None:
        # A pipe keeps only short writes whole; from here on one thread writes for all of this node's processes.
        from multiprocessing_logging import MultiProcessingHandler

        if root.handlers == [handler]:
            root.handlers[:] = [MultiProcessingHandler("node", sub_handler=handler)]

    os.register_at_fork(before=before_fork)


def hello() -> int:
    """Answered by a worker that is ready: its process id."""
    return os.getpid()


def run_node(command: Command, node: int) -> NodeOutcome:
    """Run the function on one partition; the outcome as `run_function` tells it, with the peak of memory."""
    os.write(1, NODE_MARK + f"{command.execution} {node}\n".encode())
    peak = watch_peak()
    outcome = replace(run_function(_config, command, node), peak_memory=peak())
    _end_output()
    return outcome


def _end_output() -> None:
    """See to it that all that the function wrote and logged is in the pipe before the next node's mark."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    for handler in logging.getLogger().handlers:
        if type(handler).__name__ == "MultiProcessingHandler":
            _handler.settled.clear()
            handler.emit(logging.makeLogRecord({"name": _Stderr.mark}))
            _handler.settled.wait(5)
