"""The text of a function as `inspect` finds it, whether it is still that of the function, and why there may be none."""

from __future__ import annotations
import __future__

import ast
import contextlib
import inspect
import itertools
import linecache
import os
import re
import tokenize
import types
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from typing import Any

from ellipsis_local import preflight
from ellipsis_local.notebooks import find_shell
from ellipsis_local.preflight import Source
from ellipsis_local.processes import STARTED

FUTURE = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})
"""The flags that change how a text is compiled."""
MOST_GUESSES = 64
MAGIC = re.compile(r"\s*%%(\S+)[^\n]*\n")
CLASS = re.compile(r"(\w+)\.(?!<locals>)")


def find_source(f: types.FunctionType) -> Source | None:
    """The function's own def; None where it has none."""
    if f.__name__ == "<lambda>":
        return None
    try:
        lines, first = inspect.getsourcelines(f)
        # inspect unwraps, too
        source = preflight.read_source("".join(lines), inspect.unwrap(f).__code__.co_filename, first)
    except (OSError, TypeError, SyntaxError, IndexError, ValueError, tokenize.TokenError):
        return None
    # For a function made by exec it can be another text of the same file name, such as that of ``python -c``.
    return source if source.name in (f.__name__, f.__code__.co_name) else None


def is_edited(f: types.FunctionType, source: Source | None) -> bool:
    """Whether the file was changed since it was imported, so that the text is not the function's; False if not sure."""
    f = inspect.unwrap(f)
    loader = f.__globals__.get("__loader__")
    # Other loaders, such as those of pytest and typeguard, rewrite the code, and decorators may.
    if type(loader) not in (SourceFileLoader, types.NoneType) or not _written_meanwhile(f):
        return False
    if source is None:
        return not _is_in_place(f.__code__)
    if source.node.decorator_list:
        return False
    # A comment can have come into the def's own line.
    begins = source.node.lineno + source.shift == source.first
    return not (begins and _same_defaults(source, f) and _same_code(source, f.__code__))


def _written_meanwhile(f: types.FunctionType) -> bool:
    """Whether its file was written, replaced or removed since this process began."""
    file = f.__code__.co_filename
    try:
        # The time of its change of state: that of its content is set at will.
        return os.stat(file).st_ctime > STARTED  # noqa: PTH116 - for every function that is sent
    except OSError:
        return os.path.isabs(file) and f.__globals__.get("__file__") == file  # noqa: PTH117 - the same


