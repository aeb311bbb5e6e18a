"""Requests: the last ones that the HTTP API answered, from before the page was opened, without what lets anybody in."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ellipsis_local.clocks import monotonic
from ellipsis_local.dashboard.pages import is_fragment, render

MOST = 1000
EXCERPT = 4000
"""Bytes of a body that are kept, where it is text."""
MASKED = "•••"
SECRETS = (
    # A value in JSON, its end cut off or not; one in a query; a token of ours anywhere.
    (re.compile(r'("[^"]*(?:token|password)[^"]*"\s*:\s*)"(?:\\.|[^"\\])*"?', re.IGNORECASE), rf'\1"{MASKED}"'),
    (re.compile(r"((?:^|&)[^=&]*(?:token|password)[^=&]*=)[^&]*", re.IGNORECASE), rf"\1{MASKED}"),
    (re.compile(r"local_[\w-]{20,}"), MASKED),
)


def masked(text: str) -> str:
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


@dataclass
class Asked:
    """One request and what was answered."""

    number: int
    time: float
    method: str
    path: str
    query: str
    status: int = 0
    seconds: float = 0.0
    sent: bytes = b""
    answered: bytes = b""

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The beginnings of the bodies."""
        bodies = (("sent", self.sent), ("answered", self.answered))
        return [(name, masked(body[:EXCERPT].decode("utf-8", "replace"))) for name, body in bodies if body]


@dataclass
class RequestLog:
    """The last requests of one server; see `Guard`, which passes all through `recorded`."""

    entries: deque[Asked] = field(default_factory=lambda: deque(maxlen=MOST))
    count: int = 0
    changes: int = 0

    def recorded(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send, Callable[[], None]]:
        """Receive and send that take note, and what is to be called at the end."""
        self.count += 1
        self.changes += 1
        query = masked(scope["query_string"].decode("latin-1"))[:EXCERPT]
        asked = Asked(self.count, time.time(), scope["method"][:20], scope["path"][:EXCERPT], query)
        self.entries.append(asked)
        start, readable = monotonic(), False

        async def received() -> Message:
            message = await receive()
            if is_text(scope["headers"]) and len(asked.sent) < EXCERPT:
                asked.sent += message.get("body", b"")[:EXCERPT]
            return message

        async def sent(message: Message) -> None:
            nonlocal readable
            if message["type"] == "http.response.start":
                asked.status, readable = message["status"], is_text(message["headers"])
            elif readable and len(asked.answered) < EXCERPT:
                asked.answered += message.get("body", b"")[:EXCERPT]
            await send(message)

        def over() -> None:
            asked.seconds = monotonic() - start
            self.changes += 1

        return received, sent, over


def is_text(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"application/json") for name, value in headers)


def requests_page(request: Request) -> Response:
    log: RequestLog = request.app.state.requests
    text = request.query_params.get("q", "").lower()
    entries = [one for one in reversed(log.entries) if text in f"{one.method} {one.path} {one.status}".lower()]
    template = "requests_rows.html" if is_fragment(request) else "requests.html"
    return render(template, request, {"entries": entries, "q": request.query_params.get("q", ""), "most": MOST})
