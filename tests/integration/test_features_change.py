"""Change of features: added, edited, in the trash and out again; what computes see of it; several at once."""

import datetime
import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal

from ellipsis_local import features as room
from ellipsis_local import vector
from ellipsis_local.accounts import User
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, LimitError, NotFoundError, StoreError
from ellipsis_local.features.features import Features
from ellipsis_local.home import Home
from ellipsis_local.store import SCHEMA, LayerStore

NOWHERE = "5a0e4f9c-3c8e-4c53-9d5c-6c1f7f1f4b11"
ANNA, BERT = User("0d1d3f0e-6d5c-4f7e-9d3a-3f0a54e1a001", "anna"), User("0d1d3f0e-6d5c-4f7e-9d3a-3f0a54e1a002", "bert")
WORLD = {"xMin": -180, "xMax": 180, "yMin": -90, "yMax": 90}


def opened(root):
    home = Home(Path(root))
    home.prepare()
    database = Database(home.database, (*SCHEMA, *room.SCHEMA))
    return Features(home, database, LayerStore(home, database))


@pytest.fixture
def features(tmp_path):
    made = opened(tmp_path / "own-home")
    yield made
    made.database.close()


@pytest.fixture
def empty(features):
    """A vector with one timestamp without files: its ids."""
    path = features.store.add_layer_path("vector", "v", owner=ANNA.id)
    return path, features.store.add_timestamp(path)


def point(x=5.0, y=52.0, **properties):
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [x, y]}}


def everything(features, ids, size=None):
    timestamp, start, found = features.store.timestamp(*ids), None, []
    while True:
        page, start = features.page(timestamp, start, size)
        found += page
        if start is None:
            return found


def values(features, ids, name):
    return [one["properties"].get(name, "absent") for one in everything(features, ids)]


def seen(features, ids):
    """The layer as computes get it, in its own CRS."""
    return vector.read_frame(features.store.timestamp(*ids).vectors)


def parcel(features, source):
    path, timestamp = features.store.add(source)
    return path, timestamp


