"""How far work is: told often enough to follow, seldom enough to cost nothing; and the bar for whoever waits for it."""

from __future__ import annotations

import contextlib
import functools
import html
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import TextIO

from ellipsis_local.clocks import monotonic
from ellipsis_local.notebooks import display, in_notebook

SECONDS = 0.2
"""Between two reports of the same thing; the first and the last are always told."""
PATIENCE_SECONDS = 1.0
"""What takes no longer shows nothing."""
BAR_WIDTH, LEAST_TEXT = 12, 16
"""Columns of a terminal."""
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
    """'bytes', 'tiles', 'pages', 'files', 'steps'; '' for a step, of which there are few."""

    @property
    def passing(self) -> bool:
        """Whether it is one of many numbers, which the next one replaces."""
        return bool(self.unit)

    def __str__(self) -> str:
        return f"{self.what}: {self.numbers}" if self.unit else self.what

    @property
    def numbers(self) -> str:
        """'3 of 4 tiles'; of a step, nothing."""
        if not self.unit:
            return ""
        shown, unit = (size_text, "") if self.unit == "bytes" else ("{:,}".format, f" {self.unit}")
        return f"{shown(self.done)}{'' if self.total is None else f' of {shown(self.total)}'}{unit}"


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """For whoever wants to hear nothing."""


def size_text(number: int) -> str:
    for name, size in UNITS:
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number} B"


class Reporter:
    """Passes reports on, at most one in `SECONDS` about the same thing. What it calls may raise to end the work."""

    def __init__(self, tell: OnProgress | None) -> None:
        self._tell = tell
        self._last: tuple[str, float] = ("", 0.0)

    def say(self, text: str) -> None:
        """A step in words."""
        self.step(Progress(text))

    def step(self, step: Progress) -> None:
        """A step, always told."""
        if self._tell is not None:
            self._tell(step)

    def count(self, what: str, done: int, total: int | None, unit: str) -> None:
        """A number, told now and then."""
        if self._tell is None:
            return
        now = monotonic()
        name, then = self._last
        if name != what or done == total or now - then >= SECONDS:
            self._last = (what, now)
            self._tell(Progress(what, done, total, unit))


class Bar:
    """One line for the work that somebody waits for, once it takes more than a second; gone when it is over.

    It is the last line of a terminal, on stderr, or the last output of a notebook's cell; elsewhere there is none.
    There is one for the process, as it has one terminal: of several works it shows what was told last.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._drawing = threading.RLock()
        self._step = Progress("")
        self._works = 0
        self._over = threading.Event()
        self._clear: Callable[[], None] | None = None

    def tell(self, step: Progress) -> None:
        """What is shown from now on, where anything is."""
        self._step = step

    @contextlib.contextmanager
    def working(self, text: str, wanted: Callable[[], bool]) -> Iterator[None]:
        """Show this, and what is told meanwhile, by any thread."""
        output = find_output()
        if output is None or not wanted():
            yield
            return
        with self._lock:
            former, self._step = self._step, Progress(text)
            self._works += 1
            if self._works == 1:
                self._over = threading.Event()
                # A cell's output is the cell's in whose context it is written.
                run = functools.partial(copy_context().run, self._show, output, self._over)
                self._thread = threading.Thread(target=run, name="ellipsis_local-progress", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._step, thread = former, self._thread
                self._works -= 1
                last = not self._works
                if last:
                    self._over.set()
            if last:
                thread.join()

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Make room for lines of others on the terminal."""
        with self._drawing:
            if self._clear is not None:
                self._clear()
            yield

    def _show(self, output: Output, over: threading.Event) -> None:
        begin = monotonic()
        # Whoever had stderr may have closed it.
        with contextlib.suppress(OSError, ValueError):
            if over.wait(PATIENCE_SECONDS):
                return
            with output() as (draw, clear, pause):
                self._clear = clear
                try:
                    while True:
                        with self._drawing:
                            minutes, seconds = divmod(int(monotonic() - begin), 60)
                            # A layer may be named by what moves a terminal's cursor.
                            what = "".join(one if one.isprintable() else "\ufffd" for one in self._step.what)
                            draw(replace(self._step, what=what), f"{minutes}:{seconds:02}")
                        if over.wait(pause):
                            return
                finally:
                    self._clear = None


Draw = Callable[[Progress, str], None]
"""Shows a step, and the time since the work began."""
Output = Callable[[], contextlib.AbstractContextManager[tuple[Draw, Callable[[], None] | None, float]]]
"""How to draw, what clears the line for others, and the seconds between two drawings."""


def find_output() -> Output | None:
    """Where a bar can be shown; None in tests, in files and in pipes."""
    if "PYTEST_CURRENT_TEST" in os.environ:
        return None
    if in_notebook():
        return below_cell
    stream = sys.stderr
    # TERM=dumb: what cannot go back in a line.
    if stream is None or getattr(stream, "closed", False) or not stream.isatty() or os.environ.get("TERM") == "dumb":
        return None
    return functools.partial(on_terminal, stream)


@contextlib.contextmanager
def on_terminal(stream: TextIO) -> Iterator[tuple[Draw, Callable[[], None], float]]:
    """The last line of the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    console = Console(file=stream, force_jupyter=False)
    what, told = (
        TextColumn(f"{{task.{name}}}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        for name in ("description", "fields[told]")
    )
    bars = Bars(
        what, BarColumn(BAR_WIDTH), told, console=console, auto_refresh=False, transient=True,
        # What other threads print is not ours to lead elsewhere.
        redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    bars.add_task("", total=None, visible=False, told="")
    (task,) = bars.tasks

    def draw(step: Progress, time: str) -> None:
        task.description, task.completed, task.total, task.visible = step.what, step.done, step.total, True
        task.fields["told"] = f"{step.numbers}  {time}".strip()
        # Of a narrow terminal it gets what the others leave, less a column between each two.
        what.get_table_column().max_width = max(console.width - BAR_WIDTH - len(task.fields["told"]) - 2, LEAST_TEXT)
        bars.refresh()

    def clear() -> None:
        stream.write("\r\x1b[2K")
        stream.flush()

    with bars:
        # A process that is killed would leave the terminal without one.
        console.show_cursor(True)
        yield draw, clear, 0.1


@contextlib.contextmanager
def below_cell() -> Iterator[tuple[Draw, None, float]]:
    """The last output of the cell, which is empty afterwards."""
    update = display({"text/plain": ""})

    def draw(step: Progress, time: str) -> None:
        share = "" if step.total is None else f' value="{step.done}" max="{step.total}"'
        text = " · ".join(filter(None, (step.what, step.numbers, time)))
        bar = f"<progress{share}></progress> <small>{html.escape(text)}</small>"
        update({"text/plain": f"ellipsis_local: {text}", "text/html": bar})

    try:
        yield draw, None, 0.5
    finally:
        # The empty HTML takes no room in the page, as an empty text would.
        update({"text/plain": "", "text/html": ""})


BAR = Bar()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BAR.__init__)  # type: ignore[misc]
