"""Stand-ins: the same everywhere, like what is known of a layer, and gone when the layer comes."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from typer.testing import CliRunner

from ellipsis_local.cli.app import app
from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import ArgumentError, FidelityWarning, LayerError, LayerWarning, StoreError
from ellipsis_local.stand_ins import rasters, read_lock, schema_of, vectors
from ellipsis_local.stand_ins.rasters import PLAUSIBLE
from ellipsis_local.stand_ins.schema import DTYPES, GEOMETRIES
from tests.integration.serving import files_below
from tests.integration.upstream.hosted import TOKEN, Hosted
from tests.integration.upstream.layers import pixels, scene

IDS = {"pathId": "523caede-0000-4000-8000-000000000001", "timestampId": "523caede-0000-4000-8000-000000000002"}
OTHER = {"pathId": "523caede-0000-4000-8000-000000000003", "timestampId": "523caede-0000-4000-8000-000000000004"}
COLUMNS = {
    "name": "text", "number": "integer", "small": "int8", "height": "float", "open": "boolean", "day": "date",
    "at": "datetime", "zone": "timestamp[us, tz=UTC]", "tags": "list<item: string>", "price": "decimal128(6, 2)",
    "kind": "dictionary<values=string, indices=int8, ordered=0>", "raw": "binary",
}  # fmt: skip
LOCKED = f"""[[layer]]
name = "a"
pathId = "{IDS["pathId"]}"
type = "raster"
[[layer.timestamp]]
id = "{IDS["timestampId"]}\""""
VECTOR = "88eced45b725814050917386a21681fe339836d0f6b66f9be5c50a4b28b5a5f2"
LAND = {"raster": np.full((1, 8, 8), 7, "uint8"), "transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no lock file lies."""
    folder = tmp_path / "beside"
    folder.mkdir()
    monkeypatch.chdir(folder)


def timestamp(ids: dict[str, str]) -> Any:
    return current_emulator().store.timestamp(ids["pathId"], ids["timestampId"])


def values(ids: dict[str, str]) -> np.ndarray:
    with rasterio.open(timestamp(ids).files[0].location) as dataset:
        return dataset.read()


def features(ids: dict[str, str]) -> gpd.GeoDataFrame:
    return gpd.read_parquet(timestamp(ids).files[0].location)


# --- what is in them --------------------------------------------------------------------------------------------------


def test_the_same_call_makes_the_same_on_every_machine(el: ModuleType) -> None:
    def content(ids: dict[str, str], **asked: Any) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert el.layers.invent(**ids, **asked) == ids
        return timestamp(ids).files[0].content

    raster = {"bands": 2, "dtype": "float32", "noDataValue": -1, "resolution": 100}
    found = content(IDS, **raster)
    assert found == "583b964b40a86665ec15c69b51eed969a079d4836d28862a5aae7ee7efd8709d"
    digest = hashlib.sha256(values(IDS).tobytes()).hexdigest()
    assert digest == "b26d6f8885d654d5fbc0ccf0a9a2f367643c8e702e11a377f3f048f4eb8d71d8"
    assert content(IDS, **raster, seed=1) != found
    assert content(IDS, **raster) == found
    assert content(OTHER, **raster) != found, "another timestamp is another date of the same place"
    el.layers.remove(OTHER["pathId"])
    assert content(OTHER, columns=COLUMNS, geometry=list(GEOMETRIES)) == VECTOR


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_are_plausible(el: ModuleType, dtype: str) -> None:
    el.layers.invent(**IDS, bands=["red", "nir"], dtype=dtype, noDataValue=0, resolution=40)
    layer = el.layers.get(IDS["pathId"])["raster"]
    assert ([band["name"] for band in layer["bands"]], layer["format"]) == (["red", "nir", "mask"], dtype)
    array = values(IDS)
    assert (array.shape, array.dtype) == ((2, 128, 128), dtype)
    missing = (array == 0).all(axis=0)
    assert 0.04 < missing.mean() < 0.06
    there = array[:, ~missing].real.astype(float)
    low, high = PLAUSIBLE.get(dtype, (0, 1))
    assert low <= there.min() < there.max() <= high
    assert np.ptp(there, axis=1).min() > (high - low) / 4
    # Neighbours are alike, and so are the bands.
    smooth = np.ma.masked_array(array.real.astype(float), np.stack([missing] * 2))
    assert abs(np.ma.diff(smooth, axis=2)).mean() < (high - low) / 20
    assert np.corrcoef(there)[0, 1] > 0.5


def test_features_are_plausible(el: ModuleType) -> None:
    extent = {"xMin": 4.0, "yMin": 52.0, "xMax": 4.5, "yMax": 52.2}
    for geometry in GEOMETRIES:
        el.layers.invent(**IDS, columns=COLUMNS, geometry=geometry, extent=extent, epsg=4326, features=50)
        frame = features(IDS)
        assert (len(frame), set(frame.geom_type), frame.crs.to_epsg()) == (50, {geometry}, 4326)
        assert frame.is_valid.all()
        assert shapely.box(4, 52, 4.5, 52.2).covers(frame.geometry).all()
        assert not frame.isna().any(axis=None)
        if geometry == "Polygon":
            assert frame.area.sum() == pytest.approx(frame.union_all().area), "they do not lie over each other"
    assert dict(zip(timestamp(IDS).vectors[0].fields, timestamp(IDS).vectors[0].types, strict=True)) == {
        "name": "string", "number": "int64", "small": "int8", "height": "double", "open": "bool", "day": "timestamp[ms]",
        "at": "timestamp[ms]", "zone": "timestamp[us, tz=UTC]", "tags": "list<element: string>",
        "price": "decimal128(6, 2)", "kind": "dictionary<values=string, indices=int32, ordered=0>", "raw": "binary",
    }  # fmt: skip
    assert frame["name"].nunique() > 4
    assert frame["day"].between("2015-01-01", "2025-01-01").all()


def test_a_compute_takes_them(el: ModuleType, token: str) -> None:
    """Those of which no place is known meet."""

    def f(params: Any) -> Any:
        raster, frame = (params[key] for key in sorted(params))
        return raster["raster"].shape, len(frame), list(frame.columns)

    el.configure(inline=True)
    el.layers.invent(**IDS, bands=1)
    el.layers.invent(**OTHER, columns={"height": "float"})
    with pytest.warns(LayerWarning, match=f"{IDS['timestampId']}, {OTHER['timestampId']}: a stand-in"):
        compute = el.compute.createCompute([IDS, OTHER], token, nodes=1)["id"]
    with pytest.warns(FidelityWarning, match="indented wrongly"):
        assert el.compute.execute(compute, f, token) == [((1, 512, 512), 200, ["height", "geometry"])]


# --- what is known ----------------------------------------------------------------------------------------------------


def test_they_are_like_layers_and_files(el: ModuleType, fixtures: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayerWarning)
        loaded = {name: one for name, one in el.layers.load(fixtures).items() if one["type"] != "file"}
    # Its source is another layer of the folder.
    for name in sorted(loaded):
        real = timestamp(loaded[name])
        el.layers.invent(**IDS, like={"pathId": real.path_id, "timestampId": real.id})
        made = timestamp(IDS)
        (file, *_), (invented,) = real.files, made.files
        known, found = schema_of(real.rasters or real.vectors), schema_of(made.rasters or made.vectors)
        assert (found.type, found.crs, found.bands, found.dtype, found.nodata is None) == (
            known.type, known.crs, known.bands, known.dtype, known.nodata is None,
        )  # fmt: skip
        assert (list(found.columns), set(found.geometries)) == (list(known.columns), set(known.geometries))
        if known.type == "raster" and "rotated" not in name:
            assert found.resolution == pytest.approx(known.resolution)
            assert tuple(found.extent) == pytest.approx(tuple(known.extent), rel=1e-3)
        assert invented.content != file.content
        el.layers.remove(IDS["pathId"])
    el.layers.invent(**IDS, like=fixtures / "scene_2024.tif", dtype="float32")
    assert [values(IDS).shape, str(values(IDS).dtype)] == [(4, 480, 512), "float32"]
    el.layers.invent(**OTHER, like=fixtures / "trees.fgb", features=3)
    assert list(features(OTHER).columns) == [*gpd.read_file(fixtures / "trees.fgb").columns]


def test_a_lock_file_stands_for_a_home(el: ModuleType, fixtures: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayerWarning)
        loaded = el.layers.load(fixtures)
    layers = [one for one in loaded.values() if one["type"] != "file"]
    ids = el.layers.lock()
    text = Path("layers.lock.toml").read_text()
    assert len(ids) == text.count("[[layer.timestamp]]") > len(layers) == text.count("[[layer]]")
    assert text.count('bands = ["blue", "green", "red", "nir"]') == 2
    assert el.layers.invent(lock="layers.lock.toml") == [], "nothing is missing"

    el.configure(home=tmp_path / "another")
    made = el.layers.invent(loaded["scene"]["pathId"])
    assert [one["pathId"] for one in made] == [loaded["scene"]["pathId"]] * 2
    assert len(el.layers.invent()) == len(ids) - 2
    assert {one["name"] for one in el.layers.list()} == {name for name, one in loaded.items() if one["type"] != "file"}
    contents = {file.id: file.content for file in current_emulator().store.catalogue.all_files()}
    assert el.layers.invent() == []
    # What is known of the layers themselves, the file does not forget for that of their stand-ins.
    assert el.layers.lock() == ids
    assert Path("layers.lock.toml").read_text() == text
    # Of stand-ins alone it says so, and makes the same ones.
    el.layers.lock("invented.toml")
    invented = Path("invented.toml").read_text()
    assert invented.count("standIn = true") == len(ids)
    known = ([repr(one.schema) for one in read_lock(Path(name))] for name in ("invented.toml", "layers.lock.toml"))
    assert next(known) == next(known)
    el.configure(home=tmp_path / "a third")
    assert len(el.layers.invent(lock="invented.toml")) == len(ids)
    again = {file.content for file in current_emulator().store.catalogue.all_files()}
    assert again == set(contents.values())
    # One id of it, with the name that it has there, and another value.
    el.layers.invent(**{key: made[0][key] for key in IDS}, noDataValue=7)
    assert el.layers.get(made[0]["pathId"])["name"] == "scene"
    assert (values(made[0]) == 7).any()


# --- until the layer comes --------------------------------------------------------------------------------------------


def test_a_pulled_layer_takes_the_place_of_its_stand_in(el: ModuleType, tmp_path: Path) -> None:
    with Hosted() as hosted:
        path_id, timestamp_id = scene(hosted)
        el.layers.invent(path_id, timestamp_id, bands=["a", "b", "c"], name="my guess")
        el.layers.pull(path_id, fromUrl=hosted.url, token=TOKEN)
        layer = el.layers.get(path_id)
        assert "standIn" not in json.dumps(layer, default=str)
        assert (layer["name"], [band["name"] for band in layer["raster"]["bands"]]) == (
            hosted.paths[path_id]["name"], ["red", "infrared", "mask"],
        )  # fmt: skip
        np.testing.assert_array_equal(values({"pathId": path_id, "timestampId": timestamp_id}), pixels())
        (one,) = [Path(file).parent for file in files_below(current_emulator().home.layers)]
        assert one.name == timestamp({"pathId": path_id, "timestampId": timestamp_id}).files[0].id
        el.layers.lock()
        (locked,) = read_lock(Path("layers.lock.toml"))
        assert (locked.source, locked.part, locked.stand_in) == (hosted.url, False, False)
        assert el.layers.pull(path_id, fromUrl=hosted.url, token=TOKEN)["unchanged"] == [timestamp_id]


def test_a_stand_in_that_is_pulled_is_none_the_less(el: ModuleType, tmp_path: Path) -> None:
    """Neither home takes the other one's for a layer."""
    own = el.configure()
    el.configure(home=tmp_path / "theirs")
    el.layers.invent(**IDS, bands=2)
    theirs, token = el.configure(), el.account.logIn("them", "secret")
    current_emulator().store.catalogue.set_public_access(IDS["pathId"], {"accessLevel": 900})
    el.configure(home=own.home)
    with el.serve(settings=theirs) as server:
        pull = {"fromUrl": server.url, "token": token}
        assert el.layers.pull(IDS["pathId"], **pull)["pulled"] == [IDS["timestampId"]]
        assert el.layers.pull(IDS["pathId"], **pull)["unchanged"] == [IDS["timestampId"]]
        assert timestamp(IDS).stand_in
        el.layers.lock()
        assert [(one.schema.bands, one.stand_in) for one in read_lock(Path("layers.lock.toml"))] == [
            ((None,) * 2, True)
        ]
        el.layers.add(LAND, **IDS)
        with pytest.raises(LayerError, match="whose place no stand-in takes"):
            el.layers.pull(IDS["pathId"], **pull, replace=True)
    assert (values(IDS) == 7).all()


def test_whatever_is_added_takes_its_place(el: ModuleType, token: str) -> None:
    el.layers.invent(**IDS, columns={"a": "text"})
    frame = gpd.GeoDataFrame({"n": [1]}, geometry=[shapely.Point(1, 2)], crs=4326)
    el.layers.add(frame, **IDS, name="points", description="mine")
    layer = el.layers.get(IDS["pathId"])
    assert (layer["name"], layer["metadata"], layer["vector"]["timestamps"][0]["description"]) == ("points", {}, "mine")
    # A file that is added, too, of another dtype and number of bands.
    el.layers.invent(**OTHER, bands=3)
    current_emulator().store.add_files(OTHER["pathId"], OTHER["timestampId"], [(LAND, "land.tif")])
    assert (values(OTHER) == 7).all()
    assert not timestamp(OTHER).invented


def test_no_layer_is_lost_to_a_stand_in(el: ModuleType, token: str) -> None:
    el.layers.add(LAND, **IDS)
    before = timestamp(IDS)
    for asked in ({"bands": 1}, {"like": IDS}):
        with pytest.raises(LayerError, match=r"whose place no stand-in takes; layers.remove"):
            el.layers.invent(**IDS, **asked)
    with pytest.raises(ArgumentError, match="is a raster, and this is a vector"):
        el.layers.invent(**IDS, columns={"a": "text"})
    assert timestamp(IDS) == before
    # Changed features are somebody's work.
    el.layers.invent(**OTHER, columns={"n": "integer"}, features=3)
    edited = current_emulator().features
    found, _ = edited.page(timestamp(OTHER))
    change = {"featureId": found[0]["properties"]["id"], "newProperties": {"n": 1000}}
    edited.edit(OTHER["pathId"], OTHER["timestampId"], [change])
    assert timestamp(OTHER).invented
    with pytest.raises(LayerError, match="whose place no stand-in takes"):
        el.layers.invent(**OTHER, columns={"n": "integer"})
    with pytest.raises(LayerError, match="replace=True"):
        el.layers.add(features(OTHER)[["geometry"]], **OTHER)


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "type must be 'raster' or 'vector', because nothing"),
        ({"type": "file"}, "type must be 'raster' or 'vector', not 'file'"),
        ({"bands": 1, "columns": {"a": "text"}}, "type must be"),
        ({"type": "vector", "bands": 2}, "bands is of a raster, and this is a vector; leave it out"),
        ({"type": "raster", "geometry": "Point"}, "geometry is of a vector, and this is a raster"),
        ({"bands": 0}, "bands must be from 1 to 1000"),
        ({"bands": []}, "bands must be a number of bands or a list"),
        ({"dtype": "bool"}, "dtype must be one of uint8, .*not 'bool'"),
        ({"bands": 1, "noDataValue": -1}, "noDataValue -1 cannot occur in a raster of uint16; give another"),
        ({"dtype": "uint8", "valueRange": (5, 300)}, "valueRange .5, 300. cannot occur in a raster of uint8"),
        ({"dtype": "uint8", "valueRange": (5, 5)}, "valueRange must be the lowest and the highest value"),
        ({"bands": 1, "resolution": 0}, "resolution must be larger than 0"),
        ({"bands": 1, "resolution": 0.1}, "resolution .* give a coarser one, or a smaller extent"),
        ({"bands": 1, "extent": {"xMin": 1}}, "extent must be a dictionary with keys xMin"),
        ({"bands": 1, "extent": {"xMin": 1, "yMin": 1, "xMax": 1, "yMax": 2}}, "extent: xMax must be strictly larger"),
        ({"bands": 1, "epsg": 99999}, "epsg: there is no EPSG code 99999"),
        ({"columns": ["a"]}, "columns must be a dictionary of names and types"),
        ({"columns": {"a": "colour"}}, r"columns\['a'\] must be one of bool, .* or a type of Arrow's, not 'colour'"),
        ({"columns": {"geometry": "text"}}, "columns must not name 'geometry'"),
        ({"geometry": "Circle"}, "geometry must be one or several of Point"),
        ({"geometry": "Point", "features": -1}, "features must be from 0 to 100000"),
        ({"like": {"pathId": IDS["pathId"]}}, "like must be a file, or a dictionary with pathId and timestampId"),
        ({"like": IDS}, "does not exist here"),
        ({"like": "nowhere.tif"}, "nowhere.tif is not there"),
        ({"lock": "nowhere.toml"}, "nowhere.toml"),
        ({"bands": 1, "seed": "x"}, "seed must be of type int"),
        ({"pathId": "x", "bands": 1}, "pathId must be of type string and be a uuid"),
        ({"timestampId": None}, r"lock \(--lock\) knows nothing of path"),
        ({"pathId": None}, "pathId is needed"),
    ],
)
def test_what_cannot_be_is_told(el: ModuleType, asked: dict[str, Any], words: str) -> None:
    with pytest.raises((ArgumentError, LayerError, StoreError), match=words):
        el.layers.invent(**(IDS | asked))
    assert el.layers.list() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[layer", "is no TOML"),
        ("layer = 3", "must be a list of"),
        ("[[layer]]\ntype = 'raster'", "has a name"),
        ("[[layer]]\nname = 'a'\ntype = 'file'", "'a' must be of type raster or vector"),
        ("[[layer]]\nname = 'a'\ntype = 'raster'\ntimestamp = [{id = 3}]", "layer 'a', timestamp 3: pathId must"),
        (f"{LOCKED}\ndtype = 'bool'", "dtype must be one of"),
        (f"{LOCKED}\ncolour = 'red'", "known keys of a timestamp are"),
    ],
)
def test_a_lock_file_that_is_none_is_told(el: ModuleType, text: str, words: str) -> None:
    Path("layers.lock.toml").write_text(text)
    for call in (el.layers.invent, el.layers.lock):
        with pytest.raises(ArgumentError, match=f"lock .*layers.lock.toml: .*{words}"):
            call()
    assert Path("layers.lock.toml").read_text() == text


