"""The application: the service's HTTP API over one emulator, as an ASGI app."""

from __future__ import annotations

import copy
import functools

from fastapi import APIRouter, FastAPI, Response
from starlette.datastructures import State

from ellipsis_local.computes.compute_json import WireAnswers
from ellipsis_local.dashboard.request_log import RequestLog
from ellipsis_local.dashboard.routes import dashboard_routes
from ellipsis_local.dashboard.sessions import Sessions
from ellipsis_local.emulator import Emulator
from ellipsis_local.server.error_responses import add_error_handlers
from ellipsis_local.server.idempotency import Idempotency
from ellipsis_local.server.openapi import OTHERWISE, fix_openapi
from ellipsis_local.server.routes import account, computes, features, paths, rasters, sharing
from ellipsis_local.server.routes.timestamps import timestamp_routes
from ellipsis_local.server.wire import Answer, WireRoute
from ellipsis_local.settings import package_version

BASE_PATH = "/v3"
MAX_UPLOAD = 64 * 1024**3
"""Bytes of one upload, unless told otherwise."""

DESCRIPTION = f"""The part of the HTTP API of Ellipsis Drive that `ellipsis_local` emulates on this machine.

Every error is `{{"message": text}}`. {OTHERWISE} What is not emulated answers 501. GETs may carry the token as
`?token=`; values in a query that are no strings are JSON. Lists come in pages, `{{"result": […], "nextPageStart": id or
null}}`. Operations have the names of the functions of the Python client that are for them. A description says where a
behaviour comes from: the documentation, what was seen in clients, or a choice of our own.
"""
SERVERS = [{"url": "/", "description": "the server that gave this description; an emulator, not the hosted service"}]
TAGS = {
    "account": "Logging in, access tokens, and other users by name.",
    "compute": "Functions that are run on the partitions of layers. POSTs answer at once; GET /compute tells the rest.",
    "sharing": "Who may do what with a path, and how much it was used.",
    "raster": "Rasters, their timestamps and files, and pixels in several shapes.",
    "vector": "Vectors, their timestamps and files, and features, read and changed.",
    "path": "Folders, and what all paths have in common: search, names, metadata, trash.",
}


def create_app(emulator: Emulator, *, max_upload: int = MAX_UPLOAD) -> FastAPI:
    """The app on an emulator, which stays the caller's to close; `Guard` around it checks hosts and origins."""
    app = copy.copy(_app())
    app.state = State()
    app.state.emulator = emulator
    app.state.answers = WireAnswers(emulator.computes.records, strict=emulator.settings.strict)
    app.state.idempotency = Idempotency[Response]()
    app.state.max_upload = max_upload
    app.state.sessions = Sessions()
    app.state.requests = RequestLog()
    return app


@functools.cache
def _app() -> FastAPI:
    """What all apps of a process have alike: FastAPI takes a third of a second to look through the endpoints."""
    app = FastAPI(
        title="ellipsis_local",
        version=package_version(),
        summary="Ellipsis Drive compute on one machine",
        description=DESCRIPTION,
        servers=SERVERS,
        openapi_tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        openapi_url="/openapi.json",
        # These pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # A redirect would go to whatever host the request names; what is not there is said.
        redirect_slashes=False,
        default_response_class=Answer,
        separate_input_output_schemas=False,
    )
    # The order decides between /path/hashtag and /path/{pathId}: fixed words first.
    root = APIRouter(prefix=BASE_PATH, route_class=WireRoute)
    layers = rasters.router, features.router, timestamp_routes("raster"), timestamp_routes("vector")
    for router in (account.router, computes.router, sharing.router, *layers, paths.router):
        root.include_router(router)
    app.include_router(root)
    app.router.routes.extend(dashboard_routes(BASE_PATH))
    add_error_handlers(app)
    document = app.openapi
    app.openapi = functools.cache(lambda: fix_openapi(document(), BASE_PATH))  # type: ignore[method-assign]
    return app
