"""How far a pull is: told often enough to follow, seldom enough to cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ellipsis_local.clocks import monotonic

SECONDS = 0.2
"""Between two reports of the same thing; the first and the last are always told."""
UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


@dataclass(frozen=True)
class Progress:
    """One report; `str` of it is a line for people."""

    what: str
    """What is being done: 'downloading scene.tif'."""
    done: int = 0
    total: int | None = None
    """None where the service does not tell."""
    unit: str = ""
    """'bytes', 'tiles', 'pages', 'files'; '' for a report without numbers, of which there are few."""

    @property
    def passing(self) -> bool:
        """Whether it is one of many numbers, which the next one replaces."""
        return bool(self.unit)

    def __str__(self) -> str:
        if not self.unit:
            return self.what
        shown, unit = (size_text, "") if self.unit == "bytes" else ("{:,}".format, f" {self.unit}")
        total = "" if self.total is None else f" of {shown(self.total)}"
        return f"{self.what}: {shown(self.done)}{total}{unit}"


OnProgress = Callable[[Progress], None]


def size_text(number: int) -> str:
    for name, size in UNITS:
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number} B"


class Reporter:
    """Passes reports on, at most one in `SECONDS` about the same thing. What it calls may raise to end the pull."""

    def __init__(self, tell: OnProgress | None) -> None:
        self._tell = tell
        self._last: tuple[str, float] = ("", 0.0)

    def say(self, text: str) -> None:
        """A step, always told."""
        if self._tell is not None:
            self._tell(Progress(text))

    def count(self, what: str, done: int, total: int | None, unit: str) -> None:
        """A number, told now and then."""
        if self._tell is None:
            return
        now = monotonic()
        name, then = self._last
        if name != what or done == total or now - then >= SECONDS:
            self._last = (what, now)
            self._tell(Progress(what, done, total, unit))
