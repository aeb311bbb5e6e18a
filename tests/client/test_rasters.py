"""The client's `path.raster` but for the pixels: bands, timestamps, files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rasterio
import requests

from ellipsis_local.store.sandbox import Inspectors
from tests.client.covers import covers

FIRST = {"from": datetime(2024, 5, 1, 10, 30), "to": datetime(2024, 5, 2)}
SECOND = {"from": datetime(2020, 1, 1), "to": datetime(2020, 1, 1)}

Status = Callable[[str], dict[str, Any]]


@pytest.fixture
def path(client: ModuleType, token: str) -> str:
    return client.path.raster.add("raster", token)["id"]


@pytest.fixture
def timestamp(client: ModuleType, token: str, path: str, fixtures: Path) -> str:
    """An active timestamp with the western half of the photograph."""
    made = client.path.raster.timestamp.add(path, token, description="flight", date=FIRST)["id"]
    client.path.raster.timestamp.file.add(path, made, token, "tif", str(fixtures / "ortho_west.tif"))
    client.path.raster.timestamp.activate(path, made, token)
    return made


@pytest.fixture
def told(client: ModuleType, token: str, path: str) -> Status:
    """What `path.get` tells of a timestamp."""

    def find(timestamp_id: str) -> dict[str, Any]:
        listed = client.path.get(path, token)["raster"]["timestamps"]
        return next(one for one in listed if one["id"] == timestamp_id)

    return find


@covers("path.raster.edit", "path.raster.editBand")
def test_bands_have_names_and_options_are_kept(client: ModuleType, token: str, path: str, timestamp: str) -> None:
    client.path.raster.editBand(path, 2, "green light", token)
    client.path.raster.edit(path, token, interpolation="linear", includesTransparent=True, compressionQuality=80)
    raster = client.path.get(path, token)["raster"]
    assert [band["number"] for band in raster["bands"]] == [1, 2, 3, 4]
    assert (raster["bands"][1]["name"], raster["bands"][3]["name"]) == ("green light", "mask")
    assert (raster["format"], raster["interpolation"], raster["compressionQuality"]) == ("uint8", "linear", 80)
    for number in (4, 0):
        with pytest.raises(ValueError, match="bandNumber"):
            client.path.raster.editBand(path, number, "none", token)


@covers("path.raster.timestamp.add", "path.raster.timestamp.edit")
def test_timestamps_have_dates_and_descriptions(client: ModuleType, token: str, path: str, told: Status) -> None:
    one = client.path.raster.timestamp.add(path, token, description="flight", date=FIRST)["id"]
    two = client.path.raster.timestamp.add(path, token, date=SECOND)["id"]
    assert [found["id"] for found in client.path.get(path, token)["raster"]["timestamps"]] == [one, two]
    assert (told(one)["date"], told(one)["description"], told(one)["zoom"]) == (FIRST, "flight", None)
    client.path.raster.timestamp.edit(path, one, token, description="another flight")
    assert (told(one)["date"], told(one)["description"]) == (FIRST, "another flight")
    client.path.raster.timestamp.edit(path, one, token, date=SECOND)
    assert (told(one)["date"], told(one)["description"]) == (SECOND, "another flight")
    with pytest.raises(ValueError, match="date"):
        client.path.raster.timestamp.edit(path, one, token, date={"from": FIRST["to"], "to": FIRST["from"]})
    assert told(one)["date"] == SECOND


@covers(
    "path.raster.timestamp.activate", "path.raster.timestamp.deactivate", "path.raster.timestamp.trash",
    "path.raster.timestamp.recover", "path.raster.timestamp.delete", "path.raster.timestamp.getBounds",
)  # fmt: skip
def test_a_timestamp_is_used_while_it_is_active(
    client: ModuleType, token: str, path: str, timestamp: str, told: Status, fixtures: Path
) -> None:
    timestamps = client.path.raster.timestamp
    with rasterio.open(fixtures / "ortho_west.tif") as file:
        box = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    assert timestamps.getBounds(path, timestamp, token).bounds == pytest.approx(box, abs=1e-9)
    assert told(timestamp)["status"] == "active" and told(timestamp)["zoom"] == 16
    place = [[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]]
    assert len(timestamps.getLocationInfo(path, timestamp, place, token=token)[0]) == 3
    timestamps.deactivate(path, timestamp, token)
    assert told(timestamp)["status"] == "passive"
    with pytest.raises(ValueError, match="activate it before making queries"):
        timestamps.getLocationInfo(path, timestamp, place, token=token)
    timestamps.activate(path, timestamp, token)
    timestamps.trash(path, timestamp, token)
    assert client.path.get(path, token)["raster"]["timestamps"] == []
    with pytest.raises(ValueError, match="is in the trash: recover it"):
        timestamps.getLocationInfo(path, timestamp, place, token=token)
    timestamps.recover(path, timestamp, token)
    assert len(timestamps.getLocationInfo(path, timestamp, place, token=token)[0]) == 3
    timestamps.delete(path, timestamp, token)
    assert client.path.get(path, token)["raster"]["timestamps"] == []
    empty = timestamps.add(path, token)["id"]
    with pytest.raises(ValueError, match="has no files and cannot be activated"):
        timestamps.activate(path, empty, token)


@covers("path.raster.timestamp.file.add", "path.raster.timestamp.file.get", "path.raster.timestamp.file.download")
def test_files_come_back_as_they_went(
    client: ModuleType, token: str, other: str, path: str, timestamp: str, fixtures: Path, tmp_path: Path
) -> None:
    files = client.path.raster.timestamp.file
    east = (fixtures / "ortho_east.tif").read_bytes()
    memory = BytesIO(east)
    memory.seek(0, 2)
    added = files.add(
        path,
        timestamp,
        token,
        "tif",
        memFile=memory,
        name="east.tif",
        epsg=3857,
        noDataValue=0,
        mosaicPriority="newest",
    )["id"]
    first, second = files.get(path, timestamp, token)["result"]
    assert (first["name"], second["name"], second["id"], second["trashed"]) == (
        "ortho_west.tif",
        "east.tif",
        added,
        False,
    )
    assert (second["info"]["size"], second["info"]["format"], second["info"]["noDataValue"]) == (len(east), "tif", 0)
    with rasterio.open(fixtures / "ortho_east.tif") as file:
        box = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    assert second["info"]["bounds"].bounds == pytest.approx(box, abs=1e-9)
    files.download(path, timestamp, added, str(tmp_path / "back.tif"), token)
    assert (tmp_path / "back.tif").read_bytes() == east
    client.path.editPublicAccess(path, token, access={"accessLevel": 100})
    with pytest.raises(requests.HTTPError, match="403"):
        files.download(path, timestamp, added, str(tmp_path / "stolen.tif"), other)
    assert not (tmp_path / "stolen.tif").exists()
    with pytest.raises(ValueError, match="insufficient access"):
        files.add(path, timestamp, other, "tif", str(fixtures / "ortho_east.tif"))


@covers(
    "path.raster.timestamp.file.trash", "path.raster.timestamp.file.recover", "path.raster.timestamp.file.delete"
)  # fmt: skip
def test_a_file_that_is_trashed_is_not_seen(
    client: ModuleType, token: str, path: str, timestamp: str, told: Status, fixtures: Path, home: Path
) -> None:
    files, bounds = client.path.raster.timestamp.file, client.path.raster.timestamp.getBounds
    west = bounds(path, timestamp, token)
    added = files.add(path, timestamp, token, "tif", str(fixtures / "ortho_east.tif"))["id"]
    both = bounds(path, timestamp, token)
    assert both.area == pytest.approx(2 * west.area, rel=0.01)
    files.trash(path, timestamp, added, token)
    assert [file["trashed"] for file in files.get(path, timestamp, token)["result"]] == [False, True]
    assert bounds(path, timestamp, token).equals(west) and told(timestamp)["files"] == 1
    files.recover(path, timestamp, added, token)
    assert bounds(path, timestamp, token).equals(both)
    files.delete(path, timestamp, added, token)
    assert [file["name"] for file in files.get(path, timestamp, token)["result"]] == ["ortho_west.tif"]
    assert not (home / "layers" / added).exists()
    with pytest.raises(ValueError, match=added):
        files.delete(path, timestamp, added, token)


def test_bad_arguments_are_refused_and_leave_nothing(
    client: ModuleType, token: str, path: str, timestamp: str, fixtures: Path
) -> None:
    files, good = client.path.raster.timestamp.file, str(fixtures / "ortho_west.tif")
    for arguments, text in (
        ({"fileFormat": "docx"}, "fileFormat must be one of"),
        ({"epsg": 123456}, "123456"),
        ({"mosaicPriority": "latest"}, "mosaicPriority must be one of"),
    ):
        with pytest.raises(ValueError, match=text):
            files.add(path, timestamp, token, **({"fileFormat": "tif", "filePath": good} | arguments))
    assert len(files.get(path, timestamp, token)["result"]) == 1


def test_a_broken_file_is_errored_and_no_data(
    client: ModuleType, token: str, path: str, timestamp: str, told: Status, fixtures: Path, home: Path, tmp_path: Path
) -> None:
    files = client.path.raster.timestamp.file
    before = sorted((home / "layers").iterdir())
    area = client.path.raster.timestamp.getBounds(path, timestamp, token)
    good = (fixtures / "ortho_west.tif").read_bytes()
    texts = {
        files.add(path, timestamp, token, "tif", memFile=BytesIO(content), name="x.tif")["id"]: text
        for content, text in (
            (b"", "is empty"),
            (b"no raster at all", ""),
            (good[: len(good) // 2], ""),
            ((fixtures / "buildings.gpkg").read_bytes(), "vector"),
            ((fixtures / "scene_2023.tif").read_bytes(), "4 bands"),
        )
    }
    whole, *broken = files.get(path, timestamp, token)["result"]
    assert (whole["status"], whole["message"]) == ("completed", None)
    assert [(one["id"], one["status"], one["info"]["bounds"]) for one in broken] == [
        (i, "errored", None) for i in texts
    ]
    assert all(one["message"].startswith("x.tif") and texts[one["id"]] in one["message"] for one in broken)
    assert told(timestamp)["uploads"] == {"completed": 1, "errored": 5, "pending": 0}
    assert sorted((home / "layers").iterdir()) == before
    assert client.path.raster.timestamp.getBounds(path, timestamp, token).equals(area)
    first, second, *_ = texts
    with pytest.raises(requests.HTTPError, match="400"):
        files.download(path, timestamp, first, str(tmp_path / "x.tif"), token)
    files.trash(path, timestamp, first, token)
    assert told(timestamp)["uploads"]["errored"] == 4
    files.recover(path, timestamp, first, token)
    files.delete(path, timestamp, second, token)
    assert [one["id"] for one in files.get(path, timestamp, token)["result"]] == [
        whole["id"],
        *(i for i in texts if i != second),
    ]
    assert told(timestamp)["status"] == "active" and told(timestamp)["files"] == 1
    only = client.path.raster.timestamp.add(path, token)["id"]
    files.add(path, only, token, "tif", memFile=BytesIO(b"x"), name="x.tif")
    with pytest.raises(ValueError, match="has no files and cannot be activated"):
        client.path.raster.timestamp.activate(path, only, token)


def test_an_upload_is_pending_while_it_is_looked_at(
    client: ModuleType, token: str, path: str, told: Status, fixtures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timestamp = client.path.raster.timestamp.add(path, token)["id"]
    files, looked, go = client.path.raster.timestamp.file, threading.Event(), threading.Event()
    look = Inspectors.look

    def slowly(*arguments: Any) -> Any:
        looked.set()
        assert go.wait(60)
        return look(*arguments)

    monkeypatch.setattr(Inspectors, "look", slowly)
    with ThreadPoolExecutor() as threads:
        adding = threads.submit(files.add, path, timestamp, token, "tif", str(fixtures / "ortho_west.tif"))
        try:
            assert looked.wait(60)
            (file,) = files.get(path, timestamp, token)["result"]
            assert (file["name"], file["status"], file["info"]["bounds"]) == ("ortho_west.tif", "pending", None)
            assert told(timestamp)["uploads"] == {"completed": 0, "errored": 0, "pending": 1}
            with pytest.raises(ValueError, match="has no files"):
                client.path.raster.timestamp.activate(path, timestamp, token)
        finally:
            go.set()
        assert adding.result(60) == {"id": file["id"]}
    (file,) = files.get(path, timestamp, token)["result"]
    assert file["status"] == "completed" and file["info"]["bounds"].area > 0


def test_what_map_clients_read_of_a_raster(
    client: ModuleType, token: str, path: str, timestamp: str, told: Status
) -> None:
    found = told(timestamp)
    assert (found["availability"], found["trashed"]) == ({"blocked": False, "reason": None}, False)
    bounds = client.path.raster.timestamp.getBounds(path, timestamp, token).bounds
    assert [found["extent"][side] for side in ("xMin", "yMin", "xMax", "yMax")] == pytest.approx(bounds)
    (file,) = client.path.raster.timestamp.file.get(path, timestamp, token)["result"]
    assert found["totalSize"] * 2**30 == pytest.approx(file["info"]["size"])
    client.path.raster.timestamp.deactivate(path, timestamp, token)
    assert told(timestamp)["availability"] == {"blocked": True, "reason": "paused"}
    answer, me = client.path.get(path, token), client.account.getInfo(token)
    assert answer["user"] == {"id": me["id"], "username": "demo_user", "disabled": False}
    assert [style["default"] for style in answer["raster"]["styles"]] == [True]
    empty = told(client.path.raster.timestamp.add(path, token)["id"])
    assert (empty["extent"], empty["totalSize"], empty["availability"]["blocked"]) == (None, 0, True)
