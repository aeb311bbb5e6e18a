"""`/path/{id}/vector`: properties of a layer; features of a timestamp, read, added and changed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from ellipsis_local.features.query import collection
from ellipsis_local.server.auth import Asker, At
from ellipsis_local.server.request_models import (
    Body,
    ExtentBody,
    FileId,
    Id,
    JsonQuery,
    Name,
    PathIdParam,
    Pick,
    Text,
    extent_of,
)
from ellipsis_local.server.routes.paths import Trashed
from ellipsis_local.server.wire import WireRoute
from ellipsis_local.sharing import EDIT

router = APIRouter(route_class=WireRoute, prefix="/path/{pathId}/vector", tags=["vector"])

ONE = "/timestamp/{timestampId}"
EXTENT = '{"xMin": 4, "xMax": 5, "yMin": 52, "yMax": 53}'
MOST_FEATURES = 3000
"""Per request, as the client sends them."""
PageSize = Annotated[int | None, Pick("pageSize", ge=1, le=10_000)]
Start = Annotated[Text | None, Pick("pageStart")]
"""Where a page of features begins: what the former page gave."""
FeatureId = Annotated[Id, Path(alias="featureId")]
PropertyId = Annotated[Id, Path(alias="propertyId")]
Ids = Annotated[list[Id], Field(max_length=MOST_FEATURES)]


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


# ----- properties ----------------------------------------------------------------------------------------------------


@router.post("/property")
def add_property(asker: Asker, path_id: PathIdParam, body: NewProperty) -> dict[str, Any]:
    record = asker.drive.layer(path_id, "vector", EDIT)
    made = asker.emulator.features.add_property(record.id, body.name, body.type, body.required, body.private)
    return {"id": made}


@router.patch("/property/{propertyId}")
def edit_property(asker: Asker, path_id: PathIdParam, property_id: PropertyId, body: ChangedProperty) -> None:
    record = asker.drive.layer(path_id, "vector", EDIT)
    asker.emulator.features.edit_property(record.id, property_id, body.required, body.private)


@router.put("/property/{propertyId}/trashed")
def trash_property(asker: Asker, path_id: PathIdParam, property_id: PropertyId, body: Trashed) -> None:
    record = asker.drive.layer(path_id, "vector", EDIT)
    asker.emulator.features.trash_property(record.id, property_id, body.trashed)


# ----- reading -------------------------------------------------------------------------------------------------------


@router.get(f"{ONE}/listFeatures")
@router.get(f"{ONE}/compressedListFeatures")
def list_features(at: At, start: Start = None, size: PageSize = None) -> dict[str, Any]:
    timestamp = at.view("vector")
    return collection(at.emulator.features.page(timestamp, start, size))


@router.get(f"{ONE}/featuresByExtent")
def by_extent(
    at: At,
    extent: Annotated[Any, *JsonQuery(ExtentBody, EXTENT), Pick("extent")],
    property_filter: Annotated[Any, *JsonQuery(Any, "[]"), Pick("propertyFilter")] = None,
    start: Start = None,
    size: PageSize = None,
) -> dict[str, Any]:
    timestamp = at.view("vector")
    found = at.emulator.features.by_extent(timestamp, extent_of(extent), property_filter, start, size)
    return collection(found)


@router.get(f"{ONE}/featuresByIds")
def by_ids(at: At, ids: Annotated[Any, *JsonQuery(Ids, '["…"]'), Pick("geometryIds")]) -> dict[str, Any]:
    timestamp = at.view("vector")
    return collection((at.emulator.features.by_ids(timestamp, ids), None))


@router.get(f"{ONE}/location")
def location(
    at: At,
    locations: Annotated[Any, *JsonQuery(list[list[float]], "[[4.5, 52.1]]"), Pick("locations")],
    epsg: Annotated[int, Query()] = 4326,
) -> Any:
    timestamp = at.view("vector")
    return at.emulator.features.at_locations(timestamp, locations, epsg)


# ----- change --------------------------------------------------------------------------------------------------------


@router.post(f"{ONE}/feature")
def add(at: At, body: NewFeatures) -> list[str]:
    timestamp = at.edit("vector")
    features = [new.feature for new in body.features]
    return at.emulator.features.add(at.path_id, timestamp.id, features, at.asker.user)


@router.patch(f"{ONE}/feature")
def edit(at: At, body: Changes) -> None:
    timestamp = at.edit("vector")
    changes = [change.model_dump(exclude_none=True) for change in body.changes]
    at.emulator.features.edit(at.path_id, timestamp.id, changes, at.asker.user)


@router.put(f"{ONE}/feature/trashed")
def trash(at: At, body: TrashedFeatures) -> None:
    timestamp = at.edit("vector")
    at.emulator.features.trash(at.path_id, timestamp.id, body.featureIds, body.trashed, at.asker.user)


@router.get(f"{ONE}/feature/{{featureId}}/version")
def versions(at: At, feature_id: FeatureId) -> dict[str, Any]:
    timestamp = at.view("vector")
    return {"result": at.emulator.features.versions(timestamp, feature_id), "nextPageStart": None}


@router.get(f"{ONE}/changelog")
def changes(
    at: At,
    start: Start = None,
    actions: Annotated[Any, *JsonQuery(list[str] | None, '["add"]'), Pick("actions")] = None,
) -> dict[str, Any]:
    timestamp = at.view("vector")
    found, following = at.emulator.features.changes(timestamp, start, None, actions)
    return {"result": found, "nextPageStart": following}


@router.post(f"{ONE}/file/{{fileId}}/revert")
def revert_file(at: At, file_id: FileId, body: Revert) -> None:
    file = at.edit_file(file_id, "vector")
    at.emulator.store.catalogue.trash_file(at.path_id, at.timestamp_id, file.id, body.revert)
