"""`/path/{id}/vector`: properties of a layer; features of a timestamp, read, added and changed."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import BeforeValidator, Field, WithJsonSchema

from ellipsis_local.features.query import START_KEY, collection, tile_extent
from ellipsis_local.server.auth import Asker, At
from ellipsis_local.server.request_models import Body, ExtentBody, FileId, Id, JsonQuery, Name, PathId, Text
from ellipsis_local.server.routes.paths import Trashed
from ellipsis_local.server.wire import WireRoute
from ellipsis_local.sharing import EDIT

router = APIRouter(route_class=WireRoute, prefix="/path/{pathId}/vector", tags=["vector"])

ONE = "/timestamp/{timestampId}"
TILES = '[{"tileId": {"zoom": 10, "tileX": 526, "tileY": 336}}]'
EXTENT = '{"xMin": 4, "xMax": 5, "yMin": 52, "yMax": 53}'
MOST_FEATURES = 3000
"""Per request, as the client sends them."""
PageSize = Annotated[int | None, Query(alias="pageSize", ge=1, le=10_000)]
Start = Annotated[Text | None, Query(alias="pageStart")]
"""Where a page begins: what the former page gave."""


def _feature_start(value: Any) -> Any:
    """An object, which travels as JSON, or a bare id, which does not (seen in the client)."""
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"must be an id, or JSON ({error})") from None


FeatureStart = Annotated[
    Any, BeforeValidator(_feature_start), WithJsonSchema({"type": "string"}), Query(alias="pageStart")
]
"""Where a page of features begins: an id, or the object that `featuresByExtent` gives."""
FeatureId = Annotated[Id, Path(alias="featureId")]
PropertyId = Annotated[Id, Path(alias="featurePropertyId")]
Ids = Annotated[list[Id], Field(max_length=MOST_FEATURES)]


class TileId(Body):
    """A tile of Web Mercator in OpenStreetMap's numbering."""

    zoom: Annotated[int, Field(ge=0, le=30)]
    tileX: int  # noqa: N815 - the wire's name
    tileY: int  # noqa: N815


class TilePage(Body):
    """A tile, and where its next page of features begins."""

    tileId: TileId  # noqa: N815
    pageStart: Any = None  # noqa: N815


Tiles = Annotated[list[TilePage], Field(max_length=100)]


class NewProperty(Body):
    """A property that features may have."""

    name: Name
    type: Text
    required: bool = False
    private: bool = False


class ChangedProperty(Body):
    """What is to be changed; null leaves it as it is."""

    required: bool | None = None
    private: bool | None = None


class NewFeature(Body):
    """A GeoJSON feature in EPSG:4326; the room below looks into it."""

    feature: dict[str, Any]


class NewFeatures(Body):
    """Features to add: all or none."""

    features: Annotated[list[NewFeature], Field(max_length=MOST_FEATURES)]


class Change(Body):
    """New properties and a new geometry of one feature; null leaves them as they are."""

    featureId: Id  # noqa: N815 - the wire's name
    newProperties: dict[str, Any] | None = None  # noqa: N815
    newGeometry: dict[str, Any] | None = None  # noqa: N815


class Changes(Body):
    """Changes: all or none."""

    changes: Annotated[list[Change], Field(max_length=MOST_FEATURES)]


class TrashedFeatures(Body):
    """Features into the trash, or out of it."""

    featureIds: Ids  # noqa: N815
    trashed: bool


class Revert(Body):
    """Whether a file's features go, or come back."""

    revert: bool


@router.post("/property")
def add_property(asker: Asker, path_id: PathId, body: NewProperty) -> dict[str, Any]:
    """Declare a property of the features of a layer; the same once more is nothing to do (the client sends again)."""
    record = asker.drive.layer(path_id, "vector", EDIT)
    made = asker.emulator.features.add_property(record.id, body.name, body.type, body.required, body.private)
    return {"id": made}


@router.patch("/property/{featurePropertyId}")
def edit_property(asker: Asker, path_id: PathId, property_id: PropertyId, body: ChangedProperty) -> None:
    """Change whether a property is required or private."""
    record = asker.drive.layer(path_id, "vector", EDIT)
    asker.emulator.features.edit_property(record.id, property_id, body.required, body.private)


@router.put("/property/{featurePropertyId}/trashed")
def trash_property(asker: Asker, path_id: PathId, property_id: PropertyId, body: Trashed) -> None:
    """Move a property into the trash, or out of it: features are shown without it meanwhile."""
    asker.emulator.features.trash_property(asker.drive.layer(path_id, "vector", EDIT).id, property_id, body.trashed)


