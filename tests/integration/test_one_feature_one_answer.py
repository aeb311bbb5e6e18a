"""One feature, one answer: function, export and API agree in value, dtype, null and order, for every format."""

import datetime
import decimal
import io
import json
import math
import re
import zipfile
from dataclasses import replace

import geopandas
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyogrio.raw
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellipsis_local import formats, vector
from ellipsis_local.database import Database
from ellipsis_local.errors import LayerError
from ellipsis_local.features import SCHEMA as FEATURES
from ellipsis_local.features.features import Features
from ellipsis_local.formats import Format
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.params import make_params
from ellipsis_local.partitions import Partitions
from ellipsis_local.store import SCHEMA, LayerStore
from tests.integration.test_partitions_factory import read_geoparquet

LARGE = 2**53 + 1
SUFFIXES = (".gpkg", ".fgb", ".geojson", ".shp", ".parquet")

SHAPES = {
    "Point": "POINT (1 2)",
    "LineString": "LINESTRING (0 0, 1 1, 2 1)",
    "Polygon": "POLYGON ((0 0, 2 0, 2 2, 0 0), (1.2 0.6, 1.6 0.6, 1.6 1, 1.2 0.6))",
    "MultiPoint": "MULTIPOINT ((1 2), (3 4))",
    "MultiLineString": "MULTILINESTRING ((0 0, 1 1), (3 3, 4 5))",
    "MultiPolygon": "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))",
    "GeometryCollection": "GEOMETRYCOLLECTION (POINT (1 1), LINESTRING (2 2, 3 3))",
}
COLUMNS = {
    "int16": pa.array([1, None, 3], pa.int16()),
    "int32": pa.array([1, None, -(2**31)], pa.int32()),
    "int64": pa.array([LARGE, None, -LARGE], pa.int64()),
    "whole": pa.array([LARGE, 2, 3], pa.int64()),
    "float": pa.array([1.5, None, -0.25], pa.float64()),
    "bool": pa.array([True, None, False]),
    "text": pa.array(["é", None, ""]),
    "date": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1899, 1, 1)]),
    "naive": pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5), None, None], pa.timestamp("ms")),
    "utc": pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5), None, None], pa.timestamp("ms", tz="UTC")),
    "offset": pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5), None, None], pa.timestamp("ms", tz="+02:00")),
}
DTYPES = {
    "int16": "Int16", "int32": "Int32", "int64": "Int64", "whole": "int64", "float": "float64", "bool": "boolean",
    "date": "datetime64[ms]", "naive": "datetime64[ms]", "utc": "datetime64[ms, UTC]",
    "offset": "datetime64[ms, UTC+02:00]",
}  # fmt: skip
# What a .dbf has no type for; GeoJSON widens integers by their values.
LACKED = {".shp": {"bool", "naive", "utc", "offset", "int16", "int32"}, ".geojson": {"int16"}}


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@pytest.fixture
def features(home):
    database = Database(home.database, (*SCHEMA, *FEATURES))
    store = LayerStore(home, database)
    yield Features(home, database, store)
    store.close()


def table_of(columns, shapes=None):
    count = len(next(iter(columns.values())))
    wkb = shapely.to_wkb(shapely.from_wkt(shapes or [SHAPES["Point"]] * count), flavor="iso")
    return pa.table({**columns, "geometry": pa.array(wkb, pa.binary())})


def write(path, table, crs="EPSG:4326", kind="Point"):
    if path.suffix == ".parquet":
        geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "geometry_types": []}}}  # fmt: skip
        pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo).encode()}), path)
        return
    driver = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile"}[path.suffix]
    pyogrio.raw.write_arrow(
        table, path, driver=driver, geometry_name="geometry", geometry_type=kind, crs=crs, layer=path.stem
    )


def table_received(home, timestamp, crs="native", nodes=2, here="all"):
    """The layer as nodes get it, put together again."""
    partitions = Partitions(home, cores=2, cache_size=10**12, here=here)
    made = partitions.ensure(partitions.plan([timestamp], nodes, crs=crs))
    tables = [pq.read_table(part[0].path) for part in made.parts]
    # Column by column with what pandas makes of them, so that the frames are of the same dtypes.
    assert all(table.schema.equals(tables[0].schema, check_metadata=True) for table in tables)
    return pa.concat_tables(tables)


