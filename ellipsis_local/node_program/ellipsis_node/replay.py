"""One node again, in the foreground: the terminal's streams are the function's, and a debugger's.

It is told by a JSON file what to run (`ReplayPlan`), and leaves the outcome in a file beside, as a message; exit code
0 where the node completed, 1 where it failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import traceback
from dataclasses import replace
from types import FrameType, TracebackType

from .block_hosts import close_hosts
from .params import answer_vector
from .processes import end_with_parent
from .records import NodeFunction, ReplayPlan, write_message
from .run_node import run_function

MEMORY = "it asked for more than node_memory={:,} bytes:"
TIMEOUT = "it ran longer than node_timeout={:g} s, and was here:"
INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def main(path: str) -> None:
    """Run what the file at `path` describes."""
    # Whoever waits for the outcome may be killed.
    end_with_parent()
    # Whoever started this leaves Ctrl-C to it, and a child inherits what its parent ignores.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(path, encoding="utf-8") as file:
        plan = ReplayPlan.from_json(json.load(file))
    config, command = plan.config, plan.command
    # Where C code ends the process, the stack of Python is what tells most.
    faulthandler.enable()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    if config.vectors:
        answer_vector()
    close_hosts(config.closed)
    gpus = config.gpus
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[plan.node % len(gpus)] if gpus else ""
    around = _PostMortem(command.function) if plan.pdb else _Watch(command.timeout)
    outcome = run_function(config, command, plan.node, around=around)
    if around.late is not None:
        # The last line is our own exception.
        text = TIMEOUT.format(around.late) + "\n" + outcome.text.rpartition("\n")[0]
        outcome = replace(outcome, kind="timeout", text=text)
    elif outcome.kind == "memory" and config.memory:
        outcome = replace(outcome, text=MEMORY.format(config.memory) + "\n" + outcome.text)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with open(plan.outcome + ".new", "wb") as answer:
        write_message(answer, outcome.to_json(), outcome.payload)
    os.replace(plan.outcome + ".new", plan.outcome)
    if around.interrupted:
        if not plan.pdb:
            print(outcome.text, file=sys.stderr)  # noqa: T201 - where it was
        raise SystemExit(INTERRUPTED)
    raise SystemExit(0 if outcome.state == "completed" else 1)


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

    def __init__(self, function: NodeFunction) -> None:
        super().__init__(None)
        self._function = function

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None or trace is None:
            return
        for _ in range(self._function.outer_frames):
            trace = trace.tb_next or trace
        sys.stdout.flush()
        print("".join(traceback.format_exception(kind, error, trace)), file=sys.stderr, flush=True)  # noqa: T201
        _debug(trace, self._function.filename)


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
