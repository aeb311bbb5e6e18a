"""Nobody gets in who does not belong, nothing is given away, and nothing that is sent keeps the server busy for long."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
import trustme
from typer.testing import CliRunner

from ellipsis_local.accounts import Accounts
from ellipsis_local.cli.app import app
from ellipsis_local.errors import ArgumentError
from ellipsis_local.server import Server, connections, host_origin_guard, wire
from tests.integration.serving import BASE, UNKNOWN, World, changes, digest, files_below, problem_of

WAIT = 10


@pytest.fixture
def world(server: Server) -> Iterator[World]:
    with World(server) as world:
        yield world


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=WAIT)


def received(one: socket.socket) -> bytes:
    """The next whole answer, or what comes until the server closes; TimeoutError after 10 s of silence.

    Bytes behind it are the answer to a second request, and are dropped.
    """
    found = b""
    while chunk := one.recv(65536):
        found += chunk
        head, _, body = found.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if lengths and len(body) >= int(lengths[0][15:]):
            return head + b"\r\n\r\n" + body[: int(lengths[0][15:])]
    return found


def raw(server: Server, data: bytes, *, close: bool = False) -> bytes:
    """The answer to these bytes; nothing where the server cuts the connection."""
    with connected(server) as one:
        try:
            one.sendall(data)
            if close:
                one.shutdown(socket.SHUT_WR)
            return received(one)
        except ConnectionError:
            # Refused before all was sent.
            return b""


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def head(method: str, target: str, *lines: str, host: str | None = "127.0.0.1", version: str = "1.1") -> bytes:
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([f"{method} {target} HTTP/{version}", *hosts, *lines, "", ""]).encode("latin-1")


def is_well(world: World) -> None:
    assert world.ask("GET", "/account", world.a.token).status_code == 200


# ----- HTTP ----------------------------------------------------------------------------------------------------------

ACCOUNT = f"{BASE}/account"
NO_REQUESTS: dict[str, bytes] = {
    "no host": head("GET", ACCOUNT, host=None),
    "an empty host": head("GET", ACCOUNT, host=""),
    "two hosts": head("GET", ACCOUNT, "Host: localhost"),
    "another port": head("GET", ACCOUNT, host="127.0.0.1:1"),
    "500 headers": head("GET", ACCOUNT, *(f"X-{i}: x" for i in range(500))),
    "another host": head("GET", ACCOUNT, host="evil.example"),
    "an own host in another": head("GET", ACCOUNT, host="127.0.0.1.evil.example"),
    "a host with a user": head("GET", ACCOUNT, host="evil.example@127.0.0.1"),
    "a host with a path": head("GET", ACCOUNT, host="127.0.0.1/evil.example"),
    "HTTP/1.0 without a host": head("GET", ACCOUNT, host=None, version="1.0"),
    "HTTP/0.9": b"GET /v3/account\r\n\r\n",
    "HTTP/2 in clear text": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another site's target": head("GET", "http://evil.example/"),
    "another site's target, and path of ours": head("GET", f"http://evil.example{ACCOUNT}"),
    "a target without a slash": head("GET", "v3/account"),
    "an asterisk": head("OPTIONS", "*"),
    "CONNECT": head("CONNECT", "evil.example:443"),
    "TRACE": head("TRACE", ACCOUNT),
    "an unknown method": head("BREW", ACCOUNT),
    "a long method": head("X" * 5000, ACCOUNT),
    "a method in small letters": head("get", ACCOUNT),
    "a target of bytes": b"GET /v3/\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a space in the target": head("GET", "/v3/a b"),
    "a null in a header": head("GET", ACCOUNT, "X: a\0b"),
    "a line break in a header": head("GET", ACCOUNT, "X: a\nAuthorization: Bearer x"),
    "a header without a name": head("GET", ACCOUNT, ": x"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00" + b"\0" * 200,
    "noise": bytes(range(256)) * 4,
    "two lengths": head("POST", f"{BASE}/account/login", "Content-Length: 2", "Content-Length: 3") + b"{}",
    "a negative length": head("POST", f"{BASE}/account/login", "Content-Length: -1"),
    "a length that is none": head("POST", f"{BASE}/account/login", "Content-Length: 1e3"),
    "a length of 30 digits": head("POST", f"{BASE}/account/login", f"Content-Length: {'9' * 30}"),
    "a length and chunks": head(
        "POST", f"{BASE}/account/login", "Content-Length: 2", "Transfer-Encoding: chunked", "Content-Type: application/json"
    ) + b"0\r\n\r\n",
    "another encoding": head("POST", f"{BASE}/account/login", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "chunks that are none": head(
        "POST", f"{BASE}/account/login", "Transfer-Encoding: chunked", "Content-Type: application/json"
    ) + b"xyz\r\n{}\r\n",
    "a huge chunk": head(
        "POST", f"{BASE}/account/login", "Transfer-Encoding: chunked", "Content-Type: application/json"
    ) + b"F" * 20 + b"\r\n{}\r\n",
    "a request line of 1 MB": head("GET", ACCOUNT + "?" + "x" * 2**20),
    "a header of 1 MB": head("GET", ACCOUNT, "X: " + "x" * 2**20),
    "a header of 1 MB without an end": head("GET", ACCOUNT, "X: " + "x" * 2**20)[:-4],
    "30,000 headers": head("GET", ACCOUNT, *(f"X-{i}: {'x' * 20}" for i in range(30_000))),
    "an upgrade": head("GET", ACCOUNT, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                       "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
}  # fmt: skip


def test_what_is_no_request_for_this_server(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused in words, or cut off; none is answered, and none takes long."""
    # Some of it may be the beginning of a request.
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.5)
    wrong = []
    before = digest(world)
    for name, data in NO_REQUESTS.items():
        start = time.monotonic()
        answer = raw(world.server, data)
        seconds = time.monotonic() - start
        body = answer.partition(b"\r\n\r\n")[2]
        if answer and (not 400 <= status_of(answer) <= 501 or len(json.loads(body)["message"]) < 10):
            wrong.append(f"{name}: {answer[:300]!r}")
        if seconds > WAIT / 2:
            wrong.append(f"{name}: took {seconds:.1f} s")
    assert wrong == []
    assert changes(before, digest(world)) == []
    is_well(world)


