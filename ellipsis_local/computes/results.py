"""What is told of a compute, and the files behind the urls that `execute` returns."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ellipsis_local.computes.records import NodeRecord, Record, Records
from ellipsis_local.errors import ArgumentError, NotFoundError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.inside.ellipsis_node.values import decode

__all__ = ["copy_result", "describe", "node_states", "outline", "result_path"]

UUID = "[0-9a-fA-F-]{36}"
URL = re.compile(rf"/compute/({UUID})/file/({UUID})")


def describe(record: Record, nodes: list[NodeRecord]) -> dict[str, Any]:
    """The answer of getComputeInfo: see there."""
    answer = outline(record) | {"nodes": node_states(nodes)}
    if record.executions and any(node.outcome for node in nodes):
        answer["result"] = [_result(node) for node in nodes if node.outcome is not None]
    return answer


def outline(record: Record) -> dict[str, Any]:
    """What is told of a compute, without its nodes."""
    spec = record.spec
    answer = {
        "id": record.id,
        "status": record.status,
        "message": record.message,
        "createdAt": datetime.fromtimestamp(record.created, UTC).isoformat(),
        "executions": record.executions,
    }
    names = ("layers", "files", "interpreter", "requirements", "largeResult", "enableGpu")
    return answer | {name: spec[name] for name in names}


def node_states(nodes: Sequence[NodeRecord]) -> list[dict[str, Any]]:
    """What is told of the nodes, without their results."""
    return [_node(node) for node in nodes]


def _node(node: NodeRecord) -> dict[str, Any]:
    outcome = node.outcome
    return {
        "node": node.node,
        "state": node.state,
        "extent": node.extent,
        "seconds": outcome.seconds if outcome else None,
        "resultSize": outcome.size if outcome else None,
        "peakMemory": outcome.peak_memory if outcome else None,
    }


def _result(node: NodeRecord) -> dict[str, Any]:
    outcome = node.outcome
    assert outcome is not None  # noqa: S101
    if outcome.state == "failed":
        return {"node": node.node, "type": "exception", "value": outcome.text}
    if node.upload is not None:
        return {"node": node.node, "type": "upload", "value": node.upload}
    if outcome.file is not None:
        return {"node": node.node, "type": "file", "value": outcome.file}
    return {"node": node.node, "type": "object", "value": decode(outcome.payload)}


def result_path(home: Home, records: Records, url: str, owner: str) -> Path:
    """The file behind a url; ArgumentError where it is none, NotFoundError where the file is not there (any more)."""
    match = URL.fullmatch(url)
    if match is None:
        raise ArgumentError(
            f"{url!r} is no result file: give what execute returned for a compute made with largeResult=True",
            argument="url", value=url,
        )  # fmt: skip
    compute_id, file_id = match.groups()
    records.get(compute_id, owner)
    path = home.compute(compute_id) / "results" / file_id
    if not path.is_file():
        raise NotFoundError(
            f"compute {compute_id} holds no result {file_id}; execute the function again", argument="url", value=url
        )
    return path


def copy_result(source: Path, target: str | None, memfile: BinaryIO | None) -> None:
    """Copy a result to a file, whole or not at all, or into a file object."""
    if target is not None:
        path = Path(target).absolute()
        try:
            with Home.publish_file(path) as draft:
                shutil.copyfile(source, draft)
        except OSError as error:
            raise StoreError(f"filePath {target!r} cannot be written: {error.strerror or error}") from error
    if memfile is not None:
        with source.open("rb") as file:
            shutil.copyfileobj(file, memfile)
