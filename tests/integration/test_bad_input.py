"""Bad input: a clear error that names what is wrong and the way out, before anything has started, nothing half-made."""

from __future__ import annotations

import sys
import warnings
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import Point

from ellipsis_local.errors import (
    AccountError,
    ArgumentError,
    ComputeStateError,
    EllipsisLocalError,
    EnvironmentBuildError,
    FidelityWarning,
    InterpreterError,
    LayerError,
    NodeDiedError,
    NodeError,
    NodeMemoryError,
    NodeTimeoutError,
    NotFoundError,
    ResultError,
)
from ellipsis_local.nodes import local
from ellipsis_local.settings import typed_command
from tests.integration.conftest import wait_for

UNKNOWN = "00000000-0000-4000-8000-000000000001"
INTERPRETER = f"python3.{sys.version_info[1]}"


@pytest.fixture(autouse=True)
def nested_functions_are_meant():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        yield


def changed(**arguments: Any) -> Callable[[dict, str], dict]:
    return lambda layer, token: {"layers": [layer], "token": token, "nodes": 2, "interpreter": INTERPRETER} | arguments


def layers(make: Callable[[dict], list]) -> Callable[[dict, str], dict]:
    return lambda layer, token: {"layers": make(layer), "token": token, "nodes": 2, "interpreter": INTERPRETER}


CREATE = [
    # ids
    (layers(lambda la: [la | {"pathId": UNKNOWN}]), NotFoundError, "pathId|path"),
    (layers(lambda la: [la | {"timestampId": UNKNOWN}]), NotFoundError, "timestamp"),
    (layers(lambda la: [la | {"timestampId": "scene"}]), ArgumentError, r"layers\[0\]\['timestampId'\] must be.* a uuid"),
    (layers(lambda la: [la | {"pathId": 7}]), ArgumentError, r"layers\[0\]\['pathId'\] must be .* a uuid"),
    (layers(lambda la: [{"pathId": la["pathId"]}]), ArgumentError, "timestampId is missing"),
    # layers
    (layers(lambda la: [la, la]), ArgumentError, "twice"),
    (layers(lambda la: [la, {k: v.upper() for k, v in la.items()}]), ArgumentError, "twice"),
    (layers(lambda la: []), ArgumentError, "layers must hold at least one"),
    (layers(lambda la: "layer"), ArgumentError, "layers must be a list of dictionaries"),
    (layers(lambda la: [la["pathId"]]), ArgumentError, "layers must be a list of dictionaries"),
    (layers(lambda la: None), ArgumentError, "layers must be an iterable"),
    # files
    (changed(files=[UNKNOWN]), NotFoundError, UNKNOWN),
    (changed(files=["model"]), ArgumentError, "files"),
    (changed(files="model"), ArgumentError, "files must be a list of uuids"),
    # more than anybody means
    (layers(lambda la: [la] * 1001), ArgumentError, "layers must have at most 1000 entries, not 1,001"),
    (layers(lambda la: [0] * 10**6), ArgumentError, "layers must be a list of dictionaries.{,120}$"),
    (changed(files=[UNKNOWN] * 1001), ArgumentError, "files must have at most 1000 entries, not 1,001"),
    (changed(requirements=["numpy"] * 10**6), ArgumentError, "requirements must take at most 100,000 characters"),
    # nodes
    (changed(nodes=0), ArgumentError, "nodes must be at least 1, not 0"),
    (changed(nodes=-2), ArgumentError, "nodes must be at least 1, not -2"),
    (changed(nodes="2"), ArgumentError, "nodes must be of type int"),
    (changed(nodes=2.0), ArgumentError, "nodes must be of type int"),
    (changed(nodes=True), ArgumentError, "nodes must be of type int"),
    (changed(nodes=65), ArgumentError, "nodes must be at most 64.*max_nodes"),
    # interpreter
    (changed(interpreter="python9.9"), ArgumentError, "interpreter.*python9.9"),
    (changed(interpreter="ruby"), ArgumentError, "interpreter.*ruby"),
    (changed(interpreter="/usr/bin/python3"), ArgumentError, "interpreter.*/usr/bin/python3"),
    (changed(interpreter=""), ArgumentError, "interpreter"),
    (changed(interpreter=None), ArgumentError, "interpreter must be of type string"),
    # requirements
    (changed(requirements=["--index-url http://x"]), ArgumentError, "requirements"),
    (changed(requirements=["-r file.txt"]), ArgumentError, "requirements"),
    (changed(requirements=["numpy; rm -rf /"]), ArgumentError, "requirements"),
    (changed(requirements=["numpy && true"]), ArgumentError, "requirements"),
    (changed(requirements=["numpy\nscipy"]), ArgumentError, "requirements"),
    (changed(requirements=[""]), ArgumentError, "requirements"),
    (changed(requirements=[1]), ArgumentError, "requirements must be a list of strings"),
    (changed(requirements="numpy"), ArgumentError, "requirements"),
    (changed(requirements=3), ArgumentError, "requirements must be an iterable"),
    # token and flags
    (changed(token=""), ArgumentError, "token must not be empty"),
    (changed(token=None), ArgumentError, "token must be of type string"),
    (changed(token=b"t"), ArgumentError, "token must be of type string"),
    (changed(largeResult="yes"), ArgumentError, "largeResult must be of type boolean"),
    (changed(awaitTillStarted=1), ArgumentError, "awaitTillStarted must be of type boolean"),
    (changed(enableGpu=None), ArgumentError, "enableGpu must be of type boolean"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "text"), CREATE, ids=[str(i) for i in range(len(CREATE))])
