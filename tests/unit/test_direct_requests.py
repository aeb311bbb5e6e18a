"""What goes to a server of this process arrives, whatever a test lets `requests` do; the rest is the test's to answer."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
import requests_mock
import responses
import trustme

from ellipsis_local import direct_requests, serve
from ellipsis_local.errors import UpstreamError
from ellipsis_local.server import Server
from ellipsis_local.upstream.http_client import Client

ELSEWHERE = "http://127.0.0.1:9/v3"


@contextlib.contextmanager
def by_responses() -> Iterator[None]:
    with responses.RequestsMock() as answers:
        answers.get(f"{ELSEWHERE}/account", json={"username": "invented"})
        yield


@contextlib.contextmanager
def by_requests_mock() -> Iterator[None]:
    with requests_mock.Mocker() as answers:
        answers.get(f"{ELSEWHERE}/account", json={"username": "invented"})
        yield
        assert answers.called_once


PATCHERS = pytest.mark.parametrize("patcher", [by_responses, by_requests_mock])


def names(url: str, token: str) -> tuple[Any, Any]:
    """What our server answers, and what the test has for another."""
    with Client(url, token) as own, Client(ELSEWHERE) as other:
        return own.json("/account", what="it")["username"], other.json("/account", what="it")["username"]


@PATCHERS
@pytest.mark.parametrize("before", [True, False])
def test_a_pull_from_a_server_of_this_process(
    el: ModuleType, token: str, patcher: Callable[[], Any], before: bool
) -> None:
    with patcher() if before else serve() as first, serve() if before else patcher() as second:
        server = second if before else first
        assert names(server.url, token) == ("demo_user", "invented")
    assert not direct_requests.is_served(server.url)


@pytest.mark.usefixtures("el")
def test_what_is_served(server: Server) -> None:
    port = server.port
    assert direct_requests.is_served(f"http://localhost:{port}/v3/path")
    for url in (f"http://example.org:{port}/v3", f"http://127.0.0.1:{port + 1}", "http://127.0.0.1", "http://[::1", ""):
        assert not direct_requests.is_served(url)


def test_answers_are_those_of_requests(server: Server, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    for options in ({"json": {"name": "a"}}, {"data": b'{"name": "b"}'}, {"data": iter([b'{"name":', b' "c"}'])}):
        kinds = headers | {"Content-Type": "application/json"}
        answer = direct_requests.send("POST", f"{server.url}/path/folder", headers=kinds, timeout=60, **options)
        assert answer.status_code == 200, answer.text
        found = direct_requests.send(
            "GET", f"{server.url}/path/{answer.json()['id']}", headers=headers, timeout=(60, 60)
        )
        assert found.json()["id"] == answer.json()["id"]
    with direct_requests.send("GET", f"{server.url}/account", params={"token": token}, stream=True) as answer:
        assert b"".join(answer.iter_content(7)) == requests.get(f"{server.url}/account", headers=headers).content
    with pytest.raises(requests.HTTPError, match="401"):
        direct_requests.send("GET", f"{server.url}/account").raise_for_status()


def test_errors_are_those_of_requests() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(requests.ReadTimeout):
            direct_requests.send("GET", url, timeout=0.05)
    with pytest.raises(requests.ConnectionError):
        direct_requests.send("GET", url, timeout=60)
    with pytest.raises(requests.exceptions.InvalidURL):
        direct_requests.send("GET", "http://:80/")


def test_certificates_are_verified(tmp_path: Path, el: ModuleType, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    files = {"certificate": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    with serve(**files) as server, Client(f"https://localhost:{server.port}/v3", token) as client:
        with pytest.raises(UpstreamError, match="certificate is not trusted"):
            client.json("/account", what="it")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        assert client.json("/account", what="it")["username"] == "demo_user"
