"""Who may see the pages: a link that works once becomes a cookie of the browser that opened it."""

from __future__ import annotations

import secrets
import threading

from starlette.requests import Request
from starlette.responses import Response

from ellipsis_local.dashboard import BASE
from ellipsis_local.errors import AccountError

HEADER = "x-ellipsis-local"
"""On requests that change something: no form and no link of another site can set it."""
NO_SESSION = (
    "this browser has not been let in: open the link that ellipsis-local serve or ellipsis-local ui printed; it works "
    "once, and `New link` on any page gives another"
)


class Sessions:
    """The links and cookies that one server has given out; they end with it."""

    def __init__(self) -> None:
        self._links: set[str] = set()
        self._cookies: set[str] = set()
        self._lock = threading.Lock()
        self.closing = threading.Event()
        """Ends the streams of open pages, for which the server would wait."""

    def new_link(self, origin: str) -> str:
        """An address that lets one browser in."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._links.add(token)
        return f"{origin}/?token={token}"

    def enter(self, request: Request, response: Response) -> bool:
        """Turn the token of a link into a cookie; False where it is none, or was used before."""
        token = request.query_params.get("token", "")
        with self._lock:
            if token not in self._links:
                return False
            self._links.remove(token)
            cookie = secrets.token_urlsafe(24)
            self._cookies.add(cookie)
        secure = request.url.scheme == "https"
        # Servers on other ports of this host get the cookie, too, but for this path.
        response.set_cookie(cookie_name(request), cookie, path=BASE, httponly=True, samesite="strict", secure=secure)
        return True

    def check(self, request: Request) -> None:
        """AccountError for a browser without a cookie of this server, and for a change that no page of it asked for."""
        if request.cookies.get(cookie_name(request)) not in self._cookies:
            raise AccountError(NO_SESSION)
        if request.method != "GET" and HEADER not in request.headers:
            raise AccountError(f"a change needs the header {HEADER}, which the pages send: use their buttons")


def cookie_name(request: Request) -> str:
    # Browsers send cookies to all ports of a host.
    return f"ellipsis_local_{(request.scope.get('server') or ('', 0))[1]}"
