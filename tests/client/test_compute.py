"""The client's `compute`: from layers to results, and what it shows of failures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import requests
from rasterio.io import MemoryFile

from tests.client.covers import covers

SCENE = {"pathId": "1791d90c-86ee-417e-aa04-0e22447f6fd9", "timestampId": "32fc7fae-cbfe-4a76-8267-83b692ece730"}
PARCELS = {"pathId": "a32ffda9-ecc8-4749-8738-986e79eaf3ef", "timestampId": "6e54cd24-9e35-4caa-9a98-825b9119b3f8"}
THRESHOLDS = "f0cffbac-d28c-4314-9feb-f0012ecb1aa5"
SECONDS = 120

Create = Callable[..., str]


@pytest.fixture
def create(valley: ModuleType, token: str, interpreter: str) -> Create:
    """createCompute of the scene with two nodes; the id."""

    def make(layers: Any = (SCENE,), token: str = token, **arguments: Any) -> str:
        given = {"nodes": 2, "interpreter": interpreter} | arguments
        return valley.compute.createCompute(list(layers), token, **given)["id"]

    return make


def until(client: ModuleType, compute: str, token: str, status: str) -> dict[str, Any]:
    end = time.monotonic() + SECONDS
    while (found := client.compute.root.getComputeInfo(compute, token))["status"] != status:
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found


def highest(params):
    scene = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]
    return float(scene["raster"].max()), scene["raster"].shape, sorted(scene)


def area(params):
    frame = params["6e54cd24-9e35-4caa-9a98-825b9119b3f8"]["vector"]
    return {"sum": float(frame["area_ha"].sum()), "count": len(frame), "crs": frame.crs.to_string()}


def limit(params):
    import json

    read = json.load(params["f0cffbac-d28c-4314-9feb-f0012ecb1aa5"])
    return read["flood_level_m"]


def geotiff(params):
    from io import BytesIO

    from rasterio.io import MemoryFile

    scene = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]
    bands, height, width = scene["raster"].shape
    memory = MemoryFile()
    with memory.open(
        driver="GTiff",
        width=width,
        height=height,
        count=bands,
        dtype="uint16",
        crs="EPSG:3857",
        transform=scene["transform"],
    ) as file:
        file.write(scene["raster"])
    return BytesIO(memory.read())


def fails(params):
    raise RuntimeError("no way through")


def frame(params):
    import geopandas
    import shapely

    return geopandas.GeoDataFrame(geometry=[shapely.Point(1, 2)])


nameless = lambda params: 1  # noqa: E731 - what a user might try


def inner():
    def f(params):
        return 1

    return f


@covers("compute.createCompute", "compute.execute", "compute.terminateCompute", "compute.listComputes",
        "compute.root.getComputeInfo")  # fmt: skip
def test_a_compute_from_create_to_terminate(
    valley: ModuleType, token: str, other: str, create: Create, fixtures: Path
) -> None:
    compute = create([SCENE, PARCELS], files=[THRESHOLDS])
    info = valley.compute.root.getComputeInfo(compute, token)
    assert (info["status"], len(info["nodes"]), info["files"]) == ("available", 2, [THRESHOLDS])
    with rasterio.open(fixtures / "scene_2024.tif") as file:
        pixels = file.read()
    found = valley.compute.execute(compute, highest, token)
    assert max(value for value, _, _ in found) == pixels.max()
    assert sum(shape[1] * shape[2] for _, shape, _ in found) == pixels[0].size
    assert all({"raster", "transform", "extent"} <= set(keys) for _, _, keys in found)
    parcels = gpd.read_parquet(fixtures / "parcels.parquet")
    found = valley.compute.execute(compute, area, token)
    assert sum(one["sum"] for one in found) == pytest.approx(parcels["area_ha"].sum())
    assert sum(one["count"] for one in found) == len(parcels)
    assert {one["crs"] for one in found} == {"EPSG:3857"}
    level = json.loads((fixtures / "thresholds.json").read_text())["flood_level_m"]
    assert valley.compute.execute(compute, limit, token) == [level, level]

    (listed,) = valley.compute.listComputes(token)["result"]
    assert (listed["id"], listed["status"]) == (compute, "completed")
    assert [entry["value"] for entry in listed["result"]] == [level, level]
    assert valley.compute.listComputes(other)["result"] == []
    for call in (
        lambda: valley.compute.execute(compute, highest, other),
        lambda: valley.compute.terminateCompute(compute, other),
    ):
        with pytest.raises(ValueError, match=compute):
            call()
    valley.compute.terminateCompute(compute, token)
    assert valley.compute.root.getComputeInfo(compute, token)["status"] == "stopped"
    with pytest.raises(ValueError, match="has been terminated"):
        valley.compute.execute(compute, highest, token)


@covers("compute.addToLayer", "compute.root.downloadFile")
def test_large_results_are_files_that_become_a_layer(
    valley: ModuleType, token: str, other: str, create: Create, fixtures: Path
) -> None:
    compute = create(largeResult=True)
    urls = valley.compute.execute(compute, geotiff, token)
    assert len(urls) == 2 and all(url.startswith(f"/compute/{compute}/file/") for url in urls)
    sizes = []
    for url in urls:
        given = valley.compute.root.downloadFile(url, token, memfile=BytesIO()).getvalue()
        with MemoryFile(given) as memory, memory.open() as part:
            sizes.append(part.width * part.height)
    assert sum(sizes) == 512 * 480
    with pytest.raises(requests.HTTPError, match="404"):
        valley.compute.root.downloadFile(urls[0], other, memfile=BytesIO())
    path = valley.path.raster.add("result", token)["id"]
    timestamp = valley.path.raster.timestamp.add(path, token)["id"]
    valley.compute.addToLayer(urls, path, timestamp, token)
    check_is_scene(valley, token, path, timestamp, fixtures)
    valley.compute.terminateCompute(compute, token)


def test_results_are_written_to_a_layer(
    valley: ModuleType, token: str, other: str, create: Create, fixtures: Path
) -> None:
    compute = create(largeResult=True)
    path = valley.path.raster.add("result", token)["id"]
    timestamp = valley.path.raster.timestamp.add(path, token)["id"]
    target = {"pathId": path, "timestampId": timestamp}
    added = valley.compute.execute(compute, geotiff, token, writeToLayer=dict(target))
    files = valley.path.raster.timestamp.file.get(path, timestamp, token)["result"]
    assert sorted(added) == sorted(file["id"] for file in files)
    valley.path.raster.timestamp.activate(path, timestamp, token)
    check_is_scene(valley, token, path, timestamp, fixtures)
    theirs = valley.path.raster.add("theirs", other)["id"]
    their_timestamp = valley.path.raster.timestamp.add(theirs, other)["id"]
    for bad, text in (
        ({"pathId": theirs, "timestampId": their_timestamp}, "insufficient access"),
        ({"pathId": path}, "writeToLayer"),
        (target | {"timestampId": compute}, compute),
        (target | {"file": {"format": "docx"}}, "docx"),
    ):
        with pytest.raises(ValueError, match=text):
            valley.compute.execute(compute, geotiff, token, writeToLayer=bad)
    assert len(valley.path.raster.timestamp.file.get(path, timestamp, token)["result"]) == 2
    valley.compute.terminateCompute(compute, token)


def check_is_scene(client: ModuleType, token: str, path: str, timestamp: str, fixtures: Path) -> None:
    with rasterio.open(fixtures / "scene_2024.tif") as file:
        pixels, bounds = file.read(), file.bounds
    extent = dict(zip(("xMin", "yMin", "xMax", "yMax"), bounds, strict=True))
    answer = client.path.raster.timestamp.getSampledRaster(path, timestamp, extent, 512, 480, token=token)
    assert np.array_equal(answer["raster"][:-1], pixels)


def test_what_a_function_does_wrong_is_a_value_error(valley: ModuleType, token: str, create: Create) -> None:
    compute = create()
    with pytest.raises(ValueError, match=r"(?s)failed: Traceback.*RuntimeError: no way through"):
        valley.compute.execute(compute, fails, token)
    with pytest.raises(ValueError, match=r"result is a GeoDataFrame.*`\.to_json\(\)`"):
        valley.compute.execute(compute, frame, token)
    with pytest.raises(ValueError, match=r"largeResult"):
        valley.compute.execute(compute, geotiff, token)
    # Functions are sent as their text.
    with pytest.raises(ValueError, match="a lambda cannot be sent"):
        valley.compute.execute(compute, nameless, token)
    with pytest.raises(ValueError, match="a def inside another block is sent with wrong indentation"):
        valley.compute.execute(compute, inner(), token)
    with pytest.raises(ValueError, match="must be a function"):
        valley.compute.execute(compute, len, token)
    # It goes on.
    assert len(valley.compute.execute(compute, highest, token)) == 2
    valley.compute.terminateCompute(compute, token)


def test_arguments_of_create_that_cannot_be_carried_out(
    valley: ModuleType, token: str, other: str, create: Create
) -> None:
    private = valley.path.raster.add("theirs", other)["id"]
    empty = valley.path.raster.timestamp.add(private, other)["id"]
    missing = "11111111-2222-4333-8444-555555555555"
    for arguments, text in (
        ({"nodes": 0}, "nodes"),
        ({"nodes": 100_000}, "nodes"),
        ({"interpreter": "python2.7"}, "python2.7"),
        ({"interpreter": "ruby"}, "interpreter"),
        ({"requirements": ["not a requirement !!"]}, "not a requirement"),
        ({"layers": [{"pathId": missing, "timestampId": missing}]}, missing),
        ({"layers": [{"pathId": SCENE["pathId"], "timestampId": missing}]}, missing),
        ({"layers": [{"pathId": SCENE["pathId"]}]}, "timestampId"),
        ({"layers": [{"pathId": private, "timestampId": empty}]}, "insufficient access"),
        ({"layers": []}, "layers"),
        ({"files": [SCENE["pathId"]]}, SCENE["pathId"]),
        ({"files": [missing]}, missing),
    ):
        with pytest.raises(ValueError, match=text):
            create(**arguments)
    with pytest.raises(ValueError, match="not known here"):
        create(token="made up")
    assert valley.compute.listComputes(token)["result"] == []


@covers("compute.terminateAll")
def test_all_computes_are_terminated(valley: ModuleType, token: str, other: str, create: Create) -> None:
    mine = [create() for _ in range(2)]
    theirs = create(token=other)
    valley.compute.terminateAll(token)
    # The client waits for the first of the list only.
    for compute in mine:
        until(valley, compute, token, "stopped")
    assert valley.compute.root.getComputeInfo(theirs, other)["status"] == "available"
    assert len(valley.compute.execute(theirs, highest, other)) == 2
    valley.compute.terminateAll(other)
    until(valley, theirs, other, "stopped")
    valley.compute.terminateAll(other)


def test_what_the_client_does_not_wait_for_goes_on(valley: ModuleType, token: str, create: Create) -> None:
    compute = create(awaitTillStarted=False)
    until(valley, compute, token, "available")
    # It reads the result that it did not wait for.
    with pytest.raises(UnboundLocalError):
        valley.compute.execute(compute, highest, token, awaitTillCompleted=False)
    found = until(valley, compute, token, "completed")
    assert len(found["result"]) == 2
    valley.compute.terminateCompute(compute, token, awaitTillTerminated=False)
    until(valley, compute, token, "stopped")


def test_the_plan_says_how_many_nodes(
    valley: ModuleType, el: ModuleType, token: str, home: Path, interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    el.configure(home=home, progress=False, cores=2, max_nodes=3)
    with el.serve() as second:
        monkeypatch.setattr(valley.apiManager, "baseUrl", second.url)
        compute = valley.compute.createCompute([SCENE], token, interpreter=interpreter)["id"]
        assert len(valley.compute.execute(compute, highest, token)) == 3
        with pytest.raises(ValueError, match="nodes"):
            valley.compute.createCompute([SCENE], token, nodes=4, interpreter=interpreter)
        valley.compute.terminateAll(token)


def test_an_environment_that_cannot_be_built_carries_the_builders_text(create: Create) -> None:
    with pytest.raises(ValueError, match="no-such-package-of-ellipsis-local"):
        create(requirements=["no-such-package-of-ellipsis-local==1.0"])


def wide(params):
    return params["32fc7fae-cbfe-4a76-8267-83b692ece730"]["raster"].shape[2]


def test_the_client_joins_the_shards_of_all_nodes(el, request) -> None:
    """A node's results are one list of the server's answer, with an entry for each of its shards."""
    el.configure(cut="shards", shard_size=300)
    create, client, token = map(request.getfixturevalue, ("create", "client", "token"))
    compute = create()
    results = client.compute.execute(compute, wide, token)
    answer = requests.get(
        f"{client.apiManager.baseUrl}/compute", headers={"Authorization": f"Bearer {token}"}, timeout=20
    )
    (found,) = answer.json()["result"]
    nodes = [one["node"] for one in found["nodes"]]
    assert results == [300] * len(nodes)
    assert set(nodes) == {0, 1}
    assert [len(one) for one in found["result"]] == [nodes.count(0), nodes.count(1)]


def shape_and_mean(params):
    import numpy as np

    raster = params["32fc7fae-cbfe-4a76-8267-83b692ece730"]["raster"]
    return raster.shape, np.float32(raster.mean()), np.float64(2.5)


def a_frame(params):
    import geopandas

    return geopandas.GeoDataFrame(geometry=[])


def test_as_the_service_client_and_process_get_one_thing(el, home, request, interpreter) -> None:
    """With strict='service', by the same calls of the client and of the package: plans, results, errors, limits."""
    el.configure(home=home, progress=False, cores=2, inline=True, strict="service")
    client, token = map(request.getfixturevalue, ("valley", "token"))
    answers = []
    for compute in (client.compute, el.compute):
        with pytest.raises(ValueError, match="You have no compute nodes in your plan"):
            compute.createCompute([SCENE], token, interpreter=interpreter)
        with pytest.raises(ValueError, match="requirements has 3,") as too_long:
            compute.createCompute([SCENE], token, nodes=1, requirements=[f"{'a' * 30}{n}" for n in range(100)])
        made = compute.createCompute([SCENE], token, nodes=1, interpreter=interpreter)["id"]
        values = compute.execute(made, shape_and_mean, token)
        with pytest.raises(ValueError, match=r"result is a GeoDataFrame.*to_json.*saveVector") as refused:
            compute.execute(made, a_frame, token)
        answers.append((repr(values), str(refused.value).replace(made, ""), str(too_long.value)))
    over_http, here = answers
    assert here[:2] == over_http[:2]
    # Of an answer that is no 200 the client raises the whole body.
    assert json.loads(over_http[2])["message"] == here[2]
