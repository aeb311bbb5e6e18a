"""The real client against a server of the test's own; without the package `ellipsis` all of this is skipped."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ellipsis_local.server import Server
from tests.client.covers import record

POLL_SECONDS = 0.02
QUIET = (
    "ignore::Warning",
    "error::pytest.PytestUnraisableExceptionWarning",
    "error::pytest.PytestUnhandledThreadExceptionWarning",
)
"""The client and its libraries warn at every step, and none of that is ours; the later ones win."""
FOLDER = Path(__file__).parent


def lacking() -> str | None:
    """Why the client cannot be used here; None where it can."""
    try:
        importlib.metadata.version("ellipsis")
    except importlib.metadata.PackageNotFoundError:
        return "the client is not installed; it comes with the extra `client`"
    if int(importlib.metadata.version("pandas").partition(".")[0]) >= 3:
        return "the client does not work with pandas 3; the extra `client` brings pandas 2"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = lacking()
    for item in items:
        if not item.path.is_relative_to(FOLDER):
            continue
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
        item.add_marker(pytest.mark.filterwarnings(*QUIET))


@pytest.fixture
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The client, pointed at the test's server; it polls without its second of sleep."""
    import ellipsis

    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(ellipsis.apiManager, "baseUrl", server.url)
    monkeypatch.setattr(ellipsis.apiManager, "WAIT", POLL_SECONDS)
    patient = SimpleNamespace(sleep=lambda seconds: time.sleep(POLL_SECONDS))
    monkeypatch.setattr(importlib.import_module("ellipsis.compute.root"), "time", patient)
    record(ellipsis, monkeypatch)
    return ellipsis


@pytest.fixture
def interpreter() -> str:
    """The running one: it is on every machine that runs the tests, and dill's pickles are for no other."""
    return f"python3.{sys.version_info[1]}"


@pytest.fixture
def token(client: ModuleType) -> str:
    """The token of the user `demo_user`."""
    return client.account.logIn("demo_user", "demo_user")


@pytest.fixture
def other(client: ModuleType) -> str:
    """The token of the user `somebody_else`."""
    return client.account.logIn("somebody_else", "another password")


@pytest.fixture
def valley(client: ModuleType, el: ModuleType, fixtures: Path) -> ModuleType:
    """The client, of a home with the layers of the fixtures."""
    with pytest.warns(UserWarning, match="no geometry"):
        el.layers.load(fixtures)
    return client
