"""Pages of GeoJSON features as one GeoParquet file in EPSG:4326, a page at a time.

GeoJSON knows text, numbers and booleans only. A column takes the narrowest type that holds all its values: bool,
int64, float64, else text. Where the service tells that a property is a date and all its values are, it is a timestamp
in UTC; where it tells a number, whole numbers are floats, too. Objects and lists become JSON text. (Our choice; the
service does not say what its frames hold.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ellipsis_local.crs import WGS84
from ellipsis_local.errors import UpstreamError
from ellipsis_local.gdal_errors import writing
from ellipsis_local.types import Extent
from ellipsis_local.upstream.extents import overlaps
from ellipsis_local.upstream.feature_pages import Feature, features_in
from ellipsis_local.upstream.models import parse_date
from ellipsis_local.vector import GeoParquetWriter, from_shapely

DATES = frozenset({"date", "datetime", "timestamp", "time"})
FLOATS = frozenset({"float", "double", "number", "real", "area", "distance"})
INTEGERS = frozenset({"integer", "int", "long"})
BOOLEANS = frozenset({"boolean", "bool"})
INT64 = 2**63
NO_SHAPE = (AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What shapely raises of JSON that is no geometry, besides errors of its own."""
KINDS: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "text"}
"""Of the values that JSON has; others are written as JSON."""


@dataclass
class _Seen:
    """What has been seen in one column."""

    told: str
    kinds: set[str] = field(default_factory=set)
    dates: bool = True

    def add(self, value: Any) -> None:
        if value is None:
            return
        kind = KINDS.get(type(value), "json")
        if kind == "int" and not -INT64 <= value < INT64:
            kind = "text"
        self.kinds.add(kind)
        if self.dates and self.told in DATES:
            self.dates = kind == "text" and parse_date(value) is not None

    @property
    def type(self) -> str:
        told = {"float": FLOATS, "int": INTEGERS, "bool": BOOLEANS, "date": DATES}
        named = next((name for name, names in told.items() if self.told in names), "text")
        if not self.kinds:
            return named
        if named == "date" and self.dates:
            return "date"
        if self.kinds == {"bool"}:
            return "bool"
        if self.kinds <= {"int", "float"}:
            return "float" if "float" in self.kinds or named == "float" else "int"
        return "text"


class Columns:
    """The columns of a layer: told ones first, then in the order in which they occur."""

    def __init__(self, told: Mapping[str, str | None]) -> None:
        self._seen = {name: _Seen((kind or "").lower()) for name, kind in told.items() if is_text(name)}

    def look(self, properties: Mapping[str, Any]) -> None:
        """Take the properties of one feature into account; UpstreamError for a name that cannot be written."""
        for name, value in properties.items():
            seen = self._seen.get(name)
            if seen is None:
                if not is_text(name):
                    raise UpstreamError(f"a feature has a property whose name is no text: {name!r}")
                seen = self._seen[name] = _Seen("")
            seen.add(value)

    @property
    def names(self) -> list[str]:
        return list(self._seen)

    def free_name(self, wanted: str) -> str:
        """`wanted`, or the like of it that no column has."""
        while wanted in self._seen:
            wanted = f"{wanted}_"
        return wanted

    def fields(self) -> list[Any]:
        """pyarrow fields, in the order of `names`."""
        import pyarrow

        types = {
            "bool": pyarrow.bool_(), "int": pyarrow.int64(), "float": pyarrow.float64(), "text": pyarrow.string(),
            "date": pyarrow.timestamp("us", tz="UTC"),
        }  # fmt: skip
        return [pyarrow.field(name, types[seen.type]) for name, seen in self._seen.items()]

    def arrays(self, rows: Iterable[Mapping[str, Any]]) -> list[Any]:
        """One pyarrow array per column of the properties of some features."""
        import pyarrow

        rows, kinds = list(rows), [seen.type for seen in self._seen.values()]
        return [
            pyarrow.array([converted(row.get(one.name), kind) for row in rows], one.type)
            for one, kind in zip(self.fields(), kinds, strict=True)
        ]


def is_text(name: str) -> bool:
    """Whether a name can be written: JSON can hold halves of characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def converted(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "float":
        return float(value)
    if kind == "date":
        return parse_date(value)
    if kind == "text":
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return text.encode("utf-8", "replace").decode()
    return value


def write_features(
    target: Path, pages: Sequence[Path], told: Mapping[str, str | None], *, area: Extent | None, name: str
) -> int:
    """Write the features of `pages`; their number."""
    import pyarrow

    columns = Columns(told)
    for page in pages:
        for feature in features_in(page):
            columns.look(properties_of(feature))
    geometry = columns.free_name("geometry")
    schema = pyarrow.schema([*columns.fields(), pyarrow.field(geometry, pyarrow.binary())])
    count = 0
    known: set[str] = set()
    with writing(target), GeoParquetWriter(target, schema, geometry, WGS84) as writer:
        for page in pages:
            features = list(features_in(page))
            shapes = shapes_of(features, name)
            if area is not None:
                features, shapes = within(features, shapes, area, known)
            arrays = columns.arrays(properties_of(feature) for feature in features)
            writer.write(pyarrow.Table.from_arrays([*arrays, from_shapely(shapes)], schema=schema))
            count += len(features)
    return count


def properties_of(feature: Feature) -> Mapping[str, Any]:
    found = feature.get("properties")
    return found if isinstance(found, Mapping) else {}


def shapes_of(features: Sequence[Feature], name: str) -> list[Any]:
    """Shapely geometries, None where a feature has none."""
    import shapely.errors
    from shapely.geometry import shape

    made = []
    for feature in features:
        geometry = feature.get("geometry")
        try:
            made.append(None if geometry is None else shape(geometry))
        except (*NO_SHAPE, shapely.errors.ShapelyError) as error:
            which = f"feature {properties_of(feature).get('id')} of {name!r}"
            raise UpstreamError(f"{which} has a geometry that cannot be understood: {error}") from error
    return made


def within(
    features: Sequence[Feature], shapes: Sequence[Any], area: Extent, known: set[str]
) -> tuple[list[Feature], list[Any]]:
    """Those whose envelope touches the area and whose ids are not known yet."""
    kept: list[Feature] = []
    kept_shapes: list[Any] = []
    for feature, one in zip(features, shapes, strict=True):
        if one is None or one.is_empty or not overlaps(area, one.bounds):
            continue
        feature_id = properties_of(feature).get("id")
        if isinstance(feature_id, str):
            if feature_id in known:
                continue
            known.add(feature_id)
        kept.append(feature)
        kept_shapes.append(one)
    return kept, kept_shapes
