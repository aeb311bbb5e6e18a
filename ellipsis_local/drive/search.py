"""Search among the paths that a user may view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ellipsis_local.drive.drive import Drive, is_public
from ellipsis_local.store import footprint
from ellipsis_local.types import Extent, PathRecord, PathType, Timestamp

if TYPE_CHECKING:
    from ellipsis_local.sharing import Sharing

METRES_PER_DEGREE = math.pi * 6378137.0 / 180


@dataclass(frozen=True)
class Query:
    """What a path has to be like; None asks nothing. All that is asked must hold (seen in the client: one call)."""

    types: Sequence[PathType] | None = None
    roots: Sequence[str] | None = None
    text: str | None = None
    """A part of the name or of the description, in any case."""
    owner: str | None = None
    active: bool | None = None
    """Whether it is a layer with an active timestamp."""
    hashtag: str | None = None
    extent: Extent | None = None
    """In EPSG:4326: some timestamp has bounds that touch it."""
    resolution: tuple[float, float] | None = None
    """In metres per pixel, smallest and largest: some raster file lies between."""
    date: tuple[datetime | None, datetime | None] | None = None
    """Some timestamp overlaps it; an open end where None."""


def search(drive: Drive, query: Query) -> list[PathRecord]:
    """The paths that match, oldest first; those in the trash never do, hidden ones only for who may edit them."""
    if query.roots is None:
        records = drive.visible(drive.store.catalogue.list_paths(types=query.types))
        records = [record for record in records if shown(drive, record)]
    else:
        found = {record.id: record for root in query.roots for record in drive.root(root, query.types)}
        records = list(found.values())
    catalogue = drive.store.catalogue
    matching = catalogue.still_here(records, lambda record: record if matches(drive, record, query) else None)
    return [record for record in matching if record is not None]


def shown(drive: Drive, record: PathRecord) -> bool:
    from ellipsis_local.sharing import EDIT

    return not record.public_access.get("hidden") or is_public(record) or drive.level(record) >= EDIT


def matches(drive: Drive, record: PathRecord, query: Query) -> bool:
    dated = any(one is not None for one in (query.extent, query.resolution, query.date))
    text = f"{record.name}\n{record.metadata.get('description') or ''}".casefold()
    if query.owner not in (None, record.owner) or (query.text or "").casefold() not in text:
        return False
    if query.hashtag is not None and not has_tag(drive.sharing, record, query.hashtag):
        return False
    if query.active is None and not dated:
        return True
    if record.type not in ("raster", "vector"):
        return query.active is False and not dated
    timestamps = drive.store.catalogue.timestamps_of(record.id)
    if query.active is not None and any(timestamp.status == "active" for timestamp in timestamps) != query.active:
        return False
    return not dated or any(timestamp_matches(timestamp, query) for timestamp in timestamps)


def has_tag(sharing: Sharing, record: PathRecord, tag: str) -> bool:
    wanted = tag.casefold().lstrip("#")
    return any(hashtag.casefold() == wanted for hashtag in sharing.hashtags(record.id))


def timestamp_matches(timestamp: Timestamp, query: Query) -> bool:
    if query.date is not None:
        start, end = query.date
        if (end is not None and timestamp.date_from > end) or (start is not None and timestamp.date_to < start):
            return False
    if query.extent is None and query.resolution is None:
        return True
    if not timestamp.files:
        return False
    bounds = footprint(timestamp)
    if query.extent is not None:
        if bounds.is_empty:
            return False
        x_min, y_min, x_max, y_max = bounds.bounds
        wanted = query.extent
        if x_min > wanted.x_max or x_max < wanted.x_min or y_min > wanted.y_max or y_max < wanted.y_min:
            return False
    if query.resolution is not None:
        low, high = query.resolution
        return any(low <= size <= high for size in pixel_sizes(timestamp))
    return True


def pixel_sizes(timestamp: Timestamp) -> list[float]:
    """The pixel size of each raster file in metres; degrees count as they do at the equator."""
    from pyproj import CRS

    sizes = []
    for file in timestamp.rasters:
        a, b, _, d, e, _ = file.transform
        crs = CRS.from_user_input(file.crs)
        unit = METRES_PER_DEGREE if crs.is_geographic else crs.axis_info[0].unit_conversion_factor
        sizes.append(math.sqrt(abs(a * e - b * d)) * unit)
    return sizes
