"""Columns of features: one schema for every format, what pandas is told of it, and several files as one table."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ellipsis_local.crs import WGS84

JSON = b"ellipsis_local:type"
"""In a field's metadata, with the value ``json``: the text in it is JSON."""
FRAME = b"ellipsis_local:frame"
"""In a schema's metadata: the file was a GeoDataFrame, whose dtypes stay what they were."""
NULLABLE = {
    "bool": "boolean", "int8": "Int8", "int16": "Int16", "int32": "Int32", "int64": "Int64", "uint8": "UInt8",
    "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64",
}  # fmt: skip


def value_type(kind: Any) -> Any:
    """The type of the values of a column that may be dictionary encoded."""
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def is_text(kind: Any) -> bool:
    return str(value_type(kind)) in ("string", "large_string", "string_view")


def is_json(field: Any) -> bool:
    """Whether a field holds JSON as text."""
    return (field.metadata or {}).get(JSON) == b"json"


def json_field(name: str) -> Any:
    import pyarrow as pa

    return pa.field(name, pa.string(), metadata={JSON: b"json"})


def plain(field: Any, name: str | None = None) -> Any:
    """A field as this room gives it: JSON marked, extension types as their storage, no notes of GDAL's own."""
    import pyarrow as pa

    name = field.name if name is None else name
    metadata = dict(field.metadata or {})
    extension, kind = metadata.get(b"ARROW:extension:name", b"").decode(), field.type
    if isinstance(kind, pa.BaseExtensionType) and not str(kind.extension_name).startswith("pandas."):
        extension, kind = kind.extension_name, kind.storage_type
    if extension == "arrow.json" or is_json(field):
        return json_field(name)
    kept = {key: value for key, value in metadata.items() if extension.startswith("pandas.")}
    if pa.types.is_list(kind) and not kind.value_field.nullable:
        kind = pa.list_(kind.value_type)
    kind = {"string_view": pa.string(), "binary_view": pa.binary()}.get(str(kind), kind)
    return pa.field(name, kind, metadata=kept or None)


def wider(one: Any, other: Any) -> Any:
    """The type that holds columns of both types without changing a value; None where there is none."""
    import pyarrow as pa
    from pyarrow import types

    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if types.is_dictionary(one) or types.is_dictionary(other):
        return wider(value_type(one), value_type(other))
    if types.is_integer(one) and types.is_integer(other):
        return None if "uint64" in (str(one), str(other)) else pa.int64()
    if is_text(one) and is_text(other):
        return pa.large_string()
    return None


def common(one: Any, other: Any) -> Any:
    """The type of a column whose files disagree: `wider`, floats for numbers, moments for times, else text."""
    import pyarrow as pa
    from pyarrow import types

    found = wider(one, other)
    if found is not None:
        return found
    one, other = value_type(one), value_type(other)
    both = (one, other)
    if all(types.is_integer(kind) or types.is_floating(kind) for kind in both):
        return pa.float64()
    if any(map(types.is_timestamp, both)) and all(types.is_timestamp(kind) or types.is_date(kind) for kind in both):
        zones = {getattr(kind, "tz", None) for kind in both}
        finest = max((getattr(kind, "unit", "ms") for kind in both), key=("s", "ms", "us", "ns").index)
        return pa.timestamp(finest, tz=zones.pop() if len(zones) == 1 else "UTC")
    return pa.string()


def cast(column: Any, field: Any) -> Any:
    """A column as another file's; what has no cast goes as text."""
    import pyarrow as pa

    if column.type == field.type:
        return column
    if pa.types.is_timestamp(field.type) and field.type.tz and not getattr(column.type, "tz", None):
        column = column.cast(pa.timestamp(field.type.unit))
    try:
        return column.cast(field.type)
    except pa.ArrowException:
        texts = [
            one if one is None or isinstance(one, str) else json.dumps(one, default=str, ensure_ascii=False)
            for one in column.to_pylist()
        ]
        return pa.chunked_array([texts], field.type)


