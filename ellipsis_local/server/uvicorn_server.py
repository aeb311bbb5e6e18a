"""A running server: in a thread of this process, or in the foreground for the command line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from ellipsis_local import direct_requests
from ellipsis_local.arguments import invalid
from ellipsis_local.clocks import monotonic
from ellipsis_local.dashboard.sessions import Sessions
from ellipsis_local.emulator import Emulator, current_settings
from ellipsis_local.errors import ArgumentError, EllipsisLocalError
from ellipsis_local.server.app import BASE_PATH, MAX_UPLOAD, create_app
from ellipsis_local.server.connections import MOST_HEAD, Connection, FaultInjection
from ellipsis_local.server.host_origin_guard import LOOPBACK_NAMES, Guard
from ellipsis_local.settings import is_loopback
from ellipsis_local.tracebacks import short_traceback

if TYPE_CHECKING:
    from ellipsis_local.settings import Settings

STOP_SECONDS = 5
BACKLOG = 256

ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?")


@dataclass(frozen=True)
class Options:
    """Where and how to listen; checked when the object is made.

    ArgumentError for an address other than loopback without TLS files or `insecure`, a port that is none, half a TLS
    pair.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False
    """Listen on other addresses than loopback without TLS."""
    names: tuple[str, ...] = ()
    """Names under which clients may reach the server, besides `host` and loopback's."""
    max_upload: int = MAX_UPLOAD
    origins: tuple[str, ...] = ()
    """Of web pages that may ask."""

    def __post_init__(self) -> None:
        for origin in self.origins:
            if not ORIGIN.fullmatch(origin):
                text = f"must be as a browser sends it, such as http://localhost:5173, not {origin!r}"
                raise invalid("origins", origin, text)
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port <= 65535:
            raise invalid("port", self.port, f"must be from 0 to 65535, not {self.port!r}")
        if (self.certificate is None) != (self.key is None):
            raise ArgumentError("TLS needs both files: certificate and key", argument="certificate")
        for argument, path in (("certificate", self.certificate), ("key", self.key)):
            if path is not None and not path.is_file():
                raise invalid(argument, path, f"{path} is not there")
        if not is_loopback(self.host) and self.certificate is None and not self.insecure:
            text = (
                f"{self.host} can be reached from other machines, and this server runs the code that it is sent: "
                "give a TLS certificate and key, or insecure (--insecure) where the network is trusted"
            )
            raise invalid("host", self.host, text)

    @property
    def scheme(self) -> str:
        return "http" if self.certificate is None else "https"

    @property
    def accepted(self) -> Collection[str]:
        own = {self.host, *self.names, *LOOPBACK_NAMES}
        if not is_loopback(self.host):
            own |= {socket.gethostname(), socket.getfqdn()}
        return own

    def check_certificate(self) -> None:
        """ArgumentError for TLS files that cannot be used; a key must not have a passphrase."""
        if self.certificate is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password=bytes)
        except (OSError, ValueError) as error:
            text = (
                f"{self.certificate} and key {self.key} cannot be used for TLS ({error}): they must be PEM files that "
                "belong together, the key without a passphrase"
            )
            raise invalid("certificate", self.certificate, text) from error

    def listen(self) -> socket.socket:
        """A listening socket; ArgumentError where the address is taken or not this machine's."""
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            listening = socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
            # Connections inherit it. asyncio sets it only where the socket knows its protocol's number, which this does
            # not, and an answer in two pieces would wait 40 ms for the client's acknowledgement.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return listening
        except OSError as error:
            text = f"cannot listen on {self.host}:{self.port} ({error.strerror or error}); give another port, "
            raise ArgumentError(text + "or 0 for a free one", argument="port", value=self.port) from error


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's own, whose timers a test that freezes `time.monotonic` does not stop."""

    def time(self) -> float:
        return monotonic()


