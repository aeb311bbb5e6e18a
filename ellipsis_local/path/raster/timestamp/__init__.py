"""`ellipsis.path.raster.timestamp`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ellipsis_local.errors import NotEmulatedError
from ellipsis_local.path import shared
from ellipsis_local.path.raster.timestamp import file

__all__ = ["activate", "add", "deactivate", "file", "getBounds"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def add(
    pathId: str, token: str, description: str | None = None, date: dict[str, Any] | None = None, remote: bool = False
) -> dict[str, str]:
    """Make a timestamp: ``{'id': timestampId}``, in status 'created'.

    `date` is now where None; NotEmulatedError for `remote`.

    Examples
    --------
    >>> layer = el.path.raster.add('new', token)['id']
    >>> when = el.path.raster.timestamp.add(layer, token, description='May')['id']
    >>> el.path.get(layer, token)['raster']['timestamps'][0]['description']
    'May'
    """
    if remote:
        raise NotEmulatedError("timestamps of remote files (remote=True) are not emulated")
    return shared.add_timestamp("raster", pathId, token, description, date)


def activate(pathId: str, timestampId: str, token: str) -> None:
    """Make a timestamp with files 'active'.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> ids = dem['pathId'], dem['timestampId']
    >>> el.path.raster.timestamp.deactivate(*ids, token)
    >>> el.path.raster.timestamp.activate(*ids, token)
    >>> el.path.get(ids[0], token)['raster']['timestamps'][-1]['status']
    'active'
    """
    shared.set_active("raster", pathId, timestampId, token, active=True)


def deactivate(pathId: str, timestampId: str, token: str) -> None:
    """Make a timestamp 'passive'.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> ids = dem['pathId'], dem['timestampId']
    >>> el.path.raster.timestamp.deactivate(*ids, token)
    >>> el.path.get(ids[0], token)['raster']['timestamps'][-1]['status']
    'passive'
    """
    shared.set_active("raster", pathId, timestampId, token, active=False)


def getBounds(pathId: str, timestampId: str, token: str | None = None) -> Any:
    """The area of the timestamp's files: a shapely geometry, EPSG:4326.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> ids = dem['pathId'], dem['timestampId']
    >>> [round(side, 2) for side in el.path.raster.timestamp.getBounds(*ids, token).bounds]
    [5.95, 51.89, 5.99, 51.91]
    """
    return shared.bounds("raster", pathId, timestampId, token)
