"""The client's `path.vector` but for single features' change: timestamps, files, and what is read of them."""

from __future__ import annotations

import functools
from datetime import datetime
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import requests
import shapely

from tests.client.covers import covers

DATE = {"from": datetime(2024, 5, 1, 10, 30), "to": datetime(2024, 5, 2)}
CATALOG = {
    "roads": ("065f6d42-abe2-456d-a17d-b4911bf2b6d3", "0383ca27-9e34-4c1a-bdfc-1ae0e7dbc648"),
    "buildings": ("c0b4fea8-68c7-439b-9751-c1505a7a90a2", "c208c8ab-1086-45fb-a827-f6bcaedab3ae"),
    "trees": ("8ce55c33-b4e5-4753-a51e-a7e883b34bb4", "f676af8b-f41f-41bd-b5c8-b13d62de7911"),
    "parcels": ("a32ffda9-ecc8-4749-8738-986e79eaf3ef", "6e54cd24-9e35-4caa-9a98-825b9119b3f8"),
}
FILES = {
    "roads": "roads.geojson", "buildings": "buildings.gpkg", "trees": "trees.fgb", "parcels": "parcels.parquet"
}  # fmt: skip


def stored(fixtures: Path, name: str) -> gpd.GeoDataFrame:
    """What a file of the fixtures holds, in EPSG:4326."""
    file = fixtures / FILES[name]
    frame = gpd.read_parquet(file) if file.suffix == ".parquet" else gpd.read_file(file)
    return frame.to_crs("EPSG:4326").reset_index(drop=True)


def check_same(found: gpd.GeoDataFrame, wanted: gpd.GeoDataFrame) -> None:
    """The same features in the same order, with an id each."""
    assert found.crs.to_epsg() == 4326 and len(found) == len(wanted)
    assert found["id"].nunique() == len(found)
    assert np.all(shapely.equals_exact(found.geometry.values, wanted.geometry.values, 1e-9))
    for column in wanted.columns.drop("geometry"):
        if wanted[column].dtype.kind in "biuf":
            np.testing.assert_allclose(found[column].astype(float), wanted[column].astype(float), rtol=1e-12)
        elif wanted[column].dtype.kind == "O":
            assert found[column].where(found[column].notna(), None).to_list() == (
                wanted[column].where(wanted[column].notna(), None).to_list()
            ), column


@covers("path.vector.timestamp.listFeatures")
def test_all_features_of_a_file_are_listed(valley: ModuleType, token: str, fixtures: Path) -> None:
    for name, ids in CATALOG.items():
        answer = valley.path.vector.timestamp.listFeatures(*ids, token)
        check_same(answer["result"], stored(fixtures, name))
        assert answer["nextPageStart"] is None
        assert answer["size"] == len(answer["result"])
    moved = valley.path.vector.timestamp.listFeatures(*CATALOG["trees"], token, epsg=3857)["result"]
    wanted = stored(fixtures, "trees").to_crs("EPSG:3857")
    assert moved.crs.to_epsg() == 3857
    assert np.all(shapely.equals_exact(moved.geometry.values, wanted.geometry.values, 1e-3))


def test_features_come_in_pages(client: ModuleType, token: str, el: ModuleType) -> None:
    count = 12_000
    frame = gpd.GeoDataFrame(
        {"number": np.arange(count)}, geometry=gpd.points_from_xy(np.linspace(4, 5, count), [52] * count), crs=4326
    )
    made = el.layers.add(frame)
    ids = made["pathId"], made["timestampId"]
    first = client.path.vector.timestamp.listFeatures(*ids, token, listAll=False)
    assert 1000 < len(first["result"]) <= 10_000 and first["nextPageStart"]
    second = client.path.vector.timestamp.listFeatures(*ids, token, listAll=False, pageStart=first["nextPageStart"])
    assert second["result"]["number"].iloc[0] == first["result"]["number"].iloc[-1] + 1
    whole = client.path.vector.timestamp.listFeatures(*ids, token)
    assert whole["result"]["number"].to_list() == list(range(count)) and whole["size"] == count
    part = {"xMin": 4.2, "xMax": 4.8, "yMin": 51.0, "yMax": 53.0}
    found = client.path.vector.timestamp.getFeaturesByExtent(*ids, part, token=token, pageSize=4000)
    inside = frame[(frame.geometry.x >= 4.2) & (frame.geometry.x <= 4.8)]
    assert found["result"]["number"].to_list() == inside["number"].to_list() and found["size"] >= len(inside)
    # One page of an extent goes on with an object, or with the bare id in it, as older clients ask.
    find = functools.partial(client.path.vector.timestamp.getFeaturesByExtent, *ids, token=token, listAll=False)
    page = find(dict(part), pageSize=100)
    assert page["truncated"] and set(page["nextPageStart"]) == {"featureId"}
    for start in (page["nextPageStart"], page["nextPageStart"]["featureId"]):
        following = find(dict(part), pageSize=100, pageStart=start)["result"]
        assert following["number"].iloc[0] == page["result"]["number"].iloc[-1] + 1
    for start in ({"feature": made["pathId"]}, "{", '{"featureId": 5}'):
        with pytest.raises(ValueError, match="pageStart"):
            find(dict(part), pageStart=start)


