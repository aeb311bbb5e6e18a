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

    Examples
    --------
    >>> layer = el.path.vector.add('new', token)['id']
    >>> when = el.path.vector.timestamp.add(layer, token, description='May')['id']
    >>> el.path.get(layer, token)['vector']['timestamps'][0]['description']
    'May'
    """
    arguments.json_value("properties", properties)
    return shared.add_timestamp("vector", pathId, token, description, date)


def activate(pathId: str, timestampId: str, token: str) -> None:
    """Make a timestamp 'active', which it is from the start, again after `deactivate`.

    Examples
    --------
    >>> trees = el.layers.load(names=['trees'])['trees']
    >>> ids = trees['pathId'], trees['timestampId']
    >>> el.path.vector.timestamp.deactivate(*ids, token)
    >>> el.path.vector.timestamp.activate(*ids, token)
    >>> el.path.get(ids[0], token)['vector']['timestamps'][-1]['status']
    'active'
    """
    shared.set_active("vector", pathId, timestampId, token, active=True)


def deactivate(pathId: str, timestampId: str, token: str) -> None:
    """Make a timestamp 'passive'.

    Examples
    --------
    >>> trees = el.layers.load(names=['trees'])['trees']
    >>> ids = trees['pathId'], trees['timestampId']
    >>> el.path.vector.timestamp.deactivate(*ids, token)
    >>> el.path.get(ids[0], token)['vector']['timestamps'][-1]['status']
    'passive'
    """
    shared.set_active("vector", pathId, timestampId, token, active=False)


def getBounds(pathId: str, timestampId: str, token: str | None = None) -> Any:
    """The rectangle around the timestamp's features: a shapely geometry, EPSG:4326.

    Examples
    --------
    >>> trees = el.layers.load(names=['trees'])['trees']
    >>> ids = trees['pathId'], trees['timestampId']
    >>> [round(side, 2) for side in el.path.vector.timestamp.getBounds(*ids, token).bounds]
    [5.95, 51.89, 5.99, 51.91]
    """
    return shared.bounds("vector", pathId, timestampId, token)