def test_large_layers_have_smaller_stand_ins(el: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "MOST_PIXELS", 100_000)
    monkeypatch.setattr(vectors, "MOST_FEATURES", 100)
    wide = {"xMin": 0, "yMin": 0, "xMax": 100_000, "yMax": 100_000}
    Path("layers.lock.toml").write_text(
        f"[[layer]]\nname = 'wide'\npathId = '{IDS['pathId']}'\ntype = 'raster'\n[[layer.timestamp]]\n"
        f"id = '{IDS['timestampId']}'\nextent = {list(wide.values())}\nresolution = [10.0, 20.0]\ndtype = 'uint8'\n"
        "[[layer]]\nname = 'many'\n"
        f"pathId = '{OTHER['pathId']}'\ntype = 'vector'\n[[layer.timestamp]]\nid = '{OTHER['timestampId']}'\n"
        "features = 1000000\ncolumns = {a = 'struct<x: int64>'}\n"
    )
    with pytest.warns(LayerWarning) as told:
        el.layers.invent()
    assert [str(one.message).split(";")[0] for one in told] == [
        "the layer has 10000 × 5000 pixels of 1 bands", "the layer has 1,000,000 features",
        "column 'a' of the stand-in is empty: values of struct<x: int64> are not invented",
    ]  # fmt: skip
    raster = timestamp(IDS).rasters[0]
    assert 90_000 < raster.width * raster.height <= 100_000
    assert abs(raster.width - 2 * raster.height) <= 2
    assert len(features(OTHER)) == 100


