"""`ellipsis.path.folder`."""

from __future__ import annotations

from typing import Any

from ellipsis_local.path.shared import add_path

__all__ = ["add"]


def add(
    name: str,
    token: str,
    parentId: str | None = None,
    publicAccess: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Make a folder: ``{'id': pathId}``."""
    return add_path("folder", name, token, parentId, publicAccess, metadata)