@router.get(f"{ONE}/listFeatures")
@router.get(f"{ONE}/compressedListFeatures")
def list_features(at: At, start: FeatureStart = None, size: PageSize = None) -> dict[str, Any]:
    """List features in EPSG:4326, page by page (seen in the client; a page ends at 3 MB: our choice)."""
    return collection(at.emulator.features.page(at.view("vector"), start, size))


@router.get(f"{ONE}/featuresByExtent")
def by_extent(
    at: At,
    extent: Annotated[Any, *JsonQuery(ExtentBody, EXTENT)],
    property_filter: Annotated[Any, *JsonQuery(Any, "[]"), Query(alias="propertyFilter")] = None,
    start: FeatureStart = None,
    size: PageSize = None,
) -> dict[str, Any]:
    """List the features whose bounds meet an extent in EPSG:4326, page by page (seen in the client)."""
    timestamp = at.view("vector")
    found = at.emulator.features.by_extent(timestamp, extent.checked(), property_filter, start, size)
    return collection(found, START_KEY)


@router.get(f"{ONE}/featuresByTiles")
def by_tiles(
    at: At,
    tiles: Annotated[Any, *JsonQuery(Tiles, TILES)],
    property_filter: Annotated[Any, *JsonQuery(Any, "[]"), Query(alias="propertyFilter")] = None,
    size: PageSize = None,
) -> list[dict[str, Any]]:
    """For each tile a page of the features whose bounds meet it (seen in the map clients in JavaScript)."""
    timestamp, features = at.view("vector"), at.emulator.features
    places = [tile_extent(one.tileId.zoom, one.tileId.tileX, one.tileId.tileY) for one in tiles]
    return [
        collection(features.by_extent(timestamp, place, property_filter, one.pageStart, size), START_KEY)
        for place, one in zip(places, tiles, strict=True)
    ]


@router.get(f"{ONE}/featuresByIds")
def by_ids(at: At, ids: Annotated[Any, *JsonQuery(Ids, '["…"]'), Query(alias="geometryIds")]) -> dict[str, Any]:
    """Get features by their ids, in that order (seen in the client)."""
    return collection((at.emulator.features.by_ids(at.view("vector"), ids), None))


@router.get(f"{ONE}/location")
def location(
    at: At,
    locations: Annotated[Any, *JsonQuery(list[list[float]], "[[4.5, 52.1]]")],
    epsg: Annotated[int, Query()] = 4326,
) -> Any:
    """Get the features at places: polygons that hold it, then what is within 10 metres (our choice)."""
    return at.emulator.features.at_locations(at.view("vector"), locations, epsg)


@router.post(f"{ONE}/feature")
def add(at: At, body: NewFeatures) -> list[str]:
    """Add GeoJSON features in EPSG:4326, all or none, and get their ids (seen in the client)."""
    timestamp = at.edit("vector")
    features = [new.feature for new in body.features]
    return at.emulator.features.add(at.path_id, timestamp.id, features, at.asker.user)


@router.patch(f"{ONE}/feature")
def edit(at: At, body: Changes) -> None:
    """Change properties and geometries of features, all or none (seen in the client)."""
    timestamp = at.edit("vector")
    changes = [change.model_dump(exclude_none=True) for change in body.changes]
    at.emulator.features.edit(at.path_id, timestamp.id, changes, at.asker.user)


@router.put(f"{ONE}/feature/trashed")
def trash(at: At, body: TrashedFeatures) -> None:
    """Move features into the trash, or out of it."""
    at.emulator.features.trash(at.path_id, at.edit("vector").id, body.featureIds, body.trashed, at.asker.user)


@router.get(f"{ONE}/feature/{{featureId}}/version")
def versions(at: At, feature_id: FeatureId) -> dict[str, Any]:
    """List what a feature has been, the newest first (our choice), also of one in the trash."""
    return {"result": at.emulator.features.versions(at.view("vector"), feature_id), "nextPageStart": None}


@router.get(f"{ONE}/changelog")
def changes(
    at: At, start: Start = None, actions: Annotated[Any, *JsonQuery(list[str] | None, '["add"]')] = None
) -> dict[str, Any]:
    """List the changes of a timestamp's features, the newest first (our choice)."""
    timestamp = at.view("vector")
    found, following = at.emulator.features.changes(timestamp, start, None, actions)
    return {"result": found, "nextPageStart": following}


@router.post(f"{ONE}/file/{{fileId}}/revert")
def revert_file(at: At, file_id: FileId, body: Revert) -> None:
    """Take the features of a file out of the timestamp, or bring them back."""
    at.emulator.store.catalogue.trash_file(at.path_id, at.timestamp_id, at.edit_file(file_id, "vector").id, body.revert)
