"""Catalogue records in the shape in which the client gives them to scripts (seen in the client)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from ellipsis_local.store import LayerStore
from ellipsis_local.types import PathRecord, RasterFile, StoredFile, Timestamp, VectorFile

__all__ = ["file_answer", "path_answer"]

WORLD = 2 * math.pi * 6378137.0
"""Width of Web Mercator in metres."""
TILE = 256
OWNER_ACCESS = 950
"""Above 100 the client takes it that the user may download (seen in the client); who owns a home may do everything."""


def path_answer(store: LayerStore, record: PathRecord) -> dict[str, Any]:
    """What `path.get` answers: see there."""
    answer: dict[str, Any] = {
        "id": record.id,
        "type": record.type,
        "name": record.name,
        "parentId": record.parent_id,
        "trashed": record.trashed,
        "metadata": record.metadata,
        "publicAccess": record.public_access,
        "yourAccess": {"accessLevel": OWNER_ACCESS},
    }
    if record.type == "raster":
        timestamps = store.catalogue.timestamps_of(record.id)
        files = [file for timestamp in timestamps for file in timestamp.rasters]
        answer["raster"] = {
            "bands": _bands(files[-1]) if files else [],
            "format": files[-1].dtype if files else None,
            "asJpg": False,
            "timestamps": [_timestamp(timestamp) | _zoom(store, timestamp) for timestamp in timestamps],
        }
    elif record.type == "vector":
        timestamps = store.catalogue.timestamps_of(record.id)
        fields = {name: None for timestamp in timestamps for file in timestamp.vectors for name in file.fields}
        answer["vector"] = {
            "properties": [{"name": name, "trashed": False} for name in fields],
            "renderOptions": None,
            "timestamps": [_timestamp(timestamp) for timestamp in timestamps],
        }
    elif record.type == "file":
        answer["file"] = {"size": store.get_plain_file(record.id).size}
    return answer


def _bands(file: RasterFile) -> list[dict[str, Any]]:
    names = file.descriptions or (None,) * file.bands
    return [{"number": i + 1, "name": name or f"band {i + 1}"} for i, name in enumerate(names)]


def _naive(moment: datetime) -> datetime:
    """The client parses dates without their zone: naive, in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _timestamp(timestamp: Timestamp) -> dict[str, Any]:
    return {
        "id": timestamp.id,
        "status": timestamp.status,
        "description": timestamp.description,
        "date": {"from": _naive(timestamp.date_from), "to": _naive(timestamp.date_to)},
        "files": len(timestamp.files),
    }


def _zoom(store: LayerStore, timestamp: Timestamp) -> dict[str, Any]:
    """The zoom level at which a tile's pixel is no larger than the first file's."""
    zoom = None
    if timestamp.files:
        file = timestamp.rasters[0]
        west, _, east, _ = store.bounds(timestamp.path_id, timestamp.id).bounds
        degrees = (east - west) / max(1, file.width)
        if degrees > 0:
            metres = degrees / 360 * WORLD
            zoom = max(0, min(25, math.ceil(math.log2(WORLD / (TILE * metres)))))
    return {"zoom": zoom, "tarZoom": None}


def file_answer(file: StoredFile) -> dict[str, Any]:
    """One file of a timestamp, as `timestamp.file.get` lists it; `info.bounds` is a shapely geometry in EPSG:4326."""
    from ellipsis_local.store.export import file_footprint

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
        "info": info,
    }
