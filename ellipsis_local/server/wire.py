"""The wire: JSON bodies in, JSON answers out, as the client writes and reads them."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import orjson
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from ellipsis_local.ids import wire_date
from ellipsis_local.server.auth import KNOWN, authenticate
from ellipsis_local.server.idempotency import Idempotency

COMPUTES = "/v3/compute"
MAX_BODY = 32 * 1024**2
"""Bytes of a JSON body: 3000 features, the client's page, or a function of 16 MB, with room."""
MAX_OPEN_BODY = 64 * 1024
"""Bytes of a JSON body of somebody who has not said who they are."""


def _other(value: Any) -> Any:
    if isinstance(value, datetime):
        return wire_date(value)
    if hasattr(value, "__geo_interface__"):
        return value.__geo_interface__
    raise TypeError(f"{type(value).__name__} is no part of an answer")


class Answer(Response):
    """JSON; times as the client parses them, geometries as GeoJSON, NaN as null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, _other, orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_SERIALIZE_NUMPY)


def announced_size(request: Request) -> int:
    """The bytes of its body that a request announces; 0 where it does not say."""
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() and len(announced) < 20 else 0


class WireRequest(Request):
    """A request whose body is read up to a limit and parsed strictly: UTF-8, no NaN, no lone surrogates."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            most = MAX_BODY if KNOWN in self.scope else MAX_OPEN_BODY
            too_large = HTTPException(413, f"the body is larger than {most:,} bytes; send it in parts")
            if announced_size(self) > most:
                raise too_large
            body = bytearray()
            try:
                async for chunk in self.stream():
                    body += chunk
                    if len(body) > most:
                        raise too_large
            except ClientDisconnect:
                raise HTTPException(400, "the body ended before its end") from None
            self._body = bytes(body)
        return self._body

    @property
    def repeatable(self) -> bool:
        """Whether the client may send it again without being asked: POSTs, but not uploads (seen in the client)."""
        return self.method == "POST" and not self.headers.get("content-type", "").startswith("multipart/")

    async def json(self) -> Any:
        try:
            return orjson.loads(await self.body())
        except orjson.JSONDecodeError as error:
            raise HTTPException(400, f"the body is no JSON: {error}") from None

    async def key(self) -> bytes:
        """What makes two requests the same: who asks, what, and with which body."""
        digest = hashlib.sha256()
        parts = (self.method, self.url.path, self.url.query, self.headers.get("authorization", ""))
        for part in (*(text.encode() for text in parts), await self.body()):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


class WireRoute(APIRoute):
    """A route that gets its request as a `WireRequest`, and whose endpoint returns what an `Answer` holds, or None."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _answering(endpoint), **(options | {"response_model": None}))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        # The document says of an operation whether it is open to everybody.
        is_open = (self.openapi_extra or {}).get("security") == []

        async def handle_wire(request: Request) -> Response:
            wire = WireRequest(request.scope, request.receive)
            if wire.method != "GET" and not is_open:
                await authenticate(wire)
            if not wire.repeatable:
                return await handle(wire)
            idempotency: Idempotency[Response] = request.app.state.idempotency
            # Of two identical requests for a compute at the same time, the service's client means one.
            living = wire.url.path.startswith(COMPUTES)
            return await idempotency.run(
                await wire.key(), lambda: handle(wire), wire.is_disconnected, join_living=living
            )

        return handle_wire


def _answering(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint, made to return a response: FastAPI's own way over its encoder costs more than most endpoints."""

    def response(answer: Any) -> Response:
        return answer if isinstance(answer, Response) else Answer({} if answer is None else answer)

    @functools.wraps(endpoint)
    async def awaited(*args: Any, **kwargs: Any) -> Response:
        return response(await endpoint(*args, **kwargs))

    @functools.wraps(endpoint)
    def called(*args: Any, **kwargs: Any) -> Response:
        return response(endpoint(*args, **kwargs))

    return awaited if inspect.iscoroutinefunction(endpoint) else called