def received(*arguments, **options):
    return frame_of(table_received(*arguments, **options))


def frame_of(table):
    file = io.BytesIO()
    pq.write_table(table, file)
    return read_geoparquet(file)


def plain(value):
    """A value as JSON has it."""
    if value is None or value is pandas.NaT or value is pandas.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "").replace("T00:00:00", "")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value.tolist()]
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value


def rows_of(frame):
    """What each feature has: nulls are what it has not."""
    names = [name for name in frame.columns if name != frame.geometry.name]
    rows = frame[names].itertuples(index=False)
    return [{n: found for n, one in zip(names, row, strict=True) if (found := plain(one)) is not None} for row in rows]


def answers(features, timestamp):
    found, start = [], None
    while True:
        page, start = features.page(timestamp, start, 2)
        found += page
        if start is None:
            break
    wanted = []
    for one in found:
        properties = {name: value for name, value in one["properties"].items() if name != "id"}
        wanted.append(
            {
                n: v.replace("+00:00", "").removesuffix("T00:00:00") if isinstance(v, str) else v
                for n, v in properties.items()
            }
        )
    return wanted


def agree(features, tmp_path, source, **options):
    """What nodes get, the export as GeoParquet and the API say the same; what nodes get."""
    path_id, timestamp_id = features.store.add(source, **options)
    timestamp = features.store.timestamp(path_id, timestamp_id)
    target = tmp_path / f"out-{timestamp_id}.parquet"
    if timestamp.vectors[0].format == "parquet":
        whole = vector.read_frame(timestamp.vectors)
    else:
        features.store.export(path_id, timestamp_id, target)
        whole = read_geoparquet(target)
    native, mercator = (table_received(features.home, timestamp, crs) for crs in ("native", "EPSG:3857"))
    assert mercator.schema.equals(native.schema) and len(mercator) == len(native)
    nodes = frame_of(native)
    assert list(nodes.dtypes.astype(str)) == list(whole.dtypes.astype(str))
    assert list(nodes.columns) == list(whole.columns)
    key = list(map(str, rows_of(whole)))
    assert sorted(map(str, rows_of(nodes))) == sorted(key)
    assert list(map(str, answers(features, timestamp))) == key
    for suffix in SUFFIXES[:4]:
        out = tmp_path / f"out-{timestamp_id}{suffix}"
        try:
            features.store.export(path_id, timestamp_id, out)
        except LayerError as error:
            assert "export as .parquet" in str(error) or suffix == ".shp"  # noqa: PT017
            continue
        assert pyogrio.read_info(out, force_feature_count=True)["features"] == len(whole)
    return nodes


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", COLUMNS)
def test_every_dtype_of_every_format(features, tmp_path, suffix, name):
    table = table_of({"n": pa.array([0, 1, 2], pa.int32()), name: COLUMNS[name]})
    if suffix == ".shp" and name in LACKED[".shp"]:
        pytest.skip("a .dbf has no such type")
    write(tmp_path / f"a{suffix}", table)
    nodes = agree(features, tmp_path, tmp_path / f"a{suffix}").sort_values("n")
    if name in DTYPES and name not in LACKED.get(suffix, ()):
        assert str(nodes[name].dtype) == DTYPES[name]
    if name in ("int64", "whole"):
        wanted = [None if one is None else int(one) for one in table[name].to_pylist()]
        assert [None if one is pandas.NA else int(one) for one in nodes[name]] == wanted
    if name == "date":
        assert nodes[name].dt.year.tolist()[0] == 2024


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("dimensions", ["", " Z", " M", " ZM"])
def test_every_geometry_of_every_format(features, tmp_path, suffix, kind, dimensions):
    if suffix == ".shp" and kind == "GeometryCollection":
        pytest.skip("a shapefile holds no collections")
    text = SHAPES[kind]
    if dimensions:
        text = re.sub(r"([0-9.]+ [0-9.]+)", rf"\1{' 7' * len(dimensions.strip())}", text)
        text = re.sub(r"([A-Z]) \(", rf"\1{dimensions} (", text)
    shape = shapely.from_wkt(text)
    wkt = shapely.to_wkt(shape)
    table = table_of({"n": pa.array([0, 1], pa.int32())}, [wkt, wkt])
    named = {"": kind, " Z": f"{kind} Z", " M": f"Measured {kind}", " ZM": f"Measured 3D {kind}"}[dimensions]
    write(tmp_path / f"a{suffix}", table, kind="PointM" if named == "Measured Point" else named)
    nodes = agree(features, tmp_path, tmp_path / f"a{suffix}")
    if suffix in (".shp", ".geojson") or kind == "GeometryCollection":
        # Shapefiles know no single parts from several, and GeoJSON no M.
        assert shapely.get_num_coordinates(nodes.geometry.iloc[0]) == shapely.get_num_coordinates(shape)
        return
    assert shapely.to_wkt(nodes.geometry.iloc[0]) == shapely.to_wkt(shape)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.booleans(),
            st.none() | st.text("aé✓\n", max_size=4),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([".gpkg", ".fgb", ".parquet"]),
)
def test_any_integers_and_nulls(features, tmp_path, values, suffix):
    columns = {
        "i": pa.array([one[0] for one in values], pa.int64()),
        "b": pa.array([one[1] for one in values], pa.bool_()),
        "s": pa.array([one[2] for one in values], pa.string()),
    }
    path = tmp_path / f"a{suffix}"
    path.unlink(missing_ok=True)
    write(path, table_of(columns))
    agree(features, tmp_path, path)