def rich(count=12):
    """A frame with a column of every common type."""
    when = pandas.date_range("2024-01-01", periods=count, unit="ms")
    return geopandas.GeoDataFrame(
        {
            "i": np.arange(count),
            "small": np.arange(count, dtype="int16"),
            "f": np.linspace(0, 1, count),
            "b": np.arange(count) % 2 == 0,
            "s": [None if n == 3 else f"s{n}" for n in range(count)],
            "maybe": pandas.array([None, *range(1, count)], dtype="Int64"),
            "kind": pandas.Categorical(["x", "y"] * (count // 2), categories=["y", "x", "never"], ordered=True),
            "when": when.tz_localize("Europe/Amsterdam"),
            "local": when,
            "day": [datetime.date(2024, 1, 1) + datetime.timedelta(n) for n in range(count)],
            "list": [[n, n] for n in range(count)],
        },
        geometry=shapely.points(155_000 + np.arange(count) * 10.0, 463_000),
        crs="EPSG:28992",
    )


def plain(count=12):
    return rich(count)[["i", "f", "b", "s", "when", "local", "day", "geometry"]]


# ----- adding --------------------------------------------------------------------------------------------------------


def test_features_into_an_empty_timestamp(features, empty):
    first = features.add(*empty, [point(name="a", n=1, ratio=0.5, ok=True), point(6, 53, name="b", n=None)], ANNA)
    second = features.add(*empty, [point(7, 54, n=3)], BERT)
    found = everything(features, empty)
    assert [one["id"] for one in found] == first + second and len(set(first + second)) == 3
    assert [one["geometry"]["coordinates"] for one in found] == [[5, 52], [6, 53], [7, 54]]
    # Null is the same as not there.
    assert [one["properties"] for one in found] == [
        {"id": first[0], "name": "a", "n": 1, "ratio": 0.5, "ok": True},
        {"id": first[1], "name": "b"},
        {"id": second[0], "n": 3},
    ]
    timestamp = features.store.timestamp(*empty)
    assert timestamp.status == "active" and len(timestamp.files) == 1
    assert timestamp.vectors[0].features == 3 and tuple(timestamp.vectors[0].extent) == (5, 52, 7, 54)
    assert features.add(*empty, []) == []
    assert {one["name"]: one["type"] for one in features.properties(empty[0])} == {
        "name": "string", "n": "integer", "ratio": "float", "ok": "boolean",
    }  # fmt: skip


def test_what_the_client_declares_first(features, empty):
    path = empty[0]
    for name, kind in (
        ("n", "integer"),
        ("ratio", "float"),
        ("when", "datetime"),
        ("day", "date"),
        ("any", "json"),
        ("s", "string"),
    ):
        features.add_property(path, name, kind)
    one = point(n=1.0, ratio=2, when="2024-05-06T07:08:09", day="2024-05-06", any={"a": [1, None]})
    features.add(*empty, [one, point(when="2024-05-06T07:08:09+02:00", any=5)])
    (first, second) = (one["properties"] for one in everything(features, empty))
    assert first["n"] == 1 and isinstance(first["n"], int) and first["ratio"] == 2.0
    assert first["when"] == "2024-05-06T07:08:09+00:00" and second["when"] == "2024-05-06T05:08:09+00:00"
    assert (first["day"], first["any"], second["any"]) == ("2024-05-06", {"a": [1, None]}, 5) and "s" not in first
    frame = seen(features, empty)
    # A column of each declared property, also of those that no feature has.
    assert set(frame.columns) == {"n", "ratio", "when", "day", "any", "s", "geometry"}
    assert str(frame["when"].dtype) == "datetime64[us, UTC]"


def test_many_calls_make_few_files_and_one_frame(features, empty, monkeypatch):
    from ellipsis_local.features import features as module

    monkeypatch.setattr(module, "TAIL_ROWS", 250)
    ids = []
    for call in range(10):
        ids += features.add(*empty, [point(n=call * 100 + i, name=f"{i}") for i in range(100)])
    found = everything(features, empty, 333)
    assert [one["id"] for one in found] == ids and values(features, empty, "n") == list(range(1000))
    assert len(features.store.timestamp(*empty).files) == 4
    frame = seen(features, empty)
    assert list(frame["n"]) == list(range(1000)) and frame["n"].dtype == "int64" and frame.crs.to_epsg() == 4326


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".geojson", ".fgb"])
def test_added_features_agree_in_dtype(features, tmp_path, suffix):
    data = rich() if suffix == ".parquet" else plain()
    if suffix == ".parquet":
        data.to_parquet(tmp_path / "a.parquet")
    else:
        data.to_file(tmp_path / f"a{suffix}")
    ids = parcel(features, tmp_path / f"a{suffix}")
    before = seen(features, ids)
    whole = {
        "i": 99, "small": 9, "f": 0.25, "b": True, "s": "new", "maybe": 7, "kind": "y", "when": "2024-02-02T00:00:00Z",
        "local": "2024-02-02T00:00:00", "day": "2024-02-02", "list": [1, 2],
    }  # fmt: skip
    types = {one["name"]: one["type"] for one in features.properties(ids[0])}
    whole = {name: value for name, value in whole.items() if name in types}
    features.add(*ids, [point(5.387, 52.155, **whole)])
    after = seen(features, ids)
    assert (after.dtypes == before.dtypes).all(), pandas.concat([before.dtypes, after.dtypes], axis=1)
    assert_geodataframe_equal(after.iloc[:12], before)
    last = everything(features, ids)[-1]["properties"]
    assert {name: last[name] for name in whole if types[name] != "datetime"} == {
        name: value for name, value in whole.items() if types[name] != "datetime"
    }
    assert pandas.Timestamp(last["when"]) in (pandas.Timestamp("2024-02-02T00:00Z"), pandas.Timestamp("2024-02-02"))
    # It lies in the CRS of the file, so that crs='native' goes on working; `seen` planned with it.
    assert after.crs.to_epsg() == data.crs.to_epsg()


def test_integers_that_floats_cannot_hold_survive_nulls(features, empty):
    large = 2**60 + 1
    features.add(*empty, [point(h=large, n=1), point(n=2)])
    frame = seen(features, empty)
    assert frame["h"].iloc[0] == large and frame["n"].dtype == "int64"
    data = geopandas.GeoDataFrame(
        {"h": np.array([large, 2**63 + 3], "uint64")}, geometry=shapely.points([1, 2], [3, 4]), crs=4326
    )
    ids = parcel(features, data)
    features.add(*ids, [point(n=5)])
    assert list(seen(features, ids)["h"].iloc[:2]) == [large, 2**63 + 3]
    # Small ones stay integers where one is null, too.
    features.add(*empty, [point(h=3)])
    assert seen(features, empty)["n"].dtype == "Int64"


def test_new_columns_and_categories(features):
    ids = parcel(features, rich())
    features.add(*ids, [point(kind="x"), point(kind="another", fresh=True)])
    assert values(features, ids, "fresh") == ["absent"] * 13 + [True]
    assert values(features, ids, "kind")[-2:] == ["x", "another"]
    assert list(seen(features, ids)["kind"].astype(str))[-1] == "another"


