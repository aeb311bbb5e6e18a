"""`ellipsis.path.file`: plain files, which createCompute hands to every node (`files=[pathId]`)."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO

from ellipsis_local import arguments
from ellipsis_local.arguments import invalid
from ellipsis_local.emulator import current_emulator
from ellipsis_local.path.shared import add_path, drive_of, given_file, target_path
from ellipsis_local.sharing import DOWNLOAD

__all__ = ["add", "addCsv", "addJson", "addPickle", "download", "getCsv", "getJson", "getPickle"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def add(
    token: str,
    filePath: str | PathLike[str] | None = None,
    memFile: BinaryIO | None = None,
    parentId: str | None = None,
    publicAccess: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    name: str | None = None,
) -> dict[str, str]:
    """Add a file of any kind: ``{'id': pathId}``. A memory file needs a name (the client fails on memory files).

    Examples
    --------
    >>> import io
    >>> file = el.path.file.add(token, memFile=io.BytesIO(b'a text'), name='notes.txt')['id']
    >>> el.path.get(file, token)['name']
    'notes.txt'
    """
    source, name = given_file(filePath, memFile, name)
    return add_path("file", name, token, parentId, publicAccess, metadata, source)


def download(pathId: str, filePath: str | PathLike[str], token: str | None = None) -> None:
    """Write the file to `filePath`, whole or not at all.

    Examples
    --------
    >>> file = el.path.file.addJson({'a': 1}, 'settings.json', token)['id']
    >>> el.path.file.download(file, 'copy.json', token)
    >>> Path('copy.json').read_text()
    '{"a": 1}'
    """
    path_id = arguments.uuid_text("pathId", pathId)
    drive = drive_of(token, required=False)
    target = target_path(filePath)
    drive.store.download_plain_file(drive.path(path_id, DOWNLOAD).id, target)


def addCsv(
    df: Any,
    name: str,
    token: str,
    parentId: str | None = None,
    publicAccess: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Add a DataFrame as a CSV file, with its index (seen in the client): ``{'id': pathId}``.

    Examples
    --------
    >>> import pandas as pd
    >>> file = el.path.file.addCsv(pd.DataFrame({'depth': [3.5, 4]}), 'wells.csv', token)['id']
    >>> el.path.file.getCsv(file, token)['depth'].tolist()
    [3.5, 4.0]
    """
    import pandas as pd

    if not isinstance(df, pd.DataFrame):
        raise invalid("df", df, f"must be of type pandas data frame, not {type(df).__name__}")
    return add(token, None, io.BytesIO(df.to_csv().encode()), parentId, publicAccess, metadata, name)


def addJson(
    d: Any,
    name: str,
    token: str,
    parentId: str | None = None,
    publicAccess: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Add a value as a JSON file: ``{'id': pathId}``.

    Examples
    --------
    >>> file = el.path.file.addJson({'a': 1}, 'settings.json', token)['id']
    >>> el.path.file.getJson(file, token)
    {'a': 1}
    """
    data = json.dumps(arguments.json_value("d", d)).encode()
    return add(token, None, io.BytesIO(data), parentId, publicAccess, metadata, name)


def addPickle(
    x: Any,
    name: str,
    token: str,
    parentId: str | None = None,
    publicAccess: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> dict[str, str]:
    """Add an object as a pickle: ``{'id': pathId}``.

    Examples
    --------
    >>> file = el.path.file.addPickle({1, 2}, 'numbers.pickle', token)['id']
    >>> el.path.file.getPickle(file, token)
    {1, 2}
    """
    return add(token, None, io.BytesIO(pickle.dumps(x)), parentId, publicAccess, metadata, name)


def getCsv(pathId: str, token: str | None = None) -> Any:
    """A CSV file as a DataFrame, the index of `addCsv` as its first column (seen in the client).

    Examples
    --------
    >>> import pandas as pd
    >>> file = el.path.file.addCsv(pd.DataFrame({'depth': [3.5, 4]}), 'wells.csv', token)['id']
    >>> el.path.file.getCsv(file, token).columns.tolist()
    ['Unnamed: 0', 'depth']
    """
    import pandas as pd

    return _read(pathId, token, pd.read_csv, "CSV")


def getJson(pathId: str, token: str | None = None) -> Any:
    """The value of a JSON file.

    Examples
    --------
    >>> file = el.path.file.addJson({'a': 1}, 'settings.json', token)['id']
    >>> el.path.file.getJson(file, token)
    {'a': 1}
    """
    return _read(pathId, token, json.load, "JSON")


def getPickle(pathId: str, token: str | None = None) -> Any:
    """The object of a pickle, which may run any code: read none that you do not trust.

    Examples
    --------
    >>> file = el.path.file.addPickle({1, 2}, 'numbers.pickle', token)['id']
    >>> el.path.file.getPickle(file, token)
    {1, 2}
    """
    return _read(pathId, token, pickle.load, "pickle")


def _read(path_id: Any, token: Any, read: Callable[[BinaryIO], Any], kind: str) -> Any:
    record = drive_of(token, required=False).path(arguments.uuid_text("pathId", path_id), DOWNLOAD)
    with current_emulator().store.get_plain_file(record.id).location.open("rb") as file:
        try:
            return read(file)
        except Exception as error:
            text = f"names {record.name!r}, which is no valid {kind} file ({type(error).__name__}: {error})"
            raise invalid("pathId", path_id, text) from error
