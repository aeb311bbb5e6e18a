"""Computes and Compute: what runs and ran, and what each node got, printed, raised and returned."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ellipsis_local.computes.records import Record
from ellipsis_local.dashboard.pages import counted, done, emulator_of, is_fragment, render
from ellipsis_local.dashboard.read_model import OVER, compute_answers, layer_names
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import ComputeStateError

SHOWN = 200
"""Computes on a page."""
SQUARES = 16
"""Nodes in a row of squares."""


def list_page(request: Request) -> Response:
    """The newest computes first, those that a text and a state choose."""
    emulator, query = emulator_of(request), request.query_params
    records, following = emulator.computes.records.page(None, query.get("before") or None, SHOWN)
    text, status = query.get("q", "").strip().lower(), query.get("status", "")
    rows = [row for row in compute_rows(emulator, records) if text in row["text"] and status in ("", row["status"])]
    template = "computes_rows.html" if is_fragment(request) else "computes.html"
    values = {"rows": rows, "following": following, "home": emulator.home.root, "q": query.get("q", "")}
    return render(template, request, values | {"chosen": status})


def compute_rows(emulator: Emulator, records: list[Record]) -> list[dict[str, Any]]:
    answers = compute_answers(emulator, records)
    ids = [record.id for record in records]
    states, runs = emulator.computes.records.node_states(ids), emulator.computes.records.last_executions(ids)
    owners, names = emulator.accounts.names({record.owner for record in records}), layer_names(emulator)
    now = emulator.database.seconds()
    rows = []
    for record, answer in zip(records, answers, strict=True):
        run, request = runs.get(record.id), record.spec.request
        layers = list(dict.fromkeys(names.get(path_id, path_id) for path_id, _ in request.layers))
        row = answer | {
            "layers": layers,
            "owner": owners.get(record.owner, ""),
            "age": now - record.created,
            "since": run.started if run is not None and record.status == "executing" else None,
            "seconds": run.seconds if run is not None else None,
            "squares": squares(states.get(record.id, [])),
            "first_line": record.message.partition("\n")[0],
            "over": record.status in OVER,
        }
        said = (record.id, record.status, *layers, row["owner"], answer["function"] or "", record.message)
        rows.append(row | {"text": " ".join(said).lower()})
    return rows


def squares(states: list[str]) -> dict[str, Any]:
    """A square per node, as one path per state, and in words."""
    places: dict[str, list[str]] = {}
    for number, state in enumerate(states):
        places.setdefault(state, []).append(f"M{number % SQUARES} {number // SQUARES}h.8v.8h-.8z")
    told = ", ".join(f"{len(places[state])} {state}" for state in places)
    return {
        "paths": {state: "".join(found) for state, found in places.items()},
        "width": min(len(states), SQUARES),
        "height": -(-len(states) // SQUARES),
        "told": told,
    }


def terminate(request: Request) -> Response:
    compute_id = request.path_params["compute"]
    emulator_of(request).computes.terminate(compute_id, None, wait=False)
    return done(f"terminating {compute_id}")


def delete(request: Request) -> Response:
    """Of one that is over; of another it says how to get there."""
    emulator, compute_id = emulator_of(request), request.path_params["compute"]
    record = emulator.computes.records.get(compute_id)
    if record.status not in OVER:
        text = f"compute {compute_id} is {record.status}: terminate it, then it can be deleted"
        raise ComputeStateError(text, compute_id=compute_id, status=record.status)
    emulator.computes.delete(compute_id)
    return done(f"deleted {compute_id}")


def prune(request: Request) -> Response:
    emulator = emulator_of(request)
    count = 0
    start: str | None = None
    while True:
        records, start = emulator.computes.records.page(None, start, SHOWN)
        for record in records:
            if record.status in OVER:
                emulator.computes.delete(record.id)
                count += 1
        if start is None:
            return done(f"deleted {counted(count, 'compute')}")
