"""The same functions on real nodes and in the calling process: the same results, errors and logs."""

from __future__ import annotations

import json
import re
import sys
import threading
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import psutil
import pytest
from affine import Affine

from ellipsis_local import emulator as emulator_module
from ellipsis_local.computes.specification import ComputeRequest
from ellipsis_local.emulator import Emulator
from ellipsis_local.environments import Environments
from ellipsis_local.errors import EllipsisLocalError, EnvironmentWarning, FidelityError, FidelityWarning, SettingsError
from ellipsis_local.node_program.ellipsis_node.values import decode
from ellipsis_local.nodes import InlineEngine, LocalEngine, Sent
from ellipsis_local.settings import Settings

RUNNING = f"python3.{sys.version_info[1]}"
RASTER = "00000000-0000-4000-8000-000000000001"
POINTS = "00000000-0000-4000-8000-000000000002"
FILE = "00000000-0000-4000-8000-000000000003"
OUTSIDE = 5


# --- small results: what the functions do is what tests of users' functions depend on ---------------------------------


def everything(params):
    import numpy as np
    from shapely.geometry import Point

    found = {}
    for key, value in params.items():
        if isinstance(value, dict):
            found[key] = {**value, "transform": tuple(value["transform"]), "writeable": value["raster"].flags.writeable}
        elif hasattr(value, "columns"):
            found[key] = (value, value["vector"].crs.to_epsg(), type(value).__name__, list(value.columns))
        else:
            found[key] = value.read()
    return found, np.float32(1.5), np.datetime64("2024-01-01"), Point(1, 2), None, [1, (2,)], {"a": (3,)}


def writes_into_its_values(params):
    found = []
    for value in params.values():
        if isinstance(value, dict):
            found.append(int(value["raster"].sum()))
            value["raster"][:] = 0
            value["extent"]["xMin"] = None
        elif hasattr(value, "columns"):
            found.append([sorted(value["tags"].iloc[0]), int(value["number"].sum())])
            value["tags"].iloc[0].append("written")
            value["number"] = 0
    return found


def undefined_name(params):
    return len(params) + not_there  # noqa: F821


def name_of_its_module(params):
    return OUTSIDE


def raises(params):
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("it cannot be – at all") from error


class Own(Exception):
    pass


def raises_own(params):
    class Local(Exception):
        """Defined where it is raised."""

    def deeper(number):
        if number:
            deeper(number - 1)
        raise Local({"a": 1})

    deeper(3)


def exits(params):
    import sys

    sys.exit("with a text")


def interrupts(params):
    raise KeyboardInterrupt


def needs_memory(params):
    return bytearray(10**15)


def raises_oserror(params):
    from pathlib import Path

    Path("/nowhere/at/all").read_bytes()


def returns_object(params):
    return {"inner": [1, object()]}


def too_large(params):
    return "x" * 2_100_000


def just_small_enough(params):
    return "x" * 1_990_000


def memory_file_of_a_small_result(params):
    import io

    return io.BytesIO(b"x")


def bytes_of_a_small_result(params):
    return b"bytes"


def place(params):
    import sys
    import tempfile
    from pathlib import Path

    # The nodes of a compute share the folder.
    with tempfile.NamedTemporaryFile(dir=".") as file:
        there = Path(Path(file.name).name).exists()
    names = sorted(name for name in globals() if not name.startswith("__"))
    return Path.cwd().name, there, sys.stdin.read(), __name__, names


def asks(params):
    return input("a question")


def prints(params):
    import logging
    import sys
    import warnings

    print("plain", end="")
    print(" line\ntwo")
    sys.stdout.write("ä \udcff\n")
    sys.stdout.buffer.write(b"bytes \xff\n")
    sys.stdout.flush()
    print("error", file=sys.stderr)
    logging.getLogger("a.b").info("logged %d", 1)
    logging.debug("not logged")
    logging.warning("of the root\nin two lines")
    warnings.warn("not shown", stacklevel=1)
    print()
    print("no break at the end", end="")


def prints_much(params):
    for number in range(30_000):
        print(f"{number:0100d}")


def logs_and_fails(params):
    import logging

    print("before")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.exception("caught")
    raise RuntimeError("after")


def configures_logging(params):
    import logging

    logging.basicConfig(level=logging.DEBUG, force=True, format="own %(message)s")
    logging.debug("by its own rules")


def defaults_and_annotations(params: dict[str, NotDefined], more=(1, 2)) -> Nothing:  # noqa: F821
    """With a docstring

    of several lines.
    """
    text = """
    of a literal
    """
    return text.strip(), more