def free_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or the like of it that no column has."""
    while wanted in taken:
        wanted += "_"
    return wanted


def joined(tables: Sequence[Any]) -> Any:
    """Tables as one: the columns in the order in which files first have them, nulls where a file lacks one."""
    import pyarrow as pa

    tables = [table for table in tables if len(table)] or list(tables[:1])
    if len(tables) == 1:
        return tables[0]
    fields: dict[str, Any] = {}
    for field in (field for table in tables for field in table.schema):
        known = fields.setdefault(field.name, field)
        if known.type != field.type:
            like = field if pa.types.is_null(known.type) else known
            fields[field.name] = like.with_type(common(known.type, field.type))
    schema = pa.schema(list(fields.values()))
    parts = []
    for table in tables:
        columns = [
            cast(table[field.name], field) if field.name in table.column_names else pa.nulls(len(table), field.type)
            for field in schema
        ]
        parts.append(pa.Table.from_arrays(columns, schema=schema))
    changed = {field.name for table in tables for field in table.schema if field.type != fields[field.name].type}
    notes = {name: note for table in reversed(tables) for name, note in notes_of(table.schema).items()}
    kept = pandas_metadata(note for name, note in notes.items() if name not in changed)
    return pa.concat_tables(parts).replace_schema_metadata({**(tables[0].schema.metadata or {}), **kept})


def notes_of(schema: Any) -> dict[str, dict[str, Any]]:
    """What a file says to pandas of its columns, by their names."""
    try:
        columns = json.loads((schema.metadata or {})[b"pandas"])["columns"]
        return {str(one["field_name"]): one for one in columns if one.get("field_name") in schema.names}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def pandas_metadata(notes: Iterable[Mapping[str, Any]]) -> dict[bytes, bytes]:
    """The metadata of a schema that says so much to pandas."""
    columns = list(notes)
    text = json.dumps({"index_columns": [], "column_indexes": [], "columns": columns})
    return {b"pandas": text.encode()} if columns else {}


def index_columns(schema: Any) -> set[str]:
    """The columns that are the index of a frame, which computes do not see."""
    try:
        names = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        return {name for name in names if isinstance(name, str)}
    except (KeyError, ValueError, TypeError):
        return set()


def for_frames(table: Any) -> Any:
    """A whole layer with the dtypes that it gets in frames: nullable ones where a null is, dates as datetime64."""
    import pyarrow as pa

    given = table.schema.metadata or {}
    notes = notes_of(table.schema)
    for index, field in enumerate(table.schema):
        note = notes.get(field.name)
        # A frame that had dates as objects gets them back so.
        if pa.types.is_date(field.type) and (note is None or FRAME not in given):
            notes.pop(field.name, None)
            moment = pa.timestamp("ms")
            table = table.set_column(index, pa.field(field.name, moment), table.column(index).cast(moment))
        # Where pandas is not loaded, its own types (periods) look like the integers that they are stored as.
        kind = None if b"ARROW:extension:name" in (field.metadata or {}) else NULLABLE.get(str(field.type))
        # pandas may be told to use a type of its own, such as Int64, which has nulls.
        told = str((note or {}).get("numpy_type", ""))
        if kind and table.column(index).null_count and not (told[:1].isupper() or told == "boolean"):
            notes[field.name] = {
                "name": field.name, "field_name": field.name, "pandas_type": kind.lower().replace("boolean", "bool"),
                "numpy_type": kind, "metadata": None,
            }  # fmt: skip
    kept = {key: value for key, value in given.items() if key not in (b"pandas", FRAME)}
    return table.replace_schema_metadata({**kept, **pandas_metadata(notes.values())})


def as_features(table: Any, geometry: str) -> Any:
    """Some rows with the columns that a frame made of them as GeoJSON has, where what is null is absent.

    Columns that no row has are not there; whole numbers that some row has not are floats.
    """
    import pyarrow as pa

    notes = notes_of(table.schema)
    for field in table.schema:
        column = table.column(field.name)
        told = str(notes.get(field.name, {}).get("numpy_type", ""))
        if field.name != geometry and column.null_count == len(column):
            table = table.drop_columns([field.name])
        elif pa.types.is_integer(field.type) and column.null_count and not (field.metadata or told[:1].isupper()):
            index = table.schema.get_field_index(field.name)
            table = table.set_column(index, pa.field(field.name, pa.float64()), column.cast(pa.float64(), safe=False))
    return table


def geo_of(schema: Any) -> dict[str, Any] | None:
    """The 'geo' metadata of a GeoParquet file, None where there is none that can be used."""
    try:
        geo: dict[str, Any] = json.loads((schema.metadata or {})[b"geo"])
        return geo if isinstance(geo["columns"][geo["primary_column"]], dict) else None
    except (KeyError, ValueError, TypeError, RecursionError):
        return None


def further_geometries(schema: Any, geometry: str) -> dict[str, Any]:
    """What a schema says of its geometry columns but for that one."""
    columns = (geo_of(schema) or {"columns": {}})["columns"]
    return {name: about for name, about in columns.items() if name in schema.names and name != geometry}


def geo_metadata(geometry: str, crs: str, others: Mapping[str, Any] | None = None) -> dict[bytes, bytes]:
    """What GeoParquet 1.1 wants to know of a file; `others`: what is known of its further geometry columns."""
    from pyproj import CRS

    projjson = CRS.from_user_input(crs if crs != "OGC:CRS84" else WGS84).to_json_dict()
    own: dict[str, Any] = {geometry: {"encoding": "WKB", "geometry_types": [], "crs": projjson}}
    # The first in place, and what is said of it here.
    columns = own | dict(others or {}) | own
    return {b"geo": json.dumps({"version": "1.1.0", "primary_column": geometry, "columns": columns}).encode()}
