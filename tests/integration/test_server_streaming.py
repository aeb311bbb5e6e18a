"""Large files through a server in a process of its own: they stream, arrive as they were, or leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import rasterio
from fastapi import Request
from rasterio.transform import from_origin

import ellipsis_local
from ellipsis_local.errors import StoreError
from ellipsis_local.home import Home
from ellipsis_local.server.uploads import received

MB = 1_000_000
SIZE = 200 * MB
SIDE = 512
MOST = 200 * MB
"""Of the server with all that it starts."""
HELD = 60 * MB
"""That the server's own process may grow by: a third of the file."""
WAIT = 120
BOUNDARY = "b0undary"
PIECE = 1 << 20


class Running:
    """A server, asked over plain connections."""

    def __init__(self, url: str, pid: int) -> None:
        self.place = urlsplit(url)
        self.process = psutil.Process(pid)
        self.token = ""
        given = json.dumps({"username": "anna", "password": "secret"}).encode()
        self.token = json.loads(self.ask("POST", "/account/login", given, "application/json")[1])["token"]

    def connection(self) -> http.client.HTTPConnection:
        assert self.place.hostname is not None
        return http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=WAIT, blocksize=PIECE)

    def head(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", **more} if self.token else more

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "", **head: str) -> tuple[int, bytes]:
        """Status and body of a small answer."""
        if kind:
            head["Content-Type"] = kind
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, self.place.path + path, body, self.head(**head))
            answer = connection.getresponse()
            return answer.status, answer.read()

    def make(self, path: str, **body: Any) -> str:
        status, answer = self.ask("POST", path, json.dumps(body).encode(), "application/json")
        assert status == 200, answer
        return json.loads(answer)["id"]

    def upload(self, path: str, file: Path, **fields: str) -> tuple[int, Any]:
        """A multipart form with a file, which is read as it goes; status and answer."""
        parts = [
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"; filename="{file.name}"\r\n\r\n')
        start, end = "".join(parts).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
        length = len(start) + file.stat().st_size + len(end)
        with contextlib.closing(self.connection()) as connection, file.open("rb") as content:
            connection.putrequest("POST", self.place.path + path)
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            for name, value in self.head(**{"Content-Type": kind, "Content-Length": str(length)}).items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.send(start)
            connection.send(content)
            connection.send(end)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def digest(self, path: str) -> tuple[int, str]:
        """Size and hash of a download, which is looked at as it comes."""
        digest, size = hashlib.sha256(), 0
        with contextlib.closing(self.connection()) as connection:
            connection.request("GET", self.place.path + path, headers=self.head())
            answer = connection.getresponse()
            assert answer.status == 200
            while data := answer.read(PIECE):
                digest.update(data)
                size += len(data)
        return size, digest.hexdigest()

    def raster(self) -> str:
        """A new timestamp of a raster; its address."""
        path_id = self.make("/path/raster", name="scene")
        return f"/path/{path_id}/raster/timestamp/{self.make(f'/path/{path_id}/raster/timestamp')}"

    @contextlib.contextmanager
    def within_memory(self) -> Iterator[None]:
        """Fails where the server, or it and what it starts, hold too much at a time when it is looked at."""
        before = self.process.memory_info().rss
        peak, whole, done = before, 0, threading.Event()

        def look() -> None:
            nonlocal peak, whole
            while not done.wait(0.05):
                peak = max(peak, self.process.memory_info().rss)
                whole = max(whole, self.proportional())

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        assert peak - before < HELD, f"{(peak - before) // MB} MB more"
        assert 0 < whole < MOST, f"{whole // MB} MB"

    def proportional(self) -> int:
        """Memory of the server and what it started; what they share counts once, where the system tells."""
        total = 0
        for one in (self.process, *self.process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                facts = one.memory_full_info()
                total += getattr(facts, "pss", facts.rss)
        return total


@contextlib.contextmanager
def serving(home: Path, largest_file: int | None = None) -> Iterator[Running]:
    """`ellipsis-local serve`, whose process can write no larger files."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    environ = {name: value for name, value in os.environ.items() if not name.startswith("ELLIPSIS_LOCAL_")}
    environ["PYTHONPATH"] = str(Path(ellipsis_local.__file__).parents[1])
    command = [sys.executable, "-m", "ellipsis_local", "--home", str(home), "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True, preexec_fn=limit) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while "}" not in printed:
                line = process.stdout.readline()
                assert line, "the server did not start"
                printed += line
            yield Running(json.loads(printed)["url"], process.pid)
        finally:
            process.terminate()
            process.wait(WAIT)


def geotiff(path: Path, size: int, seed: int = 1) -> Path:
    """Noise of about so many bytes, not compressed."""
    noise = np.random.default_rng(seed).integers(0, 10_000, (4, SIDE, SIDE), "u2")
    height = size // noise[:, :1].nbytes
    with rasterio.open(
        path, "w", driver="GTiff", width=SIDE, height=height, count=4, dtype="uint16", crs="EPSG:32631",
        transform=from_origin(500_000, 5_800_000, 10, 10),
    ) as file:  # fmt: skip
        for row in range(0, height, SIDE):
            rows = min(SIDE, height - row)
            file.write(np.roll(noise, row // SIDE, 2)[:, :rows], window=((row, row + rows), (0, SIDE)))
    return path


def facts(file: Path) -> tuple[int, str]:
    with file.open("rb") as opened:
        return file.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest()


def stored(home: Path) -> list[Path]:
    return list((home / "layers").iterdir())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = geotiff(tmp_path_factory.mktemp("large") / "large.tif", SIZE)
    assert file.stat().st_size > SIZE * 0.99
    yield file
    file.unlink()


@pytest.fixture
def anywhere(tmp_path: Path) -> Path:
    """A home without environments: no compute is made here."""
    return tmp_path / "home"


@pytest.mark.slow
def test_a_large_file_goes_up_and_down_in_little_memory(anywhere: Path, large: Path) -> None:
    with serving(anywhere) as server:
        with server.within_memory():
            status, answer = server.upload("/path/file", large, name="any name")
            assert status == 200, answer
            data = f"/path/{answer['id']}/file/data"
            assert server.digest(data) == facts(large)
        with large.open("rb") as file:
            file.seek(SIZE // 2)
            middle = file.read(1000)
        half = SIZE // 2
        assert server.ask("GET", data, Range=f"bytes={half}-{half + 999}") == (206, middle)
        assert server.ask("GET", data, Range="bytes=-7") == (206, large.read_bytes()[-7:])
        assert server.ask("GET", data, Range=f"bytes={2 * SIZE}-")[0] == 416


@pytest.mark.slow
def test_a_large_raster_goes_up_and_down_in_little_memory(anywhere: Path, large: Path) -> None:
    with serving(anywhere) as server:
        timestamp = server.raster()
        with server.within_memory():
            status, answer = server.upload(f"{timestamp}/file", large, name="large.tif", format="tif")
            assert status == 200, answer
            assert server.digest(f"{timestamp}/file/{answer['id']}/data") == facts(large)


@pytest.mark.slow
def test_two_clients_at_once(anywhere: Path, tmp_path: Path) -> None:
    files = [geotiff(tmp_path / f"{number}.tif", 80 * MB, seed=number) for number in range(2)]
    with serving(anywhere) as server, ThreadPoolExecutor(2) as clients, server.within_memory():
        timestamp = server.raster()
        plain = clients.submit(server.upload, "/path/file", files[0], name="plain")
        raster = clients.submit(server.upload, f"{timestamp}/file", files[1], name="raster.tif", format="tif")
        answers = [one.result(WAIT) for one in (plain, raster)]
        assert [status for status, _ in answers] == [200, 200], answers
        addresses = [f"/path/{answers[0][1]['id']}/file/data", f"{timestamp}/file/{answers[1][1]['id']}/data"]
        both = [clients.submit(server.digest, address) for address in addresses]
        assert [one.result(WAIT) for one in both] == [facts(file) for file in files]


def test_a_full_disk_is_told_and_nothing_is_left(anywhere: Path, tmp_path: Path) -> None:
    most = 4 * MB
    file = geotiff(tmp_path / "too-large.tif", 3 * most)
    small = geotiff(tmp_path / "small.tif", most // 4)
    with serving(anywhere, largest_file=most) as server:
        for number, address in enumerate(("/path/file", f"{server.raster()}/file")):
            before = stored(anywhere)
            status, answer = server.upload(address, file, name="a.tif", format="tif")
            assert status == 507, answer
            assert str(anywhere) not in answer["message"]
            assert stored(anywhere) == before
            files = json.loads(server.ask("GET", "/account/root/myDrive?type=%5B%22file%22%5D")[1])["result"]
            assert len(files) == number
            # It goes on, and takes what there is room for.
            status, answer = server.upload(address, small, name="b.tif", format="tif")
            assert status == 200, answer
            assert [folder.name.startswith(".new") for folder in stored(anywhere)] == [False] * (number + 1)


@pytest.mark.parametrize("room", [5_000, PIECE - 5_000, PIECE, 2 * PIECE - 100])
def test_a_full_disk_is_told_wherever_in_a_piece_it_fills(tmp_path: Path, room: int) -> None:
    home = Home(tmp_path)
    home.prepare()
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'.encode()
    chunks = [head, *[bytes(PIECE)] * 3]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def run() -> None:
        kind = (b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode())
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [kind]}
        async with received(Request(scope, receive), home, 10**9):
            pytest.fail("it was taken")

    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, former[1]))
    try:
        with pytest.raises(StoreError, match="too large"):
            asyncio.run(run())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert stored(tmp_path) == []
