"""Connections: HTTP/1.1 with limits of time, size and number, which uvicorn has not, and refusals that are JSON."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ellipsis_local import faults

HEAD_SECONDS = 20.0
"""A request's line and headers have to be there so long after the connection, or after their first byte."""
BODY_SECONDS = 60.0
"""So long may pass between two pieces of a body."""
DRAIN_SECONDS = 120.0
"""So long the rest of a body that was refused is read and dropped: a client that is still sending sees no answer."""
MOST_CONNECTIONS = 512
"""Open at once; a process may have 1024 files open on most systems."""
MOST_HEAD = 256 * 1024
"""Bytes of a request's line and headers; the client asks for many ids and for geometries in a query."""
CUT = "ellipsis_local.cut"
"""In the state of a request's scope: ends its connection without an answer."""


class Connection(H11Protocol):
    _timer: asyncio.TimerHandle | None = None
    _waits_for = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, CUT: self.cut}
        super().connection_made(transport)
        # Whoever listens to the log of uvicorn would get the queries, and the client repeats its token there.
        self.access_log = False
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(503, f"there are {MOST_CONNECTIONS} connections already; try again later")
            return
        self._wait("head", HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def cut(self) -> None:
        """End the connection; a request under way gets no answer, and may go on."""
        self._stop_waiting()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text
        self._refuse(
            400,
            "this is no HTTP request that can be read: it must be HTTP/1.1, with one Host header, and a head of at "
            f"most {MOST_HEAD:,} bytes",
        )

    def _watch(self) -> None:
        """Wait for what the client owes next: the rest of a head, or of a body."""
        theirs = self.conn.their_state
        if self.transport.is_closing():
            self._stop_waiting()
        elif theirs is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete:
            # Counted from the answer on, however fast the rest comes.
            if self._waits_for != "drain":
                self._wait("drain", DRAIN_SECONDS)
        elif theirs is h11.SEND_BODY:
            self._wait("body", BODY_SECONDS)
        elif theirs is h11.IDLE and self.conn.trailing_data[0]:
            if self._waits_for != "head":
                self._wait("head", HEAD_SECONDS)
        elif theirs is not h11.IDLE or self.timeout_keep_alive_task is not None:
            self._stop_waiting()

    def _wait(self, what: str, seconds: float) -> None:
        self._stop_waiting()
        self._waits_for = what
        self._timer = self.loop.call_later(seconds, self._late)

    def _stop_waiting(self) -> None:
        self._waits_for = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        what, self._timer = self._waits_for, None
        if what == "body" and self.flow.read_paused:
            # It is not the client who is slow, but we with what came.
            self._wait("body", BODY_SECONDS)
        elif what == "head":
            self._refuse(408, f"the request's head was not there after {HEAD_SECONDS:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        """Answer where no application is asked, as far as HTTP still lets us, and close."""
        if not self.transport.is_closing() and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = orjson.dumps({"message": text})
            headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
            events: tuple[Any, ...] = (
                h11.Response(status_code=status, headers=list(headers.items())),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        # Whoever is at work on the request that broke off must not answer, too.
        self.cut()


@dataclass
class FaultInjection:
    """ASGI middleware: connections that a test lets drop (`ellipsis_local.testing.faults`), the work done or not."""

    app: ASGIApp
    root: Path
    base: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        when = faults.drop(self.root, scope["method"], scope["path"].removeprefix(self.base))
        if when is None:
            await self.app(scope, receive, send)
            return
        cut = scope["state"][CUT]
        if when == "before":
            cut()
            return

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                # From here on nobody waits for the answer, and the work goes on.
                cut()
            return message

        async def unsent(_: Message) -> None:
            cut()

        await self.app(scope, received, unsent)
        cut()