def test_create_compute(el, token, raster, make, kind, text) -> None:
    with pytest.raises(kind, match=text):
        el.compute.createCompute(**make(raster, token))
    assert el.compute.listComputes(token)["result"] == []


def test_all_that_is_missing_is_named_with_the_ways(el, token, raster, home) -> None:
    other = raster | {"timestampId": UNKNOWN}
    nowhere = {"pathId": UNKNOWN.replace("0", "1"), "timestampId": UNKNOWN.replace("0", "2")}
    with pytest.raises(NotFoundError) as told:
        el.compute.createCompute([raster, other, nowhere], token, files=[UNKNOWN])
    path, program = raster["pathId"], typed_command(home, "layers")
    assert str(told.value) == (
        f"layers: timestamp {UNKNOWN} of path {path}, timestamp {nowhere['timestampId']} of path {nowhere['pathId']}, "
        f"file {UNKNOWN}: not in the home {home}; bring the first there "
        f"from the service `{program} pull {path} {UNKNOWN}`, or "
        f"from a file of yours `{program} add FILE --path-id {path} --timestamp-id {UNKNOWN}`, or "
        f"as a stand-in `{program} invent {path} {UNKNOWN}`"
    )
    with pytest.raises(NotFoundError, match=f"^files: file {UNKNOWN}: .* bring it .*add FILE --type file --path-id"):
        el.compute.createCompute([raster], token, files=[UNKNOWN])


def test_more_nodes_than_pixels(el, token) -> None:
    one = el.layers.add({"raster": np.ones((1, 1), "uint8"), "transform": Affine(1, 0, 0, 0, -1, 0), "crs": 3857})
    with pytest.raises(EllipsisLocalError, match="nodes.*2"):
        el.compute.createCompute([one], token, nodes=2, interpreter=INTERPRETER)
    assert el.compute.listComputes(token)["result"] == []


def test_no_nodes_in_the_plan(el, token, raster) -> None:
    el.configure(max_nodes=0)
    with pytest.raises(ArgumentError, match="You have no compute nodes in your plan"):
        el.compute.createCompute([raster], token)


def test_nodes_none_is_the_plan(el, token, raster) -> None:
    el.configure(max_nodes=3)
    assert el.account.getInfo(token)["plan"]["maxComputeNodes"] == 3
    made = el.compute.createCompute([raster], token, interpreter=INTERPRETER)
    assert len(el.compute.getComputeInfo(made["id"], token)["nodes"]) == 3


def test_an_interpreter_that_is_not_here(el, token, raster, monkeypatch) -> None:
    from ellipsis_local.environments import build

    def missing(name: str, *_: object) -> None:
        raise InterpreterError(f"interpreter {name} is not on this machine", found=("python3.11",))

    # Which Pythons a machine lacks cannot be known here; what the room says itself is tested there.
    monkeypatch.setattr(build, "choose_interpreter", missing)
    with pytest.raises(InterpreterError, match="not on this machine"):
        el.compute.createCompute([raster], token, nodes=1)
    assert el.compute.listComputes(token)["result"] == []