class Server:
    """The HTTP API on one home. Made by `serve`; `url` is what `ellipsis.apiManager.baseUrl` has to be."""

    def __init__(self, emulator: Emulator, options: Options) -> None:
        self.options = options
        self.emulator = emulator
        options.check_certificate()
        self._socket = options.listen()
        self.port: int = self._socket.getsockname()[1]
        application = create_app(emulator, max_upload=options.max_upload)
        self.sessions: Sessions = application.state.sessions
        app = FaultInjection(application, emulator.home.root, BASE_PATH)
        self._server = uvicorn.Server(
            uvicorn.Config(
                Guard(app, options.accepted, self.port, options.scheme, options.origins, application.state.requests),
                # Its own log would hold the query of every GET, and the client repeats its token there.
                log_config=None,
                access_log=False,
                log_level=logging.WARNING,
                server_header=False,
                ws="none",
                lifespan="off",
                # Who asks is told by tokens alone; whoever stands in front has no say.
                proxy_headers=False,
                http=Connection,
                h11_max_incomplete_event_size=MOST_HEAD,
                timeout_graceful_shutdown=STOP_SECONDS,
                ssl_certfile=options.certificate,
                ssl_keyfile=options.key,
            )
        )
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address, up to and including ``/v3``."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"{self.options.scheme}://{host}:{self.port}{BASE_PATH}"

    def link(self) -> str:
        """An address for a browser, which opens the dashboard there; it works once (our choice)."""
        return self.sessions.new_link(self.url.removesuffix(BASE_PATH))

    def run(self) -> None:
        """Serve in this thread until interrupted, or until `stop`."""
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self._server.serve(sockets=[self._socket]))
        finally:
            self._socket.close()

    def start(self) -> None:
        """Serve in a thread, ready on return; EllipsisLocalError where it cannot start."""
        self._thread = threading.Thread(target=self.run, name="ellipsis_local-server", daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
            if not self._thread.is_alive():
                raise EllipsisLocalError(f"the server on {self.url} could not start; its log tells why")
        direct_requests.serves(self.port)

    def stop(self) -> None:
        """End it: requests under way get a moment, then everything is closed, the emulator too."""
        direct_requests.serves(self.port, serving=False)
        self.sessions.closing.set()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._socket.close()
        self.emulator.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@short_traceback
def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    settings: Settings | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    insecure: bool = False,
    names: Collection[str] = (),
    max_upload: int = MAX_UPLOAD,
    origins: Collection[str] = (),
) -> Server:
    """Serve the configured home over HTTP, for the unmodified client in any process.

    The client is sent there by ``ellipsis.apiManager.baseUrl = server.url``.

    >>> with el.serve() as server:
    ...     answer = requests.get(f'{server.url}/path/unknown')
    >>> answer.status_code
    400

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    settings : Settings, optional
        In place of those that `configure` and the environment variables give.
    certificate, key : Path, optional
        PEM files for TLS; needed for a host other than loopback unless `insecure`.
    insecure : bool
        Listen on other addresses than loopback without TLS.
    names : collection of str
        Other names under which clients reach the server: a Host header must hold a known one, with the server's port
        or with that of the name (``drive.local:8000``), where somebody in front of the server has another.
    max_upload : int
        The most bytes of one upload.
    origins : collection of str
        Exact origins of web pages that may ask (``https://maps.example``), with a token of their own and never with
        cookies; none unless given.

    Returns
    -------
    Server
        It answers already; `url` is its address, up to and including ``/v3``. As a context manager it ends with the
        block, else with `stop`, and leaves nothing: its computes' workers end, the home stays.

    Raises
    ------
    ArgumentError
        For an address that cannot or may not be listened on.
    """
    options = Options(host, port, certificate, key, insecure, tuple(names), max_upload, tuple(origins))
    emulator = Emulator(settings or current_settings())
    with contextlib.ExitStack() as stack:
        stack.callback(emulator.close)
        server = Server(emulator, options)
        # From here on the server closes it.
        stack.pop_all()
        stack.callback(server.stop)
        server.start()
        stack.pop_all()
    return server
