"""`/path`: search, read, make, change and delete paths; folders and plain files."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from pydantic import Field

from ellipsis_local.answers import path_answer
from ellipsis_local.drive.search import Query as Search
from ellipsis_local.drive.search import search
from ellipsis_local.errors import NotEmulatedError
from ellipsis_local.server.auth import Asker
from ellipsis_local.server.file_responses import Download
from ellipsis_local.server.openapi import FILE
from ellipsis_local.server.path_json import paths_json
from ellipsis_local.server.request_models import (
    Body,
    DateRange,
    ExtentBody,
    Id,
    JsonObject,
    JsonQuery,
    Name,
    PageStart,
    PathId,
    PathTypes,
    Text,
)
from ellipsis_local.server.uploads import DESCRIPTION, received
from ellipsis_local.server.wire import WireRoute
from ellipsis_local.sharing import DOWNLOAD
from ellipsis_local.store import Taken
from ellipsis_local.types import PathType

router = APIRouter(route_class=WireRoute, tags=["path"])

EXTENT = '{"xMin": 4, "xMax": 5, "yMin": 52, "yMax": 53}'


class Resolution(Body):
    """Metres per pixel."""

    min: float
    max: float


class NewPath(Body):
    """What is said of a new path."""

    name: Name
    parentId: Id | None = None  # noqa: N815
    publicAccess: JsonObject | None = None  # noqa: N815
    metadata: JsonObject | None = None


class Trashed(Body):
    """Into the trash, or out of it."""

    trashed: bool


class Favourite(Body):
    """Whether a path is one of the user's favourites."""

    favorite: bool


class NewName(Body):
    """A new name."""

    name: Name


class Domains(Body):
    """Domains from which a path may be used: kept as data."""

    domains: Annotated[list[Annotated[str, Field(max_length=253)]], Field(max_length=100)] | None = None


class Metadata(Body):
    """What is to be changed; null leaves a part as it is."""

    description: Text | None = None
    attribution: Text | None = None
    license: Text | None = None
    properties: JsonObject | None = None


class Move(Body):
    """Paths and the folder that they move to; null is the user's own root."""

    pathIds: Annotated[list[Id], Field(min_length=1, max_length=1000)]  # noqa: N815
    parentId: Id | None = None  # noqa: N815


@router.get("/path")
def search_paths(
    asker: Asker,
    types: PathTypes = None,
    root: Annotated[Any, *JsonQuery(list[str] | None, '["myDrive"]')] = None,
    text: Text | None = None,
    user_id: Annotated[Id | None, Query(alias="userId")] = None,
    active: bool | None = None,
    hashtag: Text | None = None,
    extent: Annotated[Any, *JsonQuery(ExtentBody | None, EXTENT)] = None,
    resolution: Annotated[Any, *JsonQuery(Resolution | None, '{"min": 0, "max": 30}')] = None,
    date: Annotated[Any, *JsonQuery(DateRange | None, '{"from": "2024-01-01T00:00:00"}')] = None,
    page_start: PageStart = None,
) -> dict[str, Any]:
    """Find paths by type, text, owner, hashtag, extent, resolution and date.

    `text` is looked for in names and descriptions (our choice).
    """
    query = Search(
        types=types,
        roots=root,
        text=text,
        owner=user_id,
        active=active,
        hashtag=hashtag,
        extent=None if extent is None else extent.checked(),
        resolution=None if resolution is None else (resolution.min, resolution.max),
        date=None if date is None else (date.start, date.end),
    )
    return paths_json(asker.emulator, asker.guest, search(asker.guest, query), page_start)


@router.put("/path/parentId")
def move(asker: Asker, body: Move) -> None:
    """Move paths into a folder, or to the user's own root."""
    asker.drive.move(body.pathIds, body.parentId)


def _new(asker: Asker, type: PathType, body: NewPath, source: Taken | None = None) -> dict[str, str]:
    made = asker.drive.add(
        type, body.name, source=source, parent_id=body.parentId, metadata=body.metadata,
        public_access=body.publicAccess,
    )  # fmt: skip
    return {"id": made}


def _add_route(type: PathType) -> None:
    @router.post(f"/path/{type}", name=f"add_{type}")
    def add(asker: Asker, body: NewPath) -> dict[str, Any]:
        """Make a path, in a folder or in the user's own root."""
        return _new(asker, type, body)


for _type in ("raster", "vector", "folder"):
    _add_route(_type)


