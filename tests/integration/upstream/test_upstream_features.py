"""Vectors, by pages of features and by their files."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest

from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import LayerWarning, UpstreamError
from tests.integration.upstream.hosted import Hosted
from tests.integration.upstream.layers import frame, nothing_here, roads, stored


def test_all_pages_of_features(hosted: Hosted, pull, el) -> None:
    hosted.level = 100
    points = frame()
    path_id, timestamp_id = roads(hosted, points)
    pull(path_id)
    assert len(hosted.asked("listFeatures")) == 3
    [file] = stored(path_id, timestamp_id)
    assert (file.detail.crs, file.detail.features, file.format) == ("EPSG:4326", 120, "parquet")
    found = gpd.read_parquet(file.location)
    assert list(found.columns) == ["lanes", "seen", "never", "id", "name", "width", "geometry"]
    assert [str(found[name].dtype) for name in ("lanes", "width", "never")] == ["int64", "float64", "float64"]
    assert str(found["seen"].dtype).startswith("datetime64") and found["seen"].dt.tz is not None
    for name in ("id", "lanes", "width"):
        assert found[name].tolist() == points[name].tolist()
    assert found["name"].isna().tolist() == points["name"].isna().tolist()
    assert found.geometry.geom_equals(points.geometry).all()
    timestamp = current_emulator().store.timestamp(path_id, timestamp_id)
    assert (timestamp.status, timestamp.description) == ("active", "a clear day")
    hosted.well_again()
    assert pull(path_id)["unchanged"] == [timestamp_id]
    assert hosted.asked("listFeatures") == []
    hosted.features[timestamp_id].pop()
    assert pull(path_id, replace=True)["pulled"] == [timestamp_id]
    assert stored(path_id, timestamp_id)[0].detail.features == 119


def test_pages_that_were_fetched_are_kept(hosted: Hosted, pull) -> None:
    hosted.level = 100
    path_id, timestamp_id = roads(hosted)
    steps: list[Any] = []

    def stop(step: Any) -> None:
        steps.append(step)
        if step.unit == "pages" and step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(path_id, progress=stop)
    assert nothing_here(path_id)
    hosted.well_again()
    pull(path_id)
    assert [json.loads(request.query["pageStart"]) for request in hosted.asked("listFeatures")] == [{"at": 100}]
    assert stored(path_id, timestamp_id)[0].detail.features == 120


def test_features_of_an_extent(hosted: Hosted, pull) -> None:
    points = frame()
    path_id, timestamp_id = roads(hosted, points, zoom=8)
    hosted.add_layer_file(timestamp_id, "roads.gpkg", b"never fetched")
    hosted.features[timestamp_id] *= 2
    extent = {"xMin": 4.5, "yMin": 51.5, "xMax": 5.0, "yMax": 52.0}
    pull(path_id, extent=extent)
    asked = json.loads(hosted.asked("featuresByExtent")[0].query["extent"])
    assert asked["xMin"] == 4.5 - 180 / 2**8, "wider by what the client adds"
    found = gpd.read_parquet(stored(path_id, timestamp_id)[0].location)
    expected = points.cx[4.5:5.0, 51.5:52.0]
    assert 0 < len(expected) < 120
    assert sorted(found["id"]) == sorted(expected["id"]), "each once"
    pull(path_id, extent={"xMin": 100, "yMin": 1, "xMax": 101, "yMax": 2}, replace=True)
    assert stored(path_id, timestamp_id)[0].detail.features == 0


def test_original_files_of_a_vector(hosted: Hosted, pull, tmp_path: Path) -> None:
    frame().to_crs(28992).to_file(tmp_path / "roads.gpkg")
    path_id, timestamp_id = roads(hosted)
    hosted.add_layer_file(timestamp_id, "roads.gpkg", (tmp_path / "roads.gpkg").read_bytes())
    hosted.files[timestamp_id].append({"id": str(uuid.uuid4()), "name": "x", "reverted": True, "info": {}})
    hosted.changes[timestamp_id] = []
    pull(path_id)
    [file] = stored(path_id, timestamp_id)
    assert (file.detail.crs, file.detail.features, file.name) == ("EPSG:28992", 120, "roads.gpkg")
    assert file.location.read_bytes() == (tmp_path / "roads.gpkg").read_bytes()


def test_features_that_were_changed_one_by_one_are_not_in_the_files(hosted: Hosted, pull) -> None:
    path_id, timestamp_id = roads(hosted)
    hosted.add_layer_file(timestamp_id, "roads.gpkg", b"of before")
    hosted.changes[timestamp_id] = [{"action": "edit", "date": "2024-01-01T00:00:00.000Z"}]
    pull(path_id)
    assert hosted.asked("/data") == []
    assert stored(path_id, timestamp_id)[0].detail.features == 120


@pytest.mark.parametrize("size", [lambda count: count + 1, lambda count: count - 1, lambda count: 0])
def test_a_page_with_other_than_its_number_of_features(hosted: Hosted, pull, size) -> None:
    hosted.level, hosted.size = 100, size
    path_id, _ = roads(hosted)
    with pytest.raises(UpstreamError, match="page 1 should hold .* features and holds 50"):
        pull(path_id)
    assert nothing_here(path_id)


@pytest.mark.parametrize("size", [lambda count: 300 * count, lambda count: None])
def test_a_size_that_counts_bytes_says_nothing(hosted: Hosted, pull, size) -> None:
    hosted.level, hosted.size = 100, size
    path_id, timestamp_id = roads(hosted)
    pull(path_id)
    assert stored(path_id, timestamp_id)[0].detail.features == 120


def test_a_geometry_that_is_none(hosted: Hosted, pull) -> None:
    hosted.level = 100
    path_id, timestamp_id = roads(hosted)
    hosted.features[timestamp_id][7]["geometry"] = {"type": "Ellipse"}
    with pytest.raises(UpstreamError, match="feature 00000000-0000-0000-0000-000000000007 of 'roads' has a geometry"):
        pull(path_id)
    assert nothing_here(path_id)


def test_values_of_any_kind(hosted: Hosted, pull) -> None:
    hosted.level = 100
    path_id, timestamp_id = roads(hosted, frame(4))
    values = [
        {"a": 1, "b": True, "geometry": "x"},
        {"a": "x", "b": None},
        {"c": {"d": [1]}},
        {"a": 2**70, "e": "\ud800"},
    ]
    for feature, row in zip(hosted.features[timestamp_id], values, strict=True):
        feature["properties"] = row
    hosted.features[timestamp_id][1]["geometry"] = None
    with pytest.warns(LayerWarning, match="1 of 4 features .* no geometry"):
        pull(path_id)
    found = gpd.read_parquet(stored(path_id, timestamp_id)[0].location)
    assert found.active_geometry_name == "geometry_"
    found = found.astype(object).where(found.notna(), None)
    assert found["a"].tolist() == ["1", "x", None, str(2**70)]
    assert found["b"].tolist() == [True, None, None, None]
    assert found["c"].tolist()[2] == '{"d": [1]}'
    assert found["e"].tolist()[3] == "?"
