"""The files behind the urls that `execute` returns."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import BinaryIO

from ellipsis_local.computes.records import Records
from ellipsis_local.errors import ArgumentError, NotFoundError, StoreError
from ellipsis_local.home import Home

UUID = "[0-9a-fA-F-]{36}"
URL = re.compile(rf"/compute/({UUID})/file/({UUID})")


def file_url(compute_id: str, file_id: str) -> str:
    """How `execute` names one node's large result (seen in the client)."""
    return f"/compute/{compute_id}/file/{file_id}"


def result_path(home: Home, records: Records, url: str, owner: str) -> Path:
    """The file behind a url; ArgumentError where it is none, NotFoundError where the file is not there (any more)."""
    match = URL.fullmatch(url)
    if match is None:
        text = f"{url!r} is no result file: give what execute returned for a compute made with largeResult=True"
        raise ArgumentError(text, argument="url", value=url)
    compute_id, file_id = match.groups()
    records.get(compute_id, owner)
    path = home.compute(compute_id) / "results" / file_id
    if not path.is_file():
        text = f"compute {compute_id} holds no result {file_id}; execute the function again"
        raise NotFoundError(text, argument="url", value=url)
    return path


def copy_result(source: Path, target: str | None, memfile: BinaryIO | None) -> None:
    """Copy a result to a file, whole or not at all, or into a file object."""
    if target is not None:
        path = Path(target).absolute()
        try:
            with Home.publish_file(path) as draft:
                shutil.copyfile(source, draft)
        except OSError as error:
            raise StoreError(f"filePath {target!r} cannot be written: {error.strerror or error}") from error
    if memfile is not None:
        with source.open("rb") as file:
            shutil.copyfileobj(file, memfile)
