"""Downloads: files from disk in large pieces, whole or in ranges, with refusals that are JSON, too."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from ellipsis_local.errors import NotFoundError, StoreError
from ellipsis_local.home import Home
from ellipsis_local.server.error_responses import error_response
from ellipsis_local.types import StoredFile

REFUSALS = {
    400: "the Range header cannot be read; it must be like bytes=0-1023",
    416: "the Range header asks for bytes that the file does not have",
}


def download(home: Home, file: StoredFile) -> Response:
    """A file of the store: of one with sidecars the main file, of a Shapefile a zip, as it would be uploaded."""
    if file.format != "shp" or len(file.parts) < 2:
        return Download(file.location, filename=file.name)
    # Without a name: it is gone with the answer, however that ends.
    made = tempfile.TemporaryFile(dir=home.layers)  # noqa: SIM115 - closed by the answer
    try:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for part in file.parts:
                archive.write(file.folder / part, part)
    except OSError as error:
        made.close()
        raise StoreError(f"{file.name}: its zip cannot be made: {error.strerror}") from error
    name = quote(f"{Path(file.name).stem}.zip")
    headers = {"content-length": str(made.tell()), "content-disposition": f"attachment; filename*=utf-8''{name}"}
    return StreamingResponse(_pieces(made), media_type="application/octet-stream", headers=headers)


def download_size(file: StoredFile) -> int | None:
    """How many bytes `download` sends; None where that is not known before."""
    if len(file.parts) < 2:
        return file.size
    return None if file.format == "shp" else file.location.stat().st_size


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while data := file.read(Download.chunk_size):
            yield data


class Download(FileResponse):
    """A file, under a name for whoever saves it; NotFoundError where it is not on the disk any more."""

    chunk_size = 1024**2
    """Each piece is read in a thread: few large ones."""

    def __init__(self, path: str | os.PathLike[str], *, filename: str) -> None:
        if not Path(path).is_file():
            raise NotFoundError(f"the file {filename!r} is in the home no longer; add it again", argument="fileId")
        super().__init__(path, media_type="application/octet-stream", filename=filename)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: Response | None = None

        async def checked(message: Message) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start" and message["status"] in REFUSALS:
                # Starlette refuses a range in plain text.
                headers = {k.decode(): v.decode() for k, v in message["headers"] if k == b"content-range"}
                refusal = error_response(message["status"], REFUSALS[message["status"]], headers)
            if refusal is None:
                await send(message)

        await super().__call__(scope, receive, checked)
        if refusal is not None:
            await refusal(scope, receive, send)
