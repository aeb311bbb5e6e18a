"""What nodes printed and logged: the lines of a compute's log, as they come."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.2
HEAD = re.compile(rb'\{"time": [^,]*, "execution": (\d+), "node": (\d+), ')
"""Of a line as nodes write it."""


@dataclass(frozen=True)
class LogLine:
    """A line that a node printed or logged; `str` of it is a line for people."""

    time: datetime
    execution: int
    node: int
    """Of the shard, where nodes have several, else of the node."""
    text: str
    unit: str = "node"
    """What the function runs on: 'node' or 'shard'."""

    @classmethod
    def of(cls, line: Mapping[str, Any], unit: str) -> LogLine:
        when = datetime.fromtimestamp(line["time"]).astimezone()
        return cls(when, line["execution"], line["node"], line["text"], unit)

    def __str__(self) -> str:
        return f"{self.time:%H:%M:%S} {self.unit} {self.node} │ {self.text}"


class LogLines(tuple[LogLine, ...]):
    """Lines that show as lines, on a terminal and in a notebook."""

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "nothing was printed or logged"

    __repr__ = __str__

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(str(self))


def read_lines(path: Path, over: Callable[[], bool]) -> Iterator[dict[str, Any] | None]:
    """The lines of a log as they come, None at each pause, until it is `over` and read to its end."""
    position, rest = 0, b""
    while True:
        # Asked before reading: what was written before the end is in the file then.
        last = over()
        if path.is_file():
            with path.open("rb") as file:
                file.seek(position)
                data = file.read()
            position += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield json.loads(line)
        yield None
        if last:
            return
        time.sleep(POLL_SECONDS)


def chosen(lines: Iterable[dict[str, Any] | None], execution: int, node: int | None) -> Iterator[dict[str, Any]]:
    """Those of one execution, and of one node or all."""
    return (line for line in lines if line and line["execution"] == execution and node in (None, line["node"]))


def count_lines(path: Path, execution: int) -> Counter[int]:
    """How many lines each node has in one execution; a page that is open asks for it again and again."""
    found: Counter[int] = Counter()
    if path.is_file():
        with path.open("rb") as file:
            # The last one may be in the course of being written.
            for text in (text for text in file if text.endswith(b"\n")):
                head = HEAD.match(text)
                line = {"execution": int(head[1]), "node": int(head[2])} if head else json.loads(text)
                if line["execution"] == execution:
                    found[line["node"]] += 1
    return found
