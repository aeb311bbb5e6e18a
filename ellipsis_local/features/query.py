"""Asking for features: pages and what fits on them, the property filter, and checks of what is asked for.

The service's own form of the filter is not documented. Ours is a list of {'key', 'operator', 'value'}, all of which
must hold: key a property, operator one of =, !=, <, >, <=, >=, value a JSON scalar of the property's type. Null is
equal to null only, and neither less nor more than anything.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ellipsis_local.arguments import invalid
from ellipsis_local.errors import ArgumentError, NotFoundError
from ellipsis_local.features.columns import array_of, finite, logical_type
from ellipsis_local.features.ids import Integers, feature_id, parted, stem
from ellipsis_local.features.table import FeatureTable
from ellipsis_local.features.validate_geojson import checked_list
from ellipsis_local.ids import as_uuid
from ellipsis_local.types import Extent, StoredFile
from ellipsis_local.vector import value_type

PAGE_SIZE = 10_000
"""Features on a page at most; the client asks for as many."""
START_KEY = "featureId"
"""What holds the id in a pageStart that is an object (seen in recorded answers of featuresByExtent)."""
PAGE_BYTES = 3_000_000
"""About so much JSON on a page, our choice: a page is held in memory, and a single feature may be larger."""
TEXT_PER_WKB = 2.5
"""A coordinate of 16 bytes is about 40 characters."""

OPERATORS = {
    "=": "equal", "!=": "not_equal", "<": "less", ">": "greater", "<=": "less_equal", ">=": "greater_equal",
}  # fmt: skip
FORM = "propertyFilter is a list of {'key': …, 'operator': one of " + ", ".join(OPERATORS) + ", 'value': …}"


Page = tuple[list[dict[str, Any]], str | None]


def collection(page: Page, start_key: str | None = None) -> dict[str, Any]:
    """A page as the client wants it (seen in the client, for listFeatures, compressedListFeatures and the others).

    `truncated` is seen in recorded answers. With `start_key`, nextPageStart is an object with that key.
    """
    features, following = page
    listed = {"type": "FeatureCollection", "features": features}
    start = following if following is None or start_key is None else {start_key: following}
    return {"result": listed, "size": len(features), "truncated": following is not None, "nextPageStart": start}


@dataclass(frozen=True)
class Condition:
    key: str
    operator: str
    value: Any


def checked_filter(value: Any, known: Collection[str]) -> tuple[Condition, ...]:
    """The conditions; ArgumentError for another form, an unknown operator, or a property that is none of `known`."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _wrong_filter(f"{FORM}, not {type(value).__name__}", value)
    found = []
    for position, one in enumerate(value):
        place = f"propertyFilter[{position}]"
        if not isinstance(one, Mapping) or set(one) != {"key", "operator", "value"}:
            raise _wrong_filter(f"{place}: {FORM}", one)
        condition = Condition(one["key"], one["operator"], one["value"])
        if not isinstance(condition.operator, str) or condition.operator not in OPERATORS:
            raise _wrong_filter(
                f"{place}: operator must be one of {', '.join(OPERATORS)}, not {condition.operator!r}", one
            )
        if not isinstance(condition.key, str) or condition.key not in known:
            listing = ", ".join(map(repr, known)) or "none"
            raise _wrong_filter(f"{place}: there is no property {condition.key!r}; there are {listing}", one)
        if condition.value is None and condition.operator not in ("=", "!="):
            raise _wrong_filter(f"{place}: null can be compared by = and != only", one)
        found.append(condition)
    return tuple(found)


def _wrong_filter(text: str, value: Any) -> ArgumentError:
    return ArgumentError(text, argument="propertyFilter", value=value)


def matching(conditions: Collection[Condition], fields: Mapping[str, Any], table: Any) -> NDArray[np.bool_]:
    """Which rows of a table fulfil all conditions; a property that this file does not have is null in it."""
    keep = np.ones(len(table), bool)
    for condition in conditions:
        keep &= _matches(condition, fields.get(condition.key), table)
    return keep


