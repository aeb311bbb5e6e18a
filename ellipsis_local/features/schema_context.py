"""Which columns new and changed features get, so that all files of a timestamp agree in their types."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ellipsis_local.errors import LimitError
from ellipsis_local.features.columns import Where, array_of, inferred, new_field, refused
from ellipsis_local.features.parquet_cache import open_table
from ellipsis_local.home import Home
from ellipsis_local.types import Timestamp
from ellipsis_local.vector import FRAME, attributes, notes_of, pandas_metadata, wider

MOST_COLUMNS = 1000


@dataclass(frozen=True)
class Column:
    """A column of new values."""

    field: Any
    values: Any
    """A pyarrow Array of the field's type."""
    note: dict[str, Any] | None = None
    """What pandas is to be told of the column."""


@dataclass(frozen=True)
class Known:
    """What is known of the columns of a timestamp before a change."""

    fields: Mapping[str, Any]
    """By name: the Arrow field of the first file that has the column."""
    notes: Mapping[str, dict[str, Any]]
    """By name: what that file says to pandas."""
    partial: Collection[str]
    """Columns that not every file has."""
    taken: Collection[str]
    """Names of geometry columns."""
    declared: Mapping[str, str]
    """By name: the type of a property that was declared, and is not in the trash."""
    required: Collection[str]
    trashed: Collection[str]
    categories: Callable[[str], Any]
    """The values of a dictionary column; None where there are none."""

    def of(self, schema: Any) -> Known:
        """The same, where a file's own columns count more than those of other files."""
        own = {field.name: field for field in schema if str(field.type) != "null"}
        others = {name: note for name, note in self.notes.items() if name not in own}
        return replace(self, fields={**self.fields, **own}, notes={**others, **notes_of(schema)})


def planned(known: Known, name: str, values: Sequence[Any], where: Where) -> Column:
    """JSON values as a column that agrees with what is known."""
    import pyarrow as pa

    check_name(known, name, values, where)
    field = known.fields.get(name)
    note = known.notes.get(name)
    if field is None or pa.types.is_null(field.type):
        kind = known.declared.get(name) or inferred(name, values, where)
        field, note = new_field(name, kind, values), None
    array = array_of(field, values, where)
    if pa.types.is_dictionary(field.type):
        encoded = categorised(array, field.type, known.categories(name))
        array, note = (array, None) if encoded is None else (encoded, note)
    elif array.type != field.type:
        note = None
    return Column(field.with_type(array.type), array, note)


def check_name(known: Known, name: str, values: Sequence[Any], where: Where) -> None:
    given = [position for position, value in enumerate(values) if value is not None]
    place = where(given[0] if given else 0) if len(values) else "the features"
    if name in known.taken or not name or "\0" in name or len(name) > 256:
        what = "the name of a geometry, or no name of 1 to 256 characters"
        raise refused(f"{place} has a property named {name[:256]!r}: {what}", name)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise refused(f"{place} has a property whose name {name!r} is no valid text") from error
    if given and name in known.trashed:
        raise refused(f"property {name!r} of {place} is in the trash; recover it first", name)
    if name in known.required and len(given) < len(values):
        position = next(position for position, value in enumerate(values) if value is None)
        raise refused(f"{where(position)} lacks the property {name!r}, which is required", name)


def check_count(names: Collection[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise LimitError(f"the features would have {len(names):,} properties; a layer has at most {MOST_COLUMNS:,}")


def categorised(array: Any, kind: Any, categories: Any) -> Any:
    """Values as a dictionary column of the same categories; None where one of them is no category."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if categories is None:
        return None
    indices = pc.index_in(array, value_set=categories.cast(array.type))
    if indices.null_count > array.null_count:
        return None
    return pa.DictionaryArray.from_arrays(indices.cast(kind.index_type), categories, ordered=kind.ordered)


def joined(own: Any, geometry: str, columns: Iterable[Column]) -> Any:
    """The schema of a file once it has these columns, too; None where one cannot be joined with the file's own."""
    import pyarrow as pa

    fields = {field.name: field for field in own}
    notes = notes_of(own)
    for column in columns:
        name = column.field.name
        there = fields.get(name)
        kind = column.field.type if there is None else wider(there.type, column.field.type)
        if kind is None or name == geometry:
            return None
        fields[name] = (column.field if there is None or pa.types.is_null(there.type) else there).with_type(kind)
        if there is not None and kind != there.type:
            notes.pop(name, None)
        if column.note is not None:
            notes[name] = column.note
    kept = {key: value for key, value in (own.metadata or {}).items() if key in (FRAME, b"geo")}
    return pa.schema(list(fields.values()), {**kept, **pandas_metadata(notes.values())})


def patched(table: Any, name: str, positions: Sequence[int], values: Any) -> Any:
    """A table with some values of one column replaced by those of an array, which has as many."""
    import numpy as np
    import pyarrow as pa

    index = table.schema.get_field_index(name)
    field = table.schema.field(index)
    if values.type != field.type:
        values = values.cast(field.type)
    order = np.arange(len(table))
    order[list(positions)] = len(table) + np.arange(len(positions))
    both = pa.concat_tables([table.select([name]), pa.table({name: values}, schema=pa.schema([field]))])
    return table.set_column(index, field, both.unify_dictionaries().take(pa.array(order))[name])


def fitted(table: Any, schema: Any) -> Any:
    """A table with the columns of a schema, nulls for those that it lacks."""
    import pyarrow as pa

    columns = [
        table[field.name] if field.name in table.schema.names else pa.nulls(len(table), field.type) for field in schema
    ]
    columns = [
        one if one.type == field.type else one.cast(field.type) for one, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema.remove_metadata())


def known_columns(home: Home, timestamp: Timestamp, declared: Mapping[str, Mapping[str, Any]]) -> Known:
    """The columns of a timestamp's files and the properties that were declared for its path."""
    schemas = [attributes(file) for file in timestamp.vectors]
    fields: dict[str, Any] = {}
    notes: dict[str, dict[str, Any]] = {}
    for schema in schemas:
        own = notes_of(schema)
        for field in schema:
            # A column of nulls says nothing of its type.
            if field.name not in fields or str(fields[field.name].type) == "null":
                fields[field.name] = field
                notes |= {field.name: own[field.name]} if field.name in own else {}

    def categories(name: str) -> Any:
        for file, schema in zip(timestamp.files, schemas, strict=True):
            if name in schema.names:
                with open_table(home, file) as sheet:
                    for _, table in sheet.read(range(min(1, sheet.rows)), [name]):
                        return getattr(table[name].chunk(0), "dictionary", None)
        return None

    return Known(
        fields=fields,
        notes=notes,
        partial={name for name in fields if not all(name in schema.names for schema in schemas)},
        taken={*(file.geometry_column for file in timestamp.vectors), "geometry"},
        declared={name: one["type"] for name, one in declared.items() if not one["trashed"]},
        required={name for name, one in declared.items() if one["required"] and not one["trashed"]},
        trashed={name for name, one in declared.items() if one["trashed"]},
        categories=categories,
    )
