"""Vectors into the store: real files of every format, features without geometry, and what must be refused."""

import datetime
import json
import sqlite3
import struct
import warnings
import zipfile

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal

from ellipsis_local.errors import ArgumentError, LayerError, LayerWarning


def frame(count=10, **columns):
    points = shapely.points(np.arange(count) + 0.5, np.arange(count) * 2.0)
    return geopandas.GeoDataFrame(
        {"name": [f"n{i}" for i in range(count)], **columns}, geometry=points, crs="EPSG:28992"
    )


def write(path, data=None):
    data = frame() if data is None else data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix in (".parquet", ".geoparquet"):
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


def added(store, source, **arguments):
    (file,) = store.timestamp(*store.add(source, **arguments)).files
    return file


FORMATS = ["a.gpkg", "a.geojson", "a.json", "a.fgb", "a.shp", "a.zip", "a.parquet", "a.geoparquet"]


@pytest.mark.parametrize("name", FORMATS)
def test_formats(store, tmp_path, name):
    file = added(store, write(tmp_path / name))
    detail = file.detail
    assert (detail.crs, detail.features, detail.fields) == ("EPSG:28992", 10, ("name",))
    assert tuple(detail.extent) == (0.5, 0, 9.5, 18)
    read = geopandas.read_parquet if detail.format == "parquet" else pyogrio.read_dataframe
    assert sorted(read(detail.location)["name"]) == sorted(frame()["name"])
    if name == "a.shp":
        assert set(file.parts) == {"a.shp", "a.shx", "a.dbf", "a.prj", "a.cpg"}


@pytest.mark.parametrize("name", FORMATS)
def test_from_memory(store, tmp_path, name):
    data = write(tmp_path / name).read_bytes()
    if name == "a.shp":
        with pytest.raises(LayerError, match="zip them"):
            store.add_file(*empty(store), data, name=name, format="shp")
        return
    path_id, timestamp_id = empty(store)
    store.add_file(path_id, timestamp_id, data, name="x", format=name[2:])
    assert store.timestamp(path_id, timestamp_id).vectors[0].features == 10


def empty(store, kind="vector"):
    path_id = store.add_layer_path(kind, "empty")
    return path_id, store.add_timestamp(path_id)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_truncated(store, tmp_path, name, part):
    path = write(tmp_path / name, frame(2000))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(LayerError, match="a\\."):
        store.add(path)
    assert list(store.home.layers.iterdir()) == []


def test_a_truncated_table_of_a_shapefile(store, tmp_path):
    path = write(tmp_path / "a.shp", frame(2000))
    table = path.with_suffix(".dbf")
    table.write_bytes(table.read_bytes()[:500])
    with pytest.raises(LayerError, match=r"a\.dbf is truncated"):
        store.add(path)
    table.unlink()
    path.with_suffix(".shx").unlink()
    with pytest.raises(LayerError, match=r"without its \.shx"):
        store.add(path)


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.parquet", "a.shp"])
def test_features_without_geometry_are_counted(store, tmp_path, name):
    data = frame()
    data.loc[1, "geometry"] = None
    data.loc[4, "geometry"] = shapely.Point()
    data.loc[6, "geometry"] = None
    with pytest.warns(LayerWarning, match=r"3 of 10 features of .*a\..* have no geometry and are left out") as caught:
        detail = added(store, write(tmp_path / name, data)).detail
    assert len(caught) == 1
    assert (detail.features, tuple(detail.extent)) == (7, (0.5, 0, 9.5, 18))


def test_coordinates_that_are_no_numbers_count_as_none(store):
    data = frame()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bad = shapely.from_wkt(["POINT (NaN 1)", "LINESTRING (0 0, Infinity 1)", "LINESTRING (0 0, 1 NaN, 2 2)"])
    data.loc[[1, 4, 6], "geometry"] = bad
    with pytest.warns(LayerWarning, match="3 of 10 features of the GeoDataFrame"):
        detail = added(store, data).detail
    assert (detail.features, tuple(detail.extent)) == (7, (0.5, 0, 9.5, 18))


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.parquet", "a.fgb", "a.shp"])
def test_no_features_are_fine(store, tmp_path, name):
    detail = added(store, write(tmp_path / name, frame(1).iloc[:0])).detail
    assert (detail.features, detail.extent) == (0, None)


def test_all_features_without_geometry(store, tmp_path):
    data = frame()
    data["geometry"] = None
    for source in (data.set_geometry("geometry", crs=28992), write(tmp_path / "a.gpkg", data)):
        with pytest.raises(LayerError, match=r"none of the 10 features|has no geometry"):
            store.add(source)
    assert store.list() == ()