@pytest.mark.parametrize(
    ("requirements", "text"),
    [
        (["ellipsis-local-no-such-package-anywhere"], "ellipsis-local-no-such-package-anywhere"),
        (["shapely==2.0.6", "shapely==2.0.7"], "(?s)shapely.*conflict|unsatisfiable|incompatible"),
    ],
)
def test_requirements_that_cannot_be_installed(el, token, raster, requirements, text) -> None:
    with pytest.raises(EnvironmentBuildError, match=text):
        el.compute.createCompute([raster], token, nodes=1, interpreter=INTERPRETER, requirements=requirements)
    (info,) = el.compute.listComputes(token)["result"]
    assert info["status"] == "errored"
    assert requirements[0].split("=")[0] in info["message"]
    with pytest.raises(ComputeStateError, match="is errored") as caught:
        el.compute.execute(info["id"], lambda params: 1, token)
    assert caught.value.status == "errored"


def test_a_layer_without_files_or_not_active(el, token, tmp_path, raster) -> None:
    path_id = el.path.raster.add("empty", token)["id"]
    when = el.path.raster.timestamp.add(path_id, token)["id"]
    layer = {"pathId": path_id, "timestampId": when}
    with pytest.raises(ArgumentError, match="holds no files"):
        el.compute.createCompute([layer], token, nodes=1)
    el.layers.export(raster["pathId"], raster["timestampId"], tmp_path / "r.tif")
    el.path.raster.timestamp.file.add(path_id, when, token, "tif", filePath=str(tmp_path / "r.tif"))
    with pytest.raises(ArgumentError, match="has to be active"):
        el.compute.createCompute([layer], token, nodes=1)


