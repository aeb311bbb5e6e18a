"""The cache of cuts, the helper processes, and what is left when something goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from ellipsis_local.errors import PartitionError, StoreError
from ellipsis_local.partitions import CutRequest, cut_workers
from ellipsis_local.partitions.cut_workers import Helpers

from .test_partitions_factory import make_partitions, raster_layer, vector_layer
from .test_partitions_vectors import squares

GRID = (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)


@pytest.fixture
def partitions(tmp_path):
    """What cuts in this process, for the tests that are of the cache and of no helper."""
    return make_partitions(tmp_path, here="all")


@pytest.fixture
def by_helpers(tmp_path):
    return make_partitions(tmp_path)


@pytest.fixture
def raster(tmp_path):
    return raster_layer(tmp_path / "a.tif", np.arange(10_000, dtype="u2").reshape(1, 100, 100), GRID)


def cuts(tmp_path):
    return {path.name for path in (tmp_path / "home" / "cache" / "cuts").iterdir()}


def test_requests_survive_json(partitions, raster, tmp_path):
    vector = vector_layer(tmp_path / "a.gpkg", squares(10))
    nan = raster_layer(tmp_path / "nan.tif", np.ones((1, 5, 5), "f4"), GRID, nodata=np.nan)
    for layers in ([], [raster], [vector], [raster, vector, nan]):
        for nodes in (1, 5):
            request = partitions.plan(layers, nodes, overlap=3, features="intersecting")
            again = CutRequest.from_json(json.loads(json.dumps(request.to_json(), allow_nan=False)))
            assert again == request
            assert hash(again) == hash(request)
            assert again.key == request.key
            assert partitions.ensure(again) == partitions.ensure(request)
    json.dumps([[part.to_json() for part in node] for node in partitions.ensure(request).parts], allow_nan=False)


def test_a_cut_is_made_once(partitions, raster, tmp_path):
    said = []
    request = partitions.plan([raster], 4)
    first = partitions.ensure(request, said.append)
    assert str(said[0]) == f"cutting layer {raster.id} into 4 partitions"
    assert [step.what for step in said[1:] if not step.passing] == []
    steps = len(said)
    before = cuts(tmp_path)
    assert partitions.ensure(request, said.append) == first
    assert make_partitions(tmp_path).ensure(request, said.append) == first
    assert (len(said), cuts(tmp_path)) == (steps, before)
    # in another request, with another overlap of nothing, the layer's files serve again
    vector = vector_layer(tmp_path / "a.gpkg", squares(10))
    both = partitions.ensure(partitions.plan([raster, vector], 4), said.append)
    assert [node[0] for node in both.parts] == [node[0] for node in first.parts]
    assert [step.what for step in said[steps:] if not step.passing] == [f"cutting layer {vector.id} into 4 partitions"]


def test_a_lost_file_is_made_again(partitions, raster):
    request = partitions.plan([raster], 2)
    first = partitions.ensure(request)
    Path(first.parts[1][0].path).unlink()
    assert partitions.ensure(request) == first
    assert Path(first.parts[1][0].path).exists()


def test_prune_takes_the_least_recently_used(tmp_path, raster):
    partitions = make_partitions(tmp_path, cache_size=50_000, here="all")
    requests = [partitions.plan([raster], nodes) for nodes in (1, 2, 3, 4)]
    results = [partitions.ensure(request) for request in requests]
    for age, result in enumerate(results):
        os.utime(Path(result.parts[0][0].path).parent, (1000 + age, 1000 + age))
    partitions.ensure(requests[0])  # used again
    freed = partitions.prune(keep=lambda: [requests[1].key, results[1].parts[0][0].path])
    there = [Path(result.parts[0][0].path).exists() for result in results]
    assert there == [True, True, False, False]
    assert freed > 40_000
    assert not [name for name in cuts(tmp_path) if name.startswith(".")]
    assert partitions.ensure(requests[2]) == results[2]
    assert make_partitions(tmp_path, cache_size=1).prune() > 0
    assert cuts(tmp_path) == set()


def test_prune_takes_what_nobody_used_for_so_long(tmp_path, raster):
    partitions = make_partitions(tmp_path, cache_size=10**9, here="all")
    assert partitions.prune(unused_for=60) == 0
    folders = [Path(partitions.ensure(partitions.plan([raster], nodes)).parts[0][0].path).parent for nodes in (1, 2, 3)]
    for folder in folders[:2]:
        os.utime(folder, (1000, 1000))
    assert partitions.prune(keep=lambda: [folders[1].name], unused_for=60) > 0
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_what_is_asked_for_while_it_is_pruned_stays(tmp_path, raster):
    partitions = make_partitions(tmp_path, cache_size=1, here="all")
    request = partitions.plan([raster], 2)
    made = partitions.ensure(request)
    answers = [[], [request.key]]
    assert partitions.prune(keep=lambda: answers.pop(0)) == 0
    assert answers == []
    assert partitions.find(request) == made
    assert Path(made.parts[0][0].path).exists()


def test_an_unreadable_file_is_named(by_helpers, raster, tmp_path):
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:5000])
    with pytest.raises(PartitionError, match=raster.id):
        by_helpers.ensure(by_helpers.plan([raster], 2))
    assert cuts(tmp_path) == set()
    vector = vector_layer(tmp_path / "a.gpkg", squares(10))
    (tmp_path / "a.gpkg").unlink()
    with pytest.raises(PartitionError, match=vector.id):
        by_helpers.ensure(by_helpers.plan([vector], 2))
    assert cuts(tmp_path) == set()


def test_a_killed_helper(by_helpers, raster, tmp_path, monkeypatch):
    class Doomed(Helpers):
        def run(self, tasks, count):
            for child in psutil.Process().children():
                child.send_signal(signal.SIGKILL)
            return super().run(tasks, count)

    monkeypatch.setattr("ellipsis_local.partitions.cutting.Helpers", Doomed)
    with pytest.raises(PartitionError, match="killed by signal 9"):
        by_helpers.ensure(by_helpers.plan([raster], 2))
    assert cuts(tmp_path) == set()
    monkeypatch.undo()
    assert by_helpers.ensure(by_helpers.plan([raster], 2))


SCRIPT = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ellipsis_local.home import Home
from ellipsis_local.partitions import CutRequest, Partitions
home = Home(Path(sys.argv[2]))
partitions = Partitions(home, cores=2, cache_size=10**12)
request = CutRequest.from_json(json.loads(Path(sys.argv[3]).read_text()))
"""


