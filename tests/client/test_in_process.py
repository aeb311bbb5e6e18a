"""The client's functions in process: the same modules and signatures, and the same answers as through the server."""

from __future__ import annotations

import functools
import inspect
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from tests.client.coverage import VERSION
from tests.client.table import HIDDEN, exported
from tests.client.test_refused import BROKEN, GIVEN, REFUSED, arguments
from tests.client.test_vectors import CATALOG

DIFFERENT = {
    # Only by what no caller can notice: an empty tuple, the moment of import, one more name of an argument.
    "compute.createCompute": "requirements",
    "compute.terminateCompute": "awaitTillCompleted",
    "compute.terminateAll": "awaitTillCompleted",
    **{f"path.{kind}.timestamp.add": "date" for kind in ("raster", "vector", "pointCloud", "mesh")},
}


def function_of(package: ModuleType, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), package)


def parameters(function: Any, but: str | None) -> list[tuple[Any, ...]]:
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in found if one.name != but]


def test_every_function_is_there_with_its_signature(client: ModuleType, el: ModuleType) -> None:
    for name, function in exported(client).items():
        own = function_of(el, name)
        assert parameters(own, DIFFERENT.get(name)) == parameters(function, DIFFERENT.get(name)), name
        assert inspect.getdoc(own), name
    for name in HIDDEN:
        assert parameters(function_of(el, name), None) == parameters(function_of(client, name), None), name


def test_what_is_not_emulated_is_refused_in_the_same_words(client: ModuleType, el: ModuleType, token: str) -> None:
    layers = {kind: getattr(client.path, kind).add("layer", token)["id"] for kind in ("raster", "vector")}
    for name in REFUSED:
        path = layers["vector" if "vector" in name else "raster"]
        given = GIVEN | {"pathId": path, "timestampId": path, "token": token, "filePath": __file__}
        with pytest.raises(ValueError, match="is not emulated by ellipsis_local") as caught:
            function_of(el, name)(**arguments(function_of(el, name), given))
        if name in BROKEN or name.endswith(".download"):
            continue
        with pytest.raises(ValueError, match="not emulated") as over_http:
            function_of(client, name)(**arguments(function_of(client, name), given))
        assert json.loads(str(over_http.value))["message"] == str(caught.value), name


def same(one: Any, other: Any) -> bool:
    if isinstance(one, gpd.GeoDataFrame):
        one, other = (frame.sort_values("id", ignore_index=True)[sorted(frame.columns)] for frame in (one, other))
        assert one.crs == other.crs and shapely.equals_exact(one.geometry, other.geometry, 1e-9).all()
        return one.drop(columns="geometry").equals(other.drop(columns="geometry"))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, float | tuple):
        return bool(np.allclose(one, other, rtol=1e-9))
    return bool(one == other)


def test_both_faces_answer_the_same(valley: ModuleType, el: ModuleType, token: str, fixtures: Path) -> None:
    path = el.path.raster.add("scene", token)["id"]
    timestamp = el.path.raster.timestamp.add(path, token)["id"]
    el.path.raster.timestamp.file.add(path, timestamp, token, "tif", str(fixtures / "scene_2024.tif"))
    el.path.raster.timestamp.activate(path, timestamp, token)
    west, south, east, north = el.path.raster.timestamp.getBounds(path, timestamp, token).bounds
    part = {"xMin": west + 0.001, "yMin": south + 0.001, "xMax": (west + east) / 2, "yMax": (south + north) / 2}
    metres = {"xMin": 663_000.0, "yMin": 6_785_000.0, "xMax": 666_000.0, "yMax": 6_787_000.0}
    middle = [(west + east) / 2, (south + north) / 2]
    box, user = shapely.box(*middle, east, north), el.account.getInfo(token)["id"]
    ids = list(el.path.vector.timestamp.listFeatures(*CATALOG["trees"], token)["result"]["id"][:12])
    calls: dict[str, tuple[Any, ...]] = {
        "path.raster.timestamp.getRaster": (path, timestamp, metres, token, False),
        "path.raster.timestamp.getSampledRaster": (path, timestamp, metres, 70, 60, 3857, token),
        "path.raster.timestamp.getLocationInfo": (path, timestamp, [middle], 4326, token),
        "path.raster.timestamp.analyse": (path, [timestamp], box, "statistics", True, token, 4326, False),
        "path.vector.timestamp.listFeatures": (*CATALOG["parcels"], token),
        "path.vector.timestamp.getFeaturesByExtent": (*CATALOG["buildings"], part, None, token),
        "path.vector.timestamp.getFeaturesByIds": (*CATALOG["trees"], ids, token, False, 3857),
        "path.vector.timestamp.getLocationInfo": (*CATALOG["buildings"], [middle], 4326, token),
        "path.vector.timestamp.getChanges": (*CATALOG["trees"], token),
        "path.search": (["raster"], None, "scene", None, None, None, None, None, None, None, True, token),
        "path.usage.getUserUsage": (user, datetime(2024, 1, 1), token),
        "path.member.get": (path, token),
        "account.listRoot": ("myDrive", token),
        "user.search": ("demo",),
    }
    for name, given in calls.items():
        assert same(function_of(el, name)(*given), function_of(valley, name)(*given)), name
    degrees = [
        face.path.raster.timestamp.getRaster(path, timestamp, dict(part), token, False, 4326) for face in (el, valley)
    ]
    assert degrees[0]["raster"].shape == degrees[1]["raster"].shape
    # GDAL brings pixels over by an approximation of its own.
    assert (degrees[0]["raster"] == degrees[1]["raster"]).mean() > 0.97


def test_a_script_of_the_client_runs_on_the_home(el: ModuleType, tmp_path: Path) -> None:
    """`ellipsis-local run` where the client is installed: its own code, with requests that stay here."""
    lines = [
        "import ellipsis",
        "from ellipsis.path.hashtag import add",
        "print(ellipsis.__version__)",
        "folder = ellipsis.path.folder.add('f', 'ada')['id']",
        "add(folder, 'tag', 'ada')",
        "print(ellipsis.path.get(folder, 'ada')['hashtags'])",
    ]
    script = tmp_path / "script.py"
    script.write_text("\n".join(lines))
    home = tmp_path / "home of the script"
    command = [sys.executable, "-W", "ignore", "-m", "ellipsis_local", "--home", str(home), "run", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == [VERSION, "['tag']"], done.stderr
    assert (home / "ellipsis.sqlite").is_file()
