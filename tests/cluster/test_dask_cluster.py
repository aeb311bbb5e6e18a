"""A Dask cluster as the engine: what its results, logs and files are, and what is said of machines that do not fit."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

pytest.importorskip("distributed")

from typer.testing import CliRunner

from ellipsis_local import emulator as emulator_module
from ellipsis_local.cli.app import app
from ellipsis_local.cluster import DaskEngine, transfer
from ellipsis_local.cluster.link import PROBE, Link, check_probe
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import EngineError, EnvironmentBuildError, NodeError
from ellipsis_local.node_program.ellipsis_node.records import Command
from ellipsis_local.nodes import NodeEnvironment, NodeOutcome, Program
from ellipsis_local.settings import read_settings

from ..conftest import ROOT
from ..integration.conftest import INTERPRETER
from ..integration.test_engine_contract import described
from .test_lost_machines import lines, noted, place_in, until


@pytest.fixture
def apart(el: ModuleType, home: Path, cluster: Any) -> Iterator[Callable[..., None]]:
    """Let the public functions run nodes on machines that see none of the caller's files."""
    with contextlib.ExitStack() as stack:

        def use(**settings: Any) -> None:
            engine = DaskEngine(cluster, share=False)
            stack.callback(engine.close)
            given = {"home": home, "progress": False, **settings}
            emulator_module.use(Emulator(read_settings(given, {}), engine=engine))

        yield use
        emulator_module.use(None)


def statistics(params):
    import random

    found = {}
    for key, value in sorted(params.items()):
        if isinstance(value, dict) and "raster" in value:
            found[key] = value["raster"].tolist(), value["extent"], value["crs"]
        elif hasattr(value, "geometry"):
            found[key] = value.to_wkt().to_csv()
        else:
            found[key] = value.read().decode()
    print("drew", random.random())
    return {"drawn": random.random(), "parts": found}


def as_file(params):
    print("makes a file")
    return b"abcdefgh" * 3_000_000


def fails_on_one(params):
    value = next(value for value in params.values() if isinstance(value, dict))
    with open("note.txt", "w") as file:  # noqa: PTH123
        file.write("left behind")
    assert value["extent"]["xMin"] > 500_000 or value["extent"]["yMax"] < 6_000_000


