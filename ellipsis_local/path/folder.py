"""`ellipsis.path.folder`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ellipsis_local.path.shared import add_path

__all__ = ["add"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def add(
    name: str,
    token: str,
    parentId: str | None = None,
    publicAccess: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Make a folder: ``{'id': pathId}``.

    Examples
    --------
    >>> folder = el.path.folder.add('rivers', token)['id']
    >>> el.path.get(folder, token)['type']
    'folder'
    """
    return add_path("folder", name, token, parentId, publicAccess, metadata)
