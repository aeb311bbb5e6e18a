"""What every engine does, whichever it is; another one is held against this by one more parameter."""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ellipsis_local.errors import EngineError, FidelityWarning
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeFile, NodeFunction, RasterPart
from ellipsis_local.node_program.ellipsis_node.values import decode
from ellipsis_local.nodes import Engine, InlineEngine, LocalEngine, NodeOutcome, Place, Pool, Program, describe_function

ENGINES = ("local", "inline", "dask")
RASTER = "00000000-0000-4000-8000-000000000001"
FILE = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def engine_of(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Engine]]:
    """An engine by its name."""
    made: list[Any] = []

    def make(name: str) -> Engine:
        if name != "dask":
            return LocalEngine() if name == "local" else InlineEngine()
        cluster = request.getfixturevalue("cluster")
        from ellipsis_local.cluster import DaskEngine

        made.append(DaskEngine(cluster))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, engine_of: Callable[[str], Engine]) -> Engine:
    return engine_of(request.param)


def place_in(folder: Path, compute: str = "compute") -> Place:
    return Place(folder / compute, Path(sys.executable), folder, {"content of weights": folder / "weights"})


@pytest.fixture
def start(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    """Start a pool of so many nodes, each with a raster of its own number and one file."""
    pools: list[Pool] = []
    (tmp_path / "weights").write_bytes(b"12")

    def part(node: int) -> RasterPart:
        (tmp_path / "key").mkdir(exist_ok=True)
        np.save(tmp_path / "key" / f"{node}.npy", np.full((1, 2, 3), node, "uint8"))
        extent = {"xMin": 0, "xMax": 3, "yMin": -2, "yMax": 0}
        name = f"key/{node}.npy"
        return RasterPart(name, "|u1", (1, 2, 3), 128, (1, 0, 0, 0, -1, 0), extent, "EPSG:3857", None, RASTER)

    def make(nodes: int = 3, **given: Any) -> Pool:
        program = Program("a compute", nodes, cores=2, files=(NodeFile(FILE, "content of weights"),), **given)
        place = place_in(tmp_path, f"compute{len(pools)}")
        pools.append(engine.start(program, lambda: tuple((part(node),) for node in range(nodes)), place))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
        assert not pool.alive


def described(f: Callable[..., Any]) -> NodeFunction:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FidelityWarning)
        return describe_function(f, sys.version_info[:3], strict=False)


def outcomes(pool: Pool, f: Callable[..., Any], number: int = 1, *, large: bool = False) -> list[NodeOutcome]:
    """In the order of the nodes, each exactly once."""
    found: list[NodeOutcome] = []
    pool.execute(Command(number, described(f), large), found.append)
    found.sort(key=lambda outcome: outcome.node)
    assert [outcome.node for outcome in found] == list(range(len(found)))
    return found


def values(pool: Pool, f: Callable[..., Any], number: int = 1) -> list[Any]:
    return [decode(outcome.payload) for outcome in outcomes(pool, f, number)]


def test_every_node_runs_once_on_its_own_part_and_the_files(start) -> None:
    def f(params):
        raster, file = params["00000000-0000-4000-8000-000000000001"], params["00000000-0000-4000-8000-000000000002"]
        raster["raster"] += 1
        return raster["raster"].max(), raster["raster"].shape, file.read()

    pool = start(5)
    for number in (1, 2):
        assert values(pool, f, number) == [(node + 1, (1, 2, 3), b"12") for node in range(5)]
    assert pool.alive


def test_what_goes_wrong_is_told_by_its_kind_and_the_other_nodes_go_on(start) -> None:
    def f(params):
        import sys

        node = int(params["00000000-0000-4000-8000-000000000001"]["raster"].max())
        if node == 0:
            raise ValueError("of the function")
        if node == 1:
            return object()
        if node == 2:
            sys.exit(3)
        if node == 3:
            raise MemoryError
        if node == 4:
            return "x" * 2_000_001
        return node

    found = outcomes(start(6), f)
    kinds = ["exception", "result", "exception", "memory", "result", None]
    assert [outcome.kind for outcome in found] == kinds
    assert [outcome.state for outcome in found] == ["failed"] * 5 + ["completed"]
    assert found[0].text.endswith("ValueError: of the function")
    assert f'File "{__file__}", line ' in found[0].text
    assert found[1].text.startswith("result is of type builtins.object")


def test_a_large_result_is_in_its_place_when_it_is_told(start, tmp_path: Path) -> None:
    def f(params):
        return b"of a node"

    pool, found = start(3), []

    def read(outcome: NodeOutcome) -> None:
        found.append((tmp_path / "compute0" / "results" / str(outcome.file)).read_bytes())

    pool.execute(Command(1, described(f), True), read)
    assert found == [b"of a node"] * 3


