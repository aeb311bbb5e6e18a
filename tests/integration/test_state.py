"""A home with computes, exported and imported into another place, and used there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Point

from ellipsis_local.errors import StoreError

ARCHIVE = Path(__file__).parent / "data" / "home-format-1.zip"


def total(params):
    print("summing")
    return [
        int(value["raster"].sum()) if isinstance(value, dict) else int(value["height"].sum())
        for value in params.values()
    ]


def image(params):
    import io

    return io.BytesIO(next(iter(params.values()))["raster"].tobytes())


@pytest.fixture
def elsewhere(home, tmp_path):
    """A folder where no home is yet, with the run's environments."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(home / "settings.toml", folder)
    return folder


@pytest.fixture
def filled(el, token):
    """The layers of a compute that was executed, its id and its values."""
    raster = el.layers.add(
        {"raster": np.arange(256, dtype="uint16").reshape(1, 16, 16), "transform": Affine(10, 0, 0, 0, -10, 160),
         "crs": "EPSG:3857"},
    )  # fmt: skip
    points = [Point(x, x) for x in (15, 55, 95, 135)]
    vector = el.layers.add(geopandas.GeoDataFrame({"height": [1, 2, 3, 4]}, geometry=points, crs="EPSG:3857"))
    small = el.compute.createCompute(layers=[raster, vector], token=token, nodes=2)["id"]
    values = el.compute.execute(small, total, token)
    return raster, small, values


def test_a_home_works_in_another_place(el, home, token, filled, elsewhere, tmp_path):
    raster, small, values = filled
    large = el.compute.createCompute(layers=[raster], token=token, nodes=2, largeResult=True)["id"]
    urls = el.compute.execute(large, image, token)
    el.compute.terminateCompute(large, token)
    info = el.compute.getComputeInfo(small, token)
    assert all(10**6 < node["peakMemory"] < 10**10 for node in info["nodes"])
    archive = el.state.export_home(tmp_path / "home.zip").file  # its nodes wait meanwhile
    el.configure(home=elsewhere)
    shutil.rmtree(home)
    el.state.import_home(archive)
    found = {compute["id"]: compute for compute in el.compute.listComputes(token)["result"]}
    assert found[small]["status"] == "completed"
    assert el.compute.getComputeInfo(small, token) == info
    pixels = []
    for url in urls:
        el.compute.downloadFile(url, token, filePath=str(tmp_path / "result"))
        pixels.append(np.fromfile(tmp_path / "result", "uint16"))
    assert sorted(np.concatenate(pixels)) == list(range(256))
    log = elsewhere / "computes" / small / "log.jsonl"
    assert [json.loads(line)["text"] for line in log.read_text().splitlines()] == ["summing"] * 2
    # The nodes start anew, the layers are cut anew, from the files in their new place.
    assert el.compute.execute(small, total, token) == values
    assert sum(pair[0] for pair in values) == sum(range(256))
    assert len(log.read_text().splitlines()) == 4


def test_an_archive_of_format_1_can_be_executed(el, elsewhere):
    el.configure(home=elsewhere)
    el.state.import_home(ARCHIVE)
    token = el.account.logIn("archivist", "a password")
    [compute_id] = [one["id"] for one in el.compute.listComputes(token)["result"] if not one["largeResult"]]
    before = el.compute.getComputeInfo(compute_id, token)
    assert [node["peakMemory"] for node in before["nodes"]] == [None, None]
    values = [one["value"] for one in before["result"]]
    assert el.compute.execute(compute_id, total, token) == values == [[8128, 7], [24512, 3]]
    after = el.compute.getComputeInfo(compute_id, token)
    assert all(node["peakMemory"] > 10**6 for node in after["nodes"])


def test_own_nodes_end_and_those_of_others_are_in_the_way(el, home, token, filled, tmp_path):
    archive = el.state.export_home(tmp_path / "home.zip").file
    _, small, values = filled
    # A second emulator of this process that holds nodes: they are not of the one in use.
    with el.Emulator(el.Settings(home=home, progress=False, cores=1)) as other:
        mine = other.user(token)
        el.state.import_home(archive, replace=True)  # closes the own pool
        assert other.execute_compute(small, total, mine, wait=True) == values
        for act in (lambda: el.state.import_home(archive, replace=True), el.state.reset_home):
            with pytest.raises(StoreError, match="has nodes waiting"):
                act()
        # Refused, and still in order.
        assert el.compute.getComputeInfo(small, token)["status"] == "completed"
    el.state.reset_home()
    assert el.layers.list() == []
    assert list((home / "computes").iterdir()) == []


def allocate(params):
    import numpy

    grid = next(iter(params.values()))
    size = 160 if grid["extent"]["xMin"] < 500 else 10
    block = numpy.ones(size * 1024**2 // 8)
    return float(block[0])


def test_peak_memory_is_of_one_node(el, token):
    """One worker runs both nodes; the second one's peak is not the first's."""
    el.configure(cores=1)
    layer = el.layers.add(
        {"raster": np.ones((1, 10, 100), "uint8"), "transform": Affine(10, 0, 0, 0, -10, 1000), "crs": "EPSG:3857"}
    )
    compute = el.compute.createCompute(layers=[layer], token=token, nodes=2)["id"]
    el.compute.execute(compute, allocate, token)
    nodes = el.compute.getComputeInfo(compute, token)["nodes"]
    peaks = {node["extent"]["xMin"] < 500: node["peakMemory"] for node in nodes}
    assert peaks[True] > 160 * 1024**2
    assert peaks[True] - peaks[False] > 100 * 1024**2
