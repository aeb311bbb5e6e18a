"""`ellipsis.path.raster`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ellipsis_local.path.raster import timestamp
from ellipsis_local.path.shared import add_path

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
    """Make a raster layer, without timestamps: ``{'id': pathId}``.

    Examples
    --------
    >>> layer = el.path.raster.add('new', token)['id']
    >>> el.path.get(layer, token)['raster']['timestamps']
    []
    """
    return add_path("raster", name, token, parentId, publicAccess, metadata)
