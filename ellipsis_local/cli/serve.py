"""`ellipsis-local serve`, `ui`: the service's HTTP API for the unmodified client, and the dashboard for a browser."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ellipsis_local.cli.printing import Json, console, errors, print_json
from ellipsis_local.cli.session import session_of

if TYPE_CHECKING:
    from ellipsis_local.server import Server

GIB = 1024**3


def serve(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8642,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Others than loopback need --certificate and --key.")
    ] = "127.0.0.1",
    certificate: Annotated[Path | None, typer.Option(help="A PEM file: serve TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key, a PEM file.")] = None,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Listen on other addresses without TLS: whoever logs in can run code here."),
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(help="Another NAME or NAME:PORT under which clients come; may be repeated.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="An exact origin whose web pages may ask; may be repeated.")
    ] = None,
    max_upload: Annotated[int, typer.Option(metavar="GIB", min=1, help="The most GiB of one upload.")] = 64,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line per request.")] = False,
    as_json: Json = False,
) -> None:
    """Serve the home over the HTTP API of the service, until Ctrl-C.

    Point the client at it with one line; see what is printed. It runs the code that it is sent, as you: whoever can
    reach it and log in can do what you can.
    """
    if verbose:
        lines = logging.StreamHandler()
        lines.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        requests = logging.getLogger("ellipsis_local.server.requests")
        requests.addHandler(lines)
        requests.setLevel(logging.INFO)
    given = {
        "certificate": certificate,
        "key": key,
        "insecure": insecure,
        "names": name or (),
        "origins": allow_origin or (),
    }
    with running(ctx, host=host, port=port, max_upload=max_upload * GIB, **given) as server:
        if as_json:
            print_json({"url": server.url, "home": server.emulator.home.root, "dashboard": server.link()})
        else:
            out = console()
            out.print(f"serving {server.emulator.home.root}", markup=False)
            out.print(f"on {server.url}; Ctrl-C ends it. In the script, before its first call:\n", markup=False)
            out.print(f'    import ellipsis; ellipsis.apiManager.baseUrl = "{server.url}"\n', markup=False)
            out.print(f"in a browser (the link works once):\n\n    {server.link()}\n", markup=False, soft_wrap=True)


def ui(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the browser, or only print the link.")] = True,
) -> None:
    """Look at the home in a browser: computes live, layers on a map, disk; until Ctrl-C.

    It is the server of `serve` on this machine alone, and shows the computes of every process on the home.
    """
    with running(ctx, port=port) as server:
        link = server.link()
        console().print(f"the dashboard (the link works once):\n\n    {link}\n", markup=False, soft_wrap=True)
        if browser and not webbrowser.open(link):
            errors().print("no browser was found here: open the link in one", markup=False)


@contextlib.contextmanager
def running(ctx: typer.Context, **options: Any) -> Iterator[Server]:
    """A server on the home of the command line; it ends with Ctrl-C, after the block."""
    from ellipsis_local.server import serve as start

    stop = threading.Event()
    # Before anything is started, so that nothing is left of a start that is interrupted.
    former = [(number, signal.signal(number, lambda *_: stop.set())) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with start(settings=session_of(ctx).settings(), **options) as server:
            yield server
            stop.wait()
    finally:
        for number, handler in former:
            signal.signal(number, handler)
    errors().print("the server has ended", markup=False)
