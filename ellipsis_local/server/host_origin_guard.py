"""Who is let in at all: the server runs code that it is sent, so a page in a browser must not reach it.

Neither by a name of its own for this machine (DNS rebinding: Host tells), nor across origins (Origin, Sec-Fetch-Site),
but for those that whoever started the server has named.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ellipsis_local.clocks import monotonic
from ellipsis_local.dashboard import BASE as PAGES
from ellipsis_local.dashboard.request_log import RequestLog
from ellipsis_local.server.error_responses import error_response

log = logging.getLogger("ellipsis_local.server.requests")

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
MOST_REQUESTS = 256
"""Under way at once; more get a 503, which the client shows."""
HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
SHARED = ((b"vary", b"Origin"), (b"access-control-expose-headers", b"Retry-After, Content-Disposition"))
"""With the origin, for pages that are let in."""
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
    "access-control-allow-headers": "Authorization, Content-Type",
    "access-control-max-age": "600",
}
CLOSE = (b"connection", b"close")
UNCLEAR = "a request has either a Content-Length or a Transfer-Encoding, and not both"
HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:/?#@\[\]\\]+))(?::(\d{0,5}))?")
MOST_HEADERS = 100
"""The client sends a dozen, browsers and proxies some more."""


def parse_host(host: str) -> tuple[str, int | None] | None:
    """Name and port of a Host header; None where it is none."""
    found = HOST.fullmatch(host)
    return ((found[1] or found[2]).lower().removesuffix("."), int(found[3]) if found[3] else None) if found else None


class Guard:
    """ASGI middleware: refuses hosts and origins that are not the server's own; logs method, path and status only."""

    def __init__(
        self,
        app: ASGIApp,
        names: Collection[str],
        port: int,
        scheme: str = "http",
        origins: Collection[str] = (),
        record: RequestLog | None = None,
    ) -> None:
        """A name may have another port behind a colon, under which somebody in front of the server can be reached.

        Pages of `origins` may ask the API, with a token that they have, and never with cookies.
        """
        self.app = app
        # The bare addresses of IPv6 have colons, too.
        known = [parse_host(name) or (name.lower(), None) for name in names]
        self.hosts = {(name, one) for name, own in known for one in (None, own, port)}
        self.port = port
        self.scheme = scheme
        self.origins = frozenset(origins)
        self.record = record or RequestLog()
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        start, status = monotonic(), 0
        headers = Headers(scope=scope)
        # Who is between us and the client may take another end for the body's, and what follows for a request.
        unclear = "content-length" in headers and "transfer-encoding" in headers

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS, *shared, *([CLOSE] if unclear else [])]
            await send(message)

        page = scope["path"] == "/" or scope["path"].startswith(f"{PAGES}/")
        leads = page and scope["method"] == "GET"
        origin = headers.get("origin", "")
        # The pages go by a cookie, which a page of the same machine would send along.
        let_in = origin in self.origins and not page
        shared = [(b"access-control-allow-origin", origin.encode()), *SHARED] if let_in else []
        refusal = (400, UNCLEAR) if unclear else self.refusal(headers, scope["path"], is_page=leads, let_in=let_in)
        # The pages ask all the time, and nobody wants to see that there.
        over: Callable[[], None] | None = None
        if not page:
            receive, send, over = self.record.recorded(scope, receive, send)
        self.requests += 1
        try:
            if refusal is None and shared and scope["method"] == "OPTIONS":
                await Response(None, 204, PREFLIGHT)(scope, receive, watched)
            elif refusal is None:
                await self.app(scope, receive, watched)
            else:
                await error_response(*refusal)(scope, receive, watched)
        except Exception:
            # Answered and in the log already: uvicorn would log it again, and close the connection.
            if status != 500:
                raise
        finally:
            self.requests -= 1
            if over is not None:
                over()
            seconds = monotonic() - start
            # Quoted: a path may hold line breaks, which would look like lines of ours.
            path = quote(scope["path"], safe="/:")[:500]
            log.info("%s %s %s %.0f ms", scope["method"][:20], path, status or "unanswered", seconds * 1000)

    def refusal(
        self, headers: Headers, path: str = "/", *, is_page: bool = False, let_in: bool = False
    ) -> tuple[int, str] | None:
        """Status and text, where a request is not let in."""
        if self.requests >= MOST_REQUESTS:
            return 503, f"{MOST_REQUESTS} requests are under way already; try again later"
        if len(headers) > MOST_HEADERS:
            return 431, f"the request has {len(headers):,} headers, and may have {MOST_HEADERS}"
        hosts = headers.getlist("host")
        asked = parse_host(hosts[0]) if len(hosts) == 1 else None
        if asked not in self.hosts:
            return 421, (
                f"this server does not answer for the host {', '.join(hosts)[:200] or '(none)'}; use one of "
                f"{', '.join(sorted({name for name, _ in self.hosts}))} with port {self.port}, or start it with --name "
                "NAME or --name NAME:PORT"
            )
        origin = headers.get("origin")
        own = f"{self.scheme}://{hosts[0].lower()}"
        if origin is not None and origin.lower() != own and not let_in:
            return 403, f"requests from pages of {origin[:200]} are refused; serve --allow-origin lets a page in"
        leads = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
        # A link in a notebook, which another port of this machine serves, leads to a page; its scripts lead nowhere.
        near = ["same-site"] if is_page and leads == ("navigate", "document") else []
        if not let_in and headers.get("sec-fetch-site", "none") not in ("none", "same-origin", *near):
            return 403, "requests from other sites' pages are refused"
        if any(character < " " or character == "\x7f" for character in path):
            # A line break at the end would be let through to the endpoint of the path without it.
            return 400, f"the path {path[:200]!r} holds control characters"
        return None
