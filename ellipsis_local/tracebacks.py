"""What users see of an error: their own lines. An error of ours says what is wrong; how we found it is no help."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ellipsis_local.errors import EllipsisLocalError

PACKAGE = f"{Path(__file__).parent}{os.sep}"

Function = TypeVar("Function", bound=Callable[..., Any])


def is_ours(file: str) -> bool:
    return file.startswith(PACKAGE)


def short_traceback(function: Function) -> Function:
    """A function for users: the traceback of an error of ours ends at it, and keeps the error's cause.

    Any other exception is a bug here, or the user's own, and keeps its whole traceback.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # IPython and pytest leave such frames out
        try:
            return function(*args, **kwargs)
        except EllipsisLocalError as error:
            found = error
        # Not in the block: what the caller is handling itself stays its context.
        try:
            raise found.with_traceback(None)
        finally:
            del found  # it holds this frame

    return call  # type: ignore[return-value]


def hide_ours(shown: traceback.TracebackException) -> None:
    """Drop our frames, those of the causes too, and causes that have no others."""
    kept = [frame for frame in shown.stack if not (is_ours(frame.filename) or frame.filename == "<string>")]
    shown.stack = traceback.StackSummary.from_list(kept)
    for name in ("__cause__", "__context__"):
        chained = getattr(shown, name)
        if chained is not None:
            hide_ours(chained)
            if not chained.stack:
                setattr(shown, name, None)
