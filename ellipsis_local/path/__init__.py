"""`ellipsis.path`: the functions of the client that compute scripts use to prepare layers and collect results."""

from __future__ import annotations

from typing import Any

from ellipsis_local import arguments
from ellipsis_local.answers import path_answer
from ellipsis_local.emulator import current_emulator
from ellipsis_local.path import file, folder, raster, vector

__all__ = ["file", "folder", "get", "raster", "vector"]


def get(pathId: str, token: str | None = None) -> dict[str, Any]:
    """What is known of a path.

    Returns
    -------
    dict
        `id`, `type`, `name`, `parentId`, `yourAccess`, and for a layer `raster` (`bands`, `format`: dtype,
        `timestamps`) or `vector` (`properties`, `timestamps`). A timestamp has `id`, `status` ('created', 'active',
        'passive'), `description` and `date`, a dict of naive UTC datetimes `from` and `to` (seen in the client).
    """
    path_id = arguments.uuid_text("pathId", pathId)
    arguments.optional_token(token)
    emulator = current_emulator()
    return path_answer(emulator.store, emulator.store.path(path_id))