@covers("path.vector.timestamp.getFeaturesByExtent")
def test_features_of_an_extent(valley: ModuleType, token: str, fixtures: Path) -> None:
    buildings = stored(fixtures, "buildings")
    x, y = buildings.geometry.iloc[100].centroid.coords[0]
    extent = {"xMin": x - 0.002, "xMax": x + 0.002, "yMin": y - 0.001, "yMax": y + 0.001}
    box = shapely.box(extent["xMin"], extent["yMin"], extent["xMax"], extent["yMax"])
    find = valley.path.vector.timestamp.getFeaturesByExtent
    found = find(*CATALOG["buildings"], dict(extent), token=token)["result"]
    bounds = shapely.box(*buildings.bounds.to_numpy().T)
    check_same(found, buildings[shapely.intersects(bounds, box)].reset_index(drop=True))
    centred = find(*CATALOG["buildings"], dict(extent), token=token, onlyIfCenterPointInExtent=True)["result"]
    assert 0 < len(centred) < len(found)
    tall = find(
        *CATALOG["buildings"], dict(extent), token=token,
        propertyFilter=[{"key": "height", "operator": ">", "value": 6}],
    )["result"]  # fmt: skip
    assert 0 < len(tall) < len(found) and (tall["height"] > 6).all()
    far = {"xMin": 100.0, "xMax": 101.0, "yMin": 0.0, "yMax": 1.0}
    assert find(*CATALOG["buildings"], far, token=token)["result"].empty
    with pytest.raises(ValueError, match="no property 'nonsense'"):
        find(*CATALOG["buildings"], dict(extent), token=token,
             propertyFilter=[{"key": "nonsense", "operator": "=", "value": 1}])  # fmt: skip


@covers("path.vector.timestamp.getFeaturesByIds")
def test_features_by_their_ids(valley: ModuleType, token: str) -> None:
    listed = valley.path.vector.timestamp.listFeatures(*CATALOG["roads"], token)["result"]
    wanted = listed["id"].to_list()[::-2]
    answer = valley.path.vector.timestamp.getFeaturesByIds(*CATALOG["roads"], wanted, token, showProgress=False)
    assert answer["result"]["id"].to_list() == wanted and answer["size"] == len(wanted)
    assert answer["result"]["name"].to_list() == listed.set_index("id").loc[wanted, "name"].to_list()
    with pytest.raises(ValueError, match="11111111-2222"):
        valley.path.vector.timestamp.getFeaturesByIds(
            *CATALOG["roads"], ["11111111-2222-4333-8444-555555555555"], token, showProgress=False
        )


@covers("path.vector.timestamp.getLocationInfo")
def test_features_at_places(valley: ModuleType, token: str, fixtures: Path) -> None:
    parcels = stored(fixtures, "parcels")
    places = [list(parcel.representative_point().coords[0]) for parcel in parcels.geometry.iloc[[3, 200]]]
    found = valley.path.vector.timestamp.getLocationInfo(*CATALOG["parcels"], [*places, [100.0, 0.0]], token=token)
    assert len(found) == 3
    for index, place in zip((3, 200), found, strict=False):
        assert parcels["parcel_id"][index] in [feature["properties"]["parcel_id"] for feature in place]
    metres = gpd.GeoSeries(parcels.geometry.iloc[[3]].representative_point(), crs=4326).to_crs(3857).iloc[0]
    again = valley.path.vector.timestamp.getLocationInfo(
        *CATALOG["parcels"], [[metres.x, metres.y]], epsg=3857, token=token
    )
    assert again[0][0]["id"] == found[0][0]["id"]


