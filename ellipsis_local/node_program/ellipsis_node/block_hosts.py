"""Keeps this process from the hosts of a service: their names are not resolved, connections to them are not used.

What passes through Python's sockets is looked at: names to be resolved, addresses, the host of a TLS connection that
was open before, the request line and the Host header of plain HTTP, which is what a proxy is told. Libraries that
resolve names in C (libcurl, libuv, GDAL's own), and other processes, do not come by here.
"""

from __future__ import annotations

import re
import socket
import sys
import types
from typing import Any, Callable, Sequence
from urllib.parse import urlsplit

from .patch_functions import Undo, copied, set_attribute, swap

Refusal = Callable[[str, "str | None"], BaseException]
"""Makes the error from the host and, where it is known, the request (method and address, without its query)."""

HEAD = 2048
REQUEST = re.compile(rb"([A-Z]{3,10}) (\S+) HTTP/1\.[01]\r?\n")
HOST = re.compile(rb"(?i)\nhost:[ \t]*([^\s:]+)")

_hosts: tuple[str, ...] = ()
_undo: list[Undo] = []


class RealServiceError(BaseException):
    """A function on a node asked for the hosted service.

    Not an Exception: the client tries anything else again, ten times.
    """


def _refusal(host: str, request: str | None) -> BaseException:
    return RealServiceError(
        "ellipsis_local.mock is active, or its plugin guards this test, and this function on a node wants to reach "
        + host
        + (f" ({request})" if request else "")
        + ": nothing may leave for the hosted service; hand the function what it needs as layers and files; call the "
        "service's functions in a test with the fixture `ellipsis`"
    )


_refuse: Refusal = _refusal


def is_closed(host: Any) -> bool:
    """Whether it is one of the hosts, or a name below one of them."""
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    name = host.lower().rstrip(".")
    return any(name == one or name.endswith("." + one) for one in _hosts)


def closed_hosts() -> tuple[str, ...]:
    """The hosts that cannot be reached; none where nothing was closed."""
    return _hosts


def close_hosts(hosts: Sequence[str], refusal: Refusal = _refusal) -> None:
    """Let every attempt to reach one of these hosts, or a name below one, raise what `refusal` makes of it."""
    global _hosts, _refuse
    open_hosts()
    _hosts, _refuse = tuple(host.lower().rstrip(".") for host in hosts), refusal
    if not _hosts:
        return
    hooked: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (socket, "gethostbyname", _resolving),
        (socket, "gethostbyname_ex", _resolving),
        (socket.socket, "connect", _connecting),
        (socket.socket, "connect_ex", _connecting),
        (socket.socket, "send", _sending),
        (socket.socket, "sendall", _sending),
    ]
    # Before a proxy is looked for: whether there is one should not decide what the error says.
    web = sys.modules.get("http.client")
    if web is not None:
        hooked += [(web.HTTPConnection, "set_tunnel", _tunnelling), (web.HTTPConnection, "putrequest", _requesting)]
    # Where it is not imported, no TLS connection can be open.
    tls = sys.modules.get("ssl")
    if tls is not None:
        hooked += [(tls.SSLSocket, "send", _sending), (tls.SSLSocket, "write", _sending)]
        hooked += [(tls.SSLObject, "write", _sending)]
    _undo.append(_hook_getaddrinfo())
    # A class that another library has put there may lack some.
    there = [one for one in hooked if hasattr(one[0], one[1])]
    _undo.extend(set_attribute(owner, name, hook(getattr(owner, name))) for owner, name, hook in there)


def open_hosts() -> None:
    """Let everything be reached again."""
    global _hosts
    _hosts = ()
    while _undo:
        _undo.pop()()


def _check(host: Any, request: str | None = None) -> None:
    if _hosts and is_closed(host):
        text = bytes(host).decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else str(host)
        raise _refuse(text, request)


def _hook_getaddrinfo() -> Undo:
    function: Any = socket.getaddrinfo
    if isinstance(function, types.FunctionType) and not function.__closure__:
        # Its body, because other modules may have imported it by name.
        return swap(function, _resolving(copied(function)))
    return set_attribute(socket, "getaddrinfo", _resolving(function))


def _resolving(original: Callable[..., Any]) -> Callable[..., Any]:
    def resolve(*args: Any, **kwargs: Any) -> Any:
        _check(args[0] if args else kwargs.get("host"))
        return original(*args, **kwargs)

    resolve.__wrapped__ = original  # type: ignore[attr-defined]
    return resolve


def _connecting(original: Callable[..., Any]) -> Callable[..., Any]:
    def connect(self: Any, address: Any) -> Any:
        if isinstance(address, tuple) and address:
            _check(address[0])
        return original(self, address)

    return connect


def _sending(original: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, data: Any, *args: Any) -> Any:
        if _hosts:
            _check_data(data)
            _check(getattr(self, "server_hostname", None))
        return original(self, data, *args)

    return send


def _tunnelling(original: Callable[..., Any]) -> Callable[..., Any]:
    def set_tunnel(self: Any, host: Any, *args: Any, **kwargs: Any) -> Any:
        _check(host, f"CONNECT {host}")
        return original(self, host, *args, **kwargs)

    return set_tunnel


def _requesting(original: Callable[..., Any]) -> Callable[..., Any]:
    def putrequest(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        path = str(url).partition("?")[0]
        _check(_hostname(path), f"{method} {path}")
        _check(self.host, f"{method} {self.host}{path}")
        return original(self, method, url, *args, **kwargs)

    return putrequest


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _check_data(data: Any) -> None:
    """Refuse a request of plain HTTP for one of the hosts, to itself or to a proxy."""
    try:
        head = bytes(memoryview(data)[:HEAD])
    except (TypeError, ValueError, NotImplementedError):
        return
    found = REQUEST.match(head)
    if found is None:
        return
    method, target = (part.decode("latin-1") for part in found.groups())
    if method == "CONNECT":
        _check(target.rpartition(":")[0], f"CONNECT {target}")
        return
    header = HOST.search(head)
    host = header[1].decode("latin-1") if header else None
    path = target.partition("?")[0]
    # To a proxy it is the whole address.
    _check(_hostname(path), f"{method} {path}")
    _check(host, f"{method} {host}{path}")