def test_another_crs_that_cannot_hold_it(features):
    data = rich().to_crs("EPSG:28992")
    ids = parcel(features, data)
    features.add(*ids, [point(-179.5, -89, i=1)])
    timestamp = features.store.timestamp(*ids)
    assert [file.crs for file in timestamp.vectors] == ["EPSG:28992", "EPSG:4326"]
    assert everything(features, ids)[-1]["geometry"]["coordinates"] == [-179.5, -89]


def test_geometries_of_all_types(features, empty):
    shapes = [
        shapely.Point(1, 2, 3), shapely.LineString([(0, 0), (1, 1)]), shapely.box(0, 0, 1, 1), shapely.MultiPoint([(1, 2)]),
        shapely.MultiLineString([[(0, 0), (1, 1)]]), shapely.MultiPolygon([shapely.box(0, 0, 1, 1)]),
        shapely.GeometryCollection([shapely.Point(1, 2), shapely.LineString([(0, 0), (1, 1)])]),
        shapely.Point(180, 90), shapely.Point(-180.0000001, -90),
    ]  # fmt: skip
    features.add(
        *empty, [{"type": "Feature", "geometry": shapely.geometry.mapping(one), "properties": None} for one in shapes]
    )
    found = [shapely.geometry.shape(one["geometry"]) for one in everything(features, empty)]
    assert [shapely.to_wkt(one) for one in found] == [shapely.to_wkt(one) for one in shapes]
    assert found[0].has_z


