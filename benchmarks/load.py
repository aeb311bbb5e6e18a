"""A load on a server, from a process of its own: GETs over some connections, at a rate or flat out.

python load.py < JSON, the fields of `Load`. Prints JSON: what each request took, and all of them together.

At a rate, a request is due at its own time whatever became of those before it, and what it took counts from there: a
server that stalls does not get fewer requests.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

__all__: list[str] = []

START_SECONDS = 0.2


@dataclass
class Load:
    """What is asked, and what came of it."""

    host: str
    port: int
    targets: list[str]
    headers: dict[str, str]
    connections: int
    seconds: float
    rate: float | None
    """Requests per second over all connections; None is as many as go."""
    keep: bool
    """The connections, for more than one request; the client makes one each."""
    most: int | None
    """Requests; None is as many as fit into `seconds`."""
    took: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    size: int = 0

    def run(self) -> float:
        """Seconds from the first request to the last answer."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        requests = [
            f"GET {target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{head}\r\n".encode() for target in self.targets
        ]
        begin = time.perf_counter() + START_SECONDS
        threads = [
            threading.Thread(target=self._work, args=(number, requests, begin)) for number in range(self.connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begin

    def _work(self, number: int, requests: list[bytes], begin: float) -> None:
        took, connection, index = [], None, number
        wait(begin)
        while True:
            due = time.perf_counter() if self.rate is None else begin + index / self.rate
            if due - begin > self.seconds or (self.most is not None and index >= self.most):
                break
            wait(due)
            connection = connection or socket.create_connection((self.host, self.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(requests[index % len(requests)])
            status, size = answer(connection)
            took.append(time.perf_counter() - due)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.size = max(self.size, size)
            if not self.keep:
                connection.close()
                connection = None
            index += self.connections
        if connection is not None:
            connection.close()
        self.took += took


def wait(until: float) -> None:
    left = until - time.perf_counter()
    if left > 0:
        time.sleep(left)


def answer(connection: socket.socket) -> tuple[int, int]:
    """Status and size of one answer, read to its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(262_144)
        if not more:
            raise ConnectionError("the server hung up")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    left = length - len(body)
    while left > 0:
        more = connection.recv(262_144)
        if not more:
            raise ConnectionError("the server hung up")
        left -= len(more)
    return int(lines[0].split()[1]), length


def main() -> None:
    given: dict[str, Any] = json.load(sys.stdin)
    load = Load(**given)
    seconds = load.run()
    found = {"seconds": seconds, "took": load.took, "statuses": load.statuses, "size": load.size}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
