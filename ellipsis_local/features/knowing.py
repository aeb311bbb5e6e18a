"""What is known of the columns of a timestamp before its features are changed."""

from __future__ import annotations

from typing import Any

from ellipsis_local.features.opening import open_sheet, schema_of
from ellipsis_local.features.properties import TAKEN, Properties
from ellipsis_local.features.schemas import EXACT, Known, notes_of
from ellipsis_local.types import Timestamp

__all__ = ["known_columns"]


def known_columns(properties: Properties, timestamp: Timestamp) -> Known:
    """The columns of a timestamp's files and the properties that were declared for its path."""
    schemas = [schema_of(file) for file in timestamp.vectors]
    fields: dict[str, Any] = {}
    notes: dict[str, dict[str, Any]] = {}
    plain = set()
    for file, schema in zip(timestamp.vectors, schemas, strict=True):
        own = notes_of(schema)
        for field in schema:
            # A column of nulls says nothing of its type.
            if field.name not in fields or str(fields[field.name].type) == "null":
                fields[field.name] = field
                notes |= {field.name: own[field.name]} if field.name in own else {}
                plain |= {field.name} if file.format == "ogr" else set()
    declared = properties.declared(timestamp.path_id)

    def categories(name: str) -> Any:
        for file, schema in zip(timestamp.files, schemas, strict=True):
            if name in schema.names:
                with open_sheet(properties.home, file) as sheet:
                    for _, table in sheet.read(range(min(1, sheet.rows)), [name]):
                        return getattr(table[name].chunk(0), "dictionary", None)
        return None

    def large(name: str) -> bool:
        for file, schema in zip(timestamp.files, schemas, strict=True):
            if name in schema.names and getattr(file.detail, "format", "") == "parquet":
                with open_sheet(properties.home, file) as sheet:
                    largest = sheet.largest(name)
                if largest is None or largest > EXACT:
                    return True
        return False

    return Known(
        fields=fields,
        notes=notes,
        partial={name for name in fields if not all(name in schema.names for schema in schemas)},
        plain=plain,
        taken={*(file.geometry_column for file in timestamp.vectors), TAKEN[0]},
        declared={name: one["type"] for name, one in declared.items() if not one["trashed"]},
        required={name for name, one in declared.items() if one["required"] and not one["trashed"]},
        trashed={name for name, one in declared.items() if one["trashed"]},
        categories=categories,
        large=large,
    )
