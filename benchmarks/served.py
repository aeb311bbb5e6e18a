"""Servers in processes of their own: ours, and a plain file server beside it; their memory; who asks them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from ours import caller_environ, clean_environ

__all__ = ["Process", "ask", "load", "ours", "plain"]

HERE = Path(__file__).parent
LOOK_SECONDS = 0.05
STOP_SECONDS = 20


@dataclass
class Process:
    """A server that runs, and the most memory that it held, in bytes."""

    url: str
    pid: int
    alone_peak: int = 0
    """Its own process (RSS)."""
    peak: int = 0
    """It and what it started; what they share counts once (PSS), where the system tells."""

    @property
    def alone(self) -> int:
        return psutil.Process(self.pid).memory_info().rss

    @property
    def family(self) -> int:
        process, total = psutil.Process(self.pid), 0
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                facts = one.memory_full_info()
                total += getattr(facts, "pss", facts.rss)
        return total

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        done = threading.Event()

        def watch() -> None:
            while not done.wait(LOOK_SECONDS):
                with contextlib.suppress(psutil.Error):
                    self.alone_peak = max(self.alone_peak, self.alone)
                    self.peak = max(self.peak, self.family)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


@contextlib.contextmanager
def ours(home: Path, *, watched: bool = False) -> Iterator[Process]:
    """`ellipsis-local serve` on a home; `url` ends in /v3. `watched`: its memory is, which costs it a little time."""
    command = [sys.executable, "-m", "ellipsis_local", "--home", str(home), "serve", "--port", "0", "--json"]
    with started(command) as process:
        lines = []
        while not lines or lines[-1].rstrip() != "}":
            lines.append(next(process.stdout))
        server = Process(json.loads("".join(lines))["url"], process.pid)
        with server.watched() if watched else contextlib.nullcontext():
            yield server


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[Process]:
    """The standard library's file server on a folder."""
    with started([sys.executable, str(HERE / "plain_server.py"), str(folder)]) as process:
        yield Process(f"http://127.0.0.1:{int(next(process.stdout))}", process.pid)


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=caller_environ()
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def load(
    server: Process, targets: list[str], token: str, *, rate: float | None = None, keep: bool = True,
    connections: int = 8, seconds: float = 5.0, most: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """GETs of addresses below the server's; see load.py. RuntimeError where an answer is none of 200 and 204."""
    place = urlsplit(server.url)
    given = {
        "host": place.hostname, "port": place.port, "targets": [place.path + target for target in targets],
        "headers": {"Authorization": f"Bearer {token}"}, "connections": connections, "seconds": seconds,
        "rate": rate, "keep": keep, "most": most,
    }  # fmt: skip
    found = run(sys.executable, "load.py", given)
    if set(found["statuses"]) - {"200", "204"}:
        raise RuntimeError(f"answers of {server.url}: {found['statuses']}")
    return found


def ask(client: Path, job: str, url: str, **given: Any) -> dict[str, Any]:
    """A job of the real client; see client_probe.py."""
    return run(client, "client_probe.py", {"job": job, "url": url, **given})


def run(python: Path | str, script: str, given: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [python, str(HERE / script)], input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True,
        env=clean_environ(),
    )  # fmt: skip
    return json.loads(done.stdout)
