"""The client's `path.raster` but for the pixels: bands, timestamps, files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rasterio
import requests

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


def test_bad_files_are_refused_and_leave_nothing(
    client: ModuleType, token: str, path: str, timestamp: str, told: Status, fixtures: Path, home: Path
) -> None:
    add = client.path.raster.timestamp.file.add
    before = sorted((home / "layers").iterdir())
    good = (fixtures / "ortho_west.tif").read_bytes()
    for content, arguments, text in (
        (b"", {}, "is empty"),
        (b"no raster at all", {}, ""),
        (good[: len(good) // 2], {}, ""),
        ((fixtures / "buildings.gpkg").read_bytes(), {}, "vector"),
        (good, {"fileFormat": "docx"}, "fileFormat must be one of"),
        (good, {"epsg": 123456}, "123456"),
        (good, {"mosaicPriority": "latest"}, "mosaicPriority must be one of"),
        ((fixtures / "scene_2023.tif").read_bytes(), {}, "4 bands"),
    ):
        with pytest.raises(ValueError, match=text):
            add(
                path,
                timestamp,
                token,
                **({"fileFormat": "tif", "memFile": BytesIO(content), "name": "x.tif"} | arguments),
            )
    assert sorted((home / "layers").iterdir()) == before and told(timestamp)["files"] == 1
