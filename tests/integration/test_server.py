"""The server as its users see it: started, found, asked twice, ended."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas
import pytest
import requests

from ellipsis_local.errors import ArgumentError
from ellipsis_local.server import Server

from .conftest import INTERPRETER

FUNCTION = "def userFunction(params):\n def f(params):\n      return 1\n\n return f(params)"


def log_in(server: Server, name: str = "demo_user") -> dict[str, str]:
    answer = requests.post(f"{server.url}/account/login", json={"username": name, "password": "secret"}, timeout=20)
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def compute_body(raster: dict[str, str], **changes: Any) -> dict[str, Any]:
    body = {
        "layers": [raster], "files": None, "interpreter": INTERPRETER, "nodes": 2, "requirements": "",
        "largeResult": False, "enableGpu": False,
    }  # fmt: skip
    return body | changes


def wait_until(server: Server, head: dict[str, str], compute_id: str, *statuses: str) -> dict[str, Any]:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        listed = requests.get(f"{server.url}/compute", headers=head, timeout=20).json()["result"]
        found = next(one for one in listed if one["id"] == compute_id)
        if found["status"] in statuses:
            return found
        assert found["status"] != "errored", found["message"]
        time.sleep(0.02)
    pytest.fail(f"still {found['status']}")


def test_it_answers_when_serve_returns_and_is_gone_after_the_block(el: ModuleType) -> None:
    with el.serve() as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.url.endswith("/v3")
        assert requests.get(f"{server.url}/account", timeout=20).status_code == 401
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/account", timeout=20)
    assert not [thread for thread in threading.enumerate() if thread.name == "ellipsis_local-server"]
    with socket.create_server(("127.0.0.1", server.port)):
        pass


def test_a_taken_port_is_an_error(el: ModuleType, server: Server) -> None:
    with pytest.raises(ArgumentError, match=f"cannot listen on 127.0.0.1:{server.port}"):
        el.serve(port=server.port)


def test_two_servers_on_one_home(el: ModuleType, server: Server) -> None:
    head = log_in(server)
    with el.serve() as other:
        made = requests.post(f"{server.url}/path/folder", json={"name": "a"}, headers=head, timeout=20).json()["id"]
        assert requests.get(f"{other.url}/path/{made}", headers=head, timeout=20).json()["name"] == "a"


def test_stop_may_be_called_again(el: ModuleType) -> None:
    server = el.serve()
    server.stop()
    server.stop()


def test_the_openapi_document(server: Server) -> None:
    document = requests.get(server.url.replace("/v3", "/openapi.json"), timeout=20).json()
    assert {"/v3/compute", "/v3/path/{pathId}", "/v3/account/login"} <= set(document["paths"])
    assert document["components"]["securitySchemes"]
    assert "409" in document["paths"]["/v3/compute/{computeId}/execute"]["post"]["responses"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/path/1791d90c-86ee-417e-aa04-0e22447f6fd9/bookmark"),
        ("POST", "/path/1791d90c-86ee-417e-aa04-0e22447f6fd9/raster/style"),
        ("POST", "/path/pointCloud"),
        ("DELETE", "/account"),
        ("GET", "/path/raster/timestamp/order"),
        ("GET", "/made/up"),
    ],
)
def test_what_is_not_emulated_says_so(server: Server, method: str, path: str) -> None:
    answer = requests.request(method, server.url + path, headers=log_in(server), timeout=20)
    assert answer.status_code == 501
    assert answer.json()["message"] == f"{method} /v3{path} is not emulated by ellipsis_local"


def test_outside_of_the_api_is_nothing(server: Server) -> None:
    assert requests.get(server.url.replace("/v3", "/etc/passwd"), timeout=20).status_code == 404


# ----- repeats -------------------------------------------------------------------------------------------------------


class Slow:
    """Stands before a method of the emulator: holds the first call until it is released, and counts."""

    def __init__(self, work: Any) -> None:
        self.work = work
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        self.times = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.times += 1
        self.entered.release()
        assert self.released.wait(60)
        return self.work(*args, **kwargs)


def test_a_compute_that_is_asked_for_twice_is_made_once(
    server: Server, raster: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(server.emulator.create_compute)
    monkeypatch.setattr(server.emulator, "create_compute", slow)
    head, body = log_in(server), compute_body(raster)
    with pytest.raises(requests.Timeout):
        requests.post(f"{server.url}/compute", json=body, headers=head, timeout=2)
    assert slow.entered.acquire(timeout=60)
    with ThreadPoolExecutor(2) as pool:
        # A resend, and one more while both connections are open.
        again = [pool.submit(requests.post, f"{server.url}/compute", json=body, headers=head, timeout=60) for _ in "ab"]
        other = requests.post(f"{server.url}/path/folder", json={"name": "meanwhile"}, headers=head, timeout=20)
        assert other.status_code == 200
        slow.released.set()
        ids = {answer.result().json()["id"] for answer in again}
    assert len(ids) == 1
    assert slow.times == 1
    wait_until(server, head, ids.pop(), "available")
    assert len(requests.get(f"{server.url}/compute", headers=head, timeout=20).json()["result"]) == 1
    new = requests.post(f"{server.url}/compute", json=body, headers=head, timeout=20).json()["id"]
    wait_until(server, head, new, "available")
    assert slow.times == 2


def test_an_answer_that_nobody_read_is_the_resend_s(
    server: Server, raster: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(server.emulator.create_compute)
    monkeypatch.setattr(server.emulator, "create_compute", slow)
    head, body = log_in(server), compute_body(raster)
    with pytest.raises(requests.Timeout):
        requests.post(f"{server.url}/compute", json=body, headers=head, timeout=2)
    slow.released.set()
    end = time.monotonic() + 60
    while not (made := requests.get(f"{server.url}/compute", headers=head, timeout=20).json()["result"]):
        assert time.monotonic() < end
        time.sleep(0.02)
    again = requests.post(f"{server.url}/compute", json=body, headers=head, timeout=20)
    assert again.json()["id"] == made[0]["id"]
    assert slow.times == 1
    wait_until(server, head, made[0]["id"], "available")


def test_two_users_who_ask_for_the_same_get_their_own(server: Server, raster: dict[str, str]) -> None:
    heads = [log_in(server, "anna"), log_in(server, "ben")]
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(
            lambda head: requests.post(f"{server.url}/compute", json=compute_body(raster), headers=head, timeout=60),
            heads,
        )
        ids = [answer.json()["id"] for answer in answers]
    assert len(set(ids)) == 2
    for head, made in zip(heads, ids, strict=True):
        wait_until(server, head, made, "available")
        assert [
            one["id"] for one in requests.get(f"{server.url}/compute", headers=head, timeout=20).json()["result"]
        ] == [made]


def test_no_former_result_is_ever_shown(server: Server, raster: dict[str, str]) -> None:
    head = log_in(server)
    made = requests.post(f"{server.url}/compute", json=compute_body(raster), headers=head, timeout=20).json()["id"]
    wait_until(server, head, made, "available")
    for number in range(8):
        text = FUNCTION.replace("return 1", f"return {number}")
        done = requests.post(f"{server.url}/compute/{made}/execute", json={"file": text}, headers=head, timeout=20)
        assert done.status_code == 200
        found = wait_until(server, head, made, "completed")
        assert found["result"] == [[{"type": "object", "value": str(number)}]] * 2
    requests.post(f"{server.url}/compute/{made}/terminate", json={}, headers=head, timeout=20)
    wait_until(server, head, made, "stopped")


def test_a_compute_of_a_layer_that_one_may_not_view(el: ModuleType, server: Server) -> None:
    anna, ben = log_in(server, "anna"), log_in(server, "ben")
    layer = requests.post(f"{server.url}/path/raster", json={"name": "mine"}, headers=anna, timeout=20).json()["id"]
    when = requests.post(f"{server.url}/path/{layer}/raster/timestamp", json={}, headers=anna, timeout=20).json()["id"]
    body = compute_body({"pathId": layer, "timestampId": when})
    assert requests.post(f"{server.url}/compute", json=body, headers=ben, timeout=20).status_code == 403
    assert requests.post(f"{server.url}/compute", json=body, headers=anna, timeout=20).status_code == 400  # no files
    assert el.compute.listComputes(ben["Authorization"])["result"] == []


def test_it_serves_what_the_home_gets_meanwhile(el: ModuleType, server: Server, raster: dict[str, str]) -> None:
    head = log_in(server)
    found = requests.get(f"{server.url}/path/{raster['pathId']}", headers=head, timeout=20).json()
    assert [band["name"] for band in found["raster"]["bands"]] == ["band 1", "band 2", "mask"]
    el.layers.remove(raster["pathId"])
    assert requests.get(f"{server.url}/path/{raster['pathId']}", headers=head, timeout=20).status_code == 404


def test_a_shapefile_with_its_parts_is_downloaded_as_a_zip(el: ModuleType, server: Server, tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"n": [1, 2]}, geometry=geopandas.points_from_xy([5, 6], [52, 53]), crs=4326)
    frame.to_file(tmp_path / "points.shp")
    layer = el.layers.add(tmp_path / "points.shp")
    head = log_in(server)
    base = f"{server.url}/path/{layer['pathId']}/vector/timestamp/{layer['timestampId']}"
    (file,) = requests.get(f"{base}/upload", headers=head, timeout=20).json()["result"]
    assert file["info"]["size"] is None
    (tmp_path / "got.zip").write_bytes(requests.get(f"{base}/file/{file['id']}/data", headers=head, timeout=20).content)
    assert geopandas.read_file(f"/vsizip/{tmp_path / 'got.zip'}")["n"].tolist() == [1, 2]
    assert not [one for one in (server.emulator.home.layers).iterdir() if one.is_file()]


# ----- a client that others generate ---------------------------------------------------------------------------------

MAIN_JOB = """
import json, sys, time

