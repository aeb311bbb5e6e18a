"""One worker process: it owns some nodes of a compute, gives each its partition and runs the function on it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import replace

from .block_hosts import close_hosts
from .memory import watch_peak
from .process_state import restored
from .processes import end_with_parent
from .records import Command, NodeConfig, NodeOutcome, read_message, write_message
from .run_node import NODE_MARK, run_function

_handler: _Stderr
_libc = ctypes.CDLL(None)


def work(config: NodeConfig, slot: int, channel: socket.socket, output: int, close: list[int]) -> None:
    """Be a worker, in a freshly forked process: run the nodes that `channel` names until the host is gone."""
    config = replace(config, slot=slot)
    _begin(config, slot, output, close)
    commands, answers, own = channel.makefile("rb"), channel.makefile("wb"), os.getpid()
    while True:
        try:
            header, _ = read_message(commands)
        except EOFError:
            return
        if "command" in header:
            command = Command.from_json(header["command"])
        for node in header["nodes"]:
            outcome = _run_node(config, command, node, output)
            if os.getpid() != own:
                # A process that the function forked came back from it; the outcome is the other one's.
                return
            write_message(answers, outcome.to_json(), outcome.payload)


def _begin(config: NodeConfig, slot: int, output: int, close: list[int]) -> None:
    """Its own standard streams, signals and GPU, and an end with its host's."""
    # A host that is killed takes its workers along, whatever they are doing.
    end_with_parent()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # What the function starts would inherit that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGCHLD})
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for descriptor in [nothing, *close]:
        os.close(descriptor)
    _own_output(output)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    _log_to_stderr()
    close_hosts(config.closed)
    os.environ["CUDA_VISIBLE_DEVICES"] = config.gpus[slot % len(config.gpus)] if config.gpus else ""


def _own_output(output: int) -> None:
    for descriptor in (1, 2):
        os.dup2(output, descriptor)


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


def _run_node(config: NodeConfig, command: Command, node: int, output: int) -> NodeOutcome:
    """Run the function on one partition; the outcome as `run_function` tells it, with the peak of memory."""
    os.write(1, NODE_MARK + f"{command.execution} {node}\n".encode())
    with restored():
        peak = watch_peak()
        outcome = replace(run_function(config, command, node), peak_memory=peak())
        _end_output()
    # A function may have led them elsewhere.
    _own_output(output)
    return outcome


def _end_output() -> None:
    """See to it that all that the function wrote and logged is in the pipe before the next node's mark."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    # What C libraries printed.
    _libc.fflush(None)
    for handler in logging.getLogger().handlers:
        if type(handler).__name__ == "MultiProcessingHandler":
            _handler.settled.clear()
            handler.emit(logging.makeLogRecord({"name": _Stderr.mark}))
            _handler.settled.wait(5)
