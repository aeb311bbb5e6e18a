"""Original files, plain files and folders, pulled with all that is known of them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import ArgumentError, LayerError, UpstreamError
from tests.integration.upstream.hosted import Hosted, tiff
from tests.integration.upstream.layers import HERE, nothing_here, pixels, read, roads, scene, stored


def test_original_files_with_all_that_is_known_of_them(hosted: Hosted, pull, el) -> None:
    path_id = hosted.add_raster("Scene of the Alps", bands=["red", "infrared"])
    hosted.paths[path_id]["metadata"] = {"description": "two bands", "attribution": None, "properties": {"a": [1]}}
    first, second = hosted.add_timestamp(path_id, zoom=12), hosted.add_timestamp(path_id, status="passive", zoom=12)
    originals = [tiff(pixels(seed), **HERE) for seed in (1, 2, 3)]
    for number, data in enumerate(originals):
        hosted.add_layer_file(first, f"../../{number} höhe.tif", data)
    hosted.files[first].insert(1, {"id": str(uuid.uuid4()), "name": "gone.tif", "trashed": True, "info": {}})
    hosted.add_layer_file(second, "plain.tif", tiff(pixels(4), transform=HERE["transform"]), epsg=3857, noDataValue=7)
    answer = pull(path_id)
    assert answer == {
        "pathId": path_id, "type": "raster", "name": "Scene of the Alps", "timestampId": second,
        "timestamps": [first, second], "pulled": [first, second], "unchanged": [], "skipped": {},
    }  # fmt: skip
    layer = el.layers.get(path_id)
    assert layer["name"] == "Scene of the Alps"
    assert layer["metadata"] == {"description": "two bands", "properties": {"a": [1]}}
    assert [band["name"] for band in layer["raster"]["bands"]][:2] == ["red", "infrared"]
    here = current_emulator().store.timestamp(path_id, first)
    assert (here.status, here.description) == ("active", "a clear day")
    assert here.date_from == datetime(2024, 7, 1, 10, 30, tzinfo=UTC)
    assert here.date_to == datetime(2024, 7, 2, 0, 0, 0, 500_000, tzinfo=UTC)
    assert current_emulator().store.timestamp(path_id, second).status == "passive"
    files = stored(path_id, first)
    assert [file.name for file in files] == [f"../../{number} höhe.tif" for number in range(3)]
    assert [file.location.read_bytes() for file in files] == originals, "as they were given, in the order of the mosaic"
    assert all(file.location.parent.parent == current_emulator().home.layers for file in files)
    [file] = stored(path_id, second)
    assert (file.detail.crs, file.detail.nodata) == ("EPSG:3857", 7)
    assert not list((current_emulator().home.cache / "pulls").iterdir()), "the draft is gone"


def test_again_is_nothing_to_do_and_says_so(hosted: Hosted, pull) -> None:
    path_id, timestamp_id = scene(hosted)
    assert pull(path_id)["pulled"] == [timestamp_id]
    hosted.well_again()
    said: list[str] = []
    for options in ({}, {"replace": True}):
        answer = pull(path_id, progress=lambda step: said.append(str(step)), **options)
        assert (answer["pulled"], answer["unchanged"]) == ([], [timestamp_id])
    assert hosted.asked("/data") == []
    assert any("is here already, unchanged" in text for text in said)


def test_one_of_several_timestamps(hosted: Hosted, pull, el) -> None:
    path_id, first = scene(hosted)
    second = hosted.add_timestamp(path_id, zoom=12)
    hosted.add_layer_file(second, "b.tif", tiff(pixels(2), **HERE))
    assert pull(path_id, second)["timestamps"] == [second]
    assert [one["id"] for one in el.layers.get(path_id)["raster"]["timestamps"]] == [second]
    assert pull(path_id, [first, second])["pulled"] == [first]
    with pytest.raises(UpstreamError, match=f"has no timestamp .*; it has {first}, {second}"):
        pull(path_id, [str(uuid.uuid4())])


def test_the_same_file_added_by_hand_is_nothing_to_do(hosted: Hosted, pull, el, tmp_path: Path) -> None:
    path_id, timestamp_id = scene(hosted)
    hosted.paths[path_id]["raster"]["bands"] = []
    (tmp_path / "mine.tif").write_bytes(tiff(pixels(), **HERE))
    el.layers.add(tmp_path / "mine.tif", path_id, timestamp_id)
    assert pull(path_id)["unchanged"] == [timestamp_id]


def test_other_content_needs_replace(hosted: Hosted, pull, el) -> None:
    path_id, timestamp_id = scene(hosted)
    el.layers.add({"raster": pixels(9), **HERE}, path_id, timestamp_id)
    with pytest.raises(LayerError, match="was not pulled from there.*replace=True"):
        pull(path_id)
    assert hosted.asked("/data") == [], "told before anything is fetched"
    assert pull(path_id, replace=True)["pulled"] == [timestamp_id]
    np.testing.assert_array_equal(read(path_id, timestamp_id)[0], pixels())
    hosted.files[timestamp_id].clear()
    hosted.add_layer_file(timestamp_id, "new.tif", tiff(pixels(2), compress="deflate", **HERE))
    with pytest.raises(LayerError, match="what an earlier pull brought, and differs"):
        pull(path_id)
    assert pull(path_id, replace=True)["pulled"] == [timestamp_id]
    np.testing.assert_array_equal(read(path_id, timestamp_id)[0], pixels(2))


def test_ids_that_stand_for_something_else_here(hosted: Hosted, pull, el) -> None:
    path_id, timestamp_id = scene(hosted)
    current_emulator().store.add_layer_path("vector", "mine", path_id=path_id)
    with pytest.raises(LayerError, match="is a raster there, and a vector here"):
        pull(path_id)
    el.layers.remove(path_id)
    el.layers.add({"raster": pixels(), **HERE}, timestampId=timestamp_id)
    with pytest.raises(LayerError, match="is one of path .* here"):
        pull(path_id)
    assert hosted.asked("/data") == []


def test_an_extent_cuts_windows_of_the_original_grid(hosted: Hosted, pull, el) -> None:
    path_id = hosted.add_raster(bands=["red", "infrared"])
    timestamp_id = hosted.add_timestamp(path_id, zoom=12)
    whole = pixels()
    hosted.add_layer_file(timestamp_id, "a.tif", tiff(whole, nodata=3, **HERE))
    far = {"crs": "EPSG:3857", "transform": Affine(10, 0, 0, 0, -10, 0)}
    bounds = {"type": "Polygon", "coordinates": [[[0, -1], [1, -1], [1, 0], [0, -1]]]}
    away = hosted.add_layer_file(timestamp_id, "far.tif", tiff(whole, **far), bounds=bounds)
    extent = {"xMin": 500_101.0, "yMin": 5_999_799.0, "xMax": 500_310.0, "yMax": 5_999_900.0}
    pull(path_id, extent=extent, epsg=3857)
    assert hosted.asked(away) == [], "what lies elsewhere is not fetched"
    [file] = stored(path_id, timestamp_id)
    values, profile = read(path_id, timestamp_id)
    np.testing.assert_array_equal(values, whole[:, 10:21, 10:31])
    assert profile["transform"] == Affine(10, 0, 500_100, 0, -10, 5_999_900)
    assert (profile["nodata"], file.name) == (3, "a.tif")
    assert [band["name"] for band in el.layers.get(path_id)["raster"]["bands"]][:2] == ["red", "infrared"]
    assert pull(path_id, extent=extent, epsg=3857)["unchanged"] == [timestamp_id]
    with pytest.raises(LayerError, match="differs from what is asked for now"):
        pull(path_id)
    with pytest.raises(UpstreamError, match="lies within the extent"):
        pull(path_id, extent={"xMin": 60, "yMin": 10, "xMax": 61, "yMax": 11}, replace=True)


def test_an_extent_of_a_raster_in_another_crs(hosted: Hosted, pull) -> None:
    path_id = hosted.add_raster(bands=["a", "b"])
    timestamp_id = hosted.add_timestamp(path_id, zoom=12)
    whole = pixels(5)
    place = {"crs": "EPSG:32632", "transform": Affine(100, 0, 400_000, 0, -100, 5_500_000)}
    hosted.add_layer_file(timestamp_id, "utm.tif", tiff(whole, **place))
    pull(path_id, extent={"xMin": -179, "yMin": -89, "xMax": 179, "yMax": 89})
    np.testing.assert_array_equal(read(path_id, timestamp_id)[0], whole)


@pytest.mark.parametrize(
    ("extent", "text"),
    [
        ({"xMin": 1, "yMin": 1, "xMax": 2}, "extent must be a dictionary with keys xMin"),
        ({"xMin": 1, "yMin": 1, "xMax": 2, "yMax": "3"}, "of type float"),
        ({"xMin": 2, "yMin": 1, "xMax": 2, "yMax": 3}, "xMax must be strictly larger"),
        ({"xMin": 1, "yMin": 4, "xMax": 2, "yMax": 3}, "yMax must be strictly larger"),
        ({"xMin": 500_000, "yMin": 4, "xMax": 600_000, "yMax": 5}, "outside of the earth"),
        ([1, 2, 3, 4], "extent must be a dictionary"),
    ],
)
def test_impossible_extents(hosted: Hosted, pull, extent: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        pull(str(uuid.uuid4()), extent=extent)
    assert hosted.requests == []


def test_plain_files(hosted: Hosted, pull, el, tmp_path: Path) -> None:
    path_id = hosted.add_file("../weights?.bin", b"0123456789" * 1000)
    assert pull(path_id) == {
        "pathId": path_id, "type": "file", "name": "../weights?.bin", "pulled": [path_id], "unchanged": [], "skipped": {},
    }  # fmt: skip
    el.path.file.download(path_id, str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == b"0123456789" * 1000
    hosted.well_again()
    assert pull(path_id)["unchanged"] == [path_id]
    assert hosted.asked("/data") == []
    hosted.data[path_id] = b"other"
    hosted.paths[path_id]["file"]["size"] = 5
    with pytest.raises(LayerError, match="replace=True"):
        pull(path_id)
    assert pull(path_id, replace=True)["pulled"] == [path_id]
    with pytest.raises(ArgumentError, match="has no timestamps"):
        pull(path_id, [str(uuid.uuid4())])
    with pytest.raises(ArgumentError, match="has no extent"):
        pull(path_id, extent={"xMin": 1, "yMin": 1, "xMax": 2, "yMax": 2})


def test_an_empty_file(hosted: Hosted, pull) -> None:
    path_id = hosted.add_file("empty.txt", b"")
    pull(path_id)
    assert current_emulator().store.get_plain_file(path_id).size == 0


def test_a_folder_with_all_below_it(hosted: Hosted, pull) -> None:
    raster, timestamp_id = scene(hosted)
    vector, _ = roads(hosted)
    file = hosted.add_file("a.txt", b"a")
    cloud = hosted.add("pointCloud", "points", {})
    inner = hosted.add_folder("inner", [vector, file])
    top = hosted.add_folder("top", [raster, inner, cloud, file])
    hosted.children[inner].append(top)
    answer = pull(top)
    catalogue = current_emulator().store.catalogue
    parents = {one: catalogue.get_path(one).parent_id for one in (top, inner, raster, vector, file)}
    assert parents == {top: None, inner: top, raster: top, vector: inner, file: inner}
    assert [one["name"] for one in answer["paths"]] == ["scene", "inner"]
    assert {one["pathId"] for one in answer["paths"][1]["paths"]} == {vector, file}
    assert catalogue.find_path(cloud) is None
    assert pull(top)["paths"][0]["unchanged"] == [timestamp_id]


def test_one_bad_layer_does_not_keep_the_others_out(hosted: Hosted, pull) -> None:
    good, _ = scene(hosted)
    bad, _ = scene(hosted, data=b"no raster at all")
    hidden, _ = scene(hosted)
    hosted.fail(f"path/{hidden}$", 403, text="not yours")
    top = hosted.add_folder("top", [bad, hidden, good])
    with pytest.raises(UpstreamError, match="2 of 4 paths could not be pulled") as caught:
        pull(top)
    assert "not yours" in str(caught.value) and "scene.tif" in str(caught.value)
    assert not nothing_here(good) and nothing_here(bad)
    with pytest.raises(UpstreamError, match="is a pointCloud; folders, rasters"):
        pull(hosted.add("pointCloud", "points", {}))