def _matches(condition: Condition, field: Any, table: Any) -> NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    negative = condition.operator == "!="
    if field is None or pa.types.is_null(field.type):
        return np.full(len(table), negative != (condition.value is None))
    column = table[condition.key]
    if pa.types.is_dictionary(column.type):
        column = column.cast(value_type(column.type))
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    if condition.value is None:
        missing = np.asarray(pc.is_null(column).to_numpy(), dtype=bool)
        return ~missing if negative else missing
    scalar = _scalar(condition, field, column.type)
    try:
        found = getattr(pc, OPERATORS[condition.operator])(column, scalar)
    except pa.ArrowException as error:
        raise _wrong_filter(
            f"propertyFilter: {condition.key!r} is of a type that cannot be compared", condition.value
        ) from error
    return np.asarray(pc.fill_null(found, negative).to_numpy(), dtype=bool)


def _scalar(condition: Condition, field: Any, kind: Any) -> Any:
    import pyarrow as pa

    if logical_type(field) == "json":
        raise _wrong_filter(
            f"propertyFilter: {condition.key!r} holds nested values; only null can be asked of it", condition.value
        )
    value = condition.value
    if pa.types.is_integer(kind) and isinstance(value, float) and not value.is_integer():
        return pa.scalar(value)
    return array_of(pa.field(field.name, kind), [value], lambda _: "propertyFilter")[0]


@dataclass
class Room:
    """What still fits on a page."""

    left: int
    free: float = PAGE_BYTES

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
        raise invalid("pageSize", size, "must be of type int")
    if size < 1:
        raise invalid("pageSize", size, f"must be at least 1, not {size}")
    return min(size, PAGE_SIZE)


def checked_start(start: Any) -> tuple[str, int]:
    if isinstance(start, Mapping):
        if set(start) != {START_KEY}:
            raise invalid("pageStart", start, f"must be a nextPageStart: a feature's id, or {{{START_KEY!r}: id}}")
        start = start[START_KEY]
    found = parted(as_uuid("pageStart", start))
    if found is None:
        raise invalid("pageStart", start, f"{start} is no nextPageStart of these features")
    return found


def checked_ids(ids: Any) -> list[str]:
    return [as_uuid("featureIds", one) for one in checked_list("featureIds", ids, "must be a list of uuids", "ids")]


def checked_extent(extent: Any) -> Extent:
    if not isinstance(extent, Extent):
        if not isinstance(extent, Mapping) or not {"xMin", "xMax", "yMin", "yMax"} <= extent.keys():
            raise invalid("extent", extent, "must be a dictionary with keys xMin, xMax, yMin, yMax")
        extent = Extent(extent["xMin"], extent["yMin"], extent["xMax"], extent["yMax"])
    if not all(map(finite, extent)):
        raise invalid("extent", extent, "must hold finite numbers")
    found = Extent(*map(float, extent))
    if found.x_min > found.x_max or found.y_min > found.y_max or not math.isfinite(sum(found)):
        text = f"extent: xMax must be larger than xMin, and yMax than yMin, not {found.to_dict()}"
        raise ArgumentError(text, argument="extent", value=extent)
    return found


def tile_extent(zoom: int, x: int, y: int) -> Extent:
    """A tile of Web Mercator in EPSG:4326; the outermost ones reach to the poles (our choice), so that none is left."""
    count = 2**zoom
    if not (0 <= x < count and 0 <= y < count):
        raise invalid("tiles", (zoom, x, y), f"must have tileX and tileY from 0 to {count - 1} at zoom {zoom}")
    south, north = (math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * edge / count)))) for edge in (y + 1, y))
    west, east = (edge / count * 360 - 180 for edge in (x, x + 1))
    return Extent(west, -90.0 if y == count - 1 else south, east, 90.0 if y == 0 else north)


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


def position_of(files: Sequence[StoredFile], name: str, start: Any) -> int:
    stems = [stem(file.id) for file in files]
    if name in stems:
        return stems.index(name)
    text = f"pageStart {start} is in no file of this timestamp any more; begin with the first page"
    raise NotFoundError(text, argument="pageStart", value=start)


def missing(feature: str) -> NotFoundError:
    text = f"featureId {feature} does not exist in this timestamp, or is in the trash"
    return NotFoundError(text, argument="featureIds", value=feature)
