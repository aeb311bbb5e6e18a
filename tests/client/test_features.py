"""The client's `feature` and `featureProperty`: adding, changing, trashing, and what is remembered of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from tests.client.covers import covers


@pytest.fixture
def ids(client: ModuleType, token: str) -> tuple[str, str]:
    """An empty vector."""
    path = client.path.vector.add("vector", token)["id"]
    return path, client.path.vector.timestamp.add(path, token)["id"]


@pytest.fixture
def towns() -> gpd.GeoDataFrame:
    """A column of each type that the client can send."""
    return gpd.GeoDataFrame(
        {
            "name": ["Dorp", "Stad", None],
            "people": [100, 20_000, 3],
            "share": [0.5, 0.25, float("nan")],
            "old": [True, False, True],
        },
        geometry=[shapely.Point(5.1, 52.1), shapely.box(5.2, 52.2, 5.3, 52.3), shapely.LineString([(5, 52), (6, 53)])],
        crs="EPSG:4326",
    )


def listed(client: ModuleType, token: str, ids: tuple[str, str]) -> gpd.GeoDataFrame:
    return client.path.vector.timestamp.listFeatures(*ids, token)["result"]


@covers("path.vector.timestamp.feature.add")
def test_features_are_added_with_their_properties(
    client: ModuleType, token: str, other: str, ids: tuple[str, str], towns: gpd.GeoDataFrame
) -> None:
    made = client.path.vector.timestamp.feature.add(*ids, towns, token, showProgress=False)
    found = listed(client, token, ids)
    assert found["id"].to_list() == made and len(set(made)) == 3
    assert found.geometry.geom_equals(towns.geometry).all()
    assert found["name"][:2].to_list() == ["Dorp", "Stad"] and pd.isna(found["name"][2])
    assert found["people"].to_list() == [100, 20_000, 3] and found["old"].to_list() == [True, False, True]
    assert found["share"][:2].to_list() == [0.5, 0.25] and pd.isna(found["share"][2])
    # What a feature does not have does not come: a frame of it alone has no such column.
    alone = client.path.vector.timestamp.getFeaturesByIds(*ids, made[2:], token, showProgress=False)["result"]
    past = client.path.vector.timestamp.feature.versions(*ids, made[2], token)["result"]
    for one in (alone, past):
        assert {"id", "people", "old"} <= set(one.columns) and not {"name", "share"} & set(one.columns)
    types = {one["name"]: one["type"] for one in client.path.get(ids[0], token)["vector"]["properties"]}
    assert types == {"name": "string", "people": "integer", "share": "float", "old": "boolean"}
    # In another CRS, and without one of the columns: the client moves them to EPSG:4326.
    metres = towns[["name", "geometry"]].to_crs("EPSG:3857")
    client.path.vector.timestamp.feature.add(*ids, metres, token, showProgress=False)
    again = listed(client, token, ids)
    assert len(again) == 6 and again["people"][3:].isna().all()
    back = again.geometry[3:].reset_index(drop=True).normalize()
    assert back.geom_equals_exact(towns.geometry.normalize(), 1e-8).all()
    with pytest.raises(ValueError, match="'people'"):
        wrong = towns[["people", "geometry"]].assign(people=["many", "few", "none"])
        client.path.vector.timestamp.feature.add(*ids, wrong, token, showProgress=False)
    with pytest.raises(ValueError, match="insufficient access"):
        client.path.vector.timestamp.feature.add(*ids, towns, other, showProgress=False)
    assert len(listed(client, token, ids)) == 6
    bounds = client.path.vector.timestamp.getBounds(*ids, token)
    assert bounds.bounds == pytest.approx((5.0, 52.0, 6.0, 53.0), abs=1e-6)


def test_the_client_itself_cannot_send_times(
    client: ModuleType, token: str, ids: tuple[str, str], towns: gpd.GeoDataFrame
) -> None:
    """It declares a column of them as 'datetime', and writes no JSON of it before that; as text they go."""
    times = towns[["geometry"]].assign(since=pd.to_datetime(["1900-01-01", "1950-05-05", "2000-01-01"]))
    with pytest.raises(TypeError, match="not JSON serializable"):
        client.path.vector.timestamp.feature.add(*ids, times, token, showProgress=False)
    client.path.vector.featureProperty.add(ids[0], "since", "datetime", token)
    texts = times.assign(since=times["since"].dt.strftime("%Y-%m-%dT%H:%M:%S"))
    client.path.vector.timestamp.feature.add(*ids, texts, token, showProgress=False)
    assert [text[:19] for text in listed(client, token, ids)["since"]] == texts["since"].to_list()
    with pytest.raises(ValueError, match="'since'"):
        client.path.vector.timestamp.feature.add(*ids, texts.assign(since="yesterday"), token, showProgress=False)


def test_many_features_are_sent_in_parts(client: ModuleType, token: str, ids: tuple[str, str]) -> None:
    count = 3001
    frame = gpd.GeoDataFrame(
        {"number": range(count)}, geometry=gpd.points_from_xy([5.0] * count, [52.0] * count), crs="EPSG:4326"
    )
    made = client.path.vector.timestamp.feature.add(*ids, frame, token, showProgress=False)
    assert len(set(made)) == count
    assert listed(client, token, ids)["number"].to_list() == list(range(count))


@covers(
    "path.vector.timestamp.feature.edit", "path.vector.timestamp.feature.trash",
    "path.vector.timestamp.feature.recover", "path.vector.timestamp.feature.versions",
    "path.vector.timestamp.getChanges",
)  # fmt: skip
def test_changes_are_made_and_remembered(
    client: ModuleType, token: str, ids: tuple[str, str], towns: gpd.GeoDataFrame
) -> None:
    feature = client.path.vector.timestamp.feature
    before = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=1)
    made = feature.add(*ids, towns, token, showProgress=False)
    changed = towns.iloc[[1]].assign(name="City", people=30_000)
    changed["geometry"] = [shapely.Point(5.25, 52.25)]
    feature.edit(*ids, [made[1]], token, changed, showProgress=False)
    found = listed(client, token, ids).set_index("id")
    assert (found["name"][made[1]], found["people"][made[1]]) == ("City", 30_000)
    assert found.geometry[made[1]].equals(shapely.Point(5.25, 52.25))
    assert (found["name"][made[0]], found["people"][made[0]]) == ("Dorp", 100)

    feature.trash(*ids, made[:2], token, showProgress=False)
    assert listed(client, token, ids)["id"].to_list() == [made[2]]
    feature.recover(*ids, [made[1]], token, showProgress=False)
    assert set(listed(client, token, ids)["id"]) == {made[1], made[2]}

    history = feature.versions(*ids, made[1], token)["result"]
    assert history["people"].to_list()[-1] == 20_000 and history["people"].to_list()[0] == 30_000
    assert set(history["username"]) == {"demo_user"}
    assert set(history["userId"]) == {client.account.getInfo(token)["id"]}
    assert all(before <= date <= datetime.now(UTC).replace(tzinfo=None) for date in history["dates"])

    changes = client.path.vector.timestamp.getChanges(*ids, token=token, listAll=True)["result"]
    assert [(change["action"], change["featureId"]) for change in changes] == [
        ("recover", made[1]), ("trash", made[0]), ("trash", made[1]), ("edit", made[1]),
        *(("add", one) for one in made),
    ]  # fmt: skip
    assert all(isinstance(change["date"], datetime) for change in changes)
    assert {change["user"]["username"] for change in changes} == {"demo_user"}
    with pytest.raises(ValueError, match="11111111-2222"):
        feature.trash(*ids, ["11111111-2222-4333-8444-555555555555"], token, showProgress=False)


@covers(
    "path.vector.featureProperty.add", "path.vector.featureProperty.edit", "path.vector.featureProperty.trash",
    "path.vector.featureProperty.recover",
)  # fmt: skip
def test_properties_are_declared_and_trashed(
    client: ModuleType, token: str, ids: tuple[str, str], towns: gpd.GeoDataFrame
) -> None:
    properties = client.path.vector.featureProperty
    frame = towns[["name", "geometry"]]
    made = properties.add(ids[0], "name", "string", token)["id"]
    height = properties.add(ids[0], "height", "float", token, private=True)["id"]

    def told() -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in client.path.get(ids[0], token)["vector"]["properties"]}

    assert (told()["name"]["id"], told()["height"]["id"]) == (made, height)
    assert (told()["height"]["type"], told()["height"]["private"], told()["height"]["required"]) == (
        "float",
        True,
        False,
    )
    properties.edit(ids[0], height, token, required=True)
    assert (told()["height"]["private"], told()["height"]["required"]) == (False, True)
    with pytest.raises(ValueError, match="'height'"):
        client.path.vector.timestamp.feature.add(*ids, frame, token, showProgress=False)
    properties.edit(ids[0], height, token, required=False)
    client.path.vector.timestamp.feature.add(*ids, frame, token, showProgress=False)
    assert "name" in listed(client, token, ids)
    properties.trash(ids[0], made, token)
    assert told()["name"]["trashed"] is True and "name" not in listed(client, token, ids)
    properties.recover(ids[0], made, token)
    assert told()["name"]["trashed"] is False
    assert listed(client, token, ids)["name"].dropna().to_list() == ["Dorp", "Stad"]
    for arguments, text in ((("name", "integer"), "exists already"), (("new", "colour"), "type must be one of")):
        with pytest.raises(ValueError, match=text):
            properties.add(ids[0], *arguments, token)


def test_changed_features_are_what_a_compute_sees(
    client: ModuleType, token: str, ids: tuple[str, str], towns: gpd.GeoDataFrame, interpreter: str
) -> None:
    made = client.path.vector.timestamp.feature.add(*ids, towns, token, showProgress=False)
    client.path.vector.timestamp.feature.trash(*ids, made[:1], token, showProgress=False)
    client.path.vector.timestamp.activate(*ids, token)
    layers = [{"pathId": ids[0], "timestampId": ids[1]}]
    compute = client.compute.createCompute(layers, token, nodes=1, interpreter=interpreter)["id"]
    assert client.compute.execute(compute, names, token) == [["Stad", None]]
    client.compute.terminateCompute(compute, token)


def names(params):
    (frame,) = params.values()
    return [name if isinstance(name, str) else None for name in frame["vector"]["name"]]
