"""Notebooks: which cell a line stands in, and what cells show."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any

FRAME = re.compile(r'File "([^"\n]+)", line')


def find_shell() -> Any:
    """IPython's shell of this process; None where there is none."""
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


def in_notebook() -> bool:
    """Whether there are cells that can show something, and not a terminal."""
    return getattr(find_shell(), "kernel", None) is not None


def display(data: dict[str, str]) -> Callable[[dict[str, str]], None]:
    """Show data, by media types, in the cell of this context; what is returned replaces them."""
    shown: Any = import_module("IPython.display").display(data, raw=True, display_id=True)

    def update(data: dict[str, str]) -> None:
        shown.update(data, raw=True)

    return update


def name_cells(text: str) -> str:
    """A traceback with the cells of this notebook as they are numbered there, in the place of the names of files."""
    # Other kernels have a shell, too, which need not be as much like IPython's.
    name_of = getattr(getattr(find_shell(), "compile", None), "format_code_name", None)
    if name_of is None:
        return text

    def named(match: re.Match[str]) -> str:
        cell = name_of(match[1])
        return match[0] if cell is None else "{} {}, line".format(*cell)

    return FRAME.sub(named, text)


def render_traceback(error: BaseException) -> list[str]:
    """The lines in which IPython shows an error: up to the user's own line, without the error that it came of."""
    shown, frames = [], error.__traceback__
    while frames is not None:
        shown.append(frames)
        frames = frames.tb_next
    kept: TracebackType | None = None
    for frames in reversed(shown):
        # It would show the last one all the same.
        if "__tracebackhide__" not in frames.tb_frame.f_locals:
            kept = TracebackType(kept, frames.tb_frame, frames.tb_lasti, frames.tb_lineno)
    cause = error.__cause__
    try:
        if cause is not None:
            error.__cause__ = None
        lines: list[str] = find_shell().InteractiveTB.structured_traceback(type(error), error, kept)
        return lines
    finally:
        if cause is not None:
            error.__cause__ = cause
