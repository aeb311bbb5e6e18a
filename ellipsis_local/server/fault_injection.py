"""Connections that a test lets drop (`ellipsis_local.testing.faults`): no answer, with or without the work done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ellipsis_local import faults
from ellipsis_local.server.connections import CUT


class FaultInjection:
    """ASGI middleware; requests that no fault is for pass through."""

    def __init__(self, app: ASGIApp, root: Path, base: str) -> None:
        self.app = app
        self.root = root
        self.base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        when = faults.drop(self.root, scope["method"], scope["path"].removeprefix(self.base))
        if when is None:
            await self.app(scope, receive, send)
            return
        cut: Callable[[], None] = scope["state"][CUT]
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
