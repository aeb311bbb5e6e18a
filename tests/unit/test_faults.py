"""The plan of faults: what it takes, what it refuses, and what is active where and for how long."""

from __future__ import annotations

import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

from ellipsis_local import faults
from ellipsis_local.errors import ArgumentError, EnvironmentBuildError
from ellipsis_local.faults import Plan
from ellipsis_local.node_program.ellipsis_node.faults import NodeEndedError, faulty
from ellipsis_local.node_program.ellipsis_node.records import NodeFunction

ROOT, OTHER = Path("/a/home"), Path("/another/home")
ID = "1c857a9c-2876-4dd6-894b-33b136ee3835"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"kiled": [1]}, "there is no fault 'kiled'; there are requirements, .*, killed, .*, dropped_after"),
        ({"requirements": ""}, "requirements must be a text"),
        ({"requirements": 1}, "requirements must be a text"),
        ({"starting_polls": -1}, "starting_polls must be a whole number from 0 on, not -1"),
        ({"starting_polls": 1.5}, "starting_polls must be a whole number"),
        ({"starting_polls": True}, "starting_polls must be a whole number"),
        ({"killed": 1}, "killed must be a list of nodes, not 1"),
        ({"killed": "1"}, "killed must be a list of nodes"),
        ({"killed": [-1]}, "killed must name nodes, which are whole numbers from 0 on, not -1"),
        ({"oversized": [True]}, "oversized must name nodes"),
        ({"slow": [1]}, "slow must be a dictionary from nodes to seconds"),
        ({"slow": {0: -1}}, "slow must give seconds"),
        ({"slow": {0: float("nan")}}, "slow must give seconds"),
        ({"slow": {0: float("inf")}}, "slow must give seconds"),
        ({"slow": {"0": 1}}, "slow must name nodes"),
        ({"raising": [0]}, "raising must be a dictionary from nodes to an exception"),
        ({"raising": {0: 5}}, "raising must give an exception, or its text, not 5"),
        ({"raising": {0: KeyboardInterrupt}}, "raising must give an exception"),
        ({"killed": [1], "raising": {1: "x"}}, "raising names node 1, which killed names, too"),
        ({"terminated_after": "1"}, "terminated_after must be a whole number"),
        ({"no_nodes": 1}, "no_nodes must be True or False"),
        ({"vanished": ID}, "vanished must be a list of timestamp ids"),
        ({"vanished": ["x"]}, "vanished must be a list of timestamp ids, each a uuid, not 'x'"),
        ({"dropped": 0}, "dropped must be a whole number from 1 on"),
        ({"dropped": "compute"}, "dropped must be a number of requests, or name them"),
        ({"dropped_after": {"POST /compute": 0}}, "dropped_after must be a whole number from 1 on"),
        ({"dropped_after": {1: 1}}, "dropped_after must be a number of requests, or name them"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text) as caught:
        Plan(given)
    assert caught.value.argument == list(given)[-1]


def test_a_plan_counts_for_its_home_and_its_block() -> None:
    with faults.active(ROOT, Plan({"no_nodes": True, "requirements": "no such package"})) as plan:
        assert (faults.most_nodes(ROOT, 5), faults.most_nodes(OTHER, 5)) == (0, 5)
        faults.build(OTHER, ["numpy"])
        with pytest.raises(EnvironmentBuildError, match="numpy could not be made: no such package"):
            faults.build(ROOT, ["numpy"])
    assert faults.most_nodes(ROOT, 5) == 5
    faults.build(ROOT, ["numpy"])
    assert plan.happened == ("the plan had no nodes", "an environment could not be built")
    with pytest.raises(ZeroDivisionError), faults.active(ROOT, plan):
        1 / 0  # noqa: B018
    assert faults.most_nodes(ROOT, 5) == 5


def test_blocks_nest_and_the_inner_one_counts() -> None:
    outer, inner = Plan({"killed": [0, 1], "slow": {2: 1}}), Plan({"raising": {1: "text"}})
    with faults.active(ROOT, outer):
        with faults.active(ROOT, inner):
            found = faults.of_nodes(ROOT, 3)
        assert {node: [fault["do"] for fault in of] for node, of in found.items()} == {
            "0": ["kill"], "1": ["raise"], "2": ["sleep"],
        }  # fmt: skip
        assert [fault["do"] for fault in faults.of_nodes(ROOT, 2)["1"]] == ["kill"]
    assert faults.of_nodes(ROOT, 3) == {}
    assert inner.happened == ("node 1: raise",)


