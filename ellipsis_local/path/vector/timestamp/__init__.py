"""`ellipsis.path.vector.timestamp`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ellipsis_local import arguments
from ellipsis_local.path import shared
from ellipsis_local.path.vector.timestamp import file

__all__ = ["activate", "add", "deactivate", "file", "getBounds"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def add(
    pathId: str, token: str, properties: Any = None, description: str | None = None, date: dict[str, Any] | None = None
) -> dict[str, str]:
    """Make a timestamp: ``{'id': timestampId}``, usable at once: in status 'active' (inferred from scripts).

    `date` is now where None. Properties come from the files; given ones have no effect.
    """
    arguments.json_value("properties", properties)
    return shared.add_timestamp("vector", pathId, token, description, date)


def activate(pathId: str, timestampId: str, token: str) -> None:
    """Make a timestamp 'active', which it is from the start, again after `deactivate`."""
    shared.set_active("vector", pathId, timestampId, token, active=True)


def deactivate(pathId: str, timestampId: str, token: str) -> None:
    """Make a timestamp 'passive'."""
    shared.set_active("vector", pathId, timestampId, token, active=False)


def getBounds(pathId: str, timestampId: str, token: str | None = None) -> Any:
    """The rectangle around the timestamp's features: a shapely geometry, EPSG:4326."""
    return shared.bounds("vector", pathId, timestampId, token)
