"""Computes as JSON: the answers of getComputeInfo, and those of the HTTP interface to clients new and old.

The tagged JSON of a payload is turned into the wire's JSON as it is, without the libraries that its values are of.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any, Literal

from ellipsis_local.computes.records import ExecutionRecord, NodeRecord, Record, Records
from ellipsis_local.errors import FidelityError, FidelityWarning, NotFoundError
from ellipsis_local.node_program.ellipsis_node.records import NodeFunction, node_of
from ellipsis_local.node_program.ellipsis_node.values import MAPPINGS, NotReadableError, decode, open_value
from ellipsis_local.nodes import NodeOutcome, node_error
from ellipsis_local.notices import warn
from ellipsis_local.preflight import read_source
from ellipsis_local.preflight.results import ADVICE, by_file, return_line
from ellipsis_local.service_columns import cut_to
from ellipsis_local.settings import AS_THE_SERVICE

KEPT_BYTES = 64_000_000
LOOKED_BYTES = 2_000_000
"""How much of the results of an execution is looked at for warnings."""
TOO_DEEP = "the result is nested too deeply for JSON; return less nesting"
AS_VALUE = "which the server here writes as a number and json.dumps refuses: return `{}(…)` instead"
AS_KEY = "which json.dumps refuses: use texts as keys"
MOST_BITS = 14_283
"""Of integers that Python writes in digits: 4,300 of them."""
AT_REST = ("available", "completed", "stopped", "errored")

Stamp = tuple[int, str, float]
Tell = Callable[[str, bool], None]
Strict = bool | Literal["service"]


class NotJsonError(ValueError):
    """A result, or something inside it, that JSON does not hold; the text says what, where, and the way out."""


def describe(record: Record, nodes: list[NodeRecord], strict: Strict = False) -> dict[str, Any]:
    """The answer of getComputeInfo; of results with `strict`, see `returned`."""
    places = _places(record, nodes)
    answer = outline(record) | {"nodes": _nodes(nodes, places)}
    if record.executions and any(node.outcome for node in nodes):
        results = zip(nodes, places, strict=True)
        answer["result"] = [
            place | _result(record, node, strict) for node, place in results if node.outcome is not None
        ]
    return answer


def outline(record: Record) -> dict[str, Any]:
    """A compute without its nodes."""
    created = _moment(record.created)
    # Whole in the record: the service's column ends there.
    message = cut_to("the message of a compute", record.message, f"ellipsis-local computes show {record.id} --json")
    answer = {"id": record.id, "status": record.status, "message": message, "createdAt": created}
    return answer | {"executions": record.executions, **record.spec.request.to_json()}


def history(executions: Sequence[ExecutionRecord]) -> list[dict[str, Any]]:
    """What was executed on a compute, from the first on; not in its answer, which clients ask for every second."""
    return [
        {
            "execution": one.number,
            "function": one.function,
            "hash": one.hash,
            "startedAt": _moment(one.started),
            "seconds": one.seconds,
            "outcome": one.outcome,
            "failedNodes": one.failed,
        }
        for one in executions
    ]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _places(record: Record, nodes: Sequence[NodeRecord]) -> list[dict[str, int]]:
    """Of each partition its node, and the number of its shard where it is one."""
    if record.spec.unit == "node":
        return [{"node": one.node} for one in nodes]
    return [{"node": node_of(one.node, len(nodes), record.spec.nodes), "shard": one.node} for one in nodes]


def _nodes(nodes: Sequence[NodeRecord], places: Sequence[dict[str, int]]) -> list[dict[str, Any]]:
    return [place | _node(node) for node, place in zip(nodes, places, strict=True)]


def _node(node: NodeRecord) -> dict[str, Any]:
    found = {"seconds": "seconds", "resultSize": "size", "peakMemory": "peak_memory", "machine": "machine"}
    answer: dict[str, Any] = {"state": node.state, "extent": node.extent}
    answer["startedAt"] = None if node.began is None else _moment(node.began)
    return answer | {name: getattr(node.outcome, attribute, None) for name, attribute in found.items()}


def _result(record: Record, node: NodeRecord, strict: Strict) -> dict[str, Any]:
    outcome = node.outcome
    if outcome is not None and outcome.state == "failed":
        return {"type": "exception", "value": outcome.text}
    entry = _entry(record, node, partial(_value, strict=strict))
    return entry | ({"value": str(entry["value"])} if entry["type"] == "exception" else {})


class WireAnswers:
    """The answers for the computes of one home, kept while they are at rest: clients poll all of them every second."""

    def __init__(self, records: Records, kept_bytes: int = KEPT_BYTES, *, strict: Strict = False) -> None:
        self._records = records
        self._strict = strict
        self._most = kept_bytes
        self._size = 0
        self._kept: OrderedDict[str, tuple[Stamp, dict[str, Any], int]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, record: Record) -> dict[str, Any]:
        """`wire_answer` of a compute as it is now, which may be later than `record`; do not change what is in it."""
        while True:
            stamp = (record.executions, record.status, record.changed)
            kept = self._find(record.id, stamp)
            if kept is not None:
                return kept
            nodes = self._records.nodes(record.id, results=_is_finished(record))
            # What was read of the nodes may belong to the next execution already.
            latest = self._records.get(record.id)
            if (latest.executions, latest.status, latest.changed) == stamp:
                break
            record = latest
        answer = wire_answer(record, nodes, self._strict)
        if record.status in AT_REST:
            self._keep(record.id, stamp, answer)
        return answer

    def page(self, owner: str | None, start: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """The answers for a page of computes, newest first, and the id that the next page starts with."""
        records, following = self._records.page(owner, start)
        answers = []
        for record in records:
            # One that is deleted meanwhile is left out.
            with contextlib.suppress(NotFoundError):
                answers.append(self.of(record))
        return answers, following

    def _find(self, compute_id: str, stamp: Stamp) -> dict[str, Any] | None:
        with self._lock:
            kept = self._kept.get(compute_id)
            if kept is None or kept[0] != stamp:
                return None
            self._kept.move_to_end(compute_id)
            return kept[1]

    def _keep(self, compute_id: str, stamp: Stamp, answer: dict[str, Any]) -> None:
        size = 2000 + 500 * len(answer["nodes"]) + _size(answer.get("result", []))
        with self._lock:
            former = self._kept.pop(compute_id, None)
            self._size += size - (former[2] if former else 0)
            self._kept[compute_id] = stamp, answer, size
            while self._size > self._most:
                self._size -= self._kept.popitem(last=False)[1][2]


def _size(result: list[Any]) -> int:
    entries = [[{"value": node}] if isinstance(node, str) else node for node in result]
    return sum(len(entry["value"]) for node in entries for entry in node)


def wire_answer(record: Record, nodes: Sequence[NodeRecord], strict: Strict = False) -> dict[str, Any]:
    """One compute in the answer of GET /compute, of nodes with their results (seen in clients 3.3.12 and 3.2.9)."""
    places = _places(record, nodes)
    answer = outline(record) | {"nodes": _nodes(nodes, places)}
    if _is_finished(record) and all(node.outcome is not None for node in nodes):
        if record.spec.sent != "dill":
            write = partial(json_text, strict=strict)
            # Seen in the client, which puts the lists of the nodes together.
            answer["result"] = [
                [_entry(record, node, write, wire=True) for node, _ in results]
                for _, results in groupby(zip(nodes, places, strict=True), lambda found: found[1]["node"])
            ]
        elif record.status == "completed":
            # Not of a stopped one: one such answer breaks the lists of newer clients (our choice).
            answer["result"] = [_pickled(_entry(record, node, decode)) for node in nodes]
    return answer


def _is_finished(record: Record) -> bool:
    return record.executions > 0 and record.status in ("completed", "stopped")


def _entry(record: Record, node: NodeRecord, read: Callable[[bytes], Any], *, wire: bool = False) -> dict[str, Any]:
    """One node's result, as it is read; on the `wire` all values are texts."""
    outcome = node.outcome
    assert outcome is not None  # noqa: S101
    if outcome.state == "completed":
        if node.upload is not None:
            return {"type": "upload", "value": node.upload}
        if outcome.file is not None:
            return {"type": "file", "value": json.dumps(outcome.file) if wire else outcome.file}
        try:
            return {"type": "object", "value": read(outcome.payload)}
        except (NotJsonError, NotReadableError) as error:
            outcome = _refused(outcome, error)
    # A function may raise with any text, half a surrogate pair, too.
    text = str(node_error(record.id, outcome, record.spec.unit)).encode("utf-8", "backslashreplace").decode()
    return {"type": "exception", "value": text if wire else ValueError(text)}


