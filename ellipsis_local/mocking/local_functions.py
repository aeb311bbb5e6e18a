"""The local functions by their names in the client: callables that work inside a mock only.

Where the client is not installed, they are in modules of its name for as long as a mock is active.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from typing import Any

from ellipsis_local import scopes
from ellipsis_local.errors import MockError
from ellipsis_local.tracebacks import short_traceback

CLIENT = "ellipsis"
"""The name under which the client is imported."""


@functools.cache
def modules() -> dict[str, types.ModuleType]:
    """The local modules by their dotted names below the client's, parents first."""
    from ellipsis_local import account, compute, path, user, util

    return {
        name: module
        for top in (account, compute, path, user, util)
        for name, module in _below(top.__name__.rpartition(".")[2], top)
    }


def _below(name: str, module: types.ModuleType) -> Iterator[tuple[str, types.ModuleType]]:
    yield name, module
    for public in module.__all__:
        value = getattr(module, public)
        if isinstance(value, types.ModuleType):
            yield from _below(f"{name}.{public}", value)


@functools.cache
def local_functions() -> dict[str, Callable[..., Any]]:
    """The functions by their dotted names; the same objects in each mock, so that an imported one works in the next."""
    return {
        f"{name}.{public}": mocked(f"{name}.{public}", getattr(module, public))
        for name, module in modules().items()
        for public in module.__all__
        if isinstance(getattr(module, public), types.FunctionType)
    }


def mocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls another one inside a mock, and is an error outside."""

    @short_traceback
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not scopes.in_scope():
            raise MockError(
                f"{CLIENT}.{name} was imported inside ellipsis_local.mock and is called outside of any: enter a mock "
                "around the call, or let the test ask for the fixture `ellipsis`; for a home that stays, use "
                f"ellipsis_local.{name}"
            )
        return function(*args, **kwargs)

    parent, _, own = name.rpartition(".")
    call.__module__, call.__name__, call.__qualname__ = f"{CLIENT}.{parent}", own, own
    return call


@functools.cache
def fake_modules() -> dict[str, types.ModuleType]:
    """The modules by their full names: the local functions, as the client has them."""
    made = {CLIENT: _module(CLIENT, package=True)}
    for name, local in modules().items():
        full = f"{CLIENT}.{name}"
        made[full] = module = _module(full, package=any(other.startswith(f"{name}.") for other in modules()))
        parent, _, own = full.rpartition(".")
        setattr(made[parent], own, module)
        for public in local.__all__:
            if f"{name}.{public}" in local_functions():
                setattr(module, public, local_functions()[f"{name}.{public}"])
    for name, module in [*made.items()]:
        module.__all__ = [name for name in vars(module) if not name.startswith("_")]  # type: ignore[attr-defined]
        if name != CLIENT:
            made[f"{name}.root"] = vars(module)["root"] = module
    return made


def _module(name: str, *, package: bool) -> types.ModuleType:
    module = types.ModuleType(name, f"`{name}` of ellipsis_local, inside ellipsis_local.mock.")
    module.__spec__ = ModuleSpec(name, None, origin="ellipsis_local.mock", is_package=package)
    if package:
        module.__path__ = []
    module.__package__ = name if package else name.rpartition(".")[0]

    def lacking(attribute: str) -> Any:
        text = f"module {name!r} has no attribute {attribute!r}"
        if not attribute.startswith("_"):
            text += ": it is ellipsis_local's own here, because the client is not installed"
        raise AttributeError(text, name=attribute, obj=module)

    module.__getattr__ = lacking  # type: ignore[method-assign]
    return module


def _named() -> list[str]:
    return [name for name in sys.modules if name == CLIENT or name.startswith(f"{CLIENT}.")]


def install() -> Callable[[], None]:
    """Let `import ellipsis` find them; what is returned puts `sys.modules` back."""
    before = {name: sys.modules.pop(name) for name in _named()}
    sys.modules.update(fake_modules())

    def undo() -> None:
        for name in _named():
            del sys.modules[name]
        sys.modules.update(before)

    return undo