def _same_defaults(source: Source, f: types.FunctionType) -> bool:
    """Whether the defaults are as they are written, as far as they are plain values."""
    arguments = source.node.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    written = dict(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    written |= {one.arg: node for one, node in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if node}
    held = dict(zip(reversed(positional), reversed(f.__defaults__ or ()), strict=False)) | (f.__kwdefaults__ or {})
    plain = {name: node.value for name, node in written.items() if isinstance(node, ast.Constant)}
    return written.keys() == held.keys() and all(_constant(held[name]) == _constant(plain[name]) for name in plain)


@lru_cache(maxsize=64)
def _same_code(source: Source, code: types.CodeType) -> bool:
    """Whether a text compiles to this code, wherever it stands; True where that cannot be told."""
    indented = source.text[:1] in (" ", "\t")
    try:
        # Lines are as in the file, because classes keep theirs as a value.
        tree = preflight.parse("\n" * (source.first - 1 - indented) + ("if 1:\n" if indented else "") + source.text)
        body = _around(tree.body, code)
        return any(_makes(ast.Module([*imports, *body], []), code) for imports in _module_imports(tree, code))
    except SyntaxError:
        return True


def _around(body: list[ast.stmt], code: types.CodeType) -> list[ast.stmt]:
    """The statements in a function that has the free names of a code, and in the class that the code stood in."""
    free, holder = code.co_freevars, CLASS.findall(code.co_qualname)[-1:]
    if holder:
        tree = preflight.parse(f"class {holder[0]}: 0")
        tree.body[0].body, body = body, tree.body  # type: ignore[attr-defined]
    if free:
        outer = [name for name in (code.co_name, *holder) if name not in free]
        tree = preflight.parse(f"def _({', '.join(free)}):" + "".join(f"\n global {name}" for name in outer) + "\n 0")
        tree.body[0].body[-1:], body = body, tree.body  # type: ignore[attr-defined]
    return body


def _is_in_place(code: types.CodeType) -> bool:
    """Whether the file compiles to a code that stands at the same line, be it not a def."""
    try:
        return _makes(_tree(code.co_filename), code, code.co_firstlineno)
    except SyntaxError:
        return False


def _makes(module: ast.Module, code: types.CodeType, line: int | None = None) -> bool:
    """Whether a code is among those of a module, at any line or at this one."""
    made = _codes(preflight.compile_tree(module, code.co_filename, code.co_flags & FUTURE), code.co_name)
    return any(line in (None, one.co_firstlineno) and _shape(one) == _shape(code) for one in made)


def _tree(file: str) -> ast.Module:
    return preflight.parse("".join(linecache.getlines(file)))


def _module_imports(tree: ast.Module, code: types.CodeType) -> Iterator[list[ast.stmt]]:
    """What its module may have imported: Python compiles `a.b()` in another way where a module imports any `a`."""
    yield _imports(code.co_filename)
    # Those may have come or gone since.
    attributes = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    roots = (node.value for node in attributes if isinstance(node, ast.Attribute))
    names = sorted({node.id for node in roots if isinstance(node, ast.Name)})
    subsets = itertools.chain.from_iterable(itertools.combinations(names, count) for count in range(len(names) + 1))
    for subset in itertools.islice(subsets, MOST_GUESSES):
        yield preflight.parse("\n".join(f"import {name}" for name in subset)).body


def _imports(file: str) -> list[ast.stmt]:
    """The imports that a file has now."""
    try:
        pending: list[Any] = [_tree(file)]
    except SyntaxError:
        return []
    found: list[ast.stmt] = []
    for node in pending:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                # It counts by its names; what it means is in the flags of the code.
                node.module = "_"
            found.append(node)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            pending += ast.iter_child_nodes(node)
    return found


def _codes(code: types.CodeType, name: str) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_name == name:
                yield constant
            yield from _codes(constant, name)


def _shape(code: types.CodeType) -> tuple[object, ...]:
    """What a code does, without the lines it stands in."""
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    constants: Any = tuple(map(_constant, code.co_consts))
    if "__qualname__" in code.co_names:
        # A class body: where it stands is told by the code around it, and Python 3.13 writes attributes in any order.
        constants = [one for one in constants if one[1] != repr(code.co_qualname)]
        constants = tuple(frozenset(one[1]) if one[0] is tuple else one for one in constants)
    return code.co_code, code.co_exceptiontable, names, counts, constants


def _constant(value: Any) -> tuple[object, ...]:
    """A constant that differs from equal ones of another type."""
    if isinstance(value, types.CodeType):
        return _shape(value)
    if isinstance(value, tuple | frozenset):
        return type(value), type(value)(map(_constant, value))
    return type(value), repr(value)


def magic_of(f: types.FunctionType) -> str | None:
    """The magic of the notebook's cell that a function without source was defined in, such as `%%time`."""
    shell = find_shell()
    # Other kernels have a shell, too, which need not be as much like IPython's.
    for cell in reversed(getattr(getattr(shell, "history_manager", None), "input_hist_raw", ())):
        magic = None
        # The innermost of several is the one that runs the text.
        while found := MAGIC.match(cell):
            magic, cell = f"%%{found[1]}", cell[found.end() :]
        if magic is not None:
            with contextlib.suppress(SyntaxError):
                if _makes(preflight.parse(shell.transform_cell(cell)), f.__code__):
                    return magic
    return None
