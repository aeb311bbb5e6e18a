"""How a function is sent: as source, the way the service gets it, or by cloudpickle where the service would fail.

Seen in the client: it takes the function's source, derives the name as the text before the first bracket with every
``def`` and every space removed, indents every line by two spaces and wraps it in ``def userFunction(params)``.
Whatever that text does not carry (names of the module, closures, decorators) is a failure there.
"""

from __future__ import annotations

import ast
import base64
import builtins
import dis
import hashlib
import inspect
import sys
import textwrap
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ellipsis_local.errors import ArgumentError, FidelityError, FidelityWarning
from ellipsis_local.notices import warn

__all__ = ["describe_function", "service_text"]

BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__"}


def service_text(source: str) -> tuple[str, str]:
    """The text that the client sends for a function's source, and the name that it calls."""
    name = source.split("(")[0].replace("def", "").replace(" ", "")
    return "def userFunction(params):\n " + source.replace("\n", "\n  ") + "\n return " + name + "(params)", name


def describe_function(f: Any, python: tuple[int, ...], *, strict: bool) -> dict[str, Any]:
    """The JSON description of a function that the node program runs.

    Parameters
    ----------
    f : function
        Takes one argument, the dictionary of layers and files.
    python : tuple of int
        The version of the environment's interpreter: a pickled function needs the same one.
    strict : bool
        Refuse what the service would not run.

    Raises
    ------
    ArgumentError
        Where `f` is no function or does not take one argument.
    FidelityError
        Where the service would fail and it cannot run here either, or with `strict`.

    Warns
    -----
    FidelityWarning
        Where the service would fail and it runs here.
    """
    if not isinstance(f, types.FunctionType):
        raise ArgumentError(
            f"parameter f must be a function, not {type(f).__name__}; write a def that calls it",
            argument="f", value=f,
        )  # fmt: skip
    _check_signature(f)
    source = _source(f)
    outer = list(_outer_names(f, source)) if source is not None else []
    problems = _problems(f, source, outer)
    sent_whole = source is not None and not outer and not source.lstrip().startswith("@") and f.__name__ != "<lambda>"
    if problems and strict:
        raise FidelityError(f"the service would not run {f.__name__}: {'; '.join(problems)} (strict=True)")
    if sent_whole:
        assert source is not None  # noqa: S101
        description = _as_source(f, source)
    else:
        description = _as_pickle(f, python, problems)
    if problems:
        warn(f"{f.__name__} runs here and would fail on the service: {'; '.join(problems)}", FidelityWarning)
    return description


def _check_signature(f: types.FunctionType) -> None:
    try:
        inspect.signature(f).bind({})
    except TypeError as error:
        raise ArgumentError(
            f"parameter f must take one argument, the layers; {f.__name__}{inspect.signature(f)}: {error}",
            argument="f", value=f,
        ) from None  # fmt: skip
    for test, kind in (
        (inspect.iscoroutinefunction, "an async function"),
        (inspect.isgeneratorfunction, "a generator"),
        (inspect.isasyncgenfunction, "an async generator"),
    ):
        if test(f):
            raise ArgumentError(
                f"parameter f must return its result, and {f.__name__} is {kind}, whose call returns before it has "
                "run; write a plain def that returns", argument="f", value=f,
            )  # fmt: skip


def _source(f: types.FunctionType) -> str | None:
    """The function's own text; None where there is none.

    What is found for a function made by exec can be another text of the same file name, such as that of ``python -c``.
    """
    try:
        source = inspect.getsource(f)
        if f.__name__ == "<lambda>":
            return source
        first = ast.parse(textwrap.dedent(source)).body[0]
    except (OSError, TypeError, SyntaxError, IndexError, ValueError):
        return None
    own = isinstance(first, ast.FunctionDef) and first.name in (f.__name__, f.__code__.co_name)
    return source if own else None


def _problems(f: types.FunctionType, source: str | None, outer: list[str]) -> list[str]:
    """Why the service would fail, in the user's words."""
    if f.__name__ == "<lambda>":
        return ["it is a lambda, and only the text of a def can be sent"]
    if source is None:
        return ["its source is not available (typed into python -c or made by exec), and only source can be sent"]
    if source.lstrip().startswith("@"):
        return ["it has a decorator, which the text that is sent cannot apply"]
    found = []
    text, name = service_text(source)
    if name != f.__name__:
        found.append(f"its name contains 'def', and the service would call {name!r}: rename it")
    elif not _compiles(text):
        found.append(
            "it is defined inside another block, and its text would be indented wrongly: move it to the top level"
        )
    if outer:
        found.append(f"it uses {', '.join(outer)} from outside its body: import or define them inside the function")
    return found


def _compiles(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _outer_names(f: types.FunctionType, source: str) -> Iterator[str]:
    """Names that the text takes from the function's module or an enclosing function, in order of first use.

    Of the text, not of the function's own code: pytest, for one, compiles assertions into calls of its own.
    """
    try:
        code = compile(textwrap.dedent(source), "<source>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return
    seen = {f.__name__, *BUILTINS}
    for name in _global_names(code):
        if name not in seen and (name in f.__code__.co_freevars or name in f.__globals__):
            seen.add(name)
            yield name


def _global_names(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _as_source(f: types.FunctionType, source: str) -> dict[str, Any]:
    text, name = service_text(source)
    if name != f.__name__ or not _compiles(text):
        text = service_text(textwrap.dedent(source))[0].rpartition("\n")[0] + f"\n return {f.__name__}(params)"
    key = hashlib.sha256(f"{f.__code__.co_filename}\0{f.__code__.co_firstlineno}\0{text}".encode()).hexdigest()
    return {
        "kind": "source",
        "key": key,
        "text": text,
        "source": source,
        "filename": f.__code__.co_filename,
        "line": f.__code__.co_firstlineno,
    }


def _as_pickle(f: types.FunctionType, python: tuple[int, ...], problems: list[str]) -> dict[str, Any]:
    import cloudpickle

    reasons = "; ".join(problems)
    if tuple(python[:2]) != sys.version_info[:2]:
        raise FidelityError(
            f"{f.__name__} cannot be sent: {reasons}. It could run here only with interpreter="
            f"'python{sys.version_info[0]}.{sys.version_info[1]}', this Python's own version"
        )
    try:
        data = _pickle_by_value(cloudpickle, f)
    except Exception as error:
        raise FidelityError(f"{f.__name__} cannot be sent: {reasons}. Nor can it be pickled: {error}") from error
    return {"kind": "pickle", "key": hashlib.sha256(data).hexdigest(), "pickle": base64.b64encode(data).decode()}


def _pickle_by_value(cloudpickle: Any, f: Callable[..., Any]) -> bytes:
    """Pickle with the function's own module by value: the environment does not have it."""
    module = sys.modules.get(f.__module__ or "")
    if module is None or module.__name__ == "__main__":
        return bytes(cloudpickle.dumps(f))
    cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(f))
    finally:
        cloudpickle.unregister_pickle_by_value(module)
