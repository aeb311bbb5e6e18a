"""One stay in a mock: settings, home and emulator of its own, and a server where the client needs one.

The first stay changes this process (the client's functions, the guard of the network), the last one changes it back.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ellipsis_local import layers, scopes
from ellipsis_local.emulator import emulator_of
from ellipsis_local.mocking import client_functions, local_functions
from ellipsis_local.mocking.local_functions import CLIENT
from ellipsis_local.mocking.network_guard import guard
from ellipsis_local.settings import PREFIX, Settings, process_environ, read_settings

if TYPE_CHECKING:
    from ellipsis_local.server import Server

NO_HOME = Path(tempfile.gettempdir(), "ellipsis_local-is-not-made-yet")
"""In place of the home that each entry gets, where settings are only checked."""
QUIET: Mapping[str, Any] = {"progress": False}
"""How settings of a mock differ from those of a home in use (our choice)."""


@dataclass(frozen=True)
class Plan:
    """What each stay in a mock begins with; SettingsError for an unknown setting or an impossible value."""

    home: Path | None
    """A folder that is kept; None: a new one for each stay, removed at its end."""
    layers: tuple[Path, ...]
    """Folders that are loaded."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Other settings."""
    own: bool = False
    """Whether it is the user's own home with its settings and users, as for `ellipsis-local run`; `home` is None."""

    def __post_init__(self) -> None:
        if self.own:
            read_settings(self.given)
        else:
            self.settings(self.home or NO_HOME)

    def settings(self, home: Path) -> Settings:
        """The settings, and those in the ``settings.toml`` of a given home; no environment variables."""
        return read_settings({**QUIET, **self.given, "home": home}, {}, source="ellipsis_local.mock")


class Activation(scopes.Scope):
    """One stay; a context manager that yields the mocked module."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.given, None if plan.own else {}, mocked=not plan.own)
        self.plan = plan
        self.loaded: dict[str, Any] = {}
        """What loading the layers answered."""
        self._temporary: Path | None = None
        self._server: tuple[Settings, Server] | None = None
        self._pid = os.getpid()

    def start(self) -> ModuleType:
        """Enter: whatever fails, nothing is left of it."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)
            if not self.plan.own:
                self._settle(self.plan.home)
            module = _acquire()
            stack.callback(_release)
            stack.callback(self._end)
            scopes.enter(self)
            stack.callback(scopes.leave, self)
            if self.plan.home is not None:
                emulator_of(self)
            for folder in self.plan.layers:
                self.loaded |= layers.load(folder)
            self._leaving = stack.pop_all()
            _end_with_process()
            return module

    def _settle(self, home: Path | None) -> None:
        """Choose the home, a new one where None, and the settings."""
        if home is None:
            home = self._temporary = Path(tempfile.mkdtemp(prefix="ellipsis_local-"))
        settings = self.plan.settings(home)
        self.given = {**QUIET, **self.plan.given, "home": home}
        if settings.environments is None:
            self.given["environments"] = _environments(scopes.current_scope())

    def close(self, *_: object) -> None:
        """Leave: end what this process runs for it, and put everything back."""
        self._leaving.close()

    __enter__, __exit__ = start, close

    def _end(self) -> None:
        with self.lock:
            self.over = True
            server, self._server = self._server, None
            emulator, self.emulator = self.emulator, None
        try:
            if server is not None and self._pid == os.getpid():
                server[1].stop()
        finally:
            if emulator is not None:
                emulator.close(tidy=self._temporary is None)

    def _remove(self) -> None:
        # A forked process leaves it to its parent.
        if self._temporary is not None and self._pid == os.getpid():
            shutil.rmtree(self._temporary, ignore_errors=True)

    def check(self, token: str | None) -> None:
        if token is not None:
            emulator_of(self).user(token)

    def url(self, token: str | None) -> str:
        """The address of the server on this home, started at the first call; it knows the token from now on."""
        if token is not None:
            emulator_of(self).accounts.adopt(token)
        with self.lock:
            emulator_of(self)  # an error where the mock was left meanwhile
            settings = self.settings()
            if self._server is not None and (self._server[0] != settings or self._pid != os.getpid()):
                former, self._server = self._server[1], None
                if self._pid == os.getpid():
                    former.stop()
            if self._server is None:
                from ellipsis_local.server import serve

                self._server = settings, serve(settings=settings)
            return self._server[1].url


def _environments(around: scopes.Scope) -> Path | None:
    """The folder of environments outside of the mock, so that each is built once; None where it cannot be written."""
    # The one thing that a mock takes from the user's own settings (our choice): it changes no result.
    if around.emulator is not None:
        found: Settings = around.emulator.settings
    else:
        given = {name: value for name, value in around.given.items() if name in ("home", "environments")}
        variables = process_environ() if around.environ is None else around.environ
        names = (f"{PREFIX}HOME", f"{PREFIX}ENVIRONMENTS")
        found = read_settings(given, {name: variables[name] for name in names if name in variables})
    folder = found.environments or found.home
    try:
        for name in ("environments", "locks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            if not os.access(folder / name, os.W_OK):
                return None
    except OSError:
        return None
    return folder


@functools.cache
def _end_with_process() -> None:
    """Close at its end what was started and never stopped, before the emulators' own ends."""

    @atexit.register
    def close_all() -> None:
        for scope in reversed(scopes.entered()):
            if isinstance(scope, Activation):
                with contextlib.suppress(Exception):
                    scope.close()


_lock = threading.RLock()
_users = 0
_changes = contextlib.ExitStack()


def _acquire() -> ModuleType:
    """The module `ellipsis`, mocked; each call needs one of `_release`."""
    global _users, _changes
    with _lock:
        if _users == 0:
            installed = client_functions.is_installed()
            client = client_functions.import_client() if installed else None
            with contextlib.ExitStack() as stack:
                stack.callback(guard())
                stack.callback(client_functions.install(client, _current) if client else local_functions.install())
                _changes = stack.pop_all()
        _users += 1
        return sys.modules[CLIENT] if CLIENT in sys.modules else importlib.import_module(CLIENT)


def _release() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            _changes.close()


def _current() -> client_functions.Addressed:
    scope = scopes.current_scope()
    assert isinstance(scope, client_functions.Addressed)  # noqa: S101 - whoever is in no mock does not get here
    return scope


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
