"""What holds over the wire: clients beside each other, that vanish, that ask again, that poll; and what is logged."""

from __future__ import annotations

import io
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
import requests

from ellipsis_local.computes import lifecycle
from ellipsis_local.server import Server
from tests.client.covers import covers

SECONDS = 60
ONE_PIXEL = {"pathId": "a79e1fe9-5a2d-4382-b762-3bd9a20151f5", "timestampId": "54e9cecc-30b4-4e8b-bba2-06f85b41a764"}


@pytest.fixture
def pixel(el: ModuleType, fixtures: Path) -> dict[str, str]:
    """The layer of one pixel, whose value is 42."""
    el.layers.add(fixtures / "awkward_one_pixel.tif", **ONE_PIXEL)
    return ONE_PIXEL


@pytest.fixture
def target(client: ModuleType, token: str) -> tuple[str, str]:
    """An empty timestamp of the user's own."""
    path = client.path.raster.add("raster", token)["id"]
    return path, client.path.raster.timestamp.add(path, token)["id"]


def wait_for(test: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not test():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def held_in(folder: Path) -> list[str]:
    """All below a folder, of which some may vanish while it is looked at."""
    return sorted(f"{place}/{name}" for place, folders, files in os.walk(folder) for name in (*folders, *files))


def value(params):
    return int(params["54e9cecc-30b4-4e8b-bba2-06f85b41a764"]["raster"].max())


def now(params):
    import time

    return time.time_ns()


# --- two clients -----------------------------------------------------------------------------------------------------


def test_two_clients_work_side_by_side(
    client: ModuleType, pixel: dict[str, str], fixtures: Path, interpreter: str
) -> None:
    def job(name: str) -> list[Any]:
        token = client.account.logIn(name, "a password")
        found: list[Any] = []
        for i in range(2):
            folder = client.path.folder.add(f"folder {i}", token)["id"]
            path = client.path.raster.add("scene", token, parentId=folder)["id"]
            timestamp = client.path.raster.timestamp.add(path, token)["id"]
            client.path.raster.timestamp.file.add(path, timestamp, token, "tif", str(fixtures / "scene_2023.tif"))
            client.path.raster.timestamp.activate(path, timestamp, token)
            compute = client.compute.createCompute([pixel], token, nodes=1, interpreter=interpreter)["id"]
            found += client.compute.execute(compute, value, token)
            found.append(client.path.raster.timestamp.getBounds(path, timestamp, token).is_valid)
            found.append(len(client.compute.listComputes(token)["result"]))
            client.compute.terminateCompute(compute, token)
        listed = client.account.listRoot("myDrive", token)["result"]
        return [*found, sum(path["userId"] is not None for path in listed)]

    with ThreadPoolExecutor(2) as pool:
        jobs = list(pool.map(job, ("first", "second")))
    assert jobs == [[42, True, 1, 42, True, 2, 2]] * 2


# --- clients that vanish ---------------------------------------------------------------------------------------------


def test_a_client_that_vanishes_half_way_in_an_upload_leaves_nothing(
    client: ModuleType, token: str, server: Server, home: Path, target: tuple[str, str]
) -> None:
    layers = home / "layers"

    def held() -> list[str]:
        return held_in(layers)

    before = held()
    address = urlsplit(server.url)
    route = f"{address.path}/path/{target[0]}/raster/timestamp/{target[1]}/file"
    size = 8_000_000
    part = b'--x\r\nContent-Disposition: form-data; name="data"; filename="a.tif"\r\n\r\n' + b"\0" * (size // 2)
    head = (
        f"POST {route} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {size}\r\n\r\n"
    )
    for _ in range(3):
        with socket.create_connection((address.hostname, address.port), timeout=SECONDS) as connection:
            connection.sendall(head.encode() + part)
            wait_for(lambda: held() != before, "nothing of the upload arrived")
        wait_for(lambda: held() == before, f"left behind: {set(held()) - set(before)}")
    assert client.path.raster.timestamp.file.get(*target, token)["result"] == []


class Dying:
    """A file of 8 MB that cannot be read to its end."""

    def __init__(self) -> None:
        self.left = self.len = 8_000_000

    def read(self, size: int) -> bytes:
        if self.left < self.len // 2:
            raise OSError("the disk is gone")
        self.left -= (size := min(size, self.left))
        return b"\0" * size


def test_an_upload_that_breaks_in_the_client_leaves_nothing(
    client: ModuleType, token: str, home: Path, target: tuple[str, str]
) -> None:
    before = held_in(home / "layers")
    with pytest.raises(OSError, match="the disk is gone"):
        client.path.raster.timestamp.file.add(*target, token, "tif", memFile=Dying(), name="a.tif")
    wait_for(lambda: held_in(home / "layers") == before, "left behind")
    assert client.path.raster.timestamp.file.get(*target, token)["result"] == []


def test_a_client_that_vanishes_while_it_waits_leaves_the_execution_to_end(
    client: ModuleType, token: str, pixel: dict[str, str], interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def sleep(seconds: float) -> None:
        raise KilledError

    compute = client.compute.createCompute([pixel], token, nodes=1, interpreter=interpreter)["id"]
    with monkeypatch.context() as patch:
        patch.setattr(client.compute.root.time, "sleep", sleep)
        try:
            client.compute.execute(compute, value, token)
        except KilledError:
            pass
    info = client.compute.root.getComputeInfo
    wait_for(lambda: info(compute, token)["status"] == "completed", "never completed")
    assert [entry["value"] for entry in info(compute, token)["result"]] == [42]
    client.compute.terminateCompute(compute, token)


# --- asking again ----------------------------------------------------------------------------------------------------


def test_a_post_that_is_sent_again_is_done_once(
    client: ModuleType,
    token: str,
    pixel: dict[str, str],
    interpreter: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The client gives up after 20 s, here 0.2, and sends the same once more while the first is at work."""
    asked = threading.Event()
    specify = lifecycle.specify

    def slow(*arguments: Any) -> Any:
        wait_for(lambda: "time out detected" in capsys_text(), "the client did not ask again")
        asked.set()
        return specify(*arguments)

    shown: list[str] = []

    def capsys_text() -> str:
        shown.append(capsys.readouterr().out)
        return "".join(shown)

    monkeypatch.setattr(lifecycle, "specify", slow)
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", SECONDS)
    monkeypatch.setattr(client.apiManager, "TIMEOUTTIME", 0.2)
    monkeypatch.setattr(client.apiManager, "RETRIES", 1000)
    made = client.compute.createCompute([pixel], token, nodes=1, interpreter=interpreter, awaitTillStarted=False)
    assert asked.is_set()
    monkeypatch.setattr(client.apiManager, "TIMEOUTTIME", 20)
    assert [one["id"] for one in client.compute.listComputes(token)["result"]] == [made["id"]]
    wait_for(lambda: client.compute.root.getComputeInfo(made["id"], token)["status"] == "available", "never available")
    client.compute.terminateAll(token)


# --- polling ---------------------------------------------------------------------------------------------------------


def test_former_results_are_never_taken_for_the_new_ones(
    client: ModuleType, token: str, server: Server, pixel: dict[str, str], interpreter: str
) -> None:
    """What is asked for after POST execute was answered is older than no answer of before."""
    compute = client.compute.createCompute([pixel], token, nodes=1, interpreter=interpreter)["id"]
    sent = 0
    over = threading.Event()
    wrong: list[Any] = []
    polls = [0, 0]

    def poll(number: int) -> None:
        with requests.Session() as session:
            while not over.is_set():
                after = sent
                (found,) = session.get(
                    f"{server.url}/compute", params={"token": token}, timeout=SECONDS
                ).json()["result"]  # fmt: skip
                polls[number] += 1
                if found["status"] == "completed" and int(found["result"][0][0]["value"]) < after:
                    wrong.append(found)

    source = (
        "def userFunction(params):\n def now(params):\n   import time\n   return time.time_ns()\n return now(params)"
    )
    threads = [threading.Thread(target=poll, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            began = time.time_ns()
            client.apiManager.post(f"/compute/{compute}/execute", {"file": source}, token)
            sent = began
            wait_for(
                lambda: client.compute.root.getComputeInfo(compute, token)["status"] == "completed", "never completed"
            )
            # And as the client does it, which takes the first answer that says completed.
            began = time.time_ns()
            (found,) = client.compute.execute(compute, now, token)
            assert found > began
            sent = began
            polled = max(polls)
            wait_for(lambda: min(polls) > polled, "nobody polls")  # noqa: B023 - called at once
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    client.compute.terminateCompute(compute, token)


# --- what is logged --------------------------------------------------------------------------------------------------


@covers("path.get", "path.search")
def test_tokens_and_passwords_are_in_no_log_and_no_file(
    client: ModuleType, home: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    # The client's own libraries log what they ask.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    password = "correct horse battery staple"
    token = client.account.logIn("demo_user", password)
    path = client.path.raster.add("raster", token, publicAccess={"accessLevel": 100})["id"]
    key = client.account.accessToken.create("key", [{"pathId": path, "access": {"accessLevel": 100}}], token)["token"]
    client.path.get(path, token)
    client.path.search(text="raster", token=key)
    for call in (
        lambda: client.path.get(path, token + "wrong"),
        lambda: client.path.rename(path, "x", key),
        lambda: client.account.logIn("demo_user", password + "wrong"),
        lambda: client.apiManager.get("/path/no uuid", {}, token),
        lambda: client.apiManager.get("/nothing/here", {}, token),
    ):
        with pytest.raises(ValueError, match='"message"'):
            call()
    logged = caplog.text + "".join(capfd.readouterr())
    assert f"GET /v3/path/{path} 200" in logged and "POST /v3/account/login" in logged
    written = b"".join(
        file.read_bytes() for file in home.rglob("*") if file.is_file() and "environments" not in file.parts
    )
    for secret in (token, key, password):
        assert secret not in logged
        assert secret.encode() not in written


# --- TLS -------------------------------------------------------------------------------------------------------------


def test_the_client_speaks_tls(
    client: ModuleType, el: ModuleType, fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key, trusted = (tmp_path / name for name in ("certificate.pem", "key.pem", "authority.pem"))
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(trusted))
    with el.serve(certificate=certificate, key=key) as server:
        assert server.url.startswith("https://127.0.0.1:")
        monkeypatch.setattr(client.apiManager, "baseUrl", server.url)
        # Nobody vouches for it yet.
        with pytest.raises(ValueError, match="Could not reach server"):
            client.account.logIn("demo_user", "demo_user")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        token = client.account.logIn("demo_user", "demo_user")
        path = client.path.raster.add("scene", token)["id"]
        timestamp = client.path.raster.timestamp.add(path, token)["id"]
        added = client.path.raster.timestamp.file.add(path, timestamp, token, "tif", str(fixtures / "scene_2023.tif"))
        client.path.raster.timestamp.file.download(path, timestamp, added["id"], str(tmp_path / "back.tif"), token)
        with rasterio.open(tmp_path / "back.tif") as back, rasterio.open(fixtures / "scene_2023.tif") as file:
            assert np.array_equal(back.read(), file.read())
        # Without TLS there is no answer, and no code of ours sees the request.
        with pytest.raises((requests.ConnectionError, io.UnsupportedOperation)):
            requests.get(server.url.replace("https", "http") + "/account", timeout=SECONDS)
