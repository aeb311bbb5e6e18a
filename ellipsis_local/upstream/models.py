"""What the service tells of its paths, timestamps and files, checked: nothing that it says is taken on trust.

The shapes are those seen in the client, and those of this package's own server; other readings of ours are noted.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeGuard
from uuid import UUID

from ellipsis_local.errors import ArgumentError, UpstreamError
from ellipsis_local.ids import utc
from ellipsis_local.types import STAND_IN, Extent
from ellipsis_local.upstream.http_client import Client

DOWNLOAD = 100
"""Above this access level the account may download (seen in the client)."""
MOST_NAME = 1000
MOST_PAGES = 100_000
NUMBERED = re.compile(r"\s*band[\s_-]*\d+\s*", re.IGNORECASE)
FAILED = re.compile("fail|error|pending|cancel|revert|trash|delet", re.IGNORECASE)


@dataclass(frozen=True)
class ServiceTimestamp:
    id: str
    status: Literal["created", "active", "passive"]
    """Every status but created and active counts as passive (our reading)."""
    date: tuple[datetime, datetime] | None
    description: str | None
    zoom: int | None
    """Native zoom of the tiles of a raster; in a vector that of its index."""
    record: str
    """Hash of all that was told: another one says that something has changed."""
    stand_in: bool = False
    """Whether another home has invented it."""


@dataclass(frozen=True)
class ServicePath:
    id: str
    type: str
    name: str
    metadata: dict[str, Any]
    level: int
    """The account's access level."""
    timestamps: tuple[ServiceTimestamp, ...] = ()
    bands: tuple[str | None, ...] = ()
    """Names of a raster's bands; the service may count the mask as the last one (seen in the client)."""
    dtype: str | None = None
    properties: dict[str, str | None] = field(default_factory=dict)
    """Names and types of a vector's columns."""
    size: int | None = None
    """Bytes of a file."""
    record: str = ""

    @property
    def may_download(self) -> bool:
        return self.level > DOWNLOAD


@dataclass(frozen=True)
class ServiceFile:
    """One file that was once uploaded to a timestamp."""

    id: str
    name: str
    size: int | None
    epsg: int | None = None
    nodata: float | None = None
    layer: str | None = None
    certain: bool = True
    """Whether epsg and nodata are overrides that were given with the file; else they may be the file's own."""
    bounds: Extent | None = None
    """In EPSG:4326."""


def invalid_answer(url: str, what: str, text: str) -> UpstreamError:
    return UpstreamError(f"{url} tells of {what} what cannot be understood: {text}")


def parse_uuid(value: Any) -> str | None:
    """The canonical form of a UUID; None where it is none."""
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def parse_number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if number else None


def parse_text(value: Any) -> str | None:
    return value[:MOST_NAME] if isinstance(value, str) else None


def fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def real_name(name: str | None) -> str | None:
    """The name of a band; None for one that is only a number."""
    return None if not name or NUMBERED.fullmatch(name) else name


def parse_date(value: Any) -> datetime | None:
    """A time in UTC; None where it is none."""
    try:
        return utc("date", value) if isinstance(value, str) else None
    except ArgumentError:
        return None


def read_path(client: Client, path_id: str) -> ServicePath:
    """What GET /path/{id} tells."""
    what = f"path {path_id}"
    answer = client.json(f"/path/{path_id}", what=what)
    if not isinstance(answer, Mapping) or parse_uuid(answer.get("id")) != path_id:
        raise invalid_answer(client.url, what, "it is not the answer for this id")
    level = mapping_under(answer, "yourAccess").get("accessLevel")
    kind = str(answer.get("type"))
    about = mapping_under(answer, kind)
    size = about.get("size", answer.get("size"))
    return ServicePath(
        id=path_id,
        type=kind,
        name=parse_text(answer.get("name")) or path_id,
        metadata={key: value for key, value in mapping_under(answer, "metadata").items() if value is not None},
        level=level if is_int(level) else 0,
        timestamps=tuple(timestamps_of(client.url, what, about, kind)) if kind in ("raster", "vector") else (),
        bands=tuple(
            parse_text(band.get("name") if isinstance(band, Mapping) else band) for band in list_under(about, "bands")
        ),
        dtype=parse_text(about.get("format")),
        properties={
            str(column["name"]): parse_text(column.get("type"))
            for column in list_under(about, "properties")
            if isinstance(column, Mapping) and isinstance(column.get("name"), str) and not column.get("trashed")
        },
        size=size if kind == "file" and is_int(size) and size > 0 else None,
        record=fingerprint(about if kind == "file" else {}),
    )


