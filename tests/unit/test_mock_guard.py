"""Inside a mock nothing reaches the service: by name, by an open connection, through a proxy."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from socket import getaddrinfo
from types import ModuleType

import pytest
import requests
import urllib3

from ellipsis_local import mock
from ellipsis_local.errors import RealServiceError
from ellipsis_local.node_program.ellipsis_node import block_hosts

API = "api.ellipsis-drive.com"
URL = f"https://{API}/v3/path?token=secret"


@pytest.fixture(autouse=True)
def outside(el: ModuleType) -> None:
    """A home outside of the mocks."""


@pytest.fixture
def proxy() -> Iterator[tuple[int, list[bytes]]]:
    """A listener that keeps what it is sent, and answers nothing."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            while True:
                try:
                    taken, _ = listening.accept()
                except OSError:
                    return
                with taken:
                    taken.settimeout(5)
                    got.append(taken.recv(4096))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listening.getsockname()[1], got
        # Wakes the thread from accept.
        with socket.create_connection(listening.getsockname()):
            pass
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def open_async() -> None:
    asyncio.run(asyncio.wait_for(asyncio.open_connection(API, 443), 5))


REQUEST = f"GET https://{API}/v3/path"


@pytest.mark.parametrize(
    ("leave", "call"),
    [
        (lambda: socket.getaddrinfo(API, 443), f"a connection to {API}"),
        (lambda: getaddrinfo(host=API.upper() + ".", port=443), f"a connection to {API.upper()}."),
        (lambda: getaddrinfo(API.encode(), 443), f"a connection to {API}"),
        (lambda: socket.gethostbyname("ellipsis-drive.com"), "a connection to ellipsis-drive.com"),
        (lambda: socket.gethostbyname_ex("app.ellipsis-drive.com"), "a connection to app.ellipsis-drive.com"),
        (lambda: socket.create_connection((API, 443), timeout=5), f"a connection to {API}"),
        (lambda: socket.socket().connect((API, 443)), f"a connection to {API}"),
        (lambda: socket.socket().connect_ex((API, 443)), f"a connection to {API}"),
        (lambda: http.client.HTTPSConnection(API, timeout=5).request("GET", "/v3"), f"GET {API}/v3"),
        (lambda: urllib.request.urlopen(URL, timeout=5), REQUEST),
        (lambda: urllib.request.urlopen(urllib.request.Request(URL, b"", method="PUT")), f"PUT https://{API}/v3/path"),
        (lambda: requests.get(URL, timeout=5), REQUEST),
        (lambda: requests.Session().post(URL, json={}, timeout=5), f"POST https://{API}/v3/path"),
        (lambda: urllib3.PoolManager().request("GET", URL, retries=3), REQUEST),
        (open_async, f"a connection to {API}"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ways_to_leave(leave: Callable[[], object], call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with mock(), pytest.raises(RealServiceError, match="was about to leave for the hosted service") as caught:
        leave()
    assert caught.value.call == call
    assert str(caught.value).startswith(f"{call} ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("secure", [True, False])
def test_proxies_are_not_told(proxy: tuple[int, list[bytes]], secure: bool) -> None:
    port, got = proxy
    url = URL if secure else URL.replace("https", "http")
    with mock():
        with pytest.raises(RealServiceError) as caught:
            requests.get(url, proxies=dict.fromkeys(("http", "https"), f"http://127.0.0.1:{port}"), timeout=5)
        assert caught.value.call == f"GET {url.partition('?')[0]}"
        handler = urllib.request.ProxyHandler({"http": f"127.0.0.1:{port}", "https": f"127.0.0.1:{port}"})
        with pytest.raises(RealServiceError):
            urllib.request.build_opener(handler).open(url, timeout=5)
        with pytest.raises(RealServiceError) as caught:
            http.client.HTTPConnection("127.0.0.1", port, timeout=5).set_tunnel(API, 443)
        assert caught.value.call == f"CONNECT {API}"
        # Libraries that speak HTTP themselves.
        for text in (f"CONNECT {API}:443 HTTP/1.1\r\n\r\n", f"GET {url} HTTP/1.1\r\nhost: proxy\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                for send in (raw.send, raw.sendall):
                    with pytest.raises(RealServiceError) as caught:
                        send(text.encode())
                    assert caught.value.call == text.partition(" HTTP")[0].partition("?")[0]
    assert not any(got)


def test_connections_that_were_open_before_are_not_used() -> None:
    ours, theirs = socket.socketpair()
    plain = http.client.HTTPConnection(API)
    plain.sock = ours
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=API)
    with ours, theirs:
        with mock():
            with pytest.raises(RealServiceError) as caught:
                plain.request("GET", "/v3/path?token=secret")
            assert caught.value.call == f"GET {API}/v3/path"
            with pytest.raises(RealServiceError, match=API):
                tls.write(b"anything")
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "notellipsis-drive.com", "ellipsis-drive.com.example", ""])
def test_other_hosts_are_not_touched(host: str) -> None:
    with mock():
        assert not block_hosts.is_closed(host)
    with mock(), socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as sent, listening.accept()[0] as taken:
            sent.sendall(f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            sent.sendall(memoryview(b"POST about api.ellipsis-drive.com"))
            received = b""
            while not received.endswith(b"drive.com"):
                received += taken.recv(1000)
        assert received.startswith(b"GET /x")


def hooks() -> list[object]:
    found: list[object] = [getaddrinfo.__code__, getaddrinfo.__defaults__, vars(getaddrinfo).copy()]
    found += [socket.getaddrinfo, socket.gethostbyname, socket.gethostbyname_ex]
    found += [vars(socket.socket).get(name) for name in ("connect", "connect_ex", "send", "sendall")]
    return [*found, vars(ssl.SSLSocket)["send"], vars(ssl.SSLSocket)["write"], vars(ssl.SSLObject)["write"]]


def test_all_is_as_before() -> None:
    before = hooks()
    with mock():
        inside = hooks()
        with mock():
            pass
        assert hooks() == inside
    assert hooks() == before
    assert inside != before
    assert block_hosts.closed_hosts() == ()
    # No network is needed to see that the name is let through: no flag allows this one to ask for it.
    with pytest.raises(OSError, match=r".+"):
        socket.getaddrinfo(API, 443, flags=socket.AI_NUMERICHOST)


def test_another_patch_on_top_stays_and_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is there now is what the test ends with.
    monkeypatch.setattr(socket, "gethostbyname", socket.gethostbyname)
    double = mock()
    double.start()
    ours = socket.gethostbyname
    monkeypatch.setattr(socket, "gethostbyname", lambda name: ours(name))
    with pytest.raises(RealServiceError):
        socket.gethostbyname(API)
    double.stop()
    assert socket.gethostbyname("127.0.0.1") == "127.0.0.1"
    with mock(), pytest.raises(RealServiceError):
        socket.gethostbyname(API)


@pytest.mark.parametrize("strange", [None, 5, ("a",), b"\xff", "\ud800"])
def test_strange_hosts_are_python_s_to_judge(strange: object) -> None:
    def outcome() -> object:
        try:
            return type(socket.getaddrinfo(strange, 80))  # type: ignore[arg-type]
        except (OSError, TypeError, ValueError) as error:
            return type(error)

    before = outcome()
    with mock():
        assert outcome() == before