@router.post("/path/file", openapi_extra=DESCRIPTION)
async def add_file(request: Request, asker: Asker) -> dict[str, Any]:
    """Upload a plain file as a form: the file is the part `data` (seen in the client)."""
    # Before the body is read: who may not upload does not get to.
    await anyio.to_thread.run_sync(lambda: asker.drive)
    async with received(request, asker.emulator.home, request.app.state.max_upload) as upload:

        def add() -> dict[str, str]:
            objects = {name: upload.json(name, dict, "a JSON object") for name in ("publicAccess", "metadata")}
            texts = {"name": upload.text("name") or upload.file_name, "parentId": upload.text("parentId")}
            return _new(asker, "file", NewPath.model_validate(texts | objects), Taken(upload.taken))

        return await anyio.to_thread.run_sync(add)


@router.get("/path/setUpTask", include_in_schema=False)
def set_up_tasks() -> dict[str, Any]:
    # Else it would be taken for a path of that id.
    raise NotEmulatedError("GET /path/setUpTask is not emulated by ellipsis_local")


@router.get("/path/{pathId}")
def get(asker: Asker, path_id: PathId) -> dict[str, Any]:
    """Get a path with what it holds; where clients learn of bands, properties and timestamps (seen in the client)."""
    return path_answer(asker.emulator, asker.guest.path(path_id), asker.guest)


@router.delete("/path/{pathId}")
def delete(asker: Asker, path_id: PathId) -> None:
    """Delete a path for good, with all below it."""
    asker.drive.delete(path_id)


@router.get("/path/{pathId}/list")
def list_folder(
    asker: Asker,
    path_id: PathId,
    types: PathTypes = None,
    is_folder: Annotated[bool | None, Query(alias="isFolder")] = None,
    include_trashed: Annotated[bool, Query(alias="includeTrashed")] = False,
    page_start: PageStart = None,
) -> dict[str, Any]:
    """List what lies in a folder."""
    if types is None and is_folder is not None:
        # The older listPath asks so (seen in the client).
        types = ["folder"] if is_folder else ["raster", "vector", "file"]
    children = asker.guest.children(path_id, types, include_trashed=include_trashed)
    return paths_json(asker.emulator, asker.guest, children, page_start)


@router.get("/path/{pathId}/folder/traverse")
def traverse(
    asker: Asker,
    path_id: PathId,
    location: Annotated[Any, *JsonQuery(list[str], '["folder", "layer"]')],
    type: PathType | None = None,
) -> dict[str, Any]:
    """Get the path that is reached from a folder by names (documented)."""
    return path_answer(asker.emulator, asker.guest.traverse(path_id, location, type), asker.guest)


@router.put("/path/{pathId}/trashed")
def trash(asker: Asker, path_id: PathId, body: Trashed) -> None:
    """Move a path into the trash, or out of it, with all below it."""
    asker.drive.trash(path_id, body.trashed)


@router.put("/path/{pathId}/name")
def rename(asker: Asker, path_id: PathId, body: NewName) -> None:
    """Rename a path."""
    asker.drive.rename(path_id, body.name)


@router.put("/path/{pathId}/favorite")
def favourite(asker: Asker, path_id: PathId, body: Favourite) -> None:
    """Make a path one of the user's favourites, or no longer."""
    asker.emulator.sharing.set_favourite(asker.full_user, asker.drive.path(path_id).id, body.favorite)


@router.put("/path/{pathId}/domain")
def set_domains(asker: Asker, path_id: PathId, body: Domains) -> None:
    """Name the domains from which a path may be used: kept as data, without effect (our choice)."""
    asker.drive.set_domains(path_id, body.domains or [])


@router.patch("/path/{pathId}/publicAccess")
def edit_public_access(asker: Asker, path_id: PathId, body: JsonObject) -> None:
    """Say what everybody may do with a path; `hidden` keeps it out of searches (documented)."""
    asker.drive.set_public_access(path_id, body)


@router.patch("/path/{pathId}/metadata")
def edit_metadata(asker: Asker, path_id: PathId, body: Metadata) -> None:
    """Change description, attribution, licence and properties of a path; null leaves a part as it is."""
    asker.drive.set_metadata(path_id, body.model_dump())


@router.get("/path/{pathId}/file/data", responses=FILE)
def file_data(asker: Asker, path_id: PathId) -> Download:
    """Download a plain file, whole or a range of bytes."""
    record = asker.guest.path(path_id, DOWNLOAD)
    file = asker.emulator.store.get_plain_file(record.id)
    return Download(file.location, filename=file.name)
