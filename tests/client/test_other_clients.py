"""Clients in other languages, where they can run here; and their requests, wherever."""

from __future__ import annotations

import functools
import json
import math
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import requests
import shapely
from affine import Affine

from ellipsis_local.server import Server

OTHER = Path(__file__).parent / "other"
SECONDS = 120
PLACES = shapely.points(np.random.default_rng(3).uniform([4.0, 52.0], [4.2, 52.1], (130, 2)))
VIEW = {"zoom": 14, "bounds": {"xMin": 4.0, "xMax": 4.2, "yMin": 52.0, "yMax": 52.1}}


@pytest.fixture
def raster(el: ModuleType) -> dict[str, str]:
    array = np.arange(400, dtype="uint16").reshape(1, 20, 20)
    return el.layers.add({"raster": array, "transform": Affine(1e6, 0, -1e7, 0, -1e6, 1e7), "crs": "EPSG:3857"})


@pytest.fixture
def vector(el: ModuleType) -> dict[str, str]:
    """Points of which two in three have a height."""
    height = [None if i % 3 == 0 else float(i) for i in range(len(PLACES))]
    return el.layers.add(gpd.GeoDataFrame({"number": range(len(PLACES)), "height": height}, geometry=PLACES, crs=4326))


def run(*command: str, lacking: str) -> Any:
    """What a program prints, as JSON; skipped with the reason `lacking` where `command` needs what is not there."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine")
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    missing = ("Cannot find module 'ellipsis-js-util'", "there is no package called")
    if any(text in done.stderr for text in missing):
        pytest.skip(lacking)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_map_by_ellipsis_js_util(server: Server, raster: dict[str, str], vector: dict[str, str]) -> None:
    found = run(
        "node", str(OTHER / "map_client.cjs"), server.url, raster["pathId"], vector["pathId"], json.dumps(VIEW),
        lacking="node does not find ellipsis-js-util; NODE_PATH names the folder that it is in",
    )  # fmt: skip
    picture = requests.get(found["tiles"]["url"].format(z=0, x=0, y=0), timeout=SECONDS)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    for features in found["found"]:
        assert len({one for one, _ in features}) == len(features) == len(PLACES)
        assert all(colour.startswith("#") for _, colour in features)


def test_features_and_tiles_by_r(server: Server, raster: dict[str, str], vector: dict[str, str]) -> None:
    ids = (vector["pathId"], vector["timestampId"], raster["pathId"], raster["timestampId"])
    found = run("Rscript", str(OTHER / "features.R"), server.url, *ids, lacking="R lacks sf, httr, jsonlite or png")
    assert found["listed"]["count"] == len(PLACES) and found["pages"] == [1, len(PLACES) - 1]
    assert found["tile"] == [256, 256, 4]
    columns = {tuple(sorted(one)) for one in found["listed"]["columns"]}
    named = ("geometry", "properties.height", "properties.id", "properties.number")
    assert columns == {named, tuple(name for name in named if name != "properties.height")}


# --- their requests --------------------------------------------------------------------------------------------------


def tiles_of(zoom: int) -> list[dict[str, int]]:
    """The tiles of the view."""
    bounds, count = VIEW["bounds"], 2**zoom
    rows = [
        math.floor(count / 2 * (1 - math.asinh(math.tan(math.radians(bounds[y]))) / math.pi)) for y in ("yMax", "yMin")
    ]
    columns = [math.floor((bounds[x] + 180) / 360 * count) for x in ("xMin", "xMax")]
    return [
        {"zoom": zoom, "tileX": x, "tileY": y}
        for x in range(columns[0], columns[1] + 1)
        for y in range(rows[0], rows[1] + 1)
    ]


def test_features_come_by_tiles(server: Server, client: ModuleType, token: str, vector: dict[str, str]) -> None:
    place = f"{server.url}/path/{vector['pathId']}/vector/timestamp/{vector['timestampId']}"
    ask = functools.partial(requests.get, headers={"Authorization": f"bearer {token}"}, timeout=SECONDS)
    for zoom in (0, 12):
        waiting: list[dict[str, Any]] = [{"tileId": tile} for tile in tiles_of(zoom)]
        found: dict[str, Any] = {}
        while waiting:
            query = {"tiles": json.dumps(waiting), "pageSize": 7, "zipTheResponse": "true", "style": "any"}
            pages = ask(f"{place}/featuresByTiles", params=query).json()
            assert len(pages) == len(waiting)
            for page in pages:
                assert page["size"] <= 7 and page["truncated"] == (page["nextPageStart"] is not None)
                found |= {one["id"]: one["properties"] for one in page["result"]["features"]}
            waiting = [
                {**tile, "pageStart": page["nextPageStart"]}
                for tile, page in zip(waiting, pages, strict=True)
                if page["truncated"]
            ]
        assert sorted(one["number"] for one in found.values()) == list(range(len(PLACES)))
        # R makes a data.frame of them, which fails where one is null.
        assert all(("height" in one) == (one["number"] % 3 != 0) for one in found.values())
        assert all(value is not None for one in found.values() for value in one.values())
    # All at once, and then on by tiles, as ellipsis-js-util does.
    first = ask(f"{place}/compressedListFeatures", params={"pageSize": 100}).json()
    rest = [{"tileId": {"zoom": 0, "tileX": 0, "tileY": 0}, "pageStart": {"featureId": first["nextPageStart"]}}]
    (second,) = ask(f"{place}/featuresByTiles", params={"tiles": json.dumps(rest)}).json()
    assert (first["size"], second["size"]) == (100, len(PLACES) - 100)
    for tiles, text in (
        ([{"tileId": {"zoom": 1, "tileX": 2, "tileY": 0}}], "from 0 to 1 at zoom 1"),
        ([{"tileId": {"zoom": 31, "tileX": 2, "tileY": 0}}], "tiles"), ([{}], "tileId"), ("x", "tiles"),
    ):  # fmt: skip
        refused = ask(f"{place}/featuresByTiles", params={"tiles": json.dumps(tiles)})
        assert refused.status_code == 400 and text in refused.json()["message"]
