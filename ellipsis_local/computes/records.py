"""The durable record of computes: states, nodes, results, and which processes hold workers.

queued → starting → available → executing → completed (→ executing …) → stopping → stopped
errored, from queued and starting, and from executing where that ends the compute, with the message

A node: queued → ready → waiting → executing → completed or failed (→ waiting …); stopped where it runs no more.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

from ellipsis_local.computes.specification import Specification
from ellipsis_local.database import Database
from ellipsis_local.errors import NotFoundError
from ellipsis_local.identity import STEP
from ellipsis_local.nodes import NodeOutcome
from ellipsis_local.processes import ProcessMark, own_mark
from ellipsis_local.types import ExtentDict

PAGE = 50
"""Computes per page of a list (documented)."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS computes (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, status TEXT NOT NULL,
        message TEXT NOT NULL DEFAULT '', spec TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL,
        executions INTEGER NOT NULL DEFAULT 0, pid INTEGER NOT NULL, started REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS computes_owner ON computes (owner, number)",
    """CREATE TABLE IF NOT EXISTS compute_nodes (
        compute TEXT NOT NULL REFERENCES computes (id) ON DELETE CASCADE, node INTEGER NOT NULL, state TEXT NOT NULL,
        extent TEXT, seconds REAL, size INTEGER NOT NULL DEFAULT 0, kind TEXT, text TEXT NOT NULL DEFAULT '',
        payload BLOB, file TEXT, upload TEXT, peak_memory INTEGER, began REAL, machine TEXT,
        PRIMARY KEY (compute, node)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS compute_executions (
        compute TEXT NOT NULL REFERENCES computes (id) ON DELETE CASCADE, number INTEGER NOT NULL, function TEXT,
        hash TEXT NOT NULL, started REAL NOT NULL, seconds REAL, outcome TEXT, failed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (compute, number)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS compute_pools (
        compute TEXT NOT NULL REFERENCES computes (id) ON DELETE CASCADE, pid INTEGER NOT NULL, started REAL NOT NULL,
        PRIMARY KEY (compute, pid, started))""",
)
CHANGED = f"max(?, changed + {STEP})"
"""Later than before, though the clock may stand: who reads twice has to see that something changed."""
LISTED = "(SELECT value FROM json_each(?))"
"""What a JSON list holds."""
OUTCOME = ("state", "seconds", "size", "kind", "text", "payload", "file", "peak_memory", "machine")
"""The columns of a node that are fields of its outcome."""
UNFINISHED = ("queued", "starting", "executing")
NODES_THEN = {"available": "ready", "stopped": "stopped", "errored": "stopped"}
"""What nodes without an outcome are once their compute is in a state."""
NOTHING: Mapping[int, float] = MappingProxyType({})
LOST = "the process that {doing} it ended before it was done"


@lru_cache(maxsize=64)
def _specification(text: str) -> Specification:
    """Read once: the same compute executes again and again."""
    return Specification.from_json(json.loads(text))


@dataclass(frozen=True)
class Record:
    """One compute, as stored."""

    id: str
    owner: str
    status: str
    message: str
    text: str
    """The specification, as JSON."""
    created: float
    changed: float
    """When its state or a node's outcome last changed."""
    executions: int
    process: ProcessMark

    @cached_property
    def spec(self) -> Specification:
        """The specification; parsed when it is asked for, because that of a cut of many files is long."""
        return _specification(self.text)

    @classmethod
    def of(cls, row: sqlite3.Row) -> Record:
        same = {name: row[name] for name in ("id", "owner", "status", "message", "created", "changed", "executions")}
        return cls(text=row["spec"], process=ProcessMark(row["pid"], row["started"]), **same)


@dataclass(frozen=True)
class NodeRecord:
    """One partition of a compute, and the outcome of the last execution on it."""

    node: int
    state: str
    extent: dict[str, float] | None
    outcome: NodeOutcome | None
    upload: str | None
    began: float | None = None
    """When it began to run."""

    @classmethod
    def of(cls, row: sqlite3.Row) -> NodeRecord:
        outcome = None
        if row["state"] in ("completed", "failed"):
            values = {name: row[name] for name in OUTCOME} | {"payload": row["payload"] or b""}
            outcome = NodeOutcome(row["node"], **values)
        extent = json.loads(row["extent"]) if row["extent"] else None
        return cls(row["node"], row["state"], extent, outcome, row["upload"], row["began"])


@dataclass(frozen=True)
class ExecutionRecord:
    """One execution of a compute, whose results may be gone."""

    number: int
    function: str | None
    """Its name; None where it came as a pickle."""
    hash: str
    """SHA-256 of what was sent of the function: equal where its text is."""
    started: float
    seconds: float | None
    outcome: str | None
    """completed, failed (some node did), interrupted (not all nodes ran to their end) or terminated; None as yet."""
    failed: int
    """How many nodes failed."""