def test_the_command_line(el: ModuleType, home: Path) -> None:
    def run(*arguments: Any, code: int = 0) -> Any:
        answer = CliRunner().invoke(app, ["--home", str(home), "layers", *map(str, arguments)])
        assert answer.exit_code == code, answer.output
        return json.loads(answer.stdout) if "--json" in arguments else answer.stdout + answer.stderr

    ids = list(IDS.values())
    assert "no real data" in run("invent", *ids, "--bands", "red,nir", "--dtype", "uint8", "--nodata", 0)
    more = ["--column", "height:float", "--column", "a:b:text", "--geometry", "Point", "--features", 5]
    assert run("invent", *OTHER.values(), *more, "--extent", 0, 0, 9, 9, "--epsg", 4326, "--json") == OTHER
    assert list(features(OTHER).columns) == ["height", "a:b", "geometry"]
    assert run("list").count("stand-in") >= 4, "in the names and in the types"
    assert "stand-in" in run("show", IDS["pathId"])
    assert "knows 1 timestamps" in run("lock", "--id", IDS["pathId"])
    assert len(run("lock", "--json")) == 2
    el.layers.remove(IDS["pathId"])
    assert run("invent", "--json") == [IDS]
    assert "all of it is here already" in run("invent")
    assert "NAME:TYPE" in run("invent", *ids, "--column", "height", code=2)
    assert "dtype must be one of" in run("invent", *ids, "--dtype", "bool", code=1)
