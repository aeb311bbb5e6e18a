"""Whole scripts, in processes of their own, with three versions of the client; only the address is another."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
from filelock import FileLock

from ellipsis_local.environments import find_interpreters
from ellipsis_local.environments.installer import find_uv
from ellipsis_local.home import Home
from ellipsis_local.server import Server
from tests.client.coverage import VERSION

SCRIPTS = Path(__file__).parent / "scripts"
ADDRESS = "https://api.ellipsis-drive.com/v3"
OLDER = ("3.3.5", "3.2.9")
PICKLES = "3.2.9"
"""This one sends dill pickles."""
SECONDS = 300
AT_ONCE = 3
"""Scripts; most of their time they sleep between two looks at the server."""

Run = Callable[[list[str], str], list[str]]


@pytest.fixture(scope="session")
def clients(shared_environments: Path) -> dict[str, Path | None]:
    """Per version the folder that it is imported from; None where it is the installed one."""
    folders: dict[str, Path | None] = {importlib.metadata.version("ellipsis"): None}
    for version in OLDER:
        folder = shared_environments / f"client-{version}"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                install(version, folder)
        folders[version] = folder
    return folders


def install(version: str, folder: Path) -> None:
    """The client alone: what it needs is there."""
    draft = folder.with_suffix(".draft")
    done = subprocess.run(
        [str(find_uv(os.environ)), "pip", "install", "--no-deps", "--python", sys.executable, "--target", str(draft),
         f"ellipsis=={version}"],
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    if done.returncode != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"ellipsis {version} cannot be had: {done.stderr}")
    draft.rename(folder)


@pytest.fixture
def run(server: Server, clients: dict[str, Path | None], tmp_path: Path) -> Run:
    """Runs scripts with a version of the client: what each printed.

    With the installed version each is started as a user starts it. The older ones are imported once, and every script
    runs in a fork of that process.
    """

    def prepared(text: str) -> Path:
        folder = tmp_path / f"script-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        assert text.count(ADDRESS) == 1
        (folder / "script.py").write_text(text.replace(ADDRESS, server.url))
        return folder

    def command(*arguments: Any, folder: Path, version: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=folder, env=environment(clients[version]), timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout

    def running(texts: list[str], version: str) -> list[str]:
        folders = [prepared(text) for text in texts]
        if clients[version] is not None:
            code, printed = command(SCRIPTS / "run.py", *folders, folder=tmp_path, version=version)
            assert code == 0, printed + "".join((folder / "printed").read_text() for folder in folders)
            return [(folder / "printed").read_text() for folder in folders]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ran = list(pool.map(lambda folder: command("script.py", folder=folder, version=version), folders))
        assert not any(code for code, _ in ran), "".join(printed for _, printed in ran)
        return [printed for _, printed in ran]

    return running


def environment(first: Path | None) -> dict[str, str]:
    """The caller's, without proxies, and with a folder to import from first."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept.pop("PYTHONPATH", None)
    return kept | {"MPLBACKEND": "agg"} | ({} if first is None else {"PYTHONPATH": str(first)})


def script(name: str) -> str:
    return (SCRIPTS / f"{name}.py").read_text()


# --- the scripts -----------------------------------------------------------------------------------------------------

Check = Callable[..., None]


def ndvi_of(fixtures: Path) -> np.ndarray:
    with rasterio.open(fixtures / "scene_2024.tif") as file:
        red, nir = file.read([3, 4]).astype("float32")
    return np.where(red + nir > 0, (nir - red) / np.maximum(nir + red, 1), np.nan).astype("float32")


def check_ndvi_map_reduce(output: Any, client: ModuleType, fixtures: Path) -> None:
    ndvi = ndvi_of(fixtures)
    assert (output["nodes"], output["count"]) == (3, np.isfinite(ndvi).sum())
    assert output["mean"] == pytest.approx(np.nanmean(ndvi, dtype="float64"), rel=1e-6)


