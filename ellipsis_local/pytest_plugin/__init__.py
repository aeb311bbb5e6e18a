"""The pytest plugin: fixtures around `ellipsis_local.mock`, found by pytest through the entry point `pytest11`.

Nothing heavy is imported before a test asks for a fixture.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ellipsis_local.pytest_plugin.choices import Choices, guard_of, guards, pytest_addoption
from ellipsis_local.pytest_plugin.leaks import Leaks

__all__ = [
    "ellipsis",
    "ellipsis_home",
    "ellipsis_layers",
    "ellipsis_server",
    "ellipsis_token",
    "pytest_addoption",
    "pytest_collection",
    "pytest_configure",
    "pytest_runtest_protocol",
]

MARKER = "ellipsis(inline, strict, layers, seed, clock, leaks, guard, **settings): how the test's own service behaves"
FORGOTTEN = (
    "no test of this project may reach it (ellipsis_guard): let the test ask for the fixture `ellipsis`, or mark it "
    "@pytest.mark.ellipsis, and the call stays on this machine; a test that is meant to talk to the service is marked "
    "@pytest.mark.ellipsis(guard=False), and `ellipsis_guard = false` in the ini file lets all tests"
)
USER = "test_user"
CLIENT = "ellipsis"


class StandInFinder(MetaPathFinder, Loader):
    """Finds `ellipsis` while tests are collected, where the client is not installed, as a mock shows it."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name.partition(".")[0] != CLIENT:
            return None
        from ellipsis_local.mocking.local_functions import fake_modules

        found = fake_modules().get(name)
        return None if found is None else ModuleSpec(name, self, is_package=hasattr(found, "__path__"))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from ellipsis_local.mocking.local_functions import fake_modules

        return fake_modules()[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has all that it has."""

    def remove(self) -> None:
        sys.meta_path.remove(self)
        for name in [name for name in sys.modules if name.partition(".")[0] == CLIENT]:
            if getattr(sys.modules[name].__spec__, "loader", None) is self:
                del sys.modules[name]


class Templates:
    """Homes that hold loaded folders already: loading costs seconds once, and a test's home is a copy."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], tuple[Path, dict[str, Any]]] = {}

    def home(self, folders: tuple[Path, ...], settings: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        """A new home that holds the layers as if loaded into it, and what that returned; the caller removes it."""
        key = (folders, settings.get("seed"), str(settings.get("clock")))
        if key not in self._made:
            self._made[key] = _make(folders, settings)
        template, loaded = self._made[key]
        home = Path(tempfile.mkdtemp(prefix="ellipsis_local-test-"))
        for source in template.iterdir():
            if source.name == "layers":
                # The store replaces files and never changes one in place.
                shutil.copytree(source, home / source.name, copy_function=_link)
            elif source.is_dir():
                shutil.copytree(source, home / source.name)
            else:
                shutil.copyfile(source, home / source.name)
        return home, copy.deepcopy(loaded)

    def close(self) -> None:
        while self._made:
            shutil.rmtree(self._made.popitem()[1][0], ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _load(folders: tuple[Path, ...]) -> dict[str, Any]:
    from ellipsis_local import layers

    return {name: layer for folder in folders for name, layer in layers.load(folder).items()}


def _make(folders: tuple[Path, ...], settings: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    from ellipsis_local.mocking import mock

    home = Path(tempfile.mkdtemp(prefix="ellipsis_local-template-"))
    try:
        with mock(home=home, **settings):
            return home, _load(folders)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


_templates = pytest.StashKey[Templates]()
_finder = pytest.StashKey[StandInFinder]()
_loaded = pytest.StashKey[dict[str, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and let test modules import `ellipsis` where the client is not installed."""
    config.addinivalue_line("markers", MARKER)
    config.stash[_templates] = Templates()
    config.stash[_finder] = StandInFinder()
    sys.meta_path.append(config.stash[_finder])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the homes that the tests' homes were copied from, and what was changed."""
    if _templates in config.stash:  # another plugin may have failed before
        config.stash[_templates].close()
        config.stash[_finder].remove()


@contextlib.contextmanager
def _guarded(chosen: bool) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if chosen:
            from ellipsis_local.mocking.network_guard import guard, refused

            def forgotten(host: str, request: str | None) -> BaseException:
                # Not an Exception: the client tries anything else again, ten times.
                return pytest.fail.Exception(str(refused(host, request, FORGOTTEN)))

            stack.callback(guard(forgotten, around=True))
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Keep the modules of tests from the service while they are imported (our choice)."""
    with _guarded(guards(session.config)):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep a test from the service, and the fixtures of any scope that begin or end with it."""
    marked = guard_of(item)
    with _guarded(guards(item.config) if marked is None else marked):
        return (yield)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what was chosen, where it is not the default."""
    return Choices.of(config).header()


@pytest.fixture
def _ellipsis_mock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The mock of one test, with its checks for what is left behind."""
    from ellipsis_local.mocking import mock
    from ellipsis_local.testing.picture import new_folder

    choices = Choices.of(request.config).refined(request.node)
    layers = choices.layers if "ellipsis_layers" in request.fixturenames else ()
    home = None
    if layers:
        home, request.node.stash[_loaded] = request.config.stash[_templates].home(layers, choices.settings())
    leaks = Leaks(request.config.rootpath) if choices.leaks else None
    double = mock(home=home, environments=choices.environments(tmp_path_factory), **choices.settings())
    pictures = new_folder.set(lambda: tmp_path_factory.mktemp("ellipsis-pictures"))
    try:
        module = double.start()
        try:
            yield module
        finally:
            double.stop()
    finally:
        new_folder.reset(pictures)
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
    if leaks is not None and (left := leaks.left()):
        pytest.fail("the test left behind what it should have ended or closed:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def _ellipsis_marked(request: pytest.FixtureRequest) -> None:
    """A test with the marker runs inside the mock, whether it asks for a fixture or not."""
    if request.node.get_closest_marker("ellipsis") is not None and guard_of(request.node) is not False:
        request.getfixturevalue("_ellipsis_mock")


@pytest.fixture
def ellipsis(_ellipsis_mock: ModuleType) -> ModuleType:
    """The module `ellipsis`, on a fresh home of the test's own; no request leaves for the service.

    All imports of it are mocked, in the test and in the code under test: see `ellipsis_local.mock`. The marker
    ``@pytest.mark.ellipsis(…)`` takes the settings of `ellipsis_local.configure`, and `layers`, `leaks`.
    """
    return _ellipsis_mock


@pytest.fixture
def ellipsis_home(_ellipsis_mock: ModuleType) -> Path:
    """The folder that holds all that the test stores; it vanishes with the test."""
    from ellipsis_local.emulator import current_settings

    return current_settings().home


@pytest.fixture
def ellipsis_token(ellipsis: ModuleType) -> str:
    """A token of the user ``test_user``."""
    return str(ellipsis.account.logIn(USER, USER))


@pytest.fixture
def ellipsis_layers(request: pytest.FixtureRequest, _ellipsis_mock: ModuleType) -> dict[str, Any]:
    """The layers of the folders that the marker's `layers` or the ini option ``ellipsis_layers`` names.

    Returns
    -------
    dict
        Per name ``{'pathId': …, 'timestampId': …}``, as `ellipsis_local.layers.load` returns it. Paths are those of
        the catalogue, ids too; paths of the marker are relative to the test's file, those of the ini to the ini.
    """
    stash: pytest.Stash = request.node.stash
    if _loaded not in stash:
        # The test asked for the fixture by `request.getfixturevalue`, when its home was in use already.
        folders = Choices.of(request.config).refined(request.node).layers
        if not folders:
            pytest.fail(
                "ellipsis_layers has no folder to load: name one with the ini option ellipsis_layers, or with "
                "@pytest.mark.ellipsis(layers='folder')",
                pytrace=False,
            )
        stash[_loaded] = _load(folders)
    return stash[_loaded]


@pytest.fixture
def ellipsis_server(_ellipsis_mock: ModuleType) -> Iterator[str]:
    """The address of a server on the test's home, for the unmodified client in other processes: ends with ``/v3``."""
    from ellipsis_local.server import serve

    with serve() as server:
        yield server.url
