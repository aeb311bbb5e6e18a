"""Asking for features: pages and what fits on them, and checks of what is asked for."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError, LimitError, NotFoundError
from ellipsis_local.features.filters import Condition, matching
from ellipsis_local.features.ids import Integers, feature_id, parted, stem
from ellipsis_local.features.table import FeatureTable
from ellipsis_local.features.validate_geojson import MOST_FEATURES, finite
from ellipsis_local.ids import as_uuid
from ellipsis_local.types import Extent, StoredFile

PAGE_SIZE = 10_000
"""Features on a page at most; the client asks for as many."""
PAGE_BYTES = 3_000_000
"""About so much JSON on a page, our choice: a page is held in memory, and a single feature may be larger."""
TEXT_PER_WKB = 2.5
"""A coordinate of 16 bytes is about 40 characters."""

Page = tuple[list[dict[str, Any]], str | None]


def collection(page: Page) -> dict[str, Any]:
    """A page as the client wants it (seen in the client, for listFeatures, compressedListFeatures and the others)."""
    features, following = page
    return {
        "result": {"type": "FeatureCollection", "features": features},
        "size": len(features),
        "nextPageStart": following,
    }


@dataclass
class Room:
    """What still fits on a page."""

    size: int
    bytes: float
    left: int = 0
    free: float = 0.0

    def reset(self) -> None:
        self.left, self.free = self.size, self.bytes

    def fill(
        self,
        features: list[dict[str, Any]],
        sheet: FeatureTable,
        rows: Integers,
        conditions: Collection[Condition],
        names: Sequence[str],
    ) -> str | None:
        """Append features of these rows; the id of the first row that found no place."""
        first = stem(sheet.file.id)
        fields = {field.name: field for field in sheet.fields}
        for piece, table in sheet.read(rows):
            keep = matching(conditions, fields, table)
            if not keep.all():
                piece, table = piece[keep], table.filter(keep)
            count = self._fitting(len(features), table, table[sheet.geometry])
            if count:
                features += sheet.features(piece[:count], table.slice(0, count), names)
            if count < len(piece):
                return feature_id(first, int(sheet.numbers[piece[count]]))
        return None

    def _fitting(self, before: int, table: Any, wkb: Any) -> int:
        """How many rows of a table there is room for; one at least on an empty page."""
        import pyarrow.compute as pc

        if not len(table):
            return 0
        shapes = pc.fill_null(pc.binary_length(wkb), 0).to_numpy().astype(float)
        names = sum(len(name) + 6 for name in table.column_names) + 160
        others = max(0.0, (table.nbytes - wkb.nbytes) / len(table)) * 1.5
        sizes = np.cumsum(shapes * TEXT_PER_WKB + names + others)
        count = min(int(np.searchsorted(sizes, self.free, side="right")), self.left)
        if count == 0 and before == 0 and self.left:
            count = 1
        self.left -= count
        self.free -= float(sizes[count - 1]) if count else 0.0
        if count < len(table):
            self.left = 0
        return count


def checked_size(size: Any) -> int:
    if size is None:
        return PAGE_SIZE
    if isinstance(size, bool) or not isinstance(size, int):
        raise ArgumentError("pageSize must be of type int", argument="pageSize", value=size)
    if size < 1:
        raise ArgumentError(f"pageSize must be at least 1, not {size}", argument="pageSize", value=size)
    return min(size, PAGE_SIZE)


def checked_start(start: Any) -> tuple[str, int]:
    found = parted(as_uuid("pageStart", start))
    if found is None:
        raise invalid("pageStart", start, f"{start} is no nextPageStart of these features")
    return found


def checked_ids(argument: str, ids: Any) -> list[str]:
    if not isinstance(ids, list | tuple):
        raise ArgumentError(f"{argument} must be a list of uuids", argument=argument, value=ids)
    if len(ids) > MOST_FEATURES:
        raise LimitError(f"{argument} holds {len(ids):,} ids; one call takes {MOST_FEATURES:,}: split them")
    return [as_uuid(argument, one) for one in ids]


def checked_extent(extent: Any) -> Extent:
    if not isinstance(extent, Extent):
        if not isinstance(extent, Mapping) or not {"xMin", "xMax", "yMin", "yMax"} <= extent.keys():
            raise invalid("extent", extent, "must be a dictionary with keys xMin, xMax, yMin, yMax")
        extent = Extent(extent["xMin"], extent["yMin"], extent["xMax"], extent["yMax"])
    if not all(map(finite, extent)):
        raise ArgumentError("extent must hold finite numbers", argument="extent", value=extent)
    found = Extent(*map(float, extent))
    if found.x_min > found.x_max or found.y_min > found.y_max or not math.isfinite(sum(found)):
        raise ArgumentError(
            f"extent: xMax must be larger than xMin, and yMax than yMin, not {found.to_dict()}",
            argument="extent", value=extent,
        )  # fmt: skip
    return found


def located(files: Sequence[StoredFile], ids: Sequence[str]) -> list[tuple[StoredFile, Integers]]:
    """The files that ids lead to, each with the numbers of its features, ascending, each once.

    NotFoundError for an id that leads to none.
    """
    by_stem = {stem(file.id): file for file in files}
    numbers: dict[str, set[int]] = {}
    for one in ids:
        found = parted(one)
        if found is None or found[0] not in by_stem:
            raise missing(one)
        numbers.setdefault(found[0], set()).add(found[1])
    return [(file, np.array(sorted(numbers[name]), np.int64)) for name, file in by_stem.items() if name in numbers]


def position_of(files: Sequence[StoredFile], name: str, start: str) -> int:
    for position, file in enumerate(files):
        if stem(file.id) == name:
            return position
    raise NotFoundError(
        f"pageStart {start} is in no file of this timestamp any more; begin with the first page",
        argument="pageStart", value=start,
    )  # fmt: skip


def missing(feature: str) -> NotFoundError:
    return NotFoundError(
        f"featureId {feature} does not exist in this timestamp, or is in the trash",
        argument="featureIds",
        value=feature,
    )