def check_roads_at_risk(output: Any, client: ModuleType, fixtures: Path) -> None:
    """A road belongs to one node, and the pixels under it that the node has."""
    with rasterio.open(fixtures / "dem.tif") as file:
        heights = file.read(1)
    roads = gpd.read_file(fixtures / "roads.geojson")
    assert sum(part["roads"] for part in output) == len(roads)
    whole = rasterio.features.rasterize(
        list(roads.geometry), out_shape=heights.shape, transform=file.transform, all_touched=True
    )
    count = sum(part["pixels"] for part in output)
    # The grid of the nodes is a warped one, and what a road touches of other pixels than its node's is not counted.
    assert 0.5 * whole.sum() < count < 1.5 * whole.sum()
    assert sum(part["sum"] for part in output) / count == pytest.approx(heights[whole == 1].mean(), rel=0.2)


def check_values_at_trees(output: Any, client: ModuleType, fixtures: Path) -> None:
    trees = gpd.read_file(fixtures / "trees.fgb").to_crs("EPSG:3857")
    with rasterio.open(fixtures / "scene_2024.tif") as file:
        inside = trees.cx[file.bounds.left : file.bounds.right, file.bounds.bottom : file.bounds.top]
        wanted = file.sample(zip(inside.geometry.x, inside.geometry.y, strict=True))
        found = sorted((round(x, 3), round(y, 3), kind, [int(v) for v in value])
                       for x, y, kind, value in zip(inside.geometry.x, inside.geometry.y, inside["species"], wanted, strict=True))  # fmt: skip
    assert sorted((round(t["x"], 3), round(t["y"], 3), t["species"], t["value"]) for t in output) == found
    assert len(found) > 500


def check_ndvi_to_layer(output: Any, client: ModuleType, fixtures: Path) -> None:
    path, timestamp = output["pathId"], output["timestampId"]
    token = client.account.logIn("ndvi_to_layer", "a password")
    assert len(client.path.raster.timestamp.file.get(path, timestamp, token)["result"]) == 2
    with rasterio.open(fixtures / "scene_2024.tif") as file:
        extent = dict(zip(("xMin", "yMin", "xMax", "yMax"), file.bounds, strict=True))
        degrees = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    assert output["bounds"] == pytest.approx(degrees, abs=1e-6)
    found = client.path.raster.timestamp.getSampledRaster(path, timestamp, extent, 512, 480, token=token)["raster"]
    ndvi = ndvi_of(fixtures)
    assert np.array_equal(found[1], np.isfinite(ndvi))
    assert np.array_equal(found[0], np.nan_to_num(ndvi, nan=0.0))


def check_buildings_to_layer(output: Any, client: ModuleType, fixtures: Path) -> None:
    buildings = gpd.read_file(fixtures / "buildings.gpkg")
    wanted = dict(zip(buildings["building_id"].astype(str), buildings.to_crs("EPSG:32631").area, strict=True))
    assert output.keys() == wanted.keys()
    assert list(output.values()) == pytest.approx([wanted[name] for name in output], rel=1e-6)


def check_model_file(output: Any, client: ModuleType, fixtures: Path) -> None:
    with rasterio.open(fixtures / "scene_2024.tif") as file:
        scene = file.read().astype("float64")
    wanted = (np.tensordot([0.5, -0.25, 0.125, 2], scene, 1) + 1.5).sum()
    assert output["sum"] == pytest.approx(wanted)
    assert output["level"] == json.loads((fixtures / "thresholds.json").read_text())["flood_level_m"]


def check_terminate_all(output: Any, client: ModuleType, fixtures: Path) -> None:
    assert output == {"before": ["available"] * 2, "after": ["stopped"] * 2}


CHECKS: dict[str, Check] = {
    name.removeprefix("check_"): value for name, value in list(globals().items()) if name.startswith("check_")
}


@pytest.mark.slow
@pytest.mark.parametrize("version", [VERSION, *OLDER])
def test_scripts_run_with_another_address_only(valley: ModuleType, run: Run, fixtures: Path, version: str) -> None:
    printed = run([script(name) for name in CHECKS], version)
    for check, lines in zip(CHECKS.values(), printed, strict=True):
        check(answer(lines), valley, fixtures)