def test_names_that_geometries_have(features, tmp_path):
    names = ("wkb_geometry", "geometry", "geom", "fid", "ogc_fid", "OBJECTID", "", "a.b", "nul", "ü ö")
    one = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "properties": dict.fromkeys(names, 7),
    }
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [one, one]}))
    nodes = agree(features, tmp_path, tmp_path / "a.geojson")
    assert [name for name in nodes.columns if name != nodes.geometry.name] == list(names)
    assert (nodes.drop(columns=nodes.geometry.name) == 7).all(axis=None)


def test_nested_values_and_json(features, tmp_path):
    properties = [{"l": [1, 2], "o": {"a": 1}, "m": [1, "a"], "t": "10:11:12"}, {"l": None, "o": {"b": [None]}}]
    shape = {"type": "Point", "coordinates": [1, 2]}
    rows = [{"type": "Feature", "geometry": shape, "properties": one} for one in properties]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    path, timestamp = features.store.add(tmp_path / "a.geojson")
    frame = vector.read_frame(features.store.timestamp(path, timestamp).vectors)
    assert list(frame["o"]) == [{"a": 1}, {"b": [None]}] and frame["m"].tolist() == [[1, "a"], None]
    assert frame["l"][0].tolist() == [1, 2] and frame["t"][0] == datetime.time(10, 11, 12)
    found, _ = features.page(features.store.timestamp(path, timestamp))
    assert [one["properties"]["o"] for one in found] == [{"a": 1}, {"b": [None]}]
    assert found[0]["properties"]["m"] == [1, "a"] and found[0]["properties"]["l"] == [1, 2]
    exact = {
        "d": pa.array([decimal.Decimal("1.10"), None], pa.decimal128(6, 2)),
        "s": pa.array([{"x": 1, "y": None}, None], pa.struct({"x": pa.int64(), "y": pa.string()})),
        "w": pa.array([b"\0\xff", None], pa.binary()),
        "took": pa.array([datetime.timedelta(seconds=90), None], pa.duration("ms")),
        "c": pa.array(["x", None]).dictionary_encode(),
    }
    write(tmp_path / "b.parquet", table_of(exact))
    ids = features.store.add(tmp_path / "b.parquet")
    nodes = received(features.home, features.store.timestamp(*ids), nodes=1)
    row = nodes[nodes["d"].notna()].iloc[0]
    assert row["d"] == decimal.Decimal("1.10") and row["s"] == {"x": 1, "y": None} and row["w"] == b"\0\xff"
    assert row["took"] == pandas.Timedelta(seconds=90) and nodes["c"].dtype == "category"


