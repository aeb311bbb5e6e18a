"""What the functions of rasters and vectors have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from ellipsis_local import arguments
from ellipsis_local.answers import file_answer
from ellipsis_local.drive import Drive
from ellipsis_local.emulator import current_emulator
from ellipsis_local.errors import ArgumentError
from ellipsis_local.sharing import DOWNLOAD, EDIT, VIEW
from ellipsis_local.types import PathType

Layer = Literal["raster", "vector"]


def add_path(
    type: PathType, name: Any, token: Any, parent_id: Any, public_access: Any, metadata: Any, source: Any = None
) -> dict[str, str]:
    name = arguments.string("name", name)
    made = drive_of(token).add(
        type,
        name,
        source=source,
        parent_id=arguments.optional_uuid("parentId", parent_id),
        metadata=arguments.json_value("metadata", metadata) or {},
        public_access=arguments.json_value("publicAccess", public_access) or {},
    )
    return {"id": made}


def drive_of(token: Any, *, required: bool = True) -> Drive:
    """The drive of a token's user; of nobody where there is no token and none is `required`."""
    given = arguments.token(token) if required else arguments.optional_token(token)
    emulator = current_emulator()
    return emulator.drive(None if given is None else emulator.user(given))


def _timestamp(drive: Drive, type: Layer, path_id: Any, timestamp_id: Any, needed: int) -> tuple[str, str]:
    path, timestamp = arguments.uuid_text("pathId", path_id), arguments.uuid_text("timestampId", timestamp_id)
    drive.timestamp(path, timestamp, type, needed)
    return path, timestamp


def add_timestamp(type: Layer, path_id: Any, token: Any, description: Any, date: Any) -> dict[str, str]:
    path = arguments.uuid_text("pathId", path_id)
    drive = drive_of(token)
    added = drive.store.add_timestamp(
        drive.layer(path, type, EDIT).id,
        date=arguments.date_range("date", date),
        description=arguments.optional_string("description", description),
    )
    return {"id": added}


def set_active(type: Layer, path_id: Any, timestamp_id: Any, token: Any, *, active: bool) -> None:
    drive = drive_of(token)
    path, timestamp = _timestamp(drive, type, path_id, timestamp_id, EDIT)
    (drive.store.activate if active else drive.store.deactivate)(path, timestamp)


def bounds(type: Layer, path_id: Any, timestamp_id: Any, token: Any) -> Any:
    drive = drive_of(token, required=False)
    return drive.store.bounds(*_timestamp(drive, type, path_id, timestamp_id, VIEW))


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
    drive = drive_of(token)
    file_format = arguments.string("fileFormat", file_format)
    source, name = given_file(file_path, mem_file, name, path_wins=type == "raster")
    path, timestamp = _timestamp(drive, type, path_id, timestamp_id, EDIT)
    return {"id": drive.store.add_file(path, timestamp, source, name=name, format=file_format, **options)}


def target_path(file_path: Any) -> Path:
    """Where a download goes."""
    target = arguments.path_text("filePath", file_path)
    if target is None:
        raise ArgumentError("filePath must be of type string, not None", argument="filePath", value=None)
    return Path(target)


def list_files(type: Layer, path_id: Any, timestamp_id: Any, token: Any) -> dict[str, Any]:
    drive = drive_of(token)
    files = drive.store.files(*_timestamp(drive, type, path_id, timestamp_id, VIEW))
    return {"result": [file_answer(file) for file in files], "nextPageStart": None}


def download(type: Layer, path_id: Any, timestamp_id: Any, file_id: Any, file_path: Any, token: Any) -> None:
    drive = drive_of(token)
    file = arguments.uuid_text("fileId", file_id)
    target = target_path(file_path)
    path, timestamp = _timestamp(drive, type, path_id, timestamp_id, DOWNLOAD)
    drive.store.download(path, timestamp, file, target)
