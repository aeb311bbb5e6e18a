"""Requests of this process to the application on its own emulator: the code of the server, without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import anyio
import anyio.from_thread
import orjson

from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import ArgumentError, NotEmulatedError
from ellipsis_local.server.app import BASE_PATH, create_app
from ellipsis_local.server.auth import KNOWN, Caller
from ellipsis_local.server.error_responses import RAISED

APP = "http"
"""Under this name the emulator keeps its application."""


def request(emulator: Emulator, method: str, path: str, given: Mapping[str, Any], token: str | None) -> Any:
    """What the application answers: the JSON as values, other content as bytes, None for an empty 204.

    `given` goes into the query of a GET and into the body of anything else, None left out (seen in the client). Raises
    what the endpoint raised, so that an error is the same one as of the functions that need no request.
    """
    app = emulator.fronts.get(APP) or emulator.fronts.setdefault(APP, create_app(emulator))
    caller = Caller(emulator, app.state.answers, token)
    if token is not None:
        # In process, a token that was not given out here stands for a user of its own.
        caller.user = emulator.user(token)
    sent = {name: _json(name, value) for name, value in given.items() if value is not None}
    in_query = method == "GET"
    query = {name: given[name] if isinstance(given[name], str) else text for name, text in sent.items()}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": f"{BASE_PATH}{path}",
        "raw_path": quote(f"{BASE_PATH}{path}").encode(),
        "root_path": "",
        "query_string": urlencode(query).encode() if in_query else b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": None,
        "server": ("localhost", 80),
        KNOWN: caller,
        RAISED: [],
    }
    body = b"" if in_query else orjson.dumps({name: orjson.Fragment(text) for name, text in sent.items()})
    # A loop in a thread of its own: the caller's may have one that runs, as notebooks do.
    with anyio.from_thread.start_blocking_portal() as portal:
        status, headers, content = portal.call(_exchange, app, scope, body)
    if scope[RAISED]:
        raise scope[RAISED][0]
    if status == 204:
        return None
    is_json = headers.get(b"content-type", b"").startswith(b"application/json")
    if status != 200:
        kind = NotEmulatedError if status == 501 else ArgumentError
        raise kind(orjson.loads(content)["message"] if is_json else content.decode())
    return orjson.loads(content) if is_json and not headers.get(b"content-disposition") else content


def _json(name: str, value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise ArgumentError(f"{name} must be json serializable ({error})", argument=name, value=value) from None


async def _exchange(app: Any, scope: dict[str, Any], body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    answer: list[dict[str, Any]] = []
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not left:
            await anyio.sleep_forever()
        return left.pop()

    async def send(message: dict[str, Any]) -> None:
        answer.append(message)

    await app(scope, receive, send)
    start, *parts = answer
    return start["status"], dict(start["headers"]), b"".join(part.get("body", b"") for part in parts)
