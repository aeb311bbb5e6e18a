"""How a function is sent: as source, the way the service gets it, or by cloudpickle where the service would fail."""

from __future__ import annotations

import base64
import builtins
import hashlib
import inspect
import io
import sys
import textwrap
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ellipsis_local import preflight
from ellipsis_local.clocks import stand_ins
from ellipsis_local.errors import ArgumentError, FidelityError, FidelityWarning
from ellipsis_local.node_program.ellipsis_node.records import NodeFunction
from ellipsis_local.nodes.function_source import find_source, is_edited, magic_of
from ellipsis_local.notices import warn
from ellipsis_local.preflight import Finding, Origin, Source, Surroundings, service_text

GENERAL = "import or define it inside the function"
PLAIN = (int, float, complex, str, bytes, bool, type(None))


def describe_function(
    f: Any, python: tuple[int, ...], *, strict: bool, around: Surroundings | None = None
) -> NodeFunction:
    """The record of a function of this process; what fails on the service is warned of, or with `strict` refused."""
    if not isinstance(f, types.FunctionType):
        raise _refusal(f, f"be a function, not {type(f).__name__}; write a def that calls it")
    _check_signature(f)
    source = find_source(f)
    look = _look(f)
    description = None
    if source is not None and not source.node.decorator_list and not preflight.outer_names(source, look, python):
        description = _as_source(source)
    around = replace(around or Surroundings(), python=python)
    findings = _findings(f, source, look, around, sent=description is not None)
    reasons = "; ".join(finding.text for finding in findings)
    if findings and strict:
        raise FidelityError(f"the service would not run {f.__name__}: {reasons} (strict=True)")
    if description is None:
        description = _as_pickle(f, python, reasons)
    for finding in findings:
        warn(str(finding), FidelityWarning)
    return description


def _refusal(f: Any, text: str) -> ArgumentError:
    return ArgumentError(f"parameter f must {text}", argument="f", value=f)


def _check_signature(f: types.FunctionType) -> None:
    try:
        inspect.signature(f).bind({})
    except TypeError as error:
        text = f"take one argument, the layers; {f.__name__}{inspect.signature(f)}: {error}"
        raise _refusal(f, text) from None
    for test, kind in (
        (inspect.iscoroutinefunction, "an async function"),
        (inspect.isgeneratorfunction, "a generator"),
        (inspect.isasyncgenfunction, "an async generator"),
    ):
        if test(f):
            way = "whose call returns before it has run; write a plain def that returns"
            raise _refusal(f, f"return its result, and {f.__name__} is {kind}, {way}")


def _look(f: types.FunctionType) -> Callable[[str], Origin | None]:
    """What defines a name outside of the function: an enclosing one, or its module."""
    # Where it wraps another, that is whose text is sent.
    own = inspect.unwrap(f)
    enclosing = dict(zip(own.__code__.co_freevars, own.__closure__ or (), strict=True))

    def look(name: str) -> Origin | None:
        if name in enclosing:
            try:
                return Origin("closure", _way_out(name, enclosing[name].cell_contents, f))
            except ValueError:
                # it is not bound yet
                return Origin("closure", GENERAL)
        if name not in own.__globals__:
            return None
        value = own.__globals__[name]
        return None if value is getattr(builtins, name, f) else Origin("global", _way_out(name, value, f))

    return look


def _way_out(name: str, value: Any, f: types.FunctionType) -> str:
    """How to bring a value into the body."""
    if isinstance(value, types.ModuleType):
        plain = value.__name__ == name
        return f"write 'import {value.__name__}{'' if plain else f' as {name}'}' in its body"
    if isinstance(value, types.FunctionType | type):
        if value.__module__ in (f.__module__, "__main__"):
            return "move its definition into the body"
        if getattr(sys.modules.get(value.__module__), name, None) is value:
            return f"write 'from {value.__module__} import {name}' in its body"
    return "write its value in the body" if isinstance(value, PLAIN) else GENERAL


def _findings(
    f: types.FunctionType,
    source: Source | None,
    look: Callable[[str], Origin | None],
    around: Surroundings,
    *,
    sent: bool,
) -> list[Finding]:
    """What the service would do to it; `sent` tells that its text is what runs here."""
    code = inspect.unwrap(f).__code__
    line, edited = code.co_firstlineno, f.__name__ != "<lambda>" and is_edited(f, source)
    if source is None:
        if edited:
            finding = preflight.changed_finding(line, "gone", f.__module__)
        elif f.__name__ == "<lambda>":
            finding = preflight.lambda_finding(line, None)
        else:
            finding = preflight.no_source_finding(line, None, magic_of(f))
        return [replace(finding, function=f.__name__, file=code.co_filename)]
    holder = f.__qualname__.split(".")[-2:-1]
    findings = preflight.check_function(source, look, around, method=holder not in ([], ["<locals>"]))
    if edited:
        findings.insert(0, preflight.changed_finding(line, "runs" if sent else "waits", f.__module__))
    if hasattr(f, "__wrapped__") and not source.node.decorator_list:
        findings.insert(0, preflight.wrapped_finding(source))
    return [replace(finding, function=f.__name__, file=source.file) for finding in findings]


def _as_source(source: Source) -> NodeFunction | None:
    """By the text that is sent, put right where the service could not read it; None where that cannot be done."""
    text = source.sent
    if not source.calls_itself or source.sent_error is not None:
        text = service_text(textwrap.dedent(source.text))[0].rpartition("\n")[0] + f"\n return {source.name}(params)"
        try:
            preflight.parse(text)
        except SyntaxError:
            return None
    key = hashlib.sha256(f"{source.file}\0{source.first}\0{text}".encode()).hexdigest()
    return NodeFunction("source", key, text=text, source=source.text, filename=source.file, line=source.first)


def _as_pickle(f: types.FunctionType, python: tuple[int, ...], reasons: str) -> NodeFunction:
    if tuple(python[:2]) != sys.version_info[:2]:
        own = "python{}.{}".format(*sys.version_info)
        way = f"It could run here only with interpreter={own!r}, this Python's own version"
        raise FidelityError(f"{f.__name__} cannot be sent: {reasons}. {way}")
    try:
        data = _pickle_by_value(f)
    except Exception as error:
        raise FidelityError(f"{f.__name__} cannot be sent: {reasons}. Nor can it be pickled: {error}") from error
    return NodeFunction("pickle", hashlib.sha256(data).hexdigest(), pickle=base64.b64encode(data).decode())


def _pickle_by_value(f: Callable[..., Any]) -> bytes:
    """Pickle with the function's own module by value: the environment does not have it."""
    import cloudpickle

    module = sys.modules.get(f.__module__ or "")
    if module is None or module.__name__ == "__main__":
        return _dumps(f)
    cloudpickle.register_pickle_by_value(module)
    try:
        return _dumps(f)
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _dumps(f: Callable[..., Any]) -> bytes:
    """By cloudpickle; what freezegun has put in the place of `datetime.datetime` is that one on the node."""
    import cloudpickle

    held = stand_ins()

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            found = held.get(id(obj))
            return super().reducer_override(obj) if found is None else (getattr, found)

    with io.BytesIO() as file:
        Pickler(file).dump(f)
        return file.getvalue()
