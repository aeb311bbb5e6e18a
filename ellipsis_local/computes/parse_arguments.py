"""The arguments of createCompute and execute, checked in the client's words, as plain requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ellipsis_local import arguments
from ellipsis_local.computes.execution import WriteTarget
from ellipsis_local.computes.specification import ComputeRequest
from ellipsis_local.environments import check_requirements, parse_interpreter
from ellipsis_local.errors import ArgumentError

MOST_ENTRIES = 1000
"""Layers of a compute, and files (our choice)."""


def compute_request(
    layers: Iterable[Mapping[str, str]],
    files: Iterable[str] | None,
    nodes: int | None,
    interpreter: str,
    requirements: Iterable[str],
    large_result: bool,
    enable_gpu: bool,
) -> ComputeRequest:
    """The request that these arguments of createCompute make; ArgumentError for the first that is of a wrong form."""
    given = arguments.limited("layers", arguments.dict_list("layers", layers), MOST_ENTRIES)
    listed = tuple(_layer(i, layer) for i, layer in enumerate(given))
    parse_interpreter(interpreter)
    return ComputeRequest(
        layers=listed,
        files=tuple(arguments.limited("files", arguments.uuid_list("files", files), MOST_ENTRIES)),
        nodes=arguments.integer("nodes", nodes),
        interpreter=interpreter,
        requirements=check_requirements(requirements),
        large_result=arguments.boolean("largeResult", large_result),
        enable_gpu=arguments.boolean("enableGpu", enable_gpu),
    )


def _layer(index: int, layer: Mapping[str, Any]) -> tuple[str, str]:
    for key in ("pathId", "timestampId"):
        if key not in layer:
            text = f"must have the keys pathId and timestampId, and {key} is missing: {arguments.shown(dict(layer))}"
            raise ArgumentError(f"layers[{index}] {text}", argument="layers", value=layer)
    path_id = arguments.uuid_text(f"layers[{index}]['pathId']", layer["pathId"])
    return path_id, arguments.uuid_text(f"layers[{index}]['timestampId']", layer["timestampId"])


def write_target(given: Any) -> WriteTarget | None:
    """Where `writeToLayer` of execute puts each node's file; None where it is not given."""
    if given is None:
        return None
    if not isinstance(given, dict) or not {"pathId", "timestampId"} <= set(given):
        text = f"must be a dictionary with pathId, timestampId and file, not {arguments.shown(given)}"
        raise arguments.invalid("writeToLayer", given, text)
    file = given.get("file") or {"format": "tif"}
    if not isinstance(file, dict) or not isinstance(file.get("format", "tif"), str):
        text = f"writeToLayer['file'] must be {{'format': 'tif'}} or {{'format': 'gpkg'}}, not {arguments.shown(file)}"
        raise ArgumentError(text, argument="writeToLayer", value=given)
    return WriteTarget(
        arguments.uuid_text("writeToLayer['pathId']", given["pathId"]),
        arguments.uuid_text("writeToLayer['timestampId']", given["timestampId"]),
        file.get("format", "tif"),
    )
