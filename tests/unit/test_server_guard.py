"""Who is let in: hosts and origins, and what is logged of a request."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from ellipsis_local.errors import ArgumentError
from ellipsis_local.server import host_origin_guard
from ellipsis_local.server.host_origin_guard import LOOPBACK_NAMES, Guard
from ellipsis_local.server.uvicorn_server import Options
from ellipsis_local.server.wire import Answer
from ellipsis_local.settings import is_loopback

NAMES = ("127.0.0.1", *LOOPBACK_NAMES)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await Answer({"fine": True})(scope, receive, send)


def ask(
    headers: dict[str, str | list[str]], names=NAMES, scheme: str = "http", query: bytes = b"", **options: Any
) -> tuple[int, bytes]:
    sent = messages(headers, names, scheme, query, **options)
    return sent[0]["status"], sent[1]["body"]


def messages(
    headers: dict[str, str | list[str]],
    names=NAMES,
    scheme: str = "http",
    query: bytes = b"",
    method: str = "GET",
    origins=(),
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    listed = [
        (name.encode(), one.encode())
        for name, value in headers.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    scope = {"type": "http", "method": method, "path": "/v3/x", "query_string": query, "headers": listed}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(Guard(_app, names, 8642, scheme, origins)(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8642", "localhost:08642", "LOCALHOST", "[::1]:8642", "localhost.", "drive.local:443"],
)
def test_own_hosts_are_let_in(host: str) -> None:
    assert ask({"host": host}, (*NAMES, "Drive.local:443"))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost:1",
        "[::1]:8643",
        "localhost:99999",
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "",
        "[::1",
        "evil.example:127.0.0.1",
    ],
)
def test_other_hosts_are_not(host: str) -> None:
    status, body = ask({"host": host})
    assert status == 421
    assert b"--name" in body


def test_pages_of_an_origin_that_was_named_may_ask_without_cookies() -> None:
    page = "https://maps.example"
    asked = {"host": "localhost:8642", "origin": page, "sec-fetch-site": "cross-site"}
    for method, status in (("GET", 200), ("OPTIONS", 204)):
        start = messages(asked, method=method, origins=(page,))[0]
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        assert (start["status"], found["access-control-allow-origin"], found["vary"]) == (status, page, "Origin")
        assert "access-control-allow-credentials" not in found
    assert found["access-control-allow-headers"] == "Authorization, Content-Type"
    for other in ("https://maps.example.evil", "http://maps.example", "https://maps.example:444", "null", ""):
        start = messages(asked | {"origin": other}, origins=(page,))[0]
        assert start["status"] == 403
        assert not any(name.startswith(b"access-control") for name, _ in start["headers"])
    assert ask(asked)[0] == ask({"host": "localhost", "sec-fetch-site": "cross-site"}, origins=(page,))[0] == 403
    assert ask(asked | {"host": "evil.example"}, origins=(page,))[0] == 421


@pytest.mark.parametrize(
    "origin", ["*", "null", "maps.example", "https://maps.example/", "https://*.example", "https://a b"]
)
def test_an_origin_is_exact(origin: str) -> None:
    with pytest.raises(ArgumentError, match="as a browser sends it"):
        Options(origins=(origin,))


def test_headers_are_limited_in_number() -> None:
    many = {f"x-{number}": "x" for number in range(host_origin_guard.MOST_HEADERS - 1)}
    assert ask({"host": "localhost", **many})[0] == 200
    assert ask({"host": "localhost", **many, "one-more": "x"})[0] == 431


def test_a_request_without_host_or_with_two_is_refused() -> None:
    assert ask({})[0] == 421
    assert ask({"host": ["127.0.0.1", "127.0.0.1"]})[0] == 421


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost:1", "https://127.0.0.1:8642", "http://127.0.0.1:8642.evil"],
)
def test_pages_of_other_origins_are_refused(origin: str) -> None:
    assert ask({"host": "127.0.0.1:8642", "origin": origin})[0] == 403


def test_the_own_origin_is_let_in() -> None:
    assert ask({"host": "127.0.0.1:8642", "origin": "http://127.0.0.1:8642"})[0] == 200
    assert ask({"host": "drive.local", "origin": "https://drive.local"}, ("drive.local",), "https")[0] == 200


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_browsers_tell_the_site(site: str, status: int) -> None:
    assert ask({"host": "localhost", "sec-fetch-site": site})[0] == status


def test_the_log_holds_no_query_and_no_token(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        ask({"host": "localhost", "authorization": "Bearer local_secret"}, query=b"token=local_secret")
    assert "GET /v3/x 200" in caplog.text
    assert "local_secret" not in caplog.text


@pytest.mark.parametrize(
    ("name", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False),
     ("192.168.0.1", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_what_is_loopback(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback


def test_other_addresses_need_tls_or_insecure(tmp_path) -> None:
    with pytest.raises(ArgumentError, match="--insecure"):
        Options(host="0.0.0.0")
    assert Options(host="0.0.0.0", insecure=True).scheme == "http"
    pem = tmp_path / "x.pem"
    with pytest.raises(ArgumentError, match="both files"):
        Options(host="0.0.0.0", certificate=pem)
    with pytest.raises(ArgumentError, match="not there"):
        Options(host="0.0.0.0", certificate=pem, key=pem)
    pem.write_text("x")
    assert Options(host="0.0.0.0", certificate=pem, key=pem).scheme == "https"


@pytest.mark.parametrize("port", [-1, 65536, "80", True])
def test_ports(port) -> None:
    with pytest.raises(ArgumentError, match="port must be"):
        Options(port=port)
