"""Faults on purpose end as the real ones do: the same errors, the same states in getComputeInfo, and nothing left."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import requests

from ellipsis_local.errors import (
    ArgumentError,
    ComputeStateError,
    EnvironmentBuildError,
    FidelityWarning,
    NodeDiedError,
    NodeError,
    NodeMemoryError,
    NodeTimeoutError,
    PartitionError,
    ResultError,
)
from ellipsis_local.partitions import Partitions
from ellipsis_local.server import Server
from ellipsis_local.testing import faults, replay
from tests.integration.conftest import INTERPRETER, wait_for


def one(params):
    return 1


def reads(params):
    return int(next(iter(params.values()))["raster"].size)


def states(info: dict[str, Any]) -> list[str]:
    return [node["state"] for node in info["nodes"]]


@pytest.fixture(params=["processes", "inline"])
def engine(request: pytest.FixtureRequest, el: ModuleType) -> str:
    """Nodes in processes of their own, and in this one: faults mean the same."""
    el.configure(inline=request.param == "inline")
    return str(request.param)


class ForeignError(Exception):
    """Of a module that no environment has."""


ENDS = [
    ({"killed": [1]}, NodeDiedError, "its process was ended by SIGKILL"),
    ({"out_of_memory": [1]}, NodeMemoryError, r"(?s)needed too much memory: .*MemoryError"),
    ({"oversized": [1]}, ResultError, r"the result takes 2,000,\d+ bytes, and a small result may take 2,000,000"),
    (
        {"raising": {1: "out of order"}},
        NodeError,
        r"(?s)failed: Traceback .*test_faults\.py.*RuntimeError: out of order",
    ),
    ({"raising": {1: ForeignError("of ours")}}, NodeError, r"(?s)Traceback .*ForeignError: of ours"),
    ({"raising": {1: KeyError("b4")}, "slow": {1: 0.01}}, NodeError, "KeyError: 'b4'"),
]


def test_a_node_ends_as_it_is_told_to(el, token, raster, engine, create) -> None:
    compute_id = create([raster])
    for given, kind, text in ENDS:
        with faults(**given) as plan, pytest.raises(kind, match=text) as caught:
            el.compute.execute(compute_id, one, token)
        assert type(caught.value) is kind
        assert (caught.value.node, caught.value.compute_id) == (1, compute_id)
        info = el.compute.getComputeInfo(compute_id, token)
        assert info["status"] == "completed"
        assert info["message"] == "1 of 2 nodes failed: 1"
        assert states(info) == ["completed", "failed"]
        assert [result["type"] for result in info["result"]] == ["object", "exception"]
        assert len(plan.happened) == 1
        # What failed was the node, and not its function or its inputs.
        assert replay(compute_id, 1, inline=True) == 1
    assert el.compute.execute(compute_id, one, token) == [1, 1]


def test_a_slow_node_meets_the_time_limit(el, token, raster, create) -> None:
    el.configure(node_timeout=0.5)
    compute_id = create([raster])
    with faults(slow={0: 30}), pytest.raises(NodeTimeoutError, match=r"ran longer than node_timeout=0\.5 s"):
        el.compute.execute(compute_id, one, token)
    assert states(el.compute.getComputeInfo(compute_id, token)) == ["failed", "completed"]


def test_a_slow_node_is_slow(el, token, raster, create, engine) -> None:
    compute_id = create([raster])
    with faults(slow={0: 0.2}):
        assert el.compute.execute(compute_id, one, token) == [1, 1]
    seconds = [node["seconds"] for node in el.compute.getComputeInfo(compute_id, token)["nodes"]]
    assert seconds[0] >= 0.2


def test_an_oversized_result_is_none_of_large_ones(el, token, raster, create) -> None:
    compute_id = create([raster], largeResult=True)

    def writes(params):
        import io

        return io.BytesIO(b"small")

    with faults(oversized=[0]), pytest.warns(FidelityWarning):
        urls = el.compute.execute(compute_id, writes, token)
    assert el.compute.downloadFile(urls[0], token, memfile=io.BytesIO()).getvalue() == b"small"


def test_requirements_that_cannot_be_installed(el, token, raster, create, engine) -> None:
    with faults(requirements="no matching distribution found for nothing") as plan:
        with pytest.raises(EnvironmentBuildError, match="no matching distribution found for nothing") as caught:
            create([raster], requirements=["numpy"])
        later = create([raster], awaitTillStarted=False)
        end = time.monotonic() + 60
        while (info := el.compute.getComputeInfo(later, token))["status"] in ("queued", "starting"):
            assert time.monotonic() < end
    assert info["status"] == "errored"
    assert "no matching distribution found" in info["message"]
    first = el.compute.listComputes(token)["result"][1]
    assert (first["status"], first["message"]) == ("errored", str(caught.value))
    assert states(first) == ["stopped", "stopped"]
    assert plan.happened == ("an environment could not be built",) * 2
    with pytest.raises(ComputeStateError, match="is errored"):
        el.compute.execute(later, one, token)
    assert el.compute.execute(create([raster]), one, token) == [1, 1]


def test_a_start_takes_as_many_polls_as_it_is_told_to(el, token, raster, create, engine) -> None:
    with faults(starting_polls=3):
        compute_id = create([raster], awaitTillStarted=False)
        seen = [el.compute.getComputeInfo(compute_id, token)["status"] for _ in range(2)]
        with pytest.raises(ComputeStateError, match="is still being started"):
            el.compute.execute(compute_id, one, token)
        seen.append(el.compute.listComputes(token)["result"][0]["status"])
        assert set(seen) <= {"queued", "starting"}
        assert el.compute.getComputeInfo(compute_id, token)["status"] == "available"
        assert el.compute.execute(compute_id, one, token) == [1, 1]
        # Whoever waits asks by itself.
        assert el.compute.getComputeInfo(create([raster]), token)["status"] == "available"
        terminated = create([raster], awaitTillStarted=False)
        el.compute.terminateCompute(terminated, token)
        assert el.compute.getComputeInfo(terminated, token)["status"] == "stopped"
        left = create([raster], awaitTillStarted=False)
    assert wait_for(el, left, token, "available")["message"] == ""
    assert el.compute.getComputeInfo(terminated, token)["status"] == "stopped"


def test_a_held_start_does_not_outlast_who_started_it(el, token, raster, create) -> None:
    # In this process it has come to its end on return.
    el.configure(inline=True)
    with faults(starting_polls=100):
        compute_id = create([raster], awaitTillStarted=False)
        assert el.compute.getComputeInfo(compute_id, token)["status"] == "starting"
        el.configure(cores=1)
        assert el.compute.getComputeInfo(compute_id, token)["status"] == "available"


def check_over(el, token, compute_id: str, message: str) -> None:
    """The compute is errored for good, but for terminating it, as scripts do in the end."""
    info = el.compute.getComputeInfo(compute_id, token)
    assert info["status"] == "errored" and message in info["message"]
    with pytest.raises(ComputeStateError, match="is errored; its message tells why, and a new createCompute is needed"):
        el.compute.execute(compute_id, one, token)
    el.compute.terminateAll(token)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "errored"
    el.compute.terminateCompute(compute_id, token)
    assert el.compute.getComputeInfo(compute_id, token)["status"] == "stopped"


def test_an_execution_ends_its_compute(el, token, raster, create, engine) -> None:
    compute_id = create([raster])
    assert el.compute.execute(compute_id, one, token) == [1, 1]
    with faults(errored="the cluster was lost") as plan:
        with pytest.raises(ComputeStateError, match="^the cluster was lost$") as caught:
            el.compute.execute(compute_id, one, token)
        assert (caught.value.status, caught.value.compute_id) == ("errored", compute_id)
        assert plan.happened == (f"compute {compute_id} was errored by an execution",)
    assert states(el.compute.getComputeInfo(compute_id, token)) == ["failed", "failed"]
    check_over(el, token, compute_id, "the cluster was lost")
    # The next compute has nothing of it.
    assert el.compute.execute(create([raster]), one, token) == [1, 1]


def test_failed_nodes_end_a_compute_where_that_is_asked_for(el, token, raster, create, engine) -> None:
    el.configure(failed_status="errored")
    compute_id = create([raster])
    assert el.compute.execute(compute_id, one, token) == [1, 1]
    with faults(raising={1: "out of order"}), pytest.raises(NodeError, match="out of order"):
        el.compute.execute(compute_id, one, token)
    assert states(el.compute.getComputeInfo(compute_id, token)) == ["completed", "failed"]
    check_over(el, token, compute_id, "RuntimeError: out of order")


@pytest.mark.parametrize("done", [0, 1, 2])
def test_terminated_half_way(el, token, raster, create, engine, done) -> None:
    compute_id = create([raster])
    with faults(terminated_after=done), pytest.raises(ComputeStateError, match="terminated during the execution") as e:
        el.compute.execute(compute_id, one, token)
    assert e.value.status == "stopped"
    info = el.compute.getComputeInfo(compute_id, token)
    assert info["status"] == "stopped"
    assert states(info).count("completed") == done
    with pytest.raises(ComputeStateError, match="has been terminated"):
        el.compute.execute(compute_id, one, token)


def test_a_plan_without_nodes(el, token, raster, create) -> None:
    with faults(no_nodes=True):
        with pytest.raises(ArgumentError, match="You have no compute nodes in your plan"):
            el.compute.createCompute([raster], token)
        with pytest.raises(ArgumentError, match="nodes must be at most 0"):
            create([raster])
        assert el.account.getInfo(token)["plan"] == {"maxComputeNodes": 0}
    assert el.account.getInfo(token)["plan"]["maxComputeNodes"] > 0
    assert el.compute.listComputes(token)["result"] == []


def test_a_layer_that_vanishes_after_it_was_accepted(el, token, raster, create, engine) -> None:
    timestamp = raster["timestampId"]
    living = create([raster])
    with faults(vanished=[timestamp.upper()]) as plan:
        with pytest.raises(PartitionError, match=f"layer {timestamp} cannot be cut: ") as caught:
            create([raster], nodes=3)
        # Nodes that run have their parts; those that have to be started again do not come by them.
        assert el.compute.execute(living, reads, token) == [2400, 2400]
        el.configure(cores=1)
        with pytest.raises(PartitionError, match="No such file or directory"):
            el.compute.execute(living, reads, token)
        assert len(plan.happened) == 2
    info = el.compute.getComputeInfo(living, token)
    assert (info["status"], states(info)) == ("completed", ["failed", "failed"])
    assert el.compute.execute(living, reads, token) == [2400, 2400]
    errored = el.compute.listComputes(token)["result"][0]
    assert (errored["status"], errored["message"]) == ("errored", str(caught.value))


@pytest.mark.parametrize("kind", ["raster", "points"])
def test_a_layer_that_really_vanishes_says_the_same(el, kind, create, home, request, monkeypatch) -> None:
    el.configure(inline=True)
    layer = request.getfixturevalue(kind)
    with faults(vanished=[layer["timestampId"]]), pytest.raises(PartitionError) as caught:
        create([layer])
    ensure = Partitions.ensure

    def gone(self: Partitions, *arguments: Any) -> Any:
        # Between createCompute's look at the files and the cut.
        shutil.rmtree(home / "layers")
        return ensure(self, *arguments)

    monkeypatch.setattr(Partitions, "ensure", gone)
    with pytest.raises(PartitionError) as real:
        create([layer])
    assert str(caught.value) == str(real.value)


def test_only_the_home_in_use_and_only_in_the_block(el, token, raster, create, home, tmp_path) -> None:
    with pytest.raises(ArgumentError, match="there is no fault 'kills'"), faults(kills=[1]):
        pytest.fail("the block began")
    with faults(no_nodes=True):
        el.configure(home=tmp_path / "other")
        assert el.account.getInfo(el.account.logIn("somebody", "word"))["plan"]["maxComputeNodes"] == 64
        el.configure(home=home)
        assert el.account.getInfo(token)["plan"]["maxComputeNodes"] == 0
    with pytest.raises(ZeroDivisionError), faults(no_nodes=True):
        1 / 0  # noqa: B018
    assert el.account.getInfo(token)["plan"]["maxComputeNodes"] == 64


# --- over the server ------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(server: Server, token: str) -> Callable[..., requests.Response]:
    def call(method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, server.url + path, headers=headers, timeout=30, **options)

    return call


def test_connections_that_drop(server, ask) -> None:
    folder = {"name": "a folder"}
    listed = {"type": '["folder"]', "root": '["myDrive"]'}
    with faults(dropped={"POST /path/folder": 1}, dropped_after={"POST /path/*": 2}) as plan:
        with pytest.raises(requests.ConnectionError):
            ask("POST", "/path/folder", json=folder)
        assert ask("GET", "/path", params=listed).json()["result"] == []
        for _ in range(2):
            with pytest.raises(requests.ConnectionError):
                ask("POST", "/path/folder", json=folder)
        # The same again, which got no answer: it is the one that was done.
        answer = ask("POST", "/path/folder", json=folder)
        assert answer.status_code == 200, answer.text
    assert plan.happened == (
        "dropped POST /path/folder before the work",
        "dropped POST /path/folder after the work",
        "dropped POST /path/folder after the work",
    )
    assert [path["name"] for path in ask("GET", "/path", params=listed).json()["result"]] == ["a folder"]


def test_a_post_whose_answer_was_lost_makes_one_compute(el, token, raster, server, ask) -> None:
    body = {"layers": [raster], "nodes": 2, "interpreter": INTERPRETER, "requirements": ""}
    with faults(dropped_after="POST /compute", starting_polls=2, killed=[0]):
        with pytest.raises(requests.ConnectionError):
            ask("POST", "/compute", json=body)
        compute_id = ask("POST", "/compute", json=body).json()["id"]
        polls = [ask("GET", "/compute").json()["result"] for _ in range(3)]
        assert [len(found) for found in polls] == [1, 1, 1]
        assert polls[0][0]["id"] == compute_id
        assert {found[0]["status"] for found in polls[:2]} <= {"queued", "starting"}
        assert polls[2][0]["status"] == "available"
        text = "def userFunction(params):\n def f(params):\n    return 1\n return f(params)"
        assert ask("POST", f"/compute/{compute_id}/execute", json={"file": text}).status_code == 200
        end = time.monotonic() + 60
        while (found := ask("GET", "/compute").json()["result"][0])["status"] != "completed":
            assert time.monotonic() < end
    assert [node[0]["type"] for node in found["result"]] == ["exception", "object"]
    assert "died before it answered: its process was ended by SIGKILL" in found["result"][0][0]["value"]


def test_any_request_may_drop_and_the_next_one_is_answered(server, ask) -> None:
    with faults(dropped=1, dropped_after="GET /account"):
        with pytest.raises(requests.ConnectionError):
            ask("GET", "/account")
        with pytest.raises(requests.ConnectionError):
            ask("GET", "/account")
        assert ask("GET", "/account").status_code == 200
