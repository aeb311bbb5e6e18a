"""Which emulator the public functions work on: the process's own, or that of the innermost scope.

A context (a thread, a task) that has entered scopes, as `ellipsis_local.mock` does, sees the innermost of them; any
other, such as a thread that was started within one, the scope that was entered last by anybody.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from ellipsis_local.settings import Settings, read_settings


class Scope:
    """Settings that were given, and the emulator that was made with them."""

    def __init__(
        self, given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, *, mocked: bool = False
    ) -> None:
        """With settings as `configure` takes them; `environ` in the place of the process's variables."""
        self.given: dict[str, Any] = dict(given or {})
        self.environ = environ
        self.mocked = mocked
        self.emulator: Any = None
        self.lock = threading.RLock()
        self.active = False
        self.over = False
        """Whether it was left for good: whoever is late must not make another emulator."""

    def settings(self) -> Settings:
        """What is in force."""
        return read_settings(self.given, self.environ)


BASE = Scope()
"""The process's own; always there."""

_lock = threading.Lock()
_all: tuple[Scope, ...] = ()
_own: ContextVar[tuple[Scope, ...]] = ContextVar("ellipsis_local_scopes", default=())


def current_scope() -> Scope:
    """The scope of whoever asks."""
    # One that was entered here may have been left in another context.
    for scope in reversed(_own.get()):
        if scope.active:
            return scope
    scopes = _all
    return scopes[-1] if scopes else BASE


def entered() -> tuple[Scope, ...]:
    """All scopes that anybody is in, the last one last."""
    return _all


def in_scope() -> bool:
    """Whether anybody is in a scope."""
    return bool(_all)


def enter(scope: Scope) -> None:
    """Make it the innermost scope of this context, and the last one of the process."""
    global _all
    with _lock:
        scope.active = True
        _all = (*_all, scope)
    _own.set((*(one for one in _own.get() if one.active), scope))


def leave(scope: Scope) -> None:
    """Take it away, from any context and in any order."""
    global _all
    with _lock:
        scope.active = False
        _all = tuple(one for one in _all if one is not scope)
    _own.set(tuple(one for one in _own.get() if one.active))


def _after_fork() -> None:
    """Another thread of the parent may have held a lock."""
    global _lock
    _lock = threading.Lock()
    for scope in (BASE, *_all):
        scope.lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