def _refused(outcome: NodeOutcome, error: Exception) -> NodeOutcome:
    return replace(outcome, state="failed", kind="result", text=str(error))


def _pickled(entry: dict[str, Any]) -> str:
    import dill

    # Python reads protocol 4 from 3.4 on.
    return base64.b64encode(dill.dumps([entry], protocol=4)).decode()


def json_text(payload: bytes, *, strict: Strict = False) -> str:
    """A small result as JSON, out of its payload: what `json.dumps` takes, and numpy's scalars; else a NotJsonError.

    With `strict=True` also of what arrives as something else, which `strict='service'` lets arrive so.
    """

    def tell(text: str, changed: bool) -> None:  # noqa: ARG001
        if strict is True:
            raise NotJsonError(text)

    # NaN and infinities are written as Python writes them (our choice; clients read them with Python's json).
    try:
        return json.dumps(json_value(payload, tell))
    except RecursionError:
        raise NotJsonError(TOO_DEEP) from None


def json_value(payload: bytes, tell: Tell | None = None) -> Any:
    """What `json_text` writes; `tell` gets texts on what arrives changed (True), or only because of this server."""
    try:
        tree, read = open_value(payload)
        return _JsonWriter(read, tell or (lambda *_: None)).value(tree, "result")
    except RecursionError:
        raise NotJsonError(TOO_DEEP) from None