def script(tmp_path, request, body):
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request.to_json()))
    root = str(Path(cut_workers.__file__).parents[2])
    return [sys.executable, "-c", SCRIPT + textwrap.dedent(body), root, str(tmp_path / "home"), str(file)]


def test_disk_full(partitions, raster, tmp_path):
    """A limit on the size of files stands in for a full disk: the system refuses the write in the same way."""
    body = """
    from ellipsis_local.errors import StoreError
    resource.setrlimit(resource.RLIMIT_FSIZE, (15000, 15000))
    try:
        partitions.ensure(request)
    except StoreError as error:
        print("StoreError", error)
    """
    result = subprocess.run(
        script(tmp_path, partitions.plan([raster], 1), body), capture_output=True, text=True, check=False
    )
    assert result.stdout.startswith("StoreError"), result.stderr
    assert cuts(tmp_path) == set()


def test_disk_full_in_a_helper(by_helpers, tmp_path, monkeypatch):
    vector = vector_layer(tmp_path / "a.gpkg", squares(2000))
    original = cut_workers.environment
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (15000, 15000))"
    (tmp_path / "sitecustomize.py").write_text(limit)
    monkeypatch.setattr(cut_workers, "environment", lambda folder: original(folder) | {"PYTHONPATH": str(tmp_path)})
    with pytest.raises(StoreError, match=vector.id):
        by_helpers.ensure(by_helpers.plan([vector], 1))
    assert cuts(tmp_path) == set()


def test_several_processes_cut_once(partitions, tmp_path):
    layer = raster_layer(tmp_path / "big.tif", np.zeros((2, 2000, 2000), "u2"), GRID, tiled=True)
    body = """
    said = []
    partitions.ensure(request, said.append)
    print(sum(not step.passing for step in said))
    """
    command = script(tmp_path, partitions.plan([layer], 3), body)
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(process.communicate()[0].strip() for process in running)
    assert said == ["0", "0", "1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_helpers_end_with_their_caller(partitions, tmp_path, number):
    """Interrupted, the caller tidies up; killed, its helpers end all the same, and no cut comes into view."""
    # Without its zeros in the file: what takes long is to cut it.
    layer = raster_layer(tmp_path / "big.tif", np.zeros((1, 9000, 9000), "f8"), GRID, tiled=True, sparse_ok=True)
    command = script(tmp_path, partitions.plan([layer], 2), "partitions.ensure(request)")
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not (children := psutil.Process(process.pid).children()) and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait() == -number
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert gone
    assert not alive
    left = cuts(tmp_path)
    assert all(name.startswith(".") for name in left)
    assert number == signal.SIGKILL or not left


def test_seen_requests_import_nothing_heavy(partitions, raster, tmp_path):
    vector = vector_layer(tmp_path / "a.gpkg", squares(10))
    request = partitions.plan([raster, vector], 2)
    partitions.ensure(request)
    body = """
    import types
    partitions.ensure(request)
    print(sorted({"numpy", "rasterio", "geopandas", "pandas", "pyproj", "shapely"} & set(sys.modules)))
    """
    command = script(tmp_path, request, body)
    # the package's own `__init__` is not this room's: without it
    command[2] = command[2].replace(
        "from pathlib", "import types; m = sys.modules['ellipsis_local'] = types.ModuleType('ellipsis_local'); "
        "m.__path__ = [sys.argv[1] + '/ellipsis_local']\nfrom pathlib", 1
    )  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_bytecode_of_helpers(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(cut_workers, "_compiled", lambda: False)
    environ = cut_workers.environment(tmp_path / "bytecode")
    assert "PYTHONDONTWRITEBYTECODE" not in environ
    assert environ["PYTHONPYCACHEPREFIX"] == str(tmp_path / "bytecode" / sys.implementation.cache_tag)
    monkeypatch.setattr(cut_workers, "_compiled", lambda: True)
    assert cut_workers.environment(tmp_path / "bytecode") == dict(os.environ)