def test_someone_elses_compute(el, token, raster, create) -> None:
    compute_id = create([raster], nodes=1)
    other = el.account.logIn("other", "secret")
    for call in (
        lambda: el.compute.execute(compute_id, lambda params: 1, other),
        lambda: el.compute.terminateCompute(compute_id, other),
        lambda: el.compute.getComputeInfo(compute_id, other),
        lambda: el.compute.downloadFile(f"/compute/{compute_id}/file/{UNKNOWN}", other, filePath="x"),
        lambda: el.compute.listComputes(other, pageStart=compute_id),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert el.compute.listComputes(other)["result"] == []
    el.compute.terminateAll(other)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "available"


def test_accounts(el) -> None:
    el.account.logIn("a", "right")
    with pytest.raises(AccountError, match="password"):
        el.account.logIn("a", "wrong")
    for arguments in ((1, "x"), ("x", None), ("", "x"), ("x", "y", 0), ("x", "y", "1")):
        with pytest.raises(ArgumentError):
            el.account.logIn(*arguments)
    assert el.account.getInfo("a token of the service")["username"].startswith("token-")


COMPUTE_IDS = [
    ("x", "must be of type string and be a uuid"),
    (None, "must be of type string and be a uuid"),
    (UNKNOWN, "No compute found"),
]


@pytest.mark.parametrize(("compute_id", "text"), COMPUTE_IDS)
def test_unknown_computes(el, token, compute_id, text) -> None:
    for call in (
        lambda: el.compute.execute(compute_id, lambda params: 1, token),
        lambda: el.compute.terminateCompute(compute_id, token),
        lambda: el.compute.getComputeInfo(compute_id, token),
    ):
        with pytest.raises(ArgumentError, match=text):
            call()


# --- functions --------------------------------------------------------------------------------------------------------


def fails_on(node_extent):
    return None


def make_functions() -> dict[str, tuple[Callable, type, str]]:
    def raises(params):
        value = {}
        return value["missing"]

    def exits(params):
        import sys

        sys.exit("bye")

    def recurses(params):
        def deeper(n):
            return deeper(n + 1)

        return deeper(0)

    def dies(params):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    def leaves(params):
        import os

        os._exit(3)

    def returns_what_cannot_be_carried(params):
        return [1, {"a": lambda: 1}]

    def returns_too_much(params):
        import numpy

        return numpy.zeros(300_000)

    def returns_a_memory_file(params):
        import io

        return io.BytesIO(b"x")

    def returns_a_closed_file(params):
        import io

        with io.BytesIO(b"x") as file:
            return file

    def returns_a_cell_that_cannot_be_carried(params):
        import pandas

        return [pandas.DataFrame({"column": [1, "a", None, object()]})]

    def imports_what_is_not_there(params):
        import a_package_that_is_not_there  # noqa: F401

    def reads_stdin(params):
        return input()

    return {
        "raises": (raises, NodeError, r"(?s)node [01] .*test_bad_input.py.*value\[\"missing\"\].*KeyError: 'missing'"),
        "exits": (exits, NodeError, r"sys.exit\('bye'\)"),
        "recurses": (recurses, NodeError, "RecursionError"),
        "dies": (dies, NodeDiedError, "SIGKILL"),
        "leaves": (leaves, NodeDiedError, "exit code 3"),
        "returns what cannot be carried": (
            returns_what_cannot_be_carried,
            ResultError,
            r"result\[1\]\['a'\] is of type",
        ),
        "returns too much": (returns_too_much, ResultError, "2,000,000.*largeResult=True"),
        "returns a closed file": (returns_a_closed_file, ResultError, r"BytesIO\) that is closed.*outside the `with`"),
        "returns a cell that cannot be carried": (
            returns_a_cell_that_cannot_be_carried,
            ResultError,
            r"node [01] of compute .*: result\[0\]\['column'\]\[3\] is of type builtins.object.*; return numbers",
        ),
        "returns a memory file": (returns_a_memory_file, ResultError, "largeResult=True"),
        "imports what is not there": (imports_what_is_not_there, NodeError, "ModuleNotFoundError"),
        "reads stdin": (reads_stdin, NodeError, "EOFError"),
    }


FUNCTIONS = make_functions()


def test_functions_that_fail(el, token, raster, create) -> None:
    """One compute for all of them: it goes on after each."""
    compute_id = create([raster])

    def good(params):
        return len(params)

    for name, (function, kind, text) in FUNCTIONS.items():
        with pytest.raises(kind, match=text) as caught:
            el.compute.execute(compute_id, function, token)
        assert isinstance(caught.value, ValueError), name
        assert caught.value.compute_id == compute_id
        assert caught.value.node in (0, 1)
        assert el.compute.getComputeInfo(compute_id, token)["status"] == "completed"
        assert el.compute.execute(compute_id, good, token) == [1, 1], name


def test_one_failing_node_leaves_the_others(el, token, raster, create) -> None:
    def f(params):
        (value,) = params.values()
        if value["extent"]["yMin"] > 5_999_750:
            raise RuntimeError("this one")
        return 5

    compute_id = create([raster], nodes=4)
    with pytest.raises(NodeError, match="this one"):
        el.compute.execute(compute_id, f, token)
    info = el.compute.getComputeInfo(compute_id, token)
    kinds = [r["type"] for r in info["result"]]
    assert kinds.count("exception") in (1, 2)
    assert all(r["value"] == 5 for r in info["result"] if r["type"] == "object")
    assert {n["state"] for n in info["nodes"]} == {"completed", "failed"}
    assert "nodes failed" in info["message"]


def test_large_result_wants_a_memory_file(el, token, raster, create) -> None:
    def array(params):
        import numpy

        return numpy.zeros(3)

    def closed(params):
        from rasterio.io import MemoryFile

        with MemoryFile(b"x") as file:
            return file

    compute_id = create([raster], largeResult=True)
    with pytest.raises(ResultError, match="must return a memory file.*numpy.ndarray"):
        el.compute.execute(compute_id, array, token)
    with pytest.raises(ResultError, match=r"node 0 .*MemoryFile\) that is closed.*outside the `with`"):
        el.compute.execute(compute_id, closed, token)


def test_a_value_that_the_caller_cannot_make_is_an_error_with_node_and_place(
    el, token, raster, create, monkeypatch
) -> None:
    """Here of a zone that the caller's machine does not know; the node's does."""

    def f(params):
        import datetime
        import zoneinfo

        return [1, {"when": datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Amsterdam"))}]

    compute_id = create([raster])
    when = el.compute.execute(compute_id, f, token)[1][1]["when"]
    assert (str(when), str(when.tzinfo)) == ("2020-01-01 00:00:00+01:00", "Europe/Amsterdam")
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.ZoneInfo.clear_cache()
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(())
    try:
        text = r"node 0 of compute .*: result\[1\]\['when'\] cannot be made .*Europe/Amsterdam.*; install .*or return"
        with pytest.raises(ResultError, match=text) as caught:
            el.compute.execute(compute_id, f, token)
        assert (caught.value.node, caught.value.compute_id) == (0, compute_id)
        result = el.compute.getComputeInfo(compute_id, token)["result"][1]
        assert (result["type"], "result[1]['when'] cannot be made" in result["value"]) == ("exception", True)
    finally:
        zoneinfo.reset_tzpath(before)
    assert el.compute.getComputeInfo(compute_id, token)["result"][1]["value"][1]["when"] == when


@pytest.mark.slow
def test_printing_without_end_is_bounded(el, token, raster, create, home) -> None:
    def prints(params):
        import sys

        line = "x" * 1_000_000
        for _ in range(500):
            sys.stdout.write(line + "\n")
        return "done"

    compute_id = create([raster], nodes=2)
    assert el.compute.execute(compute_id, prints, token) == ["done", "done"]
    log = home / "computes" / compute_id / "log.jsonl"
    assert log.stat().st_size < 5_000_000
    assert "were not kept" in log.read_text()


def test_threads_and_processes_of_the_function(el, token, raster, create) -> None:
    def f(params):
        import multiprocessing
        import subprocess
        import threading
        import time

        threading.Thread(target=time.sleep, args=(60,)).start()
        subprocess.Popen(["sleep", "60"])
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-1, -2])

    compute_id = create([raster])
    assert el.compute.execute(compute_id, f, token) == [[1, 2], [1, 2]]
    # The guard of the suite fails this test if the thread or the process outlives the compute.
    el.compute.terminateCompute(compute_id, token)


def test_processes_of_the_function_can_be_ended_at_any_moment(el, token, raster, create) -> None:
    def f(params):
        import signal

        return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    assert el.compute.execute(create([raster]), f, token) == [True, True]


def test_memory_is_limited_by_what_is_free(el, token, raster, create, monkeypatch) -> None:
    class Free(NamedTuple):
        available: int = 0

    monkeypatch.setattr(local.psutil, "virtual_memory", Free)

    def allocates(params):
        import numpy

        return numpy.empty(2**31, "uint8").size

    with pytest.raises(NodeMemoryError, match=r"more than 1,073,741,824 bytes, its share of .* set node_memory"):
        el.compute.execute(create([raster]), allocates, token)


def test_time_and_memory_limits(el, token, raster) -> None:
    def sleeps(params):
        import time

        time.sleep(30)

    def allocates(params):
        import numpy

        return float(numpy.ones(200_000_000).sum())

    el.configure(node_timeout=0.5, node_memory="300 MB")
    compute_id = el.compute.createCompute([raster], token, nodes=2, interpreter=INTERPRETER)["id"]
    with pytest.raises(NodeTimeoutError, match="node_timeout=0.5 s"):
        el.compute.execute(compute_id, sleeps, token)
    with pytest.raises(NodeMemoryError, match="node_memory=300,000,000 bytes"):
        el.compute.execute(compute_id, allocates, token)
    assert el.compute.execute(compute_id, lambda params: 1, token) == [1, 1]


def test_the_state_decides(el, token, raster, create) -> None:
    def slow(params):
        import time

        time.sleep(1)

    compute_id = create([raster], awaitTillStarted=False)
    with pytest.raises(ComputeStateError, match="still being started"):
        el.compute.execute(compute_id, slow, token)
    wait_for(el, compute_id, token, "available")
    el.compute.execute(compute_id, slow, token, awaitTillCompleted=False)
    with pytest.raises(ComputeStateError, match="is executing"):
        el.compute.execute(compute_id, slow, token)
    el.compute.terminateCompute(compute_id, token)
    with pytest.raises(ComputeStateError, match="has been terminated"):
        el.compute.execute(compute_id, slow, token)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"


# --- results into layers ----------------------------------------------------------------------------------------------


def gpkg(params):
    import io

    import geopandas
    from shapely.geometry import Point

    out = io.BytesIO()
    geopandas.GeoDataFrame({"a": [1]}, geometry=[Point(0, 0)], crs=3857).to_file(out, driver="GPKG")
    return out


def rubbish(params):
    return b"this is no raster"


def test_results_into_the_wrong_layer(el, token, raster, create) -> None:
    target = el.path.raster.add("target", token)["id"]
    when = el.path.raster.timestamp.add(target, token)["id"]
    vector = el.path.vector.add("vector", token)["id"]
    stamp = el.path.vector.timestamp.add(vector, token)["id"]
    compute_id = create([raster], largeResult=True)
    for function in (gpkg, rubbish):
        response = el.compute.execute(compute_id, function, token)
        with pytest.raises(LayerError):
            el.compute.addLayer(response, target, when, token)
        with pytest.raises(LayerError):
            el.compute.execute(compute_id, function, token, writeToLayer={"pathId": target, "timestampId": when})
        assert el.path.raster.timestamp.file.get(target, when, token)["result"] == []
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "completed"
    with pytest.raises(ArgumentError, match="vector layer"):
        el.compute.execute(compute_id, gpkg, token, writeToLayer={"pathId": vector, "timestampId": stamp})
    with pytest.raises(ArgumentError, match="format must be 'tif' or 'gpkg'"):
        where = {"pathId": target, "timestampId": when, "file": {"format": "png"}}
        el.compute.execute(compute_id, gpkg, token, writeToLayer=where)
    for wrong in ({"pathId": target}, "layer", {"pathId": target, "timestampId": when, "file": "tif"}):
        with pytest.raises(ArgumentError, match="writeToLayer"):
            el.compute.execute(compute_id, gpkg, token, writeToLayer=wrong)


@pytest.mark.parametrize(
    "response", [[], ["x"], [1], "url", [f"/compute/{UNKNOWN}/file/../../x"], [f"/compute/{UNKNOWN}/file/{UNKNOWN}"]]
)
def test_what_is_no_response(el, token, raster, response) -> None:
    with pytest.raises(ArgumentError):
        el.compute.addLayer(response, raster["pathId"], raster["timestampId"], token)


def test_download_needs_a_target(el, token) -> None:
    with pytest.raises(ArgumentError, match="Either memfile or filePath is required"):
        el.compute.downloadFile("/x", token)


# --- layers -----------------------------------------------------------------------------------------------------------


def test_unusable_layers(el, tmp_path: Path) -> None:
    array = np.arange(250_000, dtype="uint8").reshape(1, 500, 500)
    profile = {"driver": "GTiff", "height": 500, "width": 500, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "good.tif", "w", **profile, crs=3857, transform=Affine(1, 0, 0, 0, -1, 0)) as target:
        target.write(array)
    (tmp_path / "truncated.tif").write_bytes((tmp_path / "good.tif").read_bytes()[:100_000])
    with rasterio.open(tmp_path / "nocrs.tif", "w", **profile, transform=Affine(1, 0, 0, 0, -1, 0)) as target:
        target.write(array)
    gpd.GeoDataFrame({"a": [1]}, geometry=[Point(0, 0)]).to_file(tmp_path / "nocrs.fgb")
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    for name, text in (
        ("truncated.tif", "truncated|read"), ("nocrs.tif", "CRS"), ("nocrs.fgb", "CRS"), ("text.tif", "text.tif"),
        ("table.csv", "table.csv"), ("missing.tif", "missing.tif"),
    ):  # fmt: skip
        with pytest.raises(EllipsisLocalError, match=text):
            el.layers.add(tmp_path / name)
    with pytest.raises(EllipsisLocalError, match="CRS"):
        el.layers.add(gpd.GeoDataFrame({"a": [1]}, geometry=[Point(0, 0)]))
    with pytest.raises(ArgumentError, match="type must be 'raster' or 'vector'"):
        el.layers.add(tmp_path / "good.tif", type="image")
    assert el.layers.list() == []


def test_a_full_disk(el, token, raster, create, tmp_path, monkeypatch) -> None:
    """Simulated where files are moved into view: nothing half-made is left, and the next try works."""
    import errno

    from ellipsis_local.home import Home

    def f(params):
        return 1

    def full(self, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Home, "publish", full)
        with pytest.raises(EllipsisLocalError, match="(?i)space|full"):
            create([raster], nodes=3)
    (info,) = el.compute.listComputes(token)["result"]
    assert info["status"] == "errored"
    assert el.compute.execute(create([raster], nodes=3), f, token) == [1, 1, 1]
