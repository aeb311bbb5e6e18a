"""Nothing leaves for the service: what is refused, and which call it was, read from the stack."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ellipsis_local.errors import RealServiceError
from ellipsis_local.mocking.local_functions import CLIENT
from ellipsis_local.node_program.ellipsis_node.block_hosts import Refusal, close_hosts, is_closed, open_hosts
from ellipsis_local.node_program.ellipsis_node.patch_functions import Undo, set_attribute
from ellipsis_local.settings import is_loopback

DOMAIN = "ellipsis-drive.com"
"""The service's; all names below it count (seen in the client: api. and app.)."""
MANAGER = f"{CLIENT}.apiManager"
MOCKED = (
    "nothing does while ellipsis_local.mock is active, or `ellipsis-local run`: call it outside, or use a function "
    "that is emulated (docs/coverage.md lists them)"
)

_guards: list[tuple[list[str], Refusal]] = []
"""Those that stand; the last one has the say."""
_undo: list[Undo] = []


def host_of(url: object) -> str | None:
    try:
        return urlsplit(str(url)).hostname
    except ValueError:
        return None


def refused(host: str, request: str | None = None, why: str = MOCKED) -> RealServiceError:
    """The error for an attempt to reach the service; it names the call, and the way out as `why` has it."""
    call, where = client_call(), request_under_way() or request
    named = call or where or f"a connection to {host}"
    detail = "" if named == where or call is None else f" ({where})" if where else f" ({host})"
    return RealServiceError(f"{named}{detail} was about to leave for the hosted service, and {why}", call=named)


def guard(refusal: Refusal = refused, *, around: bool = False) -> Undo:
    """Refuse whatever wants to reach the service, or where an imported client sends, until what is returned is called.

    Guards nest; one that stands `around` the others has its say where no other stands.
    """
    manager = sys.modules.get(MANAGER)
    hosts = {host_of(getattr(manager, name, "")) for name in ("baseUrl", "appUrl")} - {DOMAIN, None}
    entry = [DOMAIN, *sorted(host for host in hosts if host and not is_loopback(host))], refusal
    _guards.insert(0 if around else len(_guards), entry)
    _apply()

    def undo() -> None:
        _guards[:] = [one for one in _guards if one is not entry]
        _apply()

    return undo


def _apply() -> None:
    import webbrowser

    while _undo:
        _undo.pop()()
    if _guards:
        hosts, refusal = _guards[-1]
        close_hosts(hosts, refusal)
        _undo.extend((open_hosts, set_attribute(webbrowser, "open", _opening(webbrowser.open, refusal))))


def _opening(original: Callable[..., bool], refusal: Refusal) -> Callable[..., bool]:
    def open_page(url: str, *args: Any, **kwargs: Any) -> bool:
        host = host_of(url)
        if host is not None and is_closed(host):
            raise refusal(host, f"the page {url.partition('?')[0]}")
        return original(url, *args, **kwargs)

    return open_page


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
