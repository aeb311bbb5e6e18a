"""Layers pulled into a second home, held against what the client itself gets from the same server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from ellipsis_local.emulator import Emulator
from ellipsis_local.server import Server
from ellipsis_local.settings import read_settings

VIEW = {"accessLevel": 100}
"""To see, and not to download."""


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Emulator]:
    """Another home, which pulls."""
    with Emulator(read_settings({"home": tmp_path / "mine", "progress": False}, {})) as emulator:
        yield emulator


@pytest.fixture
def scene(client: ModuleType, token: str, fixtures: Path) -> tuple[str, str]:
    """A raster of two files, as the client uploads it."""
    path_id = client.path.raster.add("scene", token, metadata={"description": "two files"})["id"]
    timestamp_id = client.path.raster.timestamp.add(path_id, token, description="summer")["id"]
    for name in ("ortho_west.tif", "ortho_east.tif"):
        client.path.raster.timestamp.file.add(path_id, timestamp_id, token, "tif", filePath=str(fixtures / name))
    client.path.raster.timestamp.activate(path_id, timestamp_id, token)
    return path_id, timestamp_id


@pytest.fixture
def trees(client: ModuleType, token: str, fixtures: Path) -> tuple[str, str]:
    path_id = client.path.vector.add("trees", token)["id"]
    timestamp_id = client.path.vector.timestamp.add(path_id, token)["id"]
    client.path.vector.timestamp.file.add(path_id, timestamp_id, token, "fgb", filePath=str(fixtures / "trees.fgb"))
    client.path.vector.timestamp.activate(path_id, timestamp_id, token)
    return path_id, timestamp_id


def test_files_are_those_that_the_client_downloads(
    client: ModuleType, server: Server, token: str, mine: Emulator, scene: tuple[str, str], tmp_path: Path
) -> None:
    path_id, timestamp_id = scene
    client.path.raster.editBand(path_id, 1, "reddish", token)
    assert mine.upstream.pull(path_id, url=server.url, token=token).pulled == [timestamp_id]
    listed = client.path.raster.timestamp.file.get(path_id, timestamp_id, token)["result"]
    here = mine.store.files(path_id, timestamp_id)
    assert [file.name for file in here] == [file["name"] for file in listed]
    for file, told in zip(here, listed, strict=True):
        target = tmp_path / "downloaded.tif"
        client.path.raster.timestamp.file.download(path_id, timestamp_id, told["id"], str(target), token)
        assert file.location.read_bytes() == target.read_bytes()
    told = client.path.get(path_id, token)
    assert mine.store.path(path_id).metadata == told["metadata"]
    assert mine.path_metadata.of(path_id)["bands"] == {"1": "reddish"}
    when, there = mine.store.timestamp(path_id, timestamp_id), told["raster"]["timestamps"][0]
    assert (when.description, when.status) == (there["description"], there["status"])
    assert when.date_from.replace(tzinfo=None) == there["date"]["from"]


def test_tiles_are_those_that_the_client_gets(
    client: ModuleType, server: Server, token: str, mine: Emulator, scene: tuple[str, str]
) -> None:
    path_id, timestamp_id = scene
    client.path.editPublicAccess(path_id, token, access=dict(VIEW))
    mine.upstream.pull(path_id, url=server.url)
    [file] = mine.store.files(path_id, timestamp_id)
    with rasterio.open(file.detail.location) as dataset:
        values, valid, bounds = dataset.read(), dataset.dataset_mask() > 0, dataset.bounds
        inset = dataset.res[0] / 2
    extent = {
        "xMin": bounds.left + inset, "yMin": bounds.bottom + inset,
        "xMax": bounds.right - inset, "yMax": bounds.top - inset,
    }  # fmt: skip
    theirs = client.path.raster.timestamp.getRaster(path_id, timestamp_id, extent, showProgress=False)["raster"]
    assert theirs.shape == (len(values) + 1, *values.shape[1:])
    assert valid.any()
    np.testing.assert_array_equal(theirs[-1] > 0, valid)
    np.testing.assert_array_equal(theirs[:-1, valid], values[:, valid])


def test_features_are_those_that_the_client_lists(
    client: ModuleType, server: Server, token: str, mine: Emulator, trees: tuple[str, str]
) -> None:
    path_id, timestamp_id = trees
    client.path.editPublicAccess(path_id, token, access=dict(VIEW))

    def pulled(**options: Any) -> gpd.GeoDataFrame:
        mine.upstream.pull(path_id, url=server.url, **options)
        return gpd.read_parquet(mine.store.files(path_id, timestamp_id)[0].location)

    same(pulled(), client.path.vector.timestamp.listFeatures(path_id, timestamp_id)["result"])
    west, south, east, north = gpd.read_parquet(mine.store.files(path_id, timestamp_id)[0].location).total_bounds
    extent = {"xMin": west, "yMin": south, "xMax": (west + east) / 2, "yMax": (south + north) / 2}
    theirs = client.path.vector.timestamp.getFeaturesByExtent(path_id, timestamp_id, dict(extent))["result"]
    same(pulled(extent=extent, replace=True), theirs)


def test_changed_features_are_not_taken_from_the_files(
    client: ModuleType, server: Server, token: str, mine: Emulator, trees: tuple[str, str]
) -> None:
    path_id, timestamp_id = trees
    features = client.path.vector.timestamp.listFeatures(path_id, timestamp_id, token)["result"]
    client.path.vector.timestamp.feature.trash(path_id, timestamp_id, list(features["id"][:3]), token)
    mine.upstream.pull(path_id, url=server.url, token=token)
    assert sum(file.detail.features for file in mine.store.files(path_id, timestamp_id)) == len(features) - 3


def same(mine: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame) -> None:
    """The same features, in any order of columns."""
    mine, theirs = (frame.sort_values("id").reset_index(drop=True) for frame in (mine, theirs))
    assert len(mine) > 0
    assert set(mine.columns) == set(theirs.columns)
    assert mine.geometry.geom_equals_exact(theirs.geometry.set_crs(4326, allow_override=True), 1e-9).all()
    columns = [name for name in mine.columns if name != "geometry"]
    mine_text, their_text = (frame[columns].to_json(orient="records") for frame in (mine, theirs))
    assert json.loads(mine_text) == json.loads(their_text)