BAD_GEOMETRIES = [
    (None, "no geometry"),
    ("POINT (1 2)", "POINT"),
    ({"coordinates": [1, 2]}, "a geometry is a GeoJSON"),
    ({"type": "Circle", "coordinates": [1, 2]}, "Circle"),
    ({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}, "Feature"),
    ({"type": ["Point"], "coordinates": [1, 2]}, "Point"),
    ({"type": "Point"}, "coordinates of a Point are a position"),
    ({"type": "Point", "coordinates": []}, "a position"),
    ({"type": "Point", "coordinates": [1]}, "a position"),
    ({"type": "Point", "coordinates": [1, 2, 3, 4]}, "a position"),
    ({"type": "Point", "coordinates": ["1", "2"]}, "a position"),
    ({"type": "Point", "coordinates": [True, 2]}, "a position"),
    ({"type": "Point", "coordinates": [[1, 2]]}, "a position"),
    ({"type": "Point", "coordinates": {"x": 1}}, "a position"),
    ({"type": "Point", "coordinates": [float("nan"), 2]}, "finite"),
    ({"type": "Point", "coordinates": [float("inf"), 2]}, "finite"),
    ({"type": "Point", "coordinates": [10**400, 2]}, "finite"),
    ({"type": "Point", "coordinates": [181, 2]}, "181"),
    ({"type": "Point", "coordinates": [2, 90.1]}, "90.1"),
    ({"type": "LineString", "coordinates": [[0, 0]]}, "at least two"),
    ({"type": "LineString", "coordinates": [[0, 0], [1, 1, 1]]}, "have as many"),
    ({"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]], [[0, 0]]]}, "at least two"),
    ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}, "closed rings"),
    ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [5, 5]]]}, "closed rings"),
    ({"type": "Polygon", "coordinates": [[5, 5, 5, 5]]}, "closed rings"),
    ({"type": "Polygon", "coordinates": "x"}, "closed rings"),
    ({"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 1]]]]}, "closed rings"),
    ({"type": "GeometryCollection", "geometries": []}, "without geometries"),
    ({"type": "GeometryCollection"}, "without geometries"),
    ({"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1]}]}, "a position"),
    (
        {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": []}]},
        "GeometryCollection",
    ),
]


@pytest.mark.parametrize(("geometry", "text"), BAD_GEOMETRIES)
def test_bad_geometries(features, empty, geometry, text):
    bad = point() | {"geometry": geometry}
    with pytest.raises(ArgumentError, match=text) as caught:
        features.add(*empty, [point(), point(), bad])
    assert "features[2]" in str(caught.value)
    assert features.store.timestamp(*empty).files == ()


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("sent", "error", "text"),
    [
        (None, ArgumentError, "features must be of type list"),
        ({"features": []}, ArgumentError, "features must be of type list"),
        ([point()] * 3001, LimitError, "3,001 features"),
        ([point(), 5], ArgumentError, r"features\[1\] is no GeoJSON feature"),
        ([{"type": "Point", "coordinates": [1, 2]}], ArgumentError, r"features\[0\] is no GeoJSON feature"),
        ([point() | {"properties": [1]}], ArgumentError, "properties of features"),
        ([point() | {"properties": {1: 2}}], ArgumentError, "names are text"),
        ([point(n=1), point(n="x")], ArgumentError, r"'n' of features\[1\] is 'x'.*integer"),
        ([point(n=True), point(n=1)], ArgumentError, r"'n' of features\[1\]"),
        ([point(), point(i="x")], ArgumentError, r"'i' of features\[1\] is 'x'.*integer"),
        ([point(i=1.5)], ArgumentError, "'i' of features.0. is 1.5"),
        ([point(i=True)], ArgumentError, "'i' of features.0. is True"),
        ([point(i=2**70)], ArgumentError, "'i' of features.0."),
        ([point(f="x")], ArgumentError, "'f' of features.0."),
        ([point(f=float("nan"))], ArgumentError, "'f' of features.0."),
        ([point(f=10**400)], ArgumentError, "'f' of features.0."),
        ([point(b=1)], ArgumentError, "'b' of features.0."),
        ([point(s=1)], ArgumentError, "'s' of features.0."),
        ([point(s="\ud800")], ArgumentError, "no valid text"),
        ([point(when="yesterday")], ArgumentError, "'when' of features.0."),
        ([point(day="2024-01-01T05:00:00")], ArgumentError, "'day' of features.0."),
        ([point(list=["x"])], ArgumentError, "'list' of features.0."),
        ([point(list=5)], ArgumentError, "'list' of features.0."),
        ([point(new=[1, 2])], ArgumentError, "'new' of features.0. is a list"),
        ([point(new={"a": 1})], ArgumentError, "'new' of features.0. is a dict"),
        ([point(geometry="x")], ArgumentError, "geometry"),
        ([point(**{"": 1})], ArgumentError, "1 to 256"),
        ([point(**{"x" * 257: 1})], ArgumentError, "1 to 256"),
        ([point(**{"a\ud800": 1})], ArgumentError, "no valid text"),
        ([point(**{f"p{i}": i for i in range(1001)})], LimitError, "1,000"),
        ([point() | {"geometry": {"type": "Polygon", "coordinates": deep(5000)}}], ArgumentError, r"features\[0\]"),
    ],
)  # fmt: skip
def test_bad_features(features, sent, error, text):
    ids = parcel(features, rich())
    before = features.store.timestamp(*ids)
    with pytest.raises(error, match=text):
        features.add(*ids, sent)
    assert features.store.timestamp(*ids) == before
    assert len(list(features.home.layers.iterdir())) == 1


def test_where_nothing_can_be_added(features, empty):
    path, timestamp = empty
    for ids in ((NOWHERE, timestamp), (path, NOWHERE)):
        with pytest.raises(NotFoundError):
            features.add(*ids, [point()])
    with pytest.raises(ArgumentError, match="uuid"):
        features.add(path, "x", [point()])
    features.store.catalogue.trash_timestamp(path, timestamp)
    with pytest.raises(ArgumentError, match="in the trash"):
        features.add(path, timestamp, [point()])


def test_required_and_trashed_properties(features, empty):
    must = features.add_property(empty[0], "must", "string", required=True)
    with pytest.raises(ArgumentError, match=r"features\[1\] lacks the property 'must'"):
        features.add(*empty, [point(must="x"), point()])
    (one,) = features.add(*empty, [point(must="x")])
    with pytest.raises(ArgumentError, match=r"changes\[0\] lacks the property 'must'"):
        features.edit(*empty, [{"featureId": one, "newProperties": {"must": None}}])
    features.trash_property(empty[0], must)
    features.add(*empty, [point()])
    with pytest.raises(ArgumentError, match="'must'.*in the trash"):
        features.add(*empty, [point(must="x")])


# ----- editing, and the trash ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".geojson", ".fgb", ".shp"])
def test_an_edit_changes_one_feature_and_nothing_else(features, tmp_path, suffix):
    data = rich() if suffix == ".parquet" else plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.to_parquet(tmp_path / "a.parquet") if suffix == ".parquet" else data.to_file(tmp_path / f"a{suffix}")
    ids = parcel(features, tmp_path / f"a{suffix}")
    before, listed = seen(features, ids), everything(features, ids)
    place = [one["properties"]["i"] for one in listed].index(5)
    (file,) = features.store.timestamp(*ids).files
    features.edit(*ids, [{"featureId": listed[place]["id"], "newProperties": {"f": -1.5, "s": "changed"}}])
    after, relisted = seen(features, ids), everything(features, ids)
    assert (after.dtypes == before.dtypes).all(), pandas.concat([before.dtypes, after.dtypes], axis=1)
    row = list(before["i"]).index(5)
    before.loc[row, ["f", "s"]] = [-1.5, "changed"]
    assert_geodataframe_equal(after, before)
    changed = listed[place]
    changed["properties"] |= {"f": -1.5, "s": "changed"}
    assert relisted == listed
    (now,) = features.store.timestamp(*ids).files
    assert (now.id, now.content == file.content, now.detail.features) == (file.id, False, 12)


def test_edits_of_geometry_and_null(features):
    ids = parcel(features, rich())
    (one, two, *_) = (feature["id"] for feature in everything(features, ids))
    bent = {"type": "LineString", "coordinates": [[5.38, 52.15], [5.39, 52.16]]}
    features.edit(
        *ids, [{"featureId": two, "newGeometry": bent}, {"featureId": one, "newProperties": {"s": None, "i": 7}}], ANNA
    )
    first, second, *rest = everything(features, ids)
    assert "s" not in first["properties"] and first["properties"]["i"] == 7 and second["properties"]["i"] == 1
    assert np.allclose(second["geometry"]["coordinates"], bent["coordinates"], atol=1e-9) and len(rest) == 10
    assert features.by_extent(
        features.store.timestamp(*ids), {"xMin": 5.389, "xMax": 5.39, "yMin": 52.159, "yMax": 52.17}
    )[0] == [second]
    inner = geopandas.GeoSeries([shapely.geometry.shape(bent)], crs=4326).to_crs(28992)
    assert shapely.equals_exact(seen(features, ids).geometry.iloc[1], inner.iloc[0], 1e-3)


def test_extents_follow_changes(features):
    ids = parcel(features, rich())
    timestamp = features.store.timestamp(*ids)
    assert len(features.by_extent(timestamp, WORLD)[0]) == 12
    (one, two, *_) = (feature["id"] for feature in everything(features, ids))
    features.edit(*ids, [{"featureId": two, "newGeometry": {"type": "Point", "coordinates": [6, 53]}}])
    features.trash(*ids, [one])
    added = features.add(*ids, [point(6.1, 53.1)]) + features.add(*ids, [point(6.2, 53.2)])
    there = {"xMin": 5.9, "xMax": 6.3, "yMin": 52.9, "yMax": 53.3}
    assert [feature["id"] for feature in features.by_extent(timestamp, there)[0]] == [two, *added]
    features.trash(*ids, [one], False)
    everywhere = features.by_extent(timestamp, WORLD)[0]
    assert everywhere == everything(features, ids) and len(everywhere) == 14


def test_trash_and_recover_give_back_the_very_same(features):
    data = rich(300)
    ids = parcel(features, data)
    before, listed = seen(features, ids), everything(features, ids)
    chosen = [listed[i]["id"] for i in (0, 7, 8, 150, 299)]
    features.trash(*ids, chosen, user=ANNA)
    left = everything(features, ids)
    assert [one["id"] for one in left] == [one["id"] for one in listed if one["id"] not in chosen]
    assert list(seen(features, ids)["i"]) == [i for i in range(300) if i not in (0, 7, 8, 150, 299)]
    with pytest.raises(NotFoundError, match="trash"):
        features.by_ids(features.store.timestamp(*ids), chosen[:1])
    features.trash(*ids, chosen[:1])
    features.trash(*ids, [listed[10]["id"], chosen[1]])
    features.trash(*ids, [*chosen, listed[10]["id"], listed[11]["id"]], False)
    assert everything(features, ids) == listed
    assert_geodataframe_equal(seen(features, ids), before)


def test_ids_are_never_used_again(features, empty):
    first = features.add(*empty, [point(n=i) for i in range(5)])
    features.trash(*empty, first[3:])
    second = features.add(*empty, [point(n=9)])
    assert not set(first) & set(second)
    features.trash(*empty, [*first, *second])
    assert everything(features, empty) == [] and len(seen(features, empty)) == 0
    features.trash(*empty, [first[4], second[0]], False)
    assert [(one["id"], one["properties"]["n"]) for one in everything(features, empty)] == [
        (first[4], 4),
        (second[0], 9),
    ]
    assert seen(features, empty)["n"].dtype == "int64"


def test_pages_go_on_over_what_goes_away(features):
    ids = parcel(features, rich())
    listed = everything(features, ids)
    _, start = features.page(features.store.timestamp(*ids), size=4)
    assert start == listed[4]["id"]
    features.trash(*ids, [start])
    page, _ = features.page(features.store.timestamp(*ids), start)
    assert page == listed[5:]


def test_changes_of_a_type_that_grows(features):
    ids = parcel(features, rich())
    one = everything(features, ids)[2]["id"]
    features.edit(*ids, [{"featureId": one, "newProperties": {"small": 10**6, "kind": "another", "fresh": 1.5}}])
    found = everything(features, ids)[2]["properties"]
    assert (found["small"], found["kind"], found["fresh"]) == (10**6, "another", 1.5)
    features.trash(*ids, [one])
    features.edit(*ids, [{"featureId": everything(features, ids)[0]["id"], "newProperties": {"more": "x"}}])
    features.trash(*ids, [one], False)
    assert everything(features, ids)[2]["properties"] == found
    assert values(features, ids, "fresh") == ["absent", "absent", 1.5] + ["absent"] * 9


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ("x", ArgumentError, "changes must be of type list"),
        ([5], ArgumentError, r"changes\[0\] must be a dictionary"),
        ([{"newProperties": {}}], ArgumentError, r"changes\[0\] must be a dictionary"),
        ([{"featureId": "x"}], ArgumentError, "featureId must be"),
        ([{"featureId": NOWHERE}], NotFoundError, NOWHERE),
        ([{"featureId": 0, "newProperties": {"i": "x"}}], ArgumentError, r"'i' of changes\[0\]"),
        ([{"featureId": 0, "newProperties": {"i": 5}}, {"featureId": 1, "newProperties": {"i": "x"}}], ArgumentError, r"'i' of changes\[1\]"),
        ([{"featureId": 0}, {"featureId": 0}], ArgumentError, "occurs twice"),
        ([{"featureId": 0, "newProperties": [1]}], ArgumentError, r"properties of changes\[0\]"),
        ([{"featureId": 0, "newProperties": {"geometry": 1}}], ArgumentError, "geometry"),
        ([{"featureId": 0, "newGeometry": {"type": "Point", "coordinates": [500, 0]}}], ArgumentError, r"changes\[0\].*500"),
        ([{"featureId": 0, "newGeometry": {"type": "Point", "coordinates": [-179, -89]}}], ArgumentError, "EPSG:28992"),
        ([{"featureId": 0, "newGeometry": 5}], ArgumentError, r"changes\[0\]"),
    ],
)  # fmt: skip
def test_bad_edits(features, changes, error, text):
    ids = parcel(features, rich())
    known = [one["id"] for one in everything(features, ids)]
    if isinstance(changes, list):
        changes = [
            one | {"featureId": known[one["featureId"]]} if isinstance(one, dict) and isinstance(one.get("featureId"), int) else one
            for one in changes
        ]  # fmt: skip
    before = features.store.timestamp(*ids)
    with pytest.raises(error, match=text):
        features.edit(*ids, changes)
    assert features.store.timestamp(*ids) == before
    assert [path.name for path in before.files[0].folder.iterdir()] == [before.files[0].main]


def test_bad_trash(features):
    ids = parcel(features, rich())
    one = everything(features, ids)[0]["id"]
    for wanted, flag, error, text in [
        ("x", True, ArgumentError, "list of uuids"), (["x"], True, ArgumentError, "featureIds must be"),
        ([one, NOWHERE], True, NotFoundError, NOWHERE), ([one], "yes", ArgumentError, "trashed must be of type boolean"),
        ([one[:-4] + "ffff"], False, NotFoundError, "ffff"), ([one] * 3001, True, LimitError, "3,000"),
    ]:  # fmt: skip
        with pytest.raises(error, match=text):
            features.trash(*ids, wanted, flag)
    assert len(everything(features, ids)) == 12


def test_a_change_of_several_files_is_whole(features, monkeypatch):
    path, timestamp = parcel(features, rich())
    features.store.add_file(path, timestamp, rich(), name="b.parquet")
    ids = (path, timestamp)
    listed = everything(features, ids)
    changes = [{"featureId": listed[i]["id"], "newProperties": {"i": 1000 + i}} for i in (1, 13)]
    replace, calls = features.store.catalogue.replace_file, []

    def second_fails(*arguments):
        calls.append(arguments)
        return replace(*arguments) if len(calls) == 1 else False

    monkeypatch.setattr(features.store.catalogue, "replace_file", second_fails)
    with pytest.raises(LayerError, match="try again"):
        features.edit(*ids, changes)
    monkeypatch.undo()
    assert len(calls) == 2 and everything(features, ids) == listed
    for file in features.store.timestamp(*ids).files:
        assert [one.name for one in file.folder.iterdir()] == [file.main]
    features.edit(*ids, changes)
    assert [i for i in values(features, ids, "i") if i >= 1000] == [1001, 1013]
    assert len(features.changes(features.store.timestamp(*ids))[0]) == 2


def test_a_full_disk_changes_nothing(features, monkeypatch):
    import pyarrow.parquet

    ids = parcel(features, rich())
    listed = everything(features, ids)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet.ParquetWriter, "write_table", full)
    for change in (
        lambda: features.edit(*ids, [{"featureId": listed[0]["id"], "newProperties": {"i": 5}}]),
        lambda: features.add(*ids, [point()]),
    ):
        with pytest.raises(StoreError, match="disk is full"):
            change()
    monkeypatch.undo()
    assert everything(features, ids) == listed and len(list(features.home.layers.iterdir())) == 1
    (file,) = features.store.timestamp(*ids).files
    assert [one.name for one in file.folder.iterdir()] == [file.main]


