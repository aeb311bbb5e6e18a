"""A server's answers, held to its own description: an undocumented key or status is as wrong as a missing one."""

from __future__ import annotations

import functools
from typing import Any

import jsonschema_rs
import orjson
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from ellipsis_local.server import BASE_PATH

__all__ = ["Described"]

JSON = "application/json"


class Described:
    """An app whose answers are held to its description; `wrong` is what does not fit."""

    def __init__(self, app: FastAPI, wrong: list[str]) -> None:
        self.app = app
        self.wrong = wrong
        self.state = app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, kind, parts = 0, "", []

        async def watched(message: Message) -> None:
            nonlocal status, kind
            if message["type"] == "http.response.start":
                status = message["status"]
                kind = dict(message["headers"]).get(b"content-type", b"").decode()
            elif kind == JSON:
                parts.append(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            route = scope.get("route")
            # What is answered outside of the routes, and a bug, are in no description.
            if (
                status not in (0, 500)
                and getattr(route, "include_in_schema", False)
                and scope["path"].startswith("/v3/")
            ):
                path = BASE_PATH + route.path_format.removeprefix(BASE_PATH)
                problem = problem_of(self.app, path, scope["method"], status, kind, b"".join(parts))
                self.wrong += [f"{scope['method']} {path}: {problem}"] if problem else []


def problem_of(app: FastAPI, path: str, method: str, status: int, kind: str, body: bytes) -> str | None:
    """What of an answer is not as it is described; None where all is."""
    operation = app.openapi()["paths"][path].get(method.lower())
    if operation is None or not method.isupper():
        return None
    described = operation["responses"]
    if str(status) not in described and status not in (503, 507):
        return f"answers {status}, which is not described: {body[:300]!r}"
    content = described.get(str(status), described["default"]).get("content", {})
    if kind != JSON and status in (204, 206):
        return None
    if kind not in content:
        return f"{status} is of type {kind}, which is not described"
    if kind != JSON:
        return None
    found = orjson.loads(body)
    error = next(validator(app.openapi, orjson.dumps(content[JSON]["schema"])).iter_errors(found), None)
    return None if error is None else f"{status}: {error.message[:300]} at {error.instance_path} in {body[:300]!r}"


@functools.cache
def validator(openapi: Any, schema: bytes) -> Any:
    components = closed(openapi()["components"])
    return jsonschema_rs.validator_for({**orjson.loads(schema), "components": components}, validate_formats=True)


def closed(schema: Any) -> Any:
    """The schema, of objects with no keys but those that it names."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    extra = {"additionalProperties": False} if schema.get("type") == "object" else {}
    return extra | {key: closed(value) for key, value in schema.items()}
