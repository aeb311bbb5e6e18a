"""What every test gets: a home of its own, environments shared by the run, and a guard that nothing is left behind."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import ellipsis_local
from ellipsis_local import emulator as emulator_module
from ellipsis_local import scopes
from ellipsis_local.accounts import passwords
from ellipsis_local.environments import find_interpreters
from ellipsis_local.home import Home
from ellipsis_local.processes import descendants
from tests.processes import command_of

if TYPE_CHECKING:
    from ellipsis_local.server import Server

ROOT = Path(__file__).parent.parent
LEAVE_SECONDS = 10
COSTS = passwords.TIME_COST, passwords.MEMORY_KIB


def pytest_collection_finish() -> None:
    """What stays for the whole run is not looked through whenever garbage is collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of environments for the run, whichever of its processes asks."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-environments"
    find_interpreters(Home(shared))
    return shared


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> Iterator[Any]:
    """A small Dask cluster of two worker processes, each with a home of its own, as two machines have."""
    pytest.importorskip("distributed")
    from distributed import Nanny, Scheduler, SpecCluster

    before = _children()

    def worker(number: int) -> dict[str, Any]:
        home = tmp_path_factory.mktemp(f"worker{number}")
        (home / "settings.toml").write_text(f"environments = {json.dumps(str(shared_environments))}\n")
        environ = {"ELLIPSIS_LOCAL_HOME": str(home)}
        return {
            "cls": Nanny,
            "options": {"nthreads": 2, "env": environ, "local_directory": str(home), "dashboard": False},
        }

    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}}
    with SpecCluster({number: worker(number) for number in (0, 1)}, scheduler, silence_logs=False) as running:
        LASTING.update(_children() - before)
        yield running
    LASTING.clear()
    # What multiprocessing has started for the workers outlives them, and tests count the processes below this one.
    resource_tracker._resource_tracker._stop()


@pytest.fixture
def home(tmp_path: Path, shared_environments: Path) -> Path:
    """A new home; only its environments are those of the run."""
    folder = tmp_path / "home"
    folder.mkdir()
    # In a file: the processes that tests start on this home find them, too.
    (folder / "settings.toml").write_text(f"environments = {json.dumps(str(shared_environments))}\n")
    return folder


@pytest.fixture
def el(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package, configured on a home of the test's own."""
    for name in [name for name in os.environ if name.startswith("ELLIPSIS_LOCAL_")]:
        if name != "ELLIPSIS_LOCAL_TEST_DATA":
            monkeypatch.delenv(name)
    monkeypatch.setattr(scopes.BASE, "given", {})
    ellipsis_local.configure(home=home, progress=False, cores=2)
    yield ellipsis_local
    emulator_module.use(None)


@pytest.fixture
def token(el: ModuleType) -> str:
    return el.account.logIn("demo_user", "demo_user")


@pytest.fixture
def server(el: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The HTTP API on the test's home, at a free port; its answers are held to its description."""
    from ellipsis_local.server import create_app, uvicorn_server
    from tests.described import Described

    wrong: list[str] = []
    monkeypatch.setattr(
        uvicorn_server, "create_app", lambda *args, **options: Described(create_app(*args, **options), wrong)
    )
    with el.serve() as running:
        yield running
    assert wrong == []


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The layers that ship with the project."""
    return ROOT / "fixtures"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real layers; tests that ask for it are skipped without it."""
    folder = os.environ.get("ELLIPSIS_LOCAL_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ELLIPSIS_LOCAL_TEST_DATA names no folder of real layers")
    return Path(folder)


@pytest.fixture
def new_id() -> str:
    return str(uuid.uuid4())


LASTING: set[psutil.Process] = set()
"""Processes of the tests of a module."""


def _children() -> set[psutil.Process]:
    return {child for child in descendants() if child.is_running()} - LASTING


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("ellipsis_local")}


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """A hash takes 20 ms on purpose; nearly every test logs in, and protects nothing. See `lasting_passwords`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "TIME_COST", passwords.CHEAP_TIME_COST)
        patch.setattr(passwords, "MEMORY_KIB", passwords.CHEAP_MEMORY_KIB)
        passwords._hasher.cache_clear()
        yield
    passwords._hasher.cache_clear()


@pytest.fixture
def lasting_passwords(cheap_passwords: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hashes as users get them."""
    monkeypatch.setattr(passwords, "TIME_COST", COSTS[0])
    monkeypatch.setattr(passwords, "MEMORY_KIB", COSTS[1])
    passwords._hasher.cache_clear()
    yield
    passwords._hasher.cache_clear()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test that leaves a process or thread of ours, or another working directory."""
    folder, before = Path.cwd(), _children()
    yield
    # What a test ended may take a moment to be gone; what it forgot stays.
    end = time.monotonic() + LEAVE_SECONDS
    while (left := _children() - before) | _threads() and time.monotonic() < end:
        time.sleep(0.05)
    assert not left, f"left behind: {list(map(command_of, left))}"
    assert not _threads(), f"threads left behind: {_threads()}"
    assert Path.cwd() == folder, "the test changed the working directory"
