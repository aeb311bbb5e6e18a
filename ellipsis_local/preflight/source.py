"""A function's text as it is written, as it is sent, and the places in it.

Seen in the client: it takes the function's source, derives the name as the text before the first bracket with every
``def`` and every space removed, indents every line by two spaces (the first by one) and wraps it in
``def userFunction(params)``.
"""

from __future__ import annotations

import ast
import contextlib
import threading
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

_filters = threading.Lock()

Function = ast.FunctionDef | ast.AsyncFunctionDef


def service_text(source: str) -> tuple[str, str]:
    """The text that the client sends for a function's source, and the name that it calls."""
    name = source.split("(")[0].replace("def", "").replace(" ", "")
    return "def userFunction(params):\n " + source.replace("\n", "\n  ") + "\n return " + name + "(params)", name


def parse(text: str, python: tuple[int, ...] | None = None) -> ast.Module:
    """The tree of a text; SyntaxError where it has none, with `python` also where that version is sure to refuse it."""
    with _quiet():
        return ast.parse(text, feature_version=None if python is None else (python[0], python[1]))


def compile_tree(tree: ast.Module, file: str, flags: int) -> types.CodeType:
    """The code of a tree, which is not run; SyntaxError where it has none."""
    with _quiet():
        code: types.CodeType = compile(tree, file, "exec", flags, dont_inherit=True)
        return code


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # What Python warns of (invalid escapes) is told by whoever runs the text. Filters belong to all threads.
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error)) from error


@dataclass(frozen=True, eq=False)
class Source:
    """One def, and where it stands."""

    node: Function
    text: str
    """Whole lines from the first decorator to the end, as `inspect.getsource` gives them."""
    file: str
    first: int
    """The line of the file that `text` begins with."""
    shift: int = 0
    """What to add to the lines of `node` to get those of the file."""

    @property
    def name(self) -> str:
        return self.node.name

    def place(self, node: ast.AST) -> tuple[int, int]:
        """Line in the file and column in characters, both from 1."""
        line = int(getattr(node, "lineno", 1)) + self.shift
        written = self.lines[line - self.first] if 0 <= line - self.first < len(self.lines) else ""
        # Columns of trees count bytes of UTF-8.
        before = written.encode()[: int(getattr(node, "col_offset", 0))]
        return line, len(before.decode(errors="replace")) + 1

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def sent(self) -> str:
        return service_text(self.text)[0]

    @property
    def called(self) -> str:
        """The name that the service calls."""
        return service_text(self.text)[1].strip()

    @property
    def calls_itself(self) -> bool:
        """Whether that is its own; an async def is another rule's."""
        return self.called.removeprefix("async") == self.name.removeprefix("async")

    @cached_property
    def sent_error(self) -> SyntaxError | None:
        """Why the text that is sent cannot be read by the running Python; None where it can."""
        try:
            parse(self.sent)
        except SyntaxError as error:
            return error
        return None

    @cached_property
    def moved(self) -> Function | None:
        """The def as it is read on the service; where it is sent with wrong indentation, as it would be read with the
        right one. None where indenting leaves no Python."""
        start = self.node.lineno + self.shift - self.first
        own = "\n".join(self.lines[start:])
        try:
            return _first_def(parse("if 1:\n " + own.replace("\n", "\n  ")))
        except SyntaxError:
            return None


def _first_def(tree: ast.Module) -> Function:
    statement: ast.AST | None = tree.body[0] if tree.body else None
    if isinstance(statement, ast.If) and statement.body:
        statement = statement.body[0]
    if not isinstance(statement, Function):
        raise SyntaxError("the text does not begin with a def")
    return statement


@lru_cache(maxsize=64)
def read_source(text: str, file: str = "", first: int = 1) -> Source:
    """A def from its text, in which it stands first, at any indentation; kept, as it is executed again and again."""
    text = text.replace("\r\n", "\n")
    indented = text[:1] in (" ", "\t")
    # In a block of its own, an indented def can be read without touching the texts in it.
    node = _first_def(parse("if 1:\n" + text if indented else text))
    return Source(node, text, file, first, first - (2 if indented else 1))