from local_client import AuthenticatedClient, Client
from local_client.api.account import account_log_in
from local_client.api.compute import compute_create_compute, compute_execute, compute_list_computes, compute_terminate_compute
from local_client.models import Error, Layer, LogIn, NewCompute, NewExecution

root, layer, interpreter, function = json.loads(sys.argv[1])
token = account_log_in.sync(client=Client(root), body=LogIn("demo_user", "secret")).token
client = AuthenticatedClient(root, token)
body = NewCompute([Layer.from_dict(layer)], nodes=2, interpreter=interpreter)
made = compute_create_compute.sync(client=client, body=body)

def wait_for(status):
    while True:
        (found,) = (one for one in compute_list_computes.sync(client=client).result if one.id == made.id)
        if found.status == status:
            return found
        assert found.status != "errored", found.message
        time.sleep(0.05)

wait_for("available")
compute_execute.sync(made.id, client=client, body=NewExecution(function))
print(json.dumps([[entry.to_dict() for entry in node] for node in wait_for("completed").result]))
compute_terminate_compute.sync(made.id, client=client)
wait_for("stopped")
refused = compute_execute.sync(made.id, client=client, body=NewExecution(function))
assert isinstance(refused, Error) and "has been terminated" in refused.message, refused
"""


@pytest.mark.slow
def test_a_client_generated_from_the_description_does_the_main_job(
    server: Server, raster: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("openapi_python_client")
    root = server.url.removesuffix("/v3")
    (tmp_path / "openapi.json").write_bytes(requests.get(f"{root}/openapi.json", timeout=20).content)
    # What formats the generated code is not needed to run it.
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    generate = ["-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120}
    made = subprocess.run(
        [sys.executable, *generate, "--output-path", "local_client", "--config", "config.yml"], **options
    )
    assert made.returncode == 0, made.stdout + made.stderr
    # Pictures are what it does not know.
    assert "Error" not in made.stdout and made.stdout.count("Cannot parse") == made.stdout.count("image/tiff, ")
    assert len(list((tmp_path / "local_client" / "models").glob("*.py"))) < 150
    given = json.dumps([root, raster, INTERPRETER, FUNCTION])
    ran = subprocess.run([sys.executable, "-c", MAIN_JOB, given], **options)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [[{"type": "object", "value": "1"}]] * 2