def test_former_versions_go(features, monkeypatch):
    from ellipsis_local.features import rewrite

    ids = parcel(features, rich())
    one = everything(features, ids)[0]["id"]
    names = []
    for n in range(4):
        features.edit(*ids, [{"featureId": one, "newProperties": {"i": n}}])
        names.append(features.store.timestamp(*ids).files[0].main)
    folder = features.store.timestamp(*ids).files[0].folder
    assert {path.name for path in folder.iterdir()} == set(names[-2:])
    features.tidy()
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(rewrite, "FORMER_SECONDS", -1)
    features.tidy()
    assert [path.name for path in folder.iterdir()] == names[-1:]


# ----- the log -------------------------------------------------------------------------------------------------------


def test_versions_of_a_feature(features, empty):
    one, two = features.add(*empty, [point(n=1), point(n=2)], ANNA)
    features.edit(*empty, [{"featureId": one, "newProperties": {"n": 5}}], BERT)
    features.edit(*empty, [{"featureId": one, "newGeometry": {"type": "Point", "coordinates": [1, 2]}}], ANNA)
    timestamp = features.store.timestamp(*empty)
    found = features.versions(timestamp, one)
    assert [(v["feature"]["properties"]["n"], v["feature"]["geometry"]["coordinates"], v["user"]["username"]) for v in found] == [
        (5, [1, 2], "anna"), (5, [5, 52], "bert"), (1, [5, 52], "anna"),
    ]  # fmt: skip
    assert all(v["feature"]["id"] == one == v["feature"]["properties"]["id"] for v in found)
    dates = [datetime.datetime.strptime(v["date"], "%Y-%m-%dT%H:%M:%S.%fZ") for v in found]
    assert dates == sorted(dates, reverse=True)
    features.trash(*empty, [one])
    assert features.versions(timestamp, one) == found
    features.trash(*empty, [one], False, BERT)
    again = features.versions(timestamp, one)
    assert again[1:] == found and again[0]["feature"] == found[0]["feature"] and again[0]["user"]["id"] == BERT.id
    assert len(features.versions(timestamp, two)) == 1
    (uploaded,) = features.versions(
        timestamp := features.store.timestamp(*parcel(features, rich())),
        everything(features, (timestamp.path_id, timestamp.id))[0]["id"],
    )
    assert uploaded["user"] == {"id": None, "username": None}


