"""Which functions of the client a test calls: said by the test, and checked while it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.client.table import HIDDEN, exported, split

__all__ = ["called", "covers", "record"]

called: set[str] = set()
"""What the running test has called so far."""


def covers(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Say that a test calls these functions of the client; it fails where it does not."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def checked(*args: Any, **kwargs: Any) -> None:
            test(*args, **kwargs)
            left = sorted(set(names) - called)
            assert not left, f"never called: {', '.join(left)}"

        checked.covers = names  # type: ignore[attr-defined]
        return checked

    return decorate


def record(client: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on note which functions are called from outside of the client."""
    called.clear()
    for name in (*exported(client), *HIDDEN):
        module, function = split(name)
        owner = functools.reduce(getattr, module.split("."), client)
        monkeypatch.setattr(owner, function, _noting(name, getattr(owner, function)))


def _noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def noting(*args: Any, **kwargs: Any) -> Any:
        called.add(name)
        return function(*args, **kwargs)

    return noting
