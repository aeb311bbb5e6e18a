"""The client's functions that are requests, in process; tests/client/test_in_process.py holds them against the client."""

from __future__ import annotations

import asyncio
import functools
from datetime import datetime
from types import ModuleType

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from affine import Affine
from shapely.geometry import Point

from ellipsis_local.errors import AccessError, AccountError, ArgumentError, NotEmulatedError, NotFoundError


@pytest.fixture
def trees(el: ModuleType, token: str) -> tuple[str, str]:
    """A vector timestamp of the user's own, without features."""
    path = el.path.vector.add("trees", token)["id"]
    return path, el.path.vector.timestamp.add(path, token)["id"]


def test_features_are_added_changed_and_remembered(el: ModuleType, token: str, trees: tuple[str, str]) -> None:
    vector = el.path.vector.timestamp
    seen = [datetime(2024, 5, 1, 10), datetime(2024, 5, 2)]
    frame = gpd.GeoDataFrame({"kind": ["oak", None], "seen": seen}, geometry=[Point(0, 0), Point(9, 9)], crs=3857)
    ids = vector.feature.add(*trees, frame, token)
    properties = {one["name"]: one["type"] for one in el.path.get(trees[0], token)["vector"]["properties"]}
    assert properties == {"kind": "string", "seen": "datetime"}
    found = vector.listFeatures(*trees, token, epsg=3857)
    assert found["size"] == 2 and found["nextPageStart"] is None and found["result"].crs.to_epsg() == 3857
    assert found["result"].geometry.iloc[1].distance(Point(9, 9)) < 1e-6
    assert list(pd.to_datetime(found["result"]["seen"]).dt.tz_localize(None)) == seen
    vector.feature.edit(*trees, ids[:1], token, frame.iloc[1:].assign(kind="elm"))
    vector.feature.trash(*trees, ids[1:], token)
    assert list(vector.listFeatures(*trees, token)["result"]["kind"]) == ["elm"]
    vector.feature.recover(*trees, ids[1:], token)
    assert vector.getFeaturesByIds(*trees, ids, token)["size"] == 2
    history = vector.feature.versions(*trees, ids[0], token)["result"]
    assert set(history["kind"]) == {"oak", "elm"} and isinstance(history["dates"].iloc[0], datetime)
    changes = vector.getChanges(*trees, token, listAll=True)["result"]
    assert len(changes) >= 4 and all(one["date"].tzinfo is None for one in changes)
    metres = {"xMin": 5.0, "yMin": 5.0, "xMax": 20.0, "yMax": 20.0}
    find = functools.partial(vector.getFeaturesByExtent, *trees, metres, token=token, epsg=3857, pageSize=1)
    whole, page = find(), find(listAll=False)
    assert len(whole["result"]) == 2 and not whole["truncated"]
    assert page["truncated"] and page["nextPageStart"] == {"featureId": ids[1]}
    # A feature comes without what it does not have.
    rest = find(listAll=False, pageStart=page["nextPageStart"])["result"]
    assert list(rest["id"]) == ids[1:] and "kind" not in rest.columns
    with pytest.raises(ArgumentError, match="must be as many as the features: 2 and 1"):
        vector.feature.edit(*trees, ids, token, frame.iloc[:1])


def test_contours_lie_where_the_values_are(el: ModuleType, token: str) -> None:
    """A slope that rises to the east: the client itself gives rows as x."""
    slope = np.tile(np.arange(100, dtype="uint8"), (1, 50, 1))
    layer = el.layers.add({"raster": slope, "transform": Affine(10, 0, 0, 0, -10, 500), "crs": "EPSG:3857"})
    extent = {"xMin": 0.0, "yMin": 0.0, "xMax": 1000.0, "yMax": 500.0}
    ids = layer["pathId"], layer["timestampId"]
    lines = el.path.raster.timestamp.contour(*ids, extent, intervals=[20, 70], epsg=3857, token=token)
    assert set(lines["label"]) == {20, 70} and lines.crs.to_epsg() == 3857
    for level, line in zip(lines["label"], lines.geometry, strict=True):
        assert line.bounds[0] == pytest.approx(level * 10, abs=11) and line.bounds[2] - line.bounds[0] < 11
    whole = el.path.raster.timestamp.getRaster(*ids, extent, token)
    assert np.isin(whole["raster"][0], slope).all() and whole["raster"].shape[0] == 2
    # The client asks for tiles beyond the world, and fails.
    edge = {"xMin": 2.0037e7, "yMin": 0.0, "xMax": 2.1e7, "yMax": 500.0}
    assert not el.path.raster.timestamp.getRaster(*ids, edge, token)["raster"].any()


def test_a_folder_is_shared_with_all_below_it(el: ModuleType, token: str, trees: tuple[str, str]) -> None:
    folder = el.path.folder.add("valley", token)["id"]
    el.path.move([trees[0]], folder, token)
    with pytest.raises(AccessError):
        el.path.get(trees[0])
    el.path.editPublicAccess(folder, token, {"accessLevel": 100}, hidden=False, recursive=True)
    assert el.path.get(trees[0])["name"] == "trees"
    assert [one["id"] for one in el.path.folder.listFolder(folder)["result"]] == [trees[0]]
    assert el.path.root.listPath(folder, "folder")["result"] == []


def test_errors_are_the_exceptions_themselves(el: ModuleType, token: str, trees: tuple[str, str]) -> None:
    with pytest.raises(AccessError) as refused:
        el.path.rename(trees[0], "mine", "another token")
    assert refused.value.needed > 0
    with pytest.raises(NotFoundError, match="does not exist here"):
        el.path.trash("c6b60f5c-3a3c-4ba2-9c3c-1d9a4fbbbf34", token)
    with pytest.raises(ArgumentError, match="pathId must be of type string and be a uuid"):
        el.path.trash("trees", token)
    with pytest.raises(ArgumentError, match="pathIds must be json serializable"):
        el.path.move([object()], None, token)
    with pytest.raises(AccountError, match="a token is missing"):
        el.path.invite.send(trees[0], {"accessLevel": 100}, None)
    with pytest.raises(NotEmulatedError, match=r"POST /v3/path/mesh is not emulated"):
        el.path.mesh.add("mesh", token)
    with pytest.raises(NotEmulatedError, match=r"remote=True"):
        el.path.raster.timestamp.add(trees[0], token, remote=True)


def test_a_token_of_this_process_alone_opens_no_server(el: ModuleType) -> None:
    assert el.account.listRoot("myDrive", "invented")["result"] == []
    with pytest.raises(AccountError):
        el.emulator.current_emulator().accounts.known_user("invented")


def test_a_request_within_a_running_loop(el: ModuleType, token: str, trees: tuple[str, str]) -> None:
    async def found() -> list[str]:
        return [one["id"] for one in el.path.search(text="trees", token=token)["result"]]

    assert asyncio.run(found()) == [trees[0]]


def test_objects_are_kept_as_files(el: ModuleType, token: str) -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    files = el.path.file
    assert files.getCsv(files.addCsv(frame, "a.csv", token)["id"], token)["a"].to_list() == [1, 2]
    made = files.addJson({"a": [1]}, "a.json", token)["id"]
    assert files.getJson(made, token) == {"a": [1]}
    assert files.getPickle(files.addPickle({1, 2}, "a.pickle", token)["id"], token) == {1, 2}
    with pytest.raises(ArgumentError, match="'a.json', which is no valid pickle file"):
        files.getPickle(made, token)
