"""Compute: what one of them was made of, where its partitions lie, and what each got, printed, raised and returned."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ellipsis_local.computes.compute_json import NotJsonError, json_value
from ellipsis_local.computes.records import NodeRecord, Record
from ellipsis_local.computes.replay_inputs import left_behind, read_execution_inputs, replay_command
from ellipsis_local.dashboard.node_inputs import picture, read_inputs
from ellipsis_local.dashboard.outlines import outlines
from ellipsis_local.dashboard.pages import emulator_of, is_fragment, render
from ellipsis_local.dashboard.read_model import OVER, STARTING, compute_answer, layer_names, number_of, result_text
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import NotFoundError
from ellipsis_local.reports import report_of
from ellipsis_local.reports.facts import NodeFacts

LOG_BYTES = 1_000_000
"""Of a log, per answer."""
LONGEST = 20_000
"""Characters of a result that a page shows."""


def compute_page(request: Request) -> Response:
    emulator, record = found(request)
    answer, names = compute_answer(emulator, record), layer_names(emulator)
    report = report_of(emulator, record)
    results = {number_of(one): one for one in answer.get("result", [])}
    inputs = read_execution_inputs(emulator.home.compute(record.id), record.executions)
    function = None if inputs is None else inputs.function
    values = {
        "compute": answer,
        "over": record.status in OVER,
        "output": emulator.environments.output(record.spec.environment) if record.status in STARTING else "",
        "created": record.created,
        "owner": emulator.accounts.names([record.owner]).get(record.owner, ""),
        "layers": [one | {"name": names.get(one["pathId"], one["pathId"])} for one in answer["layers"]],
        "python": ".".join(map(str, record.spec.python)),
        "folder": emulator.home.compute(record.id),
        "nodes": [(node, results.get(node.node)) for node in report.facts.nodes],
        "lines": [line for line in (report.totals(), report.advice()) if line],
        "findings": report.findings,
        "call": call_text(record),
        "source": "" if function is None else function.source or "",
        "result_text": result_text,
    }
    return render("compute_live.html" if is_fragment(request) else "compute.html", request, values)


def found(request: Request) -> tuple[Emulator, Record]:
    emulator = emulator_of(request)
    return emulator, emulator.computes.records.get(request.path_params["compute"])


def call_text(record: Record) -> str:
    """The call that makes another one like it."""
    spec, request = record.spec, record.spec.request
    layers = "".join(f"\n        {layer}," for layer in request.to_json()["layers"])
    given: list[tuple[str, str]] = [("layers", f"[{layers}\n    ]" if layers else "[]"), ("token", "token")]
    given += [("files", repr([*request.files]))] if request.files else []
    given += [("nodes", repr(spec.nodes)), ("interpreter", repr(request.interpreter))]
    given += [("requirements", repr([*request.requirements]))] if request.requirements else []
    given += [("largeResult", "True")] if request.large_result else []
    given += [("enableGpu", "True")] if request.enable_gpu else []
    arguments = "".join(f"    {name}={value},\n" for name, value in given)
    return f"el.compute.createCompute(\n{arguments})"


def map_data(request: Request) -> Response:
    """The partitions as polygons, each with what the last execution tells of it, and the layers below them."""
    emulator, record = found(request)
    facts, names = report_of(emulator, record).facts, layer_names(emulator)
    # Read a moment later: of a compute that starts there may be more by now.
    numbers = {node.node: number_returned(node) for node in emulator.computes.records.nodes(record.id)}
    rings, degrees = outlines([node.extent for node in facts.nodes], facts.crs)
    types = {} if record.spec.cut is None else {plan.id: plan.type for plan in record.spec.cut.layers}
    layers = [
        {"path": path, "timestamp": timestamp, "name": names[path], "type": types.get(timestamp.lower())}
        for path, timestamp in record.spec.request.layers
        if path in names
    ]
    partitions = [
        {"ring": ring, **partition_values(one), "result": numbers.get(one.node)}
        for ring, one in zip(rings, facts.nodes, strict=True)
    ]
    return JSONResponse({"degrees": degrees, "unit": facts.unit, "layers": layers, "partitions": partitions})


def partition_values(one: NodeFacts) -> dict[str, Any]:
    names = ("node", "state", "seconds", "pixels", "features", "peak_memory", "result_size", "log_lines", "failure")
    return {name: getattr(one, name) for name in names}


def number_returned(node: NodeRecord) -> float | None:
    """What a node returned, where it is a number, so that it can be a colour."""
    outcome = node.outcome
    if outcome is None or outcome.state != "completed" or len(outcome.payload) > 1000:
        return None
    try:
        value = json_value(outcome.payload)
    except NotJsonError:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= sys.float_info.max else None


def log_lines(request: Request) -> Response:
    """Lines of the log from a byte on: [time, execution, node, text] each, and the byte from which to ask next."""
    emulator, record = found(request)
    start = request.query_params.get("after", "")
    lines, following = read_log(emulator.home.compute(record.id) / "log.jsonl", int(start) if start.isdecimal() else 0)
    return JSONResponse({"lines": lines, "next": following})


def read_log(path: Path, start: int) -> tuple[list[list[Any]], int]:
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(LOG_BYTES)
            # A line may be longer than that.
            data += b"" if data.endswith(b"\n") else file.readline()
    except OSError:
        return [], 0
    # What is being written is for the next time.
    whole = data[: data.rfind(b"\n") + 1]
    lines = [json.loads(line) for line in whole.split(b"\n")[:-1]]
    return [[line["time"], line["execution"], line["node"], line["text"]] for line in lines], start + len(whole)


def node_page(request: Request) -> Response:
    """One node, or shard, of the last execution."""
    emulator, record = found(request)
    nodes = report_of(emulator, record).facts.nodes
    node = nodes[checked_number(request, record, len(nodes))]
    inputs, problem = read_inputs(emulator, record, node.node)
    names = layer_names(emulator)
    results = {number_of(one): one for one in compute_answer(emulator, record).get("result", [])}
    result = results.get(node.node)
    values = {
        "record": record,
        "unit": record.spec.unit,
        "node": node,
        "result": None if result is None or node.failure else f"{result['value']!r}"[:LONGEST],
        "replay": replay_command(emulator.home.root, record.id, node.node),
        "left": left_behind(emulator.home.compute(record.id), node.node),
        "inputs": inputs,
        "problem": problem,
        "names": {timestamp: names.get(path, path) for path, timestamp in record.spec.request.layers},
        "count": len(nodes),
    }
    return render("node.html", request, values)


def checked_number(request: Request, record: Record, count: int) -> int:
    number: int = request.path_params["node"]
    if number >= count:
        text = f"compute {record.id} has {count} {record.spec.unit}s, which count from 0; there is no {number}"
        raise NotFoundError(text, argument="node", value=number)
    return number


def input_picture(request: Request) -> Response:
    emulator, record = found(request)
    node = checked_number(request, record, emulator.computes.records.partitions(record))
    return Response(picture(emulator, record, node, request.path_params["layer"]), media_type="image/png")
