"""Which address is which page; whoever asks has been let in, and what changes something is a POST of a page."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from importlib.resources import files

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ellipsis_local.dashboard import BASE, compute, computes, disk, layers, what_if
from ellipsis_local.dashboard.events import events
from ellipsis_local.dashboard.pages import emulator_of, error_page, render
from ellipsis_local.dashboard.request_log import requests_page
from ellipsis_local.dashboard.sessions import NO_SESSION, Sessions
from ellipsis_local.database import check_format
from ellipsis_local.errors import NotFoundError

KINDS = {"js": "text/javascript", "css": "text/css", "json": "application/json"}

Page = Callable[[Request], Response]


def dashboard_routes(api: str) -> list[Route]:
    """All pages; `api` is the address that clients use, and that people open as well."""
    gets: dict[str, Page] = {
        "/": computes.list_page,
        "/events": events,
        "/computes/{compute}": compute.compute_page,
        "/computes/{compute}/map.json": compute.map_data,
        "/computes/{compute}/log": compute.log_lines,
        "/computes/{compute}/nodes/{node:int}": compute.node_page,
        "/computes/{compute}/nodes/{node:int}/inputs/{layer:int}.png": compute.input_picture,
        "/requests": requests_page,
        "/api": api_page,
        "/disk": disk.page,
        "/builds": disk.builds,
        "/what-if": what_if.page,
        "/what-if/map.json": what_if.map_data,
        "/layers": layers.list_page,
        "/layers/{path}": layers.layer_page,
        "/layers/{path}/{timestamp}": layers.layer_page,
        "/layers/{path}/{timestamp}/value": layers.value,
        "/layers/{path}/{timestamp}/table": layers.table,
        "/layers/{path}/{timestamp}/tiles/{z:int}/{x:int}/{y:int}.png": layers.tile,
        "/layers/{path}/{timestamp}/features.json": layers.features,
    }
    posts: dict[str, Page] = {
        "/link": new_link,
        "/computes/prune": computes.prune,
        "/environments/prune": disk.prune,
        "/environments/{key}/prune": disk.prune,
        "/computes/{compute}/terminate": computes.terminate,
        "/computes/{compute}/delete": computes.delete,
    }
    return [
        *(Route(path, enter, methods=["GET"]) for path in ("/", api, BASE)),
        Route(f"{BASE}/static/{{name}}", static, methods=["GET"]),
        *(Route(BASE + path, guarded(page), methods=["GET"]) for path, page in gets.items()),
        Route(f"{BASE}/layers", upload, methods=["POST"]),
        *(Route(BASE + path, guarded(page), methods=["POST"]) for path, page in posts.items()),
    ]


def guarded(page: Page) -> Page:
    @functools.wraps(page)
    def guarded_page(request: Request) -> Response:
        sessions_of(request).check(request)
        # A newer release may have taken the home over while this one serves it.
        check_format(emulator_of(request).home.database)
        return page(request)

    return guarded_page


async def upload(request: Request) -> Response:
    # Before the body is read.
    await anyio.to_thread.run_sync(guarded(lambda _: Response()), request)
    return await layers.upload(request)


def sessions_of(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


def enter(request: Request) -> Response:
    """The address of the server: to the first page, for the browser with a link that works."""
    answer = RedirectResponse(f"{BASE}/", 303)
    if "token" in request.query_params and not sessions_of(request).enter(request, answer):
        return error_page(request, 401, NO_SESSION)
    return answer


def new_link(request: Request) -> Response:
    return Response(sessions_of(request).new_link(str(request.base_url).rstrip("/")), media_type="text/plain")


def api_page(request: Request) -> Response:
    """The description of the HTTP API, to be read without a network."""
    return render("api.html", request, {"document": request.app.openapi()})


@functools.cache
def static_files() -> dict[str, bytes]:
    """All that pages load, by name."""
    folder = files("ellipsis_local.dashboard") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in static_files():
        raise NotFoundError(f"there is no file {name[:200]} here", argument="name", value=name)
    return Response(static_files()[name], media_type=KINDS[name.rpartition(".")[2]])


@functools.cache
def vendored() -> list[dict[str, str]]:
    """What of the static files others wrote: version, licence, source and hash."""
    found: list[dict[str, str]] = json.loads((files("ellipsis_local.dashboard") / "vendored.json").read_bytes())
    return found