@dataclass
class _JsonWriter:
    """From the tagged JSON of a payload to plain JSON."""

    read: Callable[[Any], Any]
    tell: Tell

    def value(self, tree: Any, place: str) -> Any:
        if isinstance(tree, list):
            return [self.value(x, f"{place}[{i}]") if isinstance(x, list | dict) else x for i, x in enumerate(tree)]
        if not isinstance(tree, dict):
            return tree
        tag = tree["t"]
        if tag in ("list", "tuple", "namedtuple") or (tag == "enum" and type(tree["v"]) is int):
            return self.value(tree["v"], place)
        if tag in MAPPINGS:
            return {self.key(k, place): self.value(v, f"{place}[{_shown(k)}]") for k, v in tree["v"]}
        if tag in ("int", "float", "str"):
            return self.plain(tree, place)
        if tag == "affine":
            # A named tuple of nine.
            return [*tree["v"], 0.0, 0.0, 1.0]
        if tag == "scalar":
            return self.scalar(tree, place, AS_VALUE)
        raise _refusal(place, *ADVICE.get(tag, (f"of a type that JSON does not have ({tag})", "a text or number")))

    def plain(self, tree: dict[str, Any], place: str) -> Any:
        value = self.read(tree)
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise _refusal(place, "an integer of more than 4,300 digits", "`hex(…)`")
        return value

    def key(self, tree: Any, place: str) -> Any:
        if isinstance(tree, str):
            return tree
        key, kind = tree, "list"
        if isinstance(tree, dict):
            kind = tree["t"]
            if kind in ("int", "float", "str"):
                key = self.plain(tree, f"a key of {place}")
            elif kind == "enum":
                key = tree["v"]
            elif kind == "scalar":
                return self.scalar(tree, f"a key of {place}", AS_KEY)
        if isinstance(key, dict | list):
            raise _refusal(f"a key of {place}", f"of type {kind}, and JSON has texts and numbers as keys", "`str(…)`")
        if isinstance(key, str):
            return key
        (text,) = json.loads(json.dumps({key: None}))
        self.tell(f"{place} has the key {key!r}, which arrives at the client as {text!r}: use texts as keys", True)
        return key

    def scalar(self, tree: Any, place: str, way: str) -> Any:
        value = self.read(tree)
        kind = value.dtype.kind
        if kind not in "biufU":
            other = "`str(…)`" if kind in "mM" else "numbers or texts"
            raise _refusal(place, f"a numpy scalar of dtype {value.dtype}", other)
        if kind != "U" and value.dtype != "float64":
            plain = {"b": "bool", "f": "float"}.get(kind, "int")
            self.tell(f"{place} is a numpy scalar ({value.dtype}), {way.format(plain)}", False)
        return float(value) if kind == "f" else value.item()


