"""What-if: where layers would be cut, before anything runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ellipsis_local.arguments import invalid
from ellipsis_local.computes.specification import Planning
from ellipsis_local.dashboard.layers import span
from ellipsis_local.dashboard.outlines import outlines
from ellipsis_local.dashboard.pages import emulator_of, is_fragment, render
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import EllipsisLocalError
from ellipsis_local.partitions import Cut, CutRequest
from ellipsis_local.types import Timestamp

FEATURES_DECIDE = (
    "Here the features decide where the cuts are, and they are too many to be read for a preview: create the compute, "
    "and its page shows the partitions."
)

KNOWN = {"cut": get_args(Cut), "features": ("once", "intersecting"), "crs": ("EPSG:3857", "native")}
"""What a setting may be here."""


def page(request: Request) -> Response:
    emulator, query = emulator_of(request), request.query_params
    chosen = query.getlist("layer")
    values: dict[str, Any] = {
        "choices": choices(emulator),
        "chosen": chosen,
        "cuts": get_args(Cut),
        "query": query,
        "settings": emulator.settings,
        "problem": "",
        "rows": [],
    }
    try:
        values |= planned_rows(emulator, query) if chosen else {}
    except EllipsisLocalError as error:
        if is_fragment(request):
            raise
        # The form is there, to be mended.
        values["problem"] = str(error)
    return render("what_if_rows.html" if is_fragment(request) else "what_if.html", request, values)


def planned_rows(emulator: Emulator, query: QueryParams) -> dict[str, Any]:
    _, cut = planned(emulator, query)
    found = emulator.partitions.preview(cut)
    if found is None:
        return {"problem": FEATURES_DECIDE}
    none = (None,) * len(found.extents)
    return {"rows": [*zip(found.extents, found.pixels or none, found.features or none, strict=True)]}


def map_data(request: Request) -> Response:
    """As of a compute's partitions."""
    emulator = emulator_of(request)
    timestamps, cut = planned(emulator, request.query_params)
    found = emulator.partitions.preview(cut)
    extents: list[Any] = [] if found is None else [extent.to_dict() for extent in found.extents]
    rings, degrees = outlines(extents, cut.crs)
    none = (None,) * len(extents)
    pixels, features = (none, none) if found is None else (found.pixels or none, found.features or none)
    partitions = [
        {"ring": ring, "node": node, "state": "ready", "pixels": pixels[node], "features": features[node]}
        for node, ring in enumerate(rings)
    ]
    layers = [{"path": one.path_id, "timestamp": one.id, "type": one.type} for one in timestamps]
    unit = "shard" if cut.cut == "shards" else "node"
    return JSONResponse({"degrees": degrees, "unit": unit, "layers": layers, "partitions": partitions})


def choices(emulator: Emulator) -> list[tuple[str, str]]:
    """Every timestamp that can be cut, as PATH/TIMESTAMP, with its name."""
    found = []
    for path in emulator.store.list():
        timestamps = [one for one in emulator.store.catalogue.timestamps_of(path.id) if one.files and not one.trashed]
        several = len(timestamps) > 1
        found += [(f"{path.id}/{one.id}", f"{path.name}, {span(one)}" if several else path.name) for one in timestamps]
    return found


def planned(emulator: Emulator, query: QueryParams) -> tuple[list[Timestamp], CutRequest]:
    """The timestamps and the plan of their cut; ArgumentError where they cannot be cut so."""
    timestamps = [emulator.store.timestamp(*one.split("/", 1)) for one in query.getlist("layer") if "/" in one]
    given: dict[str, Any] = {}
    for name, known in KNOWN.items():
        given[name] = query.get(name, getattr(emulator.settings, name))
        if given[name] not in known:
            raise invalid(name, given[name], f"must be one of {', '.join(known)}, not {given[name][:80]!r}")
    given["overlap"] = number(query, "overlap", emulator.settings.overlap)
    settings = replace(emulator.settings, **given)
    nodes = int(number(query, "nodes", 4))
    if not 1 <= nodes <= settings.max_nodes:
        raise invalid("nodes", nodes, f"must be from 1 to {settings.max_nodes} (setting max_nodes), not {nodes}")
    return timestamps, Planning.of(settings).plan(emulator.partitions, timestamps, nodes, settings)


def number(query: QueryParams, name: str, default: float) -> float:
    text = query.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise invalid(name, text, f"must be a number, not {text[:80]!r}")
    return value
