"""Which call it was that wanted to leave: read from the stack, at the time of the error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from ellipsis_local.mocking.faces import CLIENT

__all__ = ["client_call", "request"]

# Module and function of common libraries → the locals that hold method and address, or an object with both.
PLACES: dict[tuple[str, str], tuple[str | None, str]] = {
    ("requests.sessions", "request"): ("method", "url"),
    ("requests.sessions", "send"): (None, "request"),
    ("httpx._client", "send"): (None, "request"),
    ("aiohttp.client", "_request"): ("method", "str_or_url"),
    ("urllib.request", "open"): (None, "req"),
    ("urllib3.poolmanager", "urlopen"): ("method", "url"),
}


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def client_call() -> str | None:
    """The client's function that is being called, as users name it; None where none is."""
    name = None
    for frame in _frames():
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(f"{CLIENT}.") and frame.f_code.co_name != "<module>":
            # The last one found is the outermost: what the user called. Modules named `root` are re-exported.
            public = [part for part in module.split(".") if part != "root"]
            name = ".".join([*public, frame.f_code.co_name])
    return name


def request() -> str | None:
    """Method and address, without its query, of the request that a common library is at; None where none is known."""
    for frame in _frames():
        place = PLACES.get((str(frame.f_globals.get("__name__", "")), frame.f_code.co_name))
        if place is not None:
            found = _told(frame.f_locals, *place)
            if found:
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