def test_slow_comes_before_the_end() -> None:
    plan = Plan({"out_of_memory": [0], "slow": {0: 2}})
    assert [fault["do"] for fault in plan.nodes[0]] == ["sleep", "memory"]


@pytest.mark.parametrize(
    ("given", "requests"),
    [
        ({"dropped": 2}, {"GET /path": "before", "POST /compute": "before", "GET /compute": None}),
        ({"dropped": "POST /compute"}, {"GET /compute": None, "POST /compute": "before", "POST /compute ": None}),
        ({"dropped": {"/compute*": 2}}, {"GET /path": None, "GET /compute": "before", "POST /compute/x": "before"}),
        ({"dropped_after": "POST *"}, {"GET /compute": None, "POST /path": "after"}),
    ],
)
def test_requests_are_dropped_as_often_as_was_said(given: dict[str, Any], requests: dict[str, str | None]) -> None:
    with faults.active(ROOT, Plan(given)) as plan:
        assert {one: faults.drop(ROOT, *one.split(" ", 1)) for one in requests} == requests
        assert len(plan.happened) == sum(when is not None for when in requests.values())
    assert faults.drop(ROOT, "GET", "/path") is None


def test_a_start_is_held_for_polls_of_its_owner() -> None:
    finished: list[str] = []
    with faults.active(ROOT, Plan({"starting_polls": 2})):
        assert faults.hold(ROOT, "a", "me")
        assert not faults.hold(OTHER, "a", "me")
        assert faults.arrived(ROOT, "a", lambda: finished.append("a"))
        faults.polled(ROOT, "somebody")
        faults.polled(OTHER, "me")
        faults.polled(ROOT, "me", "b")
        faults.polled(ROOT, "me")
        faults.polled(ROOT, "me", "a")
        assert finished == []
        faults.polled(ROOT, "me", "a")
        assert finished == ["a"]
        faults.polled(ROOT, "me", "a")
        # Whoever has not come to its end by then is waited for.
        faults.hold(ROOT, "late", "me")
        timer = threading.Timer(0.05, lambda: faults.arrived(ROOT, "late", lambda: finished.append("late")))
        timer.start()
        for _ in range(3):
            faults.polled(ROOT, "me", "late")
        assert finished == ["a", "late"]
        timer.join()
        faults.hold(ROOT, "left", "me")
        faults.arrived(ROOT, "left", lambda: finished.append("left"))
    assert finished == ["a", "late", "left"]
    assert not faults.arrived(ROOT, "left", lambda: None)


class ForeignError(Exception):
    pass


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("out of order", "RuntimeError: out of order"),
        (KeyError("missing"), "KeyError: 'missing'"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (ForeignError("of ours"), "tests.unit.test_faults.ForeignError: of ours"),
        (ForeignError, "tests.unit.test_faults.ForeignError"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "UnicodeDecodeError: 'utf-8' codec can't decode"),
    ],
)
def test_an_exception_comes_as_it_was_given(what: Any, text: str) -> None:
    faults = {"1": Plan({"raising": {1: what}}).nodes[1]}
    function = NodeFunction("source", "key", line=7, filename="/x/script.py", faults=faults)
    assert faulty(len, function, 0, 10, own_process=True) is len
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any of them
        faulty(len, function, 1, 10, own_process=True)({})
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == ("/x/script.py", 7)
    assert "".join(traceback.format_exception_only(caught.value)).startswith(text)


def test_a_node_in_the_callers_process_is_not_killed() -> None:
    function = NodeFunction("source", "key", faults={"0": [{"do": "kill"}], "1": [{"do": "oversize"}]})
    with pytest.raises(NodeEndedError, match="SIGKILL"):
        faulty(len, function, 0, 10, own_process=False)({})
    assert len(faulty(len, function, 1, 10, own_process=False)({})) == 11
    assert faulty(len, function, 1, None, own_process=False) is len
