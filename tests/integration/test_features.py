"""The features of a timestamp as the service answers them: ids, pages, extents, locations, properties."""

import json
import shutil
import warnings
import zipfile

import geopandas
import numpy as np
import pandas
import pyogrio
import pyogrio.raw
import pytest
import shapely

from ellipsis_local import features as room
from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, LimitError, NotFoundError
from ellipsis_local.features.features import Features
from ellipsis_local.features.query import PAGE_BYTES, collection
from ellipsis_local.home import Home
from ellipsis_local.store import SCHEMA, LayerStore

NOWHERE = "5a0e4f9c-3c8e-4c53-9d5c-6c1f7f1f4b11"


@pytest.fixture
def features(tmp_path):
    home = Home(tmp_path / "own-home")
    home.prepare()
    database = Database(home.database, (*SCHEMA, *room.SCHEMA))
    yield Features(home, database, LayerStore(home, database))
    database.close()


def frame(count=10, crs="EPSG:28992", **columns):
    points = shapely.points(155_000 + np.arange(count) * 100.0, 463_000 + np.arange(count) * 70.0)
    return geopandas.GeoDataFrame(
        {"name": [f"n{i}" for i in range(count)], "number": np.arange(count), **columns}, geometry=points, crs=crs
    )


def write(path, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".parquet":
            data.to_parquet(path)
        elif path.suffix == ".zip":
            folder = path.with_suffix("")
            folder.mkdir()
            data.to_file(folder / "inner.shp")
            with zipfile.ZipFile(path, "w") as archive:
                for part in folder.iterdir():
                    archive.write(part, f"sub/{part.name}")
        else:
            data.to_file(path)
    return path


def added(features, *sources):
    path, timestamp = features.store.add(sources[0])
    for number, source in enumerate(sources[1:]):
        features.store.add_file(path, timestamp, source, name=f"more-{number}" + getattr(source, "suffix", ""))
    return features.store.timestamp(path, timestamp)


def pages(features, timestamp, size=None, **extent):
    start, found, count = None, [], 0
    while True:
        if extent:
            page, start = features.by_extent(timestamp, extent, None, start, size)
        else:
            page, start = features.page(timestamp, start, size)
        found += page
        count += 1
        if start is None:
            return found, count


def as_frame(found):
    return geopandas.GeoDataFrame.from_features(found, crs="EPSG:4326")


# ----- ids and pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.fgb", "a.zip", "a.shp", "a.parquet"])
def test_every_format_gives_all_features_in_degrees(features, tmp_path, name):
    data = frame(25)
    timestamp = added(features, write(tmp_path / name, data))
    found, following = features.page(timestamp)
    assert following is None
    got = as_frame(found).set_index("number").sort_index()
    assert list(got["name"]) == list(data["name"])
    assert got.geometry.geom_equals_exact(data.to_crs(4326).geometry, 1e-9).all()
    ids = [one["id"] for one in found]
    assert len(set(ids)) == 25 and ids == [one["properties"]["id"] for one in found]
    # Another process, with an empty cache, gives the same ones.
    shutil.rmtree(features.home.cache / "features", ignore_errors=True)
    again = Features(features.home, features.database, features.store)
    assert again.page(timestamp)[0] == found
    json.dumps(found, allow_nan=False)


def test_pages_of_several_files_are_complete_and_without_doubles(features, tmp_path):
    first, second = frame(230), frame(97, crs="EPSG:3857", other=1.5)
    third = frame(3, crs="EPSG:4326").set_geometry(shapely.points([1, 2, 3], [4, 5, 6]), crs=4326)
    timestamp = added(
        features,
        write(tmp_path / "a.gpkg", first), write(tmp_path / "b.parquet", second), write(tmp_path / "c.geojson", third),
    )  # fmt: skip
    whole, count = pages(features, timestamp)
    assert len(whole) == 330 and count == 1
    assert [one["properties"]["number"] for one in whole] == [*range(230), *range(97), *range(3)]
    for size in (1, 7, 230, 231, 329, 330, 331):
        found, count = pages(features, timestamp, size)
        assert [one["id"] for one in found] == [one["id"] for one in whole]
        assert count == -(-330 // size)


def test_a_page_is_what_the_client_reads(features):
    timestamp = added(features, frame(3))
    answer = collection(features.page(timestamp, size=2))
    assert answer["size"] == 2 and answer["truncated"] and answer["result"]["type"] == "FeatureCollection"
    rest = collection(features.page(timestamp, answer["nextPageStart"]))
    assert rest["size"] == 1 and rest["nextPageStart"] is None and not rest["truncated"]
    assert features.page(timestamp, {"featureId": answer["nextPageStart"]}) == (rest["result"]["features"], None)
    everything = answer["result"]["features"] + rest["result"]["features"]
    assert list(as_frame(everything)["name"]) == ["n0", "n1", "n2"]


def test_a_page_ends_at_its_bytes(features):
    rings = [shapely.Point(i, 0).buffer(1, quad_segs=2000) for i in range(40)]
    timestamp = added(features, geopandas.GeoDataFrame({"i": range(40)}, geometry=rings, crs=4326))
    found, following = features.page(timestamp)
    assert 1 < len(found) < 40 and following is not None
    assert len(json.dumps(found)) < 1.5 * PAGE_BYTES
    assert [one["properties"]["i"] for one in pages(features, timestamp)[0]] == list(range(40))
    huge = geopandas.GeoDataFrame(
        {"i": range(2)}, geometry=[shapely.Point(0, 0).buffer(1, quad_segs=20_000)] * 2, crs=4326
    )
    assert [len(features.page(added(features, huge), size=1)[0])] == [1]


def test_a_large_file_is_read_from_the_middle(features, tmp_path):
    data = frame(100_000)
    timestamp = added(features, write(tmp_path / "a.fgb", data))
    found, count = pages(features, timestamp)
    # FlatGeobuf has an order of its own.
    assert sorted(one["properties"]["number"] for one in found) == list(range(100_000))
    assert len({one["id"] for one in found}) == 100_000 and count >= 10
    (page, _) = features.page(timestamp, found[87_654]["id"], 3)
    assert page == found[87_654:87_657]


def test_features_without_geometry_are_left_out(features, tmp_path):
    data = frame(9)
    data.loc[[0, 4, 8], "geometry"] = None
    data.loc[5, "geometry"] = shapely.Point()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timestamp = added(features, write(tmp_path / "a.gpkg", data), data)
    found, _ = pages(features, timestamp, 2)
    assert [one["properties"]["number"] for one in found] == [1, 2, 3, 6, 7] * 2
    assert features.by_ids(timestamp, [found[1]["id"]]) == [found[1]]


def test_empty_layers(features):
    timestamp = added(features, frame(0))
    assert features.page(timestamp) == ([], None)
    assert features.by_extent(timestamp, {"xMin": 0, "yMin": 0, "xMax": 9, "yMax": 9}) == ([], None)
    assert features.at_locations(timestamp, [[0, 0]]) == [[]]
    path = features.store.add_layer_path("vector", "nothing")
    bare = features.store.timestamp(path, features.store.add_timestamp(path))
    assert features.page(bare) == ([], None) and features.by_ids(bare, []) == []


def test_values_as_json(features, tmp_path):
    data = frame(2)
    data["float"] = [np.nan, np.inf]
    data["maybe"] = pandas.array([None, 2**60 + 1], dtype="Int64")
    data["flag"] = pandas.array([True, None], dtype="boolean")
    data["kind"] = pandas.Categorical(["a", None])
    data["when"] = pandas.to_datetime(["2024-05-06T07:08:09.5", None], utc=True)
    data["local"] = pandas.to_datetime(["2024-05-06T07:08:09", None])
    data["day"] = [pandas.Timestamp("2024-05-06").date(), None]
    data["nested"] = [[1, 2], None]
    data["bytes"] = [b"\1\xff", None]
    data["id"] = ["covered", "by the id"]
    (first, second), _ = features.page(added(features, data))
    first, second = first["properties"], second["properties"]
    wanted = {
        "flag": True, "kind": "a", "when": "2024-05-06T07:08:09.500000+00:00",
        "local": "2024-05-06T07:08:09", "day": "2024-05-06", "nested": [1, 2], "bytes": "01ff",
    }  # fmt: skip
    assert {name: first[name] for name in wanted} == wanted
    # A feature comes without the properties that it does not have, or that JSON cannot express.
    assert set(first) == {"id", "name", "number", *wanted} and first["id"] != "covered"
    assert set(second) == {"id", "name", "number", "maybe"} and second["maybe"] == 2**60 + 1


def test_nested_values_of_geojson(features, tmp_path):
    text = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {"o": {"a": [1, None]}}, "geometry": {"type": "Point", "coordinates": [1, 2, 3]}},
            {"type": "Feature", "properties": {"o": {"b": "x"}}, "geometry": {"type": "Point", "coordinates": [1, 2, 4]}},
        ],
    }  # fmt: skip
    (tmp_path / "a.geojson").write_text(json.dumps(text))
    timestamp = added(features, tmp_path / "a.geojson")
    found, _ = features.page(timestamp)
    assert [one["geometry"]["coordinates"] for one in found] == [[1, 2, 3], [1, 2, 4]]
    values = [one["properties"]["o"] for one in found]
    with pyogrio.raw.open_arrow(tmp_path / "a.geojson", use_pyarrow=True) as (_, reader):
        told = "arrow.json" in str(reader.schema)
    # Older releases of GDAL do not tell nested values from text.
    assert [one["type"] for one in features.properties(timestamp.path_id)] == ["json" if told else "string"]
    assert (values if told else [json.loads(one) for one in values]) == [{"a": [1, None]}, {"b": "x"}]


