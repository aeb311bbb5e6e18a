"""What is changed in this process while any mock is active: by the first that enters, until the last one leaves."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from types import ModuleType

from ellipsis_local import scopes
from ellipsis_local.mocking import client_functions, fake_modules
from ellipsis_local.mocking.local_functions import CLIENT
from ellipsis_local.mocking.network_guard import guard

_lock = threading.RLock()
_users = 0
_changes = contextlib.ExitStack()


def acquire() -> ModuleType:
    """The module `ellipsis`, mocked; each call needs one of `release`."""
    global _users, _changes
    with _lock:
        if _users == 0:
            with contextlib.ExitStack() as stack:
                _install(stack)
                _changes = stack.pop_all()
        _users += 1
        return sys.modules[CLIENT] if CLIENT in sys.modules else importlib.import_module(CLIENT)


def release() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            _changes.close()


def _install(stack: contextlib.ExitStack) -> None:
    installed = client_functions.is_installed()
    module = client_functions.import_client() if installed else None
    stack.callback(guard())
    stack.callback(client_functions.install(module, _current) if module else fake_modules.install())


def _current() -> client_functions.Addressed:
    scope = scopes.current_scope()
    assert isinstance(scope, client_functions.Addressed)  # noqa: S101 - whoever is in no mock does not get here
    return scope


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
