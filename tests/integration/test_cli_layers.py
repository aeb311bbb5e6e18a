"""`layers` on a home of its own: in, looked at, out again, removed."""

from __future__ import annotations

import json

import geopandas as gpd
import pytest
import rasterio
from typer.testing import CliRunner

from ellipsis_local.cli.app import app

PATH_ID = "523caede-0000-4000-8000-000000000001"
TIMESTAMP_ID = "523caede-0000-4000-8000-000000000002"


@pytest.fixture
def run(home, el):
    """A command that must succeed, unless another code is expected; its stdout, parsed where it is JSON."""

    def invoke(*arguments, code=0):
        answer = CliRunner().invoke(app, ["--home", str(home), *map(str, arguments)])
        assert answer.exit_code == code, answer.output
        if code:
            assert answer.stdout == ""
            return answer.stderr
        return json.loads(answer.stdout) if "--json" in arguments else answer.stdout

    return invoke


@pytest.fixture
def loaded(run, fixtures):
    return run("layers", "load", fixtures, "--json")


def test_add_under_the_ids_of_a_script(run, fixtures, el):
    arguments = ["layers", "add", fixtures / "scene_2024.tif", "--path-id", PATH_ID, "--timestamp-id", TIMESTAMP_ID]
    arguments += ["--name", "mine", "--from", "2024-08-12", "--to", "2024-08-13T10:00:00Z", "--description", "two days"]
    assert run(*arguments, "--json") == {"pathId": PATH_ID, "timestampId": TIMESTAMP_ID}
    assert PATH_ID in run(*arguments), "the same again changes nothing"
    shown = run("layers", "show", "mine", "--json")
    [timestamp] = shown["raster"]["timestamps"]
    assert shown["id"] == PATH_ID
    assert timestamp["id"] == TIMESTAMP_ID
    assert timestamp["date"] == {"from": "2024-08-12T00:00:00", "to": "2024-08-13T10:00:00"}
    assert timestamp["description"] == "two days"
    assert timestamp["files"][0]["info"]["width"] == 512
    assert el.layers.get(PATH_ID)["name"] == "mine"


def test_other_content_needs_replace(run, fixtures):
    ids = ["--path-id", PATH_ID, "--timestamp-id", TIMESTAMP_ID]
    run("layers", "add", fixtures / "scene_2023.tif", *ids)
    assert "replace" in run("layers", "add", fixtures / "scene_2024.tif", *ids, code=1)
    run("layers", "add", fixtures / "scene_2024.tif", *ids, "--replace")


def test_add_with_overrides(run, fixtures):
    added = run("layers", "add", fixtures / "dem.tif", "--nodata", "7", "--type", "raster", "--epsg", "4258", "--json")
    info = run("layers", "show", added["pathId"], "--json")["raster"]["timestamps"][0]["files"][0]["info"]
    assert info["noDataValue"] == 7
    assert "4258" in info["crs"] or "ETRS89" in info["crs"]


def test_add_any_file_as_it_is(run, fixtures, tmp_path):
    added = run("layers", "add", fixtures / "thresholds.json", "--type", "file", "--path-id", PATH_ID, "--json")
    assert added == {"pathId": PATH_ID}
    run("layers", "export", PATH_ID, tmp_path / "out.json")
    assert (tmp_path / "out.json").read_bytes() == (fixtures / "thresholds.json").read_bytes()
    assert "thresholds" in run("layers", "show", PATH_ID)


def test_what_is_no_layer_is_an_error(run, tmp_path):
    (tmp_path / "x.tif").write_bytes(b"no raster")
    assert "x.tif" in run("layers", "add", tmp_path / "x.tif", code=1)
    assert "nothing.tif" in run("layers", "add", tmp_path / "nothing.tif", code=1)
    assert run("layers", "load", tmp_path / "nowhere", code=1).startswith("error:")


def test_load_and_list(run, loaded, fixtures):
    assert loaded["scene"]["pathId"] == "1791d90c-86ee-417e-aa04-0e22447f6fd9"
    assert len(loaded["scene"]["timestamps"]) == 2
    assert run("layers", "load", fixtures, "--json") == loaded, "loading again changes nothing"
    listed = {layer["name"]: layer for layer in run("layers", "list", "--json")}
    assert set(listed) == set(loaded)
    assert all(listed[name]["id"] == loaded[name]["pathId"] for name in loaded)
    table = run("layers", "list")
    assert all(f"{layer['pathId']}" in table for layer in loaded.values())
    assert loaded["trees"]["timestampId"] in run("layers", "load", fixtures)


def test_an_empty_home_says_what_to_do(run):
    assert "layers add" in run("layers", "list")
    assert run("layers", "list", "--json") == []


@pytest.mark.parametrize(
    "name", ["scene", "landcover", "ortho", "buildings", "awkward_empty", "awkward_nan", "thresholds"]
)
def test_show(run, loaded, name):
    text = run("layers", "show", name)
    assert loaded[name]["pathId"] in text
    assert all(timestamp in text for timestamp in loaded[name].get("timestamps", []))
    shown = run("layers", "show", name, "--json")
    assert {"id", "type", "name", "metadata", shown["type"]} <= set(shown)


def test_export(run, loaded, tmp_path):
    run("layers", "export", "buildings", tmp_path / "b.geojson")
    assert len(gpd.read_file(tmp_path / "b.geojson")) == 452
    run("layers", "export", "ortho", tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as mosaic:
        assert (mosaic.width, mosaic.height) == (512, 288)
    message = run("layers", "export", "scene", tmp_path / "s.tif", code=1)
    assert all(timestamp in message for timestamp in loaded["scene"]["timestamps"])
    run("layers", "export", "scene", tmp_path / "s.tif", "-t", loaded["scene"]["timestamps"][0])
    run("layers", "export", "ortho", tmp_path / "cog.tif", "--cog")
    with rasterio.open(tmp_path / "cog.tif") as mosaic:
        assert mosaic.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert "'cog' is for a raster" in run("layers", "export", "buildings", tmp_path / "b.gpkg", "--cog", code=1)
    assert run("layers", "export", "dem", tmp_path / "d.gpkg", code=1).startswith("error:")
    assert run("layers", "export", "dem", tmp_path / "nowhere" / "d.tif", code=1).startswith("error:")


def test_remove(run, loaded):
    run("layers", "remove", "scene", "-t", loaded["scene"]["timestamps"][0], "--yes")
    assert len(run("layers", "show", "scene", "--json")["raster"]["timestamps"]) == 1
    run("layers", "remove", "scene")
    assert "scene" not in {layer["name"] for layer in run("layers", "list", "--json")}
    assert "no layer 'scene'" in run("layers", "remove", "scene", code=1)
