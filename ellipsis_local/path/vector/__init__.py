"""`ellipsis.path.vector`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ellipsis_local.path.shared import add_path
from ellipsis_local.path.vector import timestamp

__all__ = ["add", "timestamp"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def add(
    name: str,
    token: str,
    parentId: str | None = None,
    publicAccess: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Make a vector layer, without timestamps: ``{'id': pathId}``.

    Examples
    --------
    >>> layer = el.path.vector.add('new', token)['id']
    >>> el.path.get(layer, token)['vector']['timestamps']
    []
    """
    return add_path("vector", name, token, parentId, publicAccess, metadata)