def test_functions_receive_json_as_objects_and_never_each_others(features, tmp_path):
    shape = {"type": "Point", "coordinates": [1, 2]}
    row = {"type": "Feature", "geometry": shape, "properties": {"o": {"a": [1]}, "l": [1, 2], "n": 1, "s": "x"}}
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [row]}))
    timestamp = features.store.timestamp(*features.store.add(tmp_path / "a.geojson"))
    partitions = Partitions(features.home, cores=2, cache_size=10**12, here="all")
    ((part,),) = partitions.ensure(partitions.plan([timestamp], 1)).parts
    kept = {}
    for _ in range(2):
        frame = make_params([replace(part, crs="EPSG:3857", id=timestamp.id)], [], kept)[timestamp.id]
        assert frame["o"][0] == {"a": [1]} and frame["l"][0].tolist() == [1, 2] and frame["n"][0] == 1
        frame["o"][0]["a"].append(2)
        frame["l"][0][0] = 9
        frame.loc[0, "n"] = 7
        frame.loc[0, "s"] = "y"
        frame.geometry.array[0] = shapely.Point(9, 9)
    assert make_params([part], [], kept)[timestamp.id]["s"][0] == "x"
    assert make_params([part], [], kept)[timestamp.id].geometry.iloc[0] != shapely.Point(9, 9)


def test_zones_that_differ_from_row_to_row(features, tmp_path):
    times = ["2024-01-02T03:04:05+01:00", "2024-01-02T03:04:05+02:00", "2024-01-02T03:04:05"]
    shape = {"type": "Point", "coordinates": [1, 2]}
    rows = [{"type": "Feature", "geometry": shape, "properties": {"t": one}} for one in times]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    nodes = agree(features, tmp_path, tmp_path / "a.geojson")
    assert str(nodes["t"].dtype) == "datetime64[ms, UTC]"
    assert sorted(nodes["t"].dt.hour) == [1, 2, 3]


def test_text_that_is_not_what_its_file_says(features, tmp_path):
    frame = geopandas.GeoDataFrame({"name": ["x" * 20, "ok"]}, geometry=shapely.points([0, 1], [0, 1]), crs=4326)
    for number, (text, cpg, wanted) in enumerate(
        [
            ("Zürich €".encode("cp1252"), None, "Zürich €"),
            ("Zürich €".encode("cp1252"), "ANSI 1252", "Zürich €"),
            ("Zürich €".encode("cp1252"), "UTF-8", "Zürich €"),
            ("Zürich €".encode(), None, "Zürich €"),
            ("北京".encode("gbk"), "GBK", "北京"),
            ("北京".encode("gbk"), None, "北京".encode("gbk").decode("cp1252")),
        ]
    ):
        path = tmp_path / f"s{number}.shp"
        frame.to_file(path)
        dbf = path.with_suffix(".dbf")
        dbf.write_bytes(dbf.read_bytes().replace(b"x" * 20, text.ljust(20)))
        path.with_suffix(".cpg").unlink() if cpg is None else path.with_suffix(".cpg").write_text(cpg)
        nodes = agree(features, tmp_path, path)
        assert sorted(nodes["name"]) == sorted([wanted, "ok"])


def circular(tmp_path, code, body):
    """A GeoPackage with one geometry in the WKB of a kind that shapely does not know."""
    table = pa.table({"n": pa.array([1], pa.int32()), "geometry": pa.array([b"\1" + code.to_bytes(4, "little") + body], pa.binary())})  # fmt: skip
    pyogrio.raw.write_arrow(
        table, tmp_path / "a.gpkg", driver="GPKG", geometry_name="geometry", geometry_type="Unknown", crs="EPSG:3857"
    )
    return tmp_path / "a.gpkg"


