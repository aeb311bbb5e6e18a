"""Notebooks: which cell a line stands in."""

from __future__ import annotations

import re
import sys
from typing import Any

FRAME = re.compile(r'File "([^"\n]+)", line')


def find_shell() -> Any:
    """IPython's shell of this process; None where there is none."""
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


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
