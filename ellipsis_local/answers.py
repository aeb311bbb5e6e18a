"""Catalogue records in the shape in which the client gives them to scripts (seen in the client)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from ellipsis_local.drive import Drive
from ellipsis_local.emulator import Emulator
from ellipsis_local.errors import LayerError
from ellipsis_local.types import STAND_IN, Extent, ExtentDict, PathRecord, RasterFile, StoredFile, Timestamp, VectorFile
from ellipsis_local.upstream import Pulled

OWNER_ACCESS = 950
"""Above 100 the client takes it that the user may download (seen in the client); who owns a home may do everything."""
MASK = "mask"
"""The band after the last one: tiles have it, so the client wants it counted (seen in the client)."""
VECTOR_ZOOM = 21
"""Of vector timestamps: the client widens an extent by half a tile of this zoom (seen in the client): 10 m."""
STYLES = uuid.UUID("5f0c8c4e-0a3f-5b0e-9d6f-2f7f3f0f6f10")
"""Namespace of the ids of default styles."""
DRAWN = {
    "color": "#f57c00", "alpha": 0.5, "width": 2, "radius": {"method": "constant", "parameters": {"value": 7}},
}  # fmt: skip
"""How map clients, which draw vectors themselves, do so by default (the form is seen in scripts)."""
WORLD = Extent(-180.0, -85.0, 180.0, 85.0)
"""The extent of a vector without features (seen in the service's schema)."""
GIBIBYTE = 2**30
"""The unit of `totalSize` (inferred: in a recorded answer it counts whole pages of a database)."""


def path_answer(emulator: Emulator, record: PathRecord, drive: Drive | None = None) -> dict[str, Any]:
    """What `path.get` answers: see there. Without a `drive`, as the home's own user sees it."""
    store, user = emulator.store, None if drive is None else drive.user
    answer: dict[str, Any] = {
        "id": record.id,
        "type": record.type,
        "name": record.name,
        "parentId": record.parent_id,
        "trashed": record.trashed,
        "metadata": record.metadata,
        "publicAccess": record.public_access,
        "yourAccess": {"accessLevel": OWNER_ACCESS if drive is None else drive.level(record)},
        "hashtags": emulator.sharing.hashtags(record.id),
        "favorite": emulator.sharing.is_favourite(user, record.id),
        "userId": record.owner,
        "user": _user(emulator, record),
    }
    if record.type == "raster":
        timestamps = store.catalogue.timestamps_of(record.id)
        files = [file for timestamp in timestamps for file in timestamp.rasters]
        extras = emulator.path_metadata.of(record.id)
        answer["raster"] = extras.get("raster", {}) | {
            "bands": _bands(files[-1], extras.get("bands", {})) if files else [],
            "format": files[-1].dtype if files else None,
            "asJpg": False,
            "styles": [_style(record)],
            "timestamps": [
                _timestamp(timestamp) | {"zoom": emulator.imagery.zoom(timestamp), "tarZoom": None}
                for timestamp in timestamps
            ],
        }
    elif record.type == "vector":
        timestamps = store.catalogue.timestamps_of(record.id)
        answer["vector"] = {
            "properties": emulator.features.properties(record.id),
            "renderOptions": None,
            "styles": [_style(record) | {"method": "singleColor", "parameters": DRAWN}],
            "timestamps": [_timestamp(timestamp) | {"zoom": VECTOR_ZOOM} for timestamp in timestamps],
        }
    elif record.type == "file":
        answer["file"] = {"size": store.get_plain_file(record.id).size}
    return answer


def _user(emulator: Emulator, record: PathRecord) -> dict[str, Any]:
    """Whose path it is; without a name where the user is not known here, or it is the home's own."""
    known = {} if record.owner is None else emulator.accounts.names([record.owner])
    return {"id": record.owner, "username": known.get(record.owner or ""), "disabled": False}


def _style(record: PathRecord) -> dict[str, Any]:
    """The only one: scripts take the first, map clients the default one."""
    return {"id": str(uuid.uuid5(STYLES, record.id)), "name": "default", "default": True}


def _bands(file: RasterFile, given: dict[str, str]) -> list[dict[str, Any]]:
    names = [*(file.descriptions or (None,) * file.bands), MASK]
    return [{"number": i, "name": given.get(str(i)) or name or f"band {i}"} for i, name in enumerate(names, start=1)]


def _naive(moment: datetime) -> datetime:
    """The client parses dates without their zone: naive, in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _timestamp(timestamp: Timestamp) -> dict[str, Any]:
    usable = timestamp.status == "active"
    unfinished = [file.status for file in timestamp.unfinished]
    return {
        "id": timestamp.id,
        "status": timestamp.status,
        "availability": {"blocked": not usable, "reason": None if usable else "paused"},
        "trashed": timestamp.trashed,
        "description": timestamp.description,
        "date": {"from": _naive(timestamp.date_from), "to": _naive(timestamp.date_to)},
        "extent": _extent(timestamp),
        "files": len(timestamp.files),
        "uploads": {
            "completed": len(timestamp.files),
            "errored": unfinished.count("errored"),
            "pending": unfinished.count("pending"),
        },
        "totalSize": sum(file.size for file in timestamp.files) / GIBIBYTE,
        **({STAND_IN: True} if timestamp.invented else {}),
    }


def _extent(timestamp: Timestamp) -> ExtentDict | None:
    """In EPSG:4326; None where there is nothing, or nothing that has a place there."""
    from ellipsis_local.store import footprint

    try:
        area = footprint(timestamp)
    except LayerError:
        # Outside of the area that its CRS is made for.
        return None
    if area.is_empty:
        return WORLD.to_dict() if timestamp.type == "vector" else None
    return Extent(*area.bounds).to_dict()


def file_answer(file: StoredFile) -> dict[str, Any]:
    """One file of a timestamp, as `timestamp.file.get` lists it; `info.bounds` is a shapely geometry in EPSG:4326."""
    from ellipsis_local.store import file_footprint

    info: dict[str, Any] = {"format": file.format, "size": file.size, "options": file.options}
    detail = file.detail
    if isinstance(detail, RasterFile):
        info |= {"crs": detail.crs, "width": detail.width, "height": detail.height, "bands": detail.bands}
        info |= {"dtype": detail.dtype, "noDataValue": detail.nodata}
    elif isinstance(detail, VectorFile):
        info |= {"crs": detail.crs, "features": detail.features, "properties": list(detail.fields)}
    info["bounds"] = None if detail is None else file_footprint(file)
    return {
        "id": file.id,
        "name": file.name,
        "date": _naive(file.created),
        "trashed": file.trashed,
        "status": file.status,
        "message": file.message,
        "info": info,
    }


def pull_answer(done: Pulled) -> dict[str, Any]:
    """What `layers.pull` answers: see there."""
    answer: dict[str, Any] = {"pathId": done.path_id, "type": done.type, "name": done.name}
    if done.type in ("raster", "vector"):
        answer |= {"timestampId": done.timestamps[-1] if done.timestamps else None, "timestamps": done.timestamps}
    answer |= {"pulled": done.pulled, "unchanged": done.unchanged, "skipped": done.skipped}
    if done.type == "folder":
        answer["paths"] = [pull_answer(one) for one in done.paths]
    return answer
