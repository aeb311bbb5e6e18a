"""What nodes print and log, gathered in one file per compute: JSON lines with time, execution, node and text."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from typing import BinaryIO, List

from .run_node import NODE_MARK

KEPT_BYTES = 1024 * 1024
"""Kept of one node in one execution; a node that prints more is told so in its log."""
LONGEST_LINE = 64 * 1024
PIPE_BYTES = 1 << 20
"""More than a pipe holds."""
END_MARK = NODE_MARK + b"end\n"


class Source:
    """The stream of one worker, and which node its bytes belong to."""

    def __init__(self) -> None:
        self.rest = b""
        self.execution = self.node = -1
        self.kept = self.dropped = 0


class Pipe(Source):
    """The stream of a worker in a process of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)


class Recorder:
    """Writes what nodes print into `log`, which has no buffer, each line with its node.

    With `clock`, time stands still.
    """

    def __init__(self, log: BinaryIO, clock: float | None = None) -> None:
        self._log = log
        self._clock = clock
        self._lines: List[bytes] = []
        self._lost = 0
        """Lines for which there was no room."""

    def drain(self, pipe: Pipe) -> None:
        """Take what is in a pipe."""
        taken = 0
        try:
            # The worker may write on without end.
            while taken < PIPE_BYTES:
                data = os.read(pipe.reading, 1 << 18)
                self.take(pipe, data)
                taken += len(data)
        except BlockingIOError:
            pass

    def end(self, source: Source) -> None:
        """The node's output is over: a line without an end is one, too."""
        self.take(source, END_MARK)

    def take(self, source: Source, data: bytes) -> None:
        """More bytes of a stream: output, and the marks that tell whose it is."""
        data = source.rest + data
        if source.kept >= KEPT_BYTES:
            # A gigabyte of prints is not looked at line by line.
            start = data.find(NODE_MARK)
            keep = start if start >= 0 else len(data) - (len(NODE_MARK) - 1 if b"\0" in data[-len(NODE_MARK) :] else 0)
            source.dropped += keep
            data = data[keep:]
        *lines, source.rest = data.split(b"\n")
        for line in lines:
            before, mark, rest = line.partition(NODE_MARK)
            if before or not mark:
                self._keep(source, before)
            if mark:
                self._switch(source, rest)
        if len(source.rest) > LONGEST_LINE:
            self._keep(source, source.rest)
            source.rest = b""
        if self._lines:
            self._write(source)

    def _write(self, source: Source) -> None:
        """At once, for whoever watches, and for what may end this process; what a full disk refuses is counted."""
        if self._lost:
            self._record(source, f"… {self._lost:,} lines before the last ones could not be written")
        end = os.fstat(self._log.fileno()).st_size
        try:
            data = b"".join(self._lines)
            while data:
                data = data[self._log.write(data) :]
            self._lost = 0
        except OSError:
            self._lost += len(self._lines) - bool(self._lost)
            # Half a line would be read as none of JSON.
            with suppress(OSError):
                os.ftruncate(self._log.fileno(), end)
        self._lines.clear()

    def _switch(self, source: Source, mark: bytes) -> None:
        if source.dropped:
            self._record(source, f"… {source.dropped:,} more bytes of this node's output were not kept")
        source.kept = source.dropped = 0
        parts = mark.split()
        if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit():
            source.execution, source.node = int(parts[0]), int(parts[1])

    def _keep(self, source: Source, line: bytes) -> None:
        if source.kept >= KEPT_BYTES:
            source.dropped += len(line) + 1
            return
        source.kept += len(line) + 1
        self._record(source, line.decode("utf-8", "backslashreplace"))

    def _record(self, source: Source, text: str) -> None:
        now = round(time.time() if self._clock is None else self._clock, 3)
        record = {"time": now, "execution": source.execution, "node": source.node, "text": text}
        self._lines.append(json.dumps(record, ensure_ascii=False).encode() + b"\n")
