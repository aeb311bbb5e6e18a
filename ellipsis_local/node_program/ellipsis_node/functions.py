"""The caller's function, from what was sent of it."""

from __future__ import annotations

import ast
import base64
import linecache
import sys
import traceback
import types
from typing import Any, Callable

from .records import NodeFunction

_compiled: dict[str, types.CodeType] = {}
"""By the key of the function."""


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


def load_function(function: NodeFunction) -> Callable[[Any], Any]:
    """The function itself, made anew, so that no node sees what another left in it. FunctionError where that fails."""
    if function.kind == "dill":
        return _unpickle(function.pickle)
    if function.kind == "source":
        return _define(function)
    import cloudpickle

    try:
        made: Callable[[Any], Any] = cloudpickle.loads(base64.b64decode(function.pickle))
    except BaseException:  # noqa: BLE001 - told to the caller
        raise FunctionError(user_traceback(1)) from None
    return made


def _unpickle(text: str) -> Callable[[Any], Any]:
    """A function that an old client pickled."""
    from .pickles import HINT, ForeignPickleError, load_dill

    try:
        return load_dill(text)
    except ForeignPickleError as error:
        raise FunctionError(str(error)) from None
    except ModuleNotFoundError as error:
        raise FunctionError(
            f"{user_traceback(1)}\nthe pickle names the module {error.name!r}, which the node does not have: put it "
            f"among the requirements, or define the function in the script itself; besides, {HINT}"
        ) from None
    except BaseException:  # noqa: BLE001 - told to the caller
        raise FunctionError(f"{user_traceback(1)}\n{HINT}") from None


def _define(sent: NodeFunction) -> Callable[[Any], Any]:
    """The function that the text defines."""
    scope: dict[str, Any] = {"__name__": "userFunction", "__builtins__": __builtins__}
    try:
        exec(_compile(sent), scope)  # noqa: S102 - what a node is for
    except SyntaxError as error:
        raise FunctionError("".join(traceback.format_exception_only(type(error), error)).strip()) from None
    except BaseException:  # noqa: BLE001 - told to the caller
        raise FunctionError(user_traceback(1)) from None
    function: Callable[[Any], Any] | None = scope.get("userFunction")
    if function is None:
        raise FunctionError("the text that was sent does not define userFunction")
    return function


def _compile(sent: NodeFunction) -> types.CodeType:
    """The text that the service gets, compiled so that tracebacks point into the file it was written in; once."""
    file, first, own = sent.filename or "<function>", sent.line, sent.source.split("\n")
    if sent.key not in _compiled:
        tree = _parse(sent.text, file, first - 2)
        _place(tree, sent.text.split("\n"), own, first)
        _compiled.clear()
        _compiled[sent.key] = compile(tree, file, "exec", dont_inherit=True)
    # The calling process knows its own files, and its other threads read them.
    known = "".join(linecache.getlines(file)[first - 1 : first - 1 + len(own)])
    if not known.startswith(sent.source):
        lines = [""] * (first - 1) + [line + "\n" for line in own]
        linecache.cache[file] = (len(sent.source), None, lines, file)
    return _compiled[sent.key]


def _place(tree: ast.Module, sent: list[str], own: list[str], first: int) -> None:
    """Move the parts of a tree to the lines and columns of the file that the function was written in.

    The text that was sent starts with one line of its own, before the first line of the function, and is indented.
    """
    for node in ast.walk(tree):
        for line, column in (("lineno", "col_offset"), ("end_lineno", "end_col_offset")):
            number = getattr(node, line, None)
            if number is not None:
                if 0 <= number - 2 < len(own):
                    moved = getattr(node, column) + _indent(own[number - 2]) - _indent(sent[number - 1])
                    setattr(node, column, max(0, moved))
                setattr(node, line, max(1, number + first - 2))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _parse(text: str, file: str, shift: int) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        error.filename = file
        for name in ("lineno", "end_lineno"):
            if getattr(error, name, None):
                setattr(error, name, max(1, getattr(error, name) + shift))
        raise
