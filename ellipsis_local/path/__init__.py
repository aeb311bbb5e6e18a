"""`ellipsis.path`: the functions of the client that compute scripts use to prepare layers and collect results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ellipsis_local import arguments
from ellipsis_local.answers import path_answer
from ellipsis_local.api_functions import attach
from ellipsis_local.emulator import current_emulator
from ellipsis_local.path import file, folder, raster, vector
from ellipsis_local.path.shared import drive_of

__all__ = ["file", "folder", "get", "raster", "vector"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def get(pathId: str, token: str | None = None) -> dict[str, Any]:
    """What is known of a path.

    Returns
    -------
    dict
        `id`, `type`, `name`, `parentId`, `user`, `yourAccess`, and for a layer `raster` (`bands`, `format`: dtype,
        `styles`, `timestamps`) or `vector` (`properties`, `timestamps`). A timestamp has `id`, `status` ('created',
        'active', 'passive'), `description` and `date`, a dict of naive UTC datetimes `from` and `to` (seen in the
        client); `availability` with `blocked` and `reason`, `extent` in degrees, `trashed`, `totalSize` in GiB and
        `uploads`, the number of its files by status (seen in scripts and other clients).

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> path = el.path.get(dem['pathId'], token)
    >>> path['type'], path['raster']['format']
    ('raster', 'float32')
    """
    path_id = arguments.uuid_text("pathId", pathId)
    drive = drive_of(token, required=False)
    return path_answer(current_emulator(), drive.path(path_id), drive)


attach("path")