def test_parquet_of_all_kinds(features, tmp_path):
    data = frame(300)
    data.index = np.arange(300) * 2
    data.index.name = "code"
    data.to_parquet(tmp_path / "native.parquet", geometry_encoding="geoarrow")
    data.to_parquet(tmp_path / "covered.parquet", write_covering_bbox=True, row_group_size=7)
    timestamp = added(features, tmp_path / "native.parquet", tmp_path / "covered.parquet")
    found, _ = pages(features, timestamp, 41)
    assert [one["properties"]["number"] for one in found] == [*range(300)] * 2
    # What computes do not see is no property: the index, and the bounds.
    assert {name for one in found for name in one["properties"]} == {"id", "name", "number"}
    assert [one["name"] for one in features.properties(timestamp.path_id)] == ["name", "number"]
    assert features.by_ids(timestamp, [found[333]["id"]]) == [found[333]]


def test_large_groups_of_rows_are_not_held(features, tmp_path, monkeypatch):
    from ellipsis_local.vector import rows

    monkeypatch.setattr(rows, "MOST_ROWS", 50)
    data = frame(300)
    data.to_parquet(tmp_path / "a.parquet")
    timestamp = added(features, tmp_path / "a.parquet")
    assert [one["properties"]["number"] for one in pages(features, timestamp, 99)[0]] == list(range(300))
    assert len(list((features.home.cache / "features").glob("*.parquet"))) == 1


