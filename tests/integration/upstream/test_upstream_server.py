"""Layers pulled from `ellipsis_local.serve` of a second home; tests/client has the real client's calls beside it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio

import ellipsis_local
from ellipsis_local.emulator import Emulator
from ellipsis_local.settings import Settings, read_settings
from tests.integration.upstream.layers import read, stored

VIEW = {"accessLevel": 100}
"""What everybody may do: see, and not download."""


@pytest.fixture
def theirs(tmp_path: Path) -> Settings:
    """The settings of another home."""
    return read_settings({"home": tmp_path / "theirs", "progress": False, "cores": 1}, {})


@pytest.fixture
def filled(theirs: Settings, fixtures: Path) -> dict[str, Any]:
    """The fixture layers in that home, everybody's to see, with the contents of their files; and a token."""
    with Emulator(theirs) as emulator:
        with warnings.catch_warnings():
            # Features without geometry in an awkward one.
            warnings.simplefilter("ignore")
            found = emulator.store.load(fixtures)
        for layer in found.values():
            emulator.store.catalogue.set_public_access(layer["pathId"], VIEW)
            layer["contents"] = (
                [
                    [file.content for file in emulator.store.files(layer["pathId"], timestamp)]
                    for timestamp in layer.get("timestamps") or [layer["timestampId"]]
                    if layer["type"] != "file"
                ]
                if layer["type"] != "file"
                else []
            )
        found["token"] = emulator.accounts.log_in("them", "secret")
    return found


@pytest.fixture
def url(theirs: Settings, filled: dict[str, Any]) -> Iterator[str]:
    with ellipsis_local.serve(settings=theirs) as server:
        yield server.url


def test_everything_with_its_original_files(el, filled: dict[str, Any], url: str) -> None:
    token = filled.pop("token")
    for name, layer in filled.items():
        with warnings.catch_warnings():
            # What the store says of the awkward ones, it said when they were added there.
            warnings.simplefilter("ignore")
            answer = el.layers.pull(layer["pathId"], fromUrl=url, token=token)
        assert len(answer["pulled"]) == max(1, len(layer["contents"])), name
        here = [[file.content for file in stored(layer["pathId"], one)] for one in answer.get("timestamps", [])]
        assert here == layer["contents"], name
        again = el.layers.pull(layer["pathId"], fromUrl=url, token=token)
        assert again["unchanged"] == answer["pulled"], name


def test_a_raster_by_its_tiles(el, filled: dict[str, Any], url: str, fixtures: Path) -> None:
    layer = filled["dem"]
    el.layers.pull(layer["pathId"], fromUrl=url)
    values, profile = read(layer["pathId"], layer["timestampId"])
    with rasterio.open(fixtures / "dem.tif") as dataset:
        own = dataset.read()
        assert (profile["crs"].to_epsg(), profile["count"], profile["dtype"]) == (3857, dataset.count, own.dtype)
    valid = values[np.isfinite(values)]
    assert valid.size > own.size / 2
    assert np.isin(np.unique(valid), np.unique(own)).all()


def test_a_vector_by_its_pages(el, filled: dict[str, Any], url: str, fixtures: Path) -> None:
    layer = filled["trees"]
    el.layers.pull(layer["pathId"], fromUrl=url)
    found = gpd.read_parquet(stored(layer["pathId"], layer["timestampId"])[0].location)
    own = gpd.read_file(fixtures / "trees.fgb").to_crs(4326)
    assert found.geometry.geom_equals_exact(own.geometry, 1e-6).all()
    assert found["species"].tolist() == own["species"].tolist()
    np.testing.assert_allclose(found["height"], own["height"])
    west, south, east, north = own.total_bounds
    extent = {"xMin": west, "yMin": south, "xMax": (west + east) / 2, "yMax": (south + north) / 2}
    el.layers.pull(layer["pathId"], fromUrl=url, extent=extent, replace=True)
    found = gpd.read_parquet(stored(layer["pathId"], layer["timestampId"])[0].location)
    assert 0 < len(found) == len(own.cx[west : extent["xMax"], south : extent["yMax"]]) < len(own)


def shapes(params):
    return sorted(type(value).__name__ for value in params.values())


def test_a_compute_of_layers_that_are_elsewhere(el, filled: dict[str, Any], url: str, token: str, create) -> None:
    el.configure(upstream=url, upstream_token=filled["token"])
    layer, file = filled["dem"], filled["thresholds"]
    compute_id = create([{key: layer[key] for key in ("pathId", "timestampId")}], nodes=2, files=[file["pathId"]])

    assert el.compute.execute(compute_id, shapes, token) == [["BytesIO", "dict"]] * 2
