"""Errors as answers: a status, and `{"message": text}`, which the client raises as ValueError (seen in the client)."""

from __future__ import annotations

import logging
import reprlib
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from ellipsis_local import errors
from ellipsis_local.dashboard import BASE as PAGES
from ellipsis_local.dashboard.pages import error_page
from ellipsis_local.server.wire import Answer

log = logging.getLogger("ellipsis_local.server")

STATUSES: tuple[tuple[type[errors.EllipsisLocalError], int], ...] = (
    (errors.TooManyLoginsError, 429),
    (errors.AccountError, 401),
    (errors.AccessError, 403),
    (errors.NotFoundError, 404),
    (errors.ComputeStateError, 409),
    (errors.LimitError, 413),
    (errors.NotEmulatedError, 501),
    (errors.UpstreamError, 502),
    (errors.StoreError, 507),
    (errors.EllipsisLocalError, 400),
)
"""The first class that fits decides."""

RAISED = "ellipsis_local.raised"
"""The list in the scope of a request of this process, for the error itself."""


def error_response(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer({"message": text}, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(errors.EllipsisLocalError)
    async def known(request: Request, error: errors.EllipsisLocalError) -> Response:
        request.scope.get(RAISED, []).append(error)
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
        if is_page(request):
            return error_page(request, status, text)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        if isinstance(error, errors.TooManyLoginsError):
            headers["Retry-After"] = str(error.seconds)
        return error_response(status, text, headers)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def invalid(request: Request, error: RequestValidationError | ValidationError) -> Answer:  # noqa: ARG001
        return error_response(400, "; ".join(problem(detail) for detail in error.errors()[:5]))

    @app.exception_handler(RecursionError)
    async def deep(request: Request, error: RecursionError) -> Answer:  # noqa: ARG001
        return error_response(400, "a value of the request is nested too deeply")

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if is_page(request):
            text = f"there is no page {request.scope['path'][:200]}; the links above lead to those that there are"
            return error_page(request, error.status_code, text)
        if error.status_code in (404, 405):
            what = f"{request.method[:20]} {request.scope['path'][:200]}"
            if request.scope["path"].startswith("/v3/"):
                # Whatever the service may have here: it is not emulated.
                return error_response(501, f"{what} is not emulated by ellipsis_local")
            return error_response(404, f"there is no {what} here: the API is below /v3, and /openapi.json describes it")
        return error_response(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        # Quoted, without the query: as in the log of requests.
        log.error("%s %s failed", request.method, quote(request.scope["path"], safe="/:")[:500], exc_info=error)
        text = f"{type(error).__name__}: this is a bug of ellipsis_local; its log holds the traceback"
        if is_page(request):
            return error_page(request, 500, text)
        return error_response(500, text)


def is_page(request: Request) -> bool:
    """Whether it is for a page of the dashboard, whose errors are pages, too."""
    return bool(request.scope["path"].startswith(f"{PAGES}/"))


def problem(detail: Any) -> str:
    """One finding of pydantic in the words of the other errors: the argument, the value, the way out."""
    place = [str(part) for part in detail["loc"] if part not in ("body", "query", "path", "header")]
    name = ".".join(place) or "the body"
    if detail["type"] == "missing":
        return f"{name} is missing"
    # Not repr: it recurses as deep as the value.
    shown = reprlib.repr(detail.get("input"))
    return f"{name}: {detail['msg']}, not {shown if len(shown) <= 80 else shown[:77] + '…'}"
