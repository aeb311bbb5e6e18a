"""One node again, in the foreground: the terminal's streams are the function's, and a debugger's.

It is told by a JSON file what to run, and leaves the outcome in a file beside, as a message of `frames`; exit code 0
where the node completed, 1 where it failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import logging
import os
import signal
import sys
import time
import traceback
from types import FrameType, TracebackType
from typing import Any

from .frames import write_frame
from .offline import close_hosts
from .params import answer_vector
from .running import Program, run_function

__all__ = ["main"]

MEMORY = "it asked for more than node_memory={:,} bytes:"
TIMEOUT = "it ran longer than node_timeout={:g} s, and was here:"
INTERRUPTED = 130


def main(path: str) -> None:
    """Run what the file at `path` describes."""
    if sys.platform == "linux":
        # Whoever waits for the outcome may be killed.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    # Whoever started this leaves Ctrl-C to it, and a child inherits what its parent ignores.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    # Where C code ends the process, the stack of Python is what tells most.
    faulthandler.enable()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    if plan["vectors"]:
        answer_vector()
    program = Program(plan["program"])
    close_hosts(program.closed)
    gpus = program.gpus
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[plan["node"] % len(gpus)] if gpus else ""
    around = _PostMortem(plan) if plan["pdb"] else _Watch(plan["timeout"])
    started = time.perf_counter()
    header, payload = run_function(
        program, plan["execution"], plan["node"], plan["function"], plan["large"], around=around
    )
    header.update(node=plan["node"], seconds=time.perf_counter() - started)
    if around.late is not None:
        # The last line is our own exception.
        header.update(kind="timeout", text=TIMEOUT.format(around.late) + "\n" + header["text"].rpartition("\n")[0])
    elif header.get("kind") == "memory" and program.memory:
        header["text"] = MEMORY.format(program.memory) + "\n" + header["text"]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with open(plan["outcome"] + ".new", "wb") as answer:
        write_frame(answer, header, payload)
    os.replace(plan["outcome"] + ".new", plan["outcome"])
    if around.interrupted:
        if not plan["pdb"]:
            print(header["text"], file=sys.stderr)  # noqa: T201 - where it was
        raise SystemExit(INTERRUPTED)
    raise SystemExit(0 if header["state"] == "completed" else 1)


class _TooLateError(BaseException):
    """The function's time is over; not an Exception, which the function might catch."""


class _Watch:
    """Around the function: the time limit, and whether somebody pressed Ctrl-C."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self.late: float | None = None
        self.interrupted = False

    def __enter__(self) -> None:
        if self._timeout is not None:
            signal.signal(signal.SIGALRM, self._ring)
            signal.setitimer(signal.ITIMER_REAL, self._timeout)

    def _ring(self, _: int, __: FrameType | None) -> None:
        self.late = self._timeout
        raise _TooLateError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timeout is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if error is None or not isinstance(error, _TooLateError):
            self.late = None
        self.interrupted = isinstance(error, KeyboardInterrupt)


class _PostMortem(_Watch):
    """Around the function: the debugger where it raised; without a time limit, because a person thinks longer."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__(None)
        function = plan["function"]
        self._file = function.get("filename")
        self._wrapped = function["kind"] == "source" and function.get("wrapped", True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None or trace is None:
            return
        # Our own frame, and the line that wraps the text.
        for _ in range(2 if self._wrapped else 1):
            trace = trace.tb_next or trace
        sys.stdout.flush()
        print("".join(traceback.format_exception(kind, error, trace)), file=sys.stderr, flush=True)  # noqa: T201
        _debug(trace, self._file)


def _debug(trace: TracebackType, file: str | None) -> None:
    """pdb on a traceback, at the innermost line of the user's own file."""
    import pdb

    places = []
    step: TracebackType | None = trace
    while step is not None:
        places.append(step.tb_frame.f_code.co_filename)
        step = step.tb_next
    own = [number for number, name in enumerate(places) if name == (file or places[0])]
    debugger = pdb.Pdb(nosigint=False)
    debugger.reset()
    above = len(places) - 1 - own[-1] if own else 0
    if above:
        # The error came out of a library, whose lines say less than the one that called it.
        debugger.cmdqueue.append(f"up {above}")
    debugger.interaction(None, trace)