@covers(
    "path.vector.timestamp.add", "path.vector.timestamp.edit", "path.vector.timestamp.trash",
    "path.vector.timestamp.recover", "path.vector.timestamp.delete", "path.vector.timestamp.activate",
    "path.vector.timestamp.deactivate", "path.vector.timestamp.getBounds",
)  # fmt: skip
def test_timestamps_of_a_vector(client: ModuleType, token: str, fixtures: Path) -> None:
    timestamps = client.path.vector.timestamp
    path = client.path.vector.add("vector", token)["id"]
    made = timestamps.add(path, token, description="register", date=DATE, properties={"a": 1})["id"]

    def told() -> list[dict[str, Any]]:
        return client.path.get(path, token)["vector"]["timestamps"]

    assert (told()[0]["date"], told()[0]["description"]) == (DATE, "register")
    timestamps.edit(path, made, token, description="another")
    assert (told()[0]["date"], told()[0]["description"]) == (DATE, "another")
    # Usable from the start, by scripts that never activate a vector.
    assert (told()[0]["status"], told()[0]["availability"]["blocked"]) == ("active", False)
    assert told()[0]["extent"] == {"xMin": -180, "yMin": -85, "xMax": 180, "yMax": 85}
    assert timestamps.listFeatures(path, made, token)["result"].empty
    timestamps.file.add(path, made, token, "geojson", str(fixtures / "roads.geojson"))
    roads = stored(fixtures, "roads")
    found = told()[0]
    assert list(found["extent"].values()) == pytest.approx([roads.total_bounds[i] for i in (0, 2, 1, 3)], abs=1e-6)
    assert found["uploads"] == {"completed": 1, "errored": 0, "pending": 0} and found["totalSize"] > 0
    assert timestamps.getBounds(path, made, token).bounds == pytest.approx(tuple(roads.total_bounds), abs=1e-6)
    timestamps.deactivate(path, made, token)
    assert (told()[0]["status"], told()[0]["availability"]) == ("passive", {"blocked": True, "reason": "paused"})
    timestamps.activate(path, made, token)
    assert told()[0]["status"] == "active" and not told()[0]["trashed"]
    timestamps.trash(path, made, token)
    assert told() == []
    with pytest.raises(ValueError, match="is in the trash"):
        timestamps.listFeatures(path, made, token)
    timestamps.recover(path, made, token)
    assert len(timestamps.listFeatures(path, made, token)["result"]) == len(roads)
    timestamps.delete(path, made, token)
    assert told() == []
    with pytest.raises(ValueError, match=made):
        timestamps.delete(path, made, token)


@covers(
    "path.vector.timestamp.file.add", "path.vector.timestamp.file.get", "path.vector.timestamp.file.download",
    "path.vector.timestamp.file.revert", "path.vector.timestamp.file.recover", "path.vector.timestamp.file.delete",
)  # fmt: skip
def test_files_of_a_vector(client: ModuleType, token: str, fixtures: Path, tmp_path: Path) -> None:
    files = client.path.vector.timestamp.file
    path = client.path.vector.add("vector", token)["id"]
    timestamp = client.path.vector.timestamp.add(path, token)["id"]

    def count() -> int:
        return len(client.path.vector.timestamp.listFeatures(path, timestamp, token)["result"])

    first = files.add(path, timestamp, token, "geojson", str(fixtures / "roads.geojson"), fastUpload=False)["id"]
    memory = BytesIO((fixtures / "trees.fgb").read_bytes())
    second = files.add(
        path, timestamp, token, "flatgeobuf", memFile=memory, name="trees.fgb", epsg=4326, dateColumns=["when"],
        datePatterns=["%Y"],
    )["id"]  # fmt: skip
    listed = files.get(path, timestamp, token)["result"]
    assert [(file["id"], file["name"]) for file in listed] == [(first, "roads.geojson"), (second, "trees.fgb")]
    trees = stored(fixtures, "trees")
    assert listed[1]["info"]["features"] == len(trees)
    assert listed[1]["info"]["bounds"].bounds == pytest.approx(tuple(trees.total_bounds), abs=1e-6)
    assert {one["name"] for one in client.path.get(path, token)["vector"]["properties"]} >= {"lanes", "species"}
    assert count() == 24 + len(trees)
    files.download(path, timestamp, second, str(tmp_path / "back.fgb"), token)
    assert (tmp_path / "back.fgb").read_bytes() == memory.getvalue()
    files.revert(path, timestamp, second, token)
    assert count() == 24
    files.recover(path, timestamp, second, token)
    assert count() == 24 + len(trees)
    files.delete(path, timestamp, first, token)
    assert count() == len(trees)
    with pytest.raises(ValueError, match=first):
        files.delete(path, timestamp, first, token)
    with pytest.raises(requests.HTTPError, match="404"):
        files.download(path, timestamp, first, str(tmp_path / "gone"), token)
    for content, text in ((b"{}", "bad"), ((fixtures / "scene_2023.tif").read_bytes(), "is a raster")):
        bad = files.add(path, timestamp, token, "gpkg", memFile=BytesIO(content), name="bad")["id"]
        found = files.get(path, timestamp, token)["result"][-1]
        assert (found["id"], found["status"]) == (bad, "errored") and text in found["message"]
        files.revert(path, timestamp, bad, token)
        files.delete(path, timestamp, bad, token)
    assert [file["status"] for file in files.get(path, timestamp, token)["result"]] == ["completed"]
    assert count() == len(trees)