def test_changes_page_by_page(features, empty):
    ids = features.add(*empty, [point(n=i) for i in range(7)], ANNA)
    features.edit(*empty, [{"featureId": one, "newProperties": {"n": 0}} for one in ids[:3]], BERT)
    features.trash(*empty, ids[2:4])
    features.trash(*empty, ids[2:4], False)
    timestamp = features.store.timestamp(*empty)
    whole, following = features.changes(timestamp)
    assert following is None
    assert [one["action"] for one in whole] == ["recover"] * 2 + ["trash"] * 2 + ["edit"] * 3 + ["add"] * 7
    assert [one["featureId"] for one in whole] == ids[2:4] * 2 + ids[:3] + ids
    assert whole[4]["user"] == {"id": BERT.id, "username": "bert"} and whole[0]["user"]["id"] is None
    for size in (1, 2, 3, 5, 14, 20):
        found, start = [], None
        while True:
            page, start = features.changes(timestamp, start, size)
            assert len(page) <= size
            found += page
            if start is None:
                break
        assert found == whole
    assert [one["action"] for one in features.changes(timestamp, actions=["edit", "trash"])[0]] == ["trash"] * 2 + [
        "edit"
    ] * 3
    features.store.remove(*empty)
    assert features.database.rows("SELECT * FROM feature_changes") == []


