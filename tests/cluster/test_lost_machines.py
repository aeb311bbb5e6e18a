"""Workers, callers and schedulers that are lost: no node runs twice, what was finished is kept, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("distributed")

from ellipsis_local.cluster import DaskEngine
from ellipsis_local.node_program.ellipsis_node.records import Command
from ellipsis_local.nodes import NodeOutcome, Place, Program

from ..conftest import LASTING, ROOT
from ..integration.test_engine_contract import described

INTERPRETER = f"python3.{sys.version_info[1]}"


@pytest.fixture
def restored(cluster: Any) -> Iterator[None]:
    """Wait until a worker that the test kills is there again, and count it to those of the run."""
    yield
    until(lambda: len(cluster.scheduler_info["workers"]) == 2)
    LASTING.update(psutil.Process().children())


@pytest.fixture
def engine(cluster: Any) -> Iterator[DaskEngine]:
    made = DaskEngine(cluster.scheduler_address)
    yield made
    made.close()


def place_in(folder: Path) -> Place:
    return Place(folder / "compute", Path(sys.executable), folder)


def noted(folder: Path) -> Callable[..., Any]:
    """A function that notes in a file that it has begun, with its process, and ends when it may."""
    begun, go = str(folder / "begun"), str(folder / "go")

    def f(params):
        import os
        import time

        with open(begun, "a") as file:  # noqa: PTH123
            file.write(f"{os.getcwd().rpartition('-')[2]} {os.getppid()}\n")
        while not os.path.exists(go):  # noqa: PTH110
            time.sleep(0.01)
        return os.getcwd().rpartition("-")[2]

    return f


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
    return found


def lines(folder: Path) -> list[list[str]]:
    try:
        return [line.split() for line in (folder / "begun").read_text().splitlines()]
    except FileNotFoundError:
        return []


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_only_what_it_had_begun(
    restored: None, engine: DaskEngine, tmp_path: Path
) -> None:
    pool = engine.start(Program("compute", 12), lambda: (), place_in(tmp_path))
    found: list[NodeOutcome] = []
    command = Command(1, described(noted(tmp_path)), False)
    thread = threading.Thread(target=pool.execute, args=(command, found.append))
    try:
        thread.start()
        until(lambda: len(lines(tmp_path)) == 4)
        host = psutil.Process(int(lines(tmp_path)[0][1]))
        mates = [line[0] for line in lines(tmp_path) if int(line[1]) == host.pid]
        os.kill(host.ppid(), signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: len(found) == len(mates))
        assert time.monotonic() - killed < 3
        assert {(outcome.state, outcome.kind) for outcome in found} == {("failed", "died")}
        assert "was lost while it ran" in found[0].text
        (tmp_path / "go").touch()
        thread.join(60)
        assert sorted(outcome.node for outcome in found) == list(range(12))
        assert sorted(str(outcome.node) for outcome in found if outcome.kind == "died") == sorted(mates)
        ran = [line[0] for line in lines(tmp_path)]
        assert len(ran) == len(set(ran)) == 12
        again: list[NodeOutcome] = []
        pool.execute(Command(2, command.function, False), again.append)
        assert [outcome.state for outcome in again] == ["completed"] * 12
    finally:
        (tmp_path / "go").touch()
        pool.close()
        thread.join()


SCRIPT = """
import sys
from pathlib import Path
from ellipsis_local.cluster import DaskEngine, dask_engine
from ellipsis_local.node_program.ellipsis_node.records import Command
from ellipsis_local.nodes import Place, Program
from tests.cluster.test_lost_machines import noted
from tests.integration.test_engine_contract import described

folder, dask_engine.LEASE_SECONDS = Path(sys.argv[2]), 2
pool = DaskEngine(sys.argv[1]).start(Program("compute", 4), lambda: (), Place(folder / "own", Path(sys.executable), folder))
pool.execute(Command(1, described(noted(folder)), False), print)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_caller_that_is_lost_takes_its_nodes_along(cluster: Any, tmp_path: Path, end: signal.Signals) -> None:
    command = [sys.executable, "-c", SCRIPT, cluster.scheduler_address, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as caller:
        try:
            until(lambda: len(lines(tmp_path)) == 4)
            hosts = {psutil.Process(int(line[1])) for line in lines(tmp_path)}
            caller.send_signal(end)
            until(lambda: not any(host.is_running() for host in hosts), 10)
        finally:
            caller.kill()
    assert len(lines(tmp_path)) == 4
