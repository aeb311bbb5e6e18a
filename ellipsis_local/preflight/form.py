"""What of the def itself cannot be sent: its kind, its decorators, its arguments, its name, where it stands."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import suppress

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.source import Source, parse

PLAIN = "write a plain def that returns its result"
NEWER = {"Match": (3, 10), "TryStar": (3, 11), "TypeAlias": (3, 12), "TypeVar": (3, 12), "TemplateStr": (3, 14)}
"""Parts of the grammar by the first version of Python that has them."""
INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def lambda_finding(line: int | None, column: int | None) -> Finding:
    return Finding("lambda", "it is a lambda, and only the text of a def can be sent", "write a def", line, column)


def no_source_finding(line: int | None, column: int | None) -> Finding:
    return Finding(
        "no-source",
        "its source is not available (typed into python -c or made by exec), and only source can be sent",
        "write it in a file or a notebook",
        line,
        column,
    )


def not_a_function(what: str, line: int | None, column: int | None) -> Finding:
    return Finding(
        "not-a-function", f"it is {what}, and execute takes a function", "write a def that calls it", line, column
    )


def wrapped_finding(source: Source) -> Finding:
    return Finding(
        "wrapped",
        "it wraps another function, whose text is sent and runs without it",
        "do what the wrapper does inside the function",
        *source.place(source.node),
    )


def check_form(source: Source, python: tuple[int, ...], *, method: bool = False) -> Iterator[Finding]:
    """What of a def cannot be sent; with `method`, it stands in a class."""
    node = source.node
    here = source.place(node)
    if node.decorator_list:
        line, column = source.place(node.decorator_list[0])
        yield Finding(
            "decorator",
            "it has a decorator, which the text that is sent cannot apply",
            "leave it out, and do what it does inside the function",
            line,
            column - 1,
        )
    if isinstance(node, ast.AsyncFunctionDef):
        yield Finding("async", "it is async, and its call returns before it has run", PLAIN, *here)
    found = None
    with suppress(RecursionError):
        found = next(_yields(node), None)
    if found is not None:
        yield Finding(
            "generator", "it is a generator, and its call returns before it has run", PLAIN, *source.place(found)
        )
    if method:
        yield Finding(
            "method",
            "it is a method, whose text is indented and which nobody calls with an object",
            "write a def at the top level",
            *here,
        )
    else:
        yield from _signature(source)
    yield from _name(source)
    yield from _indentation(source, method=method)
    yield from _syntax(source, python)


def _yields(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Yield | ast.YieldFrom):
            yield child
        elif not isinstance(child, INNER):
            yield from _yields(child)


def _signature(source: Source) -> Iterator[Finding]:
    arguments = source.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    missing = [one.arg for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not default]
    if needed > 1 or missing or not (positional or arguments.vararg):
        wants = ", ".join([*(argument.arg for argument in positional[:needed]), *missing]) or "none"
        yield Finding(
            "signature",
            f"it is called with one argument, the layers, and wants {wants}",
            "take one argument, and write the others into the body",
            *source.place(source.node),
        )


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
        yield Finding(
            "indentation",
            "it is defined inside another block, and its text would be indented wrongly",
            "move it to the top level",
            *source.place(node),
        )
    elif not (node.col_offset or node.decorator_list) and source.calls_itself and source.sent_error:
        error = source.sent_error
        yield Finding(
            "indentation",
            f"its text cannot be read any more once it is indented ({error.msg})",
            "indent it by spaces only, the same everywhere",
            # The client's own line stands before it.
            (error.lineno or 2) - 2 + source.first,
            None,
        )


def _syntax(source: Source, python: tuple[int, ...]) -> Iterator[Finding]:
    if python[:2] >= sys.version_info[:2]:
        return
    indented = source.node.col_offset > 0
    try:
        parse("if 1:\n" + source.text if indented else source.text, python)
    except SyntaxError as error:
        version = ".".join(map(str, python[:2]))
        newer = (node for node in ast.walk(source.node) if NEWER.get(type(node).__name__, (3, 0)) > python[:2])
        found = next(newer, None)
        # The parser tells where it was when it noticed, which may be the statement's end.
        line = (error.lineno or 1) - indented + source.first - 1
        yield Finding(
            "syntax",
            f"Python {version} of the environment cannot read it ({error.msg})",
            f"write it for Python {version}, or ask for a newer interpreter in createCompute",
            *((line, None) if found is None else source.place(found)),
        )
