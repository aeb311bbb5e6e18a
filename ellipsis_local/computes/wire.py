"""Computes as the service's HTTP interface tells of them: results as JSON texts, or pickled by dill for old clients.

Clients poll every compute of a user every second. So what a compute at rest answers is kept, and payloads are read and
encoded once. The tagged JSON of a payload is turned into the wire's JSON as it is: of a frame that has no place there,
neither is pandas imported nor a row read to say so.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ellipsis_local.computes.records import NodeRecord, Record, Records
from ellipsis_local.computes.results import node_states, outline
from ellipsis_local.errors import NotFoundError
from ellipsis_local.inside.ellipsis_node.values import decode, open_value
from ellipsis_local.preflight.results import ADVICE, BY_FILE

__all__ = ["WireAnswers", "json_text", "wire_answer"]

KEPT_BYTES = 64_000_000
AT_REST = ("available", "completed", "stopped", "errored")

Stamp = tuple[int, str, float]


class NotJsonError(ValueError):
    """A result, or something inside it, that JSON does not hold; the text says what, where, and the way out."""


class WireAnswers:
    """The answers for the computes of one home; may be used by several threads.

    Parameters
    ----------
    records : Records
    kept_bytes : int
        How much of encoded results is kept, in bytes.
    """

    def __init__(self, records: Records, kept_bytes: int = KEPT_BYTES) -> None:
        self._records = records
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
        answer = wire_answer(record, nodes)
        if record.status in AT_REST:
            self._keep(record.id, stamp, answer)
        return answer

    def page(self, owner: str | None, start: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """The answers for a page of computes, newest first, and the id that the next page starts with.

        A compute that is deleted meanwhile is left out. Raises as `Records.page`.
        """
        records, following = self._records.page(owner, start)
        answers = []
        for record in records:
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


def wire_answer(record: Record, nodes: Sequence[NodeRecord]) -> dict[str, Any]:
    """One compute in the answer of GET /compute (seen in clients 3.3.12 and 3.2.9).

    Parameters
    ----------
    record : Record
    nodes : sequence of NodeRecord
        Read with their results where the compute is `completed` or `stopped`.

    Returns
    -------
    dict
        JSON; as `getComputeInfo` answers, but for `result`. That is there only where an execution ended: per node a
        list of ``{'type', 'value'}``, where the value of an 'exception' is a text, of an 'upload' the file's id, and of
        a 'file' (its id) or 'object' a JSON text. Where the function came as a dill pickle, it is per node a dill
        pickle of such a list in base64, with the values themselves and exceptions as ValueErrors, and is left out from
        a stopped compute, because one such answer breaks the lists of newer clients (our choice).
    """
    answer = outline(record) | {"nodes": node_states(nodes)}
    if _is_finished(record) and all(node.outcome is not None for node in nodes):
        if record.sent != "dill":
            answer["result"] = [[_entry(record.id, node, json_text)] for node in nodes]
        elif record.status == "completed":
            answer["result"] = [_pickled(_entry(record.id, node, None)) for node in nodes]
    return answer


def _is_finished(record: Record) -> bool:
    return record.executions > 0 and record.status in ("completed", "stopped")


def _entry(compute_id: str, node: NodeRecord, write: Callable[[bytes], str] | None) -> dict[str, Any]:
    """One node's result; with `write`, values are texts."""
    outcome = node.outcome
    assert outcome is not None  # noqa: S101
    if outcome.state == "completed" and node.upload is not None:
        return {"type": "upload", "value": node.upload}
    if outcome.state == "completed" and outcome.file is not None:
        return {"type": "file", "value": outcome.file if write is None else json.dumps(outcome.file)}
    if outcome.state == "completed":
        try:
            return {"type": "object", "value": decode(outcome.payload) if write is None else write(outcome.payload)}
        except NotJsonError as error:
            outcome = replace(outcome, state="failed", kind="result", text=str(error))
    # A function may raise with any text, half a surrogate pair, too.
    text = str(outcome.error(compute_id)).encode("utf-8", "backslashreplace").decode()
    return {"type": "exception", "value": text if write is not None else ValueError(text)}


def _pickled(entry: dict[str, Any]) -> str:
    import dill

    # Python reads protocol 4 from 3.4 on.
    return base64.b64encode(dill.dumps([entry], protocol=4)).decode()


# --- JSON -----------------------------------------------------------------------------------------------------------


def json_text(payload: bytes) -> str:
    """A small result as JSON, out of its payload: what `json.dumps` takes, and numpy's scalars.

    Tuples become lists, NaN and infinities are written as Python writes them (our choice; clients read them with
    Python's json).

    Raises
    ------
    NotJsonError
        For anything else, with its place in the result and the way out.
    """
    tree, read = open_value(payload)
    try:
        return json.dumps(_plain(tree, read, "result"))
    except RecursionError:
        raise NotJsonError("the result is nested too deeply for JSON; return less nesting") from None


def _plain(tree: Any, read: Callable[[Any], Any], place: str) -> Any:
    if isinstance(tree, list):
        return [_plain(item, read, f"{place}[{i}]") for i, item in enumerate(tree)]
    if not isinstance(tree, dict):
        return tree
    tag = tree["t"]
    if tag in ("list", "tuple"):
        return _plain(tree["v"], read, place)
    if tag in ("dict", "odict"):
        return {_key(k, read, place): _plain(v, read, f"{place}[{_shown(k)}]") for k, v in tree["v"]}
    if tag in ("int", "float"):
        return read(tree)
    if tag == "affine":
        # A named tuple of nine.
        return [*tree["v"], 0.0, 0.0, 1.0]
    if tag == "scalar":
        return _scalar(read(tree), place)
    raise _refusal(place, *ADVICE.get(tag, (f"of a type that JSON does not have ({tag})", "a text or number")))


def _scalar(value: Any, place: str) -> Any:
    if value.dtype.kind not in "biufU":
        way = "`str(…)`" if value.dtype.kind in "mM" else "numbers or texts"
        raise _refusal(place, f"a numpy scalar of dtype {value.dtype}", way)
    return float(value) if value.dtype.kind == "f" else value.item()


def _key(tree: Any, read: Callable[[Any], Any], place: str) -> Any:
    key = tree
    if isinstance(tree, dict) and tree["t"] in ("int", "float", "scalar"):
        key = _plain(tree, read, f"a key of {place}")
    if isinstance(key, dict | list):
        kind = tree["t"] if isinstance(tree, dict) else "list"
        raise _refusal(f"a key of {place}", f"of type {kind}, and JSON has texts and numbers as keys", "`str(…)`")
    return key


def _shown(tree: Any) -> str:
    return repr(tree) if not isinstance(tree, dict) else str(tree.get("v", "…"))


def _refusal(place: str, what: str, way: str) -> NotJsonError:
    return NotJsonError(
        f"{place} is {what}; small results travel to the client as JSON: return {way} instead, {BY_FILE}"
    )