def test_what_nodes_print_is_in_the_log_with_their_numbers(start, tmp_path: Path) -> None:
    def f(params):
        print("node", params["00000000-0000-4000-8000-000000000001"]["raster"].max())

    outcomes(start(4), f, 7)
    lines = [json.loads(line) for line in (tmp_path / "compute0" / "log.jsonl").read_text().splitlines()]
    assert sorted((line["execution"], line["node"], line["text"]) for line in lines) == [
        (7, node, f"node {node}") for node in range(4)
    ]


def test_a_node_that_runs_is_told_before_it_ends(start, tmp_path: Path) -> None:
    go = str(tmp_path / "compute0" / "go")

    def f(params):
        import os
        import time

        while not os.path.exists(go):  # noqa: PTH110
            time.sleep(0.005)

    pool, told = start(2), []

    def started(node: int) -> None:
        told.append(("started", node))
        (tmp_path / "compute0" / "go").touch()

    def ended(outcome: NodeOutcome) -> None:
        told.append(("ended", outcome.node))

    pool.execute(Command(1, described(f), False), ended, started)
    first = told[0][1]
    assert told.index(("started", first)) < told.index(("ended", first))
    assert sorted(one for one in told if one[0] == "ended") == [("ended", 0), ("ended", 1)]


def test_a_seed_decides_what_is_drawn(start) -> None:
    def f(params):
        import random

        import numpy

        return random.random(), float(numpy.random.random())

    first = values(start(3, seed=5), f)
    assert values(start(3, seed=5), f) == first
    assert len(set(first)) == 3
    assert values(start(3, seed=6), f) != first


def test_a_pool_that_was_closed_runs_nothing(start) -> None:
    def f(params):
        return 1

    pool = start()
    assert values(pool, f) == [1, 1, 1]
    pool.close()
    pool.close()
    assert not pool.alive
    with pytest.raises(EngineError, match="the nodes were ended"):
        outcomes(pool, f)


def test_closing_from_another_thread_ends_an_execution(start, tmp_path: Path) -> None:
    folder = str(tmp_path / "compute0")

    def f(params):
        import os
        import time

        open(os.path.join(folder, "runs"), "w").close()  # noqa: PTH118, PTH123
        while not os.path.exists(os.path.join(folder, "closed")):  # noqa: PTH110, PTH118
            time.sleep(0.005)

    pool = start(4)

    def close() -> None:
        while not Path(folder, "runs").exists():
            time.sleep(0.005)
        pool.close()
        Path(folder, "closed").touch()

    thread = threading.Thread(target=close)
    thread.start()
    try:
        with pytest.raises(EngineError, match="the nodes were ended"):
            outcomes(pool, f)
    finally:
        thread.join()
    assert not pool.alive


def test_parts_that_cannot_be_had_leave_nothing(engine: Engine, tmp_path: Path) -> None:
    def parts() -> Any:
        raise OSError("the cut failed")

    with pytest.raises(OSError, match="the cut failed"):
        engine.start(Program("c", 2, cores=2), parts, place_in(tmp_path))


def test_limits_are_kept_or_refused(engine: Engine, start) -> None:
    def f(params):
        import time

        time.sleep(600)

    if not engine.capabilities.limits:
        for limit in ({"timeout": 1.0}, {"memory": 10**9}):
            with pytest.raises(EngineError, match="cannot be kept"):
                start(**limit)
        return
    found = outcomes(start(3, timeout=0.3), f)
    assert [outcome.kind for outcome in found] == ["timeout"] * 3
    assert "node_timeout=0.3" in found[0].text


def test_what_an_engine_offers_is_what_it_does(engine: Engine, start) -> None:
    def f(params):
        import os

        return os.getpid()

    import os

    offers = engine.capabilities
    assert all(isinstance(gpu, str) for gpu in offers.gpus())
    assert (os.getpid() not in values(start(), f)) is offers.beside


def test_an_interruption_closes_the_pool(start) -> None:
    def f(params):
        return 1

    def interrupt(_: NodeOutcome) -> None:
        raise KeyboardInterrupt

    pool = start()
    with pytest.raises(KeyboardInterrupt):
        pool.execute(Command(1, described(f), False), interrupt)
    assert not pool.alive


def test_all_engines_give_the_same_bytes(tmp_path: Path, engine_of: Callable[[str], Engine]) -> None:
    def f(params):
        import random

        return {"drawn": random.random(), "raster": params["00000000-0000-4000-8000-000000000001"]["raster"]}

    np.save(tmp_path / "0.npy", np.arange(6, dtype="uint8").reshape(1, 2, 3))
    part = RasterPart("0.npy", "|u1", (1, 2, 3), 128, (1, 0, 0, 0, -1, 0), {}, "EPSG:3857", None, RASTER)
    found = []
    for name in ENGINES:
        program = Program("c", 2, cores=2, seed=3)
        pool = engine_of(name).start(program, lambda: ((part,), (part,)), place_in(tmp_path, name))
        found.append([replace(outcome, seconds=0, peak_memory=0, machine=None) for outcome in outcomes(pool, f)])
        pool.close()
    assert found == [found[0]] * len(ENGINES)
