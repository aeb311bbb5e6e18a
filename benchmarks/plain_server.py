"""A plain file server, for scale: the standard library's, which also writes what is POSTed into a file, as it comes.

python plain_server.py FOLDER; prints its port.
"""

from __future__ import annotations

import functools
import http.server
import sys
from pathlib import Path

__all__: list[str] = []

PIECE = 1024**2


class Handler(http.server.SimpleHTTPRequestHandler):
    """`python -m http.server`, with connections that are kept, and POST."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        target = Path(self.directory) / "posted"
        with target.open("wb") as file:
            while left > 0 and (data := self.rfile.read(min(PIECE, left))):
                file.write(data)
                left -= len(data)
        target.unlink()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *values: object) -> None:
        pass


def main() -> None:
    handler = functools.partial(Handler, directory=sys.argv[1])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
