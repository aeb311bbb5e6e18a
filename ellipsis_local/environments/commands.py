"""Commands that end with whoever asked for them: after an interrupt, when that is closed, when this process dies."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from ellipsis_local.errors import EnvironmentBuildError
from ellipsis_local.processes import run

LOOK_SECONDS = 0.1
GUARD = 'read -r _ || kill -s KILL -- "-$0"'
"""What a shell does that reads from a pipe of this process: end the group when this process is gone."""


class Commands:
    """The commands of one build. Any thread may end them."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self.lease: int | None = None
        """An open file that they inherit."""
        self.log: BinaryIO | None = None
        """Where their output goes as it comes, for whoever watches."""

    def end(self) -> None:
        """End what runs, with all that it started; nothing runs any more."""
        self._ended.set()

    def wait(self) -> None:
        """For a moment; EnvironmentBuildError where they have ended."""
        self._ended.wait(LOOK_SECONDS)
        self._check()

    def run(
        self, command: Sequence[str], seconds: float = math.inf, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """As `subprocess.run`, with its standard output; EnvironmentBuildError where it was ended."""
        self._check()
        inherited = () if self.lease is None else (self.lease,)
        options |= {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "pass_fds": inherited}
        options |= {} if self.log is None else {"heard": self._write}
        done = run(command, seconds, over=lambda: self._is_over, around=_guarded, **options)
        self._check()
        return done

    def _write(self, piece: bytes) -> None:
        # The log is for watching alone: on a full disk the installer has its own words.
        with contextlib.suppress(OSError):
            if self.log is not None:
                self.log.write(piece)

    @property
    def _is_over(self) -> bool:
        # A thread that the interpreter only waits for, because Ctrl-C ended the main one, is not worth that.
        interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt and not threading.main_thread().is_alive()
        return self._ended.is_set() or interrupted

    def _check(self) -> None:
        if self._is_over:
            raise EnvironmentBuildError("the environment was not made: who asked for it was interrupted or closed")


@contextlib.contextmanager
def _guarded(group: int) -> Iterator[None]:
    """End a group when this process ends, in whatever way, where there is a shell."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            null = subprocess.DEVNULL
            command = ["/bin/sh", "-c", GUARD, str(group)]
            guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True)
            stack.enter_context(guard)
            stack.callback(guard.kill)
        yield
