"""What a server does with computes: functions as they come over the wire, on real nodes, and answers that do not wait."""

from __future__ import annotations

import base64
import inspect
import json
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import dill
import pytest

from ellipsis_local import emulator as emulator_module
from ellipsis_local.computes import lifecycle
from ellipsis_local.computes.compute_json import WireAnswers
from ellipsis_local.computes.specification import ComputeRequest
from ellipsis_local.emulator import Emulator, current_emulator
from ellipsis_local.environments import find_interpreters
from ellipsis_local.errors import ArgumentError, EnvironmentWarning, NodeDiedError, NodeError
from ellipsis_local.home import Home
from ellipsis_local.nodes import Sent
from tests.integration.conftest import INTERPRETER

SECONDS = 60


def sent(f: Callable[..., Any]) -> Sent:
    """What client 3.3.12 sends of a function of this module."""
    source = textwrap.dedent(inspect.getsource(f))
    return Sent("def userFunction(params):\n " + source.replace("\n", "\n  ") + f"\n return {f.__name__}(params)")


def pickled(folder: Path, code: str, python: Path | None = None) -> Sent:
    """What client 3.2.9 sends of the `f` of a script, run by this or another Python with this one's dill."""
    beside = folder / "dill-alone"
    if not beside.exists():
        shutil.copytree(Path(dill.__file__).parent, beside / "dill")
    script = folder / "script.py"
    script.write_text(
        "import sys\nsys.path.insert(0, sys.argv[1])\nimport base64, dill\n"
        + textwrap.dedent(code)
        + "\nprint(base64.b64encode(dill.dumps(f)).decode())\n"
    )
    command = [str(python or sys.executable), "-I", str(script), str(beside)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Sent(done.stdout.split()[-1])


class Client:
    """Creates, executes and polls as the server does for a client."""

    def __init__(self, emulator: Emulator, owner: str) -> None:
        self.computes = emulator.computes
        self.owner = owner
        self.answers = WireAnswers(emulator.computes.records)

    def create(self, **arguments: Any) -> str:
        request = ComputeRequest(**({"nodes": 2, "interpreter": INTERPRETER} | arguments))
        return self.computes.create(request, self.owner, wait=False)

    def execute(self, compute_id: str, function: Sent, **arguments: Any) -> None:
        assert self.computes.execute(compute_id, function, self.owner, wait=False, **arguments) is None

    def poll(self, compute_id: str) -> dict[str, Any]:
        listed, _ = self.answers.page(self.owner, None)
        return next(found for found in json.loads(json.dumps(listed)) if found["id"] == compute_id)

    def await_status(self, compute_id: str, *statuses: str) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while (found := self.poll(compute_id))["status"] not in statuses:
            assert time.monotonic() < end, found
            time.sleep(0.01)
        return found

    def results(self, compute_id: str) -> list[dict[str, Any]]:
        """As client 3.3.12 reads them."""
        entries = [entry for node in self.await_status(compute_id, "completed")["result"] for entry in node]
        return [e if e["type"] in ("exception", "upload") else e | {"value": json.loads(e["value"])} for e in entries]

    def old_results(self, compute_id: str) -> list[dict[str, Any]]:
        """As client 3.2.9 reads them."""
        result = self.await_status(compute_id, "completed")["result"]
        return [entry for node in result for entry in dill.loads(base64.b64decode(node))]


@pytest.fixture
def client(el: ModuleType, token: str) -> Client:
    emulator = current_emulator()
    return Client(emulator, emulator.user(token).id)


@pytest.fixture
def weights(el: ModuleType, token: str, tmp_path: Path) -> str:
    (tmp_path / "weights").write_bytes(b"weights")
    return el.path.file.add(token, filePath=str(tmp_path / "weights"))["id"]


@pytest.fixture
def compute_id(client: Client, weights: str) -> str:
    made = client.create(layers=(), files=(weights,))
    client.await_status(made, "available")
    return made


def total(params):
    import numpy

    return float(numpy.sum([len(value.read()) for value in params.values()])), "weights"


def fails(params):
    # A line of its own,
    wrong = {}
    return wrong["key"]  # and this one fails


def uses_outer_names(params):
    return FACTOR * total(params)  # noqa: F821 - what the text does not carry


def returns_a_frame(params):
    import geopandas
    import shapely

    return [1, geopandas.GeoDataFrame(geometry=[shapely.Point(1, 2)])]


def waits(params):
    import time
    from pathlib import Path

    while not Path("../go").exists():
        time.sleep(0.005)
    return "waited"


def test_a_text_is_run_and_its_failures_come_back_as_the_nodes(client: Client, compute_id: str) -> None:
    client.execute(compute_id, sent(total))
    assert client.results(compute_id) == [{"type": "object", "value": [7.0, "weights"]}] * 2
    client.execute(compute_id, sent(fails))
    for node, entry in enumerate(client.results(compute_id)):
        assert entry["type"] == "exception"
        assert entry["value"].startswith(f"node {node} of compute {compute_id} failed: Traceback")
        assert 'File "<function>", line 4, in fails' in entry["value"]
        assert 'return wrong["key"]  # and this one fails' in entry["value"]
        assert entry["value"].endswith("KeyError: 'key'")
        assert "userFunction" not in entry["value"] and "ellipsis_node" not in entry["value"]
    client.execute(compute_id, sent(uses_outer_names))
    assert "NameError: name 'FACTOR' is not defined" in client.results(compute_id)[0]["value"]
    client.execute(compute_id, sent(returns_a_frame))
    assert "result[1] is a GeoDataFrame" in client.results(compute_id)[0]["value"]


def test_what_is_refused_leaves_the_former_results(client: Client, compute_id: str) -> None:
    client.execute(compute_id, sent(total))
    before = client.await_status(compute_id, "completed")
    with pytest.raises(ArgumentError, match="syntax error in line 2 of the function") as caught:
        client.execute(
            compute_id, Sent("def userFunction(params):\n def f(params):\n      return (\n return f(params)")
        )
    assert caught.value.argument == "file"
    assert client.poll(compute_id) == before


def test_former_results_are_gone_when_execute_returns(client: Client, compute_id: str, home: Path) -> None:
    go = home / "computes" / compute_id / "scratch" / "go"
    for number in range(1, 4):
        client.execute(compute_id, sent(waits))
        found = client.poll(compute_id)
        assert (found["status"], found["executions"], "result" in found) == ("executing", number, False)
        assert {node["state"] for node in found["nodes"]} <= {"waiting", "executing"}
        go.touch()
        assert [entry["value"] for entry in client.results(compute_id)] == ["waited"] * 2
        go.unlink()


# --- dill -----------------------------------------------------------------------------------------------------------


CLOSURE = """
def outer(factor):
    def f(params):
        import geopandas, math, shapely
        number = factor * math.sqrt(sum(len(value.read()) + 2 for value in params.values()))
        return number, geopandas.GeoDataFrame({"a": [number]}, geometry=[shapely.Point(1, 2)], crs="EPSG:3857")
    return f
f = outer(3)
"""


def test_a_pickled_closure_is_run_and_answered_as_the_old_client_reads(
    client: Client, compute_id: str, tmp_path: Path
) -> None:
    client.execute(compute_id, pickled(tmp_path, CLOSURE))
    first, second = client.old_results(compute_id)
    assert first["type"] == second["type"] == "object"
    number, frame = first["value"]
    assert number == 9.0
    assert (type(frame).__name__, frame.crs.to_epsg(), list(frame["a"])) == ("GeoDataFrame", 3857, [9.0])
    client.execute(
        compute_id, pickled(tmp_path, "def f(params):\n    raise RuntimeError('no ' + NAME)\nNAME = 'way'\n")
    )
    entry = client.old_results(compute_id)[1]
    # Names of the script stay there: dill pickles the function alone.
    assert (entry["type"], type(entry["value"])) == ("exception", ValueError)
    assert "NameError: name 'NAME' is not defined" in str(entry["value"])
    # The same compute for a new client.
    client.execute(compute_id, sent(total))
    assert [entry["value"] for entry in client.results(compute_id)] == [[7.0, "weights"]] * 2


def test_names_of_the_node_program_are_not_the_functions(client: Client, compute_id: str, tmp_path: Path) -> None:
    client.execute(compute_id, pickled(tmp_path, "def f(params):\n    return main, os\n"))
    assert "NameError: name 'main' is not defined" in str(client.old_results(compute_id)[0]["value"])


def test_a_pickle_of_another_python_says_so(
    client: Client, compute_id: str, shared_environments: Path, tmp_path: Path
) -> None:
    other = next(
        (i for i in find_interpreters(Home(shared_environments)) if i.version[:2] != sys.version_info[:2]), None
    )
    if other is None:
        pytest.skip("there is one minor version of Python here")
    code = "def f(params):\n    return [len(value.read()) for value in params.values()]\n"
    client.execute(compute_id, pickled(tmp_path, code, other.executable))
    for entry in client.old_results(compute_id):
        assert entry["type"] == "exception"
        text = str(entry["value"])
        assert "came as a dill pickle, which clients before 3.3 send" in text
        assert f"interpreter='{other.name}'" in text or f"or '{other.name}'" in text
        assert f"this node has Python 3.{sys.version_info[1]}" in text
    # The workers are as they were.
    client.execute(compute_id, sent(total))
    assert client.results(compute_id)[0]["value"] == [7.0, "weights"]


def test_a_pickle_that_ends_its_process_leaves_a_hint(client: Client, compute_id: str, tmp_path: Path) -> None:
    function = pickled(tmp_path, "def f(params):\n    import os\n    os.abort()\n")
    with pytest.raises(NodeDiedError, match=r"SIGABRT; this function came as a dill pickle.*or a newer client"):
        client.computes.execute(compute_id, function, client.owner, wait=True)
    broken = Sent(base64.b64encode(b"\x80\x04broken.").decode())
    with pytest.raises(NodeError, match=r"(?s)UnpicklingError.*came as a dill pickle"):
        client.computes.execute(compute_id, broken, client.owner, wait=True)


# --- answers that do not wait ---------------------------------------------------------------------------------------


class Slow:
    """`specify`, held up until it is released."""

    def __init__(self, error: Exception | None = None) -> None:
        self.released = threading.Event()
        self.error = error

    def __call__(self, *arguments: Any) -> Any:
        assert self.released.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return self.real(*arguments)

    real = staticmethod(lifecycle.specify)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    found = Slow()
    monkeypatch.setattr(lifecycle, "specify", found)
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", 0)
    return found


def test_create_does_not_wait_for_what_is_slow(client: Client, slow: Slow, weights: str) -> None:
    made = client.create(layers=(), files=(weights,), nodes=3)
    found = client.poll(made)
    assert (found["status"], len(found["nodes"]), found["files"]) == ("queued", 3, [weights])
    slow.released.set()
    assert client.await_status(made, "available", "errored")["status"] == "available"
    client.execute(made, sent(total))
    assert len(client.results(made)) == 3


def test_what_is_wrong_is_told_by_the_record_where_the_answer_was_there_before(client: Client, slow: Slow) -> None:
    made = client.create(layers=(("0" * 32, "1" * 32),))
    slow.released.set()
    found = client.await_status(made, "errored", "available")
    assert found["status"] == "errored"
    assert (
        "timestamp 11111111-1111-1111-1111-111111111111 of path 00000000-0000-0000-0000-000000000000: not in the home"
        in (found["message"])
    )


def test_a_bug_in_the_background_leaves_no_compute_queued(
    client: Client, slow: Slow, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    slow.error = KeyError("bug")
    made = client.create(layers=(), files=(weights,))
    slow.released.set()
    assert client.await_status(made, "errored", "available")["message"] == "KeyError: 'bug'"
    for thread in threading.enumerate():
        if thread.name.startswith("ellipsis_local-compute"):
            thread.join(SECONDS)
    assert told == [slow.error]


def test_a_compute_terminated_before_it_is_known_does_not_start(client: Client, slow: Slow, weights: str) -> None:
    made = client.create(layers=(), files=(weights,))
    client.computes.terminate(made, client.owner, wait=False)
    assert client.await_status(made, "stopped", "errored")["status"] == "stopped"
    slow.released.set()
    for thread in threading.enumerate():
        if thread.name.startswith("ellipsis_local-compute"):
            thread.join(SECONDS)
    assert client.poll(made)["status"] == "stopped"
    assert client.computes._pools._pools == {}


def test_a_compute_that_starts_while_the_emulator_is_closed_leaves_no_nodes(
    client: Client, slow: Slow, weights: str, home: Path
) -> None:
    made = client.create(layers=(), files=(weights,))
    emulator_module.use(None)
    slow.released.set()
    for thread in threading.enumerate():
        if thread.name.startswith("ellipsis_local-compute"):
            thread.join(SECONDS)
    assert client.computes._pools._pools == {}
    found = current_emulator().computes.records.get(made)
    assert (found.status, found.message.partition(": ")[2]) == ("errored", "the emulator was closed meanwhile")


def test_what_the_caller_is_warned_of_points_at_the_call(
    client: Client, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", SECONDS)
    monkeypatch.setattr("ellipsis_local.nodes.local.visible_gpus", lambda environ: ())
    with pytest.warns(EnvironmentWarning, match="shows no GPU") as caught:
        made = client.create(layers=(), files=(weights,), enable_gpu=True)
    assert [warning.filename for warning in caught] == [__file__]
    client.await_status(made, "available")


def test_a_wrong_request_raises_and_leaves_no_record(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "PATIENCE_SECONDS", SECONDS)
    for arguments in ({"layers": ()}, {"layers": (("0" * 32, "1" * 32),)}, {"layers": (), "nodes": 0}):
        with pytest.raises(ValueError, match=r"layers|nodes|0000"):
            client.create(**arguments)
    assert client.answers.page(client.owner, None) == ([], None)


def test_terminate_does_not_wait(client: Client, compute_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    close = client.computes._pools.close

    def slowly(compute_id: str) -> None:
        assert held.wait(SECONDS)
        close(compute_id)

    monkeypatch.setattr(client.computes._pools, "close", slowly)
    client.execute(compute_id, sent(waits))
    client.computes.terminate(compute_id, client.owner, wait=False)
    found = client.poll(compute_id)
    assert (found["status"], "result" in found) == ("stopping", False)
    held.set()
    client.await_status(compute_id, "stopped")