SMALL = [
    everything, writes_into_its_values, writes_into_its_values, undefined_name, name_of_its_module, raises, raises_own,
    exits, interrupts, needs_memory, raises_oserror, returns_object, too_large, just_small_enough,
    memory_file_of_a_small_result, bytes_of_a_small_result, place, asks, prints, logs_and_fails,
    configures_logging, defaults_and_annotations, lambda params: len(params),
    Sent("def userFunction(params):\n def f(params):\n    print('sent')\n    return len(params)/0\n return f(params)"),
    Sent("def userFunction(params):\n  x = len(params)\n  return x + nothing\n"),
    prints_much,
]  # fmt: skip


# --- large results ----------------------------------------------------------------------------------------------------


def memory_file(params):
    import io

    import rasterio

    value = next(value for value in params.values() if isinstance(value, dict))
    raster, file = value["raster"], io.BytesIO()
    profile = {"driver": "GTiff", "count": len(raster), "height": raster.shape[1], "width": raster.shape[2]}
    with rasterio.open(
        file, "w", dtype=raster.dtype, crs=value["crs"], transform=value["transform"], **profile
    ) as sink:
        sink.write(raster)
    return file


def rasterio_memory_file(params):
    from rasterio.io import MemoryFile

    return MemoryFile(b"some bytes")


def not_a_file(params):
    return {"a": 1}


LARGE = [memory_file, rasterio_memory_file, bytes_of_a_small_result, not_a_file, exits]


# --- both -------------------------------------------------------------------------------------------------------------


class Ended(NamedTuple):
    """What is told of one execution."""

    error: str | None
    told: list[str]
    nodes: list[Any]
    log: dict[int, list[str]]
    files: list[bytes]


def told(text: str, compute_id: str) -> str:
    """A text without its compute, and without the limit that only nodes of their own have unless one is set."""
    return re.sub(r"it asked for more than [\d,]+ bytes, its share [^\n]*\n", "", text.replace(compute_id, "ID"))


