"""What people ask of computes, as plain data: for the pages and for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ellipsis_local.computes.compute_json import describe, history, outline
from ellipsis_local.environments.manifest import folder_size

if TYPE_CHECKING:
    from ellipsis_local.computes.records import Record
    from ellipsis_local.emulator import Emulator

OVER = ("stopped", "errored")
"""States in which a compute may be deleted."""
STARTING = ("queued", "starting")
LINE = 80
"""Characters of a result in one line."""


def compute_answer(emulator: Emulator, record: Record) -> dict[str, Any]:
    """As getComputeInfo answers, with more: what was executed, and all of the message, which that cuts."""
    records = emulator.computes.records
    runs = records.history(record.id)
    answer = describe(record, records.nodes(record.id)) | {"owner": record.owner, "unit": record.spec.unit}
    answer |= {"partitions": len(answer["nodes"]), "message": record.message}
    answer |= {"failedNodes": sum(node["state"] == "failed" for node in answer["nodes"])}
    answer |= {"function": runs[-1].function if runs else None, "bytes": folder_size(emulator.home.compute(record.id))}
    return answer | {"history": history(runs)}


def compute_answers(emulator: Emulator, found: Sequence[Record]) -> list[dict[str, Any]]:
    """Many computes, each with the number of its nodes instead of them and of what was executed; few reads."""
    records, ids = emulator.computes.records, [record.id for record in found]
    failed, runs = records.failed(ids), records.last_executions(ids)
    return [
        outline(record)
        | {"owner": record.owner, "unit": record.spec.unit, "partitions": records.partitions(record)}
        | {"message": record.message, "failedNodes": failed.get(record.id, 0)}
        | {"function": runs[record.id].function if record.id in runs else None}
        | {"bytes": folder_size(emulator.home.compute(record.id)), "nodes": record.spec.nodes}
        for record in found
    ]


def layer_names(emulator: Emulator) -> dict[str, str]:
    """By path id, of all that are not in the trash."""
    return {path.id: path.name for path in emulator.store.list()}


def number_of(entry: dict[str, Any]) -> int:
    """Of a node or a result: its shard, where nodes have several, else its node."""
    return int(entry.get("shard", entry["node"]))


def result_text(result: dict[str, Any]) -> str:
    """A result in one line; of a failure its last line, which names it."""
    kind, value = result["type"], result["value"]
    if kind == "exception":
        return str(value.strip().rpartition("\n")[2])
    text = " ".join(repr(value).split()) if kind == "object" else f"{kind} {value}"
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"
