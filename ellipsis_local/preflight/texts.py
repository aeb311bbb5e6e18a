"""Texts over several lines: the client indents every line, those inside of texts, too."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ellipsis_local.preflight.findings import Finding
from ellipsis_local.preflight.names import called
from ellipsis_local.preflight.source import Function, Source

Normal = Callable[[str], object]
INDIFFERENT: dict[str, Normal] = {"dedent": textwrap.dedent, "cleandoc": inspect.cleandoc}
"""Functions that may make the same of a text and the indented one."""


@dataclass(frozen=True)
class _Text:
    node: ast.AST
    value: object
    """What becomes of it, with blanks for what is computed."""


def check_texts(source: Source) -> Iterator[Finding]:
    """Texts that are others once they were sent; docstrings are left out."""
    own = list(_texts(source.node))
    if not any(_lines(text.node) for text in own) or source.moved is None:
        return
    for text, moved in zip(own, _texts(source.moved), strict=True):
        if text.value != moved.value:
            line, column = source.place(text.node)
            last = line + _lines(text.node)
            yield Finding(
                "text",
                f"its text from here to line {last} gains two spaces at the beginning of every line but the first",
                "put it together of texts of one line, '…\\n' '…', or pass it through textwrap.dedent with a "
                "backslash after the opening quotes",
                line,
                column,
                severity="warning",
            )


def _lines(node: ast.AST) -> int:
    """How many lines it takes beyond its first."""
    return int(getattr(node, "end_lineno", 0) or 0) - int(getattr(node, "lineno", 0) or 0)


def _texts(node: ast.AST) -> Iterator[_Text]:
    for child in _parts(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        normal, text = _call(child)
        value = _value(child if text is None else text)
        if isinstance(value, str) and normal is not None:
            yield _Text(text or child, normal(value))
        elif value is not None:
            yield _Text(text or child, value)
        yield from _texts(child if text is None else text)


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
        parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
        return "".join(str(part) for part in parts)
    return None


def _call(node: ast.AST) -> tuple[Normal | None, ast.expr | None]:
    """What a call makes of a text, and the text: of dedent("…"), cleandoc("…") and "…".split()."""
    if not isinstance(node, ast.Call):
        return None, None
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr == "split" and not (node.args or node.keywords):
        return (str.split, function.value) if _value(function.value) is not None else (None, None)
    name = called(node)
    if name in INDIFFERENT and len(node.args) == 1 and _value(node.args[0]) is not None:
        return INDIFFERENT[name], node.args[0]
    return None, None
