"""`ellipsis_local.mock` around the real client: every import, every function object, every way out."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import sys
import threading
import types
import warnings
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests_mock
import responses
from freezegun import freeze_time

import ellipsis_local
from ellipsis_local import mock, scopes
from ellipsis_local.api_functions import attached
from ellipsis_local.errors import AccountError, MockError, NotFoundError, RealServiceError
from ellipsis_local.mocking.local_functions import local_functions

HOSTED = "eyJhbGciOiJIUzI1NiJ9.eyJpZCI6IjEifQ.c2lnbmF0dXJl"
API = "https://api.ellipsis-drive.com/v3"


@pytest.fixture
def real(el: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The client, imported before any mock; a proxy that is not there stands in its way."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    import ellipsis

    assert ellipsis.apiManager.baseUrl == API
    return ellipsis


def everything(client: types.ModuleType) -> dict[str, Any]:
    """All that a mock might have left another: every name of every module, and the inside of every function."""
    found: dict[str, Any] = {}
    for module in [client, *(sys.modules[name] for name in sorted(sys.modules) if name.startswith("ellipsis."))]:
        for name, value in vars(module).items():
            found[f"{module.__name__}.{name}"] = value
            if isinstance(value, types.FunctionType):
                inside = (value.__code__, value.__defaults__, value.__kwdefaults__, dict(vars(value)))
                found[f"{module.__name__}.{name}()"] = inside
    return found


def test_all_is_restored_function_by_function(real: types.ModuleType) -> None:
    before, loaded = everything(real), dict(sys.modules)
    assert len([name for name in before if name.endswith("()")]) > 184
    for error in (None, RuntimeError):
        try:
            with mock() as ellipsis, mock():
                inside = everything(real)
                assert ellipsis is real
                if error:
                    raise error
        except RuntimeError:
            pass
        after = everything(real)
        assert after == before
        assert all(after[name][0] is before[name][0] for name in before if name.endswith("()"))
        assert {name: sys.modules[name] for name in sys.modules if name.startswith("ellipsis.")} == {
            name: loaded[name] for name in loaded if name.startswith("ellipsis.")
        }
    changed = {name for name in inside if inside[name] != before.get(name)}
    assert "ellipsis.compute.addLayer" in changed
    assert not hasattr(real.compute, "addLayer")
    assert not any(name.startswith("ellipsis.util") for name in changed)


def test_every_function_that_is_local_is_replaced(real: types.ModuleType) -> None:
    mine = {"compute.downloadFile"}
    with mock() as ellipsis:
        for name, local in local_functions().items():
            if name.startswith("util.") or name in mine or name in attached:
                continue
            function = functools.reduce(getattr, name.split("."), ellipsis)
            assert inspect.signature(function) == inspect.signature(local), name
            assert inspect.unwrap(function).__module__.startswith("ellipsis_local"), name
        hidden = importlib.import_module("ellipsis.compute.root").downloadFile
        assert inspect.unwrap(hidden).__module__ == "ellipsis_local.compute"
        # The service has no such name to import.
        assert not hasattr(ellipsis.compute, "downloadFile")


def test_references_from_before_and_after_are_the_local_ones(real: types.ModuleType) -> None:
    from ellipsis.account import getInfo, logIn
    from ellipsis.path.raster.timestamp.root import add as add_timestamp

    held = {"info": getInfo}
    partial = functools.partial(logIn, password="secret")

    def default(token: str, made: Any = real.path.raster.add) -> str:
        return made("dem", token)["id"]

    with mock() as ellipsis:
        from ellipsis.compute import addLayer, getComputeInfo, listComputes

        token = partial("ada")
        assert held["info"](token)["username"] == "ada"
        path = default(token)
        timestamp = add_timestamp(path, token)["id"]
        assert [one["id"] for one in ellipsis.path.get(path, token)["raster"]["timestamps"]] == [timestamp]
        assert ellipsis_local.path.get(path, token)["name"] == "dem"
        assert listComputes(token=token)["result"] == []
        with pytest.raises(NotFoundError):
            getComputeInfo(path, token)
        with pytest.raises(TypeError, match="unexpected keyword argument 'tokens'"):
            getInfo(tokens=token)
    with pytest.raises(MockError, match=r"ellipsis\.compute\.addLayer was imported inside ellipsis_local.mock"):
        addLayer([], path, timestamp, token)


@pytest.fixture
def quick(real: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of the client without its waits: what is refused must not come to them at all."""

    def wait(seconds: float) -> None:
        raise AssertionError(f"the client waits {seconds} s to try again")

    monkeypatch.setattr(real.apiManager, "time", types.SimpleNamespace(sleep=wait))