def outcome(emulator: Emulator, user: Any, compute_id: str, f: Any) -> Ended:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            emulator.execute_compute(compute_id, f, user, wait=True)
            error = None
        except EllipsisLocalError as raised:
            error = told(f"{type(raised).__name__}: {raised}", compute_id)
    folder = emulator.home.compute(compute_id)
    nodes = [node.outcome for node in emulator.computes.records.nodes(compute_id)]
    record = emulator.computes.records.get(compute_id)
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log: dict[int, list[str]] = {}
    for line in logged:
        if line["execution"] == record.executions:
            log.setdefault(line["node"], []).append(line["text"])
    return Ended(
        error,
        sorted(str(one.message) for one in caught),
        [(o.node, o.state, o.kind, o.size, told(o.text, compute_id), o.payload) for o in nodes if o],
        log,
        [(folder / "results" / o.file).read_bytes() for o in nodes if o and o.file],
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> dict[Any, tuple[Ended, Ended]]:
    """Every function, in the calling process and on real nodes, on the same cut of the same layers."""
    home = tmp_path_factory.mktemp("both") / "home"
    found: dict[Any, list[Ended]] = {}
    for inline in (True, False):
        settings = Settings(home=home, inline=inline, environments=shared_environments, progress=False, cores=2)
        with Emulator(settings) as emulator:
            user = emulator.user("somebody")
            if inline:
                add_layers(emulator)
            for large, functions in ((False, SMALL), (True, LARGE)):
                request = ComputeRequest(((RASTER, RASTER), (POINTS, POINTS)), (FILE,), 2, RUNNING, large_result=large)
                compute_id = emulator.create_compute(request, user, wait=True)
                for number, f in enumerate(functions):
                    found.setdefault((large, number), []).append(outcome(emulator, user, compute_id, f))
                emulator.computes.terminate(compute_id, None, wait=True)
    return {key: (one, other) for key, (one, other) in found.items()}


def add_layers(emulator: Emulator) -> None:
    array = np.stack([np.arange(2400, dtype="uint16").reshape(40, 60), np.full((40, 60), 7, "uint16")])
    source = {"raster": array, "transform": Affine(10, 0, 500_000, 0, -10, 6_000_000), "crs": "EPSG:3857"}
    emulator.store.add(source, path_id=RASTER, timestamp_id=RASTER)
    rng = np.random.default_rng(1)
    geometry = gpd.points_from_xy(500_000 + rng.uniform(0, 600, 50), 6_000_000 - rng.uniform(0, 400, 50))
    columns = {"number": np.arange(50), "tags": [["a", f"t{i}"] for i in range(50)]}
    emulator.store.add(gpd.GeoDataFrame(columns, geometry=geometry, crs=3857), path_id=POINTS, timestamp_id=POINTS)
    emulator.store.add_plain_file(b"of a file", name="model.bin", path_id=FILE)


def name_of(f: Any) -> str:
    return getattr(f, "__name__", "sent")


@pytest.mark.parametrize("number", range(len(SMALL)), ids=[f"{i}-{name_of(f)}" for i, f in enumerate(SMALL)])
def test_small_results(both: dict[Any, tuple[Ended, Ended]], number: int) -> None:
    inline, real = both[False, number]
    assert inline == real
    assert len(inline.nodes) == 2


@pytest.mark.parametrize("number", range(len(LARGE)), ids=[name_of(f) for f in LARGE])
def test_large_results(both: dict[Any, tuple[Ended, Ended]], number: int) -> None:
    inline, real = both[True, number]
    assert inline == real
    assert len(inline.nodes) == 2


def test_what_they_tell_is_what_happened(both: dict[Any, tuple[Ended, Ended]]) -> None:
    """Two that are the same could be so because neither did anything."""
    told = {(large, name_of((LARGE if large else SMALL)[number])): one for (large, number), (one, _) in both.items()}
    kinds = {name: {node[2] for node in ended.nodes} for (_, name), ended in told.items()}
    assert kinds["undefined_name"] == kinds["raises"] == kinds["exits"] == kinds["interrupts"] == {"exception"}
    assert kinds["returns_object"] == kinds["too_large"] == kinds["not_a_file"] == {"result"}
    assert kinds["needs_memory"] == {"memory"}
    assert kinds["everything"] == {None}
    assert kinds["just_small_enough"] == {None}
    assert kinds["place"] == {None}
    assert "NameError: name 'not_there' is not defined" in told[False, "undefined_name"].nodes[0][4]
    assert f'File "{__file__}", line ' in told[False, "raises"].nodes[0][4]
    folder, *place = decode(told[False, "place"].nodes[0][5])
    assert re.fullmatch(r"\d+-0", folder)
    assert place == [True, "", "userFunction", ["userFunction"]]
    first = decode(told[False, "everything"].nodes[0][5])[0]
    assert {key: type(value).__name__ for key, value in first.items()} == {
        RASTER: "dict",
        POINTS: "tuple",
        FILE: "bytes",
    }
    pristine = [ended for (large, i), (ended, _) in both.items() if not large and SMALL[i] is writes_into_its_values]
    assert pristine[0].nodes == pristine[1].nodes
    log = told[False, "prints"].log
    assert log[0] == log[1]
    assert log[0][:2] == ["plain line", "two"]
    assert "INFO a.b: logged 1" in log[0]
    assert not any("not" in line for line in log[0])
    assert len(told[False, "prints_much"].log[1]) < 30_000
    assert "more bytes of this node's output were not kept" in told[False, "prints_much"].log[1][-1]
    assert [len(ended.files) for (large, _), (ended, _) in both.items() if large] == [2, 2, 2, 0, 0]


# --- through the public functions -------------------------------------------------------------------------------------


def shape(params):
    return [list(value["raster"].shape) for value in params.values()]


def slow(params):
    import time

    time.sleep(0.05)
    return 1


@pytest.fixture
def el_inline(el: ModuleType) -> ModuleType:
    el.configure(inline=True)
    return el


def test_the_life_of_a_compute(el_inline: ModuleType, token: str, raster: dict[str, str]) -> None:
    el = el_inline
    built = {info.key for info in Environments(emulator_module.current_emulator().home).list()}
    arguments = {"layers": [raster], "token": token, "nodes": 3, "interpreter": RUNNING, "requirements": ["numpy"]}
    compute_id = el.compute.createCompute(**arguments)["id"]
    info = el.compute.getComputeInfo(compute_id, token)
    assert (info["status"], info["interpreter"], info["requirements"]) == ("available", RUNNING, ["numpy"])
    assert sorted(shapes[0] for shapes in el.compute.execute(compute_id, shape, token)) == [[2, 13, 60]] * 2 + [
        [2, 14, 60]
    ]
    info = el.compute.getComputeInfo(compute_id, token)
    assert [node["state"] for node in info["nodes"]] == ["completed"] * 3
    assert all(node["extent"] and node["seconds"] < 10 for node in info["nodes"])
    el.compute.terminateCompute(compute_id, token)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"
    assert psutil.Process().children() == []
    assert {info.key for info in Environments(emulator_module.current_emulator().home).list()} == built


def test_without_waiting_all_is_done_on_return(el_inline: ModuleType, token: str, raster: dict[str, str]) -> None:
    """The function's place is the main thread, where the caller is."""
    el, before = el_inline, threading.active_count()
    compute_id = el.compute.createCompute(layers=[raster], token=token, nodes=2, awaitTillStarted=False)["id"]
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "available"
    el.compute.execute(compute_id, slow, token, awaitTillCompleted=False)
    info = el.compute.getComputeInfo(compute_id, token)
    assert (info["status"], [one["value"] for one in info["result"]]) == ("completed", [1, 1])
    # A failure is in the record, and nowhere else.
    el.compute.execute(compute_id, raises, token, awaitTillCompleted=False)
    assert [one["type"] for one in el.compute.getComputeInfo(compute_id, token)["result"]] == ["exception"] * 2
    el.compute.terminateCompute(compute_id, token, awaitTillTerminated=False)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"
    assert threading.active_count() <= before + 1


def test_real_nodes_go_on_with_a_compute_made_inline(el_inline: ModuleType, token: str, raster: dict[str, str]) -> None:
    """What is asked for is in the record, so that another process, or this one later, makes the environment."""
    el = el_inline
    compute_id = el.compute.createCompute(layers=[raster], token=token, nodes=2, interpreter=RUNNING)["id"]
    inline = el.compute.execute(compute_id, shape, token)
    el.configure(inline=False)
    assert el.compute.execute(compute_id, shape, token) == inline
    assert len(psutil.Process().children()) == 1
    el.configure(inline=True)
    assert el.compute.execute(compute_id, shape, token) == inline
    assert psutil.Process().children() == []
    el.compute.terminateCompute(compute_id, token)


def test_results_go_into_a_layer(el_inline: ModuleType, token: str, raster: dict[str, str]) -> None:
    el = el_inline
    layer = el.path.raster.add("out", token)["id"]
    timestamp = el.path.raster.timestamp.add(layer, token)["id"]
    compute_id = el.compute.createCompute(layers=[raster], token=token, nodes=2)["id"]
    target = {"pathId": layer, "timestampId": timestamp, "file": {"format": "tif"}}
    el.compute.execute(compute_id, memory_file, token, writeToLayer=target)
    assert len(emulator_module.current_emulator().store.timestamp(layer, timestamp).files) == 2
    el.compute.terminateCompute(compute_id, token)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"requirements": ["numpy<1"]}, "the requirement 'numpy<1' is not met"),
        ({"interpreter": "python3.9" if sys.version_info[1] != 9 else "python3.10"}, "they run with"),
    ],
)
def test_what_this_process_does_not_have(
    el_inline: ModuleType, token: str, raster: dict[str, str], arguments: dict[str, Any], text: str
) -> None:
    given = {"layers": [raster], "token": token, "nodes": 1, **arguments}
    with pytest.warns(FidelityWarning, match=text):
        compute_id = el_inline.compute.createCompute(**given)["id"]
    assert el_inline.compute.execute(compute_id, shape, token) == [[[2, 40, 60]]]
    el_inline.configure(strict=True)
    with pytest.raises(FidelityError, match=text):
        el_inline.compute.createCompute(**given)


