"""`ellipsis.path.raster.timestamp.file`: several files of one timestamp are a mosaic."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO

from ellipsis_local import arguments
from ellipsis_local.arguments import invalid
from ellipsis_local.path import shared

__all__ = ["add", "download", "get"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def add(
    pathId: str,
    timestampId: str,
    token: str,
    fileFormat: str,
    filePath: str | PathLike[str] | None = None,
    memFile: BinaryIO | None = None,
    epsg: int | None = None,
    noDataValue: float | None = None,
    mosaicPriority: str | None = None,
    name: str | None = None,
    remoteInfo: Any = None,
) -> dict[str, str]:
    """Add a raster file: ``{'id': fileId}``.

    Parameters
    ----------
    fileFormat : str
        'tif', or another format that rasterio reads.
    filePath, memFile : str or file object
        One of them; a memory file needs a `name`. It is read from its start, wherever its position is.
    epsg, noDataValue : int, float, optional
        In place of what the file says.
    mosaicPriority : str, optional
        'newest' (the default) lays the file on top of those that are there, 'oldest' beneath them (our reading).

    Examples
    --------
    >>> layer = el.path.raster.add('new', token)['id']
    >>> when = el.path.raster.timestamp.add(layer, token)['id']
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> el.layers.export(dem['pathId'], dem['timestampId'], 'dem.tif')
    >>> file = el.path.raster.timestamp.file.add(layer, when, token, 'tif', filePath='dem.tif')['id']
    >>> [one['name'] for one in el.path.raster.timestamp.file.get(layer, when, token)['result']]
    ['dem.tif']
    """
    if remoteInfo is not None:
        raise invalid("remoteInfo", remoteInfo, "is not emulated: give the file by filePath or memFile")
    return shared.add_file(
        "raster", pathId, timestampId, token, fileFormat, filePath, memFile, name,
        epsg=arguments.integer("epsg", epsg),
        nodata=arguments.number("noDataValue", noDataValue),
        mosaic_priority=arguments.optional_string("mosaicPriority", mosaicPriority),
    )  # fmt: skip


def get(
    pathId: str, timestampId: str, token: str, pageStart: str | None = None, listAll: bool = True
) -> dict[str, Any]:
    """The files: ``{'result': [{'id', 'name', 'status', 'message', 'info'}], 'nextPageStart': None}``.

    `status` is 'completed', or of uploads to a server 'pending' or 'errored', for the reason in `message` (seen in
    scripts). `info` holds `bounds`, a shapely geometry in EPSG:4326, and what is known of the file.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> ids = dem['pathId'], dem['timestampId']
    >>> [one['status'] for one in el.path.raster.timestamp.file.get(*ids, token)['result']]
    ['completed']
    """
    arguments.optional_uuid("pageStart", pageStart)
    arguments.boolean("listAll", listAll)
    return shared.list_files("raster", pathId, timestampId, token)


def download(pathId: str, timestampId: str, fileId: str, filePath: str | PathLike[str], token: str) -> None:
    """Write one file, as it was added, to `filePath`.

    Examples
    --------
    >>> dem = el.layers.load(names=['dem'])['dem']
    >>> ids = dem['pathId'], dem['timestampId']
    >>> file, *others = el.path.raster.timestamp.file.get(*ids, token)['result']
    >>> el.path.raster.timestamp.file.download(*ids, file['id'], file['name'], token)
    >>> Path(file['name']).exists()
    True
    """
    shared.download("raster", pathId, timestampId, fileId, filePath, token)
