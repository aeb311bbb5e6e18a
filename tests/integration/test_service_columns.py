"""Texts that are longer than the service's columns: warned of, or with strict refused, in process and over HTTP alike."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import requests

from ellipsis_local import serve
from ellipsis_local.account import logIn
from ellipsis_local.emulator import Emulator, current_emulator
from ellipsis_local.errors import FidelityError, FidelityWarning
from ellipsis_local.service_columns import LENGTHS, cut_to

from .serving import geotiff

Ids = Mapping[str, str]
GEOJSON = b'{"type": "FeatureCollection", "features": []}'


class Case(NamedTuple):
    """One column: what writes to it in this process, and the request that does."""

    here: Callable[[Emulator, Ids, str], object]
    method: str
    path: str
    body: Callable[[str], dict[str, Any]]
    upload: bytes | None = None


def compute(ids: Ids, **changes: Any) -> dict[str, Any]:
    layer = {"pathId": ids["raster"], "timestampId": ids["time"]}
    return {"layers": [layer], "nodes": 1, "requirements": ""} | changes


def make(emulator: Emulator, ids: Ids, text: str) -> object:
    from ellipsis_local.computes.parse_arguments import compute_request

    request = compute_request(compute(ids)["layers"], None, 1, "python3.12", text.split("\n"), False, False)
    return emulator.create_compute(request, emulator.user(ids["token"]), wait=True)


CASES = {
    "the name of a path": Case(
        lambda e, ids, text: e.drive(e.user(ids["token"])).add("folder", text),
        "POST", "/path/folder", lambda text: {"name": text},
    ),
    "the description of a path": Case(
        lambda e, ids, text: e.drive(e.user(ids["token"])).set_metadata(ids["raster"], {"description": text}),
        "PATCH", "/path/{raster}/metadata", lambda text: {"description": text},
    ),
    "the description of a timestamp": Case(
        lambda e, ids, text: e.store.add_timestamp(ids["raster"], description=text),
        "PATCH", "/path/{raster}/raster/timestamp/{time}", lambda text: {"description": text},
    ),
    "the name of a raster file": Case(
        lambda e, ids, text: e.store.add_file(ids["raster"], ids["time"], io.BytesIO(geotiff()), name=text),
        "POST", "/path/{raster}/raster/timestamp/{time}/file",
        lambda text: {"name": text, "format": "tif", "debug": "true"}, geotiff(),
    ),
    "the name of a vector file": Case(
        lambda e, ids, text: e.store.add_file(ids["vector"], ids["moment"], io.BytesIO(GEOJSON), name=text),
        "POST", "/path/{vector}/vector/timestamp/{moment}/file",
        lambda text: {"name": text, "format": "geojson", "debug": "true"}, GEOJSON,
    ),
    "the name of a band": Case(
        lambda e, ids, text: e.drive(e.user(ids["token"])).name_band(ids["raster"], 1, text),
        "PUT", "/path/{raster}/raster/band/1/name", lambda text: {"name": text},
    ),
    "the name of a property": Case(
        lambda e, ids, text: e.features.add_property(ids["vector"], text, "string"),
        "POST", "/path/{vector}/vector/property", lambda text: {"name": text, "type": "string"},
    ),
    "a hashtag": Case(
        lambda e, ids, text: e.sharing.add_hashtag(ids["raster"], text),
        "POST", "/path/{raster}/hashtag", lambda text: {"hashtag": text},
    ),
    "the description of an access token": Case(
        lambda e, ids, text: e.accounts.add_access_token(e.user(ids["token"]).id, text, []),
        "POST", "/account/security/accessToken", lambda text: {"description": text, "accessList": []},
    ),
    "an e-mail address": Case(
        lambda e, ids, text: (
            e.accounts.log_in(text, "password"),
            e.sharing.invites.send(ids["raster"], e.user(ids["token"]), {"accessLevel": 100}, email=text),
        ),
        "POST", "/path/{raster}/invite", lambda text: {"email": text, "access": {"accessLevel": 100}},
    ),
    "the requirements of a compute, all lines together": Case(
        make, "POST", "/compute", lambda text: {"requirements": text},
    ),
}  # fmt: skip


def test_every_column_that_a_text_can_be_too_long_for_has_a_case() -> None:
    # No interpreter has a name of that length; messages are cut.
    left = {column for column in set(LENGTHS) - set(CASES) if "message" not in column}
    assert left == {"the interpreter of a compute"}


@pytest.fixture
def ids(el: ModuleType, token: str) -> dict[str, str]:
    store, owner = current_emulator().store, current_emulator().user(token).id
    raster, vector = (store.add_layer_path(kind, kind, owner=owner) for kind in ("raster", "vector"))
    time, moment = store.add_timestamp(raster), store.add_timestamp(vector)
    store.add_file(raster, time, io.BytesIO(geotiff()), name="a.tif")
    return {"raster": raster, "vector": vector, "time": time, "moment": moment, "token": token}


def text_of(column: str, length: int) -> str:
    if column.startswith("the requirements"):
        # No such package: what asks for it is refused before, or only later.
        line = "no-such-package-of-any-index==1.0"
        lines = [line.replace("1.0", f"1.{n}") for n in range(10, 100)]
        return "\n".join(lines)[: length - 1] + "0"
    return ("x" * (length - 4) + ".tif") if "raster file" in column else "x" * length


def ask(url: str, case: Case, ids: Ids, text: str) -> requests.Response:
    body = case.body(text) if case.path != "/compute" else compute(ids, **case.body(text))
    how: dict[str, Any] = {"json": body}
    if case.upload is not None:
        how = {"data": body, "files": {"data": (text[-40:], case.upload)}}
    head = {"Authorization": f"Bearer {ids['token']}"}
    return requests.request(case.method, url + case.path.format(**ids), headers=head, timeout=20, **how)


def test_with_strict_both_faces_refuse_in_the_same_words(el: ModuleType, home: Path, ids: dict[str, str]) -> None:
    el.configure(home=home, progress=False, cores=2, strict=True)
    emulator = current_emulator()
    with serve() as server:
        for column, case in CASES.items():
            text = text_of(column, LENGTHS[column] + 1)
            with pytest.raises(FidelityError, match=f"column for {column} holds {LENGTHS[column]:,}: shorten") as told:
                case.here(emulator, ids, text)
            answer = ask(server.url, case, ids, text)
            assert (answer.status_code, json.loads(answer.text)["message"]) == (400, str(told.value)), column
    assert emulator.computes.records.page(None, None)[0] == []


def test_without_strict_it_is_told_and_done(el: ModuleType, ids: dict[str, str]) -> None:
    emulator = current_emulator()
    with serve() as server:
        for column, case in CASES.items():
            if case.path == "/compute":
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("error", FidelityWarning)
                case.here(emulator, ids, text_of(column, LENGTHS[column]))
            with pytest.warns(FidelityWarning, match=f"has {LENGTHS[column] + 1:,} characters.*column for {column}"):
                case.here(emulator, ids, text_of(column, LENGTHS[column] + 1))
            # Its log is told, since no answer can be.
            with pytest.warns(FidelityWarning, match=f"column for {column}"):
                answer = ask(server.url, case, ids, text_of(column, LENGTHS[column] + 1))
            assert answer.status_code == 200, answer.text


def test_a_message_is_cut_in_what_clients_get_and_kept_whole(el: ModuleType, ids: dict[str, str]) -> None:
    from ellipsis_local.computes.parse_arguments import compute_request
    from ellipsis_local.computes.specification import provisional

    emulator = current_emulator()
    records, owner = emulator.computes.records, emulator.user(ids["token"]).id
    request = compute_request(compute(ids)["layers"], None, 1, "python3.12", [], False, False)
    compute_id = records.create(owner, provisional(request, emulator.settings))
    records.change(compute_id, {"queued"}, "errored", "pip says: " + "no " * 400)
    told = el.compute.getComputeInfo(compute_id, ids["token"])["message"]
    assert len(told) == LENGTHS["the message of a compute"]
    assert told.startswith("pip says: no no")
    assert told.endswith(f"[1,210 characters, cut at 512; all of it: ellipsis-local computes show {compute_id} --json]")
    assert len(records.get(compute_id).message) == 1210
    assert cut_to("the message of a compute", "x" * 512, "") == "x" * 512
    with serve() as server:
        listed = requests.get(f"{server.url}/compute", headers={"Authorization": f"Bearer {ids['token']}"}, timeout=20)
        assert [one["message"] for one in listed.json()["result"]] == [told]


def test_a_plan_has_no_nodes_unless_it_is_stated(el: ModuleType, home: Path, ids: dict[str, str]) -> None:
    def most(**settings: Any) -> int:
        el.configure(**({"home": home, "progress": False} | settings))
        return el.account.getInfo(logIn("demo_user", "demo_user"))["plan"]["maxComputeNodes"]

    assert most() == 64
    assert most(strict=True) == 64
    assert most(strict="service") == 0
    layers = compute(ids)["layers"]
    with pytest.raises(ValueError, match="You have no compute nodes in your plan"):
        el.compute.createCompute(layers, ids["token"])
    # What is asked for is bounded by max_nodes, as ever.
    with pytest.raises(ValueError, match="nodes must be at most 64"):
        el.compute.createCompute(layers, ids["token"], nodes=65)
    assert most(strict="service", max_nodes=64) == 64
