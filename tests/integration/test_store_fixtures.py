"""Folders of fixtures: with a catalog, without one, and twice."""

import json
import os
import shutil
import uuid
import warnings
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from ellipsis_local.database import Database
from ellipsis_local.errors import ArgumentError, LayerError, LayerWarning
from ellipsis_local.home import Home
from ellipsis_local.store import SCHEMA, LayerStore

FIXTURES = Path(__file__).parents[2] / "fixtures"
PATH = "0f8fad5b-d9cb-469f-a165-70867728950e"
TIME = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def open_store(root):
    home = Home(root)
    home.prepare()
    return LayerStore(home, Database(home.database, SCHEMA))


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path / "home")
    yield made
    made.catalogue.database.close()


@pytest.fixture
def folder(tmp_path):
    """A folder with layers, sidecars and things that are none."""
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    for name, value in (("a.tif", 1), ("sub/b.tif", 2), ("tile.tif", 3)):
        raster(root / name, value)
    (root / "a.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")
    points(3).to_file(root / "roads.shp")
    points(2).to_file(root / "two.gpkg", layer="one")
    points(4).to_file(root / "two.gpkg", layer="other")
    points(5).to_file(root / "points.json", driver="GeoJSON")
    (root / "settings.json").write_text('{"a": 1}')
    (root / "readme.md").write_text("x")
    (root / ".hidden.tif").write_text("x")
    (root / "sub" / "all.vrt").write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="9"><SRS>EPSG:3857</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">../tile.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return root


def raster(path, value):
    profile = {"driver": "GTiff", "width": 9, "height": 9, "count": 1, "dtype": "uint8", "crs": "EPSG:3857"}
    with rasterio.open(path, "w", **profile, transform=from_origin(0, 0, 1, 1)) as dataset:
        dataset.write(np.full((1, 9, 9), value, "uint8"))
    return path


def points(count):
    return geopandas.GeoDataFrame({"a": range(count)}, geometry=shapely.points(range(count), range(count)), crs=4326)


def test_a_folder_without_a_catalog(store, folder):
    loaded = store.load(folder)
    assert list(loaded) == [
        "a.tif",
        "points.json",
        "roads.shp",
        "sub/all.vrt",
        "sub/b.tif",
        "two.gpkg:one",
        "two.gpkg:other",
    ]
    assert {one["type"] for one in loaded.values()} == {"raster", "vector"}
    features = {name: store.timestamp(one["pathId"], one["timestampId"]) for name, one in loaded.items()}
    assert features["two.gpkg:other"].vectors[0].features == 4
    assert features["a.tif"].files[0].parts == ("a.tif", "a.tif.aux.xml")


def test_ids_are_the_same_on_every_machine(store, folder, tmp_path):
    loaded = store.load(folder)
    other = open_store(tmp_path / "other home")
    moved = shutil.copytree(folder, tmp_path / "else where")
    assert other.load(str(moved)) == loaded
    other.catalogue.database.close()
    # Written down in scripts: changing them breaks these.
    assert loaded["sub/b.tif"]["pathId"] == "2f6dd230-292b-5aa3-88c2-e39f62f3a0dc"
    assert loaded["sub/b.tif"]["timestampId"] == "8d85b2b1-97a1-597b-836e-b1701c7f3722"


def test_names_are_those_of_a_catalog(store, folder):
    with pytest.raises(ArgumentError, match="needs a catalog.toml"):
        store.load(folder, names=["a"])


def test_loading_twice_changes_nothing(store, folder):
    loaded = store.load(folder)
    before = {one.name: sorted(one.iterdir()) for one in store.home.layers.iterdir()}
    assert store.load(folder) == loaded
    assert {one.name: sorted(one.iterdir()) for one in store.home.layers.iterdir()} == before
    raster(folder / "a.tif", 9)
    with pytest.raises(LayerError, match="replace=True"):
        store.load(folder)
    assert store.load(folder, replace=True) == loaded


def test_what_is_unreadable_is_named(store, folder):
    (folder / "bad.tif").write_text("x")
    (folder / "bare.gpkg").write_bytes(b"SQLite format 3\0")
    with pytest.warns(LayerWarning, match=r"2 files in .* are no usable layers:\n.*bad.tif.*\n.*bare.gpkg") as caught:
        assert len(store.load(folder)) == 7
    assert len(caught) == 1


