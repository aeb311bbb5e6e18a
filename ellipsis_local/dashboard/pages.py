"""Templates to responses, with a policy that lets nothing in but the server's own files."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from ellipsis_local.reports.texts import bytes_text, crs_name, extent_text

if TYPE_CHECKING:
    from jinja2 import Environment

    from ellipsis_local.emulator import Emulator

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
TITLES = {401: "Not let in", 403: "Not allowed", 404: "Not here", 409: "Not now", 500: "A bug", 507: "The home"}
AGES = ((86400, "d"), (3600, "h"), (60, "min"))


def emulator_of(request: Request) -> Emulator:
    emulator: Emulator = request.app.state.emulator
    return emulator


def is_fragment(request: Request) -> bool:
    """Whether a script of a page asks, for a part of it."""
    return "hx-request" in request.headers


def render(template: str, request: Request, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    made = _templates().get_template(template)
    text = made.render(values | {"path": request.url.path})
    # Functions print and raise what they like, half a surrogate pair, too.
    return HTMLResponse(text.encode("utf-8", "replace"), status, {"content-security-policy": POLICY})


def error_page(request: Request, status: int, text: str) -> Response:
    """An error in words: a page, or for a script of a page the text alone."""
    if is_fragment(request):
        return PlainTextResponse(text, status)
    return render("error.html", request, {"title": TITLES.get(status, "Error"), "text": text}, status)


def done(text: str) -> Response:
    """What an act says; pages hear of the change as of any other, or by the event."""
    return PlainTextResponse(text, headers={"HX-Trigger": "acted"})


def ago(seconds: float) -> str:
    """An age in its largest unit."""
    for unit, name in AGES:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def moment(seconds: float | datetime) -> str:
    """A time as this machine's clock shows it."""
    when = seconds if isinstance(seconds, datetime) else datetime.fromtimestamp(seconds, UTC)
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%H:%M:%S}"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@functools.cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("ellipsis_local.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"bytes": bytes_text, "ago": ago, "moment": moment, "counted": counted, "crs": crs_name}
    made.filters |= {"iso": datetime.fromisoformat, "clock": clock}
    made.globals["extent_text"] = extent_text
    return made
