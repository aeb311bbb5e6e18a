"""The states of a compute and of its nodes, and what was executed, as pure records."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ellipsis_local.computes.execution import Execution, name_and_hash
from ellipsis_local.computes.records import SCHEMA, ExecutionRecord, Records
from ellipsis_local.computes.replay_inputs import Keeper
from ellipsis_local.computes.specification import ComputeRequest, Specification
from ellipsis_local.database import Database
from ellipsis_local.errors import EngineError, NotFoundError
from ellipsis_local.home import Home
from ellipsis_local.node_program.ellipsis_node.records import Command, NodeFunction
from ellipsis_local.node_program.ellipsis_node.values import encode
from ellipsis_local.nodes import NodeOutcome, Sent, describe_function, describe_sent
from ellipsis_local.nodes.engine import OnOutcome, OnStart, nobody
from ellipsis_local.processes import ProcessMark, own_mark

SPEC = Specification(ComputeRequest(layers=()), nodes=2, environment="e")
DEAD = ProcessMark(2**22 + 1, 1.0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path / "test.sqlite", SCHEMA)
    yield found
    found.close()


@pytest.fixture
def records(database: Database) -> Records:
    return Records(database)


def available(records: Records, owner: str = "me") -> str:
    compute_id = records.create(owner, SPEC)
    assert records.change(compute_id, {"queued"}, "available")
    return compute_id


def outcome(node: int, payload: bytes = b"x") -> NodeOutcome:
    return NodeOutcome(node, "completed", 0.1, size=len(payload), payload=payload)


def failed(node: int, kind: str = "exception") -> NodeOutcome:
    return NodeOutcome(node, "failed", 0.1, kind=kind, text="no")


def states(records: Records, compute_id: str) -> list[str]:
    return [node.state for node in records.nodes(compute_id)]


def test_states_change_only_from_where_they_may(records: Records) -> None:
    compute_id = available(records)
    assert not records.change(compute_id, {"queued", "starting"}, "errored", "no")
    assert records.get(compute_id).status == "available"


def test_an_execution_hides_the_former_results_at_once(records: Records) -> None:
    compute_id = available(records)
    assert records.begin(compute_id) == 1
    assert records.finish(compute_id, [outcome(0), outcome(1)])
    assert [node.outcome.payload for node in records.nodes(compute_id) if node.outcome] == [b"x", b"x"]
    assert records.begin(compute_id) == 2
    assert records.get(compute_id).status == "executing"
    assert all(node.outcome is None for node in records.nodes(compute_id))
    assert records.begin(compute_id) is None


def test_an_execution_that_is_terminated_does_not_complete(records: Records) -> None:
    compute_id = available(records)
    records.begin(compute_id)
    records.change(compute_id, {"executing"}, "stopping")
    assert not records.finish(compute_id, [outcome(0)])
    assert records.get(compute_id).status == "stopping"


@pytest.mark.parametrize(
    ("status", "after"),
    [
        ("queued", "errored"),
        ("starting", "errored"),
        ("executing", "completed"),
        ("stopping", "stopped"),
        ("available", "available"),
    ],
)
def test_what_a_dead_process_left_is_ended(records: Records, database: Database, status: str, after: str) -> None:
    compute_id = records.create("me", SPEC)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE computes SET status = ?, pid = ?, started = ? WHERE id = ?", (status, *DEAD, compute_id)
        )
    record = records.get(compute_id)
    assert record.status == after
    if after == "completed":
        assert all(n.outcome is not None and "ended before" in n.outcome.text for n in records.nodes(compute_id))


def test_pages_of_fifty_newest_first(records: Records) -> None:
    ids = [records.create("me", SPEC) for _ in range(120)]
    records.create("you", SPEC)
    first, start = records.page("me", None)
    assert [r.id for r in first] == ids[:69:-1]
    second, start = records.page("me", start)
    third, end = records.page("me", start)
    assert [r.id for r in [*first, *second, *third]] == ids[::-1]
    assert (len(second), len(third), end) == (50, 20, None)
    assert len(records.page(None, None)[0]) == 50


def test_another_owner_sees_nothing(records: Records) -> None:
    compute_id = available(records)
    for call in (lambda: records.get(compute_id, "you"), lambda: records.page("you", compute_id)):
        with pytest.raises(NotFoundError):
            call()


def test_pools_of_living_processes_count(records: Records, database: Database) -> None:
    compute_id = available(records)
    records.add_pool(compute_id)
    with database.transaction() as connection:
        connection.execute("INSERT INTO compute_pools VALUES (?, ?, ?)", (compute_id, *DEAD))
    assert records.other_pools(compute_id) == []
    assert own_mark().alive
    records.remove_pool(compute_id)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system keeps the time of a process's start")
def test_a_clock_that_is_set_makes_no_process_another_one(records: Records, monkeypatch) -> None:
    compute_id = records.create("me", SPEC)
    records.change(compute_id, {"queued"}, "starting")
    # Linux tells the time of its own start by the clock.
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1_000_000.0)
    assert own_mark().alive
    assert records.get(compute_id).status == "starting"


def test_a_node_executes_only_once_it_began(records: Records) -> None:
    compute_id = records.create("me", SPEC)
    assert states(records, compute_id) == ["queued", "queued"]
    records.change(compute_id, {"queued"}, "available")
    assert states(records, compute_id) == ["ready", "ready"]
    records.begin(compute_id)
    assert states(records, compute_id) == ["waiting", "waiting"]
    records.progress(compute_id, [], {1: 100.0})
    assert states(records, compute_id) == ["waiting", "executing"]
    # What began and ended since is told at once.
    records.progress(compute_id, [outcome(0)], {0: 102.0})
    assert states(records, compute_id) == ["completed", "executing"]
    records.finish(compute_id, [outcome(0), outcome(1)])
    assert states(records, compute_id) == ["completed", "completed"]
    assert [node.began for node in records.nodes(compute_id)] == [102.0, 100.0]
    records.begin(compute_id)
    assert [(node.state, node.began) for node in records.nodes(compute_id)] == [("waiting", None)] * 2


@pytest.mark.parametrize(("before", "status"), [("executing", "stopped"), ("queued", "errored")])
def test_nodes_that_run_no_more_do_not_wait(records: Records, before: str, status: str) -> None:
    compute_id = records.create("me", SPEC)
    if before == "executing":
        records.change(compute_id, {"queued"}, "available")
        records.begin(compute_id)
        records.progress(compute_id, [outcome(1)], {0: 100.0, 1: 100.0})
    records.change(compute_id, {before}, status)
    assert states(records, compute_id) == ["stopped", "completed" if before == "executing" else "stopped"]
    # What an execution of another process tells that does not know yet.
    records.progress(compute_id, [], {0: 101.0})
    assert states(records, compute_id)[0] == "stopped"


@pytest.mark.parametrize(
    ("outcomes", "expected", "count"),
    [
        ([outcome(0), outcome(1)], "completed", 0),
        ([outcome(0), failed(1)], "failed", 1),
        ([failed(0, "died"), failed(1, "result")], "failed", 2),
        ([failed(0), failed(1, "engine")], "interrupted", 2),
    ],
)
def test_history_tells_how_an_execution_ended(
    records: Records, outcomes: list[NodeOutcome], expected: str, count: int
) -> None:
    compute_id = available(records)
    records.begin(compute_id, "source", "first", "a" * 64)
    records.finish(compute_id, [outcome(0), outcome(1)], seconds=1.5)
    records.begin(compute_id, "pickle", "second", "b" * 64)
    [first, second] = records.history(compute_id)
    assert (second.number, second.outcome, second.seconds) == (2, None, None)
    records.finish(compute_id, outcomes, seconds=2.5)
    assert records.history(compute_id) == [
        first, ExecutionRecord(2, "second", "b" * 64, second.started, 2.5, expected, count)
    ]  # fmt: skip
    assert (first.function, first.outcome, first.seconds, first.failed) == ("first", "completed", 1.5, 0)
    assert first.started <= second.started
    assert records.failed([compute_id, "another"]) == ({compute_id: count} if count else {})


def test_a_terminated_execution_is_not_interrupted(records: Records) -> None:
    compute_id = available(records)
    records.begin(compute_id)
    records.change(compute_id, {"executing"}, "stopping")
    assert [(one.outcome, one.failed) for one in records.history(compute_id)] == [("terminated", 0)]
    seconds = records.history(compute_id)[0].seconds
    assert seconds is not None and seconds >= 0
    assert not records.finish(compute_id, [outcome(0), failed(1, "engine")], seconds=100)
    assert [(one.outcome, one.failed) for one in records.history(compute_id)] == [("terminated", 1)]
    assert records.history(compute_id)[0].seconds == seconds
    records.change(compute_id, {"stopping"}, "stopped")
    records.delete(compute_id)
    assert records.history(compute_id) == []


def test_an_execution_whose_process_died_was_interrupted(records: Records, database: Database) -> None:
    compute_id = available(records)
    records.begin(compute_id)
    records.progress(compute_id, [failed(0)], {0: 100.0, 1: 100.0})
    with database.transaction() as connection:
        connection.execute("UPDATE computes SET pid = ?, started = ?", DEAD)
    assert records.get(compute_id).status == "completed"
    assert states(records, compute_id) == ["failed", "failed"]
    assert [(one.outcome, one.failed) for one in records.history(compute_id)] == [("interrupted", 2)]


class FakePool:
    """What an execution asks of a pool; `script` acts in its place, by the functions that an execution gave."""

    alive = True

    def __init__(self, script: Callable[[Callable[[int], None], Callable[[NodeOutcome], None]], None]) -> None:
        self.script = script

    def execute(self, command: Command, on_outcome: OnOutcome, on_start: OnStart = nobody) -> None:
        assert (command.execution, command.function.key, command.large) == (1, "key", False)
        self.script(on_start, on_outcome)

    def close(self) -> None:
        raise AssertionError


@pytest.fixture
def execution(records: Records, tmp_path: Path) -> Execution:
    compute_id = available(records)
    home = Home(tmp_path / "home")
    number = records.begin(compute_id, "source", "f", "hash")
    assert number == 1
    keeper = Keeper(home.compute(compute_id), lambda: None)
    store: Any = None
    return Execution(
        records, store, home, records.get(compute_id), number, False, None, lambda _: None, keeper, False,
        lambda change: change(),
    )  # fmt: skip


def test_an_execution_tells_who_runs_and_writes_it_down_together(
    records: Records, database: Database, execution: Execution
) -> None:
    seen, writes = [], []
    transaction = database.transaction

    def counted() -> contextlib.AbstractContextManager[sqlite3.Connection]:
        writes.append(1)
        return transaction()

    def look() -> None:
        execution.progress()
        seen.append(states(records, execution.record.id))

    def script(start: Callable[[int], None], end: Callable[[NodeOutcome], None]) -> None:
        look()
        assert writes == []
        start(1)
        look()
        end(outcome(1, encode(1)))
        start(0)
        look()
        look()
        assert len(writes) == 2
        end(outcome(0, encode(0)))

    database.transaction = counted  # type: ignore[method-assign]
    use = lambda: contextlib.nullcontext(FakePool(script))  # noqa: E731
    assert execution.run(use, NodeFunction("source", "key")) == [0, 1]
    assert len(writes) == 3
    assert seen == [["waiting", "waiting"], ["waiting", "executing"], *[["executing", "completed"]] * 2]
    began = [node.began for node in records.nodes(execution.record.id)]
    assert None not in began
    # What comes too late changes nothing.
    execution._started(0)
    execution.progress()
    assert len(writes) == 3
    assert [node.began for node in records.nodes(execution.record.id)] == began
    [one] = records.history(execution.record.id)
    assert (one.function, one.hash, one.outcome, one.failed) == ("f", "hash", "completed", 0)


def test_an_execution_of_a_pool_that_ends_was_interrupted(records: Records, execution: Execution) -> None:
    def script(start: Callable[[int], None], end: Callable[[NodeOutcome], None]) -> None:
        start(1)
        end(outcome(1, encode(1)))
        raise EngineError("the nodes ended")

    with pytest.raises(EngineError):
        execution.run(lambda: contextlib.nullcontext(FakePool(script)), NodeFunction("source", "key"))
    [one] = records.history(execution.record.id)
    assert (one.outcome, one.failed) == ("interrupted", 1)
    assert states(records, execution.record.id) == ["failed", "completed"]


def f(params):
    return 1


def test_a_function_has_the_name_and_hash_of_what_is_sent() -> None:
    python = sys.version_info[:3]
    name, digest = name_and_hash(f, describe_function(f, python, strict=False))
    assert name == "f"
    # Wherever it stands, and whoever sends it.
    text = describe_function(f, python, strict=False).text
    assert name_and_hash(Sent(text), describe_sent(text, python)) == ("f", digest)
    other = text.replace("return 1", "return 2")
    assert name_and_hash(Sent(other), describe_sent(other, python))[1] != digest
    assert name_and_hash(Sent(""), NodeFunction("dill", "key", pickle="abc"))[0] is None
