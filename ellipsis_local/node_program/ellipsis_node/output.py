"""What nodes print and log, gathered in one file per compute: JSON lines with time, execution, node and text."""

from __future__ import annotations

import json
import os
import selectors
import threading
import time
from typing import BinaryIO

from .run_node import NODE_MARK

KEPT_BYTES = 1024 * 1024
"""Kept of one node in one execution; a node that prints more is told so in its log."""
LONGEST_LINE = 64 * 1024
END_MARK = NODE_MARK + b"end\n"


class Source:
    """The stream of one worker, and which node its bytes belong to; a pipe, unless the descriptor is -1."""

    def __init__(self, descriptor: int = -1) -> None:
        self.descriptor = descriptor
        self.rest = b""
        self.execution = self.node = -1
        self.kept = self.dropped = 0
        self.ended = threading.Event()


class Recorder:
    """Writes what nodes print into `log`, each line with its node, and with `clock` where time stands still."""

    def __init__(self, log: BinaryIO, clock: float | None = None) -> None:
        self._log = log
        self._clock = clock

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
                self._write(source, before)
            if mark:
                self._switch(source, rest)
        if len(source.rest) > LONGEST_LINE:
            self._write(source, source.rest)
            source.rest = b""

    def _switch(self, source: Source, mark: bytes) -> None:
        if source.dropped:
            self._record(source, f"… {source.dropped:,} more bytes of this node's output were not kept")
        source.kept = source.dropped = 0
        self._log.flush()
        if mark == END_MARK[len(NODE_MARK) : -1]:
            source.ended.set()
            return
        parts = mark.split()
        if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit():
            source.execution, source.node = int(parts[0]), int(parts[1])

    def _write(self, source: Source, line: bytes) -> None:
        if source.kept >= KEPT_BYTES:
            source.dropped += len(line) + 1
            return
        source.kept += len(line) + 1
        self._record(source, line.decode("utf-8", "backslashreplace"))

    def _record(self, source: Source, text: str) -> None:
        record = {"time": self._now(), "execution": source.execution, "node": source.node, "text": text}
        self._log.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def _now(self) -> float:
        return round(time.time() if self._clock is None else self._clock, 3)


class Collector:
    """A thread that drains the workers' pipes, so that no node ever waits for its output to be read."""

    def __init__(self, recorder: Recorder, workers: int) -> None:
        self._take = recorder.take
        self._selector = selectors.DefaultSelector()
        self._sources: list[Source] = []
        self.pipes: list[int] = []
        for _ in range(workers):
            read, write = os.pipe()
            source = Source(read)
            self._selector.register(read, selectors.EVENT_READ, source)
            self._sources.append(source)
            self.pipes.append(write)
        threading.Thread(target=self._drain, daemon=True).start()

    def settle(self) -> None:
        """Wait until all that the workers have written is in the file."""
        for source, pipe in zip(self._sources, self.pipes):  # noqa: B905 - strict= is not in 3.9
            source.ended.clear()
            os.write(pipe, END_MARK)
        for source in self._sources:
            source.ended.wait(10)

    def _drain(self) -> None:
        while True:
            for key, _ in self._selector.select():
                source: Source = key.data
                self._take(source, os.read(source.descriptor, 1 << 18))
