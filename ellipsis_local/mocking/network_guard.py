"""Nothing leaves for the service: what is refused, and which call it was, read from the stack."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from ellipsis_local.errors import RealServiceError
from ellipsis_local.mocking.local_functions import CLIENT
from ellipsis_local.node_program.ellipsis_node.block_hosts import close_hosts
from ellipsis_local.settings import is_loopback

DOMAIN = "ellipsis-drive.com"
"""The service's; all names below it count (seen in the client: api. and app.)."""


def host_of(url: object) -> str | None:
    try:
        return urlsplit(str(url)).hostname
    except ValueError:
        return None


def refused(host: str, request: str | None = None) -> RealServiceError:
    """The error for an attempt to reach the service; it names the call."""
    call, where = client_call(), request_under_way() or request
    named = call or where or f"a connection to {host}"
    detail = "" if named == where or call is None else f" ({where})" if where else f" ({host})"
    return RealServiceError(
        f"{named}{detail} was about to leave for the hosted service, and nothing does while ellipsis_local.mock is "
        "active: call it outside of the mock, or use a function that is emulated (docs/coverage.md lists them)",
        call=named,
    )


def guard(more: Collection[str | None] = ()) -> None:
    """Refuse whatever wants to reach the service, or one of `more` hosts that are not this machine's own."""
    hosts = {host for host in more if host and not is_loopback(host)}
    close_hosts([DOMAIN, *sorted(hosts - {DOMAIN})], refused)


# Module and function of common libraries → the locals that hold method and address, or an object with both.
PLACES: dict[tuple[str, str], tuple[str | None, str]] = {
    ("requests.sessions", "request"): ("method", "url"),
    ("requests.sessions", "send"): (None, "request"),
    ("httpx._client", "send"): (None, "request"),
    ("aiohttp.client", "_request"): ("method", "str_or_url"),
    ("urllib.request", "open"): (None, "req"),
    ("urllib3.poolmanager", "urlopen"): ("method", "url"),
}


def client_call() -> str | None:
    """The client's function that is being called, as users name it; None where none is."""
    name = None
    for frame, _ in traceback.walk_stack(sys._getframe()):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(f"{CLIENT}.") and frame.f_code.co_name != "<module>":
            # The last one found is the outermost: what the user called. Modules named `root` are re-exported.
            public = [part for part in module.split(".") if part != "root"]
            name = ".".join([*public, frame.f_code.co_name])
    return name


def request_under_way() -> str | None:
    """Method and address, without its query, of the request that a common library is at; None where none is known."""
    for frame, _ in traceback.walk_stack(sys._getframe()):
        place = PLACES.get((str(frame.f_globals.get("__name__", "")), frame.f_code.co_name))
        if place is not None and (found := _told(frame.f_locals, *place)):
            return found
    return None


def _told(values: dict[str, Any], method: str | None, address: str) -> str | None:
    given: Any = values.get(address)
    if method is not None:
        verb, url = values.get(method), given
    elif hasattr(given, "get_method"):  # urllib.request.Request
        verb, url = given.get_method(), given.full_url
    else:
        verb, url = getattr(given, "method", None), getattr(given, "url", None)
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return None
    # The client repeats its token in the query, and a user may stand before the host.
    return f"{str(verb).upper()} {parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else None
