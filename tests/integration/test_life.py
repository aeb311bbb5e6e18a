"""Computes outlive processes, processes take their workers along, and several processes share one home."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import rasterio
from affine import Affine

from ellipsis_local import emulator as emulator_module
from ellipsis_local.computes.records import Records
from ellipsis_local.errors import (
    ComputeStateError,
    EllipsisLocalError,
    EngineError,
    FidelityWarning,
    NodeError,
    StoreError,
)
from ellipsis_local.node_program.ellipsis_node.output import Recorder, Source
from tests.integration.conftest import INTERPRETER, wait_for
from tests.processes import command_of, lives

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def nested_functions_are_meant():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        yield


def start(home: Path, folder: Path, code: str) -> subprocess.Popen[str]:
    """Another Python process on the same home; it runs a file, because functions need their source."""
    script = folder / f"script{len(list(folder.glob('script*.py')))}.py"
    script.write_text(
        "import sys, time, os\nimport ellipsis_local as el\nel.configure(progress=False, cores=2)\n"
        "token = el.account.logIn('demo_user', 'demo_user')\n" + textwrap.dedent(code)
    )
    environ = os.environ | {"ELLIPSIS_LOCAL_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, str(script)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def output(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def gone(pids: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(map(lives, pids)):
            return True
        time.sleep(0.02)
    return False


def descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_made_by_one_process_executed_by_another_terminated_by_a_third(el, token, raster, home, tmp_path) -> None:
    create = f"print(el.compute.createCompute([{raster!r}], token, nodes=2, interpreter={INTERPRETER!r})['id'])"
    compute_id = output(start(home, tmp_path, create)).split()[-1]

    def total(params):
        return float(next(iter(params.values()))["raster"][0].sum())

    assert sum(el.compute.execute(compute_id, total, token)) == sum(range(2400))
    assert [r["value"] for r in el.compute.getComputeInfo(compute_id, token)["result"]]
    workers = descendants(os.getpid())
    assert workers
    output(start(home, tmp_path, f"el.compute.terminateCompute({compute_id!r}, token)"))
    # Terminating waits for the other process, this one, to end its workers.
    assert gone(workers, 0.5)
    with pytest.raises(ComputeStateError, match="has been terminated"):
        el.compute.execute(compute_id, total, token)


def sleeps(params):
    import time

    time.sleep(60)


@pytest.mark.parametrize("by", ["thread", "process"])
def test_terminating_during_an_execution_ends_it_within_a_second(el, token, raster, create, home, tmp_path, by) -> None:
    compute_id = create([raster])
    workers = descendants(os.getpid())
    caught: list[BaseException] = []

    def run() -> None:
        try:
            el.compute.execute(compute_id, sleeps, token)
        except EllipsisLocalError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(el, compute_id, token, "executing")
    if by == "thread":
        began = time.monotonic()
        el.compute.terminateAll(token)
    else:
        code = f"began = time.monotonic(); el.compute.terminateCompute({compute_id!r}, token)\nprint(time.monotonic() - began)"
        spent = float(output(start(home, tmp_path, code)).split()[-1])
        began = time.monotonic() - spent
    thread.join(5)
    # The promise is a second; a loaded machine gets some more before this counts as broken.
    assert time.monotonic() - began < 5
    assert isinstance(caught[0], ComputeStateError)
    assert "terminated during the execution" in str(caught[0])
    assert gone(workers, 1)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"


def test_terminating_ends_the_cut(el, token, home, tmp_path, create) -> None:
    """Of a file of 30 kB that takes minutes to cut."""
    scene = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": 200_000, "height": 200_000, "count": 1, "dtype": "uint8", "sparse_ok": True}
    tiles = {"tiled": True, "blockxsize": 8192, "blockysize": 8192, "compress": "deflate", "crs": "EPSG:3857"}
    with rasterio.open(scene, "w", **profile, **tiles, transform=Affine(1, 0, 0, 0, -1, 200_000)):
        pass
    compute_id = create([el.layers.add(scene)], awaitTillStarted=False)

    def helpers() -> list[psutil.Process]:
        found = psutil.Process().children(recursive=True)
        return [one for one in found if any("cut_worker" in word for word in command_of(one))]

    end = time.monotonic() + 60
    while not helpers():
        assert time.monotonic() < end, el.compute.getComputeInfo(compute_id, token)
        time.sleep(0.02)
    el.compute.terminateCompute(compute_id, token)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"
    while helpers() or list((home / "cache" / "cuts").glob(".new-*")):
        assert time.monotonic() < end, helpers()
        time.sleep(0.02)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_caller_that_dies_takes_its_workers_along(el, token, raster, home, tmp_path, how) -> None:
    code = f"""
        def f(params):
            import time
            time.sleep(60)
        made = el.compute.createCompute([{raster!r}], token, nodes=2, interpreter={INTERPRETER!r})['id']
        print(made, flush=True)
        el.compute.execute(made, f, token)
    """
    process = start(home, tmp_path, code)
    assert process.stdout is not None
    compute_id = process.stdout.readline().strip()
    wait_for(el, compute_id, token, "executing")
    family = descendants(process.pid)
    assert len(family) >= 3
    process.send_signal(how)
    process.communicate(timeout=30)
    assert gone(family, 5)
    # The record tells what was lost, and the compute goes on.
    info = el.compute.getComputeInfo(compute_id, token)
    assert info["status"] == "completed"
    assert {r["type"] for r in info["result"]} == {"exception"}

    def one(params):
        return 1

    assert el.compute.execute(compute_id, one, token) == [1, 1]


@pytest.mark.parametrize("inline", [False, True])
def test_a_node_waits_until_it_runs(el, token, raster, create, tmp_path, inline) -> None:
    """One runs at a time."""
    el.configure(inline=inline, cores=1)
    compute_id = create([raster], nodes=3)
    assert [node["state"] for node in el.compute.getComputeInfo(compute_id, token)["nodes"]] == ["ready"] * 3
    go = tmp_path / "go"

    def waits(params):
        while not go.exists():
            time.sleep(0.01)

    thread = threading.Thread(target=el.compute.execute, args=(compute_id, waits, token))
    thread.start()
    try:
        end = time.monotonic() + 60
        nodes: list[dict[str, object]] = []
        while time.monotonic() < end and "executing" not in {node["state"] for node in nodes}:
            nodes = el.compute.getComputeInfo(compute_id, token)["nodes"]
            time.sleep(0.01)
    finally:
        go.touch()
        thread.join()
    assert [node["state"] for node in nodes] == ["executing", "waiting", "waiting"]
    assert str(nodes[0]["startedAt"]) > "20"
    assert [node["startedAt"] for node in nodes[1:]] == [None, None]
    nodes = el.compute.getComputeInfo(compute_id, token)["nodes"]
    assert [node["state"] for node in nodes] == ["completed"] * 3
    started = [str(node["startedAt"]) for node in nodes]
    assert started == sorted(started) and None not in started


def test_a_host_that_is_killed_is_replaced(el, token, raster, create) -> None:
    def one(params):
        return 1

    compute_id = create([raster])
    assert el.compute.execute(compute_id, one, token) == [1, 1]
    for child in psutil.Process().children():
        child.kill()
        child.wait(10)
    assert el.compute.execute(compute_id, one, token) == [1, 1]


def test_a_host_that_dies_without_its_log_is_told(el, token, raster, create, home) -> None:
    def kills(params):
        import os
        import signal

        os.kill(os.getppid(), signal.SIGKILL)

    compute_id = create([raster])
    (home / "computes" / compute_id / "host.log").unlink()
    with pytest.raises(EngineError, match=r"ended with exit code -9:\nhost\.log cannot be read \(No such file"):
        el.compute.execute(compute_id, kills, token)


def test_several_processes_do_all_of_it_on_one_home(home, tmp_path, el, token, fixtures) -> None:
    code = f"""
        loaded = el.layers.load({str(fixtures)!r})
        scene, trees = loaded['scene'], loaded['trees']
        layers = [{{'pathId': x['pathId'], 'timestampId': x['timestampId']}} for x in (scene, trees)]
        def f(params):
            import geopandas
            return [len(v) if isinstance(v, geopandas.GeoDataFrame) else v['raster'][0].size for v in params.values()]
        for nodes in (2, 3):
            made = el.compute.createCompute(layers, token, nodes=nodes, interpreter={INTERPRETER!r})['id']
            result = el.compute.execute(made, f, token)
            print('SUM', sum(r[0] for r in result), sum(r[1] for r in result))
            el.compute.terminateCompute(made, token)
    """
    processes = [start(home, tmp_path, code) for _ in range(2)]
    sums = {line for process in processes for line in output(process).splitlines() if line.startswith("SUM")}
    assert len(sums) == 1
    assert len(list((home / "cache" / "cuts").glob("*/cut.json"))) <= 4 * 2
    statuses = {info["status"] for info in el.compute.listComputes(token)["result"]}
    assert statuses == {"stopped"}


def test_many_computes_keep_few_workers(el, token, raster, create) -> None:
    def one(params):
        return 1

    ids = [create([raster], nodes=1) for _ in range(11)]
    # A host and a worker each, and the fork servers of none.
    assert len(descendants(os.getpid())) <= 2 * 8
    assert [el.compute.execute(i, one, token) for i in (ids[0], ids[-1])] == [[1], [1]]
    assert len(el.compute.listComputes(token)["result"]) == 11


def test_the_cache_may_be_deleted_between_uses(el: ModuleType, token, raster, points, create, home) -> None:
    def count(params):
        return [v["raster"].size if isinstance(v, dict) else len(v) for v in params.values()]

    compute_id = create([raster, points])
    before = el.compute.execute(compute_id, count, token)
    emulator_module.use(None)
    shutil.rmtree(home / "cache")
    assert el.compute.execute(compute_id, count, token) == before
    el.compute.terminateCompute(compute_id, token)
    # In the same process, too.
    shutil.rmtree(home / "cache")
    again = create([raster, points])
    assert el.compute.execute(again, count, token) == before
    # While nodes wait: one execution fails, and the next makes it again.
    shutil.rmtree(home / "cache")
    with pytest.raises(NodeError, match="could not read its partition"):
        el.compute.execute(again, count, token)
    assert el.compute.execute(again, count, token) == before


def test_closing_the_emulator_leaves_the_compute(el: ModuleType, token, raster, create) -> None:
    def one(params):
        return 1

    compute_id = create([raster])
    emulator_module.use(None)
    assert descendants(os.getpid()) == []
    assert el.compute.execute(compute_id, one, token) == [1, 1]


def test_logs_of_every_node_in_one_place(el, token, raster, create, home) -> None:
    import json

    def talks(params):
        import logging
        import multiprocessing
        import subprocess
        import sys

        (value,) = params.values()
        print("printed", value["extent"]["yMin"])
        logging.getLogger("mine").warning("logged %s", 5)
        subprocess.run(["echo", "from a child"], check=True)
        forked = multiprocessing.get_context("fork").Process(
            target=logging.getLogger("forked").error, args=("x" * 10_000,)
        )
        forked.start()
        forked.join()
        sys.stderr.write("to stderr without an end")
        return value["extent"]["yMin"]

    compute_id = create([raster], nodes=3)
    edges = el.compute.execute(compute_id, talks, token)
    lines = [json.loads(line) for line in (home / "computes" / compute_id / "log.jsonl").read_text().splitlines()]
    for node, edge in enumerate(edges):
        texts = [line["text"] for line in lines if line["node"] == node]
        assert f"printed {edge}" in texts
        assert "WARNING mine: logged 5" in texts
        assert "from a child" in texts
        # The record of the forked process is written by a thread: before the unfinished line, or behind it.
        assert any("ERROR forked: " + "x" * 10_000 in text for text in texts)
        assert any("to stderr without an end" in text for text in texts)


def test_gpus_go_to_the_nodes_in_turn(el, token, raster, create, monkeypatch) -> None:
    def seen(params):
        import os

        return os.environ["CUDA_VISIBLE_DEVICES"]

    assert el.compute.execute(create([raster], nodes=3), seen, token) == ["", "", ""]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-1")
    assert el.compute.execute(create([raster], nodes=3, enableGpu=True), seen, token) == ["0", "GPU-1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.warns(UserWarning, match="shows no GPU"):
        compute_id = create([raster], nodes=1, enableGpu=True)
    assert el.compute.execute(compute_id, seen, token) == [""]


def test_a_node_does_not_see_the_callers_variables(el, token, raster, create, monkeypatch) -> None:
    def seen(params):
        import os

        return sorted(os.environ), os.getcwd()

    monkeypatch.setenv("MY_SECRET", "x")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    names, folder = el.compute.execute(create([raster], nodes=1), seen, token)[0]
    assert "MY_SECRET" not in names
    assert "PYTHONPATH" not in names
    assert folder != str(Path.cwd())


@pytest.mark.parametrize("what", ["finish", "change"])
def test_what_a_full_disk_refuses_is_stored_when_there_is_room(el, token, raster, create, monkeypatch, what) -> None:
    el.configure(inline=True)
    compute_id = create([raster])
    stored, full = getattr(Records, what), [True, True, True]

    def refuse(self, compute_id, *given, **named):
        # The last change of a terminateCompute.
        if full and (what == "finish" or "stopped" in given):
            full.pop()
            raise StoreError("the disk is full")
        return stored(self, compute_id, *given, **named)

    monkeypatch.setattr(Records, what, refuse)
    with pytest.raises(StoreError, match="what has come about is stored as soon as that is possible"):
        if what == "finish":
            el.compute.execute(compute_id, lambda params: 7, token)
        else:
            el.compute.terminateCompute(compute_id, token)
    info = wait_for(el, compute_id, token, "completed" if what == "finish" else "stopped")
    assert not full
    if what == "finish":
        assert [one["value"] for one in info["result"]] == [7, 7]
        assert el.compute.execute(compute_id, lambda params: 8, token) == [8, 8]


def test_lines_that_a_full_disk_refuses_are_counted_and_the_others_whole(tmp_path) -> None:
    class Disk(io.FileIO):
        room = 150

        def write(self, data):
            if len(data) > self.room:
                super().write(bytes(data)[: self.room])
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= len(data)
            return super().write(data)

    with Disk(tmp_path / "log", "a") as disk:
        recorder, source = Recorder(disk, clock=0.0), Source()
        recorder.take(source, b"\0node 1 0\nfirst\n")
        for _ in range(2):
            recorder.take(source, b"x" * 100 + b"\ny\n")
        disk.room = 1000
        recorder.take(source, b"last\n")
    texts = [json.loads(line)["text"] for line in (tmp_path / "log").read_text().splitlines()]
    assert texts[0] == "first"
    assert sorted(texts[1:]) == ["last", "… 4 lines before the last ones could not be written"]