def answer(printed: str) -> Any:
    """What a script prints last."""
    return json.loads(printed.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("version", [VERSION, *OLDER])
def test_two_landsat_scenes_are_compared(el: ModuleType, run: Run, data: Path, version: str) -> None:
    scenes = []
    for year in ("1985", "2020"):
        file, name = data / f"landsat_pucallpa_{year}_u8.tif", year[2:]
        el.layers.add(file, pathId=f"{name}000000-0000-4000-8000-000000000000",
                      timestampId=f"{name}000000-0000-4000-8000-000000000001")  # fmt: skip
        with rasterio.open(file) as source:
            scenes.append(source.read())
    (printed,) = run([script("landsat_map_reduce")], version)
    one, three = answer(printed)
    assert one == three
    (_, nir, red), valid = (
        ([scene[band].astype("float32") for scene in scenes] for band in range(3)),
        np.all([(scene > 0).all(axis=0) for scene in scenes], axis=0),
    )
    index = [(n - r) / np.maximum(n + r, 1) for n, r in zip(nir, red, strict=True)]
    lost = (index[0] - index[1] > 0.3) & valid
    # The nodes' grid is another one, in Web Mercator, with about as many pixels.
    assert one[1] / one[0] == pytest.approx(lost.sum() / valid.sum(), rel=0.02)


# --- functions as each version sends them -----------------------------------------------------------------------------

CLOSURE = """
import ellipsis as el, json, sys
el.apiManager.baseUrl = "https://api.ellipsis-drive.com/v3"
token = el.account.logIn("closure", "a password")
def outer(factor):
    def f(params):
        return factor * 2
    return f
f = outer(21)
files = ["f0cffbac-d28c-4314-9feb-f0012ecb1aa5"]
computeId = el.compute.createCompute([], token, files=files, nodes=1, interpreter=f"python3.{sys.version_info[1]}")["id"]
try:
    print(json.dumps(el.compute.execute(computeId, f, token)))
except ValueError as error:
    print(json.dumps(str(error)))
el.compute.terminateCompute(computeId, token)
"""


PICKLING = """
import sys
sys.path.insert(0, sys.argv[1])
import base64, dill
def f(params):
    return [len(value.read()) for value in params.values()]
print(base64.b64encode(dill.dumps(f)).decode())
"""


@pytest.mark.slow
def test_pickles_carry_frames_and_closures(valley: ModuleType, run: Run, fixtures: Path) -> None:
    """What newer versions, which send texts, show as errors: see test_compute.py."""
    frames, closure = (answer(printed) for printed in run([script("frames"), CLOSURE], PICKLES))
    trees = gpd.read_file(fixtures / "trees.fgb")
    assert (frames["type"], frames["epsg"]) == ("GeoDataFrame", 3857)
    assert frames["heights"] == pytest.approx(sorted(trees["height"][trees["height"] > 4]))
    assert closure == [42]


@pytest.mark.slow
def test_a_pickle_of_another_python_is_a_clear_error(
    valley: ModuleType, run: Run, shared_environments: Path, tmp_path: Path
) -> None:
    found = find_interpreters(Home(shared_environments))
    other = next((one for one in found if one.version[:2] != sys.version_info[:2]), None)
    if other is None:
        pytest.skip("there is one minor version of Python here")
    # dill's own code runs under both; what it makes of a function is for one.
    made = subprocess.run(
        [other.executable, "-I", "-c", PICKLING, str(dill_alone(tmp_path))],
        capture_output=True, text=True, check=True, timeout=SECONDS,
    ).stdout.strip()  # fmt: skip
    sends = f"f = outer(21)\nimport base64, dill\ndill.dumps = lambda f: base64.b64decode({made!r})"
    text = CLOSURE.replace("f = outer(21)", sends)
    (error,) = (answer(printed) for printed in run([text], PICKLES))
    assert "came as a dill pickle" in error and f"this node has Python 3.{sys.version_info[1]}" in error
    assert f"interpreter='{other.name}'" in error or f"or '{other.name}'" in error


def dill_alone(folder: Path) -> Path:
    """A folder from which dill can be imported, and nothing else that is installed here."""
    import dill

    (folder / "only").mkdir()
    (folder / "only" / "dill").symlink_to(Path(dill.__file__).parent, target_is_directory=True)
    return folder / "only"
