"""The local functions by their names in the client, and callables that work inside a mock only."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from ellipsis_local import scopes
from ellipsis_local.errors import MockError

CLIENT = "ellipsis"
"""The name under which the client is imported."""


@functools.cache
def modules() -> dict[str, types.ModuleType]:
    """The local modules by their dotted names below the client's, parents first."""
    from ellipsis_local import account, compute, path, util

    return {
        name: module
        for top in (account, compute, path, util)
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
