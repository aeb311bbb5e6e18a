"""The features of a vector, page by page, kept in the draft as they came: a broken pull goes on after the last page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellipsis_local.errors import UpstreamError
from ellipsis_local.types import Extent
from ellipsis_local.upstream.models import ServiceTimestamp
from ellipsis_local.upstream.partial_downloads import keep

if TYPE_CHECKING:
    from ellipsis_local.upstream.pull_layer import LayerPull

PAGE_FEATURES = 10_000
"""What the client asks for (seen in the client)."""
PAGE_BYTES = 512 * 1024**2
MOST_PAGES = 1_000_000
LEAST_BYTES = 40
"""Of a feature as text; `size` of a page is the number of features or of bytes (see `check_size`)."""
NORTH = 85.0

Feature = Mapping[str, Any]


def fetch_pages(pull: LayerPull, timestamp: ServiceTimestamp, folder: Path, area: Extent | None) -> list[Path]:
    """Fetch all pages of features, or of those in `area` (EPSG:4326); the files they lie in."""
    client, path, progress = pull.client, pull.path, pull.progress
    base = f"/path/{path.id}/vector/timestamp/{timestamp.id}"
    call = "listFeatures"
    query: dict[str, Any] = {"pageSize": PAGE_FEATURES}
    if area is not None:
        call = "featuresByExtent"
        query["extent"] = widened(area, timestamp.zoom).to_dict()
    pages: list[Path] = []
    start: Any = None
    seen: set[str] = set()
    count = 0
    while True:
        target = folder / f"page-{len(pages):06}.json"
        # The name says how many there were, so that a resumed pull need not read its pages for it.
        kept = next(folder.glob(f"page-{len(pages):06}-*.json"), None)
        if kept is None:
            what = f"features of {path.name!r}, page {len(pages) + 1}"
            data = client.body(f"{base}/{call}", {**query, "pageStart": start}, what=what, most=PAGE_BYTES)
            answer = parsed(client.url, what, data or b"")
            kept = target.with_name(f"{target.stem}-{len(answer['result']['features'])}.json")
            keep(kept, data or b"")
        else:
            answer = parsed(client.url, kept.name, kept.read_bytes())
        pages.append(kept)
        count += len(answer["result"]["features"])
        progress.count(f"fetching pages of {path.name}, {count:,} features so far", len(pages), None, "pages")
        start = answer.get("nextPageStart")
        if start is None:
            return pages
        if json.dumps(start) in seen or len(pages) >= MOST_PAGES:
            raise UpstreamError(f"{client.url}: the pages of the features of {path.name!r} go round in a circle")
        seen.add(json.dumps(start))


def widened(area: Extent, zoom: int | None) -> Extent:
    """The extent to ask for: the service looks features up by tiles of their index, so the client asks for more."""
    margin = 0.0 if zoom is None else 0.5 * 360 / 2**zoom
    return Extent(-180.0, -NORTH, 180.0, NORTH).common(area.buffer(margin))


def parsed(url: str, what: str, data: bytes) -> dict[str, Any]:
    """A page: ``{'result': {'features': […]}, 'size', 'nextPageStart'}``."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UpstreamError(f"{url} did not answer with JSON when asked for {what}") from error
    result = answer.get("result") if isinstance(answer, dict) else None
    features = result.get("features") if isinstance(result, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise UpstreamError(f"{url} did not answer with features when asked for {what}")
    check_size(url, what, answer.get("size"), len(features))
    found: dict[str, Any] = answer
    return found


def check_size(url: str, what: str, size: Any, count: int) -> None:
    """UpstreamError where a page holds other than `size` features.

    The client adds `size` up without saying of what; the service's clients in JavaScript take it for bytes. So a number
    that is too large for features and large enough for bytes says nothing.
    """
    if not isinstance(size, int) or isinstance(size, bool) or size == count:
        return
    if size < count or (count and size < LEAST_BYTES * count):
        way_out = "pull it again, and tell the owner of the layer if that does not help"
        raise UpstreamError(f"{url}: {what} should hold {size:,} features and holds {count:,}; {way_out}")


def features_in(page: Path) -> Iterator[Feature]:
    """The features of one page in the draft."""
    yield from json.loads(page.read_bytes())["result"]["features"]