def _shown(tree: Any) -> str:
    return repr(tree) if not isinstance(tree, dict) else str(tree.get("v", "…"))


def _refusal(place: str, what: str, way: str) -> NotJsonError:
    text = f"{place} is {what}; small results travel to the client as JSON: return {way} instead, {by_file(what)}"
    return NotJsonError(text)


def _value(payload: bytes, strict: Strict) -> Any:
    """A small result for a caller in this process; with `strict` a NotJsonError where a client over HTTP gets none."""
    text = json_text(payload, strict=strict) if strict else ""
    return json.loads(text) if strict == AS_THE_SERVICE else decode(payload)


def returned(
    f: Any, sent: NodeFunction, record: Record, outcomes: Sequence[NodeOutcome], values: list[Any], strict: Strict
) -> list[Any]:
    """The small results for the caller, after a look at whether a client over HTTP would get them.

    What it would not get, or get as something else, is warned of; with `strict` a FidelityError in the words that it
    gets. With `strict='service'` the results are what it reads (our choice).
    """
    if not strict:
        _warn_of_results(partial(_place, f, sent), record.spec.unit, [outcome.payload for outcome in outcomes])
        return values
    found = []
    for outcome, value in zip(outcomes, values, strict=True):
        try:
            text = json_text(outcome.payload, strict=strict)
        except NotJsonError as error:
            refusal = FidelityError(str(node_error(record.id, _refused(outcome, error), record.spec.unit)))
            refusal.add_note(f"returned by {_place(f, sent)}, on a home with strict={strict!r}")
            raise refusal from None
        found.append(json.loads(text) if strict == AS_THE_SERVICE else value)
    return found


def _place(f: Any, sent: NodeFunction) -> str:
    """The function, and where it returns: the line of its only return, else its first one."""
    if not sent.source:
        return f"{f.__name__} ({f.__code__.co_filename}:{f.__code__.co_firstlineno})"
    line = return_line(read_source(sent.source, sent.filename or "", sent.line))
    return f"{f.__name__} ({sent.filename}:{line})"


def _warn_of_results(place: Callable[[], str], unit: str, payloads: Iterable[bytes]) -> None:
    """Warn of the first result of a function that cannot travel to a client as JSON, or arrives as something else."""
    # What cannot travel at all comes before what this server alone lets travel, and that before what arrives changed.
    found: dict[int, str] = {}
    looked = 0
    for node, payload in enumerate(payloads):
        looked += len(payload)
        if looked > LOOKED_BYTES and node:
            break

        def tell(text: str, changed: bool, node: int = node) -> None:
            found.setdefault(1 + changed, f"{node}, {text}")

        try:
            json_value(payload, tell)
        except NotJsonError as error:
            found[0] = f"{node}, {error}"
            break
    if found:
        warn(f"{place()}: on {unit} {found[min(found)]} [result]", FidelityWarning)