def test_without_crs(store, tmp_path):
    bare = frame().set_crs(None, allow_override=True)
    for name in ("a.gpkg", "a.parquet", "a.shp", "a.fgb"):
        path = write(tmp_path / name, bare)
        with pytest.raises(LayerError, match=r"CRS.*pass epsg"):
            store.add(path)
        assert added(store, path, epsg=28992).detail.crs == "EPSG:28992"
    with pytest.raises(ArgumentError, match="has no CRS"):
        store.add(bare)
    assert added(store, bare, epsg=28992).detail.crs == "EPSG:28992"


def test_plain_tables(store, tmp_path):
    pandas.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    pyogrio.write_dataframe(pandas.DataFrame({"a": [1]}), tmp_path / "a.gpkg")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "a.json").write_text('{"a": 1}')
    for name, words in (
        ("a.parquet", "plain table"),
        ("a.gpkg", "plain table"),
        ("a.csv", "Supported"),
        ("a.json", "Supported"),
    ):
        with pytest.raises(LayerError, match=words):
            store.add(tmp_path / name)


def test_several_layers_in_one_file(store, tmp_path):
    path = tmp_path / "a.gpkg"
    frame(3).to_file(path, layer="one")
    # What QGIS adds to save styles is a plain table, and no second layer.
    pyogrio.write_dataframe(pandas.DataFrame({"style": ["x"]}), path, layer="layer_styles", append=False)
    assert added(store, path).detail.layer == "one"
    frame(4).to_file(path, layer="two")
    with pytest.raises(LayerError, match="2 layers; pass layer= with one of 'one', 'two'"):
        store.add(path)
    with pytest.raises(LayerError, match="no layer 'three'"):
        store.add(path, layer="three")
    assert added(store, path, layer="two").detail.features == 4


def test_a_geopackage_that_is_being_written(store, tmp_path):
    path = write(tmp_path / "a.gpkg")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE more (x)")
    connection.execute("INSERT INTO more VALUES ('late')")
    assert path.with_name("a.gpkg-wal").stat().st_size > 0
    ids = store.add(path)
    assert store.add(path, path_id=ids[0], timestamp_id=ids[1]) == ids
    connection.close()
    # The log is in the file now, and the content is the same.
    assert store.add(path, path_id=ids[0], timestamp_id=ids[1]) == ids
    (file,) = store.timestamp(*ids).files
    detail = file.detail
    assert (file.name, detail.features, file.parts) == ("a.gpkg", 10, ("a.gpkg",))
    assert list(pyogrio.read_dataframe(detail.location, layer="more")["x"]) == ["late"]


def test_geoparquet_with_several_geometries(store, tmp_path):
    data = frame()
    data["centre"] = geopandas.GeoSeries(data.geometry.buffer(1), crs=28992)
    data = data.rename_geometry("shape")
    data.to_parquet(tmp_path / "a.parquet", write_covering_bbox=True)
    detail = added(store, tmp_path / "a.parquet").detail
    assert (detail.geometry_column, detail.fields) == ("shape", ("name", "centre"))
    data.to_parquet(tmp_path / "b.parquet", geometry_encoding="geoarrow", schema_version="1.1.0")
    assert added(store, tmp_path / "b.parquet").detail.features == 10


def test_geoparquet_without_a_crs_is_in_degrees(store, tmp_path):
    """The specification: no CRS means OGC:CRS84, an explicit null means unknown."""
    import pyarrow.parquet

    frame().set_crs(4326, allow_override=True).to_parquet(tmp_path / "a.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    del geo["columns"]["geometry"]["crs"]
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)}), tmp_path / "b.parquet")
    assert added(store, tmp_path / "b.parquet").detail.crs == "EPSG:4326"
    geo["columns"]["geometry"]["crs"] = None
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)}), tmp_path / "c.parquet")
    with pytest.raises(LayerError, match="no CRS"):
        store.add(tmp_path / "c.parquet")
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"geo": b"[]"}), tmp_path / "d.parquet")
    with pytest.raises(LayerError, match="primary geometry"):
        store.add(tmp_path / "d.parquet")


