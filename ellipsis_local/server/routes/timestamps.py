"""`/path/{id}/raster/timestamp` and `/path/{id}/vector/timestamp`: what both types of layer have in common."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request, Response

from ellipsis_local.answers import file_answer
from ellipsis_local.drive.drive import LayerType
from ellipsis_local.errors import ArgumentError, NotEmulatedError
from ellipsis_local.server.auth import Asker, At
from ellipsis_local.server.file_responses import download, download_size
from ellipsis_local.server.openapi import FILE
from ellipsis_local.server.path_json import page
from ellipsis_local.server.request_models import Body, DateRange, FileId, JsonObject, Name, PageStart, PathId, Text
from ellipsis_local.server.routes.paths import Trashed
from ellipsis_local.server.uploads import DESCRIPTION, Upload, received
from ellipsis_local.server.wire import WireRoute
from ellipsis_local.sharing import DOWNLOAD, EDIT
from ellipsis_local.store import NewFile, Taken
from ellipsis_local.types import StoredFile


class NewTimestamp(Body):
    """What is said of a new timestamp."""

    date: DateRange | None = None
    description: Text | None = None
    remote: bool | None = None
    properties: JsonObject | list[Any] | None = None


class ChangedTimestamp(Body):
    """What is to be changed; null leaves it as it is."""

    date: DateRange | None = None
    description: Text | None = None


class UploadFields(Body):
    name: Name
    format: Text


def dates_of(given: DateRange | None) -> tuple[Any, Any] | None:
    """From and to; one alone stands for both."""
    if given is None or (given.start is None and given.end is None):
        return None
    return given.start or given.end, given.end or given.start


def timestamp_routes(type: LayerType) -> APIRouter:
    router = APIRouter(route_class=WireRoute, prefix=f"/path/{{pathId}}/{type}/timestamp", tags=[type])
    one = "/{timestampId}"

    @router.post("", name=f"add_{type}_timestamp")
    def add(asker: Asker, path_id: PathId, body: NewTimestamp) -> dict[str, Any]:
        """Make a timestamp of the layer, without files; `remote` is not emulated."""
        if body.remote:
            raise NotEmulatedError("timestamps of remote files (remote=True) are not emulated")
        record = asker.drive.layer(path_id, type, EDIT)
        store = asker.emulator.store
        return {"id": store.add_timestamp(record.id, date=dates_of(body.date), description=body.description)}

    @router.patch(one, name=f"edit_{type}_timestamp")
    def edit(at: At, body: ChangedTimestamp) -> None:
        """Change date and description of a timestamp."""
        given: dict[str, Any] = {"date": dates_of(body.date), "description": body.description}
        given = {name: value for name, value in given.items() if value is not None}
        at.emulator.store.catalogue.edit_timestamp(at.path_id, at.edit(type).id, **given)

    @router.delete(one, name=f"delete_{type}_timestamp")
    def delete(at: At) -> None:
        """Delete a timestamp and its files for good."""
        at.emulator.store.remove(at.path_id, at.edit(type).id)

    @router.put(f"{one}/trashed", name=f"trash_{type}_timestamp")
    def trash(at: At, body: Trashed) -> None:
        """Move a timestamp into the trash, or out of it."""
        at.emulator.store.catalogue.trash_timestamp(at.path_id, at.edit(type).id, body.trashed)

    @router.post(f"{one}/activate", name=f"activate_{type}_timestamp")
    def activate(at: At) -> None:
        """Make a timestamp usable."""
        at.emulator.store.activate(at.path_id, at.edit(type).id)

    @router.post(f"{one}/deactivate", name=f"deactivate_{type}_timestamp")
    def deactivate(at: At) -> None:
        """Make a timestamp unusable, until it is activated again."""
        at.emulator.store.deactivate(at.path_id, at.edit(type).id)

    @router.get(f"{one}/bounds", name=f"{type}_bounds")
    def bounds(at: At) -> Any:
        """Get where the data of a timestamp lie, as a GeoJSON geometry in EPSG:4326 (seen in the client)."""
        timestamp = at.asker.guest.timestamp(at.path_id, at.timestamp_id, type)
        return at.emulator.store.bounds(at.path_id, timestamp.id).__geo_interface__

    @router.post(f"{one}/file", name=f"add_{type}_file", openapi_extra=DESCRIPTION)
    async def add_file(request: Request, at: At, remote: Annotated[bool, Query()] = False) -> dict[str, Any]:
        """Upload a file as a form: the file is the part `data` (seen in the client).

        It is looked at after the answer; the list of files shows how that ends (seen in scripts). `remoteInfo` is not
        emulated.
        """
        if remote:
            raise NotEmulatedError("files that lie elsewhere (remoteInfo) are not emulated: upload the file")
        # Before the body is read: who may not upload does not get to.
        timestamp = await anyio.to_thread.run_sync(lambda: at.edit(type))
        async with received(request, at.emulator.home, request.app.state.max_upload) as upload:

            def add() -> str:
                file, priority = new_file(type, upload)
                size = upload.taken.stat().st_size
                store = at.emulator.store
                return store.add_upload(at.path_id, timestamp.id, file, size, mosaic_priority=priority)

            return {"id": await anyio.to_thread.run_sync(add)}

    @router.get(f"{one}/{'file' if type == 'raster' else 'upload'}", name=f"list_{type}_files")
    def list_files(at: At, page_start: PageStart = None) -> dict[str, Any]:
        """List the files of a timestamp; one that cannot be read is `errored`, with its `message` (seen in scripts)."""
        timestamp = at.asker.drive.timestamp(at.path_id, at.timestamp_id, type)
        files = at.emulator.store.files(at.path_id, timestamp.id)
        return page(files, page_start, lambda file: file.id, file_json)

    @router.get(f"{one}/file/{{fileId}}/data", name=f"{type}_file_data", responses=FILE)
    def file_data(at: At, file_id: FileId) -> Response:
        """Download a file as it was uploaded, whole or a range of bytes."""
        return download(at.emulator.home, at.asker.guest.file(at.path_id, at.timestamp_id, file_id, type, DOWNLOAD))

    @router.delete(f"{one}/file/{{fileId}}", name=f"delete_{type}_file")
    def delete_file(at: At, file_id: FileId) -> None:
        """Delete a file of a timestamp for good."""
        at.emulator.store.remove_file(at.path_id, at.timestamp_id, at.edit_file(file_id, type).id)

    return router


def file_json(file: StoredFile) -> dict[str, Any]:
    """A file as it is listed; its size is that of the download, which a client may hold it against."""
    answer = file_answer(file)
    answer["info"]["size"] = download_size(file)
    return answer


def new_file(type: LayerType, upload: Upload) -> tuple[NewFile, str | None]:
    """What an upload adds, and where in the mosaic."""
    given = UploadFields.model_validate(
        {"name": upload.text("name") or upload.file_name, "format": upload.text("format")}
    )
    if upload.text("remoteInfo") is not None:
        raise NotEmulatedError("files that lie elsewhere (remoteInfo) are not emulated: upload the file")
    for name in ("dateColumns", "datePatterns"):  # without effect, as in `path.vector.timestamp.file.add`
        upload.json(name, list, "a list of strings")
    epsg = upload.json("epsg", int, "of type int")
    nodata = upload.json("noDataValue", (int, float), "of type float") if type == "raster" else None
    if nodata is not None and nodata != nodata:
        raise ArgumentError("noDataValue must be a number", argument="noDataValue", value=nodata)
    priority = upload.text("mosaicPriority") if type == "raster" else None
    return NewFile(Taken(upload.taken), given.name, given.format, epsg, nodata), priority
