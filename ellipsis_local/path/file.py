"""`ellipsis.path.file`: plain files, which createCompute hands to every node (`files=[pathId]`)."""

from __future__ import annotations

from os import PathLike
from typing import Any, BinaryIO

from ellipsis_local import arguments
from ellipsis_local.path.shared import add_path, drive_of, given_file, target_path
from ellipsis_local.sharing import DOWNLOAD

__all__ = ["add", "download"]


def add(
    token: str,
    filePath: str | PathLike[str] | None = None,
    memFile: BinaryIO | None = None,
    parentId: str | None = None,
    publicAccess: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    name: str | None = None,
) -> dict[str, str]:
    """Add a file of any kind: ``{'id': pathId}``. A memory file needs a name (the client fails on memory files)."""
    source, name = given_file(filePath, memFile, name)
    return add_path("file", name, token, parentId, publicAccess, metadata, source)


def download(pathId: str, filePath: str | PathLike[str], token: str | None = None) -> None:
    """Write the file to `filePath`, whole or not at all."""
    path_id = arguments.uuid_text("pathId", pathId)
    drive = drive_of(token, required=False)
    target = target_path(filePath)
    drive.store.download_plain_file(drive.path(path_id, DOWNLOAD).id, target)