def test_curves_are_counted(store, tmp_path):
    path = tmp_path / "a.gpkg"
    pyogrio.write_dataframe(frame(3), path, geometry_type="Unknown", layer_options={"SPATIAL_INDEX": "NO"})
    arc = struct.pack("<BIIBII10d", 1, 10, 1, 1, 8, 5, 0, 0, 1, 1, 2, 0, 1, -1, 0, 0)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE a SET geom = ? WHERE fid = 2", (b"GP\0\1" + struct.pack("<i", 28992) + arc,))
    connection.close()
    detail = added(store, path).detail
    assert (detail.features, tuple(detail.extent)) == (3, pytest.approx((0, -1, 2.5, 4), abs=1e-3))


def test_every_dtype_of_a_frame_is_kept(store):
    zone = datetime.UTC
    data = frame(
        4,
        category=pandas.Categorical(["a", "b", None, "a"], categories=["b", "a", "c"], ordered=True),
        nullable=pandas.array([1, None, 3, 4], dtype="Int64"),
        flag=[True, False, True, True],
        maybe=pandas.array([True, None, False, True], dtype="boolean"),
        moment=pandas.to_datetime(["2023-07-01T12:00:00.123456", None, *["2020-01-01T00:00:00.5"] * 2]).tz_localize(
            "Europe/Amsterdam"
        ),
        utc=[datetime.datetime(2020, 1, i + 1, tzinfo=zone) for i in range(4)],
        span=pandas.to_timedelta([1, 2, 3, 4], unit="s"),
        text=pandas.array(["x", None, "z", ""], dtype="string"),
        small=np.array([1, 2, 3, 4], "int8"),
        real=np.array([1, np.nan, 3, 4], "float32"),
    )
    data["lists"] = [[1, 2], [], None, [3]]
    detail = added(store, data).detail
    read = geopandas.read_parquet(detail.location)
    assert list(read.columns) == list(data.columns)
    assert read["lists"][0].tolist() == [1, 2]
    assert_geodataframe_equal(read.drop(columns="lists"), data.drop(columns="lists"))
    assert detail.fields == tuple(name for name in data.columns if name != "geometry")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.assign(mix=[1, "a", *range(8)]), "column 'mix'"),
        (lambda data: data.assign(odd=[1 + 2j] * 10), "column 'odd'"),
        (lambda data: data.assign(thing=[object()] * 10), "column 'thing'"),
        (lambda data: data.rename(columns={"name": 3}), "named 3"),
        (lambda data: geopandas.GeoDataFrame({"name": [1]}), "no active geometry"),
        (
            lambda data: geopandas.GeoDataFrame(pandas.concat([data, data[["name"]]], axis=1)),
            "several columns named 'name'",
        ),
        (lambda data: pandas.DataFrame({"a": [1]}), "DataFrame without geometry"),
        (lambda data: data.geometry, "GeoSeries"),
        (lambda data: 7, "not int"),
        (lambda data: [data], "not list"),
    ],
)
def test_frames_that_cannot_be_kept(store, change, words):
    with pytest.raises((ArgumentError, LayerError), match=words):
        store.add(change(frame()))
    assert store.list() == ()
    assert list(store.home.layers.iterdir()) == []


def test_the_index_of_a_frame(store):
    kept = added(store, frame().set_index("name"))
    assert kept.detail.fields == ("name",)
    dropped = added(store, frame().iloc[::-1])
    assert dropped.detail.fields == ("name",)


def test_equal_frames_have_equal_content(store):
    one, same, other = (store.intake.parcel(data) for data in (frame(), frame(), frame(name2=range(10))))
    with one as a, same as b, other as c:
        assert a.content() == b.content() != c.content()
    moved = frame().set_crs(3857, allow_override=True)
    with store.intake.parcel(frame()) as a, store.intake.parcel(moved) as b:
        assert a.content() != b.content()


def test_geojson_with_a_bom_and_unknown_members(store, tmp_path):
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [5, 52]},
        "properties": {"a": 1},
        "x": [],
    }
    text = json.dumps({"type": "FeatureCollection", "features": [feature]})
    (tmp_path / "a.geojson").write_text("\ufeff" + text, encoding="utf-8")
    detail = added(store, tmp_path / "a.geojson").detail
    assert (detail.crs, detail.features, detail.fields) == ("EPSG:4326", 1, ("a",))


def test_a_big_layer_is_not_held(store, tmp_path):
    """A scan takes memory for a batch, not for the layer."""
    import tracemalloc

    path = write(tmp_path / "a.parquet", frame(200_000))
    store.add(write(tmp_path / "warm.parquet"))
    tracemalloc.start()
    detail = added(store, path).detail
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert detail.features == 200_000
    assert peak < 12_000_000
