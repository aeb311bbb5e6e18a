"""The states of a compute, as pure records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ellipsis_local.computes.records import SCHEMA, Records
from ellipsis_local.computes.specification import ComputeRequest, Specification
from ellipsis_local.database import Database
from ellipsis_local.errors import NotFoundError
from ellipsis_local.nodes import NodeOutcome
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