def test_a_request_behind_a_refused_one_is_not_taken_for_its_body(world: World) -> None:
    """Where it is unclear how long a body is, nothing that follows is read as a request."""
    made = json.dumps({"name": "smuggled"})
    hidden = head("POST", f"{BASE}/path/folder", f"Authorization: Bearer {world.a.token}",
                  "Content-Type: application/json", f"Content-Length: {len(made)}") + made.encode()  # fmt: skip
    before = digest(world)
    for lines in (
        *[("Content-Length: 4", "Transfer-Encoding: chunked")] * 60,  # whether it was read as a request was chance
        ("Content-Length: 0", "Content-Length: 5"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: +5",),
    ):
        raw(world.server, head("POST", f"{BASE}/account/login", *lines) + b"0\r\n\r\n" + hidden, close=True)
    names = [one["name"] for one in world.ask("GET", "/account/root/myDrive", world.a.token).json()["result"]]
    assert "smuggled" not in names
    assert changes(before, digest(world)) == []


def test_slow_heads_and_bodies_are_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "DRAIN_SECONDS"):
        monkeypatch.setattr(connections, name, 1.0)
    login = head("POST", f"{BASE}/account/login", "Content-Type: application/json", "Content-Length: 100")
    with connected(world.server) as silent, connected(world.server) as dripping, connected(world.server) as half:
        dripping.sendall(b"GET /v3/account HTT")
        half.sendall(login + b'{"username": ')
        # What comes in time does not begin the wait anew.
        time.sleep(0.3)
        dripping.sendall(b"P/1.1\r\n")
        for one in (silent, dripping):
            answer = received(one)
            assert status_of(answer) == 408
            assert b"was not there" in answer
            assert one.recv(100) == b""
        assert half.recv(65536) == b""
    # The rest of a refused body is read for a while, and no longer.
    with connected(world.server) as refused:
        path = f"{BASE}/path/{world.ids['raster']}/raster/timestamp/{world.ids['raster timestamp']}/file"
        refused.sendall(head("POST", path, "Content-Length: 1000000", "Content-Type: multipart/form-data; boundary=b"))
        assert status_of(received(refused)) == 401
        end = time.monotonic() + WAIT
        with pytest.raises(ConnectionError):
            while time.monotonic() < end:
                refused.sendall(b"x")
                time.sleep(0.02)
    is_well(world)