# ----- several at once -----------------------------------------------------------------------------------------------


def edit_some(root, ids, wanted, value):
    made = opened(root)
    for one in wanted:
        made.edit(*ids, [{"featureId": one, "newProperties": {"i": value}}])
    made.add(*ids, [point(5.387, 52.155, i=value)])
    made.database.close()


def in_another_process(*arguments):
    program = "import json, sys; sys.path.insert(0, sys.argv[1]); import test_features_change as t; "
    program += "t.edit_some(*json.loads(sys.argv[2]))"
    folders = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", program, str(Path(__file__).parent), json.dumps(arguments)],
        env=os.environ | {"PYTHONPATH": folders},
    )


def test_changes_of_several_threads_and_processes(features):
    ids = parcel(features, rich(120))
    listed = [one["id"] for one in everything(features, ids)]
    root = str(features.home.root)
    counts = []
    processes = [in_another_process(root, ids, listed[40 * n : 40 * n + 4], 1000 + n) for n in range(2)]
    try:
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(edit_some, root, ids, listed[80 + 20 * n : 84 + 20 * n], 2000 + n) for n in range(2)]
            while not all(job.done() for job in jobs) or any(process.poll() is None for process in processes):
                # Whoever reads meanwhile sees all features, whichever version is there.
                counts.append(sum(one["id"] in listed for one in everything(features, ids, 50)))
            for job in jobs:
                job.result()
    finally:
        codes = [process.wait(120) for process in processes]
    assert codes == [0, 0]
    assert set(counts) == {120}
    found = values(features, ids, "i")
    for value in (1000, 1001, 2000, 2001):
        assert found.count(value) == 5
    assert len(found) == 124 and len(features.changes(features.store.timestamp(*ids))[0]) == 20


