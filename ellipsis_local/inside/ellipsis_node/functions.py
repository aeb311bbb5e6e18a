"""The caller's function, from what was sent of it."""

from __future__ import annotations

import ast
import base64
import linecache
import sys
import traceback
from typing import Any, Callable

__all__ = ["FunctionError", "load_function", "user_traceback"]

_functions: dict[str, Callable[[Any], Any]] = {}


class FunctionError(Exception):
    """The caller's function raised, or could not be made; the text is its traceback, without our own frames."""


def user_traceback(skip: int) -> str:
    """The exception being handled, without the first frames, which are ours."""
    kind, error, trace = sys.exc_info()
    if kind is None or error is None:
        raise RuntimeError("no exception is being handled")
    for _ in range(skip):
        if trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
    return "".join(traceback.format_exception(kind, error.with_traceback(trace), trace)).strip()


def load_function(description: dict[str, Any]) -> Callable[[Any], Any]:
    key = description["key"]
    if key not in _functions:
        _functions.clear()
        if description["kind"] == "pickle":
            import cloudpickle

            try:
                _functions[key] = cloudpickle.loads(base64.b64decode(description["pickle"]))
            except BaseException:  # noqa: BLE001 - told to the caller
                raise FunctionError(user_traceback(1)) from None
        else:
            _functions[key] = _compile(description)
    return _functions[key]


def _compile(description: dict[str, Any]) -> Callable[[Any], Any]:
    """The text that the service gets, compiled so that tracebacks point into the file it was written in."""
    text, file, first = description["text"], description["filename"], description["line"]
    scope: dict[str, Any] = {"__name__": "userFunction", "__builtins__": __builtins__}
    try:
        tree = ast.parse(text)
        # The text starts with one line of its own, before the first line of the function.
        for node in ast.walk(tree):
            for name in ("lineno", "end_lineno"):
                if getattr(node, name, None) is not None:
                    setattr(node, name, max(1, getattr(node, name) + first - 2))
        lines = [""] * (first - 1) + [line + "\n" for line in description["source"].splitlines()]
        linecache.cache[file] = (len(description["source"]), None, lines, file)
        exec(compile(tree, file, "exec", dont_inherit=True), scope)  # noqa: S102 - what a node is for
    except BaseException:  # noqa: BLE001 - told to the caller
        raise FunctionError(user_traceback(1)) from None
    function: Callable[[Any], Any] = scope["userFunction"]
    return function