def test_geometries_that_degrees_cannot_express(features):
    data = frame(3, crs="EPSG:3035")
    data.loc[1, "geometry"] = shapely.Point(1e30, 1e30)
    found, _ = features.page(added(features, data))
    assert [one["geometry"] is None for one in found] == [False, True, False]


def test_curves_are_drawn_straight(features, tmp_path):
    import sqlite3

    write(tmp_path / "a.gpkg", frame(3))
    # A compound curve of one circular string, as GeoPackage keeps it.
    wkb = bytes.fromhex("0108000000" + "03000000") + np.array([0, 0, 1, 1, 2, 0], "<f8").tobytes()
    blob = b"GP\x00\x01" + (28992).to_bytes(4, "little") + wkb
    with sqlite3.connect(tmp_path / "a.gpkg") as connection:
        connection.create_function("ST_IsEmpty", 1, lambda _: 0)
        for name in ("ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            connection.create_function(name, 1, lambda _: 0.0)
        connection.execute("UPDATE a SET geom = ? WHERE fid = 2", (blob,))
    connection.close()
    timestamp = added(features, tmp_path / "a.gpkg")
    found, _ = features.page(timestamp)
    assert [one["geometry"]["type"] for one in found] == ["Point", "LineString", "Point"]
    assert len(found[1]["geometry"]["coordinates"]) > 10


# ----- extents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:28992", "EPSG:3413", "EPSG:4979"])
def test_extents_are_exact(features, crs):
    rng = np.random.default_rng(7)
    x, y = rng.uniform(3, 8, 600), rng.uniform(50, 54, 600)
    lines = [
        shapely.LineString([(a, b), (a + c, b + d)])
        for a, b, c, d in zip(x, y, *rng.uniform(-0.5, 0.5, (2, 600)), strict=True)
    ]
    data = geopandas.GeoDataFrame({"i": range(600)}, geometry=lines, crs=4326)
    stored = data.to_crs(crs)
    timestamp = added(features, stored.iloc[:400], stored.iloc[400:])
    bounds = stored.to_crs(4326).bounds.to_numpy()
    for west, south, width, height in [
        (4, 51, 1, 1),
        (5.2, 52.1, 0.03, 0.01),
        (3.5, 50, 0.0, 4),
        (20, 20, 1, 1),
        (0, 0, 90, 90),
    ]:
        wanted = (
            (bounds[:, 0] <= west + width) & (bounds[:, 2] >= west)
            & (bounds[:, 1] <= south + height) & (bounds[:, 3] >= south)
        )  # fmt: skip
        for size in (None, 13):
            found, _ = pages(features, timestamp, size, xMin=west, xMax=west + width, yMin=south, yMax=south + height)
            assert [one["properties"]["i"] for one in found] == np.flatnonzero(wanted).tolist()


def test_extents_of_real_layers(features, data):
    for name in ("ne_110m_countries.fgb", "tiger_roads_nyc.geojson", "buildings_alexandria.geojson", "zion.gpkg"):
        layers = [one for one, kind in pyogrio.list_layers(data / name) if kind is not None]
        for layer in layers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                path, timestamp = features.store.add(
                    data / name, layer=layer if len(layers) > 1 else None, type="vector"
                )
            timestamp = features.store.timestamp(path, timestamp)
            whole = timestamp.vectors[0]
            found, _ = pages(features, timestamp, 1000)
            assert len(found) == len({one["id"] for one in found}) == whole.features
            own = as_frame(found)
            west, south, east, north = own.total_bounds
            x, y = (west + east) / 2, (south + north) / 2
            quarters = [(west, south, x, y), (x, south, east, y), (west, y, x, north), (x, y, east, north)]
            ids = set()
            for one in quarters:
                part, _ = pages(
                    features, timestamp, 777, **dict(zip(("xMin", "yMin", "xMax", "yMax"), one, strict=True))
                )
                bounds = own.bounds
                meets = (
                    (bounds.minx <= one[2])
                    & (bounds.maxx >= one[0])
                    & (bounds.miny <= one[3])
                    & (bounds.maxy >= one[1])
                )
                assert {feature["id"] for feature in part} == set(own["id"][meets])
                ids |= {feature["id"] for feature in part}
            assert ids == set(own["id"])


def test_property_filter(features):
    data = frame(20, maybe=pandas.array([None, 1] * 10, dtype="Int64"), ratio=np.linspace(0, 1, 20))
    data["when"] = pandas.date_range("2024-01-01", periods=20, tz="UTC")
    data["kind"] = pandas.Categorical(["a", "b"] * 10)
    data.loc[3, "ratio"] = np.nan
    timestamp = added(features, data, frame(2, only_here=["x", None]))
    world = {"xMin": -180, "xMax": 180, "yMin": -90, "yMax": 90}

    def numbers(*conditions):
        entries = [dict(zip(("key", "operator", "value"), one, strict=True)) for one in conditions]
        return [one["properties"]["number"] for one in features.by_extent(timestamp, world, entries)[0]]

    assert numbers(("number", "<", 3)) == [0, 1, 2, 0, 1]
    assert numbers(("number", ">=", 18.5)) == [19]
    assert numbers(("number", "=", 4), ("name", "=", "n4")) == [4]
    assert numbers(("name", "!=", "n0"), ("number", "<=", 1)) == [1, 1]
    assert numbers(("maybe", "=", None), ("number", ">", 15)) == [16, 18]
    assert numbers(("maybe", "!=", 1), ("number", "<", 3)) == [0, 2, 0, 1]
    assert numbers(("ratio", "=", None)) == [3, 0, 1]
    assert numbers(("ratio", "!=", None), ("ratio", ">", 0.9)) == [18, 19]
    assert numbers(("when", ">", "2024-01-19T00:00:00+00:00")) == [19]
    assert numbers(("kind", "=", "b"), ("number", "<", 4)) == [1, 3]
    assert numbers(("only_here", "=", "x")) == [0]
    assert features.by_extent(timestamp, world, [])[0] == features.page(timestamp)[0]


# ----- ids and locations ---------------------------------------------------------------------------------------------


def test_by_ids_keeps_the_order(features, tmp_path):
    timestamp = added(features, write(tmp_path / "a.gpkg", frame(3000)), frame(500))
    found, _ = pages(features, timestamp)
    wanted = [found[i] for i in (3400, 2, 2999, 3000, 2, 0)]
    assert features.by_ids(timestamp, [one["id"] for one in wanted]) == wanted
    assert features.by_ids(timestamp, [wanted[0]["id"].upper()]) == wanted[:1]
    assert features.by_ids(timestamp, []) == []


def test_at_locations(features):
    shapes = [
        shapely.box(0, 0, 10, 10), shapely.box(5, 5, 15, 15), shapely.LineString([(20, 0), (20, 10)]), shapely.Point(30, 60),
    ]  # fmt: skip
    data = geopandas.GeoDataFrame({"i": range(4)}, geometry=shapes, crs=4326)
    timestamp = added(features, data.iloc[:2], data.iloc[2:].to_crs(3857))
    metre = 1 / 111_320
    locations = [
        (1, 1),
        (7, 7),
        (15 + 5 * metre, 10),
        (20 + 5 * metre, 5),
        (20 + 30 * metre, 5),
        (30 + 15 * metre, 60),
        (50, 50),
    ]
    found = features.at_locations(timestamp, locations)
    assert [[one["properties"]["i"] for one in here] for here in found] == [[0], [0, 1], [1], [2], [], [3], []]
    projected = geopandas.GeoSeries(shapely.points([(1, 1), (7, 7)]), crs=4326).to_crs(3857)
    again = features.at_locations(timestamp, [[p.x, p.y] for p in projected], 3857)
    assert again == found[:2]
    assert features.at_locations(timestamp, []) == []


# ----- properties ----------------------------------------------------------------------------------------------------


def test_properties_of_files_and_declared(features, tmp_path):
    data = frame(3, ratio=[0.5, 1, 2])
    data["flag"] = [True, False, True]
    data["when"] = pandas.date_range("2024-01-01", periods=3)
    timestamp = added(features, write(tmp_path / "a.gpkg", data))
    path = timestamp.path_id
    found = features.properties(path)
    types = {"name": "string", "number": "integer", "ratio": "float", "flag": "boolean", "when": "datetime"}
    assert {one["name"]: one["type"] for one in found} == types
    made = features.add_property(path, "score", "float", required=True)
    assert features.add_property(path, "score", "float", required=True) == made
    again = Features(features.home, features.database, features.store).properties(path)
    assert again[:5] == found
    assert again[5] == {
        "id": made,
        "name": "score",
        "type": "float",
        "required": True,
        "private": False,
        "trashed": False,
    }
    features.edit_property(path, made, required=False, private=True)
    name = found[0]["id"]
    features.trash_property(path, name)
    one, *_, last = features.properties(path)
    assert one == found[0] | {"trashed": True} and (last["required"], last["private"]) == (False, True)
    assert "name" not in features.page(timestamp)[0][0]["properties"]
    features.trash_property(path, name, False)
    assert features.page(timestamp)[0][0]["properties"]["name"] == "n0"
    # The same name has the same id in one path, and another in another.
    other = features.properties(added(features, frame(1)).path_id)
    assert other[0]["id"] != name


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((5, "string"), "name must be of type string"),
        (("", "string"), "1 to 256"),
        (("x" * 300, "string"), "1 to 256"),
        (("a\ud800", "string"), "no valid text"),
        (("geometry", "string"), "geometry"),
        (("id", "string"), "id"),
        (("new", "text"), "type must be one of string"),
        (("new", ["string"]), "type must be one of string"),
        (("new", "string", 1), "required must be of type boolean"),
        (("new", "string", False, None), "private must be of type boolean"),
        (("number", "string"), "exists already, of type integer"),
    ],
)
def test_bad_properties(features, arguments, text):
    path = added(features, frame(2)).path_id
    before = features.properties(path)
    with pytest.raises(ArgumentError, match=text):
        features.add_property(path, *arguments)
    assert features.properties(path) == before


