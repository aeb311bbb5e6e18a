"""`/path/{id}/raster`: pixels of a timestamp, as tiles, windows, values at points and statistics."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from ellipsis_local.errors import ArgumentError
from ellipsis_local.server.auth import Asker, At, TimestampRequest
from ellipsis_local.server.openapi import PICTURE
from ellipsis_local.server.request_models import Body, ExtentBody, FileId, Id, JsonObject, JsonQuery, PathId, Text
from ellipsis_local.server.routes.paths import NewName, Trashed
from ellipsis_local.server.wire import WireRoute
from ellipsis_local.types import Timestamp

router = APIRouter(route_class=WireRoute, prefix="/path/{pathId}/raster", tags=["raster"])

ONE = "/timestamp/{timestampId}"
EXTENT = '{"xMin": 500000, "xMax": 600000, "yMin": 6000000, "yMax": 6100000}'
POINT = '{"type": "Polygon", "coordinates": [[[4, 52], [5, 52], [5, 53], [4, 52]]]}'
ApplyStyle = Annotated[bool | None, Query(alias="applyStyle")]
Style = Annotated[Text | None, Query()]
"""Any style, by its id or in full: all are drawn in the default one."""
Location = Annotated[list[float], Field(min_length=2, max_length=2)]


class Options(Body):
    """How the service would show a raster: kept as data."""

    interpolation: Text | None = None
    includesTransparent: bool | None = None  # noqa: N815
    compressionQuality: Annotated[int, Field(ge=0, le=100)] | None = None  # noqa: N815


def readable(at: TimestampRequest) -> Timestamp:
    """An active timestamp, with files, that the user may view."""
    timestamp = at.view("raster")
    if timestamp.status != "active":
        text = f"timestamp {timestamp.id} is {timestamp.status!r}: activate it before making queries to it"
        raise ArgumentError(text, argument="timestampId", value=at.timestamp_id)
    return timestamp


def is_styled(style: str | None, apply: bool | None) -> bool:
    """Whether pixels are to be drawn: where a style is named, unless it is not to be applied (inferred)."""
    return style is not None if apply is None else apply


def picture(made: bytes, styled: bool) -> Response:
    return Response(made, media_type="image/png" if styled else "image/tiff")


@router.get(f"{ONE}/tile/{{z}}/{{x}}/{{y}}", responses={**PICTURE, 204: {"description": "an empty tile"}})
def tile(
    at: At,
    z: Annotated[int, Path(ge=0, le=30)],
    x: Annotated[int, Path(ge=0)],
    y: Annotated[int, Path(ge=0)],
    style: Style = None,
    apply: ApplyStyle = None,
) -> Response:
    """Get a tile of Web Mercator: 256 × 256 pixels, bands first, the last band the mask (seen in the client).

    A TIFF of the values, or a PNG drawn in one default style where a style is asked for (inferred from clients). 204
    where there is nothing.
    """
    styled = is_styled(style, apply)
    made = at.emulator.imagery.tile(readable(at), z, x, y, styled=styled)
    return Response(status_code=204) if made is None else picture(made, styled)


@router.get(f"{ONE}/rasterByExtent", responses=PICTURE)
def by_extent(
    at: At,
    extent: Annotated[Any, *JsonQuery(ExtentBody, EXTENT)],
    width: Annotated[int, Query(ge=1)],
    height: Annotated[int, Query(ge=1)],
    style: Style = None,
    apply: ApplyStyle = None,
) -> Response:
    """Get a window in EPSG:3857, in a width and height: bands last, the last one the mask (seen in the client)."""
    styled = is_styled(style, apply)
    return picture(at.emulator.imagery.window(readable(at), extent.checked(), width, height, styled=styled), styled)


@router.get(f"{ONE}/location")
def location(
    at: At, locations: Annotated[Any, *JsonQuery(list[Location], "[[4.5, 52.1]]"), Query(max_length=1000)]
) -> Any:
    """Get the values of all bands at places (longitude, latitude); null where there is none (seen in scripts)."""
    return at.emulator.imagery.locations(readable(at), locations)


@router.get("/timestamp/analyse")
def analyse(
    request: Request,
    asker: Asker,
    path_id: PathId,
    timestamp_ids: Annotated[Any, *JsonQuery(list[Id], '["…"]'), Query(alias="timestampIds", max_length=100)],
    geometry: Annotated[Any, *JsonQuery(JsonObject, POINT)],
    approximate: bool = True,
) -> Any:
    """Get statistics of the pixels inside a GeoJSON geometry in EPSG:4326, per timestamp and band.

    Pixels count whose centre lies inside (our choice). `approximate` takes a part of them where they are many; a
    parameter `percentiles` or `histogram` gives these alone (seen in the client).
    """
    timestamps = [readable(TimestampRequest(asker, path_id, timestamp_id)) for timestamp_id in timestamp_ids]
    # The client sends its returnType as a parameter of that name; others as the value of returnType.
    want = set(request.query_params) - {"timestampIds", "geometry", "approximate", "token", "returnType"}
    want |= set(request.query_params.getlist("returnType"))
    return asker.emulator.imagery.analyse(timestamps, geometry, approximate=approximate, want=want)


@router.put(f"{ONE}/file/{{fileId}}/trashed")
def trash_file(at: At, file_id: FileId, body: Trashed) -> None:
    """Move a file of a timestamp into the trash, or out of it; what is in the trash is no part of the layer."""
    file = at.edit_file(file_id, "raster")
    at.emulator.store.catalogue.trash_file(at.path_id, at.timestamp_id, file.id, body.trashed)


@router.put("/band/{bandNumber}/name")
def name_band(
    asker: Asker, path_id: PathId, band: Annotated[int, Path(alias="bandNumber", ge=1)], body: NewName
) -> None:
    """Name a band; the first is 1 (documented)."""
    asker.drive.name_band(path_id, band, body.name)


@router.patch("")
def edit(asker: Asker, path_id: PathId, body: Options) -> None:
    """Say how the service would show a raster: kept as data, without effect (our choice)."""
    asker.drive.set_raster_options(path_id, body.model_dump(exclude_none=True))