def mapping_under(about: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = about.get(key)
    return found if isinstance(found, Mapping) else {}


def list_under(about: Mapping[str, Any], key: str) -> list[Any]:
    found = about.get(key)
    return found if isinstance(found, list) else []


def timestamps_of(url: str, what: str, about: Mapping[str, Any], kind: str) -> Iterator[ServiceTimestamp]:
    """The timestamps that are not in the trash, in the service's order."""
    if not isinstance(about.get("timestamps"), list):
        raise invalid_answer(url, what, "it has no list of timestamps")
    for timestamp in about["timestamps"]:
        timestamp_id = parse_uuid(timestamp.get("id")) if isinstance(timestamp, Mapping) else None
        if timestamp_id is None:
            raise invalid_answer(url, what, "it has a timestamp without an id")
        if timestamp.get("trashed"):
            continue
        status = timestamp.get("status")
        if status == "created" and kind == "vector":
            # So said an ellipsis_local before 0.2 of one that is as good as activated.
            status = "active"
        zoom = timestamp.get("zoom")
        yield ServiceTimestamp(
            id=timestamp_id,
            status="active" if status == "active" else "created" if status == "created" else "passive",
            date=date_range(timestamp.get("date")),
            description=timestamp["description"] if isinstance(timestamp.get("description"), str) else None,
            zoom=zoom if is_int(zoom) and 0 <= zoom <= 30 else None,
            record=fingerprint(timestamp),
            stand_in=timestamp.get(STAND_IN) is True,
        )


def date_range(value: Any) -> tuple[datetime, datetime] | None:
    if not isinstance(value, Mapping):
        return None
    begin, end = parse_date(value.get("from")), parse_date(value.get("to"))
    return None if begin is None or end is None or begin > end else (begin, end)


def listed(client: Client, path: str, query: Mapping[str, Any], *, what: str) -> Iterator[Mapping[str, Any]]:
    """The entries of a list of the service, over all its pages."""
    start: Any = None
    seen: set[str] = set()
    while True:
        answer = client.json(path, {**query, "pageStart": start}, what=what)
        # A service may answer a short list without pages.
        entries = answer.get("result") if isinstance(answer, Mapping) else answer
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise invalid_answer(client.url, what, "it is no list")
        yield from entries
        start = answer.get("nextPageStart") if isinstance(answer, Mapping) else None
        if start is None:
            return
        if json.dumps(start) in seen or len(seen) > MOST_PAGES:
            raise invalid_answer(client.url, what, "its pages go round in a circle")
        seen.add(json.dumps(start))


def files_of(client: Client, kind: str, path_id: str, timestamp_id: str) -> list[ServiceFile]:
    """The files of a timestamp that count, from the bottom of a mosaic to its top.

    That a list is in this order is our reading: it is the order in which they were added.
    """
    name = "file" if kind == "raster" else "upload"
    what = f"the files of timestamp {timestamp_id}"
    entries = listed(client, f"/path/{path_id}/{kind}/timestamp/{timestamp_id}/{name}", {}, what=what)
    return [parse_file(client.url, what, entry) for entry in entries if counts(entry)]


def counts(entry: Mapping[str, Any]) -> bool:
    """Whether a file is in use: not in the trash, not reverted, not failed, not still looked at."""
    return not (
        entry.get("trashed") or entry.get("reverted") or FAILED.search(str(entry.get("status") or entry.get("state")))
    )


def parse_file(url: str, what: str, entry: Mapping[str, Any]) -> ServiceFile:
    file_id = parse_uuid(entry.get("id"))
    if file_id is None:
        raise invalid_answer(url, what, "one has no id")
    info = mapping_under(entry, "info")
    options = info.get("options")
    given = options if isinstance(options, Mapping) else {**info, "nodata": info.get("noDataValue")}
    epsg, nodata = given.get("epsg"), given.get("nodata")
    layer, size = given.get("layer"), info.get("size")
    return ServiceFile(
        id=file_id,
        name=parse_text(entry.get("name")) or file_id,
        size=size if is_int(size) and size > 0 else None,
        epsg=epsg if is_int(epsg) else None,
        nodata=nodata if isinstance(nodata, float) or is_int(nodata) else None,
        layer=layer if isinstance(layer, str) and isinstance(options, Mapping) else None,
        certain=isinstance(options, Mapping),
        bounds=bounds_of(info.get("bounds")),
    )


def bounds_of(geometry: Any) -> Extent | None:
    """Around a GeoJSON geometry; None where it has no coordinates."""
    if isinstance(geometry, Mapping) and isinstance(geometry.get("geometry"), Mapping):
        geometry = geometry["geometry"]
    if not isinstance(geometry, Mapping):
        return None
    points = list(positions(geometry.get("coordinates")))
    return Extent.around(points) if points else None


def positions(value: Any, depth: int = 0) -> Iterator[tuple[float, float]]:
    """The x and y of every position in nested lists of coordinates."""
    if not isinstance(value, list) or depth > 8:
        return
    if len(value) >= 2 and parse_number(value[0]) is not None and parse_number(value[1]) is not None:
        yield float(value[0]), float(value[1])
        return
    for item in value:
        yield from positions(item, depth + 1)