def test_unknown_properties(features):
    path = added(features, frame(2)).path_id
    with pytest.raises(NotFoundError, match="propertyId"):
        features.edit_property(path, NOWHERE, required=True)
    with pytest.raises(ArgumentError, match="propertyId must be"):
        features.trash_property(path, "x")
    with pytest.raises(ArgumentError, match="is a folder"):
        features.properties(features.store.add_layer_path("folder", "f"))
    with pytest.raises(NotFoundError):
        features.properties(NOWHERE)
    trashed = features.add_property(path, "gone", "string")
    features.trash_property(path, trashed)
    with pytest.raises(ArgumentError, match="in the trash"):
        features.add_property(path, "gone", "string")


# ----- bad arguments -------------------------------------------------------------------------------------------------

WORLD = {"xMin": 0, "xMax": 1, "yMin": 0, "yMax": 1}


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda f, t: f.page(t, "x"), ArgumentError, "pageStart must be"),
        (lambda f, t: f.page(t, 5), ArgumentError, "pageStart must be"),
        (lambda f, t: f.page(t, {"id": NOWHERE}), ArgumentError, "pageStart must be a nextPageStart"),
        (lambda f, t: f.page(t, NOWHERE), ArgumentError, "no nextPageStart"),
        (lambda f, t: f.page(t, "5a0e4f9c-3c8e-8c53-8d5c-6c1f7f1f4b11"), NotFoundError, "no file of this timestamp"),
        (lambda f, t: f.page(t, size=0), ArgumentError, "at least 1"),
        (lambda f, t: f.page(t, size="5"), ArgumentError, "pageSize must be of type int"),
        (lambda f, t: f.page(t, size=True), ArgumentError, "pageSize must be of type int"),
        (lambda f, t: f.by_ids(t, "x"), ArgumentError, "list of uuids"),
        (lambda f, t: f.by_ids(t, ["x"]), ArgumentError, "featureIds must be"),
        (lambda f, t: f.by_ids(t, [NOWHERE]), NotFoundError, NOWHERE),
        (lambda f, t: f.by_ids(t, [NOWHERE] * 3001), LimitError, "3,000"),
        (lambda f, t: f.by_extent(t, None), ArgumentError, "extent must be a dictionary"),
        (lambda f, t: f.by_extent(t, {"xMin": 0}), ArgumentError, "extent must be a dictionary"),
        (lambda f, t: f.by_extent(t, WORLD | {"xMax": "1"}), ArgumentError, "finite numbers"),
        (lambda f, t: f.by_extent(t, WORLD | {"xMax": float("nan")}), ArgumentError, "finite numbers"),
        (lambda f, t: f.by_extent(t, WORLD | {"xMax": -1}), ArgumentError, "xMax must be larger"),
        (lambda f, t: f.by_extent(t, WORLD, {"key": "a"}), ArgumentError, "propertyFilter is a list"),
        (lambda f, t: f.by_extent(t, WORLD, [{"key": "number"}]), ArgumentError, r"propertyFilter\[0\]"),
        (
            lambda f, t: f.by_extent(t, WORLD, [{"key": "x", "operator": "=", "value": 1}]),
            ArgumentError,
            "no property 'x'",
        ),
        (
            lambda f, t: f.by_extent(t, WORLD, [{"key": "number", "operator": "~", "value": 1}]),
            ArgumentError,
            "operator",
        ),
        (
            lambda f, t: f.by_extent(t, WORLD, [{"key": "number", "operator": [], "value": 1}]),
            ArgumentError,
            "operator",
        ),
        (
            lambda f, t: f.by_extent(t, WORLD, [{"key": "number", "operator": "<", "value": None}]),
            ArgumentError,
            "null",
        ),
        (lambda f, t: f.at_locations(t, 5), ArgumentError, "locations must be"),
        (lambda f, t: f.at_locations(t, [[1]]), ArgumentError, r"locations\[0\]"),
        (lambda f, t: f.at_locations(t, [[1, "2"]]), ArgumentError, r"locations\[0\]"),
        (lambda f, t: f.at_locations(t, [[0, 0], [1, float("inf")]]), ArgumentError, r"locations\[1\]"),
        (lambda f, t: f.at_locations(t, [[1, 2]] * 101), LimitError, "100 locations"),
        (lambda f, t: f.at_locations(t, [[1, 2]], 1), ArgumentError, "no EPSG code 1"),
        (lambda f, t: f.at_locations(t, [[1, 2]], "4326"), ArgumentError, "epsg must be"),
        (lambda f, t: f.versions(t, NOWHERE), NotFoundError, NOWHERE),
        (lambda f, t: f.versions(t, 5), ArgumentError, "featureId must be"),
        (lambda f, t: f.changes(t, "x"), ArgumentError, "no nextPageStart"),
        (lambda f, t: f.changes(t, None, None, ["made"]), ArgumentError, "actions must be"),
    ],
)
def test_bad_questions(features, ask, error, text):
    timestamp = added(features, frame(2))
    with pytest.raises(error, match=text):
        ask(features, timestamp)


