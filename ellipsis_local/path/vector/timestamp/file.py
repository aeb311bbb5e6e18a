"""`ellipsis.path.vector.timestamp.file`: several files of one timestamp are read one after the other."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO

from ellipsis_local import arguments
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
    name: str | None = None,
    epsg: int | None = None,
    dateColumns: list[str] | None = None,
    datePatterns: list[str] | None = None,
    method: str = "simplify",
    fastUpload: bool = True,
) -> dict[str, str]:
    """Add a vector file: ``{'id': fileId}``.

    Parameters
    ----------
    fileFormat : str
        'gpkg', 'geojson', 'zip' (a zipped Shapefile), or another format that pyogrio reads.
    filePath, memFile : str or file object
        One of them; a memory file needs a `name`. It is read from its start, wherever its position is.
    epsg : int, optional
        In place of what the file says.
    dateColumns, datePatterns, method, fastUpload
        Checked and without effect: columns keep the types that the file gives them.

    Examples
    --------
    >>> layer = el.path.vector.add('new', token)['id']
    >>> when = el.path.vector.timestamp.add(layer, token)['id']
    >>> trees = el.layers.load(names=['trees'])['trees']
    >>> el.layers.export(trees['pathId'], trees['timestampId'], 'trees.gpkg')
    >>> file = el.path.vector.timestamp.file.add(layer, when, token, 'gpkg', filePath='trees.gpkg')['id']
    >>> [one['name'] for one in el.path.vector.timestamp.file.get(layer, when, token)['result']]
    ['trees.gpkg']
    """
    arguments.string_list("dateColumns", dateColumns)
    arguments.string_list("datePatterns", datePatterns)
    arguments.string("method", method)
    arguments.boolean("fastUpload", fastUpload)
    return shared.add_file(
        "vector", pathId, timestampId, token, fileFormat, filePath, memFile, name, epsg=arguments.integer("epsg", epsg)
    )


def get(
    pathId: str, timestampId: str, token: str, pageStart: str | None = None, listAll: bool = True
) -> dict[str, Any]:
    """The files: ``{'result': [{'id', 'name', 'status', 'message', 'info'}], 'nextPageStart': None}``.

    `status` is 'completed', or of uploads to a server 'pending' or 'errored', for the reason in `message` (seen in
    scripts). `info` holds `bounds`, a shapely geometry in EPSG:4326, and what is known of the file.

    Examples
    --------
    >>> trees = el.layers.load(names=['trees'])['trees']
    >>> ids = trees['pathId'], trees['timestampId']
    >>> [one['status'] for one in el.path.vector.timestamp.file.get(*ids, token)['result']]
    ['completed']
    """
    arguments.optional_uuid("pageStart", pageStart)
    arguments.boolean("listAll", listAll)
    return shared.list_files("vector", pathId, timestampId, token)


def download(pathId: str, timestampId: str, fileId: str, filePath: str | PathLike[str], token: str) -> None:
    """Write one file, as it was added, to `filePath`.

    Examples
    --------
    >>> trees = el.layers.load(names=['trees'])['trees']
    >>> ids = trees['pathId'], trees['timestampId']
    >>> file, *others = el.path.vector.timestamp.file.get(*ids, token)['result']
    >>> el.path.vector.timestamp.file.download(*ids, file['id'], file['name'], token)
    >>> Path(file['name']).exists()
    True
    """
    shared.download("vector", pathId, timestampId, fileId, filePath, token)