def test_a_second_request_of_a_connection_has_its_own_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 2.0)
    with connected(world.server) as one:
        for _ in range(3):
            time.sleep(0.8)
            one.sendall(head("GET", ACCOUNT))
            assert status_of(received(one)) == 401
        one.sendall(b"GET ")
        assert status_of(received(one)) == 408


def test_300_connections_at_once(world: World) -> None:
    """They may be silent; whoever asks is answered."""
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connected(world.server))
        is_well(world)
        busy = [stack.enter_context(connected(world.server)) for _ in range(100)]
        for one in busy:
            one.sendall(head("GET", ACCOUNT, f"Authorization: Bearer {world.a.token}"))
        assert {status_of(received(one)) for one in busy} == {200}


def test_more_connections_and_requests_than_are_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, ExitStack() as stack:
        patch.setattr(connections, "MOST_CONNECTIONS", 5)
        many = [stack.enter_context(connected(world.server)) for _ in range(10)]
        refused = [received(one) for one in many[-3:]]
        assert {status_of(answer) for answer in refused} == {503}
        assert b"try again" in refused[0]
    with monkeypatch.context() as patch:
        patch.setattr(host_origin_guard, "MOST_REQUESTS", 0)
        answer = requests.get(f"{world.server.url}/account", timeout=WAIT)
        assert problem_of(answer, (503,)) is None
    is_well(world)


# ----- browsers ------------------------------------------------------------------------------------------------------