@pytest.mark.parametrize("value", ["x", 1.5, True, [1]])
def test_a_filter_of_another_type(features, value):
    timestamp = added(features, frame(5, nested=[[1]] * 5).to_crs(4326))
    everywhere = {"xMin": -180, "xMax": 180, "yMin": -90, "yMax": 90}

    def ask(key):
        return features.by_extent(timestamp, everywhere, [{"key": key, "operator": "=", "value": value}])

    if value == 1.5:
        assert ask("number") == ([], None)
    else:
        with pytest.raises(ArgumentError, match="number"):
            ask("number")
    with pytest.raises(ArgumentError, match="nested"):
        ask("nested")


def test_rasters_have_no_features(features):
    path = features.store.add_layer_path("raster", "r")
    timestamp = features.store.timestamp(path, features.store.add_timestamp(path))
    with pytest.raises(ArgumentError, match="no features"):
        features.page(timestamp)
    with pytest.raises(ArgumentError, match="no features"):
        features.add(timestamp.path_id, timestamp.id, [])


def test_a_file_that_is_gone(features):
    timestamp = added(features, frame(2))
    timestamp.files[0].location.unlink()
    with pytest.raises(LayerError, match="vector.parquet"):
        features.page(timestamp)


def test_what_is_kept_goes_with_the_files(features, tmp_path):
    world = {"xMin": -180, "xMax": 180, "yMin": -90, "yMax": 90}
    one, two = (added(features, write(tmp_path / name, frame(9))) for name in ("a.gpkg", "b.fgb"))
    for timestamp in (one, two):
        features.by_extent(timestamp, world)
        features.properties(timestamp.path_id)
    folder = features.home.cache / "features"
    assert len(list(folder.iterdir())) == 4
    features.tidy()
    assert len(list(folder.iterdir())) == 4
    features.store.remove(one.path_id)
    features.tidy()
    assert {path.name.partition("-")[0] for path in folder.iterdir()} == {two.files[0].content}
    assert len(list(folder.iterdir())) == 2
    assert len(features.by_extent(two, world)[0]) == 9