def test_a_folder_where_nothing_is_a_layer(store, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    with pytest.raises(LayerError, match=r"nothing in .* is a layer\. Supported are"):
        store.load(root)
    (root / "bad.tif").write_text("x")
    with pytest.raises(LayerError, match=r"nothing in .* is a layer:\n  .*bad.tif"):
        store.load(root)
    for source, words in (
        (root / "bad.tif", "is no folder"),
        (root / "none", "is no folder"),
        (7, "folder must be of type string"),
    ):
        with pytest.raises(ArgumentError, match=words):
            store.load(source)


def catalog(folder, text):
    (folder / "catalog.toml").write_text(text)
    return folder


LAYER = f"""
[[layer]]
name = "scene"
type = "raster"
pathId = "{PATH.upper()}"
description = "what it is"
[[layer.timestamp]]
id = "{TIME}"
description = "summer"
date = {{ from = 2023-07-01T10:30:00Z, to = 2023-07-02T10:30:00Z }}
files = ["a.tif", "sub/b.tif"]
nodata = 0
"""


def test_a_catalog(store, folder):
    more = """
[[layer.timestamp]]
files = ["tile.tif"]
[[layer]]
name = "roads"
type = "vector"
files = ["roads.shp"]
[[layer]]
name = "settings"
type = "file"
files = ["settings.json"]
"""
    loaded = store.load(catalog(folder, LAYER + more))
    assert list(loaded) == ["scene", "roads", "settings"]
    first, second = loaded["scene"]["timestamps"]
    assert (loaded["scene"]["pathId"], first, loaded["scene"]["timestampId"]) == (PATH, TIME, second)
    timestamp = store.timestamp(PATH, TIME)
    assert [file.name for file in timestamp.files] == ["a.tif", "b.tif"]
    assert [file.nodata for file in timestamp.rasters] == [0, 0]
    assert (timestamp.description, timestamp.date_from.day, timestamp.date_to.day) == ("summer", 1, 2)
    assert (store.path(PATH).name, store.path(PATH).metadata) == ("scene", {"description": "what it is"})
    assert "timestamps" not in loaded["roads"]
    assert uuid.UUID(loaded["roads"]["pathId"]).version == 5
    assert loaded["settings"] == {"pathId": loaded["settings"]["pathId"], "type": "file"}
    assert json.loads(store.get_plain_file(loaded["settings"]["pathId"]).location.read_text()) == {"a": 1}
    assert store.load(folder) == loaded


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "list of"),
        ("x = [", "is no TOML"),
        ("[[layer]]\n[[other]]", "nothing else"),
        ("[[layer]]\ntype = 'raster'", "must have a name"),
        ("[[layer]]\nname = 'a'\ntype = 'folder'", "type must be one of"),
        (LAYER + LAYER, "occur twice: scene"),
        (LAYER.replace(PATH.upper(), "x"), "pathId must be of type string and be a uuid"),
        (LAYER.replace(TIME, "x"), "timestamp 1: id must be of type string and be a uuid"),
        (LAYER.replace('description = "what', 'descripion = "what'), "unknown descripion"),
        (LAYER.replace("nodata", "nodatum"), "known keys are"),
        (LAYER.replace('["a.tif", "sub/b.tif"]', "[]"), "one or more file names"),
        (LAYER.replace('["a.tif", "sub/b.tif"]', "'a.tif'"), "one or more file names"),
        ("[[layer]]\nname = 'a'\ntype = 'file'\nfiles = ['a.tif', 'b']", "one file and no timestamps"),
        ("[[layer]]\nname = 'a'\ntype = 'raster'", "one or more file names"),
    ],
)
def test_catalogs_that_are_wrong(store, folder, text, words):
    with pytest.raises(ArgumentError, match=words) as caught:
        store.load(catalog(folder, text))
    assert "catalog.toml" in str(caught.value)
    assert store.list() == ()


def test_a_catalog_that_names_no_layer(store, folder):
    for name, words in (
        ("none.tif", "is not there"),
        ("roads.shp", "is a vector .*, not a raster"),
        ("readme.md", "no layer"),
    ):
        text = LAYER.replace("sub/b.tif", name)
        with pytest.raises(LayerError, match=words):
            store.load(catalog(folder, text))
    assert list(store.home.layers.iterdir()) == []


@pytest.mark.skipif(not (FIXTURES / "catalog.toml").is_file(), reason="the fixtures are not there")
def test_our_own_fixtures(store):
    with warnings.catch_warnings():
        # One layer has features without geometry, on purpose.
        warnings.simplefilter("ignore", LayerWarning)
        loaded = store.load(FIXTURES)
        assert store.load(FIXTURES) == loaded
        assert store.load() == loaded, "they are the ones that are shipped"
    assert store.load(names=["dem"]) == {"dem": loaded["dem"]}
    with pytest.raises(ArgumentError, match="must be of scene, dem, .*, not dam"):
        store.load(names=["dam"])
    assert {"scene", "dem", "buildings"} <= set(loaded)
    for one in loaded.values():
        if "timestampId" in one:
            timestamp = store.timestamp(one["pathId"], one["timestampId"])
            assert timestamp.status == "active"
            assert timestamp.files


@pytest.mark.data
def test_real_layers(store, tmp_path):
    root = Path(os.environ.get("ELLIPSIS_LOCAL_TEST_DATA", "/nonexistent"))
    if not root.is_dir():
        pytest.skip("ELLIPSIS_LOCAL_TEST_DATA names no folder")
    loaded = store.load(root)
    zion = store.timestamp(loaded["zion.gpkg"]["pathId"], loaded["zion.gpkg"]["timestampId"]).vectors[0]
    assert not zion.crs.startswith("EPSG:")
    countries = store.timestamp(*(loaded["ne_110m_countries.fgb"][key] for key in ("pathId", "timestampId")))
    assert countries.vectors[0].features == 177
    for name, one in loaded.items():
        bounds = store.bounds(one["pathId"], one["timestampId"])
        assert not bounds.is_empty
        raster_layer = one["type"] == "raster"
        target = tmp_path / f"{name}{'.tif' if raster_layer else '.gpkg'}"
        store.export(one["pathId"], one["timestampId"], target)
        if raster_layer:
            with rasterio.open(target) as made, rasterio.open(root / name) as given:
                np.testing.assert_array_equal(made.read(), given.read())
