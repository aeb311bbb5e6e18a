"""The client's functions that ask the HTTP API: answered in this process, by the code of the server.

A public module calls `attach` once; what it has itself is left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.client_requests import Name, Row, rows
from ellipsis_local.emulator import working
from ellipsis_local.errors import NotEmulatedError
from ellipsis_local.tracebacks import short_traceback

__all__ = ["attach", "attached", "request"]

PACKAGE, ROOT = "ellipsis_local", "root"
SHAPED = {"path": ("paths", "rasters", "features", "feature_changes")}
"""Public modules, and which modules here have their functions that do more than one request, in `FUNCTIONS`."""
WAYS_OUT = {"account.browserLogin": "opens a page of the hosted service: use account.logIn, or any text as a token"}
PAGED = "listAll"
"""The argument with which an answer is followed to its last page."""

attached: dict[str, Callable[..., Any]] = {}
"""The functions by their dotted names, of the modules that were imported so far."""


def request(method: str, path: str, given: dict[str, Any], token: Any, *, every: bool = False) -> Any:
    """The answer of the API; with `every` page of a list."""
    from ellipsis_local.emulator import current_emulator
    from ellipsis_local.server.in_process import request as ask

    token = arguments.optional_token(token)
    answer = ask(current_emulator(), method, path, given, token)
    while every and (start := answer["nextPageStart"]) is not None:
        page = ask(current_emulator(), method, path, {**given, "pageStart": start}, token)
        lists = [one["result"] for one in (answer, page)]
        if isinstance(lists[0], dict):
            lists = [one["features"] for one in lists]
        lists[0].extend(lists[1])
        answer |= {key: page[key] for key in ("nextPageStart", "truncated") if key in page}
        if "size" in answer:
            answer["size"] += page["size"]
    return answer


def address(template: str, given: dict[str, Any]) -> str:
    """The path of a request; ids are checked."""
    parts = {
        name: arguments.uuid_text(name, value) if name.endswith("Id") else str(value)
        for name, value in given.items()
        if f"{{{name}}}" in template
    }
    return template.format_map(parts)


def attach(top: str) -> None:
    """Give a public module, and those below it, the functions that it does not have, and the modules that hold them.

    Those that it has get the same short tracebacks, and the bar of what takes long.
    """
    public: dict[Callable[..., Any], Callable[..., Any]] = {}
    for module in _modules(top):
        for name in getattr(module, "__all__", ()):
            value = vars(module)[name]
            if isinstance(value, FunctionType):
                # One that is there under two names stays one.
                vars(module)[name] = public.setdefault(value, _public(f"{module.__name__}.{name}", value))
    for row in rows():
        if row.name.partition(".")[0] == top:
            _put(row.name, _function(row))
    for source in SHAPED.get(top, ()):
        for name, function in import_module(f"{__name__}.{source}").FUNCTIONS.items():
            _put(name, function)

    for module in _modules(top):
        # Scripts reach functions that the client does not export through its modules of this name.
        sys.modules[f"{module.__name__}.{ROOT}"] = vars(module)[ROOT] = module


def _modules(top: str) -> list[Any]:
    """A public module and those below it."""
    name = f"{PACKAGE}.{top}"
    return [sys.modules[name], *(module for one, module in sys.modules.items() if one.startswith(f"{name}."))]


def _public(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return short_traceback(working(name.removeprefix(f"{PACKAGE}."))(function))


def _put(name: str, function: Callable[..., Any]) -> None:
    parent, _, own = name.rpartition(".")
    exported = not parent.endswith(f".{ROOT}")
    module = _module(parent.removesuffix(f".{ROOT}"))
    function = _public(name, function)
    function.__module__ = module.__name__
    _name(module, own, function, exported=exported)
    attached[name] = function


def _name(module: ModuleType, name: str, value: Any, *, exported: bool = True) -> None:
    names = vars(module)
    names[name] = value
    if exported:
        names["__all__"] = sorted({*names["__all__"], name})


def _module(name: str) -> ModuleType:
    full = f"{PACKAGE}.{name}"
    if full not in sys.modules:
        module = sys.modules[full] = ModuleType(full, f"`ellipsis.{name}`: answered by the code of the HTTP server.")
        vars(module)["__all__"] = []
        parent, _, own = name.rpartition(".")
        _name(_module(parent), own, module)
    return sys.modules[full]


def _function(row: Row) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = row.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{row.name}: {error}") from None
        bound.apply_defaults()
        given = {name: _date(value) for name, value in bound.arguments.items()}
        if not row.method:
            way_out = f"install the client (pip install ellipsis), and call ellipsis.{row.name}"
            way_out = WAYS_OUT.get(row.name, f"asks no service, and ellipsis_local has no copy of it: {way_out}")
            raise NotEmulatedError(f"{row.name} {way_out}")
        sent = {key: given[value] if isinstance(value, Name) else value for key, value in row.sent.items()}
        every = PAGED in given and arguments.boolean(PAGED, given[PAGED])
        return request(row.method, address(row.address, given), sent, given.get("token"), every=every)

    call.__name__ = call.__qualname__ = row.name.rpartition(".")[2]
    call.__signature__ = row.signature  # type: ignore[attr-defined]
    asked = f"{row.method} {row.address}, answered in this process by the code of the HTTP server."
    call.__doc__ = asked if row.method else "Not here: the client has it, and asks no service for it."
    return call


def _date(value: Any) -> Any:
    """A time as the client writes it."""
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
