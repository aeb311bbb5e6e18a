"""What the functions of rasters and vectors have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ellipsis_local import arguments
from ellipsis_local.answers import file_answer
from ellipsis_local.emulator import Emulator, current_emulator
from ellipsis_local.errors import ArgumentError

__all__ = [
    "Layer",
    "add_file",
    "add_path",
    "add_timestamp",
    "bounds",
    "download",
    "given_file",
    "list_files",
    "set_active",
]

Layer = Literal["raster", "vector"]


def add_path(
    type: Literal["folder", "raster", "vector"],
    name: Any,
    token: Any,
    parent_id: Any,
    public_access: Any,
    metadata: Any,
) -> dict[str, str]:
    name = arguments.string("name", name)
    emulator = current_emulator()
    owner = emulator.user(arguments.token(token)).id
    path_id = emulator.store.add_layer_path(
        type,
        name,
        parent_id=arguments.optional_uuid("parentId", parent_id),
        metadata=arguments.json_value("metadata", metadata) or {},
        public_access=arguments.json_value("publicAccess", public_access) or {},
        owner=owner,
    )
    return {"id": path_id}


def _timestamp(type: Layer, path_id: Any, timestamp_id: Any) -> tuple[Emulator, str, str]:
    path, timestamp = arguments.uuid_text("pathId", path_id), arguments.uuid_text("timestampId", timestamp_id)
    emulator = current_emulator()
    found = emulator.store.timestamp(path, timestamp)
    if found.type != type:
        raise ArgumentError(
            f"pathId {path} is a {found.type} layer: use path.{found.type}.timestamp", argument="pathId", value=path
        )
    return emulator, path, timestamp


def add_timestamp(type: Layer, path_id: Any, token: Any, description: Any, date: Any) -> dict[str, str]:
    path = arguments.uuid_text("pathId", path_id)
    arguments.token(token)
    now = datetime.now(UTC)
    emulator = current_emulator()
    record = emulator.store.path(path)
    if record.type != type:
        raise ArgumentError(f"pathId {path} is a {record.type}, and no {type} layer", argument="pathId", value=path)
    added = emulator.store.add_timestamp(
        path,
        date=arguments.date_range("date", date) or (now, now),
        description=arguments.optional_string("description", description),
    )
    return {"id": added}


def set_active(type: Layer, path_id: Any, timestamp_id: Any, token: Any, *, active: bool) -> None:
    arguments.token(token)
    emulator, path, timestamp = _timestamp(type, path_id, timestamp_id)
    (emulator.store.activate if active else emulator.store.deactivate)(path, timestamp)


def bounds(type: Layer, path_id: Any, timestamp_id: Any, token: Any) -> Any:
    arguments.optional_token(token)
    emulator, path, timestamp = _timestamp(type, path_id, timestamp_id)
    return emulator.store.bounds(path, timestamp)


def given_file(file_path: Any, mem_file: Any, name: Any, *, path_wins: bool = False) -> tuple[Any, str]:
    """What is to be added, and its name; where both are given, the client takes the path for rasters only."""
    path_name = arguments.path_text("filePath", file_path)
    name = arguments.optional_string("name", name)
    if mem_file is None and path_name is None:
        raise ArgumentError("You need to specify either a filePath or a memFile", argument="filePath", value=None)
    if mem_file is not None and name is None:
        raise ArgumentError("Parameter name is required when using a memory file", argument="name", value=None)
    source = Path(str(path_name)) if mem_file is None or (path_wins and path_name is not None) else mem_file
    return source, name or Path(str(path_name)).name


def add_file(
    type: Layer,
    path_id: Any,
    timestamp_id: Any,
    token: Any,
    file_format: Any,
    file_path: Any,
    mem_file: Any,
    name: Any,
    **options: Any,
) -> dict[str, str]:
    arguments.token(token)
    file_format = arguments.string("fileFormat", file_format)
    source, name = given_file(file_path, mem_file, name, path_wins=type == "raster")
    emulator, path, timestamp = _timestamp(type, path_id, timestamp_id)
    return {"id": emulator.store.add_file(path, timestamp, source, name=name, format=file_format, **options)}


def list_files(type: Layer, path_id: Any, timestamp_id: Any, token: Any) -> dict[str, Any]:
    arguments.token(token)
    emulator, path, timestamp = _timestamp(type, path_id, timestamp_id)
    return {"result": [file_answer(file) for file in emulator.store.files(path, timestamp)], "nextPageStart": None}


def download(type: Layer, path_id: Any, timestamp_id: Any, file_id: Any, file_path: Any, token: Any) -> None:
    arguments.token(token)
    file = arguments.uuid_text("fileId", file_id)
    target = arguments.path_text("filePath", file_path)
    if target is None:
        raise ArgumentError("filePath must be of type string, not None", argument="filePath", value=None)
    emulator, path, timestamp = _timestamp(type, path_id, timestamp_id)
    emulator.store.download(path, timestamp, file, Path(target))