# ----- what computes see ---------------------------------------------------------------------------------------------


def collect(params):
    (value,) = params.values()
    frame = value["vector"]
    return {"i": [None if str(v) in ("nan", "<NA>") else int(v) for v in frame["i"]], "crs": str(frame.crs)}


def test_a_compute_sees_changes(el, create, token):
    from ellipsis_local.emulator import current_emulator

    made = current_emulator().features
    data = rich(40)[["i", "s", "geometry"]]
    ids = tuple(el.layers.add(data).values())
    layers = [{"pathId": ids[0], "timestampId": ids[1]}]
    listed = [one["id"] for one in everything(made, ids)]
    made.edit(*ids, [{"featureId": listed[1], "newProperties": {"i": 5000}}])
    made.trash(*ids, listed[10:20])
    made.trash(*ids, listed[19:20], False)
    made.add(*ids, [point(5.38, 52.15, i=7000, s="new"), point(5.39, 52.16)])

    compute = create(layers, nodes=3)
    results = el.compute.execute(compute, collect, token)
    el.compute.terminateCompute(compute, token)
    got = [one for part in results for one in part["i"]]
    wanted = [0, 5000, *range(2, 10), *range(19, 40), 7000]
    assert sorted(one for one in got if one is not None) == sorted(wanted) and got.count(None) == 1
    assert {part["crs"] for part in results} == {"EPSG:3857"}
    assert el.path.get(ids[0])["vector"]["properties"] == made.properties(ids[0])


def test_real_layers_can_be_changed(features, data):
    for name in ("tiger_roads_nyc.geojson", "ne_110m_countries.fgb"):
        ids = parcel(features, data / name)
        before, listed = seen(features, ids), everything(features, ids)
        features.trash(*ids, [listed[0]["id"], listed[-1]["id"]])
        assert len(seen(features, ids)) == len(before) - 2
        features.trash(*ids, [listed[0]["id"], listed[-1]["id"]], False)
        assert_geodataframe_equal(seen(features, ids), before)
        assert json.dumps(everything(features, ids)) == json.dumps(listed)
        copy = listed[0] | {"properties": {key: v for key, v in listed[0]["properties"].items() if key != "id"}}
        (new,) = features.add(*ids, [copy])
        (added,) = features.by_ids(features.store.timestamp(*ids), [new])
        assert added["properties"] == copy["properties"] | {"id": new}
        assert (seen(features, ids).dtypes == before.dtypes).all()