@pytest.mark.usefixtures("quick")
def test_the_rest_of_the_client_goes_to_the_mock(real: types.ModuleType) -> None:
    from ellipsis.path.hashtag import add

    with mock() as ellipsis:
        token = ellipsis.account.logIn("ada", "secret")
        path = ellipsis.path.raster.add("dem", token)["id"]
        add(path, "height", token)
        assert ellipsis.path.get(path, token)["hashtags"] == ["height"]
        listed = ellipsis.account.listRoot("myDrive", token)["result"]
        assert [one["id"] for one in listed] == [path]
        with mock(max_nodes=3):
            other = ellipsis.account.logIn("ada", "secret")
            assert ellipsis.account.listRoot("myDrive", other)["result"] == []
            ellipsis_local.configure(max_nodes=4)
            assert ellipsis.account.listRoot("myDrive", other)["result"] == []
        assert len(ellipsis.account.listRoot("myDrive", token)["result"]) == 1


PATCHERS = {
    "responses": lambda: responses.RequestsMock(),
    "requests_mock": lambda: requests_mock.Mocker(),
    "frozen clock": lambda: freeze_time("2100-01-01"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", PATCHERS)
def test_the_mock_is_reached_whatever_else_a_test_patches(
    real: types.ModuleType, tmp_path: Any, name: str, before: bool
) -> None:
    import requests

    target = tmp_path / "back.bin"
    with contextlib.ExitStack() as stack:
        patcher = stack.enter_context(PATCHERS[name]()) if before else None
        ellipsis = stack.enter_context(mock())
        patcher = patcher or stack.enter_context(PATCHERS[name]())
        token = ellipsis.account.logIn("ada", "secret")
        path = ellipsis.path.raster.add("dem", token)["id"]
        ellipsis.path.hashtag.add(path, "height", token)
        assert [one["hashtags"] for one in ellipsis.account.listRoot("myDrive", token)["result"]] == [["height"]]
        made = ellipsis.apiManager.upload("/path/file", __file__, {"name": "test.py"}, token)["id"]
        ellipsis.apiManager.download(f"/path/{made}/file/data", str(target), token)
        assert target.read_bytes() == Path(__file__).read_bytes()
        if name != "frozen clock":
            patcher.get("https://example.org/", json="mine")
            assert requests.get("https://example.org/", timeout=5).json() == "mine"


@pytest.mark.usefixtures("quick")
def test_an_invented_token_is_the_same_user_in_process_and_over_the_server(real: types.ModuleType) -> None:
    with mock() as ellipsis:
        path = ellipsis.path.folder.add("results", "invented")["id"]
        assert [one["id"] for one in ellipsis.account.listRoot("myDrive", "invented")["result"]] == [path]
        assert ellipsis.account.listRoot("myDrive", "Bearer another")["result"] == []


@pytest.mark.usefixtures("quick")
def test_uploads_and_downloads_go_to_the_mock(real: types.ModuleType, tmp_path: Any) -> None:
    source, target = tmp_path / "model.bin", tmp_path / "back.bin"
    source.write_bytes(b"weights")
    with mock() as ellipsis:
        token = ellipsis.account.logIn("ada", "secret")
        made = ellipsis.apiManager.upload("/path/file", str(source), {"name": "model.bin"}, token)["id"]
        ellipsis.apiManager.download(f"/path/{made}/file/data", str(target), token)
        assert target.read_bytes() == b"weights"
        assert ellipsis.path.get(made, token)["name"] == "model.bin"


@pytest.mark.usefixtures("quick")
def test_what_is_not_emulated_says_so_at_once(real: types.ModuleType) -> None:
    with mock() as ellipsis:
        token = ellipsis.account.logIn("ada", "secret")
        path = ellipsis.path.raster.add("dem", token)["id"]
        with pytest.raises(ValueError, match="not emulated"):
            ellipsis.path.bookmark.get(path, token)


@pytest.mark.usefixtures("quick")
def test_real_tokens_are_refused_by_every_function(real: types.ModuleType) -> None:
    with mock() as ellipsis:
        for call in (
            lambda: ellipsis.account.getInfo(HOSTED),
            lambda: ellipsis.account.listRoot("myDrive", HOSTED),
            lambda: ellipsis.apiManager.get("/account", None, f"Bearer {HOSTED}"),
        ):
            with pytest.raises(AccountError, match="token looks like one of the hosted service") as caught:
                call()
            assert HOSTED[-8:] not in str(caught.value)


def test_what_a_user_has_replaced_stays_replaced(real: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = real.account.getInfo, []

    def spy(token: str) -> Any:
        calls.append(token)
        return original(token)

    def fake(*args: Any) -> str:
        return "fake"

    monkeypatch.setattr(real.account, "getInfo", spy)
    monkeypatch.setattr(real.compute, "execute", fake)
    monkeypatch.setattr(real.apiManager, "upload", fake)
    with mock() as ellipsis:
        assert ellipsis.compute.execute() == ellipsis.apiManager.upload() == "fake"
        assert ellipsis.account.getInfo("invented")["username"].startswith("token-")
    assert calls == ["invented"]
    assert (real.account.getInfo, real.compute.execute) == (spy, fake)


FORGETS = """
import pytest, webbrowser

def test_logs_in():
    import ellipsis
    ellipsis.account.logIn('ada', 'secret')

def test_uploads(tmp_path):
    import ellipsis
    (tmp_path / 'a').write_text('a')
    ellipsis.path.file.add(filePath=str(tmp_path / 'a'), token='invented')

def test_another_address(monkeypatch):
    import ellipsis
    ellipsis.account.logIn('ada', 'secret')

def test_with_the_fixture(ellipsis):
    assert ellipsis.account.listRoot('myDrive', ellipsis.account.logIn('ada', 'secret'))['result'] == []

def test_after_it():
    import ellipsis
    ellipsis.path.get('523caede-5e2a-4e24-8a4a-4c2a4c9d3a4b', 'invented')
"""


def test_a_test_that_forgets_the_fixture_fails_at_once(pytester: pytest.Pytester, quick: None) -> None:
    pytester.makeini("[pytest]\nellipsis_guard = true\n")
    pytester.makeconftest(
        """
        import ellipsis, pytest

        @pytest.fixture(autouse=True)
        def staging(request, monkeypatch):
            if request.node.name == 'test_another_address':
                monkeypatch.setattr(ellipsis.apiManager, 'baseUrl', 'https://staging.ellipsis-drive.com/v3')
        """
    )
    pytester.makepyfile(FORGETS)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=4, passed=1)
    for called in (
        "account.logIn (POST https://api.",
        "path.file.add (POST https://api.",
        "account.logIn (POST https://staging.",
    ):
        result.stdout.fnmatch_lines([f"E *ellipsis.{called}ellipsis-drive.com*the fixture `ellipsis`*"])
    result.stdout.fnmatch_lines(["E *ellipsis.path.get (GET https://api.ellipsis-drive.com*the fixture `ellipsis`*"])


# ----- nothing leaves --------------------------------------------------------------------------------------------------


def test_no_page_of_the_service_is_opened(real: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(real.account, "browserLogin"):
        pytest.skip("this release has no browserLogin")
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail(f"{url} was opened"))
    with mock() as ellipsis, pytest.raises(RealServiceError) as caught:
        ellipsis.account.browserLogin()
    assert caught.value.call == "ellipsis.account.browserLogin"


@pytest.mark.usefixtures("quick")
def test_the_client_s_own_functions_are_refused_by_name(
    real: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    path = "523caede-5e2a-4e24-8a4a-4c2a4c9d3a4b"
    with mock() as ellipsis:
        with monkeypatch.context() as patch:
            patch.setattr(ellipsis.apiManager, "baseUrl", "https://staging.ellipsis-drive.com/v3")
            with pytest.raises(RealServiceError, match="staging") as caught:
                ellipsis.path.hashtag.add(path, "height", "invented")
            assert caught.value.call == "ellipsis.path.hashtag.add"
            with pytest.raises(RealServiceError) as caught:
                ellipsis.apiManager.get("/account", None, "invented")
            assert caught.value.call == "ellipsis.apiManager.get"
        with pytest.raises(RealServiceError) as caught:
            requests.get(ellipsis.apiManager.baseUrl + "/path?token=secret", timeout=5)
        assert caught.value.call == f"GET {API}/path"


def test_an_address_of_the_user_s_own_is_kept_to(real: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of another home, on this machine."""
    with mock() as ellipsis:
        token = ellipsis.account.logIn("ada", "secret")
        path = ellipsis.path.raster.add("dem", token)["id"]
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name)
        with ellipsis_local.serve() as server, monkeypatch.context() as patch:
            patch.setattr(ellipsis.apiManager, "baseUrl", server.url)
            ellipsis.path.hashtag.add(path, "height", token)
        assert ellipsis.path.get(path, token)["hashtags"] == ["height"]


def test_a_client_of_another_default_is_guarded_too(real: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(real.apiManager, "baseUrl", "https://drive.example.org/v3")
    with mock() as ellipsis:
        with pytest.raises(RealServiceError, match=r"drive\.example\.org"):
            socket.getaddrinfo("drive.example.org", 443)
        assert ellipsis.account.listRoot("myDrive", "invented")["result"] == []


# ----- together --------------------------------------------------------------------------------------------------------


def test_threads_have_servers_of_their_own(real: types.ModuleType) -> None:
    step, found = threading.Barrier(2, timeout=30), {}

    def work(name: str) -> None:
        with mock() as ellipsis:
            token = ellipsis.account.logIn(name, "secret")
            ellipsis.path.folder.add(name, token)
            step.wait()
            found[name] = [one["name"] for one in ellipsis.account.listRoot("myDrive", token)["result"]]
            step.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ada", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"ada": ["ada"], "eve": ["eve"]}
    assert not scopes.in_scope()


@pytest.fixture
def forgotten() -> Iterator[None]:
    """The client is imported anew, by whatever comes first."""
    held = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "ellipsis"}
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "ellipsis"]:
        del sys.modules[name]
    sys.modules.update(held)


@pytest.mark.usefixtures("forgotten", "el")
def test_a_client_that_is_imported_by_the_mock_stays_imported() -> None:
    filters = list(warnings.filters)
    with mock() as ellipsis:
        token = ellipsis.account.logIn("ada", "secret")
        from ellipsis.account import getInfo

        assert getInfo(token)["username"] == "ada"
        assert warnings.filters == filters, "the client turns warnings off when it is imported"
    assert sys.modules["ellipsis"] is ellipsis
    assert getInfo.__code__.co_filename == ellipsis.account.root.__file__
    assert not hasattr(ellipsis.compute, "addLayer")
