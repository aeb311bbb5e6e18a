"""`ellipsis-local serve`: the service's HTTP API, for the unmodified client."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from ellipsis_local.cli.printing import Json, console, errors, print_json
from ellipsis_local.cli.session import session_of

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
    max_upload: Annotated[int, typer.Option(metavar="GIB", min=1, help="The most GiB of one upload.")] = 64,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print a line per request.")] = False,
    as_json: Json = False,
) -> None:
    """Serve the home over the HTTP API of the service, until Ctrl-C.

    Point the client at it with one line; see what is printed. It runs the code that it is sent, as you: whoever can
    reach it and log in can do what you can.
    """
    from ellipsis_local.server import serve as start

    if verbose:
        lines = logging.StreamHandler()
        lines.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        requests = logging.getLogger("ellipsis_local.server.requests")
        requests.addHandler(lines)
        requests.setLevel(logging.INFO)
    stop = threading.Event()
    # Before anything is started, so that nothing is left of a start that is interrupted.
    former = [(number, signal.signal(number, lambda *_: stop.set())) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with start(
            host=host,
            port=port,
            settings=session_of(ctx).settings(),
            certificate=certificate,
            key=key,
            insecure=insecure,
            names=name or (),
            max_upload=max_upload * GIB,
        ) as server:
            if as_json:
                print_json({"url": server.url, "home": server.emulator.home.root})
            else:
                out = console()
                out.print(f"serving {server.emulator.home.root}", markup=False)
                out.print(f"on {server.url}; Ctrl-C ends it. In the script, before its first call:\n", markup=False)
                out.print(f'    import ellipsis; ellipsis.apiManager.baseUrl = "{server.url}"\n', markup=False)
            stop.wait()
    finally:
        for number, handler in former:
            signal.signal(number, handler)
    errors().print("the server has ended", markup=False)