ARC = (3).to_bytes(4, "little") + np.array([0, 0, 1, 1, 2, 0], "<f8").tobytes()
CIRCLE = (3).to_bytes(4, "little") + np.array([0, 0, 2, 0, 0, 0], "<f8").tobytes()
ONE = (1).to_bytes(4, "little")
CURVES = {
    "CircularString": (8, ARC),
    "CompoundCurve": (9, ONE + b"\1\x08\0\0\0" + ARC),
    "CurvePolygon": (10, ONE + b"\1\x08\0\0\0" + CIRCLE),
    "MultiCurve": (11, ONE + b"\1\x08\0\0\0" + ARC),
    "MultiSurface": (12, ONE + b"\1\x0a\0\0\0" + ONE + b"\1\x08\0\0\0" + CIRCLE),
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", CURVES)
def test_curves_are_drawn_straight(features, tmp_path, kind):
    nodes = agree(features, tmp_path, circular(tmp_path, *CURVES[kind]))
    shape = nodes.geometry.iloc[0]
    assert shapely.get_num_coordinates(shape) > 10
    assert shape.area == pytest.approx(math.pi, rel=1e-2) or shape.length == pytest.approx(math.pi, rel=1e-2)


@pytest.mark.parametrize(("code", "name"), [(17, "Triangle"), (16, "TIN"), (15, "PolyhedralSurface")])
def test_surfaces_name_the_way_out(features, tmp_path, code, name):
    ring = ONE + (4).to_bytes(4, "little") + np.array([0, 0, 1, 0, 1, 1, 0, 0], "<f8").tobytes()
    patch = b"\1" + (17 if code == 16 else 3).to_bytes(4, "little") + ring
    path = circular(tmp_path, code, ring if code == 17 else ONE + patch)
    with pytest.raises(LayerError, match=f"type {name}.*ogr2ogr -nlt MULTIPOLYGON"):
        features.store.add(path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.kml", '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"/>', "is KML"),
        ("a.gml", '<?xml version="1.0"?><x xmlns:gml="http://www.opengis.net/gml"/>', "is GML"),
        ("a.gpx", "<gpx/>", "is GPX"),
        ("a.csv", "x,y\n1,2\n", "is CSV"),
        ("a.geojsonl", '{"type":"Feature","properties":{},"geometry":null}\n' * 2, "is GeoJSON lines"),
        ("a.seq", '\x1e{"type":"Feature","properties":{},"geometry":null}\n', "is GeoJSON lines"),
        ("a.dxf", "0\nSECTION\n", "is DXF"),
        ("a.tab", "!table\n", "is MapInfo"),
    ],
)
def test_what_is_not_read_names_the_command(features, tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(LayerError, match=rf"{words}.*ogr2ogr -f GPKG a.gpkg {name}"):
        features.store.add(tmp_path / name)


def test_archives_that_are_not_read_name_the_command(features, tmp_path):
    for name, entry in (("a.gdb.zip", "a.gdb/a00000001.gdbtable"), ("a.kmz", "doc.kml")):
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr(entry, "x")
        with pytest.raises(LayerError, match="ogr2ogr -f GPKG"):
            features.store.add(tmp_path / name)
    (tmp_path / "b.gdb").mkdir()
    with pytest.raises(LayerError, match="ogr2ogr -f GPKG b.gpkg b.gdb"):
        features.store.add(tmp_path / "b.gdb")


def test_a_frame_keeps_its_dtypes(features):
    """Whatever it holds, also what a file would give another dtype: dates as objects."""
    data = geopandas.GeoDataFrame(
        {
            "day": [datetime.date(2024, 1, 1), None], "span": pandas.PeriodIndex(["2024", None], freq="Y"),
            "class": pandas.Categorical(["a", "b"]), "second": geopandas.GeoSeries([shapely.Point(5, 5), None], crs=3857),
        },
        geometry=[shapely.Point(0, 0), shapely.Point(1, 1)], crs=4326,
    )  # fmt: skip
    ids = features.store.add(data)
    # By a helper, which does without pandas.
    nodes = received(features.home, features.store.timestamp(*ids), "EPSG:3857", nodes=1, here="never")
    assert list(nodes.dtypes.astype(str)) == list(data.dtypes.astype(str))
    assert nodes.crs.to_epsg() == 3857 and nodes["second"].crs.to_epsg() == 3857
    assert nodes["day"].tolist() == data["day"].tolist()


def test_a_new_format_is_one_record(features, tmp_path):
    """GeoJSON lines, registered: they are added, cut, exported and answered like any other format."""
    formats.register(
        Format(
            name="geojsonseq", kind="vector", driver="GeoJSONSeq", title="GeoJSON lines", suffixes=(".geojsonl",),
            begins=lambda head: head.startswith(b'{"type":"Feature"') and b"\n{" in head,
            options=lambda _: {},
        )
    )  # fmt: skip
    try:
        shape = '"geometry":{"type":"Point","coordinates":[1,2]}'
        lines = [f'{{"type":"Feature","properties":{{"n":{n}}},{shape}}}' for n in (LARGE, "null")]
        (tmp_path / "a.geojsonl").write_text("\n".join(lines))
        ids = features.store.add(tmp_path / "a.geojsonl", name="lines")
        nodes = agree(features, tmp_path, (tmp_path / "a.geojsonl").read_bytes())
        assert sorted(nodes["n"].dropna()) == [LARGE] and nodes["n"].dtype == "Int64"
        features.store.export(*ids, tmp_path / "b.geojsonl")
        assert (tmp_path / "b.geojsonl").read_text().count("\n") >= 1
        with pytest.raises(LayerError, match="GeoJSON lines"):
            features.store.add(b"x" * 99)
    finally:
        formats.unregister("geojsonseq")


def test_files_of_one_layer_are_joined_by_one_rule(features, tmp_path):
    one = table_of({"i": pa.array([1, 2], pa.int32()), "x": pa.array(["a", "b"]), "k": pa.array([1, 2], pa.int64())})
    two = table_of({"k": pa.array([0.5], pa.float64()), "i": pa.array([LARGE], pa.int64()), "d": pa.array([True])})
    write(tmp_path / "a.gpkg", one)
    write(tmp_path / "b.fgb", two, crs="EPSG:3857")
    ids = features.store.add(tmp_path / "a.gpkg")
    features.store.add_files(*ids, [(tmp_path / "b.fgb", "b.fgb")])
    timestamp = features.store.timestamp(*ids)
    nodes = received(features.home, timestamp, "EPSG:3857")
    features.store.export(*ids, tmp_path / "out.parquet")
    whole = geopandas.read_parquet(tmp_path / "out.parquet")
    assert whole.crs.to_epsg() == 4326 and list(whole.columns) == ["i", "x", "k", "geometry", "d"]
    assert list(nodes.dtypes.astype(str)) == list(whole.dtypes.astype(str))
    assert (
        str(whole["i"].dtype) == "int64" and str(whole["d"].dtype) == "boolean" and whole["k"].tolist() == [1, 2, 0.5]
    )
    assert sorted(nodes["i"]) == [1, 2, LARGE]


def test_a_file_is_opened_once(features, tmp_path, monkeypatch):
    opened = []
    for name in ("open_arrow", "read"):
        original = getattr(pyogrio.raw, name)
        monkeypatch.setattr(pyogrio.raw, name, lambda *a, o=original, n=name, **k: opened.append(n) or o(*a, **k))
    for name in ("read_info", "list_layers"):
        original = getattr(pyogrio, name)
        monkeypatch.setattr(pyogrio, name, lambda *a, o=original, n=name, **k: opened.append(n) or o(*a, **k))
    for suffix in SUFFIXES[:4]:
        write(tmp_path / f"a{suffix}", table_of({"n": pa.array([1, 2], pa.int32())}))
        opened.clear()
        features.store.add(tmp_path / f"a{suffix}")
        assert opened == ["open_arrow"], suffix


def test_longitudes_from_0_to_360(features, tmp_path):
    shapes = ["POINT (350 10)", "LINESTRING (170 0, 190 0)", "POLYGON ((181 0, 182 0, 182 1, 181 0))", "POINT (10 89)"]
    write(tmp_path / "a.gpkg", table_of({"n": pa.array(range(4), pa.int32())}, shapes), kind="Unknown")
    ids = features.store.add(tmp_path / "a.gpkg")
    partitions = Partitions(features.home, cores=2, cache_size=10**12, here="all")
    made = partitions.ensure(partitions.plan([features.store.timestamp(*ids)], 2))
    (warning,) = made.warnings
    assert "0 features were cut off and 1 dropped" in warning
    nodes = pandas.concat([geopandas.read_parquet(part[0].path) for part in made.parts]).sort_values("n").to_crs(4326)
    assert list(nodes["n"]) == [0, 1, 2]
    assert np.allclose(nodes.geometry.iloc[0].coords[0], (-10, 10))
    assert sorted(np.round(part.bounds[0]) for part in nodes.geometry.iloc[1].geoms) == [-180, 170]
    assert np.allclose(nodes.geometry.iloc[2].bounds, (-179, 0, -178, 1))