def test_what_cannot_be_had(el_inline: ModuleType, token: str, raster: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="node_timeout cannot be kept with inline=True"):
        el_inline.configure(node_timeout=5)
    with pytest.warns(EnvironmentWarning, match="enableGpu=True, and nodes in the calling process"):
        el_inline.compute.createCompute(layers=[raster], token=token, nodes=1, enableGpu=True)
    with pytest.raises(ValueError, match="interpreter must be one of"):
        el_inline.compute.createCompute(layers=[raster], token=token, nodes=1, interpreter="python2.7")
    with pytest.raises(ValueError, match="requirements"):
        el_inline.compute.createCompute(layers=[raster], token=token, nodes=1, requirements=["--index-url x"])
    assert el_inline.compute.listComputes(token)["result"][0]["status"] == "available"


def test_an_engine_that_is_given_wins(home: Path) -> None:
    class Counting(InlineEngine):
        capabilities = LocalEngine().capabilities

    with Emulator(Settings(home=home, inline=True, progress=False), engine=Counting()) as emulator:
        assert isinstance(emulator.computes._engine.engine, Counting)
        # It does not run in this process, as far as it says: environments are its own.
        assert emulator.computes._environments is emulator.environments
    with Emulator(Settings(home=home, inline=True, progress=False)) as emulator:
        assert isinstance(emulator.computes._engine.engine, InlineEngine)
    with Emulator(Settings(home=home, progress=False)) as emulator:
        assert isinstance(emulator.computes._engine.engine, LocalEngine)


def test_an_import_that_only_this_process_has(
    el_inline: ModuleType, token: str, raster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works here, where the module stands beside the script; the warning tells that the service has it not."""
    (tmp_path / "beside_the_script.py").write_text("VALUE = 3\n")
    script = tmp_path / "their_script.py"
    code = "def f(params):\n    import beside_the_script\n    import pandas\n\n    return beside_the_script.VALUE\n"
    script.write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import their_script

    compute_id = el_inline.compute.createCompute(layers=[raster], token=token, nodes=1)["id"]
    with pytest.warns(FidelityWarning, match="it imports beside_the_script, which stands beside the script") as told:
        assert el_inline.compute.execute(compute_id, their_script.f, token) == [3]
    # pandas comes with geopandas, as it does in an environment.
    assert not [one for one in told if "pandas" in str(one.message)]