def test_no_page_gets_in_and_no_answer_invites_one(world: World) -> None:
    """Requests as pages of other sites send them are refused for every operation; no answer has a CORS header."""
    wrong = []
    before = digest(world)
    pages: list[dict[str, str]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{world.server.port + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    for operation in world.operations:
        request = world.good(operation)
        for index, headers in enumerate(pages):
            if index and operation.method == "GET":
                continue
            answer = world.send(request, world.a.token, headers=headers)
            if problem := problem_of(answer, (403,)):
                wrong.append(f"{operation.name}, {headers}: {problem}")
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": operation.method}
        for method, headers in (("OPTIONS", preflight), ("OPTIONS", {}), ("TRACE", {}), ("HEAD", {})):
            answer = world.ask(method, request.path.removeprefix(BASE), world.a.token, headers=headers)
            if answer.status_code not in (403, 501):
                wrong.append(f"{operation.name}, {method}: answers {answer.status_code}")
            wrong += [
                f"{operation.name}: {name}" for name in answer.headers if name.lower().startswith("access-control")
            ]
    for answer in (
        world.session.get(f"{world.root}/openapi.json", timeout=WAIT),
        world.ask("GET", "/account", world.a.token),
        world.ask("GET", f"/path/{world.ids['file']}/file/data", world.a.token),
    ):
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert wrong == []
    assert changes(before, digest(world)) == []


# ----- paths ---------------------------------------------------------------------------------------------------------


def test_wrong_passwords_are_slowed(world: World) -> None:
    def log_in(password: str) -> requests.Response:
        return world.ask("POST", "/account/login", json={"username": "anna", "password": password})

    answers = [log_in(f"guess {number}") for number in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 6 + [429] * 2
    last = log_in("password of anna")
    assert (last.status_code, problem_of(last, (429,))) == (429, None)
    assert 1 <= int(last.headers["Retry-After"]) <= 60
    is_well(world)


def test_paths_never_reach_the_file_system(world: World) -> None:
    (world.emulator.home.root / "secret.txt").write_text("the secret of the file system")
    file, compute = world.ids["file"], world.ids["compute"]
    inside = ["/v3/../secret.txt", "/../secret.txt", "//v3/account", "/v3//account", "/v3/%2e%2e/secret.txt",
              "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt", "/v3/..%5csecret.txt", "/v3/..\\secret.txt", "/secret.txt",
              "/v3/%00", "/v3/account%00", "/v3/account%0a", "/v3/account/", "/v3/account/.", "/v3/account;x", "/V3/account",
              "/v3/./account", "/static/../secret.txt", "/.git/config", "/docs", "/redoc", "/favicon.ico", "/ellipsis.sqlite",
              "/v3/path/..%2f..%2fsecret.txt/file/data", f"/v3/path/{file}%00/file/data", f"/v3/path/{file}%2f../file/data",
              f"/v3/compute/{compute}/file/..%2f..%2f..%2fsecret.txt", f"/v3/compute/{compute}/file/..%5c..%5csecret.txt",
              f"/v3/compute/..%2f..%2fsecret.txt/file/{UNKNOWN}", f"/v3/compute/{compute}/file/%2e%2e",
              "/v3/account/root/..%2f..", "/v3/account/root/%00", "/file:///etc/passwd", "/v3/file:///etc/passwd"]  # fmt: skip
    wrong = []
    for target in inside:
        answer = raw(world.server, head("GET", target, f"Authorization: Bearer {world.a.token}"))
        body = answer.partition(b"\r\n\r\n")[2]
        if status_of(answer) not in (400, 404, 501) or b"the secret of" in answer or "message" not in json.loads(body):
            wrong.append(f"{target}: {answer[:300]!r}")
    assert wrong == []


def test_names_of_files_are_text_only(world: World) -> None:
    """A file may be called anything; on the disk it is not, and in the header of its download nothing breaks out."""
    before = set(files_below(world.emulator.home.root))
    for name in (
        "../../evil.txt",
        "/etc/evil",
        "a\\..\\evil",
        'a"; filename="evil',
        "höhe\u202e.tif",
        "CON",
        "a" * 1000,
        ".",
    ):
        sent = {"data": ("x", b"content"), "name": (None, name)}
        answer = world.ask("POST", "/path/file", world.a.token, files=sent)
        assert answer.status_code == 200, answer.text
        made = answer.json()["id"]
        assert world.ask("GET", f"/path/{made}", world.a.token).json()["name"] == name
        got = world.ask("GET", f"/path/{made}/file/data", world.a.token)
        assert got.content == b"content"
        assert got.headers["content-disposition"].startswith("attachment; filename")
    new = set(files_below(world.emulator.home.root)) - before
    assert {path.parent.parent for path in new if path.suffix not in (".sqlite-wal", ".sqlite-shm")} == {
        world.emulator.home.layers
    }


def test_ranges(world: World) -> None:
    for header, status in (
        ("bytes=0-1", 206), ("bytes=x", 400), ("lines=0-1", 400), ("bytes=99999-", 416), ("bytes=-0", 416),
        ("bytes=3-1", 400), ("bytes=" + "9" * 5000 + "-", 400),
    ):  # fmt: skip
        headers = {"Range": header}
        answer = world.ask("GET", f"/path/{world.ids['file']}/file/data", world.a.token, headers=headers)
        assert answer.status_code == status, (header, answer.text)
        if status >= 400:
            assert "Range" in answer.json()["message"]
    # Thousands of ranges are one, or none.
    headers = {"Range": "bytes=" + "0-," * 5000}
    answer = world.ask("GET", f"/path/{world.ids['file']}/file/data", world.a.token, headers=headers)
    assert (answer.status_code, answer.content) in ((200, b"plain"), (206, b"plain"))


def test_a_file_that_vanished_from_the_disk(world: World) -> None:
    ids = world.ids
    for file in (*world.emulator.home.layers.glob("*/*"), *world.emulator.home.computes.glob("*/results/*")):
        file.unlink()
    for path in (
        f"/path/{ids['file']}/file/data",
        f"/path/{ids['raster']}/raster/timestamp/{ids['raster timestamp']}/file/{ids['raster file']}/data",
        f"/compute/{ids['compute']}/file/{ids['result']}",
    ):
        answer = world.ask("GET", path, world.a.token)
        assert problem_of(answer, (404,)) is None, answer.text
        assert str(world.emulator.home.root) not in answer.text


# ----- sizes ---------------------------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused_by_its_length(world: World) -> None:
    """At once: nothing of the body is sent here."""
    lines = (f"Authorization: Bearer {world.a.token}", "Content-Type: application/json")
    answer = raw(world.server, head("POST", f"{BASE}/path/folder", *lines, f"Content-Length: {10**12}"))
    assert status_of(answer) == 413 and b"33,554,432" in answer
    # Whoever has not said who they are gets less room.
    answer = raw(world.server, head("POST", f"{BASE}/account/login", lines[1], "Content-Length: 100000"))
    assert status_of(answer) == 413
    ids = world.ids
    path = f"{BASE}/path/{ids['raster']}/raster/timestamp/{ids['raster timestamp']}/file"
    form = "Content-Type: multipart/form-data; boundary=b"
    answer = raw(world.server, head("POST", path, lines[0], form, f"Content-Length: {10**12}"))
    assert status_of(answer) == 413 and b"--max-upload" in answer


def test_a_body_over_the_limit_without_a_length(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes when the limit is passed, not at the end, which never comes here."""
    monkeypatch.setattr(wire, "MAX_BODY", 2**20)
    lines = (f"Authorization: Bearer {world.a.token}", "Content-Type: application/json", "Transfer-Encoding: chunked")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with connected(world.server) as one:
        one.sendall(head("POST", f"{BASE}/path/folder", *lines))
        sent = 0
        one.settimeout(0)
        answer = b""
        end = time.monotonic() + WAIT
        while not answer and time.monotonic() < end:
            try:
                answer = one.recv(65536)
            except BlockingIOError:
                one.settimeout(WAIT)
                one.sendall(chunk)
                sent += len(chunk)
                one.settimeout(0)
    assert status_of(answer) == 413
    assert sent < 50 * 2**20


def test_an_upload_over_the_limit(el: ModuleType) -> None:
    with el.serve(max_upload=100_000) as server, World(server) as world:
        before = digest(world)
        for path, token in (("/path/file", world.a.token), ("/path/file", world.b.token)):
            sent = {"data": ("x", b"x" * 200_000), "name": (None, "x")}
            answer = world.ask("POST", path, token, files=sent)
            assert problem_of(answer, (413,)) is None
            assert "--max-upload" in answer.text
        assert changes(before, digest(world)) == []


def test_an_upload_without_rights_is_refused_before_its_body_is_sent(world: World) -> None:
    ids = world.ids
    form = ("Content-Type: multipart/form-data; boundary=b", "Content-Length: 1000000000")
    before = set(world.emulator.home.layers.iterdir())
    for kind in ("raster", "vector"):
        path = f"{BASE}/path/{ids[kind]}/{kind}/timestamp/{ids[f'{kind} timestamp']}/file"
        for status, lines in (
            (401, ()),
            (401, ("Authorization: Bearer x",)),
            (403, (f"Authorization: Bearer {world.b.token}",)),
        ):
            assert status_of(raw(world.server, head("POST", path, *lines, *form))) == status
        lines = (f"Authorization: Bearer {world.a.token}",)
        assert status_of(raw(world.server, head("POST", path.replace(ids[kind], UNKNOWN), *lines, *form))) == 404
    assert status_of(raw(world.server, head("POST", f"{BASE}/path/file", *form))) == 401
    assert set(world.emulator.home.layers.iterdir()) == before


def test_a_client_that_vanishes_in_the_middle_of_an_upload_leaves_nothing(world: World) -> None:
    ids, before = world.ids, digest(world)
    path = f"{BASE}/path/{ids['raster']}/raster/timestamp/{ids['raster timestamp']}/file"
    lines = (f"Authorization: Bearer {world.a.token}", "Content-Type: multipart/form-data; boundary=b")
    there = set(world.emulator.home.layers.iterdir())
    with connected(world.server) as one:
        one.sendall(head("POST", path, *lines, "Content-Length: 50000000"))
        one.sendall(b'--b\r\nContent-Disposition: form-data; name="data"; filename="a.tif"\r\n\r\n' + b"II" * 2**20)
        end = time.monotonic() + WAIT
        while set(world.emulator.home.layers.iterdir()) == there:
            assert time.monotonic() < end, "nothing was written"
            time.sleep(0.01)
    end = time.monotonic() + WAIT
    while set(world.emulator.home.layers.iterdir()) != there:
        assert time.monotonic() < end, "something stayed"
        time.sleep(0.01)
    assert changes(before, digest(world)) == []


# ----- what is told --------------------------------------------------------------------------------------------------


def test_logs_hold_no_token_and_no_password(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the lowest level of every logger there is."""

    def broken(*_: Any) -> None:
        raise RuntimeError("provoked")

    # The tests' own client tells what it asks for. The last call decides what is kept.
    caplog.set_level(logging.CRITICAL, "urllib3")
    for name in [name for name in logging.root.manager.loggerDict if not name.startswith("urllib3")]:
        caplog.set_level(1, name)
    caplog.set_level(1)
    password, wrong_password = "correct horse battery", "staple of the horse"
    given = {"username": "dora", "password": password}
    token = world.ask("POST", "/account/login", json=given).json()["token"]
    assert world.ask("POST", "/account/login", json={**given, "password": wrong_password}).status_code == 401
    assert world.ask("POST", "/account/login", json={**given, "password": [password]}).status_code == 400
    listed = {"description": "x", "accessList": []}
    access = world.ask("POST", "/account/security/accessToken", token, json=listed).json()["token"]
    for one in (token, access, "unknown-but-secret"):
        world.ask("GET", "/account", params={"token": one})
        world.ask("GET", "/made/up", params={"token": one})
        world.ask("GET", "/account", one)
        world.ask("POST", "/path/folder", one, json={"name": ""})
        world.ask("POST", "/path/file", one, files={"data": ("x", b"x"), "name": (None, "x")})
        raw(world.server, head("GET", ACCOUNT, f"Authorization: Bearer {one}", "Bad Header: x"))
        raw(world.server, head("GET", f"{ACCOUNT}?token={one}", host="evil.example"))
    monkeypatch.setattr(Accounts, "search", broken)
    monkeypatch.setattr(Accounts, "log_in", broken)
    for answer in (
        world.ask("GET", "/user", params={"username": "x", "token": token}),
        world.ask("POST", "/account/login", json=given),
    ):
        assert answer.status_code == 500
        assert "provoked" not in answer.text and "Traceback" not in answer.text
        assert problem_of(answer, (500,)) is None
    world.ask("GET", "/x\n2026-01-01 forged line", token)
    printed = capfd.readouterr()
    told = caplog.text + printed.out + printed.err
    assert "provoked" in told, "the log holds the traceback"
    assert "GET /v3/account 200" in told
    for secret in (token, access, "unknown-but-secret", password, wrong_password):
        assert secret not in told
    assert "\n2026-01-01 forged line" not in told


def test_an_error_shows_no_file_of_the_home(world: World) -> None:
    """Whatever a request says, the answer does not tell where things lie on the disk."""
    ids = world.ids
    path = f"/path/{ids['raster']}/raster/timestamp/{ids['raster timestamp']}/file"
    for content in (b"", b"II*\0\x08\0\0\0", b"PK\x03\x04"):
        sent = {"data": ("a.tif", content), "name": (None, "a.tif"), "format": (None, "tif")}
        answer = world.ask("POST", path, world.a.token, files=sent)
        assert answer.status_code == 200
        listed = world.ask("GET", path, world.a.token)
        assert listed.json()["result"][-1]["status"] == "errored"
        assert str(world.emulator.home.root) not in listed.text, listed.text


# ----- addresses -----------------------------------------------------------------------------------------------------


def test_other_addresses_need_tls_or_insecure(el: ModuleType) -> None:
    for host in ("0.0.0.0", "::", socket.gethostname()):
        with pytest.raises(ArgumentError, match="--insecure"):
            el.serve(host=host)
    with el.serve(host="0.0.0.0", insecure=True) as server:
        assert requests.get(f"http://127.0.0.1:{server.port}/v3/account", timeout=WAIT).status_code == 401


def test_tls(el: ModuleType, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key, trusted = tmp_path / "certificate.pem", tmp_path / "key.pem", tmp_path / "authority.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(trusted))
    with el.serve(certificate=certificate, key=key) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with requests.Session() as session:
            session.trust_env, session.verify = False, str(trusted)
            given = {"username": "anna", "password": "x"}
            token = session.post(f"{server.url}/account/login", json=given, timeout=WAIT).json()["token"]
            head = {"Authorization": f"Bearer {token}"}
            assert session.get(f"{server.url}/account", headers=head, timeout=WAIT).json()["username"] == "anna"
        # Without TLS there is no answer.
        assert not raw(server, b"GET /v3/account HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").startswith(b"HTTP/1.1 2")
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(ArgumentError, match="certificate"):
        el.serve(certificate=broken, key=key)


# ----- the command line ----------------------------------------------------------------------------------------------


def started(home: Path) -> tuple[subprocess.Popen[str], str]:
    """The command, and the url that it prints."""
    command = [sys.executable, "-m", "ellipsis_local", "--home", str(home), "serve", "--port", "0", "--json"]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    printed = ""
    while "}" not in printed:
        line = process.stdout.readline()
        assert line, process.communicate()
        printed += line
    return process, json.loads(printed)["url"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_on_a_signal_and_leaves_nothing(home: Path, number: signal.Signals) -> None:
    process, url = started(home)
    try:
        given = {"username": "anna", "password": "x"}
        assert requests.post(f"{url}/account/login", json=given, timeout=WAIT).status_code == 200
        # A client that keeps its connection, and one that is in the middle of something, do not hold it up.
        port = int(url.rsplit(":", 1)[1].removesuffix("/v3"))
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as idle:
            idle.sendall(b"GET /v3/acc")
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert out == "" and "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert [path.name for path in home.rglob("*") if path.name.startswith((".new", ".tmp", "tmp"))] == []


def test_the_command_tells_what_is_wrong(home: Path, server: Server, tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for arguments, text in (
        (("--port", str(server.port)), "cannot listen on 127.0.0.1:"),
        (("--host", "0.0.0.0"), "--insecure"),
        (("--port", "70000"), "65535"),
        (("--host", "not.a.host.invalid", "--insecure"), "cannot listen on"),
        (("--certificate", str(tmp_path / "none.pem"), "--key", str(tmp_path / "none.pem")), "none.pem"),
    ):
        answer = CliRunner().invoke(app, ["--home", str(home), "serve", *arguments])
        assert answer.exit_code not in (0, None)
        assert text in " ".join(answer.output.split()), answer.output
        assert "Traceback" not in answer.output
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_two_servers_change_one_home_at_once(el: ModuleType, server: Server) -> None:
    """Each sees what the other has done as soon as it is answered."""
    with el.serve() as other, World(server) as world:
        for number in range(20):
            one, two = (server.url, other.url) if number % 2 else (other.url, server.url)
            head = {"Authorization": f"Bearer {world.a.token}"}
            made = requests.post(f"{one}/path/folder", json={"name": str(number)}, headers=head, timeout=WAIT).json()[
                "id"
            ]
            assert requests.get(f"{two}/path/{made}", headers=head, timeout=WAIT).json()["name"] == str(number)
            assert requests.delete(f"{two}/path/{made}", headers=head, timeout=WAIT).status_code == 200
            assert requests.get(f"{one}/path/{made}", headers=head, timeout=WAIT).status_code == 404