class Records:
    """The tables of computes in one home."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, owner: str, spec: Specification) -> str:
        """A new record in state `queued`, owned by this process until it is available."""
        compute_id, now, process = self._database.new_id(), self._database.seconds(), own_mark()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO computes (id, owner, status, spec, created, changed, pid, started) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (compute_id, owner, "queued", json.dumps(spec.to_json()), now, now, *process),
            )
            connection.executemany(
                "INSERT INTO compute_nodes (compute, node, state) VALUES (?, ?, 'queued')",
                [(compute_id, node) for node in range(spec.nodes)],
            )
        return compute_id

    def specify(self, compute_id: str, spec: Specification) -> None:
        """Complete the specification of a compute that is still `queued`; of any other it stays."""
        text = json.dumps(spec.to_json())
        self._do("UPDATE computes SET spec = ? WHERE id = ? AND status = 'queued'", text, compute_id)

    def get(self, compute_id: str, owner: str | None = None) -> Record:
        """The record; NotFoundError where this home has none, or not for `owner`."""
        row = self._database.row("SELECT * FROM computes WHERE id = ?", (compute_id,))
        if row is None or (owner is not None and row["owner"] != owner):
            text = f"No compute found for given id: computeId {compute_id} is not among yours; listComputes shows them"
            raise NotFoundError(text, argument="computeId", value=compute_id)
        return self._mend(Record.of(row))

    def page(self, owner: str | None, start: str | None, size: int = PAGE) -> tuple[list[Record], str | None]:
        """Records from the newest on, and the id that the next page starts with."""
        first = 2**62
        if start is not None:
            row = self._database.row("SELECT number, owner FROM computes WHERE id = ?", (start,))
            if row is None or (owner is not None and row["owner"] != owner):
                raise NotFoundError(f"pageStart {start} is no compute of yours", argument="pageStart", value=start)
            first = row["number"]
        rows = self._database.rows(
            "SELECT * FROM computes WHERE number <= ? AND (? IS NULL OR owner = ?) ORDER BY number DESC LIMIT ?",
            (first, owner, owner, size + 1),
        )
        return [self._mend(Record.of(row)) for row in rows[:size]], rows[size]["id"] if len(rows) > size else None

    def _mend(self, record: Record) -> Record:
        """End what a dead process left unfinished."""
        if record.status not in (*UNFINISHED, "stopping") or record.process.alive:
            return record
        if record.status == "executing":
            text = LOST.format(doing="executed")
            open_nodes = [n.node for n in self.nodes(record.id) if n.outcome is None]
            self.finish(record.id, [NodeOutcome(n, "failed", None, kind="engine", text=text) for n in open_nodes], text)
        elif record.status == "stopping":
            self.change(record.id, {"stopping"}, "stopped")
        else:
            self.change(record.id, set(UNFINISHED), "errored", LOST.format(doing="started"))
        return self.get(record.id)

    def change(self, compute_id: str, before: Collection[str], after: str, message: str = "") -> bool:
        """Go to a state from one of others, and become the process that answers for it; False where it is in none."""
        now = self._database.seconds()
        with self._database.transaction() as connection:
            changed = connection.execute(
                f"UPDATE computes SET status = ?, message = ?, changed = {CHANGED}, pid = ?, started = ? "  # noqa: S608
                f"WHERE id = ? AND status IN {LISTED}",
                (after, message, now, *own_mark(), compute_id, json.dumps([*before])),
            ).rowcount
            if changed and after == "stopping":
                connection.execute(
                    "UPDATE compute_executions SET outcome = 'terminated', seconds = max(0, ? - started) "
                    "WHERE compute = ? AND outcome IS NULL",
                    (now, compute_id),
                )
            if changed and after in NODES_THEN:
                connection.execute(
                    "UPDATE compute_nodes SET state = ? WHERE compute = ? AND state NOT IN ('completed', 'failed')",
                    (NODES_THEN[after], compute_id),
                )
        return changed == 1

    def _do(self, statement: str, *values: Any) -> None:
        with self._database.transaction() as connection:
            connection.execute(statement, values)

    def say(self, compute_id: str, message: str) -> None:
        """Tell what is going on, in a state that goes on."""
        statement = f"UPDATE computes SET message = ? WHERE id = ? AND status IN {LISTED}"  # noqa: S608
        self._do(statement, message, compute_id, json.dumps(UNFINISHED))

    def set_extents(self, compute_id: str, extents: Sequence[ExtentDict]) -> None:
        """Tell where the partitions are, of which there may be more or fewer than there are nodes."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM compute_nodes WHERE compute = ? AND node >= ?", (compute_id, len(extents)))
            connection.executemany(
                "INSERT INTO compute_nodes (compute, node, state, extent) VALUES (?, ?, 'ready', ?) "
                "ON CONFLICT DO UPDATE SET state = excluded.state, extent = excluded.extent",
                [(compute_id, node, json.dumps(extent)) for node, extent in enumerate(extents)],
            )

    def partitions(self, record: Record) -> int:
        """How often a function runs on a compute in one execution."""
        if record.spec.unit == "node":
            return record.spec.nodes
        row = self._database.row("SELECT count(*) AS count FROM compute_nodes WHERE compute = ?", (record.id,))
        return int(row["count"]) if row else 0

    def begin(self, compute_id: str, sent: str = "source", name: str | None = None, digest: str = "") -> int | None:
        """Start the execution of a function, drop the former results: its number; None where it cannot start now."""
        now = self._database.seconds()
        with self._database.transaction() as connection:
            row = connection.execute(
                f"UPDATE computes SET status = 'executing', message = '', changed = {CHANGED}, "  # noqa: S608
                "executions = executions + 1, pid = ?, started = ? "
                "WHERE id = ? AND status IN ('available', 'completed') RETURNING executions, spec",
                (now, *own_mark(), compute_id),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "INSERT INTO compute_executions (compute, number, function, hash, started) VALUES (?, ?, ?, ?, ?)",
                (compute_id, row["executions"], name, digest, now),
            )
            spec = _specification(row["spec"])
            if spec.sent != sent:
                text = json.dumps(replace(spec, sent=sent).to_json())
                connection.execute("UPDATE computes SET spec = ? WHERE id = ?", (text, compute_id))
            connection.execute(
                "UPDATE compute_nodes SET state = 'waiting', seconds = NULL, size = 0, kind = NULL, text = '', "
                "payload = NULL, file = NULL, upload = NULL, peak_memory = NULL, began = NULL, machine = NULL "
                "WHERE compute = ?",
                (compute_id,),
            )
            return int(row["executions"])

    def _store(
        self,
        connection: sqlite3.Connection,
        compute_id: str,
        outcomes: Iterable[NodeOutcome],
        began: Mapping[int, float],
    ) -> None:
        connection.executemany(
            f"UPDATE compute_nodes SET {', '.join(f'{name} = ?' for name in OUTCOME)}, began = coalesce(?, began) "  # noqa: S608
            "WHERE compute = ? AND node = ?",
            [(*(getattr(o, name) for name in OUTCOME), began.get(o.node), compute_id, o.node) for o in outcomes],
        )
        connection.execute(
            f"UPDATE computes SET changed = {CHANGED} WHERE id = ?",  # noqa: S608 - own text only
            (self._database.seconds(), compute_id),
        )

    def progress(self, compute_id: str, outcomes: Iterable[NodeOutcome], began: Mapping[int, float] = NOTHING) -> None:
        """Store outcomes, and when nodes began to run, while others are still to come."""
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE compute_nodes SET state = 'executing', began = ? WHERE compute = ? AND node = ? "
                "AND state = 'waiting'",
                [(when, compute_id, node) for node, when in began.items()],
            )
            self._store(connection, compute_id, outcomes, began)

    def finish(
        self,
        compute_id: str,
        outcomes: Iterable[NodeOutcome],
        message: str = "",
        uploads: Iterable[str] = (),
        began: Mapping[int, float] = NOTHING,
        seconds: float | None = None,
        status: str = "completed",
    ) -> bool:
        """End the execution, which took so long; False where the compute was terminated meanwhile."""
        now = self._database.seconds()
        with self._database.transaction() as connection:
            self._store(connection, compute_id, outcomes, began)
            connection.executemany(
                "UPDATE compute_nodes SET upload = ? WHERE compute = ? AND node = ?",
                [(upload, compute_id, node) for node, upload in enumerate(uploads)],
            )
            failed, lost = connection.execute(
                "SELECT count(*), total(kind = 'engine') FROM compute_nodes WHERE compute = ? AND state = 'failed'",
                (compute_id,),
            ).fetchone()
            outcome = "interrupted" if lost else "failed" if failed else "completed"
            # One that was terminated is, since then.
            connection.execute(
                "UPDATE compute_executions SET failed = ?, outcome = coalesce(outcome, ?), "
                "seconds = coalesce(seconds, ?, max(0, ? - started)) "
                "WHERE compute = ? AND number = (SELECT executions FROM computes WHERE id = ?)",
                (failed, outcome, seconds, now, compute_id, compute_id),
            )
            done = connection.execute(
                f"UPDATE computes SET status = ?, message = ?, changed = {CHANGED} "  # noqa: S608
                "WHERE id = ? AND status = 'executing'",
                (status, message, now, compute_id),
            )
            return done.rowcount == 1

    def seconds(self) -> float:
        """The time for what is stored now, in seconds since 1970."""
        return self._database.seconds()

    def history(self, compute_id: str) -> list[ExecutionRecord]:
        """The executions of a compute, from the first on."""
        names = ", ".join(field.name for field in fields(ExecutionRecord))
        statement = f"SELECT {names} FROM compute_executions WHERE compute = ? ORDER BY number"  # noqa: S608 - own text
        return [ExecutionRecord(*row) for row in self._database.rows(statement, (compute_id,))]

    def last_executions(self, compute_ids: Collection[str]) -> dict[str, ExecutionRecord]:
        """The last one of each compute that was executed."""
        names = ", ".join(field.name for field in fields(ExecutionRecord) if field.name != "number")
        query = f"SELECT compute, max(number), {names} FROM compute_executions WHERE compute IN {LISTED} GROUP BY 1"  # noqa: S608
        return {row[0]: ExecutionRecord(*row[1:]) for row in self._database.rows(query, (json.dumps([*compute_ids]),))}

    def node_states(self, compute_ids: Collection[str]) -> dict[str, list[str]]:
        """The states of the nodes of computes, in the order of their partitions."""
        nodes = f"SELECT compute, state FROM compute_nodes WHERE compute IN {LISTED} ORDER BY compute, node"  # noqa: S608
        query = f"SELECT compute, group_concat(state) FROM ({nodes}) GROUP BY 1"  # noqa: S608 - own text only
        rows = self._database.rows(query, (json.dumps([*compute_ids]),))
        return {compute_id: states.split(",") for compute_id, states in rows}

    def state_of_all(self, compute_id: str | None = None) -> str:
        """A text that is another one as soon as any compute changed, or the given one."""
        query = "SELECT id, changed, message FROM computes WHERE ? IS NULL OR id = ?"
        return self._database.digest(query, (compute_id, compute_id))

    def count_by_owner(self) -> Counter[str]:
        """How many computes each user has made."""
        rows = self._database.rows("SELECT owner, count(*) FROM computes GROUP BY 1")
        return Counter(dict(map(tuple, rows)))

    def failed(self, compute_ids: Collection[str]) -> dict[str, int]:
        """How many nodes failed in the last execution, of the computes where any did."""
        query = f"SELECT compute, count(*) FROM compute_nodes WHERE state = 'failed' AND compute IN {LISTED} GROUP BY 1"  # noqa: S608
        return dict(map(tuple, self._database.rows(query, (json.dumps([*compute_ids]),))))

    def nodes(self, compute_id: str, *, results: bool = True) -> list[NodeRecord]:
        """The nodes in the order of their partitions; without `results`, what they returned is left on the disk."""
        left = () if results else ("payload", "file", "upload")
        names = ("node", "extent", "upload", "began", *OUTCOME)
        columns = ", ".join(f"NULL AS {name}" if name in left else name for name in names)
        statement = f"SELECT {columns} FROM compute_nodes WHERE compute = ? ORDER BY node"  # noqa: S608 - own text only
        return [NodeRecord.of(row) for row in self._database.rows(statement, (compute_id,))]

    def statuses(self, compute_ids: Collection[str]) -> dict[str, str]:
        query = f"SELECT id, status FROM computes WHERE id IN {LISTED}"  # noqa: S608
        return dict(map(tuple, self._database.rows(query, (json.dumps([*compute_ids]),))))

    def add_pool(self, compute_id: str) -> None:
        """Note that this process holds workers of the compute."""
        self._do("INSERT OR IGNORE INTO compute_pools VALUES (?, ?, ?)", compute_id, *own_mark())

    def remove_pool(self, compute_id: str) -> None:
        self._do("DELETE FROM compute_pools WHERE compute = ? AND pid = ? AND started = ?", compute_id, *own_mark())

    def other_pools(self, compute_id: str) -> list[ProcessMark]:
        """Other living processes that hold workers of the compute."""
        rows = self._database.rows("SELECT pid, started FROM compute_pools WHERE compute = ?", (compute_id,))
        marks = [ProcessMark(row["pid"], row["started"]) for row in rows]
        return [mark for mark in marks if mark != own_mark() and mark.alive]

    def delete(self, compute_id: str) -> None:
        """Forget a compute that is stopped or errored."""
        self._do("DELETE FROM computes WHERE id = ? AND status IN ('stopped', 'errored')", compute_id)

    def living_specs(self) -> list[Specification]:
        """What the computes that are not over are made of."""
        rows = self._database.rows("SELECT spec FROM computes WHERE status NOT IN ('stopped', 'errored')")
        return [Specification.from_json(json.loads(row["spec"])) for row in rows]

    def used_environments(self) -> set[str]:
        """Keys of the environments of computes that are not over."""
        return {spec.environment for spec in self.living_specs()}
