"""What of the def itself cannot be sent: its kind, decorators, arguments and name, where it stands, its texts."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.names import called, own_nodes
from ellipsis_local.preflight.source import Function, Source, parse

PLAIN = "write a plain def that returns its result"
NEWER = {"Match": (3, 10), "TryStar": (3, 11), "TypeAlias": (3, 12), "TypeVar": (3, 12), "TemplateStr": (3, 14)}
"""Parts of the grammar by the first version of Python that has them."""
Normal = Callable[[str], object]
INDIFFERENT: dict[str, Normal] = {"dedent": textwrap.dedent, "cleandoc": inspect.cleandoc}
"""Functions that may make the same of a text and the indented one."""


def lambda_finding(line: int | None, column: int | None) -> Finding:
    return Finding("lambda", "it is a lambda, and only the text of a def can be sent", "write a def", line, column)


def no_source_finding(line: int | None, column: int | None, magic: str | None = None) -> Finding:
    """With `magic`, it is defined in a notebook's cell that begins with that."""
    message, way_out = "typed into python -c, or made by exec or a magic", "write it in a file, or in a notebook's cell"
    if magic is not None:
        message = f"{magic} runs its cell as a text that is kept nowhere"
        way_out = f"define it in a cell without {magic}, which can stand in the cell that executes it"
    message = f"its source is not available ({message}), and only source can be sent"
    return Finding("no-source", message, way_out, line, column)


def changed_finding(line: int | None, what: Literal["runs", "waits", "gone"], module: str) -> Finding:
    """Its file was edited: the new text `runs` here, or the old function does and it `waits`, or the def is `gone`."""
    message = {
        "runs": "the text that it holds now runs here, as on the service, and not the function that was imported",
        "waits": "the service gets the text that it holds now, while here the function runs that was imported",
        "gone": "its def is no longer at these lines, and the service gets what is there, or nothing",
    }[what]
    again = "start the script again" if module == "__main__" else f"start again, or use importlib.reload({module})"
    way_out = f"{again}, and take the function from there"
    return Finding("changed", f"its file was changed since it was imported, and {message}", way_out, line, None)


def wrapped_finding(source: Source) -> Finding:
    message = "it wraps another function, whose text is sent and runs without it"
    return Finding("wrapped", message, "do what the wrapper does inside the function", *source.place(source.node))


def check_form(source: Source, python: tuple[int, ...], *, method: bool = False) -> Iterator[Finding]:
    """What of a def cannot be sent; with `method`, it stands in a class."""
    node = source.node
    if node.decorator_list:
        line, column = source.place(node.decorator_list[0])
        message = "it has a decorator, which the text that is sent cannot apply"
        yield Finding("decorator", message, "leave it out, and do what it does inside the function", line, column - 1)
    late = "and its call returns before it has run"
    if isinstance(node, ast.AsyncFunctionDef):
        yield Finding("async", f"it is async, {late}", PLAIN, *source.place(node))
    found = None
    with suppress(RecursionError):
        found = next(own_nodes(node, ast.Yield | ast.YieldFrom), None)
    if found is not None:
        yield Finding("generator", f"it is a generator, {late}", PLAIN, *source.place(found))
    if method:
        message = "it is a method, whose text is indented and which nobody calls with an object"
        yield Finding("method", message, "write a def at the top level", *source.place(node))
    else:
        yield from _signature(source)
    yield from _name(source)
    yield from _indentation(source, method=method)
    yield from _syntax(source, python)


def _signature(source: Source) -> Iterator[Finding]:
    arguments = source.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    missing = [one.arg for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not default]
    if needed > 1 or missing or not (positional or arguments.vararg):
        wants = ", ".join([*(argument.arg for argument in positional[:needed]), *missing]) or "none"
        message = f"it is called with one argument, the layers, and wants {wants}"
        way_out = "take one argument, and write the others into the body"
        yield Finding("signature", message, way_out, *source.place(source.node))