@pytest.mark.slow
def test_the_main_job_on_machines_that_share_nothing(
    el: ModuleType, token: str, home: Path, apart: Callable[..., None], raster: dict, points: dict, create: Callable[..., str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "weights.bin").write_bytes(b"weights")
    file = el.path.file.add(token, str(tmp_path / "weights.bin"))["id"]

    def results() -> list[Any]:
        compute_id = create([raster, points], nodes=3, files=[file])
        return el.compute.execute(compute_id, statistics, token)

    el.configure(seed=4)
    here = results()
    sent: list[str] = []
    bring = transfer.bring

    async def counting(link, machine, files):
        sent.extend(await link.ask(machine.address, "lacking", list(files)))
        await bring(link, machine, files)

    monkeypatch.setattr("ellipsis_local.cluster.dask_engine.bring", counting)
    apart(seed=4)
    there = results()
    assert sent and len(sent) <= 2 * (3 * 2 + 1)
    assert there == here
    sent.clear()
    large = create([raster, points], nodes=3, files=[file], largeResult=True)
    assert sent == []
    folder = home / "computes" / large
    urls = el.compute.execute(large, as_file, token)
    files = [folder / "results" / url.rpartition("/")[2] for url in urls]
    assert [(path.stat().st_size, path.read_bytes()[:3]) for path in files] == [(24_000_000, b"abc")] * 3
    with pytest.raises(NodeError, match="AssertionError"):
        el.compute.execute(large, fails_on_one, token)
    nodes = el.compute.getComputeInfo(large, token)["nodes"]
    assert len({node["machine"] for node in nodes}) == 2
    assert all("(tcp://127.0.0.1:" in node["machine"] for node in nodes)
    for node in nodes:
        left = folder / "kept" / str(node["node"]) / "left" / "note.txt"
        assert left.exists() is (node["state"] == "failed")
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert sorted((line["execution"], line["node"]) for line in logged) == [(1, 0), (1, 1), (1, 2)]


def test_workers_that_only_the_scheduler_reaches(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(self: Link, address: str) -> bool:
        return False

    monkeypatch.setattr(Link, "_is_reachable", unreachable)
    engine = DaskEngine(cluster, share=False)
    with contextlib.closing(engine):
        machines = engine.link.run(engine.link.machines())
        assert {machine.address for machine in machines} == engine.link._relayed
        data = bytes(range(256)) * 100_000
        (tmp_path / "file").write_bytes(data)
        name = f"{tmp_path.name}-{time.time_ns()}/file"
        engine.link.run(transfer.bring(engine.link, machines[0], {name: tmp_path / "file"}))
        assert engine.link.run(engine.link.ask(machines[0].address, "lacking", [name])) == []


def test_two_callers_share_the_threads_and_nothing_else(cluster: Any, tmp_path: Path) -> None:
    engines = [DaskEngine(cluster.scheduler_address) for _ in range(2)]
    folders = [tmp_path / name for name in ("first", "second")]
    pools, threads = [], []
    found: list[list[NodeOutcome]] = [[], []]
    errors: list[BaseException] = []
    try:
        for engine, folder, outcomes in zip(engines, folders, found, strict=True):
            folder.mkdir()
            pools.append(engine.start(Program("compute", 6), lambda: (), place_in(folder)))
            command = Command(1, described(noted(folder)), False)

            def run(pool=pools[-1], command=command, outcomes=outcomes) -> None:
                try:
                    pool.execute(command, outcomes.append)
                except EngineError as error:
                    errors.append(error)

            threads.append(threading.Thread(target=run))
        threads[0].start()
        until(lambda: len(lines(folders[0])) == 4)
        threads[1].start()
        hosts = {psutil.Process(int(line[1])) for line in lines(folders[0])}
        assert lines(folders[1]) == []
        begun = time.monotonic()
        pools[0].close()
        until(lambda: not any(host.is_running() for host in hosts))
        assert time.monotonic() - begun < 2
        until(lambda: len(lines(folders[1])) == 4)
        (folders[1] / "go").touch()
        threads[1].join(30)
        assert [outcome.state for outcome in found[1]] == ["completed"] * 6
        assert found[0] == [] and [str(error) for error in errors] == ["the nodes were ended"]
    finally:
        for folder in folders:
            (folder / "go").touch()
        for pool in pools:
            pool.close()
        for thread in threads:
            thread.join()
        for engine in engines:
            engine.close()


def test_a_node_over_its_memory_leaves_the_others_alive(cluster: Any, tmp_path: Path) -> None:
    def f(params):
        import os

        return len(bytearray(10**9)) if os.getcwd().endswith("-1") else 1

    with contextlib.closing(DaskEngine(cluster)) as engine:
        pool = engine.start(Program("compute", 4, memory=3 * 10**8), lambda: (), place_in(tmp_path))
        found: list[NodeOutcome] = []
        pool.execute(Command(1, described(f), False), found.append)
        pool.close()
    assert {outcome.node: outcome.kind for outcome in found} == {0: None, 1: "memory", 2: None, 3: None}


def test_what_nodes_must_not_reach_is_closed_on_every_machine(cluster: Any, tmp_path: Path) -> None:
    def f(params):
        import socket

        socket.getaddrinfo("service.example.org", 443)

    with contextlib.closing(DaskEngine(cluster)) as engine:
        pool = engine.start(Program("compute", 2, closed=("example.org",)), lambda: (), place_in(tmp_path))
        found: list[NodeOutcome] = []
        pool.execute(Command(1, described(f), False), found.append)
        pool.close()
    assert all("RealServiceError" in outcome.text for outcome in found)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"there": False, "version": None}, "worker w on h has no ellipsis_local, and this process has version"),
        ({"version": "0.0.1"}, r"worker w on h has ellipsis_local 0.0.1, and this process .*pip install"),
        ({"python": (3, 9, 1)}, r"worker w on h runs Python 3.9, and this process 3\..*start it with Python 3"),
    ],
)
def test_a_machine_that_does_not_fit_is_told_of_by_name(change: dict[str, Any], text: str) -> None:
    own = {**eval(PROBE), "host": "h"}
    check_probe("worker w", own)
    with pytest.raises(EngineError, match=text):
        check_probe("worker w", own | change)


def test_a_machine_that_cannot_build_says_so_by_name(cluster: Any, tmp_path: Path) -> None:
    environment = NodeEnvironment(INTERPRETER, (), {"no-such-package-at-all": "1.0"})
    with (
        contextlib.closing(DaskEngine(cluster, share=False)) as engine,
        pytest.raises(EnvironmentBuildError, match=r"worker .* \(tcp://.*no-such-package-at-all") as caught,
    ):
        engine.start(Program("compute", 2, environment), lambda: (), place_in(tmp_path))
    assert caught.value.exit_code


def test_a_scheduler_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ellipsis_local.cluster.link.CONNECT_SECONDS", 0.2)
    with pytest.raises(EngineError, match="the scheduler tcp://127.0.0.1:9 cannot be reached: .*dask scheduler"):
        DaskEngine("tcp://127.0.0.1:9").start(Program("compute", 2), lambda: (), place_in(tmp_path))


def test_nothing_imports_distributed_before_it_is_asked_for(home: Path) -> None:
    script = """
import sys
import ellipsis_local as el
el.configure(home=sys.argv[1], inline=True, progress=False)
token = el.account.logIn("demo_user", "demo_user")
file = el.path.file.add(filePath=sys.argv[2], token=token)
made = el.compute.createCompute(files=[file["id"]], layers=[], token=token, nodes=1)
print(el.compute.execute(made["id"], lambda params: 1, token), {"dask", "distributed"} & {*sys.modules})
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(home), __file__], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "[1] set()\n", done.stderr


def test_doctor_tells_of_a_cluster(cluster: Any, home: Path) -> None:
    command = ["--home", str(home), "doctor", "--offline", "--scheduler", cluster.scheduler_address, "--json"]
    checks = json.loads(CliRunner().invoke(app, command).stdout)["checks"]
    (found,) = (check for check in checks if check["name"] == "cluster")
    assert found["text"].startswith("2 workers with 4 threads")
    assert all(INTERPRETER in machine["interpreters"] for machine in found["details"]["machines"])
