"""The report in a notebook's cell, drawn again as the compute goes on."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from contextvars import copy_context

from ellipsis_local.clocks import monotonic
from ellipsis_local.errors import EllipsisLocalError
from ellipsis_local.notebooks import display
from ellipsis_local.reports.summary import Report

POLL_SECONDS = 0.5
SHARE = 4
"""So many times as long as it took to read it, it is left alone: a long log takes long."""
SETTLED = ("completed", "errored", "stopped")
"""States in which nothing more happens by itself."""


def show_live(read: Callable[[], Report]) -> None:
    """Show it now, and go on in a thread until the compute has settled, or cannot be read any more."""
    report = read()
    update = display(_data(report))
    if report.facts.status not in SETTLED:
        # A cell's output is the cell's in whose context it is written.
        run = functools.partial(copy_context().run, _follow, read, update, report)
        threading.Thread(target=run, name="ellipsis_local-show", daemon=True).start()


def _follow(read: Callable[[], Report], update: Callable[[dict[str, str]], None], last: Report) -> None:
    pause = POLL_SECONDS
    # The emulator was closed, or the compute deleted: what is shown stays.
    with contextlib.suppress(EllipsisLocalError):
        while last.facts.status not in SETTLED:
            time.sleep(pause)
            begin = monotonic()
            report = read()
            pause = max(POLL_SECONDS, SHARE * (monotonic() - begin))
            if report != last:
                last = report
                update(_data(report))


def _data(report: Report) -> dict[str, str]:
    return {"text/plain": str(report), "text/html": report._repr_html_()}