def _name(source: Source) -> Iterator[Finding]:
    if source.node.decorator_list or source.calls_itself:
        return
    why, way_out = "it does not stand before the first bracket", f"begin with 'def {source.name}('"
    if "def" in source.name:
        why, way_out = "its name contains 'def'", "rename it"
    elif getattr(source.node, "type_params", ()):
        why, way_out = "it has type parameters", "leave them out"
    yield Finding("name", f"{why}, and the service would call {source.called!r}", way_out, *source.place(source.node))


def _indentation(source: Source, *, method: bool) -> Iterator[Finding]:
    node = source.node
    if node.col_offset and not method:
        message = "it is defined inside another block, and its text would be indented wrongly"
        yield Finding("indentation", message, "move it to the top level", *source.place(node))
    elif not (node.col_offset or node.decorator_list) and source.calls_itself and source.sent_error:
        # The client's own line stands before it.
        line = (source.sent_error.lineno or 2) - 2 + source.first
        message = f"its text cannot be read any more once it is indented ({source.sent_error.msg})"
        yield Finding("indentation", message, "indent it by spaces only, the same everywhere", line, None)


def _syntax(source: Source, python: tuple[int, ...]) -> Iterator[Finding]:
    if python[:2] >= sys.version_info[:2]:
        return
    indented = source.node.col_offset > 0
    try:
        parse("if 1:\n" + source.text if indented else source.text, python)
    except SyntaxError as error:
        version = ".".join(map(str, python[:2]))
        newer = (node for node in ast.walk(source.node) if NEWER.get(type(node).__name__, (3, 0)) > python[:2])
        # The parser tells where it was when it noticed, which may be the statement's end.
        line = (error.lineno or 1) - indented + source.first - 1
        place = next(map(source.place, newer), (line, None))
        way_out = f"write it for Python {version}, or ask for a newer interpreter in createCompute"
        yield Finding("syntax", f"Python {version} of the environment cannot read it ({error.msg})", way_out, *place)


def check_texts(source: Source) -> Iterator[Finding]:
    """Texts that are others once they were sent; docstrings are left out."""
    own = list(_texts(source.node))
    if not any(_lines(node) for node, _ in own) or source.moved is None:
        return
    way_out = (
        "put it together of texts of one line, '…\\n' '…', or pass it through textwrap.dedent with a "
        "backslash after the opening quotes"
    )
    for (node, value), (_, moved) in zip(own, _texts(source.moved), strict=True):
        if value != moved:
            last = source.place(node)[0] + _lines(node)
            message = f"its text from here to line {last} gains two spaces at the beginning of every line but the first"
            yield Finding("text", message, way_out, *source.place(node), "warning")


def _lines(node: ast.AST) -> int:
    """How many lines it takes beyond its first."""
    return int(getattr(node, "end_lineno", 0) or 0) - int(getattr(node, "lineno", 0) or 0)


def _texts(node: ast.AST) -> Iterator[tuple[ast.AST, object]]:
    """Each text of a node, and what becomes of it, with blanks for what is computed."""
    for child in _parts(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        normal, text = _call(child)
        value = _value(text)
        if value is not None:
            yield text, normal(value) if normal is not None and isinstance(value, str) else value
        yield from _texts(text)


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """What a node is made of: of an f-string what is computed in it, of a def all but its decorators."""
    if isinstance(node, ast.JoinedStr):
        return (part.value for part in node.values if isinstance(part, ast.FormattedValue))
    if isinstance(node, Function):
        return (child for child in ast.iter_child_nodes(node) if child not in node.decorator_list)
    return ast.iter_child_nodes(node)


def _value(node: ast.AST) -> str | bytes | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str | bytes) else None
    if isinstance(node, ast.JoinedStr):
        # What is computed has its own texts, which are looked at by themselves.
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    return None


def _call(node: ast.AST) -> tuple[Normal | None, ast.AST]:
    """What a call makes of a text, and the text: of dedent("…"), cleandoc("…") and "…".split(); else the node."""
    if isinstance(node, ast.Call):
        function, name = node.func, called(node)
        if isinstance(function, ast.Attribute) and name == "split" and not (node.args or node.keywords):
            return (str.split, function.value) if _value(function.value) is not None else (None, node)
        if name in INDIFFERENT and len(node.args) == 1 and _value(node.args[0]) is not None:
            return INDIFFERENT[name], node.args[0]
    return None, node
